"""Export stage: trained weights in; SavedModel, TFLite and the download zip out."""

from __future__ import annotations

from pathlib import Path

from kfdet.events import Progress
from kfdet.files import atomic_file, atomic_folder


def export(model: str, records: str, saved_model: str, tflite: str, bundle: str) -> None:
    """Write the trained `model` in every form that is served or downloaded.

    Args:
        model: Folder that training wrote.
        records: Folder of the TFRecord build (for its label map).
        saved_model: Folder to write: version folder "1" and model.json.
        tflite: File to write.
        bundle: Zip file to write.
    """
    from kfdet.export.bundle import write_bundle
    from kfdet.export.module import load_module
    from kfdet.export.saved_model import write_saved_model
    from kfdet.export.tflite import write_tflite

    progress = Progress("exporting", 4, "files")
    module = load_module(Path(model))
    progress.advance(note="weights read")
    with atomic_folder(Path(saved_model)) as folder:
        write_saved_model(module, folder)
    progress.advance(note="SavedModel")
    with atomic_file(Path(tflite)) as path:
        write_tflite(module, path)
    progress.advance(note="TFLite")
    with atomic_file(Path(bundle)) as path:
        write_bundle(
            path,
            saved_model=Path(saved_model),
            tflite=Path(tflite),
            label_map=Path(records) / "label_map.pbtxt",
            checkpoint=Path(model),
            labels=module.description.labels,
            input_size=(module.description.height, module.description.width),
        )
    progress.advance(note="zip")
