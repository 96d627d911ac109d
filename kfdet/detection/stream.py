"""Many pictures through one detector: read, detected and handed on side by side, in their order.

    sources ── readers ──> waiting frames ── workers ──> answers in order ──> whoever asks
               (threads)   (few, bounded)   (threads)    (few, bounded)

Files wait for the model, so that no frame is lost. A live source does not wait: its newest frame
takes the place of one that still waits for the model, which is counted as dropped.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Protocol, Self

import numpy as np

from kfdet import events
from kfdet.detection.detections import Detections
from kfdet.detection.endpoint import UnreachableError
from kfdet.detection.frame import Frame, Source
from kfdet.detection.pictures import Picture
from kfdet.errors import InputError
from kfdet.parameters import StreamSettings, split_list

_AHEAD = 8
"""Frames of files that wait for the model, beside those of the next two calls."""
_RETRY_SECONDS = 0.5
_END_SECONDS = 1.0
"""How long `Stream.close` waits for a model, camera or server that is at work."""
PATIENCE_SECONDS = 300.0
"""How long an endpoint or a stream that was there before is waited for."""


@dataclass(frozen=True, slots=True)
class FrameDetections:
    """What a detector found on one frame of a source.

    Args:
        source: Name of the source: a file's path, a stream's address, "camera 0".
        frame: 0-based frame of the source; 0 for a picture.
        seconds: Time since the source's first frame.
        width: Displayed width of the source in pixels.
        height: Displayed height of the source in pixels.
        detections: The objects, with boxes in pixels of the source.
    """

    source: str
    frame: int
    seconds: float
    width: int
    height: int
    detections: Detections


class StreamEnd(Exception):  # noqa: N818 it is no error
    """Raised by a sink whose user wants no more frames."""


class Sink(Protocol):
    """A place that detections go to."""

    @property
    def pictures(self) -> bool:
        """Whether `write` needs the pictures."""

    def write(self, picture: Picture | None, found: FrameDetections) -> None:
        """Take the next frame, in the order of its source.

        Args:
            picture: The frame with its boxes drawn on it; None where no sink needs it.
            found: What is on it.

        Raises:
            InputError: It cannot be written; what was begun is removed.
            StreamEnd: No more frames are wanted.
        """

    def close(self) -> None:
        """Finish what was begun: files get their names. Called once, also after an interruption."""


@dataclass(slots=True)
class Meter:
    """What a stream has done so far.

    Args:
        received: Frames that were read and chosen.
        shown: Frames that came out of the stream with their detections.
        dropped: Frames of live sources that a newer one took the place of.
        labels: Number of detections by label.
        failed: Files that could not be read, with the reason.
        started: When the first frame was read; on the clock of time.monotonic(), as `ended`.
        ended: When the last one came out.
    """

    received: int = 0
    shown: int = 0
    dropped: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    failed: list[InputError] = field(default_factory=list)
    started: float = 0.0
    ended: float = 0.0
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=30))

    def show(self, frame: Frame, found: FrameDetections) -> None:
        """Count a frame that has come to its end."""
        self.labels.update(found.detections.labels)
        self.ended = time.monotonic()
        self.shown += 1
        self._latencies.append(self.ended - frame.captured)
        self._recent.append(self.ended)

    @property
    def seconds(self) -> float:
        """From the first frame read to the last one that came out."""
        return max(0.0, self.ended - self.started) if self.shown else 0.0

    @property
    def rate(self) -> float:
        """Frames per second over all."""
        return self.shown / self.seconds if self.seconds else 0.0

    def latency(self, share: float) -> float:
        """Seconds from reading to the end that `share` of the last frames took at most."""
        return float(np.quantile(np.array(self._latencies), share)) if self._latencies else 0.0

    def note(self) -> str:
        """The last second or so in a few words."""
        span = self._recent[-1] - self._recent[0] if len(self._recent) > 1 else 0.0
        rate = f"{(len(self._recent) - 1) / span:.1f} frames/s" if span else ""
        latency = f"{1000 * self._latencies[-1]:.0f} ms" if self._latencies else ""
        dropped = f"{self.dropped} dropped" if self.dropped else ""
        return ", ".join(text for text in (rate, latency, dropped) if text)


DetectBatch = Callable[[Sequence[bytes]], list[Detections]]


class Stream:
    """The detections on the frames of some sources, in the order of each; iterate over it once.

    Close it, or use it in a `with` block: its threads end then.

    Args:
        sources: Where frames come from: files one after the other, live ones all at a time.
        detect: Detects on encoded pictures; `in_flight` threads call it.
        settings: Which frames, and which detections.
        in_flight: Calls of `detect` that may be under way at a time.
        batch: Frames of files in one call.
        on_failure: Called where a file cannot be read, which is then left out; None: raise it.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        detect: DetectBatch,
        settings: StreamSettings,
        *,
        in_flight: int = 1,
        batch: int = 1,
        on_failure: Callable[[InputError], None] | None = None,
    ) -> None:
        self.meter = Meter()
        self.total = len(sources)
        self._detect, self._settings, self._batch = detect, settings, batch
        self._labels = frozenset(split_list(settings.labels))
        self._on_failure, self._in_flight = on_failure, in_flight
        self._answered = self._away = False
        self._lock, self._turn = threading.Lock(), threading.Lock()
        files = [source for source in sources if source.kind != "live"]
        self._live = len(files) < len(sources)
        groups = [[source] for source in sources if source.kind == "live"]
        groups += [files] if files else []
        self._waiting = _Waiting(len(groups), 2 * batch + _AHEAD, self.meter)
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._room = threading.Semaphore(in_flight + 1)
        self._threads = [_start(self._read, group) for group in groups]
        self._threads += [_start(self._work) for _ in range(in_flight)]

    def __iter__(self) -> Iterator[tuple[Frame, FrameDetections]]:
        """Each frame with what is on it.

        Raises:
            InputError: A file cannot be read, and `on_failure` is None.
            EndpointError: The endpoint does not answer as a detector does, or is gone for good.
        """
        try:
            while (job := self._jobs.get()).items:
                for item in job.result():
                    if isinstance(item, InputError):
                        self.meter.failed.append(item)
                        if self._on_failure is None:
                            raise item
                        self._on_failure(item)
                    else:
                        yield item
                self._room.release()
        finally:
            self.close()

    def close(self) -> None:
        """End the threads; frames that they are at do not come out any more."""
        self._waiting.close()
        self._room.release(self._in_flight)
        # A process must not end while a model is at work in it: its threads would crash.
        end = time.monotonic() + _END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        if self._live:
            self.meter.dropped = self.meter.received - self.meter.shown
        else:
            self.meter.received = self.meter.shown

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, sources: Sequence[Source]) -> None:
        """Put the frames of some sources into the queue, one source after the other."""
        for source in sources:
            try:
                count, frames = source.open(self._settings)
                self.total = self.total - 1 + count if count else 0
                for frame in frames:
                    if not self._waiting.put(frame):
                        return
            except Exception as error:  # whoever iterates gets it
                self._waiting.put(error)
        self._waiting.end()

    def _work(self) -> None:
        """Take frames from the queue, and answer them."""
        while True:
            # One worker after the other, so that answers keep the order of the frames.
            with self._turn:
                self._room.acquire()
                job = _Job(self._waiting.take(self._batch))
                self._jobs.put(job)
            if not job.items:
                return
            try:
                job.finish(self._answers(job.items))
            except Exception as error:  # whoever iterates gets it
                job.finish(error)

    def _answers(self, items: Sequence[Frame | Exception]) -> list[Answered]:
        """What is on each frame, or why that is not known."""
        frames = []
        for item in items:
            if isinstance(item, InputError):
                return [item]
            if isinstance(item, Exception):
                raise item
            frames.append(item)
        try:
            found = self._ask([frame.data for frame in frames])
        except InputError as error:
            if len(frames) == 1:
                self.meter.received -= 1
                return [InputError(error.problem, file=frames[0].source, hint=error.hint)]
            return [answer for frame in frames for answer in self._answers([frame])]
        return [(frame, self._kept(frame, each)) for frame, each in zip(frames, found, strict=True)]

    def _ask(self, pictures: Sequence[bytes]) -> list[Detections]:
        """The detections; an endpoint that has answered before is waited for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                found = self._detect(pictures)
            except UnreachableError as error:
                with self._lock:
                    if not self._answered or self._waiting.closed or time.monotonic() > deadline:
                        raise
                    warned, self._away = self._away, True
                if not warned:
                    events.warn(f"{error} Waiting for it.")
                time.sleep(_RETRY_SECONDS)
            else:
                with self._lock:
                    self._answered, self._away = True, False
                return found

    def _kept(self, frame: Frame, found: Detections) -> FrameDetections:
        """What is wanted of the detections, in pixels of the source."""
        size = (frame.width, frame.height)
        if found.size != size:
            scale = np.tile(np.array(size) / np.array(found.size), 2)
            found = replace(found, boxes=found.boxes * scale, size=size)
        if self._labels:
            found = found.where([label in self._labels for label in found.labels])
        if self._settings.min_box_area:
            sides = found.boxes[:, 2:] - found.boxes[:, :2]
            found = found.where(sides.prod(axis=1) >= self._settings.min_box_area)
        return FrameDetections(frame.source, frame.number, frame.seconds, *size, found)


Answered = tuple[Frame, FrameDetections] | InputError


def _start(target: Callable[..., None], *arguments: object) -> threading.Thread:
    # Daemons: a camera or server that does not answer must not keep the process alive.
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


class _Job:
    """Some frames, and what becomes of them; without frames, the end of the stream."""

    def __init__(self, items: Sequence[Frame | Exception]) -> None:
        self.items = items
        self._done = threading.Event()
        self._result: list[Answered] | Exception = []

    def finish(self, result: list[Answered] | Exception) -> None:
        """Hand the answers, or an error, to whoever waits for them."""
        self._result = result
        self._done.set()

    def result(self) -> list[Answered]:
        """The answers, once they are there."""
        self._done.wait()
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


class _Waiting:
    """Frames that wait for the model, and errors in their place: bounded.

    Args:
        readers: How many threads put frames.
        most: Frames of files that wait at most; of a live source it is one.
        meter: Counts what is received and dropped.
    """

    def __init__(self, readers: int, most: int, meter: Meter) -> None:
        self.closed = False
        self._readers, self._most, self._meter = readers, most, meter
        self._items: deque[Frame | Exception] = deque()
        self._changed = threading.Condition()

    def put(self, item: Frame | Exception) -> bool:
        """Add an item, when there is room; False where nobody wants it any more."""
        with self._changed:
            live = isinstance(item, Frame) and item.live
            while not live and len(self._items) >= self._most and not self.closed:
                self._changed.wait()
            if self.closed:
                return False
            if isinstance(item, Frame):
                self._meter.started = self._meter.started or time.monotonic()
                self._meter.received += 1
            place = self._older(item) if isinstance(item, Frame) and live else None
            if place is None:
                self._items.append(item)
            else:
                self._items[place] = item
                self._meter.dropped += 1
            self._changed.notify_all()
        return True

    def _older(self, frame: Frame) -> int | None:
        """Where an older frame of the same source waits."""
        for place, item in enumerate(self._items):
            if isinstance(item, Frame) and item.source == frame.source:
                return place
        return None

    def take(self, most: int) -> list[Frame | Exception]:
        """The next items, once they are there: `most` frames of files, or one of any other kind.

        Fewer frames come only before an error and at the end, nothing after it.
        """
        with self._changed:
            while self._readers and not self.closed and self._ready(most) < most:
                if len(self._items) > self._ready(most):
                    break
                self._changed.wait()
            if self.closed or not self._items:
                return []
            count = max(1, self._ready(most))
            taken = [self._items.popleft() for _ in range(count)]
            self._changed.notify_all()
            return taken

    def _ready(self, most: int) -> int:
        """How many frames of files come first, up to `most`."""
        count = 0
        for item in self._items:
            if count == most or not isinstance(item, Frame) or item.live:
                break
            count += 1
        return count

    def end(self) -> None:
        """One of the readers has come to its end."""
        with self._changed:
            self._readers -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any longer; what waits is left."""
        with self._changed:
            if self.closed:
                return
            self.closed = True
            self._changed.notify_all()
