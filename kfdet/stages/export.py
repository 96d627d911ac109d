"""Export stage: trained weights in; SavedModel and TFLite out."""

from __future__ import annotations

from pathlib import Path

from kfdet.events import Progress
from kfdet.export.module import load_module
from kfdet.export.saved_model import write_saved_model
from kfdet.export.tflite import write_tflite
from kfdet.files import atomic_file, atomic_folder


def export(model: Path, saved_model: Path, tflite: Path) -> None:
    """Write the trained `model` in every form in which it runs.

    Args:
        model: Folder that training wrote.
        saved_model: Folder to write: version folder "1" and model.json.
        tflite: File to write.
    """
    progress = Progress("exporting", 3, "files")
    module = load_module(model)
    progress.advance(note="weights read")
    with atomic_folder(saved_model) as folder:
        write_saved_model(module, folder)
    progress.advance(note="SavedModel")
    with atomic_file(tflite) as path:
        write_tflite(module, path)
    progress.advance(note="TFLite")
