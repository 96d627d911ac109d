from __future__ import annotations

from pathlib import Path

import pytest
from support.annotation_samples import plain, write_image, write_text

from kfdet.dataset.formats import mot


def read(tmp_path: Path, rows: str, labels="cup\nball\n", info=""):
    if labels:
        write_text(tmp_path / "clip" / "gt" / "labels.txt", labels)
    if info:
        write_text(tmp_path / "clip" / "seqinfo.ini", info)
    return mot.read(write_text(tmp_path / "clip" / "gt" / "gt.txt", rows))


def test_empty(tmp_path):
    (source,) = read(tmp_path, "").sources

    assert (source.kind, source.names, source.keys) == ("video", ("clip",), [])


def test_tracks_end_and_are_not_bridged(tmp_path):
    rows = "3,1,1,2,10,20,1,2,0.2\n1,1,1,2,10,20,1,2,1\n2,1,2,2,10,20,1,2,1\n6,1,1,2,1,1,1,2,1"
    (source,) = read(tmp_path, rows).sources

    found = [(k.frame, k.outside, k.occluded, k.line) for k in source.keys]
    assert found == [
        (0, False, False, 2),
        (1, False, False, 3),
        (2, False, True, 1),
        (3, True, True, 1),
        (5, False, False, 4),
        (6, True, False, 4),
    ]
    assert plain(source.keys)[0] == ("ball", 0, 1, 2, 11, 22)


def test_sequence_information(tmp_path):
    info = "[Sequence]\nname=other\nseqLength=30\nimWidth=64\nimHeight=48\n"
    (source,) = read(tmp_path, "", info=info).sources

    assert source.names == ("other", "clip")
    assert (source.stop, source.width, source.height) == (29, 64, 48)


@pytest.mark.parametrize(
    ("row", "label"),
    [("1,1,1,2,10,20,1,3,1", "car"), ("1,1,1,2,10,20,1,-4.1,-7.3,0", "pedestrian")],
)
def test_challenge_without_label_file(tmp_path, row, label):
    keys = read(tmp_path, row, labels="").sources[0].keys
    assert keys[0].label == label


def test_images_of_a_sequence(tmp_path):
    image = write_image(tmp_path / "clip" / "img1" / "000002.jpg")
    first, second = read(tmp_path, "1,1,1,2,10,20\n2,1,1,2,10,20").sources

    assert (second.kind, second.names) == ("image", (image.as_posix(),))
    assert [key.frame for key in second.keys] == [0]
    assert first.names == ("frame 1",)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("1,2,3", "has 3 numbers"),
        ("1,1,x,2,3,4", "not a number"),
        ("1,1,nan,2,3,4", "not finite"),
        ("1.5,1,1,2,3,4", "not a whole number"),
        ("4,1,1,2,3,4,1,9,1", "class 9"),
        ("4,1,1,2,3,4,1,1,1\n4,1,1,2,3,4,1,1,1", "track 1 is on this frame twice"),
    ],
)
def test_bad_rows(tmp_path, row, text):
    result = read(tmp_path, f"1,1,1,2,3,4,1,1,1\n{row}\n")

    (problem,) = result.problems
    assert text in problem.problem
    assert problem.line == 2 + row.count("\n")


def test_rows_marked_as_not_valid(tmp_path):
    result = read(tmp_path, "1,1,1,2,3,4,0,1,1\n")

    assert result.problems[0].severity == "warning"
    assert result.sources[0].keys == []
