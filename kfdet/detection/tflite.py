"""A TFLite file in this process, as a phone or a small board runs it."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from kfdet.dataset.formats.archive import read_members
from kfdet.detection.backend import Answer
from kfdet.detection.saved_model import parse_labels, tensorflow
from kfdet.detection.thresholds import THRESHOLDS_FILE, Thresholds
from kfdet.errors import InputError
from kfdet.files import count_cores, write_zip
from kfdet.parameters import Precision

LABELS_FILE = "labels.txt"
"""Label names in the zip that is attached to the file, one per line."""

CHECKSUM_FILE = "sha256.txt"
"""In the attached zip: the SHA-256 of the model in front of it."""

_MOST_BYTES = 16 << 20
"""Of a file in the attached zip."""

_COPY_HINT = "Copy it again, or use the model.tflite of a run."

OUTPUT_ORDER = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
"""The outputs in the order in which phone apps read them."""


def tflite_name(precision: Precision) -> str:
    """The name of the file that holds a model of that precision.

    >>> tflite_name("float32"), tflite_name("int8")
    ('model.tflite', 'model-int8.tflite')
    """
    return "model.tflite" if precision == "float32" else f"model-{precision}.tflite"


def find_tflite(folder: Path) -> dict[Precision, Path]:
    """The TFLite models in the folder that the export wrote, by precision."""
    named = {precision: folder / tflite_name(precision) for precision in get_args(Precision)}
    return {precision: path for precision, path in named.items() if path.is_file()}


class TFLiteBackend:
    """A TFLite file that kfdet exported; it runs on the CPU, one picture after the other.

    Args:
        path: The file.

    Raises:
        InputError: The file is missing, is not a TFLite model, or was not exported by kfdet.
        KfdetError: TensorFlow, which prepares the pictures, is not installed.
    """

    in_flight = 1

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self.labels, self.thresholds = read_attached(path)
        self._tf = tensorflow()
        try:
            interpreter = _interpreter(self._tf)
            self._interpreter = interpreter(self.place, num_threads=count_cores())
            self._interpreter.allocate_tensors()  # else the first picture finds what is wrong
            self._run = self._interpreter.get_signature_runner()
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"this is not a TFLite model: {error}", file=path, hint=_COPY_HINT
            ) from error
        details = self._run.get_input_details()
        outputs = self._run.get_output_details()
        if set(details) != {"images"} or set(outputs) != set(OUTPUT_ORDER):
            raise _foreign(path)
        if outputs["detection_classes"]["dtype"] is not np.float32:
            raise InputError(
                "this model was exported by an older version of kfdet.",
                file=path,
                hint="Run the same `kfdet run` again: it exports the model anew.",
            )
        _, height, width, _ = details["images"]["shape"].tolist()
        self.input_size: tuple[int, int] = (height, width)

    def predict(self, pictures: Sequence[bytes]) -> Answer:
        """The outputs for each picture; `seconds` includes JPEG decoding.

        Raises:
            InputError: A picture cannot be decoded.
        """
        started = time.perf_counter()
        rows = [self._predict_one(data) for data in pictures]
        return Answer(rows, time.perf_counter() - started)

    def close(self) -> None:
        """Release the model."""
        self._run = self._interpreter = None

    def _predict_one(self, data: bytes) -> dict[str, Any]:
        from kfdet.detection.letterbox import decode_and_letterbox

        try:
            image, scale, size = decode_and_letterbox(self._tf.constant(data), *self.input_size)
        except self._tf.errors.InvalidArgumentError as error:
            reason = str(error.message).strip().rsplit("\n", 1)[-1]
            raise InputError(f"a picture cannot be decoded: {reason}") from error
        try:
            outputs = self._run(images=image.numpy()[None])
        except RuntimeError as error:
            raise InputError(
                f"this model cannot run: {error}", file=self.place, hint=_COPY_HINT
            ) from error
        count = int(outputs.pop("num_detections")[0])
        found = {name: value[0, :count] for name, value in outputs.items()}
        # The model's boxes are shares of its input; the picture fills only a part of that.
        inner = size.numpy() * scale.numpy() / np.array(self.input_size)
        boxes = found["detection_boxes"].astype(np.float64) / np.tile(inner, 2)
        return {
            "detection_boxes": np.clip(boxes, 0, 1),
            "detection_scores": found["detection_scores"],
            "detection_class_names": [self._label(i) for i in found["detection_classes"]],
            "num_detections": count,
        }

    def _label(self, number: np.float32) -> str:
        """The name of a class; "", which is none, for a number that no label has."""
        known = 0 <= number < len(self.labels)
        return self.labels[int(number)] if known else ""


def _interpreter(tf: Any) -> Any:
    """The class of the interpreter: LiteRT's where it is installed, else TensorFlow's."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        return tf.lite.Interpreter
    return Interpreter


def read_attached(path: Path) -> tuple[tuple[str, ...], Thresholds | None]:
    """Label names, and recommended thresholds where the model was measured.

    Raises:
        InputError: It is missing, damaged, or no TFLite model of kfdet.
    """
    try:
        found = read_members(path, (LABELS_FILE, THRESHOLDS_FILE, CHECKSUM_FILE), _MOST_BYTES)
        labels = parse_labels(found[LABELS_FILE])
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", file=path) from error
    except (InputError, KeyError, ValueError) as error:
        raise _foreign(path) from error
    if CHECKSUM_FILE in found and found[CHECKSUM_FILE] != _checksum(_model_in(path)):
        raise InputError("the model is damaged.", file=path, hint=_COPY_HINT)
    thresholds = found.get(THRESHOLDS_FILE)
    return labels, Thresholds.parse(thresholds, str(path)) if thresholds else None


def write_attached(path: Path, model: bytes, files: Mapping[str, bytes]) -> None:
    """Write a TFLite model with files in a zip behind it, where TFLite's metadata has them.

    Args:
        path: The file to write.
        model: The model.
        files: By name; its checksum comes to them, because the model itself has none: with other
            bytes it would still load, and detect something else.
    """
    path.write_bytes(model)
    write_zip(path, {**files, CHECKSUM_FILE: _checksum(model)}, append=True)


def _model_in(path: Path) -> bytes:
    """What is in front of the attached zip."""
    with zipfile.ZipFile(path) as archive:
        size = min(member.header_offset for member in archive.infolist())
    with path.open("rb") as file:
        return file.read(size)


def _checksum(model: bytes) -> bytes:
    return f"{hashlib.sha256(model).hexdigest()}\n".encode()


def _foreign(path: Path) -> InputError:
    return InputError(
        "this is not a TFLite model of kfdet: its labels or its input are missing.",
        file=path,
        hint="Use the model.tflite of a run.",
    )
