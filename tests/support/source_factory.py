"""Sources of plans for tests."""

from __future__ import annotations

from kfdet.planning.plan import Source
from kfdet.planning.ranges import Ranges


def video(
    name: str = "v.mp4",
    frames: int = 600,
    *,
    fps: float = 10.0,
    start: int = 0,
    step: int = 1,
    train: Ranges = (),
    val: Ranges = (),
    background: bool = False,
) -> Source:
    stop = frames - 1 - (frames - 1 - start) % step
    size = (640, 360)
    return Source(
        name,
        "video",
        f"{name}.xml",
        *size,
        frames,
        fps,
        start,
        stop,
        step,
        train,
        val,
        background,
    )


def image(name: str, *, annotation: str = "i.xml", train: Ranges = ((0, 0),)) -> Source:
    return Source(name, "image", annotation, 400, 300, 1, 0.0, 0, 0, 1, train)
