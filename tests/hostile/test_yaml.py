"""YAML files that are deep, that refer to themselves, or hold what is not text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.annotation_samples import write_image
from support.resources import at_most

from kfdet.dataset.formats import yolo
from kfdet.dataset.settings_file import read_settings
from kfdet.errors import InputError
from kfdet.planning.check import check

_NINE = ", ".join("*{0}" for _ in range(9))
_BOMB = "&a [x], " + ", ".join(
    f"&{name} [{_NINE.format(before)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CONTENTS = {
    "deep": "[" * 20_000,
    "deep keys": "{a: " * 20_000,
    "many values": f"[{'a, ' * 60_000}]",
    "bomb": f"[{_BOMB}]",
    "refers to itself": "&a [*a]",
    "no date": "!!timestamp x",
    "no number": "!!int x",
    "no bool": "!!bool x",
    "object": "!!python/object/apply:os.system [id]",
    "list as a key": "{? [a] : b}",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("key", ["own_sides", "rename", "ignore"])
def test_settings_of_a_dataset(tmp_path: Path, key: str, content: str) -> None:
    (tmp_path / "dataset.yaml").write_text(f"{key}: {content}\n")
    with at_most(seconds=10), pytest.raises(InputError) as raised:
        read_settings(tmp_path)
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("key", ["path", "train", "val"])
def test_sides_of_a_yolo_file(tmp_path: Path, key: str, content: str) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(f"names: [cup]\n{key}: {content}\n")
    with at_most(seconds=10):
        yolo.sides(path)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "a/" * 3000], ids=["long", "null", "deep"])
@pytest.mark.parametrize("where", ["path", "train", "list"])
def test_names_that_no_file_has(tmp_path: Path, where: str, name: str) -> None:
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "train.txt").write_text(f"{name if where == 'list' else ''}\nimages/a.png\n")
    content = {"path": ".", "train": "train.txt", "val": "images", "names": ["cup"]}
    content |= {where: name} if where != "list" else {}
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in content.items())
    (tmp_path / "data.yaml").write_text("".join(lines))
    checked = check(tmp_path)
    assert checked.summary.labels == {"cup": 1}
