from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.toy_server import picture

from kfdet.boxes.tables import UNTRACKED
from kfdet.detection import Detections
from kfdet.detection.drawing import palette
from kfdet.errors import InputError


def detections(*scores: float, **more: object) -> Detections:
    return Detections(
        boxes=np.array([[10.0 * i, 0, 10.0 * i + 8, 8] for i in range(len(scores))]).reshape(-1, 4),
        labels=tuple(f"label {i}" for i in range(len(scores))),
        scores=np.array(scores, float),
        size=(40, 20),
        **more,
    )


@pytest.mark.parametrize(
    ("scores", "kept"), [((), ()), ((0.4,), ()), ((0.9, 0.5, 0.4), ("label 0", "label 1"))]
)
def test_threshold(scores, kept):
    found = detections(*scores)
    sure = found.above(0.5)
    assert sure.labels == kept
    assert len(sure) == len(kept) == len(sure.boxes) == len(sure.scores)
    assert sure.boxes.shape[1] == 4
    assert len(found) == len(scores)


def test_tracks_stay_with_their_detections():
    found = detections(0.9, 0.5, 0.4, tracks=np.array([7, UNTRACKED, 3]))
    assert found.names() == ("label 0 #7", "label 1", "label 2 #3")
    sure = found.where([True, False, True])
    assert sure.tracks.tolist() == [7, 3]
    assert "label 2 #3 (20, 0, 28, 8)" in repr(sure)
    assert detections(0.9).names() == ("label 0",)


def test_a_track_has_the_colour_of_its_label():
    black = np.zeros((60, 80, 3), np.uint8)
    plain = Detections(np.array([[10.0, 10, 70, 50]]), ("mug",), np.array([0.9]), (80, 60))
    tracked = replace(plain, tracks=np.array([12]))
    edges = [np.asarray(found.draw(black))[30, 8:12].tolist() for found in (plain, tracked)]
    assert edges[0] == edges[1]


def test_a_threshold_for_each_label():
    found = detections(0.9, 0.5, 0.4, 0.1).above({"label 1": 0.6, "label 2": 0.3})
    assert found.labels == ("label 0", "label 2", "label 3")


def test_all_that_is_above_a_threshold_is_drawn():
    array = np.zeros((20, 40, 3), np.uint8)
    assert not np.asarray(detections(0.1, picture=array).draw()).any()
    assert np.asarray(detections(0.1, picture=array).above(0.05).draw()).any()


def test_drawing_leaves_the_array_as_it_is():
    array = np.zeros((20, 40, 3), np.uint8)
    drawn = detections(0.9, picture=array).draw()
    assert drawn.size == (40, 20)
    assert np.asarray(drawn).any()
    assert not array.any()


def test_drawing_on_encoded_bytes_with_a_threshold():
    found = detections(0.5, picture=picture(40, 20, (0, 0, 0)))
    assert np.asarray(found.draw()).any()
    assert not np.asarray(found.draw(threshold=0.6)).any()


def test_nothing_to_draw_on():
    with pytest.raises(InputError, match="no picture"):
        detections(0.9).draw()
    assert np.asarray(detections(0.9).draw(np.zeros((20, 40, 3), np.uint8))).any()


def test_importing_is_light():
    program = (
        "import sys, kfdet.detection\n"
        "print([n for n in ('tensorflow', 'cv2', 'PIL', 'grpc') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ended.stdout == b"[]\n"


def test_a_label_has_the_same_colour_on_every_picture() -> None:
    black = np.zeros((60, 80, 3), np.uint8)

    def color(label: str, vocabulary: tuple[str, ...]) -> tuple[int, ...]:
        found = Detections(
            np.array([[10.0, 10.0, 70.0, 50.0]]),
            (label,),
            np.ones(1),
            (80, 60),
            vocabulary=vocabulary,
        )
        pixels = np.asarray(found.draw(black))
        return tuple(pixels[50 - 1, 40])

    assert color("mug", ("ball", "mug")) == palette(("ball", "mug"))["mug"]
    assert color("mug", ("ball", "mug")) != color("mug", ("mug", "ball"))


def test_a_notebook_shows_the_best_ones():
    assert repr(detections()) == "0 detections on a picture of 40x20 pixels"
    first, one = repr(detections(1.0)).splitlines()
    assert (first, one) == (
        "1 detection on a picture of 40x20 pixels",
        "  100%  label 0 (0, 0, 8, 8)",
    )
    shown = repr(detections(*np.linspace(0.9, 0.1, 13), picture=b"x" * 1000)).splitlines()
    assert len(shown) == 12
    assert shown[-1] == "  ... and 3 more"
