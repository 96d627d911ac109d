"""The zip a user downloads: everything that is needed to use the detector elsewhere."""

from __future__ import annotations

from pathlib import Path

from kfdet.detection.tflite import find_tflite
from kfdet.files import list_files, write_zip

_README = """\
A detector trained by kfdet.

{labels}

saved_model/       for TensorFlow Serving, which takes the folder that holds the folder "1":
                     docker run -p 8501:8501 -v "$PWD/saved_model:/models/detector" \\
                       -e MODEL_NAME=detector tensorflow/serving
                   Input: image_bytes, JPEG or PNG (base64 over REST: {{"b64": "..."}}).
                   Output: detection_boxes (ymin, xmin, ymax, xmax as shares of the image),
                   detection_scores, detection_classes, detection_class_names, num_detections.
model.tflite       for phones and small boards: images uint8 (1, {height}, {width}, 3), RGB, fitted
                   into the top left corner, the rest black. Its metadata is what Google's task
                   libraries read. Where they are here, model-float16.tflite is half as large and
                   model-int8.tflite a third.
                   All of them also run with kfdet.Detector.load(...) in Python.
labels.txt         label names, class 1 first; label_map.pbtxt: the same for TensorFlow's tools.
checkpoint/        weights to start another training from (kfdet run --pretrained).
model.json         network, input size, versions, recommended thresholds: leave out detections
                   with a lower score, as Detector.load does. The models hold them as well, in
                   saved_model/1/assets.extra/thresholds.json and attached to the .tflite files.
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
        tflite: Folder with the TFLite models.
        label_map: label_map.pbtxt.
        checkpoint: The model folder that training wrote.
        labels: Label names, class id 1 first.
        input_size: Height and width in pixels.
    """
    listed = "Labels: " + ", ".join(labels)
    readme = _README.format(labels=listed, height=input_size[0], width=input_size[1])
    entries: dict[str, bytes | Path] = {
        "README.txt": readme.encode(),
        "labels.txt": ("\n".join(labels) + "\n").encode(),
        "label_map.pbtxt": label_map,
        "model.json": saved_model / "model.json",
    }
    entries |= {file.name: file for file in find_tflite(tflite).values()}
    for folder, name in ((saved_model, "saved_model"), (checkpoint, "checkpoint")):
        for file in list_files(folder):
            entries[f"{name}/{file.relative_to(folder).as_posix()}"] = file
    write_zip(path, entries, compress=True)
