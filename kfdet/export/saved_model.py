"""The SavedModel that TensorFlow Serving loads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import tensorflow as tf

from kfdet.detection.saved_model import LABELS_FILE, write_checksums
from kfdet.export.freezing import save_frozen
from kfdet.export.module import ServingModule

VERSION = "1"


def write_saved_model(module: ServingModule, folder: Path) -> None:
    """Write `module` to `folder`/1 in TensorFlow Serving's layout, labels beside it.

    The weights are folded into the graph, which loads faster than a checkpoint and runs on its
    own. The signature `serving_default` is `ServingModule.detect_bytes`.
    """
    target = folder / VERSION
    save_frozen(module.detect_bytes, tf.TensorSpec([None], tf.string, name="image_bytes"), target)
    labels = target / LABELS_FILE
    labels.parent.mkdir()
    write_checksums(target)
    labels.write_text("\n".join(module.description.labels) + "\n")
    (folder / "model.json").write_text(json.dumps(asdict(module.description), indent=1) + "\n")
