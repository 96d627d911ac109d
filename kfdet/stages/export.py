"""Export stage: trained weights in; SavedModel, TFLite and the download zip out."""

from __future__ import annotations

from pathlib import Path

from kfdet.events import Progress
from kfdet.export.bundle import write_bundle
from kfdet.export.module import load_module
from kfdet.export.saved_model import write_saved_model
from kfdet.export.tflite import write_tflite
from kfdet.files import atomic_file, atomic_folder


def export(model: Path, records: Path, saved_model: Path, tflite: Path, bundle: Path) -> None:
    """Write the trained `model` in every form that is served or downloaded.

    Args:
        model: Folder that training wrote.
        records: Folder of the TFRecord build (for its label map).
        saved_model: Folder to write: version folder "1" and model.json.
        tflite: File to write.
        bundle: Zip file to write.
    """
    progress = Progress("exporting", 4, "files")
    module = load_module(model)
    progress.advance(note="weights read")
    with atomic_folder(saved_model) as folder:
        write_saved_model(module, folder)
    progress.advance(note="SavedModel")
    with atomic_file(tflite) as path:
        write_tflite(module, path)
    progress.advance(note="TFLite")
    with atomic_file(bundle) as path:
        write_bundle(
            path,
            saved_model=saved_model,
            tflite=tflite,
            label_map=records / "label_map.pbtxt",
            checkpoint=model,
            labels=module.description.labels,
            input_size=(module.description.height, module.description.width),
        )
    progress.advance(note="zip")
