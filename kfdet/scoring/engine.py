"""Scores files one after another, while the next ones are copied and the last ones are written."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from kfdet.detection import Detections, Detector
from kfdet.detection.pictures import encode
from kfdet.detection.stream import FrameDetections
from kfdet.errors import InputError, KfdetError, Problem
from kfdet.events import Progress, with_aliases
from kfdet.files import read_json_as
from kfdet.scoring.places import Place, named_as
from kfdet.scoring.plan import Failure, Item
from kfdet.scoring.results import to_bytes
from kfdet.storage.clients import CONNECTIONS
from kfdet.video.extraction import extract
from kfdet.video.packets import scan

T = TypeVar("T")

_BATCH = 8
"""Pictures that go through the model together."""
_BATCH_PIXELS = 32_000_000
_UNIT = 32
"""Pictures that are copied together."""
_PREVIEW_SIDE = 640


@dataclass(frozen=True, slots=True)
class _Shot:
    """A picture to be scored: a file, or a frame of one.

    Args:
        item: The file.
        frame: 0-based frame.
        seconds: Time since the first frame.
        data: The encoded picture.
        pixels: How many it has.
    """

    item: Item
    frame: int
    seconds: float
    data: bytes
    pixels: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the scoring of some files came to.

    Args:
        scored: Number of files that were scored now.
        there: Number of files whose results were there already.
        frames: Frames that were scored now.
        failed: The files that could not be scored.
        seconds: How long it took.
        waited: Seconds of these for copies from or to a bucket.
    """

    scored: int
    there: int
    frames: int
    failed: tuple[Failure, ...]
    seconds: float
    waited: float


def read_outcome(path: Path) -> Outcome:
    """An outcome that was written as JSON.

    Raises:
        InputError: The file is damaged.
    """
    return read_json_as(path, Outcome, hint="Score again: what is there is kept.")


def score_items(
    detector: Detector, items: Sequence[Item], source: Place, target: Place, every: int
) -> Outcome:
    """Score those files whose results are not there yet, and write each result when it is known.

    A file that cannot be read is no error: the outcome names it.

    Args:
        detector: The detector.
        items: The files.
        source: Where they are.
        target: Where the results go.
        every: Which frames of videos are scored: 1 is every one.

    Raises:
        InputError: The results cannot be written.
        KfdetError: The store stopped answering, or the model answers with broken numbers.
    """
    started = time.monotonic()
    there = target.stamps()
    pending = [item for item in items if item.result not in there]
    run = _Run(detector, source, target, every, len(pending))
    with tempfile.TemporaryDirectory(prefix="kfdet-score-") as scratch:
        run.score(list(_units(pending)), Path(scratch))
    return Outcome(
        scored=len(pending) - len(run.failed),
        there=len(items) - len(pending),
        frames=run.frames,
        failed=tuple(run.failed),
        seconds=round(time.monotonic() - started, 3),
        waited=round(run.waited, 3),
    )


def _units(items: Iterable[Item]) -> Iterator[list[Item]]:
    """What is copied together: one video, or some pictures."""
    pictures: list[Item] = []
    for item in items:
        if item.is_video:
            yield [item]
            continue
        pictures.append(item)
        if len(pictures) == _UNIT:
            yield pictures
            pictures = []
    if pictures:
        yield pictures


class _Run:
    """Goes through files in units: copies one ahead, writes one behind."""

    def __init__(
        self, detector: Detector, source: Place, target: Place, every: int, files: int
    ) -> None:
        self.failed: list[Failure] = []
        self.frames = 0
        self.waited = 0.0
        self._detector, self._source, self._target = detector, source, target
        self._every = every
        self._progress = Progress("score", files, "files")

    def score(self, units: Sequence[Sequence[Item]], scratch: Path) -> None:
        """Score all units; `scratch` is for copies of them."""
        copier, writers = ThreadPoolExecutor(1, "copy"), ThreadPoolExecutor(CONNECTIONS, "write")

        def copy(number: int) -> Future[Path]:
            sizes = {item.name: item.size for item in units[number]}
            return copier.submit(self._source.copy, sizes, scratch / str(number))

        try:
            coming = copy(0) if units else None
            writing: list[Future[None]] = []
            for number, unit in enumerate(units):
                assert coming is not None
                (folder,) = self._wait([coming])
                coming = copy(number + 1) if number + 1 < len(units) else None
                with named_as(folder, self._source):
                    found = self._score_unit(folder, unit)
                self._wait(writing)
                writing = [writers.submit(self._write, each) for each in found]
                shutil.rmtree(scratch / str(number), ignore_errors=True)
                self._progress.advance(len(unit), f"{self.frames} frames")
            self._wait(writing)
        finally:
            for pool in (copier, writers):
                pool.shutdown(cancel_futures=True)

    def _wait(self, futures: Iterable[Future[T]]) -> list[T]:
        started = time.monotonic()
        results = [future.result() for future in futures]
        self.waited += time.monotonic() - started
        return results

    def _score_unit(self, folder: Path, unit: Sequence[Item]) -> list[_Result]:
        """The results of those files that can be read."""
        results = {item.name: _Result(item) for item in unit}
        for batch in _batches(self._shots(folder, unit)):
            for shot, detections in self._detect(folder, batch):
                results[shot.item.name].add(shot, detections)
                self.frames += 1
                self._progress.advance(0, f"{self.frames} frames")
        failed = {failure.name for failure in self.failed}
        return [result for name, result in results.items() if name not in failed]

    def _shots(self, folder: Path, unit: Sequence[Item]) -> Iterator[_Shot]:
        """The pictures of the files, as far as they can be read."""
        for item in unit:
            path = folder / item.name
            try:
                if item.is_video:
                    table = scan(path)
                    for each in extract(path, range(0, table.frames, self._every), table=table):
                        pixels = each.width * each.height
                        yield _Shot(item, each.frame, each.seconds, each.jpeg, pixels)
                else:
                    picture = encode(path)
                    width, height = picture.size
                    yield _Shot(item, 0, 0.0, picture.data, width * height)
            except InputError as error:
                self._fail(item, error, path)

    def _detect(self, folder: Path, batch: Sequence[_Shot]) -> list[tuple[_Shot, Detections]]:
        """The detections on those pictures of a batch that the model can decode."""
        try:
            found = self._detector.detect_batch([shot.data for shot in batch])
        except InputError as error:
            if len(batch) > 1:
                return [pair for shot in batch for pair in self._detect(folder, [shot])]
            self._fail(batch[0].item, error, folder / batch[0].item.name)
            return []
        for shot, detections in zip(batch, found, strict=True):
            if not (np.isfinite(detections.boxes).all() and np.isfinite(detections.scores).all()):
                raise KfdetError(
                    f"The model's answer to frame {shot.frame} of {shot.item.name} is not finite: "
                    "its weights are broken. Train again with a lower learning rate."
                )
        return list(zip(batch, found, strict=True))

    def _fail(self, item: Item, error: InputError, path: Path) -> None:
        problem = Problem(
            "error",
            error.problem if error.problem.endswith(".") else f"{error.problem}.",
            error.file or str(path),
            error.line,
            error.frame,
            error.hint,
        )
        self.failed.append(Failure(item.name, str(with_aliases(problem))))

    def _write(self, result: _Result) -> None:
        """Write a result; it comes last, because it is what says that the file is scored."""
        if result.preview is not None:
            self._target.write(result.item.preview_name, _draw(result.preview))
        self._target.write(result.item.result, to_bytes(result.frames))


class _Result:
    """The frames of one file, and of the one with most detections the picture, too."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.frames: list[FrameDetections] = []
        self.preview: Detections | None = None

    def add(self, shot: _Shot, found: Detections) -> None:
        """Add the next frame."""
        if self.item.preview and (self.preview is None or len(found) > len(self.preview)):
            self.preview = found
        width, height = found.size
        bare = replace(found, picture=None)  # all frames are kept in memory
        self.frames.append(
            FrameDetections(shot.item.name, shot.frame, shot.seconds, width, height, bare)
        )


def _batches(shots: Iterable[_Shot]) -> Iterator[list[_Shot]]:
    """What goes through the model together: a few pictures, fewer large ones."""
    batch: list[_Shot] = []
    for shot in shots:
        if batch and (
            len(batch) == _BATCH or sum(each.pixels for each in [*batch, shot]) > _BATCH_PIXELS
        ):
            yield batch
            batch = []
        batch.append(shot)
    if batch:
        yield batch


def _draw(found: Detections) -> bytes:
    """The picture with its detections as a small JPEG."""
    image = found.draw()
    image.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE), Image.Resampling.LANCZOS)
    file = BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
