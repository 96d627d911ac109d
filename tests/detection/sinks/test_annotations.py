"""Annotation files that kfdet reads again."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from support.found_frames import frame_with

from kfdet.dataset.formats.registry import read_annotations
from kfdet.detection.sinks.annotations import AnnotationSink
from kfdet.detection.sources import PictureSource, VideoSource
from kfdet.errors import InputError
from kfdet.events import listening

SOURCES = [
    VideoSource(Path("in/film.avi"), PurePosixPath("film.avi")),
    PictureSource(Path("in/photo.png"), PurePosixPath("b/photo.png")),
]


@pytest.mark.parametrize(
    ("name", "file"),
    [("coco", "a.json"), ("cvat-images", "a.xml"), ("label-studio", "a.json"), ("yolo", "labels")],
)
def test_what_is_written_can_be_read(name: str, file: str, tmp_path: Path) -> None:
    sink = AnnotationSink(name, tmp_path / file, SOURCES)
    for number in (0, 5, 10):
        sink.write(None, frame_with(number, ("mug", "robot"), "in/film.avi", tracks=[1, 2]))
    sink.write(None, frame_with(0, ("mug",), "in/photo.png"))
    sink.close()
    read = read_annotations(tmp_path / file / "data.yaml" if name == "yolo" else tmp_path / file)
    assert read.problems == []
    if name == "yolo":  # its boxes are read with the images
        assert read.labels == ["mug", "robot"]
        assert len(list((tmp_path / file / "labels").rglob("*.txt"))) == 4
        return
    for source in read.sources:
        source.to_pixels(40, 20)
    boxes = [key for source in read.sources for key in source.keys if not key.outside]
    assert [key.label for key in boxes].count("mug") == 4
    first = next(key for key in boxes if key.label == "mug")
    sides = (first.xmin, first.ymin, first.xmax, first.ymax)
    assert sides == pytest.approx((0, 1, 10.5, 12), abs=0.01)
    assert any("photo" in each for source in read.sources for each in source.names)


def test_a_format_of_tracks_refuses_boxes_that_nobody_tracked(tmp_path: Path) -> None:
    sink = AnnotationSink("label-studio", tmp_path / "a.json", SOURCES)
    sink.write(None, frame_with(0, ("mug",), "in/photo.png"))
    with pytest.raises(InputError, match="holds the objects of a video as tracks"):
        sink.write(None, frame_with(0, ("mug",), "in/film.avi"))


def test_nothing_detected_writes_nothing_and_says_so(tmp_path: Path) -> None:
    warnings: list[dict[str, Any]] = []
    sink = AnnotationSink("coco", tmp_path / "a.json", SOURCES)
    sink.write(None, frame_with(0, source="in/photo.png"))
    with listening(warnings.append):
        sink.close()
    assert "nothing was detected" in warnings[0]["message"]
    assert list(tmp_path.iterdir()) == []
