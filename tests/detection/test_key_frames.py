"""From detections to a file that an annotation tool imports, and back as a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from support.annotation_samples import write_video

from kfdet.boxes.interpolation import interpolate
from kfdet.boxes.tables import Boxes, iou_pairs
from kfdet.dataset.formats.cvat_video import read
from kfdet.dataset.formats.model import SourceAnnotations, key_table
from kfdet.detection import Detections
from kfdet.detection.sinks.annotations import AnnotationSink
from kfdet.detection.sources import VideoSource
from kfdet.detection.stream import FrameDetections
from kfdet.planning.check import check

FRAMES, SIZE, RATE = 60, (160, 120), 10
SHOWN = range(FRAMES)


def box(number: int) -> Boxes:
    """A cup that swings to and fro."""
    left = 60 + 40 * np.sin(number / 9)
    return np.array([left, 30, left + 30, 80])


def pre_annotate(
    folder: Path,
    place: Callable[[int], Boxes] = box,
    shown: range | tuple[int, ...] = SHOWN,
    step: int = 1,
) -> SourceAnnotations:
    """Write what was found on the shown frames beside a video, and read it again."""
    video = write_video(folder / "clip.mp4", FRAMES, *SIZE, rate=RATE)
    path = folder / "clip.xml"
    source = VideoSource(video, PurePosixPath("clip.mp4"))
    sink = AnnotationSink("cvat-video", path, [source], key_frames=True)
    for number in range(0, FRAMES, step):
        boxes = [place(number)] if number in shown else []
        count = len(boxes)
        found = Detections(
            np.array(boxes).reshape(-1, 4),
            ("cup",) * count,
            np.full(count, 0.9),
            SIZE,
            tracks=np.full(count, 4),
        )
        sink.write(None, FrameDetections(str(video), number, number / RATE, *SIZE, found))
    sink.close()
    (annotations,) = read(path).sources
    return annotations


def shown_boxes(annotations: SourceAnnotations) -> dict[int, list[float]]:
    """The interpolated boxes by frame."""
    task = (annotations.start, annotations.stop or 0, annotations.step)
    table = interpolate(key_table([("clip", annotations.keys)]), {"clip": task})
    sides = [table[side].to_pylist() for side in ("xmin", "ymin", "xmax", "ymax")]
    return dict(zip(table["frame"].to_pylist(), map(list, zip(*sides, strict=True)), strict=True))


def test_few_key_frames_hold_every_box(tmp_path):
    annotations = pre_annotate(tmp_path)
    assert len(annotations.keys) <= 10
    found = shown_boxes(annotations)
    assert list(found) == list(SHOWN)
    expected = np.array([box(number) for number in SHOWN])
    assert (iou_pairs(np.array(list(found.values())), expected) > 0.8).all()


def test_the_file_with_its_video_is_a_dataset(tmp_path):
    pre_annotate(tmp_path)
    checked = check(tmp_path)
    assert checked.errors == ()
    assert checked.summary.tracks == 1
    assert checked.summary.annotated_frames == FRAMES


def test_a_box_that_trembles_needs_few_keys_all_the_same(tmp_path):
    noise = np.random.default_rng(0).normal(0, 1.5, (FRAMES, 4))
    annotations = pre_annotate(tmp_path, lambda number: box(number) + noise[number])
    assert len(annotations.keys) <= 12
    found = np.array(list(shown_boxes(annotations).values()))
    assert iou_pairs(found, np.array([box(number) for number in SHOWN])).mean() > 0.9


def test_a_short_gap_is_bridged_and_a_long_one_is_outside(tmp_path):
    short, long = range(10, 15), range(30, 45)
    visible = tuple(number for number in SHOWN if number not in (*short, *long))
    annotations = pre_annotate(tmp_path, shown=visible)
    assert [key.frame for key in annotations.keys if key.outside] == [30]
    assert list(shown_boxes(annotations)) == [number for number in SHOWN if number not in long]


def test_a_track_that_ends_is_outside_from_there_on(tmp_path):
    annotations = pre_annotate(tmp_path, shown=range(5, 40))
    assert list(shown_boxes(annotations)) == list(range(5, 40))


def test_every_fourth_frame(tmp_path):
    annotations = pre_annotate(tmp_path, shown=range(0, 40), step=4)
    assert annotations.step == 4
    assert list(shown_boxes(annotations)) == list(range(0, 40, 4))


@pytest.mark.parametrize("shown", [(7,), (7, 8), (7, 30)])
def test_what_is_seen_on_fewer_than_three_frames_is_no_track(tmp_path, shown):
    assert pre_annotate(tmp_path, shown=shown).keys == []
