from __future__ import annotations

import numpy as np
import pytest

from kfdet.evaluation.coco import evaluate_coco
from kfdet.evaluation.error_analysis import DEFAULT_THRESHOLD, analyse

A = (100, 100, 200, 200)
B = (300, 100, 400, 200)
FAR = (500, 300, 600, 400)
NEAR_A = (160, 100, 260, 200)  # IoU .25 with A


def test_nothing_at_all():
    analysis = analyse([], [], ["cat", "dog"])
    assert analysis.threshold == DEFAULT_THRESHOLD
    assert analysis.precision is None
    assert analysis.recall is None
    assert analysis.false_positives_per_background_image is None
    assert analysis.confusion.tolist() == [[0, 0, 0]] * 3
    assert analysis.per_class == {"cat": None, "dog": None}


#         truth boxes, classes, found boxes, scores, classes -> confusion (a, b, background), kinds
CASES = [
    ("nothing found", [A], [1], [], [], [], [[0, 0, 1], [0, 0, 0], [0, 0, 0]], []),
    ("perfect", [A, B], [1, 2], [A, B], [0.9, 0.8], [1, 2], [[1, 0, 0], [0, 1, 0], [0, 0, 0]], []),
    (
        "background taken for an object",
        [A],
        [1],
        [FAR, A],
        [0.9, 0.8],
        [2, 1],
        [[1, 0, 0], [0, 0, 0], [0, 1, 0]],
        ["background"],
    ),
    (
        "a taken for b",
        [A, B],
        [1, 2],
        [A, B],
        [0.9, 0.8],
        [2, 2],
        [[0, 1, 1], [0, 1, 0], [0, 0, 0]],
        ["confusion"],
    ),
    (
        "found twice",
        [A, B],
        [1, 1],
        [A, A, B],
        [0.9, 0.8, 0.7],
        [1, 1, 1],
        [[2, 0, 0], [0, 0, 0], [0, 0, 0]],
        ["duplicate"],
    ),
    (
        "badly placed",
        [A, B],
        [1, 1],
        [NEAR_A, B],
        [0.9, 0.8],
        [1, 1],
        [[1, 0, 1], [0, 0, 0], [0, 0, 0]],
        ["localisation"],
    ),
    (
        "badly placed and named",
        [A, B],
        [1, 2],
        [NEAR_A, B],
        [0.9, 0.8],
        [2, 2],
        [[0, 1, 1], [0, 1, 0], [0, 0, 0]],
        ["confusion"],
    ),
    (
        "found and confused: the object is found",
        [A, B],
        [1, 2],
        [A, A, B],
        [0.9, 0.8, 0.7],
        [2, 1, 2],
        [[1, 1, 0], [0, 1, 0], [0, 0, 0]],
        ["confusion"],
    ),
]


@pytest.mark.parametrize(
    ("boxes", "classes", "found", "scores", "names", "confusion", "kinds"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_confusion_and_kinds(hand, boxes, classes, found, scores, names, confusion, kinds):
    analysis = analyse(
        [hand.truth(1, boxes, classes)], [hand.found(found, scores, names)], ["cat", "dog"]
    )
    assert analysis.confusion.tolist() == confusion
    assert [wrong.kind for wrong in analysis.false_positives] == kinds
    assert len(analysis.misses) == len(boxes) - analysis.confusion[:2, :2].trace()


@pytest.mark.parametrize("seed", range(5))
def test_the_matrix_agrees_with_the_kinds_of_error(hand, seed):
    random = np.random.default_rng(seed)

    def some(count: int) -> list[list[float]]:
        corners = random.integers(0, 150, (count, 2))
        return np.hstack([corners, corners + random.integers(30, 120, (count, 2))]).tolist()

    truths = [hand.truth(i, some(3), random.integers(1, 4, 3).tolist()) for i in range(20)]
    found = [
        hand.found(
            [*(truth.boxes + random.normal(0, 8, (3, 4))).tolist(), *some(4)],
            random.uniform(0, 1, 7).tolist(),
            [*truth.classes[:2], *random.integers(1, 4, 5)],
            ["a", "b", "c"],
        )
        for truth in truths
    ]
    analysis = analyse(truths, found, ["a", "b", "c"])
    inner, kinds = analysis.confusion[:3, :3], [e.kind for e in analysis.false_positives]
    assert {"confusion", "background", "localisation"} <= set(kinds)
    assert inner.sum() - inner.trace() == kinds.count("confusion")
    assert analysis.confusion[3].sum() == kinds.count("background")
    assert analysis.confusion[:, 3].sum() == len(analysis.misses)
    assert inner.trace() + len(analysis.misses) == sum(analysis.objects.values()) == 60
    assert analysis.precision == pytest.approx(inner.trace() / (inner.trace() + len(kinds)))


def test_threshold_maximises_f1(hand):
    # From the best score down: right, right, wrong, wrong, wrong, right. F1 is 2*2/(2+3) = .8
    # after two and 2*3/(6+3) = .67 after all.
    truth = hand.truth(1, [A, B, FAR])
    wrong = [(10 * i, 10, 10 * i + 9, 20) for i in range(3)]
    found = hand.found([A, B, *wrong, FAR], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    analysis = analyse([truth], [found], ["cat"])
    assert analysis.threshold == 0.8
    assert analysis.precision == 1.0
    assert analysis.recall == pytest.approx(2 / 3)
    assert analysis.overall.precision.tolist() == pytest.approx([1, 1, 2 / 3, 2 / 4, 2 / 5, 3 / 6])
    assert analysis.overall.recall.tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 1])
    assert not analysis.false_positives
    assert len(analysis.misses) == 1


def test_equal_scores_come_and_go_together(hand):
    found = hand.found([A, FAR], [0.9, 0.9])
    analysis = analyse([hand.truth(1, [A])], [found], ["cat"])
    assert analysis.overall.scores.tolist() == [0.9]
    assert analysis.precision == 0.5
    assert len(analysis.false_positives) == 1


def test_labels_have_their_own_threshold(hand):
    truths = [hand.truth(1, [A, B], [1, 2])]
    found = [hand.found([A, FAR, B, FAR], [0.9, 0.8, 0.3, 0.2], [1, 1, 2, 2])]
    analysis = analyse(truths, found, ["cat", "dog", "bird"])
    assert analysis.per_class["cat"].threshold == 0.9
    assert analysis.per_class["dog"].threshold == 0.3
    assert analysis.per_class["bird"] is None


def test_nothing_right(hand):
    analysis = analyse([hand.truth(1, [A])], [hand.found([FAR], [0.9])], ["cat"])
    assert analysis.per_class["cat"].threshold is None
    assert analysis.threshold == DEFAULT_THRESHOLD
    assert analysis.recall == 0.0
    assert [w.kind for w in analysis.false_positives] == ["background"]


def test_background_images(hand):
    truths = [hand.truth(1, [A]), hand.truth(2), hand.truth(3, kind="background"), hand.truth(4)]
    found = [
        hand.found([A, FAR], [0.9, 0.85]),
        hand.found([A, B], [0.95, 0.1]),
        hand.found([B], [0.9]),
        hand.found(),
    ]
    analysis = analyse(truths, found, ["cat"])
    assert analysis.background_images == 3
    assert analysis.threshold == 0.9
    assert analysis.false_positives_per_background_image == pytest.approx(2 / 3)


def test_crowd_and_difficult_are_left_out(hand):
    truth = hand.truth(1, [A, B, FAR], crowd=[False, True, False], difficult=[False, False, True])
    found = hand.found([(310, 110, 340, 140), FAR, FAR, A], [0.9, 0.8, 0.7, 0.6])
    analysis = analyse([truth], [found], ["cat"])
    assert analysis.precision == analysis.recall == 1.0
    assert not analysis.false_positives
    assert not analysis.misses
    assert sum(analysis.objects.values()) == 1
    assert analysis.background_images == 0


def test_misses_are_the_largest_first_and_counted_by_size(hand):
    small, large = (0, 0, 20, 20), (300, 300, 420, 420)
    analysis = analyse([hand.truth(1, [small, A, large])], [hand.found([A])], ["cat"])
    assert [miss.box for miss in analysis.misses] == [2, 0]
    assert analysis.objects == {"small": 1, "medium": 0, "large": 2}
    assert analysis.missed == {"small": 1, "medium": 0, "large": 1}


@pytest.mark.parametrize("seed", range(3))
def test_curves_agree_with_coco(hand, seed):
    """The area under our raw curve, made monotone, is COCO's AP50."""
    random = np.random.default_rng(seed)
    truths, detections = [], []
    for image in range(1, 12):
        corner = random.uniform(0, 400, (random.integers(0, 6), 2))
        boxes = np.hstack([corner, corner + random.uniform(30, 150, corner.shape)])
        guesses = np.vstack([boxes + random.normal(0, 12, boxes.shape), [[5, 5, 60, 60]]])
        scores = np.sort(random.uniform(0, 1, len(guesses)))[::-1]
        truths.append(hand.truth(image, boxes.tolist()))
        detections.append(hand.found(guesses.tolist(), scores.tolist()))
    curve = analyse(truths, detections, ["cat"]).per_class["cat"]
    ap50 = np.mean(
        [curve.precision[curve.recall >= r].max(initial=0.0) for r in np.linspace(0, 1, 101)]
    )
    expected = evaluate_coco(truths, detections, ["cat"])[0].per_class["cat"].ap50
    assert ap50 == pytest.approx(expected, abs=1e-9)
