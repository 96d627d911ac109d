"""Export stage: trained weights in; SavedModel and TFLite out."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kfdet.events import Progress
from kfdet.export.calibration import calibration_pictures
from kfdet.export.module import load_module
from kfdet.export.saved_model import write_saved_model
from kfdet.export.tflite import write_tflite
from kfdet.files import atomic_folder
from kfdet.parameters import ExportSettings
from kfdet.storage.shards import open_records


def export(
    model: Path, records: Path, saved_model: Path, tflite_models: Path, settings: ExportSettings
) -> None:
    """Write the trained `model` in every form in which it runs.

    Args:
        model: Folder that training wrote.
        records: Folder of the TFRecord build.
        saved_model: Folder to write: version folder "1" and model.json.
        tflite_models: Folder to write: a file for each precision.
        settings: Which precisions.

    Raises:
        InputError: The settings name another precision.
    """
    precisions = settings.precisions()
    progress = Progress("exporting", 3, "formats")
    module = load_module(model)
    progress.advance(note="weights read")
    with atomic_folder(saved_model) as folder:
        write_saved_model(module, folder)
    progress.advance(note="SavedModel")
    size = module.description.height, module.description.width
    with open_records(records) as opened, atomic_folder(tflite_models) as folder:
        write_tflite(module, folder, precisions, partial(calibration_pictures, opened, *size))
    progress.advance(note="TFLite")
