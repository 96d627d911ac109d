from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
import simplejpeg

from kfdet.evaluation.report.video import FRAMES, choose_stretch, write_video


def frames_of(hand, video: str, frames) -> list:
    return [replace(hand.truth(f + 1), video=video, frame=f) for f in frames]


STRETCHES = [
    ("nothing", [], []),
    ("one frame is not a video", [("a", [3])], []),
    ("an image", [("photo.jpg", range(9))], []),
    ("one stretch", [("a", range(5))], range(5)),
    ("the longer video", [("a", range(3)), ("b", range(10, 20))], range(3, 13)),
    ("the longer of two blocks", [("a", [*range(4), *range(100, 110)])], range(4, 14)),
    ("every third frame", [("a", range(0, 30, 3))], range(10)),
    ("not too long", [("a", range(FRAMES + 50))], range(FRAMES)),
]


@pytest.mark.parametrize(
    ("videos", "expected"), [c[1:] for c in STRETCHES], ids=[c[0] for c in STRETCHES]
)
def test_choose_stretch(hand, videos, expected):
    truths = [truth for video, frames in videos for truth in frames_of(hand, video, frames)]
    assert choose_stretch(truths, {"a": 10.0, "b": 10.0}) == list(expected)


@pytest.mark.parametrize(
    ("step", "fps", "rate"), [(1, 10.0, 10.0), (3, 30.0, 10.0), (1, 29.97, 29.97), (50, 25.0, 2.0)]
)
def test_video(hand, tmp_path, step, fps, rate):
    truths = frames_of(hand, "a", range(0, 6 * step, step))
    box = (100, 100, 300, 300)
    found = [hand.found([box, (400, 300, 500, 400)], [0.9, 0.3]) for t in truths]
    jpeg = simplejpeg.encode_jpeg(np.full((481, 641, 3), 128, np.uint8))
    images = [(t.source_id, jpeg) for t in truths]
    path = tmp_path / "clip.mp4"
    write_video(path, images, range(6), truths, found, ["cat"], 0.5, fps)
    with av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        assert (stream.width, stream.height) == (640, 480)
        assert float(stream.average_rate) == pytest.approx(rate, rel=1e-3)
        pictures = [frame.to_ndarray(format="rgb24") for frame in clip.decode(stream)]
    assert len(pictures) == 6
    changed = np.abs(pictures[0].astype(int) - 128).max(axis=2) > 60
    assert changed[100:300, 98:104].any()
    assert not changed[320:, 350:].any()  # below the threshold
    write_video(tmp_path / "again.mp4", images, range(6), truths, found, ["cat"], 0.5, fps)
    assert (tmp_path / "again.mp4").read_bytes() == path.read_bytes()
