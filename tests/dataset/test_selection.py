from __future__ import annotations

from pathlib import Path

import pytest

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats.model import Item, KeyBox
from kfdet.dataset.selection import apply, matches
from kfdet.errors import Problem
from kfdet.parameters import DatasetSettings


def key(label: str = "cup", **more) -> KeyBox:
    return KeyBox(UNTRACKED, label, 0, 1, 2, 11, 12)._replace(**more)


def items(**keys: list[KeyBox]) -> list[Item]:
    return [
        Item(f"videos/{name}.mp4", Path(name), "video", 64, 48, 20, 10.0, f"{name}.xml", keys=boxes)
        for name, boxes in keys.items()
    ]


def applied(data: list[Item], file: str = "", **settings) -> tuple[list[Item], list[Problem]]:
    problems: list[Problem] = []
    return apply(data, DatasetSettings(**settings), file, problems), problems


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("videos/day/a.mp4", True),
        ("a.mp4", True),
        ("a", True),
        ("*a*", True),
        ("videos/*", True),
        ("videos/day/", True),
        ("videos", True),
        ("day", False),
        ("b*", False),
        ("A.mp4", False),
    ],
)
def test_patterns(pattern, matching):
    assert matches("videos/day/a.mp4", pattern) == matching


def test_nothing_is_set():
    data, problems = applied(items(a=[key()], b=[]))
    assert ([item.name for item in data], problems) == (["videos/a.mp4", "videos/b.mp4"], [])
    assert data[0].keys == [key()]
    assert [item.side for item in data] == ["", ""]


def test_videos():
    data, problems = applied(items(a=[key()], b=[key()], c=[key()]), videos="a,c*")
    assert ([item.name for item in data], problems) == (["videos/a.mp4", "videos/c.mp4"], [])


def test_labels_are_renamed_before_they_are_chosen():
    data, problems = applied(
        items(a=[key("bb8"), key("BB-8"), key("R2D2")]), rename="bb8=BB-8,BB-8=robot", labels="BB-8"
    )
    assert [box.label for box in data[0].keys] == ["BB-8"]
    assert problems == []


def test_what_is_ignored_becomes_a_region():
    boxes = [key(difficult=True), key(occluded=True), key("crowd"), key()]
    data, _ = applied(items(a=boxes), ignore="difficult,occluded,label=crowd", labels="cup")
    assert [(box.label, box.crowd) for box in data[0].keys] == [
        ("cup", True),
        ("cup", True),
        ("", True),
        ("cup", False),
    ]


def test_a_region_of_a_video():
    data, _ = applied(items(a=[key(track_id=4)], b=[]), ignore="region=a*:0:0:64:8")
    assert data[0].keys[1] == KeyBox(5, "", 0, 0, 0, 64, 8)._replace(crowd=True)
    assert data[1].keys == []


def test_sides():
    data, problems = applied(items(a=[], b=[], c=[]), val="b", test="c")
    assert ([item.side for item in data], problems) == (["", "val", "test"], [])


def test_sides_take_the_place_of_the_datasets_own():
    data = items(a=[], b=[], c=[])
    for item, side in zip(data, ("train", "val", "test"), strict=True):
        item.side = side
    applied(data, val="a")
    assert [item.side for item in data] == ["val", "train", "test"]


@pytest.mark.parametrize(
    ("settings", "file", "message", "hint"),
    [
        ({"videos": "x*"}, "", "--videos x* matches no video", "'videos/a.mp4'"),
        ({"test": "bb.mp4"}, "dataset.yaml", "test: bb.mp4 matches no", "mean 'b.mp4'"),
        ({"labels": "mug"}, "", "no box has the label 'mug'", "Labels: cup"),
        ({"rename": "mug=cup"}, "", "--rename mug: no box has the label 'mug'", "Labels: cup"),
        ({"ignore": "label=mug"}, "", "no box has the label 'mug'", "Labels: cup"),
        (
            {"val": "a", "test": "*.mp4"},
            "",
            "is on two sides: --val a and --test *.mp4",
            "narrower",
        ),
    ],
)
def test_what_fits_nothing(settings, file, message, hint):
    _, (problem, *_) = applied(items(a=[key()], b=[]), file, **settings)
    assert message in problem.problem
    assert problem.file == file
    assert hint in problem.hint
