"""Run an exported SavedModel over the validation records: what is served is what is measured."""

from __future__ import annotations

import itertools
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from kfdet.boxes.tables import Boxes
from kfdet.errors import InputError, KfdetError
from kfdet.events import Progress
from kfdet.files import count_cores, read_json_object

BATCH_SIZE = 8
_SPEED_SECONDS = 10.0
_SPEED_CALLS = {1: 24, BATCH_SIZE: 6}
_OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """One validation image and what a person drew on it.

    Boxes are (N, 4) xmin, ymin, xmax, ymax in pixels of the source image. `classes` are 1-based
    positions in the labels. `crowd` and `difficult` boxes are neither asked for nor punished.
    `stored` is the width and height of the JPEG in the records, `window` its place in the source.
    """

    source_id: int
    video: str
    frame: int
    kind: str
    stored: tuple[int, int]
    window: tuple[float, float, float, float]
    boxes: Boxes
    classes: npt.NDArray[np.int64]
    crowd: npt.NDArray[np.bool_]
    difficult: npt.NDArray[np.bool_]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in source pixels."""
        return self.window[2] - self.window[0], self.window[3] - self.window[1]

    def to_stored(self, boxes: Boxes) -> Boxes:
        """Boxes in source pixels as pixels of the stored JPEG."""
        origin = np.tile(self.window[:2], 2)
        stored: Boxes = (boxes - origin) * np.tile(np.divide(self.stored, self.size), 2)
        return stored


@dataclass(frozen=True, slots=True)
class ImageDetections:
    """What the model found on one image: boxes (N, 4) in source pixels, best score first."""

    source_id: int
    video: str
    frame: int
    boxes: Boxes
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Speed:
    """Time of the model alone, JPEG decoding included, after warm-up; and where it was measured."""

    ms_per_image_batch_1: float
    ms_per_image_batch_8: float
    model_seconds: float
    cpu: str
    cores: int
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelRun:
    """The validation split and the model's answer to it; both lists have the same order."""

    truths: list[GroundTruth]
    detections: list[ImageDetections]
    speed: Speed


@dataclass(frozen=True, slots=True)
class _Example:
    video: str
    frame: int
    kind: str
    stored: tuple[int, int]
    window: tuple[float, float, float, float]


Detector = Callable[[list[bytes]], dict[str, npt.NDArray[Any]]]
"""Encoded images in, arrays named as in the serving signature out."""


def find_saved_model(folder: Path) -> Path:
    """The folder that holds saved_model.pb: `folder` itself or its highest numbered version.

    Raises:
        InputError: There is no SavedModel.
    """
    versions = [p.parent for p in folder.glob("*/saved_model.pb") if p.parent.name.isdigit()]
    if versions:
        return max(versions, key=lambda p: int(p.name))
    if (folder / "saved_model.pb").is_file():
        return folder
    raise InputError(
        "no SavedModel here.", file=folder, hint="Expected <folder>/1/saved_model.pb, as exported."
    )


def load_detector(folder: Path, labels: list[str]) -> Detector:
    """Load the `serving_default` signature of a SavedModel as a function.

    Args:
        folder: As for `find_saved_model`.
        labels: The labels of the records; they must be the model's, in the same order.

    Raises:
        InputError: No SavedModel, no such signature, or other labels.
    """
    tf = _tensorflow()
    path = find_saved_model(folder)
    model = tf.saved_model.load(str(path))
    signature = model.signatures.get("serving_default")
    outputs = set(signature.structured_outputs) if signature is not None else set()
    if signature is None or not outputs.issuperset(_OUTPUTS):
        raise InputError(
            f"the signature serving_default with outputs {', '.join(_OUTPUTS)} is missing.",
            file=path,
            hint="Export the model with `kfdet run` or the export stage.",
        )

    names = path / "assets.extra" / "labels.txt"
    found = _lines(names) if names.is_file() else []
    if found != labels:
        raise InputError(
            f"the model's labels {found} are not the labels of the records {labels}.",
            file=names,
            hint="Evaluate a model on records that were built with its labels.",
        )

    def detect(images: list[bytes]) -> dict[str, npt.NDArray[Any]]:
        # `model` owns the variables: naming it here keeps them alive as long as the function.
        answer = model.signatures["serving_default"](image_bytes=tf.constant(images))
        return {name: answer[name].numpy() for name in _OUTPUTS}

    return detect


def run_model(records: Path, detector: Detector) -> ModelRun:
    """Detect on every validation image of `records`, in batches, holding one batch in memory.

    Args:
        records: Folder with val-*.tfrecord and examples.parquet.
        detector: As `load_detector` gives it.

    Raises:
        InputError: There are no validation records.
        KfdetError: The model answers with numbers that are not finite.
    """
    truths: list[GroundTruth] = []
    detections: list[ImageDetections] = []
    examples = _read_examples(records)
    progress = Progress("evaluation", len(examples), "images")
    model_seconds = 0.0
    sample: list[bytes] = []
    source = _read_validation(records, examples)
    while batch := list(itertools.islice(source, BATCH_SIZE)):
        images = [image for image, _ in batch]
        sample = sample or images
        started = time.perf_counter()
        answer = detector(images)
        model_seconds += time.perf_counter() - started
        for row, (_, truth) in enumerate(batch):
            truths.append(truth)
            detections.append(_to_source(answer, row, truth))
        progress.advance(len(batch))
    return ModelRun(truths, detections, _measure_speed(detector, sample, model_seconds))


def read_images(records: Path, source_ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """The encoded images of some validation examples, in the order of the records."""
    wanted = set(source_ids)
    for image, truth in _read_validation(records, _read_examples(records)):
        if truth.source_id in wanted:
            yield truth.source_id, image


def read_dataset(records: Path) -> dict[str, Any]:
    """The dataset.json of the records: labels, split, counts and statistics.

    Raises:
        InputError: It is missing or not JSON.
    """
    return read_json_object(records / "dataset.json", hint="Build the records again.")


def _lines(path: Path) -> list[str]:
    # Not splitlines(): a label may hold a character that it takes for a line's end.
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _tensorflow() -> Any:
    """TensorFlow, with as many threads as this process may use, not as the machine has."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(count_cores())
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        pass  # TensorFlow is already at work in this process; its settings stay.
    return tf


def _read_examples(records: Path) -> dict[int, _Example]:
    path = records / "examples.parquet"
    if not path.is_file():
        raise InputError("the index of the records is missing.", file=path)
    rows = pq.read_table(path, filters=[("split", "=", "val")]).to_pylist()
    if not rows:
        raise InputError(
            "the validation split is empty: there is nothing to measure.",
            file=path,
            hint="Raise val_share, or add a video.",
        )
    return {
        row["source_id"]: _Example(
            row["video"],
            row["frame"],
            row["kind"],
            (row["width"], row["height"]),
            (row["xmin"], row["ymin"], row["xmax"], row["ymax"]),
        )
        for row in rows
    }


def _read_validation(
    records: Path, examples: dict[int, _Example]
) -> Iterator[tuple[bytes, GroundTruth]]:
    tf = _tensorflow()
    files = sorted(str(path) for path in records.glob("val-*.tfrecord"))
    if not files:
        raise InputError("there is no val-*.tfrecord.", file=records)
    box = {f"image/object/bbox/{side}": tf.float32 for side in ("xmin", "ymin", "xmax", "ymax")}
    flags = {
        "image/object/class/label": tf.int64,
        "image/object/is_crowd": tf.int64,
        "image/object/difficult": tf.int64,
    }
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/source_id": tf.io.FixedLenFeature([], tf.string),
        **{name: tf.io.VarLenFeature(kind) for name, kind in {**box, **flags}.items()},
    }
    # Parsed where it is read: one file after the other, so that the order is that of the records.
    dataset = tf.data.TFRecordDataset(files).map(
        lambda raw: {
            name: tf.sparse.to_dense(value) if isinstance(value, tf.SparseTensor) else value
            for name, value in tf.io.parse_single_example(raw, features).items()
        }
    )
    for record in dataset.prefetch(BATCH_SIZE).as_numpy_iterator():
        source_id = int(record["image/source_id"])
        example = examples.get(source_id)
        if example is None:
            raise InputError(
                f"the validation record {source_id} is not in examples.parquet.",
                file=records,
                hint="Build the records again.",
            )
        x, y, right, bottom = example.window
        scale = np.array([right - x, bottom - y] * 2)
        count = len(record["image/object/class/label"])
        sides = np.stack([record[name] for name in box], axis=1).astype(np.float64)
        yield (
            record["image/encoded"],
            GroundTruth(
                source_id=source_id,
                video=example.video,
                frame=example.frame,
                kind=example.kind,
                stored=example.stored,
                window=example.window,
                boxes=sides * scale + np.array([x, y, x, y]),
                classes=record["image/object/class/label"],
                crowd=_flag(record["image/object/is_crowd"], count),
                difficult=_flag(record["image/object/difficult"], count),
            ),
        )


def _flag(values: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.bool_]:
    """An optional feature: absent means not set for every box."""
    return values.astype(bool) if len(values) else np.zeros(count, dtype=bool)


def _to_source(
    answer: dict[str, npt.NDArray[Any]], row: int, truth: GroundTruth
) -> ImageDetections:
    count = int(answer["num_detections"][row])
    y0x0y1x1 = answer["detection_boxes"][row, :count].astype(np.float64)
    scores = answer["detection_scores"][row, :count].astype(np.float64)
    if not (np.isfinite(y0x0y1x1).all() and np.isfinite(scores).all()):
        raise KfdetError(
            f"The model's answer to frame {truth.frame} of {truth.video} is not finite: "
            "its weights are broken. Train again with a lower learning rate."
        )
    x, y, _, _ = truth.window
    boxes = y0x0y1x1[:, [1, 0, 3, 2]] * np.tile(truth.size, 2) + np.array([x, y, x, y])
    classes = answer["detection_classes"][row, :count].astype(np.int64)
    order = np.argsort(-scores, kind="stable")
    return ImageDetections(
        truth.source_id, truth.video, truth.frame, boxes[order], scores[order], classes[order]
    )


def _measure_speed(detector: Detector, images: list[bytes], model_seconds: float) -> Speed:
    tf = _tensorflow()
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return Speed(
        ms_per_image_batch_1=_time_batches(detector, images, 1),
        ms_per_image_batch_8=_time_batches(detector, images, BATCH_SIZE),
        model_seconds=model_seconds,
        cpu=_cpu_name(),
        cores=count_cores(),
        gpus=tuple(gpus),
    )


def _time_batches(detector: Detector, images: list[bytes], size: int) -> float:
    """Median milliseconds per image of batches of `size`; the first call only warms up."""
    source = itertools.cycle(images)
    seconds: list[float] = []
    deadline = time.perf_counter() + _SPEED_SECONDS
    for call in range(1 + _SPEED_CALLS[size]):
        batch = list(itertools.islice(source, size))
        started = time.perf_counter()
        detector(batch)
        ended = time.perf_counter()
        if call > 0:
            seconds.append(ended - started)
            if ended > deadline:
                break
    return statistics.median(seconds) * 1000 / size


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()
