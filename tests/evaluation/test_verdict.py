from __future__ import annotations

import pytest

from kfdet.evaluation.truth import Proposal, Truth
from kfdet.evaluation.verdict import judge
from kfdet.parameters import Gate

GOOD = {"ap50": 0.8, "recall": 0.7, "false_positives_per_background_image": 0.1}
NOTHING = dict.fromkeys(GOOD)
OFF = {"min_ap50": 0.0}


@pytest.mark.parametrize(
    ("gate", "measured", "good", "words"),
    [
        (OFF, NOTHING, True, ["No limit was set."]),
        ({}, NOTHING, False, ["could not be measured"]),
        ({}, GOOD, True, ["AP50 is 0.800, at or above"]),
        ({"min_ap50": 0.8}, GOOD, True, ["at or above the required 0.8 (--min-ap50)"]),
        ({"min_ap50": 0.81}, GOOD, False, ["AP50 is 0.800, below the required 0.81"]),
        (OFF | {"min_recall": 0.7}, GOOD, True, ["Recall is 0.700"]),
        (OFF | {"min_recall": 0.71}, GOOD, False, ["Recall is 0.700, below"]),
        (OFF | {"max_false_positives": 0.1}, GOOD, True, ["within"]),
        (OFF | {"max_false_positives": 0.05}, GOOD, False, ["above the"]),
        (
            OFF | {"max_false_positives": 1},
            NOTHING,
            False,
            ["not be measured"],
        ),
    ],
)
def test_judge(gate, measured, good, words):
    verdict = judge(Gate(**gate), **measured)
    assert verdict.good is good
    assert len(verdict.reasons) == len(words)
    for reason, word in zip(verdict.reasons, words, strict=True):
        assert word in reason


def truth(boxes: int, interval: tuple[float, float] | None = None) -> Truth:
    return Truth("val", 9, boxes, 9, 0, 0, 0, 0.0, interval, 9, [], None)


@pytest.mark.parametrize(
    ("gate", "measured_on", "good", "words"),
    [
        ({}, truth(20), True, ""),
        ({}, truth(19), False, "19 boxes are drawn by a person"),
        ({}, truth(1), False, "1 box is drawn by a person"),
        (OFF, truth(1), True, "No limit was set."),
        ({}, truth(99, (0.45, 0.9)), False, "AP50 lies between 0.45 and 0.90"),
        ({}, truth(99, (0.45, 0.6)), True, ""),  # it is what it is
        ({}, truth(99, (0.55, 0.9)), True, ""),
    ],
)
def test_too_little_truth(gate, measured_on, good, words):
    verdict = judge(Gate(**gate), **GOOD, truth=measured_on)
    assert verdict.good is good
    assert words in verdict.reasons[-1]


def test_the_verdict_names_the_frames_to_draw():
    draw = [Proposal("a.mp4", 3, 2), Proposal("a.mp4", 9, 2), Proposal("b.mp4", 5, 1)]
    few = Truth("val", 9, 3, 9, 0, 0, 0, 0.0, None, 9, draw, None)
    reason = judge(Gate(), **GOOD, truth=few).reasons[-1]
    assert reason.endswith("on these frames, and run again: a.mp4: 3, 9; b.mp4: 5.")
