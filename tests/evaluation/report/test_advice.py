from __future__ import annotations

import copy

import pytest

from kfdet.evaluation.report.advice import advise

GOOD = {
    "AP": 0.7,
    "AP50": 0.95,
    "AP75": 0.8,
    "per_class": {"cat": {"AP50": 0.95}, "dog": {"AP50": 0.95}},
    "split": {"strategy": "video"},
    "false_positives_per_background_image": 0.0,
    "errors": {"localisation": 0, "confusion": 0, "duplicate": 0, "background": 0, "missed": 0},
    "objects_by_size": {"small": 100, "medium": 100, "large": 0},
    "missed_by_size": {"small": 0, "medium": 0, "large": 0},
    "confusion_matrix": {
        "labels": ["cat", "dog", "background"],
        "matrix": [[100, 0, 0], [0, 100, 0], [0, 0, 0]],
    },
}
DATASET = {"counts": {"train": {"labels": {"cat": 500, "dog": 500}}}}
HISTORY = {
    "steps": [100, 200, 300],
    "val": [{"step": s, "AP50": v} for s, v in ((100, 0.5), (200, 0.95), (300, 0.95))],
}


def changed(tree, path, value):
    tree = copy.deepcopy(tree)
    *parents, last = path.split("/")
    node = tree
    for name in parents:
        node = node[name]
    node[last] = value
    return tree


def test_nothing_to_say():
    assert advise(GOOD, DATASET, HISTORY) == []
    assert advise(GOOD, DATASET, {}) == []


@pytest.mark.parametrize(
    ("path", "value", "finding", "action"),
    [
        ("per_class/dog", {"AP50": None}, "“dog” has no box", "--val-share"),
        ("per_class/dog", {"AP50": 0.6}, "“dog” is found worst", "drawn alike"),
        ("false_positives_per_background_image", 0.5, "finds 0.50 a frame", "--negative-share"),
        ("false_positives_per_background_image", None, "could not be measured", "without the"),
        ("AP75", 0.2, "sit loosely", "key frames closer"),
        ("split/strategy", "time-block", "same videos", "another video"),
        ("missed_by_size/small", 50, "50 of 100 small", "--input-size"),
        ("objects_by_size", {"small": 0, "medium": 20, "large": 0}, "hold 20 boxes", "Label more"),
        ("errors/background", 20, "20 of 20 false positives lie on nothing", "--negative-share"),
        ("errors/duplicate", 20, "second boxes", "twice"),
        (
            "confusion_matrix/matrix",
            [[90, 10, 0], [0, 100, 0], [0, 0, 0]],
            "10 of 100 “cat” are taken for “dog”",
            "both labels",
        ),
    ],
)
def test_advice_from_metrics(path, value, finding, action):
    (advice,) = advise(changed(GOOD, path, value), DATASET, HISTORY)
    assert finding in advice.finding
    assert action in advice.action


def test_few_training_boxes():
    weak = changed(GOOD, "per_class/dog", {"AP50": 0.7})
    (advice,) = advise(weak, changed(DATASET, "counts/train/labels/dog", 1), HISTORY)
    assert "“dog” has 1 training box, which is few" in advice.finding
    assert advise(GOOD, changed(DATASET, "counts/train/labels/dog", 20), HISTORY) == []


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ([0.5], None),
        ([0.5, 0.6, 0.7], "still rising"),
        ([0.5, 0.7, 0.705], None),
        ([0.9, 0.8, 0.7, 0.6], "learns the training frames by heart"),
        ([0.5, 0.6, 0.9, 0.8], None),
    ],
)
def test_advice_from_training(values, finding):
    val = [{"step": i, "AP50": v} for i, v in enumerate(values)]
    advice = advise(GOOD, DATASET, {"steps": [100, 600], "val": val})
    assert [finding in one.finding for one in advice] == ([] if finding is None else [True])
    if finding == "still rising":
        assert "--steps 1200" in advice[0].action


def test_without_any_box():
    empty = changed(GOOD, "objects_by_size", dict.fromkeys(("small", "medium", "large"), 0))
    empty |= {"AP": None, "AP50": None, "AP75": None}
    empty["per_class"] = {"cat": {"AP50": None}}
    findings = [one.finding for one in advise(empty, DATASET, HISTORY)]
    assert any("“cat” has no box" in finding for finding in findings)
