from __future__ import annotations

import numpy as np
import pytest

from kfdet.boxes.neighbours import NO_KEY
from kfdet.evaluation.attribution import (
    LARGEST_MARGIN,
    MARGIN,
    NOTHING,
    attribute,
    regions,
    weigh,
)
from kfdet.evaluation.matching import Found, to_found

LABELS = ["cat", "dog"]
DRAWN = (100, 100, 140, 200)
UNDRAWN = (300, 100, 340, 200)
HULL = (280, 100, 360, 200)
FAR = (500, 300, 540, 400)


@pytest.fixture
def frame(hand):
    """A frame halfway between key frames 10 frames apart: one object drawn, one not."""
    return hand.truth(
        5, [DRAWN, UNDRAWN], drawn=[True, False], keys=[(5, 5), (0, 10)], hulls=[DRAWN, HULL]
    )


def found(hand, boxes, scores=(), classes=()) -> Found:
    return to_found(hand.found(boxes, scores or [0.9] * len(boxes), classes), LABELS)


def moved(box, x):
    return (box[0] + x, box[1], box[2] + x, box[3])


def test_nothing(hand):
    for truth in (hand.truth(1), hand.truth(1, [DRAWN])):
        assert attribute(truth, found(hand, [])).boxes.tolist() == []
    assert attribute(hand.truth(1), found(hand, [FAR])).boxes.tolist() == [NOTHING]


@pytest.mark.parametrize(
    ("box", "owner", "absorbed"),
    [
        (DRAWN, 0, False),
        (UNDRAWN, 1, True),
        (moved(UNDRAWN, 38), 1, True),  # beside the interpolated box, where the object can be
        (moved(UNDRAWN, 100), NOTHING, False),
        (FAR, NOTHING, False),
        ((300, 180, 340, 200), 1, False),  # another shape: it only touches it
    ],
)
def test_to_whom_a_detection_belongs(hand, frame, box, owner, absorbed):
    attribution = attribute(frame, found(hand, [box]))
    assert attribution.boxes.tolist() == [owner]
    assert attribution.absorbed.tolist() == [absorbed]


def test_an_undrawn_object_absorbs_one_detection_of_its_label(hand, frame):
    beside = moved(UNDRAWN, 45)
    attribution = attribute(frame, found(hand, [UNDRAWN, beside], [0.9, 0.8]))
    assert attribution.absorbed.tolist() == [True, False]
    other_label = attribute(frame, found(hand, [UNDRAWN], classes=[2]))
    assert not other_label.absorbed.any()
    assert other_label.boxes.tolist() == [1], "it touches the object all the same"


def test_the_sure_detection_is_absorbed_rather_than_the_near_one(hand, frame):
    attribution = attribute(frame, found(hand, [moved(UNDRAWN, 30), UNDRAWN], [0.9, 0.1]))
    assert attribution.absorbed.tolist() == [True, False]


def test_what_finds_a_drawn_box_is_never_absorbed(hand):
    truth = hand.truth(
        5, [DRAWN, DRAWN], drawn=[True, False], keys=[(5, 5), (0, 10)], hulls=[DRAWN, HULL]
    )
    attribution = attribute(truth, found(hand, [DRAWN]))
    assert attribution.boxes.tolist() == [0]
    assert not attribution.absorbed.any()


@pytest.mark.parametrize(
    ("keys", "margin"),
    [
        ((5, 5), 0.0),
        ((4, 6), 0.5 * MARGIN),
        ((0, 10), 2.5 * MARGIN),
        ((0, NO_KEY), 5 * MARGIN),  # after the last key the way is open
        ((NO_KEY, NO_KEY), LARGEST_MARGIN),
    ],
)
def test_a_region_grows_with_the_gap(hand, keys, margin):
    truth = hand.truth(5, [(0, 0, 100, 100)], drawn=[False], keys=[keys], hulls=[(0, 0, 150, 100)])
    grown = 100 * margin
    expected = [-grown, -grown, 150 + grown, 100 + grown]
    np.testing.assert_allclose(regions(truth)[0], expected)


def weights(truths, detections):
    pairs = zip(truths, detections, strict=True)
    found = weigh(truths, detections, [attribute(*pair) for pair in pairs])
    return [weight.tolist() for weight in found]


def test_on_fully_drawn_frames_all_weights_are_1(hand):
    truths = [hand.truth(1, [DRAWN, UNDRAWN]), hand.truth(2)]
    boxes = found(hand, [DRAWN, moved(UNDRAWN, 30), FAR], classes=[1, 2, 2])
    assert weights(truths, [boxes, boxes]) == [[1, 1, 1], [1, 1, 1]]


def test_false_positives_count_as_often_as_objects_are_drawn(hand, frame):
    boxes = found(hand, [DRAWN, moved(DRAWN, 30), UNDRAWN, moved(UNDRAWN, 20), FAR])
    ((right, beside_drawn, absorbed, beside_undrawn, background),) = weights([frame], [boxes])
    assert (right, beside_drawn) == (1, 1), "as the object itself"
    assert (absorbed, beside_undrawn) == (0, 0)
    assert background == 0.5, "one of two objects is drawn"


def test_a_picture_that_is_not_measured_has_no_weight(hand):
    truths = [hand.truth(1, [DRAWN], measured=False), hand.truth(2, [DRAWN]), hand.truth(3)]
    boxes = found(hand, [FAR])
    # Of two frames with objects one is measured, so that the empty one counts by half.
    assert weights(truths, [boxes] * 3) == [[0], [1], [0.5]]


def test_each_label_has_its_own_share(hand):
    keys, drawn = [(5, 5), (0, 10), (0, 10)], [True, False, False]
    places = [DRAWN, UNDRAWN, moved(UNDRAWN, 200)]
    cat_drawn = hand.truth(5, places, [1, 2, 2], drawn=drawn, keys=keys)
    dog_drawn = hand.truth(6, places, [2, 1, 2], drawn=drawn, keys=keys)
    boxes = found(hand, [moved(DRAWN, 30), FAR], classes=[1, 1])
    (on_cat, background), (on_dog, _) = weights([cat_drawn, dog_drawn], [boxes, boxes])
    assert (on_cat, background) == (1, 0.5)
    assert on_dog == 1, "never more than one"
