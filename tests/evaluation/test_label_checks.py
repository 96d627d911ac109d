from __future__ import annotations

import pytest

from kfdet.boxes.neighbours import NO_KEY
from kfdet.evaluation.label_checks import check_labels, from_key
from kfdet.evaluation.measurement import measure

GUESSED = (300, 100, 340, 200)
HULL = (250, 100, 400, 200)


def frame(hand, number, keys=(720, 730), measured=False):
    return hand.truth(
        number, [GUESSED], drawn=[False], tracks=[7], keys=[keys], hulls=[HULL], measured=measured
    )


def beside(hand, by, score=0.9):
    return hand.found([(300 + by, 100, 340 + by, 200)], [score])


def test_nothing_to_check(hand):
    assert check_labels([], [], [], 0.5) == []
    assert measure([frame(hand, 722)], [hand.found()], ["cat"], {}).labels_to_check == []


def test_the_worst_frame_of_each_stretch(hand):
    truths = [frame(hand, n) for n in (721, 722, 723, 724)]
    truths.append(frame(hand, 735, keys=(730, 740)))
    found = [beside(hand, by) for by in (5, 30, 35, 20, 25)]
    checks = measure(truths, found, ["cat"], {}).labels_to_check
    assert [(c.frame, c.track, c.label) for c in checks] == [(723, 7, "cat"), (735, 7, "cat")]
    assert checks[0].place == "3 frames from key 720"
    assert checks[0].iou == pytest.approx(5 / 75)
    assert set(checks[0].describe()) >= {"video", "frame", "track", "place", "iou"}


def test_drawn_boxes_are_right(hand):
    truth = hand.truth(722, [GUESSED])
    assert measure([truth], [beside(hand, 30)], ["cat"], {}).labels_to_check == []


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ((720, 730), "2 frames from key 720"),
        ((700, 723), "1 frame from key 723"),
        ((720, NO_KEY), "2 frames from key 720"),
        ((NO_KEY, NO_KEY), "no key frame"),
    ],
)
def test_how_far_from_a_key(hand, keys, text):
    assert from_key(frame(hand, 722, keys), 0) == text
