"""The border that everything read from an annotation file crosses once, whatever its format.

Behind it numbers are finite and within the limits, and names and labels are text that can be
stored, compared and printed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from kfdet.dataset.formats.limits import (
    MAX_BOXES,
    MAX_COORDINATE,
    MAX_FRAMES,
    MAX_ID,
    MAX_LABEL_LENGTH,
    MAX_LABELS,
    MAX_PATH_BYTES,
    MAX_SIDE,
)
from kfdet.dataset.formats.model import AnnotationSet, KeyBox, SourceAnnotations
from kfdet.errors import InputError, Problem

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of surrogate pairs, which no file or table can hold."""


def admit(found: AnnotationSet, file: str) -> AnnotationSet:
    """`found` without what is out of bounds; each of that becomes a problem.

    Raises:
        InputError: The file holds more boxes or labels than kfdet reads.
    """
    if sum(len(source.keys) for source in found.sources) > MAX_BOXES:
        raise InputError(f"holds more than {MAX_BOXES:,} boxes.", file=file, hint="Split it.")
    labels = {label: _is_label(label) for label in found.labels}
    result = AnnotationSet(labels=[label for label in found.labels if labels[label]])
    result.problems = found.problems
    for source in found.sources:
        refused = list(_refused(source))
        if refused:
            result.problems += refused
            continue
        names = tuple(name for name in source.names if is_text(name, MAX_PATH_BYTES))
        # What it says is about the first of them.
        source.names_media_file &= bool(names) and names[0] == source.names[0]
        source.names = names
        for key in source.keys:
            if key.label not in labels:
                labels[key.label] = _is_label(key.label)
        if not all(_fits(key) and labels[key.label] for key in source.keys):
            _leave_out(source, labels, result.problems)
        result.sources.append(source)
    if len(labels) > MAX_LABELS:
        raise InputError(
            f"uses {len(labels):,} different labels; kfdet reads at most {MAX_LABELS:,}.",
            file=file,
            hint="Labels are kinds of objects. Put what tells objects of a kind apart elsewhere.",
        )
    return result


def is_text(value: str, most: int) -> bool:
    """Whether `value` has at most `most` bytes in UTF-8 and no control characters."""
    return len(value) <= most and not _UNPRINTABLE.search(value) and len(value.encode()) <= most


def _is_label(value: str) -> bool:
    return bool(value.strip()) and is_text(value, MAX_LABEL_LENGTH)


def _refused(source: SourceAnnotations) -> Iterator[Problem]:
    """Why the source as a whole cannot be used."""

    def problem(text: str) -> Problem:
        return Problem("error", f"{text}.", source.file, hint="Correct it, or export it again.")

    if source.names and not any(is_text(name, MAX_PATH_BYTES) for name in source.names):
        shown = repr(source.names[0][:60])
        yield problem(
            f"the name of its {source.kind}, {shown}, has control characters or more than "
            f"{MAX_PATH_BYTES} bytes"
        )
    for what, value, least, most in (
        ("width", source.width, 0, MAX_SIDE),
        ("height", source.height, 0, MAX_SIDE),
        ("first frame", source.start, 0, MAX_FRAMES),
        ("step", source.step, 1, MAX_FRAMES),
    ):
        if not least <= value <= most:
            yield problem(f"its {what} must be {least} to {most:,}, got {_shown(value)}")


def _fits(key: KeyBox) -> bool:
    """Whether the numbers of a box are finite and within the limits."""
    _, _, frame, xmin, ymin, xmax, ymax, rotation, *_ = key
    return (
        # Also False where a side is NaN.
        -MAX_COORDINATE <= xmin <= MAX_COORDINATE
        and -MAX_COORDINATE <= ymin <= MAX_COORDINATE
        and -MAX_COORDINATE <= xmax <= MAX_COORDINATE
        and -MAX_COORDINATE <= ymax <= MAX_COORDINATE
        and -MAX_COORDINATE <= rotation <= MAX_COORDINATE
        and -MAX_FRAMES <= frame <= MAX_FRAMES
        and -MAX_ID <= key.track_id <= MAX_ID
    )


def _leave_out(source: SourceAnnotations, labels: dict[str, bool], problems: list[Problem]) -> None:
    kept: list[KeyBox] = []
    for key in source.keys:
        text = _excess(key, labels)
        if text:
            frame = key.frame if source.kind == "video" and abs(key.frame) <= MAX_FRAMES else None
            problems.append(
                Problem(
                    "error",
                    f"{text}; the box is left out.",
                    source.file,
                    key.line or None,
                    frame,
                    hint="Correct it, or draw the box again.",
                )
            )
        else:
            kept.append(key)
    source.keys = kept


def _excess(key: KeyBox, labels: dict[str, bool]) -> str:
    """What is wrong with a box; "" where nothing is."""
    if not key.label.strip():
        return "a box has no label"
    if not labels[key.label]:
        return (
            f"the label {key.label[:60]!r} has control characters or more than "
            f"{MAX_LABEL_LENGTH} bytes"
        )
    if _fits(key):
        return ""
    if abs(key.frame) > MAX_FRAMES:
        return f"a box of {key.label!r} is on frame {_shown(key.frame)}, the last is {MAX_FRAMES:,}"
    if abs(key.track_id) > MAX_ID:
        return f"the number of a track of {key.label!r} has more digits than kfdet reads"
    if not all(map(math.isfinite, (*key[3:7], key.rotation))):
        return f"the box of {key.label!r} has a coordinate that is not a number"
    return f"the box of {key.label!r} has a coordinate beyond {MAX_COORDINATE:,.0f}"


def _shown(value: int) -> str:
    """A number for a message; Python does not write numbers of thousands of digits."""
    return f"{value:,}" if abs(value) < 10**30 else f"a number of {value.bit_length()} bits"
