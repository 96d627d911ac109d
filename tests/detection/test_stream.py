"""Frames through a detector that is a function: order, drops, failures, outages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from support.toy_server import picture

from kfdet.detection import stream as module
from kfdet.detection.backend import Answer
from kfdet.detection.detections import Detections
from kfdet.detection.detector import Detector
from kfdet.detection.endpoint import EndpointError, UnreachableError
from kfdet.detection.frame import Frame, Kind
from kfdet.detection.stream import FrameDetections, Stream
from kfdet.errors import InputError
from kfdet.events import listening
from kfdet.parameters import StreamSettings

SIZE = (40, 20)
OUTPUT = PurePosixPath("numbers")
PICTURE = picture(40, 20, (9, 9, 9))


def found(data: bytes) -> Detections:
    """A large "mug" and a small "robot" in a picture of half the size of its source."""
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [5.0, 5.0, 6.0, 7.0]])
    scores = np.array([0.9, 0.5])
    return Detections(boxes, ("mug", "robot"), scores, (SIZE[0] // 2, SIZE[1] // 2), picture=data)


def detect(pictures: Sequence[bytes]) -> list[Detections]:
    return [found(data) for data in pictures]


@dataclass(frozen=True)
class Numbers:
    """A source of so many frames; the data of each is its number."""

    name: str = "numbers"
    frames: int = 10
    kind: Kind = "video"
    output: PurePosixPath = OUTPUT
    ready: Callable[[int], None] = lambda _: None

    def open(self, _: StreamSettings) -> tuple[int, Iterator[Frame]]:
        return self.frames, map(self.frame, range(self.frames))

    def frame(self, number: int) -> Frame:
        self.ready(number)
        live = self.kind == "live"
        return Frame(self.name, number, number / 10, b"%d" % number, *SIZE, 0.0, live)


class Broken(Numbers):
    def open(self, _: StreamSettings) -> tuple[int, Iterator[Frame]]:
        raise InputError("is no picture.", file=self.name)


def shown(stream: Stream) -> list[FrameDetections]:
    result = []
    for frame, each in stream:
        stream.meter.show(frame, each)
        result.append(each)
    return result


@pytest.mark.parametrize(("in_flight", "batch"), [(1, 1), (1, 4), (8, 1), (3, 4)])
@pytest.mark.parametrize("frames", [0, 1, 5, 50])
def test_files_lose_no_frame_and_keep_their_order(in_flight: int, batch: int, frames: int) -> None:
    sources = [Numbers("a", frames), Numbers("b", frames)]
    stream = Stream(sources, detect, StreamSettings(), in_flight=in_flight, batch=batch)
    results = shown(stream)
    expected = [(name, number) for name in "ab" for number in range(frames)]
    assert [(each.source, each.frame) for each in results] == expected
    assert [each.detections.picture for each in results] == [b"%d" % n for _, n in expected]
    assert (stream.meter.shown, stream.meter.dropped) == (2 * frames, 0)
    assert stream.meter.received == 2 * frames


def test_an_answer_that_comes_early_waits_for_its_turn() -> None:
    second = threading.Event()

    def slow_first(pictures: Sequence[bytes]) -> list[Detections]:
        if pictures == [b"0"]:
            assert second.wait(60)
        else:
            second.set()
        return detect(pictures)

    stream = Stream([Numbers()], slow_first, StreamSettings(), in_flight=2)
    assert [each.frame for each in shown(stream)] == list(range(10))


def test_of_a_live_source_the_newest_frame_is_kept_and_the_others_are_counted() -> None:
    all_received, first_taken = threading.Event(), threading.Event()

    def busy(pictures: Sequence[bytes]) -> list[Detections]:
        first_taken.set()
        assert all_received.wait(60)
        return detect(pictures)

    def ready(number: int) -> None:
        if number == 1:
            assert first_taken.wait(60)
        if number == 99:
            # the frame before it has been put by now
            all_received.set()

    stream = Stream([Numbers(frames=100, kind="live", ready=ready)], busy, StreamSettings())
    numbers = [each.frame for each in shown(stream)]
    assert numbers[0] == 0
    assert numbers[-1] == 99
    assert len(numbers) <= 4
    assert stream.meter.received == 100
    assert stream.meter.shown + stream.meter.dropped == 100


def test_live_sources_are_read_at_the_same_time() -> None:
    both = threading.Barrier(2)

    def ready(number: int) -> None:
        if number == 0:
            both.wait(60)

    sources = [Numbers(name, 3, "live", ready=ready) for name in "ab"]
    assert {each.source for each in shown(Stream(sources, detect, StreamSettings()))} == {"a", "b"}


def test_boxes_are_in_pixels_of_the_source() -> None:
    (each,) = shown(Stream([Numbers(frames=1)], detect, StreamSettings()))
    assert (each.width, each.height) == each.detections.size == SIZE
    np.testing.assert_array_equal(each.detections.boxes, [[0, 0, 20, 20], [10, 10, 12, 14]])


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({"labels": "robot"}, ("robot",)),
        ({"labels": "robot,mug"}, ("mug", "robot")),
        ({"min_box_area": 9}, ("mug",)),  # in pixels of the source; the robot has 8
        ({"min_box_area": 8}, ("mug", "robot")),
    ],
)
def test_only_what_is_wanted_comes_out(settings: dict[str, Any], labels: tuple[str, ...]) -> None:
    (each,) = shown(Stream([Numbers(frames=1)], detect, StreamSettings(**settings)))
    assert each.detections.labels == labels


def test_a_file_that_cannot_be_read_is_left_out_where_somebody_hears_of_it() -> None:
    failures: list[InputError] = []
    sources = [Numbers("a", 2), Broken("b"), Numbers("c", 2)]
    stream = Stream(sources, detect, StreamSettings(), batch=4, on_failure=failures.append)
    assert [each.source for each in shown(stream)] == ["a", "a", "c", "c"]
    assert [error.file for error in failures] == ["b"]
    assert stream.meter.failed == failures


def test_a_file_that_cannot_be_read_is_an_error_where_nobody_does() -> None:
    with pytest.raises(InputError, match="b: is no picture"):
        shown(Stream([Numbers("a", 2), Broken("b")], detect, StreamSettings()))


def test_a_picture_that_the_model_cannot_decode_is_named_and_spoils_no_other() -> None:
    def strict(pictures: Sequence[bytes]) -> list[Detections]:
        if b"2" in pictures:
            raise InputError("a picture cannot be decoded.")
        return detect(pictures)

    failures: list[InputError] = []
    stream = Stream(
        [Numbers("a", 5)], strict, StreamSettings(), batch=4, on_failure=failures.append
    )
    assert [each.frame for each in shown(stream)] == [0, 1, 3, 4]
    assert [error.file for error in failures] == ["a"]
    assert stream.meter.received == 4


def test_another_error_of_the_detector_is_raised() -> None:
    def wrong(_: Sequence[bytes]) -> list[Detections]:
        raise EndpointError("something else answers")

    with pytest.raises(EndpointError, match="something else"):
        shown(Stream([Numbers()], wrong, StreamSettings(), in_flight=4))


def test_an_endpoint_that_goes_away_is_waited_for_with_one_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    calls: list[bytes] = []

    def flaky(pictures: Sequence[bytes]) -> list[Detections]:
        calls.extend(pictures)
        if 3 < len(calls) < 9:
            raise UnreachableError("http://a cannot be reached.")
        return detect(pictures)

    events: list[dict[str, Any]] = []
    with listening(events.append):
        results = shown(Stream([Numbers()], flaky, StreamSettings()))
    assert [each.frame for each in results] == list(range(10))
    warnings = [event["message"] for event in events if event["event"] == "warning"]
    assert warnings == ["http://a cannot be reached. Waiting for it."]


def test_an_endpoint_that_was_never_there_is_not_waited_for() -> None:
    def gone(_: Sequence[bytes]) -> list[Detections]:
        raise UnreachableError("http://a cannot be reached.")

    with pytest.raises(UnreachableError):
        shown(Stream([Numbers()], gone, StreamSettings()))


def test_closing_ends_the_threads() -> None:
    before = threading.active_count()
    with Stream([Numbers(frames=1000)], detect, StreamSettings(), in_flight=4) as stream:
        next(iter(stream))
    for thread in threading.enumerate()[before:]:
        thread.join(60)
    assert threading.active_count() == before
    assert stream.meter.received == stream.meter.shown == 0


@pytest.mark.parametrize(("kind", "first"), [("live", "model"), ("video", "source")])
def test_a_model_is_warm_before_a_live_source_opens(kind: Kind, first: str) -> None:
    events = []

    class Model:
        place, labels, input_size, thresholds, in_flight = "here", ("mug",), None, None, 1

        def predict(self, pictures: Sequence[bytes]) -> Answer:
            events.append("model")
            nothing = {
                "detection_boxes": np.empty((0, 4)),
                "detection_scores": np.empty(0),
                "detection_class_names": [],
                "num_detections": 0,
            }
            return Answer([nothing] * len(pictures), None)

        def close(self) -> None:
            pass

    class Pictures(Numbers):
        def open(self, settings: StreamSettings) -> tuple[int, Iterator[Frame]]:
            events.append("source")
            return super().open(settings)

        def frame(self, number: int) -> Frame:
            return replace(super().frame(number), data=PICTURE)

    with Detector(Model()) as detector:
        shown(detector.open_stream([Pictures(kind=kind)], StreamSettings()))
    assert events[0] == first
    assert events.count("source") == 1
