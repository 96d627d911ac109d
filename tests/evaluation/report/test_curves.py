from __future__ import annotations

from kfdet.detection.drawing import PALETTE, palette
from kfdet.evaluation.error_analysis import analyse
from kfdet.evaluation.report.charts import css_color
from kfdet.evaluation.report.curves import MOST_LABELS, precision_recall, training_charts

A = (100, 100, 200, 200)


def curves_of(hand, labels, scores):
    """The chart of one picture per label, on which the label is found with its score."""
    classes = [i + 1 for i, score in enumerate(scores) if score is not None]
    truths = [hand.truth(c, [A], [c]) for c in classes]
    found = [hand.found([A], [scores[c - 1]], [c], labels) for c in classes]
    return precision_recall(analyse(truths, found, labels))


def test_nothing_detected(hand):
    assert precision_recall(analyse([hand.truth(1, [A])], [hand.found()], ["cat"])) is None


def test_a_line_has_the_colour_of_its_label_in_the_pictures(hand):
    labels = ["zebra", "cat", "unseen", "dog"]
    chart = curves_of(hand, labels, [0.9, 0.8, None, 0.7])
    colors = {line.name: line.color for line in chart.lines}
    assert colors.pop("all labels") == "var(--ink)"
    assert colors == {n: css_color(palette(labels)[n]) for n in ("zebra", "cat", "dog")}
    assert css_color(PALETTE[0]) == "#ff6348"


def test_one_label_is_one_line(hand):
    assert [line.name for line in curves_of(hand, ["cat"], [0.9]).lines] == ["cat"]


def test_many_labels(hand):
    """No more lines than can be told apart; a second one of the same colour is dashed."""
    labels = [f"l{i:02d}" for i in range(len(PALETTE) + 1)]
    scores = [0.9, *[None] * (len(PALETTE) - 1), 0.8]
    lines = curves_of(hand, labels, scores).lines
    assert [(line.name, line.dashed) for line in lines[1:]] == [("l00", False), ("l12", True)]
    assert len(curves_of(hand, labels, [0.9] * len(labels)).lines) == 1 + MOST_LABELS


def test_training():
    assert training_charts({}) == []
    history = {
        "steps": [10, 20],
        "loss": [2.0, 1.0],
        "val": [{"step": s, "AP50": 0.0, "AP": 0.0} for s in (10, 20)],
    }
    (title, loss), (_, validations) = training_charts(history)
    assert title == "Training loss"
    assert loss.lines[0].marker is None
    last = validations.lines[0].points.split()[-1]
    assert validations.lines[0].marker == tuple(float(v) for v in last.split(","))
    assert "step 20" in validations.description
    assert "step 10" in training_charts(history, kept_step=10)[1][1].description
