"""Small gray pictures of chosen frames of a video: what motion is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from av.video.reformatter import Interpolation

from kfdet.video.extraction import Frames, decode_frames
from kfdet.video.jpeg import Plane, turned
from kfdet.video.packets import PacketTable
from kfdet.video.probe import turn


def read_gray(path: Path, table: PacketTable, frames: Frames, size: tuple[int, int]) -> list[Plane]:
    """Decode `frames` of a video, shrunk and upright.

    Args:
        path: The video.
        table: Its packets.
        frames: Rising 0-based frames of the video, at least one.
        size: Width and height of the pictures, as a viewer sees the video.

    Returns:
        One (height, width) picture per frame. In place of a frame that does not decode stands the
        one before it, before the first one the first.
    """
    rotation = turn(table.first)
    width, height = size[::-1] if rotation in (90, 270) else size
    found = {}
    for number, frame in decode_frames(path, table, frames, threads=0, lost=[]):
        gray = frame.reformat(width, height, "gray", interpolation=Interpolation.AREA, threads=1)
        found[number] = turned(np.asarray(gray.to_ndarray(), np.uint8), rotation)
    last = next(iter(found.values()), np.zeros(size[::-1], np.uint8))
    pictures = []
    for number in frames.tolist():
        last = found.get(number, last)
        pictures.append(last)
    return pictures
