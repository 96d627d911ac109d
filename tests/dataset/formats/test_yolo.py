from __future__ import annotations

from pathlib import Path

import pytest
from support.annotation_samples import plain, write_text

from kfdet.dataset.formats import yolo
from kfdet.dataset.formats.registry import detect_format
from kfdet.errors import InputError


def dataset(tmp_path: Path, names: str, text: str, folder="labels", **labels: str):
    for stem, rows in labels.items():
        write_text(tmp_path / folder / f"{stem}.txt", rows)
    return write_text(tmp_path / names, text)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("data.yaml", "path: .\nnames: [cup, 'red ball']\n"),
        ("data.yaml", "names:\n  0: cup\n  1: red ball\n"),
        ("obj.names", "cup\nred ball\n"),
        ("classes.txt", "cup\nred ball\n"),
    ],
)
def test_class_names(tmp_path, names, text):
    path = dataset(tmp_path, names, text, a="1 0.5 0.5 0.2 0.4\n", b="")
    assert detect_format(path) == "yolo"
    result = yolo.read(path)

    assert result.labels == ["cup", "red ball"]
    first, second = result.sources
    assert (first.names, first.relative) == (("labels/a",), True)
    assert plain(first.keys) == [("red ball", 0, 0.4, 0.3, 0.6, pytest.approx(0.7))]
    assert first.keys[0].line == 1
    assert second.keys == []


def test_polygon_and_other_text_files(tmp_path):
    polygon = "0 0.1 0.2 0.3 0.2 0.3 0.4\n"
    others = {"train": "images/a.jpg\n", "notes": "made by me", "truth_mot": "1,2,3,4,5,6"}
    path = dataset(tmp_path, "data.yaml", "names: [cup]", ".", a=polygon, **others)
    (source,) = yolo.read(path).sources

    assert plain(source.keys) == [("cup", 0, 0.1, 0.2, 0.3, 0.4)]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("7 0.5 0.5 0.2 0.4", "class '7' is not among the 1"),
        ("0 0.5 0.5 x 0.4", "is not a number"),
        ("0 0.5 0.5 0.4", "4 numbers is neither a box"),
    ],
)
def test_bad_rows(tmp_path, row, text):
    good = "0 0.5 0.5 0.2 0.4"
    rows = f"{good}\n\n{row}\n{good}"
    result = yolo.read(dataset(tmp_path, "data.yaml", "names: [cup]", a=rows))

    (problem,) = result.problems
    assert text in problem.problem
    assert (problem.file, problem.line) == (str(tmp_path / "labels" / "a.txt"), 3)
    assert [key.line for key in result.sources[0].keys] == [1, 4]


@pytest.mark.parametrize("text", ["names: []", "names: 3", "names: {a: b}", "names: [a"])
def test_hopeless(tmp_path, text):
    with pytest.raises(InputError):
        yolo.read(write_text(tmp_path / "data.yaml", text))


def test_other_yaml(tmp_path):
    assert detect_format(write_text(tmp_path / "data.yaml", "batch: 3")) is None
