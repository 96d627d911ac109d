from __future__ import annotations

import textwrap
from dataclasses import fields
from pathlib import Path

import pytest
from support.annotation_samples import write_text

from kfdet.dataset.settings_file import read_settings
from kfdet.errors import InputError
from kfdet.parameters import DatasetSettings


def read(folder: Path, text: str) -> DatasetSettings:
    write_text(folder / "dataset.yaml", text)
    return read_settings(folder)


@pytest.mark.parametrize(
    "text", [None, "", "# nothing", "names: [cup]\ntrain: images\nval: images"]
)
def test_without_settings(tmp_path, text):
    if text is not None:
        write_text(tmp_path / "dataset.yaml", text)
    assert read_settings(tmp_path) == DatasetSettings()


def test_everything(tmp_path):
    found = read(
        tmp_path,
        """
        videos: [kitchen*, "a, b.mp4"]
        labels: [cup, yes, 1]
        rename: {bb8: BB-8, Cup : cup}
        ignore:
          - difficult
          - occluded
          - label: crowd of people
          - region: "garage*:0:0:640:80"
        merge_boxes: true
        val: garage.mp4
        test: [attic*]
        own_sides: false
        keep_going: true
        """,
    )
    assert found == DatasetSettings(
        videos='kitchen*,"a, b.mp4"',
        labels="cup,yes,1",
        rename="bb8=BB-8,Cup=cup",
        ignore="difficult,occluded,label=crowd of people,region=garage*:0:0:640:80",
        merge_boxes=True,
        val="garage.mp4",
        test="attic*",
        own_sides=False,
        keep_going=True,
    )


@pytest.mark.parametrize(
    ("text", "message", "line", "hint"),
    [
        ("video: [a]", "no setting 'video'", 1, "Did you mean 'videos'"),
        ("val: a\nfoo: 1", "no setting 'foo'", 2, "Settings: videos, labels"),
        ("val: a\nval: b", "val is there twice", 2, ""),
        ("- a", "is not a mapping", None, "keys and values"),
        ("val: [a", "is not YAML", 1, ""),
        ("val: {a: b}", "val must be a list of texts", 1, "kitchen"),
        ("ignore: [[a]]", "ignore must be a list", 1, "difficult"),
        ("own_sides: maybe", "own_sides must be true or false, got 'maybe'", 1, ""),
        ("rename: {a: b, a: c}", "label 'a' is renamed to both 'b' and 'c'", None, "one new name"),
        ("rename: a", "rename must be OLD=NEW, got 'a'", None, ""),
        ("ignore: difficulty", "ignore must be difficult, occluded", None, ""),
        ("ignore: {region: 'a:1:2:3'}", "a region must be GLOB", None, "garage"),
        ("ignore: {region: 'a:9:2:3:4'}", "a region must be GLOB", None, "garage"),
    ],
)
def test_bad(tmp_path, text, message, line, hint):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    assert caught.value.file == str(tmp_path / "dataset.yaml")
    assert caught.value.line == line
    assert hint in caught.value.hint


def test_not_text(tmp_path):
    (tmp_path / "dataset.yaml").write_bytes(b"val: \xff")
    with pytest.raises(InputError, match="not UTF-8"):
        read_settings(tmp_path)


def test_the_example_of_the_guide(tmp_path):
    page = Path(__file__).resolve().parents[2] / "docs" / "data.md"
    block = next(part for part in page.read_text().split("\n\n") if part.startswith("    videos:"))
    found = read(tmp_path, textwrap.dedent(block))
    assert found.renames() == {"Mug": "mug", "muug": "mug"}
    assert found.ignored().regions == (("garage*", (0, 0, 640, 80)),)
    assert {each.name for each in fields(found)} == {
        line.strip().partition(":")[0] for line in block.splitlines() if line[:5].strip()
    }
