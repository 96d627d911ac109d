"""The SavedModel that TensorFlow Serving loads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from kfdet.export.detector import Detector

VERSION = "1"


def write_saved_model(detector: Detector, folder: Path) -> None:
    """Write `detector` to `folder`/1 in TensorFlow Serving's layout, labels beside it.

    The weights are folded into the graph, which loads faster than a checkpoint and runs on its
    own. The signature `serving_default` is `Detector.detect_bytes`.
    """
    serve = tf.function(
        detector.detect_bytes,
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    ).get_concrete_function()
    frozen = convert_variables_to_constants_v2(serve, lower_control_flow=False)
    # Freezing turns named outputs into a list in the order of the sorted names.
    names = sorted(serve.structured_outputs)

    module = tf.Module()
    module.serve = tf.function(
        lambda image_bytes: dict(zip(names, frozen(image_bytes), strict=True)),
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    target = folder / VERSION
    tf.saved_model.save(module, str(target), signatures={"serving_default": module.serve})
    extra = target / "assets.extra"
    extra.mkdir()
    (extra / "labels.txt").write_text("\n".join(detector.description.labels) + "\n")
    (folder / "model.json").write_text(json.dumps(asdict(detector.description), indent=1) + "\n")
