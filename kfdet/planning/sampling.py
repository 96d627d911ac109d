"""Selection of the frames of a source that a run uses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from kfdet.errors import InputError
from kfdet.planning.plan import Source

Frames = npt.NDArray[np.int64]
"""Rising 0-based frames of a video."""


def select_frames(
    source: Source, key_frames: Iterable[int], frame_rate: float, every: int
) -> Frames:
    """The frames of `source` that later stages use, all inside its used ranges.

    Args:
        source: A video or image of the plan.
        key_frames: Frames with key boxes; always used.
        frame_rate: At most this many frames per second of the annotation task's frames.
        every: Every Nth task frame instead, where it is not 0.

    Returns:
        Rising frames of the source video.

    Raises:
        InputError: `frame_rate` is not positive, or `every` is negative.
    """
    task = np.arange(source.start, min(source.stop, source.frames - 1) + 1, source.step)
    chosen = task[thin(len(task), source.fps / source.step, frame_rate, every)]
    keys = np.fromiter(key_frames, np.int64)
    frames = np.union1d(chosen, keys[(keys >= 0) & (keys < source.frames)]).astype(np.int64)
    used = np.zeros(len(frames), bool)
    for first, last in source.used:
        used |= (frames >= first) & (frames <= last)
    return frames[used]


def thin(count: int, fps: float, frame_rate: float, every: int) -> Frames:
    """Positions, out of `count` at `fps`, that leave every Nth or at most `frame_rate` per second.

    Raises:
        InputError: `frame_rate` is not positive or `every` is negative.
    """
    if every < 0:
        raise InputError(f"every must be at least 0, got {every}.")
    if every:
        return np.arange(0, count, every, dtype=np.int64)
    if not frame_rate > 0:
        raise InputError(f"frame_rate must be more than 0, got {frame_rate}.")
    # The small step keeps 29.97 / 9.99 from skipping a frame through rounding.
    stride = max(1.0, fps / frame_rate)
    positions = np.floor(np.arange(0, count, stride) + 1e-6).astype(np.int64)
    return np.minimum(positions, count - 1, dtype=np.int64)
