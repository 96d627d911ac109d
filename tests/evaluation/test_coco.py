from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from support.plain_coco import mean_precision, plain_coco

from kfdet.boxes.tables import iou_matrix
from kfdet.evaluation import coco

LABELS = ["cat", "dog"]


def evaluate_coco(*arguments):
    metrics, _ = coco.evaluate_coco(*arguments)
    return metrics


A = (100, 100, 200, 200)
B = (300, 100, 400, 200)
FAR = (500, 300, 600, 400)


def shifted(box, by):
    return (box[0] + by, box[1], box[2] + by, box[3])


# IoU of a 100-pixel box shifted by d is (100 - d) / (100 + d): 20 -> .667, 5 -> .905, 60 -> .25.
# AP over the thresholds .50 ... .95 is then the share of thresholds that the shift passes.
CASES = [
    ("no boxes, no detections", [], [], [], [], None, None, None),
    ("no boxes, a detection", [], [], [A], [0.9], None, None, None),
    ("boxes, no detections", [A, B], [1, 1], [], [], 0.0, 0.0, 0.0),
    ("perfect", [A, B], [1, 1], [A, B], [0.9, 0.8], 1.0, 1.0, 1.0),
    ("shifted by 20", [A], [1], [shifted(A, 20)], [0.9], 0.4, 1.0, 0.4),
    ("shifted by 5", [A], [1], [shifted(A, 5)], [0.9], 0.9, 1.0, 0.9),
    ("shifted by 60", [A], [1], [shifted(A, 60)], [0.9], 0.0, 0.0, 0.0),
    ("a duplicate below costs nothing", [A], [1], [A, A], [0.9, 0.8], 1.0, 1.0, 1.0),
    # Precision 1, 1/2, 2/3; made monotone: 1 up to recall .5 (51 points), then 2/3 (50 points).
    (
        "a duplicate between",
        [A, B],
        [1, 1],
        [A, A, B],
        [0.9, 0.8, 0.7],
        (51 + 50 * 2 / 3) / 101,
        (51 + 50 * 2 / 3) / 101,
        1.0,
    ),
    ("a false positive first", [A], [1], [FAR, A], [0.9, 0.8], 0.5, 0.5, 1.0),
    ("half found", [A, B], [1, 1], [A], [0.9], 51 / 101, 51 / 101, 0.5),
    ("wrong label", [A], [1], [], [], 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize(
    ("boxes", "classes", "found", "scores", "ap", "ap50", "ar100"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_summary(hand, boxes, classes, found, scores, ap, ap50, ar100):
    metrics = evaluate_coco([hand.truth(1, boxes, classes)], [hand.found(found, scores)], ["cat"])
    assert metrics.ap == (None if ap is None else pytest.approx(ap))
    assert metrics.ap50 == (None if ap50 is None else pytest.approx(ap50))
    assert metrics.ar100 == (None if ar100 is None else pytest.approx(ar100))
    assert metrics.per_class["cat"].boxes == len(boxes)


def test_nothing_at_all():
    metrics = evaluate_coco([], [], ["cat"])
    assert metrics.ap is None
    assert metrics.per_class["cat"].ap50 is None


def test_a_label_without_validation_boxes_is_null_in_json(hand):
    metrics = evaluate_coco([hand.truth(1, [A], [2])], [hand.found([A], [0.9], [2])], LABELS)
    assert metrics.ap50 == 1.0
    assert metrics.per_class["cat"].ap is None
    assert metrics.ap_small is None
    assert metrics.ap_large == 1.0
    json.dumps(asdict(metrics), allow_nan=False)


def test_sizes_are_source_pixels(hand):
    small, medium, large = (0, 0, 31, 31), (100, 100, 150, 150), (300, 300, 400, 400)
    metrics = evaluate_coco(
        [hand.truth(1, [small, medium, large])], [hand.found([medium, large])], ["cat"]
    )
    assert (metrics.ap_small, metrics.ap_medium, metrics.ap_large) == (0.0, 1.0, 1.0)


def test_a_crowd_swallows_detections(hand):
    inside = [(310, 110, 340, 140), (350, 110, 390, 140)]
    found = [hand.found([*inside, A], [0.9, 0.8, 0.7])]
    crowd = evaluate_coco([hand.truth(1, [A, B], crowd=[False, True])], found, ["cat"])
    assert crowd.ap == 1.0
    assert crowd.per_class["cat"].boxes == 1
    assert evaluate_coco([hand.truth(1, [A])], found, ["cat"]).ap == pytest.approx(1 / 3)


@pytest.mark.parametrize(("found", "ap"), [([A], 1.0), ([B, A], 1.0), ([FAR, A], 0.5)])
def test_a_difficult_box_is_neither_missed_nor_false(hand, found, ap):
    truth = hand.truth(1, [A, B], difficult=[False, True])
    scores = [0.9, 0.8][: len(found)]
    metrics = evaluate_coco([truth], [hand.found(found, scores)], ["cat"])
    assert metrics.ap == pytest.approx(ap)


def test_a_part_of_a_difficult_box_is_a_false_positive(hand):
    """Unlike a crowd, a difficult box counts by plain IoU."""
    part = (300, 100, 330, 130)
    truth = hand.truth(1, [A, B], difficult=[False, True])
    metrics = evaluate_coco([truth], [hand.found([part, A], [0.9, 0.8])], ["cat"])
    assert metrics.ap == pytest.approx(0.5)


def test_a_box_turned_inside_out_is_a_false_positive(hand):
    metrics = evaluate_coco(
        [hand.truth(1, [A])], [hand.found([(400, 100, 300, 200), A], [0.9, 0.8])], ["cat"]
    )
    assert metrics.ap == pytest.approx(0.5)


def test_stdout_stays_silent(hand, capsys):
    evaluate_coco([hand.truth(1, [A])], [hand.found([A])], ["cat"])
    assert capsys.readouterr().out == ""


def reference_ap(truths, detections, class_id, threshold):
    """AP by its definition: greedy matching in score order, 101 recall points, written anew."""
    rows = sorted(
        (
            (-score, image, box)
            for image, found in enumerate(detections)
            for box, score, name in zip(found.boxes, found.scores, found.labels, strict=True)
            if name == LABELS[class_id - 1]
        ),
        key=lambda row: row[0],
    )
    left = [truth.boxes[truth.classes == class_id].tolist() for truth in truths]
    total = sum(map(len, left))
    hits = []
    for _, image, box in rows:
        ious = [iou_matrix(box[None], np.array([other]))[0, 0] for other in left[image]]
        hit = bool(ious) and max(ious) >= threshold
        if hit:
            left[image].pop(int(np.argmax(ious)))
        hits.append(hit)
    tp = np.cumsum(hits)
    recall, precision = tp / total, tp / np.arange(1, len(hits) + 1)
    points = np.linspace(0, 1, 101)
    return np.mean([precision[recall >= r].max(initial=0.0) for r in points])


@pytest.mark.parametrize("seed", range(4))
def test_against_the_definition(hand, seed):
    random = np.random.default_rng(seed)
    truths, detections = [], []
    for image in range(1, 9):
        corner = random.uniform(0, 400, (random.integers(1, 8), 2))
        boxes = np.hstack([corner, corner + random.uniform(20, 150, corner.shape)])
        classes = random.integers(1, 3, len(boxes))
        guesses = np.vstack(
            [boxes + random.normal(0, 8, boxes.shape), boxes[:2] + random.normal(0, 30, (1, 4))]
        )
        names = np.concatenate([classes, classes[:2]])
        scores = random.permutation(len(guesses)) / 50 + image / 1000
        order = np.argsort(-scores)
        truths.append(hand.truth(image, boxes.tolist(), classes.tolist()))
        detections.append(
            hand.found(guesses[order].tolist(), scores[order].tolist(), names[order].tolist())
        )
    metrics = evaluate_coco(truths, detections, LABELS)
    for class_id, label in enumerate(LABELS, start=1):
        by_threshold = [
            reference_ap(truths, detections, class_id, t) for t in np.arange(0.5, 1.0, 0.05)
        ]
        assert metrics.per_class[label].ap == pytest.approx(np.mean(by_threshold), abs=1e-9)
        assert metrics.per_class[label].ap50 == pytest.approx(by_threshold[0], abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_label_at_a_time_has_the_numbers_of_one_cocoeval(hand, seed):
    """Also with crowds, equal scores, pictures out of order, and more than 100 detections."""
    random = np.random.default_rng(seed)
    truths, detections = [], []
    for image in random.permutation(30).tolist():
        corner = random.uniform(0, 400, (random.integers(0, 12), 2))
        boxes = np.hstack([corner, corner + random.uniform(25, 160, corner.shape)])
        near = np.repeat(boxes, random.integers(0, 4, len(boxes)), axis=0)
        far = random.uniform(0, 300, (random.choice([5, 150]), 2))
        guesses = [
            near + random.normal(0, 4, near.shape),
            np.hstack([far, far + np.array([40, 90])]),
        ]
        count = sum(map(len, guesses))
        truths.append(
            hand.truth(
                image,
                boxes.tolist(),
                random.integers(1, 3, len(boxes)).tolist(),
                crowd=(random.random(len(boxes)) < 0.2).tolist(),
            )
        )
        scores = np.sort(random.integers(1, 30, count) / 30)[::-1]
        classes = random.choice([1, 2], count, p=[0.9, 0.1])
        boxes = random.permutation(np.vstack(guesses))
        detections.append(hand.found(boxes.tolist(), scores.tolist(), classes.tolist()))
    metrics = evaluate_coco(truths, detections, LABELS)
    evaluator = plain_coco(truths, detections, LABELS)
    sizes = (metrics.ap, metrics.ap_small, metrics.ap_medium, metrics.ap_large)
    assert sizes == tuple(round(mean_precision(evaluator, area), 9) for area in range(4))
    assert metrics.ap75 == round(mean_precision(evaluator, 0, 5), 9)
    assert metrics.ar100 == round(float(evaluator.eval["recall"][:, :, 0, -1].mean()), 9)


def test_a_false_positive_counts_with_its_weight(hand):
    found = [hand.found([FAR, A], [0.9, 0.8])]
    truths = [hand.truth(1, [A])]
    for weight, ap in ((1.0, 0.5), (0.25, 0.8), (0.0, 1.0)):
        metrics = evaluate_coco(truths, found, ["cat"], [np.array([weight, 1.0])])
        assert metrics.ap50 == pytest.approx(ap)


def test_only_measured_pictures_and_drawn_boxes_count(hand):
    truths = [hand.truth(1, [A, B], drawn=[True, False]), hand.truth(2, [A], measured=False)]
    found = [hand.found([A]), hand.found([FAR])]
    metrics, (matches,) = coco.evaluate_coco(truths, found, ["cat"])
    assert metrics.ap == 1.0
    assert metrics.per_class["cat"].boxes == 1
    assert matches.objects.tolist() == [1, 0]
