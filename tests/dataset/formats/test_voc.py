from __future__ import annotations

import pytest
from support.annotation_samples import voc as voc_xml
from support.annotation_samples import write_text

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats import voc
from kfdet.dataset.formats.model import KeyBox
from kfdet.errors import InputError


def test_no_objects(tmp_path):
    (source,) = voc.read(write_text(tmp_path / "photo.v2.xml", voc_xml())).sources

    assert source.names == ("photo.v2", "some.jpg")
    assert (source.kind, source.width, source.height) == ("image", 64, 48)
    assert source.keys == []


def test_objects_with_lines(tmp_path):
    text = voc_xml(("cup", (1, 2, 3, 4)), ("cup ", ("5.5", 6, 7, 8)))
    text = text.replace("</object>", "<occluded>1</occluded></object>", 1)
    (source,) = voc.read(write_text(tmp_path / "a.xml", text)).sources

    assert source.keys == [
        KeyBox(UNTRACKED, "cup", 0, 1, 2, 3, 4, occluded=True, line=4),
        KeyBox(UNTRACKED, "cup ", 0, 5.5, 6, 7, 8, line=5),
    ]


@pytest.mark.parametrize(("value", "difficult"), [("1", True), ("0", False), ("", False)])
def test_difficult(tmp_path, value, difficult):
    text = voc_xml(("cup", (1, 2, 3, 4)))
    text = text.replace("</object>", f"<difficult>{value}</difficult></object>")
    (source,) = voc.read(write_text(tmp_path / "a.xml", text)).sources

    assert [key.difficult for key in source.keys] == [difficult]


@pytest.mark.parametrize(
    ("objects", "text"),
    [
        ([("cup", (1, 2, "NaN", 4))], "<xmax>NaN</xmax> is not a finite number"),
        ([("cup", (1, 2, "", 4))], "<xmax></xmax> is not a number"),
        ([("", (1, 2, 3, 4))], "has no <name>"),
    ],
)
def test_bad_object(tmp_path, objects, text):
    good = ("cup", (1, 2, 3, 4))
    result = voc.read(write_text(tmp_path / "a.xml", voc_xml(good, *objects, good)))

    (problem,) = result.problems
    assert text in problem.problem
    assert (problem.file, problem.line) == (str(tmp_path / "a.xml"), 5)
    assert len(result.sources[0].keys) == 2


def test_object_without_box(tmp_path):
    text = "<annotation><object><name>a</name></object></annotation>"
    (problem,) = voc.read(write_text(tmp_path / "a.xml", text)).problems

    assert "no <xmin>" in problem.problem


def test_other_xml(tmp_path):
    with pytest.raises(InputError, match="root element is <svg>"):
        voc.read(write_text(tmp_path / "a.xml", "<svg/>"))
