"""Boxes between key frames moved to where the video's pictures show the object.

Per pair of neighbouring key frames the most plausible path of the box's centre (`path`), by the
look of the object on both and, where the camera stands still, by what moves; then one smooth path
per track. Sizes stay those of the interpolation that serves as the first guess.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kfdet import events
from kfdet.boxes.tables import SIDES, corners
from kfdet.files import count_cores
from kfdet.motion.path import Look, find_path, smooth
from kfdet.motion.scene import Picture, Scene, cut
from kfdet.motion.stretches import Stretch, find_stretches
from kfdet.video.gray import read_gray
from kfdet.video.packets import scan
from kfdet.video.probe import describe

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_RATE = 10.0
"""Pictures per second that are looked at, at most; key frames besides."""
_LONGEST_GAP = 15.0
"""Seconds between two key frames above which the pictures are not asked."""
_OBJECT_SIDE = 48
"""Pixels of the objects' longer sides in the pictures that are looked at (the median)."""
_PICTURE_SIDE = 640
"""Pixels of the pictures' longer side, at most."""
_BATCH = 512
"""Pictures that are kept at a time, about."""
_MARGIN = 0.15
"""Share of the box added on each side where the outline of what moves is compared."""
_SILHOUETTE = (33, 49)
_FLAT = 10
"""Standard deviation below which the outline of what moves says nothing."""
_REACH, _REACH_PER_SECOND, _LARGEST_REACH = 0.5, 0.34, 1.4
"""How far from the first guess an object may be, in its longer side."""
_STIFFNESS = 0.5
"""Seconds: turns that are shorter are taken for errors of the path."""
_ERROR = 0.05
"""Error of the path as a share of the object's longer side; what differs more is motion."""
_KNOWN = 1e9


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a stretch between two neighbouring key frames.

    Args:
        stretch: Number of the stretch.
        at: Positions in the stretch that are looked at, the two key frames included.
        frames: Their source frames.
    """

    stretch: int
    at: Integers
    frames: Integers


def track_boxes(
    boxes: pa.Table, video: Path, step: int, left_out: Collection[int] = ()
) -> pa.Table:
    """Move the boxes between key frames to where the video shows the objects.

    Boxes that are drawn by a person, before an outside key or after the last key stay, as do those
    between key frames that are more than 15 seconds apart.

    Args:
        boxes: BOX_SCHEMA, of one video, interpolated.
        video: The video.
        step: Distance between task frames in source frames.
        left_out: Tracks to leave alone.

    Returns:
        The table with other sides, and "tracked" as their method.

    Raises:
        InputError: Not a video.
    """
    table = scan(video)
    info = describe(table)
    fps = info.fps or _RATE
    stretches = find_stretches(boxes, step, _LONGEST_GAP * fps, left_out)
    segments = _segments(stretches, step, max(1, round(fps / step / _RATE)))
    if not segments:
        return boxes
    sides = np.concatenate([each.sizes[each.drawn].max(axis=1) for each in stretches])
    scale = min(1.0, _OBJECT_SIDE / np.median(sides), _PICTURE_SIDE / max(info.width, info.height))
    size = max(1, round(info.width * scale)), max(1, round(info.height * scale))
    ratio = np.array(size) / (info.width, info.height)

    progress = events.Progress("track boxes", len(segments), "gaps")
    paths = [each.centres * ratio for each in stretches]
    seen = [np.where(each.drawn, _KNOWN, 0.0) for each in stretches]
    with ThreadPoolExecutor(count_cores()) as pool:
        for batch in _batches(segments):
            frames = np.unique(np.concatenate([each.frames for each in batch]))
            scene = Scene(frames.tolist(), read_gray(video, table, frames, size))
            outlines = _outlines(scene, stretches, batch, ratio)
            find = partial(_find, scene, stretches, outlines, ratio, fps)
            for segment, centres in zip(batch, pool.map(find, batch), strict=True):
                inner = segment.at[1:-1]
                paths[segment.stretch][inner] = centres[1:-1]
                seen[segment.stretch][inner] = 1
                progress.advance()
    return _moved(boxes, stretches, paths, seen, ratio, fps / step)


def _segments(stretches: list[Stretch], step: int, every: int) -> list[Segment]:
    """All segments by their first frame; of the task's frames each `every`th is looked at."""
    segments = []
    for number, stretch in enumerate(stretches):
        chosen = stretch.frames // step % every == 0
        for first, last in stretch.gaps():
            inner = np.arange(first + 1, last)
            at = np.concatenate([[first], inner[chosen[inner]], [last]])
            if len(at) > 2:
                segments.append(Segment(number, at, stretch.frames[at]))
    return sorted(segments, key=lambda segment: int(segment.frames[0]))


def _batches(segments: list[Segment]) -> Iterator[list[Segment]]:
    """Neighbouring segments, which share about _BATCH pictures."""
    batch: list[Segment] = []
    frames: set[int] = set()
    for segment in segments:
        if len(frames) > _BATCH:
            yield batch
            batch, frames = [], set()
        batch.append(segment)
        frames.update(segment.frames.tolist())
    yield batch


def _outlines(
    scene: Scene, stretches: list[Stretch], batch: list[Segment], ratio: Floats
) -> dict[int, Picture]:
    """By stretch: what moves in its key boxes of the batch, on average; {} if everything does."""
    if scene.moving is None:
        return {}
    keys: dict[int, set[int]] = {}
    for segment in batch:
        keys.setdefault(segment.stretch, set()).update(segment.at[[0, -1]].tolist())
    outlines = {}
    for number, positions in keys.items():
        stretch = stretches[number]
        parts = [
            cut(
                scene.moving[int(stretch.frames[at])],
                stretch.centres[at] * ratio,
                stretch.sizes[at] * ratio * (1 + 2 * _MARGIN),
                _SILHOUETTE,
            )
            for at in sorted(positions)
        ]
        outline = np.rint(np.mean(parts, axis=0)).astype(np.uint8)
        if outline.std() > _FLAT:
            outlines[number] = outline
    return outlines


def _find(
    scene: Scene,
    stretches: list[Stretch],
    outlines: dict[int, Picture],
    ratio: Floats,
    fps: float,
    segment: Segment,
) -> Floats:
    """The centres (N, 2) of a segment in pixels of the pictures."""
    stretch = stretches[segment.stretch]
    centres = stretch.centres[segment.at] * ratio
    sizes = stretch.sizes[segment.at] * ratio
    size = sizes.mean(axis=0)
    pixels = _odd(size)
    frames = segment.frames.tolist()
    pictures = [scene.pictures[frame] for frame in frames]
    ends = tuple(cut(pictures[at], centres[at], sizes[at], pixels) for at in (0, -1))
    looks = [Look(pictures, ends)]
    outline = outlines.get(segment.stretch)
    if scene.moving is not None and outline is not None:
        pixels = _odd(size * (1 + 2 * _MARGIN))
        resized = np.asarray(cv2.resize(outline, pixels, interpolation=cv2.INTER_AREA), np.uint8)
        looks.append(Look([scene.moving[frame] for frame in frames], (resized,)))
    seconds = (frames[-1] - frames[0]) / fps
    length = float(size.max())
    reach = length * min(_LARGEST_REACH, _REACH + _REACH_PER_SECOND * seconds)
    return find_path(centres, looks, length, reach, seconds / (len(frames) - 1))


def _odd(size: Floats) -> tuple[int, int]:
    width, height = (max(3, 2 * round((side - 1) / 2) + 1) for side in size.tolist())
    return width, height


def _moved(
    boxes: pa.Table,
    stretches: list[Stretch],
    paths: list[Floats],
    seen: list[Floats],
    ratio: Floats,
    rate: float,
) -> pa.Table:
    """The table with its boxes on the smoothed paths, which are in pixels of the pictures."""
    sides = corners(boxes)
    moved = np.zeros(len(boxes), bool)
    for stretch, path, weights in zip(stretches, paths, seen, strict=True):
        if not (weights == 1).any():
            continue
        length = float((stretch.sizes * ratio).max(axis=1).mean())
        centres = _smooth(path, weights, rate, _ERROR * length) / ratio
        inner = ~stretch.drawn
        rows = stretch.rows[inner]
        sides[rows] += np.tile(centres - stretch.centres, 2)[inner]
        moved[rows] = True
    method = pc.if_else(pa.array(moved), "tracked", boxes["method"])
    for name, column in zip((*SIDES, "method"), (*sides.T, method), strict=True):
        boxes = boxes.set_column(boxes.schema.get_field_index(name), name, [column])
    return boxes


def _smooth(path: Floats, seen: Floats, rate: float, error: float) -> Floats:
    """As smooth as errors of the path explain, which are `error` pixels (root mean square)."""
    measured = seen == 1
    stiffness = _STIFFNESS * rate
    while True:
        smoothed = smooth(path, seen, stiffness)
        rest = np.sqrt(((smoothed - path)[measured] ** 2).sum(axis=1).mean())
        if rest <= error or stiffness < 1:
            return smoothed
        stiffness /= 2
