"""A textured object that wanders over a textured background, and the truth about it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pyarrow as pa

from kfdet.boxes.tables import KEY_SCHEMA, Boxes

WIDTH, HEIGHT = 320, 240
SIZE = (24, 40)


def wander(frames: int, period: float = 60.0) -> Boxes:
    """(N, 4) boxes of an object that crosses the picture in waves of `period` frames."""
    frame = np.arange(frames)
    x = 60 + 200 * frame / frames
    y = 120 + 40 * np.sin(2 * np.pi * frame / period)
    half = np.array(SIZE) / 2
    centres = np.column_stack([x, y])
    return np.hstack([centres - half, centres + half])


def write_wandering_video(
    path: Path, boxes: Boxes, *, rate: int = 10, camera: float = 0.0, side: int = 2
) -> Path:
    """Write the video in which an object is where `boxes` (N, 4) say.

    Args:
        path: An .mp4 file.
        boxes: The truth.
        rate: Frames per second.
        camera: Pixels per frame by which the background moves to the left.
        side: Pixels of a cell of the texture.
    """
    random = np.random.default_rng(0)
    shape = (HEIGHT // side, (WIDTH + int(camera * len(boxes)) + side) // side)
    background = np.kron(random.integers(60, 120, shape), np.ones((side, side))).astype(np.uint8)
    rows, columns = SIZE[1] // 4, SIZE[0] // 4
    texture = np.kron(random.integers(0, 256, (rows, columns)), np.ones((4, 4))).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 8_000_000
        for number, (left, top, _, _) in enumerate(np.rint(boxes).astype(int)):
            start = int(camera * number)
            picture = background[:, start : start + WIDTH].copy()
            picture[top : top + SIZE[1], left : left + SIZE[0]] = texture
            frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def keys_of(boxes: Boxes, frames: list[int], video: str, track: int = 0) -> pa.Table:
    """KEY_SCHEMA: the boxes of these frames, as a person would draw them."""
    sides = boxes[frames]
    count = len(frames)
    given = {
        "video": [video] * count,
        "track_id": [track] * count,
        "label": ["cup"] * count,
        "frame": frames,
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), sides.T, strict=True)),
    }
    rest = {name: [0] * count for name in KEY_SCHEMA.names if name not in given}
    return pa.table({**given, **rest}).select(KEY_SCHEMA.names).cast(KEY_SCHEMA)
