"""The zip a user downloads: everything that is needed to use the detector elsewhere."""

from __future__ import annotations

import zipfile
from pathlib import Path

_README = """\
A detector trained by kfdet.

{labels}

saved_model/       for TensorFlow Serving, which wants the folder that holds the folder "1":
                     docker run -p 8501:8501 -v "$PWD/saved_model:/models/detector" \\
                       -e MODEL_NAME=detector tensorflow/serving
                   Input: image_bytes, JPEG or PNG (base64 over REST: {{"b64": "..."}}).
                   Output: detection_boxes (ymin, xmin, ymax, xmax as shares of the image),
                   detection_scores, detection_classes, detection_class_names, num_detections.
model.tflite       for phones and small boards: images uint8 (1, {height}, {width}, 3), RGB, fitted
                   into the top left corner, the rest black.
labels.txt         label names, class 1 first; label_map.pbtxt: the same for TensorFlow's tools.
checkpoint/        weights to start another training from (kfdet run --init-checkpoint).
model.json         network, input size, versions.
"""


def write_bundle(
    path: Path,
    *,
    saved_model: Path,
    tflite: Path,
    label_map: Path,
    checkpoint: Path,
    labels: tuple[str, ...],
    input_size: tuple[int, int],
) -> None:
    """Zip the exported model; same content, same bytes.

    Args:
        path: File to write.
        saved_model: Folder with the version folder.
        tflite: The TFLite file.
        label_map: label_map.pbtxt.
        checkpoint: The model folder that training wrote.
        labels: Label names, class id 1 first.
        input_size: Height and width in pixels.
    """
    listed = "Labels: " + ", ".join(labels)
    readme = _README.format(labels=listed, height=input_size[0], width=input_size[1])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "README.txt", readme.encode())
        _add(archive, "labels.txt", ("\n".join(labels) + "\n").encode())
        _add(archive, "label_map.pbtxt", label_map.read_bytes())
        _add(archive, "model.tflite", tflite.read_bytes())
        _add(archive, "model.json", (saved_model / "model.json").read_bytes())
        for folder, name in ((saved_model, "saved_model"), (checkpoint, "checkpoint")):
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                _add(archive, f"{name}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # ZipInfo without a date stands for 1980-01-01: no clock in the file.
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)
