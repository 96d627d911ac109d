from __future__ import annotations

import pytest

from kfdet.dataset.label_checks import Use, check_labels, mirrored_labels


def found(**counts: int) -> list[tuple[str, str, str]]:
    uses = [Use(label, "a.xml", 1, None) for label, count in counts.items() for _ in range(count)]
    return [(p.severity, p.problem, p.hint) for p in check_labels(uses)]


@pytest.mark.parametrize("rare", ["bb8", "BB8", "bb 8", "BB_8", "bb-8"])
def test_spellings_of_one_label(rare):
    ((severity, problem, hint),) = found(**{rare: 4, "BB-8": 80})
    assert severity == "error"
    assert f"label {rare!r} (4 boxes) and label 'BB-8' (80 boxes) differ only in case" in problem
    option = f"--rename {rare}=BB-8" if " " not in rare else f"--rename '{rare}=BB-8'"
    assert f"Use {option}, or give" in hint


@pytest.mark.parametrize(("count", "severity"), [(1, "error"), (5, "warning")])
def test_a_typing_error(count, severity):
    ((found_severity, _, hint),) = found(racoon=count, raccoon=200)
    assert found_severity == severity
    assert "--rename racoon=raccoon" in hint


def test_a_label_with_too_few_boxes():
    ((severity, _, hint),) = found(**{"cup, red": 2, "robot": 80})
    assert severity == "error"
    assert hint == "Draw more of them. Without it: --ignore '\"label=cup, red\"'."


def test_numbered_labels_differ():
    assert found(**{"car 1": 80, "car 2": 80}) == []


@pytest.mark.parametrize(
    ("labels", "mirror", "warnings"),
    [
        ([], "horizontal", 0),
        (["left", "right"], "horizontal", 1),
        (["Left-Hand", "right hand"], "both", 1),
        (["left", "right"], "none", 0),
        (["left", "right"], "vertical", 0),
        (["arrow up", "arrow down"], "vertical", 1),
        (["arrow up", "arrow down"], "horizontal", 0),
        (["left hand", "right foot"], "horizontal", 0),
        (["copyright", "copyleft"], "horizontal", 0),
        (["right"], "horizontal", 0),
    ],
)
def test_labels_that_are_mirror_images(labels, mirror, warnings):
    found = mirrored_labels(labels, mirror)
    assert len(found) == warnings
    assert all("use --mirror none." in text for text in found)
