from __future__ import annotations

from pathlib import Path

import pytest
from support.annotation_samples import plain, write_text

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats import csv_rows
from kfdet.dataset.formats.model import AnnotationSet, KeyBox
from kfdet.errors import InputError

HEADING = "filename,width,height,class,xmin,ymin,xmax,ymax"


def read(folder: Path, *lines: str, encoding: str = "utf-8") -> AnnotationSet:
    path = folder / "a.csv"
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return csv_rows.read(path)


def test_only_a_heading(tmp_path):
    assert read(tmp_path, HEADING).sources == []


def test_rows_of_the_tutorials(tmp_path):
    found = read(
        tmp_path,
        HEADING,
        "a.jpg,64,48,cup,1,2,30,40",
        'day/b.jpg,64,48,"red, ball",1.5,2,30,40',
        "",
        "a.jpg,64,48,cup,31,2,60,40",
        "c.jpg,64,48,,,,,",
    )
    assert found.problems == []
    assert [source.names for source in found.sources] == [("a.jpg",), ("day/b.jpg",), ("c.jpg",)]
    assert found.sources[0].keys == [
        KeyBox(UNTRACKED, "cup", 0, 1, 2, 30, 40, line=2),
        KeyBox(UNTRACKED, "cup", 0, 31, 2, 60, 40, line=5),
    ]
    assert (found.sources[0].width, found.sources[0].height) == (64, 48)
    assert found.sources[2].keys == []
    assert found.labels == ["cup", "red, ball"]


@pytest.mark.parametrize(
    "heading", ["image,label,x1,y1,x2,y2", "Path;", "ymax,xmax,ymin,xmin,label_name,path"]
)
def test_other_headings(tmp_path, heading):
    if heading == "Path;":
        with pytest.raises(InputError, match="no columns that kfdet knows"):
            read(tmp_path, heading, "a.jpg;cup")
        return
    values = {"image": "a.jpg", "path": "a.jpg", "label": "cup", "label_name": "cup"}
    values |= {"x1": "1", "xmin": "1", "y1": "2", "ymin": "2"}
    values |= {"x2": "3", "xmax": "3", "y2": "4", "ymax": "4"}
    row = ",".join(values[name] for name in heading.split(","))
    (source,) = read(tmp_path, heading, row, encoding="utf-8-sig").sources
    assert plain(source.keys) == [("cup", 0, 1, 2, 3, 4)]


def test_automl(tmp_path):
    found = read(
        tmp_path,
        "TRAIN,gs://bucket/a.jpg,cup,0.1,0.2,,,0.5,0.6,,",
        "VALIDATION,gs://bucket/b.jpg,cup,0.1,0.2,0.5,0.2,0.5,0.6,0.1,0.6",
        "TEST,gs://bucket/c.jpg,,,,,,,,,",
        "UNASSIGNED,gs://bucket/d.jpg,cup,0.1,0.2,,,0.5,0.6,,",
    )
    assert found.problems == []
    assert [source.side for source in found.sources] == ["train", "val", "test", ""]
    assert [plain(source.keys) for source in found.sources[:2]] == [
        [("cup", 0, 0.1, 0.2, 0.5, 0.6)]
    ] * 2
    assert found.sources[2].keys == []
    assert all(source.relative for source in found.sources)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.jpg,64,48,cup,1,2,x,40", "xmax is not a number: 'x'"),
        ("a.jpg,64,48,cup,1,2", "xmax is not a number: ''"),
        ("a.jpg,64,48,,1,2,3,4", "the box has no label"),
        (",64,48,cup,1,2,3,4", "the row names no image"),
    ],
)
def test_bad_rows(tmp_path, row, message):
    good = "a.jpg,64,48,cup,1,2,30,40"
    found = read(tmp_path, HEADING, good, row, good)
    (problem,) = found.problems
    assert message in problem.problem
    assert (problem.line, problem.severity) == (3, "error")
    assert len(found.sources[0].keys) == 2


@pytest.mark.parametrize("text", ["", "a,b\n", f'{HEADING}\n"{"x" * 200_000}'])
def test_hopeless(tmp_path, text):
    with pytest.raises(InputError) as caught:
        csv_rows.read(write_text(tmp_path / "a.csv", text))
    assert caught.value.file == str(tmp_path / "a.csv")
