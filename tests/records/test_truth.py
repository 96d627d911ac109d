from __future__ import annotations

import numpy as np
import pytest

from kfdet.records.truth import Frame, Objects, measured_frames


def frames(video: str, pattern: dict[int, str], class_ids: str = "111") -> dict[Frame, Objects]:
    """Frames with one letter per track: D drawn, i interpolated, - not visible."""
    found = {}
    for frame, letters in pattern.items():
        visible = [
            (int(k), letter == "D")
            for k, letter in zip(class_ids, letters, strict=False)
            if letter != "-"
        ]
        classes, drawn = np.array(visible, int).reshape(-1, 2).T
        found[video, frame] = Objects(classes, drawn.astype(bool))
    return found


CASES = {
    "nothing": ({}, "1", []),
    "no object": ({0: "", 1: "-"}, "1", [0, 1]),
    "drawn as a whole": ({0: "DD", 1: "DD"}, "11", [0, 1]),
    "one track between its keys": ({0: "D", 1: "i", 2: "D"}, "1", [0, 2]),
    "the track's end is drawn alone": ({0: "DD", 1: "iD", 2: "DD", 3: "D-"}, "11", [0, 2, 3]),
    "never at the same time": ({0: "Di", 1: "iD", 2: "ii"}, "11", [0, 1]),
    "too few at the same time": ({0: "DD", 1: "Di", 2: "iD", 3: "Di"}, "11", [0, 1, 2, 3]),
    # The fully drawn frames hold most boxes, but hardly any of the second label.
    "too few of a label": (
        {0: "DD-", 1: "DD-", 2: "DDD", 3: "iiD", 4: "iiD"},
        "112",
        [0, 1, 2, 3, 4],
    ),
}


@pytest.mark.parametrize(("pattern", "class_ids", "expected"), CASES.values(), ids=CASES)
def test_measured_frames(pattern: dict[int, str], class_ids: str, expected: list[int]) -> None:
    found = measured_frames(frames("a", pattern, class_ids))
    assert sorted(found) == [("a", frame) for frame in expected]


def test_each_source_decides_for_itself() -> None:
    aligned = frames("a", {0: "DD", 1: "ii", 2: "DD", 3: "Di", 4: "--"})
    staggered = frames("b", {0: "Di", 1: "iD", 2: "ii"})
    found = sorted(measured_frames(aligned | staggered))
    assert found == [("a", 0), ("a", 2), ("a", 4), ("b", 0), ("b", 1)]
