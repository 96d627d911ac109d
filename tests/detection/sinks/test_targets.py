"""What is written where."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from kfdet.detection.frame import Source
from kfdet.detection.sinks.targets import Target, choose_targets, open_sinks
from kfdet.detection.sources import PictureSource, VideoSource
from kfdet.errors import InputError
from kfdet.parameters import DetectionFormat

PHOTO = PictureSource(Path("in/photo.png"), PurePosixPath("photo.png"))
FILM = VideoSource(Path("in/film.avi"), PurePosixPath("film.avi"))


@pytest.mark.parametrize(
    ("output", "formats", "expected"),
    [
        ("", [], [("drawn", "detections")]),
        ("", ["jsonl"], [("jsonl", "detections/detections.jsonl")]),
        ("out", [], [("drawn", "out")]),
        ("out", ["drawn", "csv"], [("drawn", "out"), ("csv", "out/detections.csv")]),
        ("out", ["csv", "csv"], [("csv", "out/detections.csv")]),
        ("out", ["yolo"], [("yolo", "out")]),
        ("out", ["yolo", "coco"], [("yolo", "out/yolo"), ("coco", "out/coco.json")]),
        ("a.jsonl", [], [("jsonl", "a.jsonl")]),
        ("a.parquet", ["parquet"], [("parquet", "a.parquet")]),
        ("a.json", ["label-studio"], [("label-studio", "a.json")]),
        ("a.mp4", [], [("drawn", "a.mp4")]),
        ("-", [], [("jsonl", None)]),
        ("-", ["csv"], [("csv", None)]),
    ],
)
def test_targets(
    output: str, formats: list[DetectionFormat], expected: list[tuple[str, str | None]]
) -> None:
    found = choose_targets(output, formats, [FILM])
    assert [(each.format, each.path and str(each.path)) for each in found] == expected


@pytest.mark.parametrize(
    ("output", "formats", "sources", "message"),
    [
        ("out", ["excel"], [FILM], "there is no format 'excel'"),
        ("-", ["parquet"], [FILM], "cannot be written to standard output"),
        ("-", ["csv", "jsonl"], [FILM], "cannot be written to standard output"),
        ("a.mp4", ["drawn", "jsonl"], [FILM], "cannot be written to one file"),
        ("a.jsonl", ["csv"], [FILM], "cannot be written to one file"),
        ("a.txt", [], [FILM], "cannot be written to one file"),
        ("a.mp4", [], [FILM, PHOTO], "there are 2 sources"),
        ("a.mp4", [], [PHOTO], r"is drawn as a \.png file"),
        ("a.png", [], [FILM], r"is drawn as a \.mp4 file"),
    ],
)
def test_what_does_not_fit_is_refused(
    output: str, formats: list[DetectionFormat], sources: list[Source], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        choose_targets(output, formats, sources)


def test_a_source_is_not_replaced(tmp_path: Path) -> None:
    photo = PictureSource(tmp_path / "photo.jpg", PurePosixPath("photo.jpg"))
    with pytest.raises(InputError, match="is a source, and would be replaced"):
        open_sinks([Target("drawn", tmp_path)], [photo])


def test_a_folder_of_labels_takes_the_place_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="the target folder is not empty"):
        choose_targets(str(tmp_path), ["yolo"], [FILM])
