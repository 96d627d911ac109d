"""The exported model with what evaluation found: the thresholds travel with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from tensorflow.lite.tools.flatbuffer_utils import (
    convert_object_to_bytearray,
    read_model_from_bytearray,
)

from kfdet.detection.saved_model import LABELS_FILE, find_saved_model
from kfdet.detection.tflite import write_attached
from kfdet.detection.thresholds import THRESHOLDS_FILE, Thresholds
from kfdet.export.tflite_metadata import add_metadata, metadata
from kfdet.files import read_json_object, read_zip
from kfdet.training.model_folder import Description


def write_measured_model(exported: Path, folder: Path, thresholds: Thresholds) -> None:
    """Copy an exported SavedModel and add the thresholds beside its label names and in model.json.

    Args:
        exported: Folder with the version folder and model.json.
        folder: Folder to fill.
        thresholds: What evaluation recommends.
    """
    shutil.copytree(exported, folder, dirs_exist_ok=True)
    extra = find_saved_model(folder) / LABELS_FILE.with_name(THRESHOLDS_FILE)
    extra.write_text(thresholds.to_json(), encoding="utf-8")
    described = folder / "model.json"
    document = {**read_json_object(described), "thresholds": asdict(thresholds)}
    described.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def write_measured_tflite(
    exported: Path, path: Path, description: Description, thresholds: Thresholds
) -> None:
    """Copy an exported TFLite file and add metadata; labels and thresholds are attached to it.

    Args:
        exported: The file.
        path: File to write.
        description: What the model is.
        thresholds: What evaluation recommends.
    """
    model = read_model_from_bytearray(bytearray(exported.read_bytes()))
    size = description.height, description.width
    add_metadata(model, metadata(description.network, *size, thresholds.overall))
    attached = {**read_zip(exported), THRESHOLDS_FILE: thresholds.to_json().encode()}
    write_attached(path, bytes(convert_object_to_bytearray(model)), attached)
