from __future__ import annotations

from pathlib import Path

import pytest

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats.model import Item, KeyBox
from kfdet.dataset.repeats import check_repeated_boxes, merge_repeated_boxes, unite_copies


def key(*sides: float, label: str = "cup", **more) -> KeyBox:
    return KeyBox(UNTRACKED, label, 0, *map(float, sides))._replace(**more)


def image(path: Path, *keys: KeyBox, side: str = "", content: str = "same") -> Item:
    path.write_text(content)
    return Item(path.name, path, "image", 64, 48, 1, 0.0, "a.xml", keys=[*keys], side=side)


ONE = key(10, 10, 30, 30)
NEAR = key(11, 10, 31, 30)
FAR = key(40, 10, 60, 30)


@pytest.mark.parametrize(
    ("keys", "merged"),
    [
        ([], []),
        ([ONE, FAR], [ONE, FAR]),
        ([ONE, NEAR, FAR], [key(10.5, 10, 30.5, 30), FAR]),
        ([ONE, FAR, ONE, NEAR, NEAR], [key(10.5, 10, 30.5, 30), FAR]),
        ([ONE, NEAR._replace(label="mug")], [ONE, NEAR._replace(label="mug")]),
        ([ONE, NEAR._replace(crowd=True)], [ONE, NEAR._replace(crowd=True)]),
        ([ONE, NEAR._replace(frame=5)], [ONE, NEAR._replace(frame=5)]),
        ([ONE._replace(track_id=1), NEAR._replace(track_id=2)],) * 2,
    ],
)
def test_boxes_around_one_object(tmp_path, keys, merged):
    item = image(tmp_path / "a.jpg", *keys)
    problems = list(check_repeated_boxes([item], {"a.jpg": "a.xml"}))
    assert len(problems) == (len(keys) != len(merged))
    merge_repeated_boxes(item)
    assert item.keys == merged
    assert list(check_repeated_boxes([item], {"a.jpg": "a.xml"})) == []


def test_the_warning_names_place_and_option(tmp_path):
    item = image(tmp_path / "a.jpg", ONE._replace(line=3), NEAR._replace(line=7))
    (problem,) = check_repeated_boxes([item], {"a.jpg": "a.xml"})
    assert (problem.severity, problem.file, problem.line) == ("warning", "a.xml", 7)
    assert "2 boxes of 'cup'" in problem.problem
    assert "--merge-boxes" in problem.hint


def test_equal_pictures_with_different_boxes_are_united(tmp_path):
    mug = key(1, 1, 9, 9, label="mug")
    first = image(tmp_path / "a.jpg", ONE)
    second = image(tmp_path / "b.jpg", mug, NEAR)
    other = image(tmp_path / "c.jpg", ONE, content="else")
    items, (problem,) = unite_copies([first, second, other])
    assert items == [first, other]
    assert first.keys == [ONE, mug]
    assert problem.severity == "warning"
    assert "the boxes of both are used" in problem.problem
    assert problem.file == str(tmp_path / "b.jpg")


def test_equal_pictures_with_equal_boxes_stay(tmp_path):
    items = [image(tmp_path / "a.jpg", ONE), image(tmp_path / "b.jpg", NEAR)]
    left, (problem,) = unite_copies(items)
    assert left == items
    assert problem.problem == "the same image as a.jpg."


def test_the_picture_of_the_test_side_stays(tmp_path):
    items = [
        image(tmp_path / "a.jpg", ONE, side="train"),
        image(tmp_path / "b.jpg", FAR, side="test"),
        image(tmp_path / "c.jpg", side="val"),
    ]
    (left,), problems = unite_copies(items)
    assert left.name == "b.jpg"
    assert left.keys == [FAR, ONE]
    assert len(problems) == 2
