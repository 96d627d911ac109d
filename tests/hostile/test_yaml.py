"""YAML files that are deep, that refer to themselves, or hold what is not text."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.resources import at_most

from kfdet.dataset.formats import yolo
from kfdet.dataset.settings_file import read_settings
from kfdet.errors import InputError

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
