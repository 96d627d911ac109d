"""CVAT for video 1.1: tracks of key frames, from task, job and project dumps.

Only rows with keyframe="1" are what a person drew. The rows between them were interpolated by CVAT
when it wrote the dump; they are kept as a reference for our own interpolation. No library reads
these tracks right: importers keep `outside` boxes, or take the interpolated rows for drawn ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from kfdet.boxes.rotation import envelope
from kfdet.boxes.tables import SIDES, UNTRACKED
from kfdet.dataset.formats.cvat_dump import Dump, Row, Task, TaskIndex, Track
from kfdet.dataset.formats.cvat_xml import box_sides, flag, parse_dump, unread_shape, write_labels
from kfdet.dataset.formats.model import (
    SIDE_NAMES,
    AnnotatedItem,
    AnnotationSet,
    KeyBox,
    SourceAnnotations,
)
from kfdet.dataset.formats.pictures import picture_name
from kfdet.dataset.formats.xmlfile import XmlWriter
from kfdet.errors import Problem
from kfdet.files import atomic_file, atomic_folder


def read(path: Path) -> AnnotationSet:
    """Read a dump (XML, or zip with annotations.xml): one source per task, key boxes in file order.

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
    index = TaskIndex(dump)
    unread: set[str] = set()
    for track in dump.tracks:
        if track.shapes and not track.rows:
            shape, line = next(iter(track.shapes.items()))
            result.problems.append(unread_shape("track", shape, dump.file, line))
            unread.add(track.task if dump.project else "")
            continue
        problem = _header_problem(track)
        frames = [row.frame for row in track.rows] or [0]
        place = index.find(track.task, track.subset, range(min(frames), max(frames) + 1))
        if place is None:
            problem = problem or (
                "it is not known which task of the project the track belongs to",
                "Export each task by itself.",
            )
        if problem:
            text, hint = problem
            result.problems.append(
                Problem("error", f"track {track.id}: {text}.", dump.file, track.line, hint=hint)
            )
            continue
        assert place is not None
        _add_rows(sources[place], track, dump.tasks[place], result.problems)
    for source, task in zip(sources, dump.tasks, strict=True):
        # A video that shows an object whose track is left out is not background. Where a project
        # does not state the track's task, it may be any of them.
        if task.id in unread or "" in unread:
            source.reviewed = False
    result.sources = sources
    return result


def source_of(task: Task, file: str) -> SourceAnnotations:
    """The source that a video task annotates, without boxes yet."""
    return SourceAnnotations(
        kind="video",
        file=file,
        names=tuple(dict.fromkeys(name for name in (task.source, task.name) if name)),
        names_media_file=bool(task.source),
        width=task.width,
        height=task.height,
        start=task.start,
        stop=task.stop,
        step=task.step,
        reviewed=True,
        side=SIDE_NAMES.get(task.subset.lower(), ""),
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
                    row.difficult,
                    row.ignore,
                )
            )
        elif not row.outside:
            box = envelope(row.xmin, row.ymin, row.xmax, row.ymax, row.rotation)
            source.reference_boxes.extend((track.id, frame, *box, row.line))


def write(
    entries: Sequence[AnnotatedItem], labels: Sequence[str], target: Path, key_frames: bool
) -> None:
    """Write "CVAT for video 1.1": one XML per video, named after it, or `target` if that is a file.

    Key boxes are written with keyframe="1" as they were drawn; unless `key_frames`, the boxes
    between them follow with keyframe="0" (not in turned tracks, whose angle they would lose).
    Coordinates have CVAT's two digits.
    """
    if target.suffix == ".xml":
        _write_one(entries[0], labels, target, key_frames)
        return
    with atomic_folder(target) as folder:
        for entry in entries:
            name = PurePosixPath(picture_name(entry.item, 0)).parent
            _write_one(entry, labels, folder / f"{name}.xml", key_frames)


def _write_one(entry: AnnotatedItem, labels: Sequence[str], target: Path, key_frames: bool) -> None:
    item = entry.item
    with atomic_file(target) as path, path.open("wb") as stream:
        xml = XmlWriter(stream)
        xml.open("annotations")
        xml.leaf("version", "1.1")
        xml.open("meta")
        xml.open("task")
        name = PurePosixPath(item.name).name
        size = (item.stop - item.start) // item.step + 1
        for tag, value in (
            ("name", name),
            ("size", size),
            ("mode", "interpolation"),
            ("start_frame", item.start),
            ("stop_frame", item.stop),
            ("frame_filter", f"step={item.step}" if item.step > 1 else ""),
        ):
            xml.leaf(tag, str(value))
        write_labels(xml, labels)
        xml.open("original_size")
        xml.leaf("width", str(item.width))
        xml.leaf("height", str(item.height))
        xml.close("original_size")
        xml.leaf("source", name)
        xml.close("task")
        xml.close("meta")
        for track, (label, rows) in enumerate(_tracks(entry, key_frames)):
            attributes = {"id": str(track), "label": label, "source": "manual"}
            xml.open("track", attributes)
            for row in rows:
                xml.leaf("box", "", row)
            xml.close("track")
        xml.close("annotations")


def _tracks(entry: AnnotatedItem, key_frames: bool) -> Iterable[tuple[str, list[dict[str, str]]]]:
    """Label and <box> attributes of each track; a box without a track becomes one of one frame."""
    item = entry.item
    tracks: defaultdict[int, list[KeyBox]] = defaultdict(list)
    for key in item.keys:
        if key.track_id != UNTRACKED:
            tracks[key.track_id].append(key)
    between: defaultdict[int, list[dict[str, object]]] = defaultdict(list)
    if not key_frames:
        for box in entry.boxes.to_pylist():
            if not box["keyframe"]:
                between[box["track_id"]].append(box)
    for track, keys in sorted(tracks.items()):
        rows = [(key.frame, _key_row(key)) for key in keys]
        if not any(key.rotation for key in keys):
            rows += [(int(str(box["frame"])), _between_row(box)) for box in between[track]]
        yield keys[0].label, [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    for key in item.keys:
        if key.track_id == UNTRACKED:
            gone = key._replace(frame=key.frame + item.step, outside=True)
            yield key.label, [_key_row(k) for k in (key, gone) if k.frame <= item.stop]


def _key_row(key: KeyBox) -> dict[str, str]:
    row = _row(key.frame, key.outside, key.occluded, True)
    row |= box_sides(key.xmin, key.ymin, key.xmax, key.ymax)
    if key.rotation:
        row["rotation"] = f"{key.rotation:.2f}"
    return {**row, "z_order": "0"}


def _between_row(box: dict[str, object]) -> dict[str, str]:
    row = _row(box["frame"], False, box["occluded"], False)
    row |= box_sides(*(box[side] for side in SIDES))
    return {**row, "z_order": "0"}


def _row(frame: object, outside: object, occluded: object, keyframe: bool) -> dict[str, str]:
    return {
        "frame": str(frame),
        "keyframe": flag(keyframe),
        "outside": flag(outside),
        "occluded": flag(occluded),
    }
