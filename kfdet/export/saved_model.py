"""The SavedModel that TensorFlow Serving loads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import tensorflow as tf

from kfdet.export.freezing import save_frozen
from kfdet.export.module import Detector

VERSION = "1"


def write_saved_model(detector: Detector, folder: Path) -> None:
    """Write `detector` to `folder`/1 in TensorFlow Serving's layout, labels beside it.

    The weights are folded into the graph, which loads faster than a checkpoint and runs on its
    own. The signature `serving_default` is `Detector.detect_bytes`.
    """
    target = folder / VERSION
    save_frozen(detector.detect_bytes, tf.TensorSpec([None], tf.string, name="image_bytes"), target)
    extra = target / "assets.extra"
    extra.mkdir()
    (extra / "labels.txt").write_text("\n".join(detector.description.labels) + "\n")
    (folder / "model.json").write_text(json.dumps(asdict(detector.description), indent=1) + "\n")
