"""The exported model with what evaluation found: the thresholds travel with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from kfdet.detection.saved_model import LABELS_FILE, find_saved_model
from kfdet.detection.thresholds import THRESHOLDS_FILE, Thresholds
from kfdet.files import read_json_object, write_zip


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


def write_measured_tflite(exported: Path, path: Path, thresholds: Thresholds) -> None:
    """Copy an exported TFLite file and attach the thresholds to it, as its labels are."""
    shutil.copyfile(exported, path)
    write_zip(path, {THRESHOLDS_FILE: thresholds.to_json().encode()}, append=True)
