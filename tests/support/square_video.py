"""A dataset small enough to go through the whole pipeline: a bright square that moves."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from support.annotation_samples import box, cvat, track

FRAMES = 60
WIDTH, HEIGHT = 160, 120
SIDE = 30


def write_square_video(path: Path, top: int = 40) -> Path:
    """Write 6 seconds at 10 frames per second: the square moves right by one pixel per frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(FRAMES):
            picture = _picture(index, top)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_square_annotation(path: Path, video: str, top: int = 40) -> Path:
    """Write the square's key frames, every tenth one, as CVAT for video 1.1."""
    rows = [box(i, (10 + i, top, 10 + i + SIDE, top + SIDE)) for i in [*range(0, 59, 10), 59]]
    text = cvat(track(*rows), stop=FRAMES - 1, source=video, size=(WIDTH, HEIGHT))
    path.write_text(text.replace("cup", "square"))
    return path


def _picture(index: int, top: int) -> np.ndarray:
    picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    picture[top : top + SIDE, 10 + index : 10 + index + SIDE] = 220
    return picture
