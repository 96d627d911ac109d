from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.source_factory import image, video

from kfdet.planning.plan import Source
from kfdet.records.negatives import (
    CROP_SIZE,
    MARGIN_SHARE,
    NEGATIVE_SCHEMA,
    Negative,
    free_window,
    mine,
    negative_table,
)

BOX = (100.0, 100.0, 140.0, 160.0)
EVERYWHERE = (0.0, 0.0, 640.0, 360.0)
KEYS = range(0, 600, 50)
TRAIN = ((0, 399),)
On = dict[int, Sequence[tuple[float, ...]]]


def on(frames: Iterable[int], box: tuple[float, ...] = BOX) -> On:
    return {frame: [box] for frame in frames}


def wanting(source: Source, frames: int = 100, crops: int = 100) -> Source:
    return replace(source, negative_frames=frames, negative_crops=crops)


def mined(
    source: Source,
    keys: Iterable[int],
    boxes: On,
    frames: Iterable[int] | None = None,
    seed: int = 0,
) -> list[Negative]:
    rows = [(frame, box) for frame in sorted(boxes) for box in boxes[frame]]
    return mine(
        source,
        np.array(keys, np.int64),
        np.arange(source.frames) if frames is None else np.array(frames, np.int64),
        np.array([frame for frame, _ in rows], np.int64),
        np.array([box for _, box in rows], np.float64).reshape(-1, 4),
        seed,
    )


@pytest.mark.parametrize(
    ("source", "keys", "boxes", "kinds"),
    [
        (wanting(video(train=TRAIN)), [], {}, {}),
        (wanting(video(train=TRAIN), 0, 0), KEYS, on(range(200, 290)), {}),
        (wanting(video(train=TRAIN), 10, 0), KEYS, on(range(200, 290)), {"frame": 10}),
        (wanting(video(train=TRAIN), 0, 4), KEYS, on(range(200, 290)), {"crop": 4}),
        (wanting(video(train=TRAIN)), KEYS, on(range(0, 380)), {"frame": 2, "crop": 38}),
        (wanting(video(train=TRAIN)), KEYS, on(range(0, 400), EVERYWHERE), {}),
        (wanting(video(train=TRAIN)), [0, 101], on(range(0, 20)), {}),
        (wanting(video(val=TRAIN)), KEYS, on(range(0, 90)), {}),
        (wanting(video(train=TRAIN, background=True), 7, 0), [], {}, {"frame": 7}),
        (wanting(image("a.jpg")), [], {}, {"frame": 1}),
        (wanting(image("a.jpg")), [0], on([0]), {"crop": 1}),
        (wanting(image("a.jpg", annotation="")), [], {}, {}),
    ],
    ids=[
        "nobody looked",
        "none wanted",
        "enough background",
        "crops only",
        "all that there is",
        "boxes that fill the frame",
        "an unlabelled stretch",
        "evaluation only",
        "a background video",
        "an image that was reviewed and is empty",
        "an image with a box",
        "an image that nobody looked at",
    ],
)
def test_how_many_and_what_kind(
    source: Source, keys: Iterable[int], boxes: On, kinds: dict[str, int]
) -> None:
    assert Counter(row[2] for row in mined(source, keys, boxes)) == kinds


@pytest.mark.parametrize("seed", range(4))
def test_negatives_keep_away_from_boxes_in_time_and_space(seed: int) -> None:
    source = wanting(video(train=((0, 249), (300, 399)), fps=20))
    boxes = on(range(40, 80)) | on(range(120, 180), (400.0, 200.0, 500.0, 300.0))
    found = mined(source, range(0, 260, 20), boxes, range(0, 600, 2), seed)
    assert {row[2] for row in found} == {"frame", "crop"}
    margin = MARGIN_SHARE * 640
    for _, frame, kind, left, top, right, bottom in found:
        # Covered until the key on frame 240; half a second beside the unlabelled rest is left out.
        assert frame <= 230
        assert frame % 2 == 0
        near = [box for n in range(frame - 10, frame + 11) for box in boxes.get(n, ())]
        if kind == "frame":
            assert not near
            assert (left, top, right, bottom) == (0, 0, 640, 360)
        for xmin, ymin, xmax, ymax in near:
            assert (
                right <= xmin - margin
                or left >= xmax + margin
                or bottom <= ymin - margin
                or top >= ymax + margin
            )
    frames = [row[1] for row in found]
    assert np.diff(frames).min() >= 20, "rising, a second apart"


def test_crops_have_the_frames_aspect_and_a_size_within_bounds() -> None:
    random = np.random.default_rng(0)
    source = video()
    windows = [free_window(source, np.array([BOX]), random) for _ in range(200)]
    sizes = np.array([(w[2] - w[0], w[3] - w[1]) for w in windows if w])
    assert len(sizes) == 200
    assert np.abs(sizes[:, 0] / sizes[:, 1] / (640 / 360) - 1).max() < 0.01
    low, high = CROP_SIZE
    assert low - 0.01 <= (sizes / (640, 360)).min() < (sizes / (640, 360)).max() <= high + 0.01
    edges = np.array([w for w in windows if w])
    assert (edges == edges.round()).all()
    assert (edges >= 0).all()
    assert (edges[:, 2] <= 640).all()
    assert (edges[:, 3] <= 360).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_few_frames_are_spread_over_time(seed: int) -> None:
    found = mined(wanting(video(train=((0, 599),)), 10, 0), KEYS, {}, seed=seed)
    frames = [row[1] for row in found]
    assert len(frames) == 10
    assert np.diff(frames).max() <= 200


def test_the_seed_and_the_source_decide() -> None:
    one, other = (wanting(video(name, train=TRAIN), 5, 5) for name in ("a.mp4", "b.mp4"))
    boxes = on(range(200, 290))
    assert mined(one, KEYS, boxes, seed=3) == mined(one, KEYS, boxes, seed=3)
    assert mined(one, KEYS, boxes, seed=3) != mined(one, KEYS, boxes, seed=4)
    frames = [[row[1:] for row in mined(source, KEYS, boxes)] for source in (one, other)]
    assert frames[0] != frames[1], "two cameras of one scene do not give the same moments"


def test_table() -> None:
    rows = mined(wanting(video(train=TRAIN), 2, 2), KEYS, on(range(200, 290)))
    table = negative_table(rows)
    assert table.schema == NEGATIVE_SCHEMA
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    assert negative_table([]).schema == NEGATIVE_SCHEMA
