from __future__ import annotations

import copy

import pytest

from kfdet.evaluation.report.advice import advise as advise_on
from kfdet.evaluation.report.command import Command

COMMAND = Command.parse("kfdet run videos -o RUN --steps 300")

GOOD = {
    "AP": 0.7,
    "AP50": 0.95,
    "AP75": 0.8,
    "per_class": {"cat": {"AP50": 0.95}, "dog": {"AP50": 0.95}},
    "split": {"strategy": "video", "val_share": 0.2},
    "false_positives_per_background_image": 0.0,
    "errors": {"localisation": 0, "confusion": 0, "duplicate": 0, "background": 0, "missed": 0},
    "truth": {"boxes": 200, "draw": []},
    "labels_to_check": [],
    "objects_by_size": {"small": 100, "medium": 100, "large": 0},
    "missed_by_size": {"small": 0, "medium": 0, "large": 0},
    "confusion_matrix": {
        "labels": ["cat", "dog", "background"],
        "matrix": [[100, 0, 0], [0, 100, 0], [0, 0, 0]],
    },
}
DATASET = {"counts": {"train": {"examples": 400, "labels": {"cat": 500, "dog": 500}}}}
HISTORY = {
    "steps": [100, 200, 300],
    "loss": [2.0, 1.0, 0.95],
    "parameters": {"steps": 300, "batch_size": 8, "gpus": 0, "input_size": "288x384"},
    "stopped_early": "",
    "val": [{"step": s, "AP50": v} for s, v in ((100, 0.5), (200, 0.95), (300, 0.95))],
}


def advise(metrics, statistics, history):
    return advise_on(metrics, statistics, history, COMMAND)


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


RUN = "kfdet run videos -o RUN --steps 300"


@pytest.mark.parametrize(
    ("path", "value", "finding", "action", "command"),
    [
        (
            *("per_class/dog", {"AP50": None}, "No evaluation frame has a box of “dog”"),
            *("one more video", f"{RUN} --val-share 0.3"),
        ),
        ("per_class/dog", {"AP50": 0.6}, "“dog” is found worst", "drawn alike", RUN),
        (
            *("false_positives_per_background_image", 0.5, "frames without objects have 0.50 each"),
            *("more background", f"{RUN} --negative-share 0.2"),
        ),
        (
            *("false_positives_per_background_image", None, "could not be measured"),
            *("annotation file that has no box", RUN),
        ),
        (
            *("AP75", 0.2, "boxes are loose", "key frames closer"),
            f"{RUN} --input-size 384x512",
        ),
        ("split/strategy", "time-block", "this place only", "other places", RUN),
        (
            *("missed_by_size/small", 50, "50 of 100 small", "larger input"),
            f"{RUN} --input-size 384x512",
        ),
        (
            *("truth/boxes", 20, "only 20 boxes drawn by a person"),
            *("Label more", f"{RUN} --val-share 0.3"),
        ),
        (
            *("truth", {"boxes": 20, "draw": [{"boxes": 4}, {"boxes": 5}]}, "only 20 boxes"),
            *("Draw every object on the 2 frames that", RUN),
        ),
        ("labels_to_check", [{}] * 7, "In 7 places", "add a key frame", RUN),
        (
            *("errors/background", 20, "20 of 20 false positives lie on nothing"),
            *("Label objects", f"{RUN} --negative-share 0.2"),
        ),
        ("errors/duplicate", 20, "second boxes", "twice", "kfdet check videos"),
        (
            "confusion_matrix/matrix",
            [[90, 10, 10], [0, 100, 0], [0, 0, 0]],
            "“cat” is taken for “dog” 10 times, with 100 objects",
            "the two labels alike",
            RUN,
        ),
    ],
)
def test_advice_from_metrics(path, value, finding, action, command):
    (advice,) = advise(changed(GOOD, path, value), DATASET, HISTORY)
    assert finding in advice.finding
    assert action in advice.action
    assert advice.command == command


def test_what_concerns_more_errors_comes_first():
    metrics = changed(GOOD, "confusion_matrix/matrix", [[90, 10, 10], [0, 60, 40], [0, 0, 0]])
    metrics = changed(metrics, "per_class/dog", {"AP50": 0.6})
    metrics["errors"]["background"] = 20
    metrics["false_positives_per_background_image"] = None
    findings = [one.finding for one in advise(metrics, DATASET, HISTORY)]
    expected = ["“dog” is found worst", "lie on nothing", "is taken for", "could not be measured"]
    for finding, words in zip(findings, expected, strict=True):
        assert words in finding


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
def test_advice_from_validations(values, finding):
    val = [{"step": i, "AP50": v} for i, v in enumerate(values)]
    history = HISTORY | {"steps": [100, 600], "val": val}
    history["parameters"] = HISTORY["parameters"] | {"steps": 600}
    advice = advise(GOOD, DATASET, history)
    assert [finding in one.finding for one in advice] == ([] if finding is None else [True])
    if finding == "still rising":
        assert advice[0].command == "kfdet run videos -o RUN --steps 1200"


NOTHING_FOUND = {
    **GOOD,
    **{"AP": 0.0, "AP50": 0.0, "AP75": 0.0, "false_positives_per_background_image": None},
    "per_class": {"cat": {"AP50": 0.0}, "dog": {"AP50": 0.0}},
    "split": {"strategy": "time-block", "val_share": 0.2},
    "confusion_matrix": {
        "labels": ["cat", "dog", "background"],
        "matrix": [[0, 0, 100], [0, 0, 100], [0, 0, 0]],
    },
}


@pytest.mark.parametrize(
    ("steps", "loss", "stopped", "finding", "command"),
    [
        (20, [2.0, 1.9], "", "only 20 steps; about 300 suit", "kfdet run videos -o RUN"),
        (20, [2.0, 1.9], "No better.", "only 20 steps", "kfdet run videos -o RUN"),
        (300, [2.0, 1.0, 0.5], "", "loss was still falling", "kfdet run videos -o RUN --steps 600"),
        (300, [2.0, 1.0, 0.5], "No better.", "although the loss", f"{RUN} --early-stop 0"),
    ],
)
def test_after_a_short_training_nothing_but_a_longer_one_helps(
    steps, loss, stopped, finding, command
):
    history = HISTORY | {
        "steps": [*range(1, len(loss)), steps],
        "loss": loss,
        "val": [{"step": steps, "AP50": 0.0}],
        "parameters": HISTORY["parameters"] | {"steps": steps},
        "stopped_early": stopped,
    }
    (advice,) = advise(NOTHING_FOUND, DATASET, history)
    assert finding in advice.finding
    assert advice.action.startswith("Train ")
    assert advice.command == command


def test_no_command_repeats_a_training_that_was_too_short():
    metrics = changed(NOTHING_FOUND, "truth/boxes", 20)
    history = HISTORY | {"parameters": HISTORY["parameters"] | {"steps": 20}}
    longer, more = advise(metrics, DATASET, history)
    assert longer.command == "kfdet run videos -o RUN"
    assert more.command == "kfdet run videos -o RUN --val-share 0.3"


def test_after_a_deadline_only_more_time_helps():
    history = HISTORY | {"loss": [2.0, 1.0, 0.5], "stopped_early": "Late.", "out_of_time": True}
    (advice,) = [
        one for one in advise(NOTHING_FOUND, DATASET, history) if "deadline" in one.finding
    ]
    assert (advice.action, advice.command) == ("Allow it more time.", RUN)


def test_a_training_that_stopped_by_itself_was_not_too_short():
    history = HISTORY | {"loss": [2.0, 1.0, 1.0], "stopped_early": "AP50 did not rise."}
    actions = [one.action for one in advise(NOTHING_FOUND, DATASET, history)]
    assert actions
    assert not any(action.startswith("Train ") for action in actions)


def test_images_are_not_filmed():
    metrics = changed(NOTHING_FOUND, "split/strategy", "image")
    history = HISTORY | {"loss": [2.0, 1.0, 1.0]}
    *_, last = advise(metrics, DATASET, history)
    assert "Every evaluation image has an object" in last.finding
    assert "Film" not in last.action


def test_without_any_box():
    empty = changed(GOOD, "objects_by_size", dict.fromkeys(("small", "medium", "large"), 0))
    empty |= {"AP": None, "AP50": None, "AP75": None}
    empty["per_class"] = {"cat": {"AP50": None}}
    findings = [one.finding for one in advise(empty, DATASET, HISTORY)]
    assert any("box of “cat”" in finding for finding in findings)


def test_many_labels_are_not_listed_one_by_one():
    labels = [f"label {number}" for number in range(60)]
    metrics = copy.deepcopy(GOOD)
    metrics["confusion_matrix"] = {
        "labels": [*labels, "background"],
        "matrix": [[0] * 60 + [missed] for missed in range(60)] + [[0] * 61],
    }
    metrics["per_class"] = {label: {"AP50": None} for label in labels}
    (unknown, *_) = advise(metrics, DATASET, HISTORY)
    assert "a box of 60 labels, of “label 0”, “label 1”" in unknown.finding
    assert "label 3" not in unknown.finding
    metrics["per_class"] = {label: {"AP50": 0.2} for label in labels}
    found = [each for each in advise(metrics, DATASET, HISTORY) if "training boxes" in each.finding]
    assert [each.finding.split("”")[0] for each in found[:2]] == ["“label 59", "“label 58"]
    assert len(found) == 3
