"""Checks of the boxes of one source against its video or image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kfdet.boxes.interpolation import boxes_at
from kfdet.boxes.rotation import envelope
from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats.limits import MAX_FRAMES, MAX_ID
from kfdet.dataset.formats.model import (
    REFERENCE_COLUMNS,
    KeyBox,
    SourceAnnotations,
    key_table,
)
from kfdet.errors import Problem

OVERHANG = 1.0
"""Pixels by which a box may leave the frame without a warning: tools round differently."""
OPEN_END_SECONDS = 5.0
REFERENCE_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Media:
    """The video or image behind a source: displayed size in pixels, frames, frames per second.

    Args:
        width: 0 where it is not known; boxes may then lie anywhere.
        stored: Width and height as stored, before an image's EXIF orientation; (0, 0) elsewhere.
    """

    name: str
    width: int
    height: int
    frames: int
    fps: float
    stored: tuple[int, int] = (0, 0)


def check_source(source: SourceAnnotations, media: Media) -> tuple[list[KeyBox], list[Problem]]:
    """The key boxes that can be used, and every problem with `source` on `media`.

    Boxes are as annotated, in pixels: those that stick out of the frame are reported, not clipped.
    """
    problems = _size_problem(source, media)
    fits = not problems
    keys: list[KeyBox] = []
    late: list[KeyBox] = []
    for key in source.keys:
        if not 0 <= key.frame < media.frames:
            # A track may end after the last frame: nothing is lost.
            if not (key.outside and key.frame >= media.frames):
                late.append(key)
            continue
        problem = _box_problem(key, source.file, media, fits)
        if problem:
            problems.append(problem)
        if problem is None or problem.severity == "warning":
            keys.append(key)
    problems += _late_problem(source, media, late)
    problems += _start_problem(source, media)
    problems += _grid_problem(source, keys)
    if source.kind == "video":
        problems += _open_ends(source, keys, media)
        if source.reference_boxes and not any(p.severity == "error" for p in problems):
            problems += compare_with_reference(source, keys)
    return keys, problems


def _size_problem(source: SourceAnnotations, media: Media) -> list[Problem]:
    stated, real = (source.width, source.height), (media.width, media.height)
    if 0 in stated or 0 in real or stated == real:
        return []
    hint = f"These may be the annotations of another {source.kind}; check which file they belong to"
    if stated == media.stored:
        hint = (
            "The image is rotated by its EXIF orientation, which the annotation tool ignored; "
            "save the image upright and annotate it again"
        )
    elif math.isclose(stated[0] / stated[1], real[0] / real[1], rel_tol=0.01):
        hint += f", or whether the {source.kind} was resized after labelling"
    return [
        Problem(
            "error",
            f"the annotations are for {stated[0]}x{stated[1]} pixels, but {media.name} has "
            f"{real[0]}x{real[1]}.",
            source.file,
            hint=f"{hint}.",
        )
    ]


def _box_problem(key: KeyBox, file: str, media: Media, fits: bool) -> Problem | None:
    frame = key.frame if media.frames > 1 else None
    sides = key[3:7]
    text = ", ".join(f"{side:g}" for side in sides)

    def problem(severity: Literal["error", "warning"], what: str, hint: str) -> Problem:
        found = f"the box of {key.label!r} ({text}) {what}"
        return Problem(severity, found, file, key.line or None, frame, hint)

    if key.outside:
        return None
    if key.xmax <= key.xmin or key.ymax <= key.ymin:
        return problem("error", "has no area.", "Draw it again or delete it.")
    if not fits or not media.width:
        # With the wrong picture behind them boxes lie anywhere; that is one problem, not hundreds.
        return None
    xmin, ymin, xmax, ymax = envelope(*sides, key.rotation)
    size = f"the {media.width}x{media.height} frame"
    if xmax <= 0 or ymax <= 0 or xmin >= media.width or ymin >= media.height:
        return problem("error", f"lies outside {size}.", "Move it or delete it.")
    overhang = max(-xmin, -ymin, xmax - media.width, ymax - media.height)
    if overhang > OVERHANG:
        return problem(
            "warning", f"sticks out of {size} by {overhang:g} pixels; it is clipped.", ""
        )
    return None


def _late_problem(source: SourceAnnotations, media: Media, late: Sequence[KeyBox]) -> list[Problem]:
    if not late:
        return []
    first = late[0]
    more = f" (and so are {len(late) - 1} more)" if len(late) > 1 else ""
    return [
        Problem(
            "error",
            f"a box is on frame {first.frame}, but {media.name} has only the frames 0 to "
            f"{media.frames - 1}{more}.",
            source.file,
            first.line or None,
            first.frame,
            "These may be the annotations of another video, or the video was cut after labelling.",
        )
    ]


def _start_problem(source: SourceAnnotations, media: Media) -> list[Problem]:
    if source.start < media.frames:
        return []
    return [
        Problem(
            "error",
            f"its task starts on frame {source.start}, but {media.name} has only the frames 0 to "
            f"{media.frames - 1}.",
            source.file,
            hint="These may be the annotations of another video, or the number is damaged.",
        )
    ]


def _grid_problem(source: SourceAnnotations, keys: Sequence[KeyBox]) -> list[Problem]:
    last = math.inf if source.stop is None else source.stop
    off = [
        key
        for key in keys
        if not source.start <= key.frame <= last or (key.frame - source.start) % source.step
    ]
    if not off:
        return []
    stop = "the end" if source.stop is None else str(source.stop)
    return [
        Problem(
            "warning",
            f"{len(off)} key boxes are not on the task's frames ({source.start} to {stop}, every "
            f"{source.step}), the first one on frame {off[0].frame}.",
            source.file,
            off[0].line or None,
            off[0].frame,
            "The export may be damaged; check that boxes sit on their objects.",
        )
    ]


def _open_ends(source: SourceAnnotations, keys: Sequence[KeyBox], media: Media) -> list[Problem]:
    last_keys = {key.track_id: key for key in keys if key.track_id != UNTRACKED}
    stop = media.frames - 1 if source.stop is None else min(source.stop, media.frames - 1)
    problems = []
    for key in last_keys.values():
        seconds = (stop - key.frame) / media.fps if media.fps > 0 else 0.0
        if not key.outside and seconds > OPEN_END_SECONDS:
            problems.append(
                Problem(
                    "warning",
                    f"track {key.track_id} ({key.label}) has no end: its box stays in place from "
                    f"here to frame {stop}, for {seconds:.0f} seconds.",
                    source.file,
                    key.line or None,
                    key.frame,
                    "Mark the frame where the object leaves as 'outside', or add a key frame.",
                )
            )
    return problems


def compare_with_reference(source: SourceAnnotations, keys: Sequence[KeyBox]) -> list[Problem]:
    """Warn, once per track, where our interpolation disagrees with the annotation tool's own.

    Rows that the tool left out are not compared: it omits frames that were deleted in a task.
    """
    reference = np.frombuffer(source.reference_boxes, np.float64).reshape(-1, REFERENCE_COLUMNS)
    within = (np.abs(reference[:, 0]) <= MAX_ID) & (np.abs(reference[:, 1]) <= MAX_FRAMES)
    reference = reference[within]
    track, frame = reference[:, :2].astype(np.int64).T
    stop = MAX_FRAMES if source.stop is None else min(source.stop, MAX_FRAMES)
    task = (source.start, stop, source.step)
    found, ours = boxes_at(key_table([("", keys)]), task, track, frame)
    difference = np.where(found, np.abs(ours - reference[:, 2:6]).max(axis=1), np.inf)
    wrong = np.flatnonzero(difference > REFERENCE_TOLERANCE)
    wrong = wrong[np.argsort(track[wrong], kind="stable")]
    tracks, begins, counts = np.unique(track[wrong], return_index=True, return_counts=True)
    problems = []
    for number, begin, count in zip(tracks.tolist(), begins.tolist(), counts.tolist(), strict=True):
        first = reference[wrong[begin]]
        worst = difference[wrong[begin : begin + count]].max()
        by = f"by up to {worst:.2f} pixels" if np.isfinite(worst) else "where we have no box"
        problems.append(
            Problem(
                "warning",
                f"track {number}: {count} of the boxes that the annotation tool "
                f"interpolated differ from ours, {by}.",
                source.file,
                int(first[6]),
                int(first[1]),
                "Ours follow from the key frames and are used; look at this track once.",
            )
        )
    return problems
