"""CVAT for video 1.1: tracks of key frames, from task, job and project dumps.

Only rows with keyframe="1" are what a person drew. The rows between them were interpolated by CVAT
when it wrote the dump; they are kept as an oracle for our own interpolation. No library reads these
tracks right: importers keep `outside` boxes, or take the interpolated rows for drawn ones.
"""

from __future__ import annotations

from pathlib import Path

from kfdet.boxes.rotation import envelope
from kfdet.dataset.formats.cvat_xml import Dump, Row, Task, Track, parse_dump, unread_shape
from kfdet.dataset.formats.model import AnnotationSet, KeyBox, SourceAnnotations
from kfdet.errors import Problem


def read(path: Path) -> AnnotationSet:
    """Read a dump (XML, or zip with annotations.xml): one source a task, key boxes in file order.

    Frames are absolute source frames, as CVAT writes them (start frame + index * step); a project's
    running numbers are turned back into each task's own. Coordinates are pixels.

    Raises:
        InputError: The file is not CVAT's XML, not well-formed, or hostile.
    """
    return interpret(parse_dump(path))


def interpret(dump: Dump) -> AnnotationSet:
    """The sources of a parsed dump's tracks."""
    result = AnnotationSet(labels=dump.labels, problems=dump.problems)
    sources = [source_of(task, dump.file) for task in dump.tasks]
    for track in dump.tracks:
        if track.shapes and not track.rows:
            shape, line = next(iter(track.shapes.items()))
            result.problems.append(unread_shape("track", shape, dump.file, line))
            continue
        problem = _header_problem(track)
        frames = [row.frame for row in track.rows] or [0]
        task = dump.task_of(track.task, track.subset, range(min(frames), max(frames) + 1))
        if task is None:
            problem = problem or (
                "it cannot be told which task of the project the track belongs to",
                "Export each task by itself.",
            )
        if problem:
            text, hint = problem
            result.problems.append(
                Problem("error", f"track {track.id}: {text}.", dump.file, track.line, hint=hint)
            )
            continue
        assert task is not None
        source = sources[dump.tasks.index(task)]
        _add_rows(source, track, task, result.problems)
    result.sources = sources
    return result


def source_of(task: Task, file: str) -> SourceAnnotations:
    """The source that a video task annotates, without boxes yet."""
    return SourceAnnotations(
        kind="video",
        file=file,
        names=tuple(dict.fromkeys(name for name in (task.source, task.name) if name)),
        named=bool(task.source),
        width=task.width,
        height=task.height,
        start=task.start,
        stop=task.stop,
        step=task.step,
    )


def _header_problem(track: Track) -> tuple[str, str] | None:
    if not track.label:
        return "it has no label", "Give the track a label in CVAT and export again."
    if track.shapes:
        shape = next(iter(track.shapes))
        return (
            f"it mixes boxes with a {shape}",
            "A track holds one kind of shape; split it in CVAT and export again.",
        )
    return None


def _add_rows(source: SourceAnnotations, track: Track, task: Task, problems: list[Problem]) -> None:
    last: Row | None = None
    for row in track.rows:
        if last is not None and row.frame <= last.frame:
            what = "is there twice" if row.frame == last.frame else f"comes after {last.frame}"
            problems.append(
                Problem(
                    "error",
                    f"track {track.id}: frame {row.frame - task.offset} {what}; "
                    "frames of a track must rise.",
                    source.file,
                    row.line,
                    row.frame - task.offset,
                    "Sort or delete the row, or export the task again.",
                )
            )
            continue
        last = row
        frame = row.frame - task.offset
        if row.keyframe:
            source.keys.append(
                KeyBox(
                    track.id,
                    track.label,
                    frame,
                    row.xmin,
                    row.ymin,
                    row.xmax,
                    row.ymax,
                    row.rotation,
                    row.outside,
                    row.occluded,
                    row.line,
                )
            )
        elif not row.outside:
            box = envelope(row.xmin, row.ymin, row.xmax, row.ymax, row.rotation)
            source.oracle.extend((track.id, frame, *box, row.line))
