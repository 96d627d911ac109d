"""The sample dataset: what it promises is checked on the files it writes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from defusedxml import ElementTree

from kfdet.boxes.tables import iou_pairs
from kfdet.demo import annotator, sample
from kfdet.demo.rendering import Video, render
from kfdet.demo.script import FRAMES, LABELS
from kfdet.errors import InputError


@pytest.fixture(scope="module")
def video() -> Video:
    return render(1, seed=0)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    root = ElementTree.parse(path).getroot()
    return [
        (number, box.attrib) for number, track in enumerate(root.iter("track")) for box in track
    ]


def _box(row: dict[str, str]) -> list[float]:
    return [float(row[key]) for key in ("xtl", "ytl", "xbr", "ybr")]


def test_video_is_the_same_for_the_same_seed(video: Video, tmp_path: Path) -> None:
    again = render(1, seed=0)
    assert np.array_equal(video.frames, again.frames)
    assert np.array_equal(video.boxes, again.boxes)
    for name, take in (("a", video), ("b", again)):
        sample.encode(take, tmp_path / f"{name}.mp4")
        annotator.annotate(take, 1, 0, tmp_path / f"{name}.xml")
    for suffix in ("mp4", "xml"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
        assert first.read_bytes() == second.read_bytes()


def test_other_seed_is_another_video(video: Video) -> None:
    assert not np.array_equal(video.frames[0], render(1, seed=1).frames[0])


def test_video_has_every_label_occlusion_and_background(video: Video) -> None:
    assert set(video.labels) == set(LABELS)
    assert (video.occluded & video.seen).any()
    nothing = ~video.seen.any(axis=0)
    assert 12 <= nothing.sum() <= 40
    first, last = np.flatnonzero(nothing)[[0, -1]]
    assert first > 0
    assert last < FRAMES - 1, "background lies between annotated frames"


def test_boxes_lie_where_the_picture_changes(video: Video) -> None:
    """A box follows its toy: brightness inside differs from the same place without the toy."""
    empty = video.frames[np.flatnonzero(~video.seen.any(axis=0))].astype(float).mean(axis=0)
    inside, outside = [], []
    for t in range(0, 40, 8):
        change = np.abs(video.frames[t].astype(float) - empty).mean(axis=2)
        covered = np.zeros(change.shape, bool)
        for left, top, right, bottom in video.boxes[video.seen[:, t], t].round().astype(int):
            covered[top:bottom, left:right] = True
        inside.append(change[covered].mean())
        outside.append(change[~covered].mean())
    assert np.mean(inside) > 1.5 * np.mean(outside)  # the camera moves too


def test_video_opens_with_all_frames(video: Video, tmp_path: Path) -> None:
    sample.encode(video, tmp_path / "video.mp4")
    with av.open(str(tmp_path / "video.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (640, 360, video.fps)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == FRAMES
    assert np.abs(frames[50].astype(float) - video.frames[50]).mean() < 8


def test_annotations_follow_cvat(video: Video, tmp_path: Path) -> None:
    annotator.annotate(video, 1, 0, tmp_path / "video.xml")
    rows = _rows(tmp_path / "video.xml")
    assert {row["keyframe"] for _, row in rows} == {"0", "1"}
    for number in range(len(video.labels)):
        track = [row for owner, row in rows if owner == number]
        frames = [int(row["frame"]) for row in track]
        assert frames == sorted(set(frames))
        assert track[0]["keyframe"] == "1"
        drawn = [int(r["frame"]) for r in track if r["keyframe"] == "1" and r["outside"] == "0"]
        assert max(np.diff(drawn)) <= video.key_step
        if int(track[-1]["frame"]) < FRAMES - 1:
            assert (track[-1]["outside"], track[-1]["keyframe"]) == ("1", "1")
        visible = [int(r["frame"]) for r in track if r["outside"] == "0"]
        assert visible == np.flatnonzero(video.seen[number]).tolist()


def test_interpolated_rows_are_linear_between_keys_and_near_the_truth(
    video: Video, tmp_path: Path
) -> None:
    annotator.annotate(video, 1, 0, tmp_path / "video.xml")
    rows = _rows(tmp_path / "video.xml")
    for number in range(len(video.labels)):
        shown = {int(r["frame"]): r for owner, r in rows if owner == number and r["outside"] == "0"}
        keys = [f for f, r in shown.items() if r["keyframe"] == "1"]
        key_boxes = np.array([_box(shown[f]) for f in keys])
        boxes = np.array([_box(r) for r in shown.values()])
        linear = np.stack([np.interp(list(shown), keys, key_boxes[:, c]) for c in range(4)], axis=1)
        assert np.abs(boxes - linear).max() <= 0.006
        assert boxes.min() >= 0
        assert (boxes <= [640, 360, 640, 360]).all()
        truth = video.boxes[number, list(shown)]
        assert iou_pairs(boxes, truth).min() > 0.7


def test_sample_lands_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "VIDEOS", sample.VIDEOS[:1])
    sample.make_sample(tmp_path / "sample")
    names = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert names == ["sample/annotations/garden.xml", "sample/videos/garden.mp4"]


def test_full_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        sample.make_sample(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
