from __future__ import annotations

import numpy as np
import pytest

from kfdet.boxes.tables import UNTRACKED
from kfdet.detection import Detections
from kfdet.detection.counting import Line, ObjectCounter, Zone
from kfdet.detection.stream import FrameDetections
from kfdet.errors import InputError

RIGHTWARDS = Line.parse("100,50,200,50")
SQUARE = Zone.parse("100,100,200,100,200,200,100,200")


def frame(number: int, *objects: tuple[int, str, float, float], size: float = 20.0):
    """Objects as (track, label, x and y of the centre)."""
    half = size / 2
    boxes = [[x - half, y - half, x + half, y + half] for _, _, x, y in objects]
    found = Detections(
        boxes=np.array(boxes).reshape(-1, 4),
        labels=tuple(label for _, label, _, _ in objects),
        scores=np.full(len(objects), 0.9),
        size=(640, 360),
        tracks=np.array([track for track, *_ in objects], np.int64),
    )
    return FrameDetections("a.mp4", number, number / 10, 640, 360, found)


def walk(border: Line | Zone, *places: tuple[float, float]) -> tuple[int, int]:
    """How often a walker enters and leaves."""
    counter = ObjectCounter([border])
    for number, (x, y) in enumerate(places):
        counter.see(frame(number, (1, "person", x, y)))
    (crossings,) = counter.crossings
    return crossings.entered["person"], crossings.left["person"]


def test_objects_are_counted_once_and_by_label():
    counter = ObjectCounter()
    for number in range(6):
        seen = [(1, "mug", 50.0, 50.0), (2, "robot", 90.0, 50.0), (UNTRACKED, "mug", 9.0, 9.0)]
        counter.see(frame(number, *seen, *[(3, "mug", 150.0, 50.0)] * (number > 2)))
    assert counter.objects == {"mug": 2, "robot": 1}


def test_what_is_found_on_two_frames_only_is_no_object():
    counter = ObjectCounter()
    for number in range(2):
        counter.see(frame(number, (1, "mug", 50.0, 50.0)))
    assert not counter.objects


def test_nothing_found():
    counter = ObjectCounter([RIGHTWARDS])
    counter.see(frame(0))
    assert not counter.objects
    assert not counter.crossings[0].entered


@pytest.mark.parametrize(
    ("border", "places", "crossings"),
    [
        (RIGHTWARDS, [(150, 20), (150, 80)], (1, 0)),  # down, to the right of who looks along it
        (RIGHTWARDS, [(150, 80), (150, 20)], (0, 1)),
        (RIGHTWARDS, [(150, 20), (150, 80), (150, 20)], (1, 1)),
        (RIGHTWARDS, [(50, 20), (50, 80)], (0, 0)),  # past the end of the line
        (RIGHTWARDS, [(150, 20), (150, 51), (150, 49), (150, 51), (150, 20)], (0, 0)),  # trembles
        (RIGHTWARDS, [(150, 49), (150, 80)], (0, 0)),  # first seen on the line
        (Line.parse("200,50,100,50"), [(150, 20), (150, 80)], (0, 1)),
        (SQUARE, [(50, 150), (150, 150), (250, 150)], (1, 1)),
        (SQUARE, [(150, 150), (160, 160)], (0, 0)),  # was inside from the start
        (SQUARE, [(150, 150), (50, 50)], (0, 1)),
        (SQUARE, [(50, 150), (101, 150), (50, 150)], (0, 0)),
    ],
)
def test_crossings(border, places, crossings):
    assert walk(border, *places) == crossings


def test_a_zone_may_be_hollow():
    hollow = Zone.parse("0,0,90,0,90,90,60,90,60,30,30,30,30,90,0,90")
    assert hollow.beyond((15, 60)) == pytest.approx(15)
    assert hollow.beyond((45, 60)) == pytest.approx(-15)
    assert hollow.beyond((45, 15)) == pytest.approx(15)
    assert hollow.beyond((200, 15)) == pytest.approx(-110)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,x,4", "1,2,3,4,5,6", "5,5,5,5", "1,2,3,nan"])
def test_what_is_no_line(text):
    with pytest.raises(InputError, match=r"Give x"):
        Line.parse(text)


@pytest.mark.parametrize("text", ["1,2,3,4", "1,1,2,2,1,1", "1,2,3,4,5"])
def test_what_is_no_zone(text):
    with pytest.raises(InputError, match=r"Give x"):
        Zone.parse(text)


def test_untracked_detections_cannot_be_counted():
    plain = frame(0)
    untracked = Detections(np.empty((0, 4)), (), np.empty(0), (640, 360))
    found = FrameDetections(plain.source, 0, 0.0, 640, 360, untracked)
    with pytest.raises(ValueError, match="track them first"):
        ObjectCounter().see(found)


def test_counts_as_a_script_reads_them():
    counter = ObjectCounter([RIGHTWARDS, SQUARE])
    for number, y in enumerate((20, 80, 150)):
        counter.see(frame(number, (4, "mug", 150, y)))
    assert counter.to_dict() == {
        "objects": {"mug": 1},
        "lines": [{"points": [[100, 50], [200, 50]], "entered": {"mug": 1}, "left": {}}],
        "zones": [
            {
                "points": [[100, 100], [200, 100], [200, 200], [100, 200]],
                "entered": {"mug": 1},
                "left": {},
            }
        ],
    }
