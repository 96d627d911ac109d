"""Writers of CVAT's XML 1.1, as CVAT itself dumps tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from kfdet.dataset.formats.model import UNTRACKED, KeyBox, Labelled
from kfdet.dataset.formats.xmlfile import XmlWriter
from kfdet.dataset.media_index import picture_name
from kfdet.files import atomic_file, atomic_folder

Row = tuple[int, str, dict[str, str]]
"""Track, label and attributes of a <box>."""


def write_video(
    entries: Sequence[Labelled], labels: Sequence[str], target: Path, key_frames: bool
) -> None:
    """Write "CVAT for video 1.1": one XML a video, named after it, or `target` if that is a file.

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


def write_images(entries: Sequence[Labelled], labels: Sequence[str], target: Path, _: bool) -> None:
    """Write "CVAT for images 1.1": one XML of images, and of the frames of videos that have boxes.

    Coordinates have CVAT's two digits.
    """
    with atomic_file(target) as path, path.open("wb") as stream:
        xml = XmlWriter(stream)
        xml.open("annotations")
        xml.leaf("version", "1.1")
        xml.open("meta")
        xml.open("task")
        xml.leaf("mode", "annotation")
        _write_labels(xml, labels)
        xml.close("task")
        xml.close("meta")
        number = 0
        for entry in entries:
            item = entry.item
            frames: defaultdict[int, list[dict[str, object]]] = defaultdict(list)
            if item.kind == "image":
                frames[0] = []
            for box in entry.boxes.to_pylist():
                frames[box["frame"]].append(box)
            for frame in sorted(frames):
                size = {"width": str(item.width), "height": str(item.height)}
                xml.open("image", {"id": str(number), "name": picture_name(item, frame), **size})
                number += 1
                for box in frames[frame]:
                    first = {"label": str(box["label"]), "occluded": _flag(box["occluded"])}
                    sides = _sides(*(box[side] for side in ("xmin", "ymin", "xmax", "ymax")))
                    xml.leaf("box", "", {**first, **sides, "z_order": "0"})
                xml.close("image")
        xml.close("annotations")


def _write_labels(xml: XmlWriter, labels: Iterable[str]) -> None:
    xml.open("labels")
    for label in labels:
        xml.open("label")
        xml.leaf("name", label)
        xml.leaf("attributes", "")
        xml.close("label")
    xml.close("labels")


def _write_one(entry: Labelled, labels: Sequence[str], target: Path, key_frames: bool) -> None:
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
        _write_labels(xml, labels)
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


def _tracks(entry: Labelled, key_frames: bool) -> Iterable[tuple[str, list[dict[str, str]]]]:
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
    row |= _sides(key.xmin, key.ymin, key.xmax, key.ymax)
    if key.rotation:
        row["rotation"] = f"{key.rotation:.2f}"
    return {**row, "z_order": "0"}


def _between_row(box: dict[str, object]) -> dict[str, str]:
    row = _row(box["frame"], False, box["occluded"], False)
    row |= _sides(*(box[side] for side in ("xmin", "ymin", "xmax", "ymax")))
    return {**row, "z_order": "0"}


def _row(frame: object, outside: object, occluded: object, keyframe: bool) -> dict[str, str]:
    return {
        "frame": str(frame),
        "keyframe": _flag(keyframe),
        "outside": _flag(outside),
        "occluded": _flag(occluded),
    }


def _sides(*values: object) -> dict[str, str]:
    return {name: f"{v:.2f}" for name, v in zip(("xtl", "ytl", "xbr", "ybr"), values, strict=True)}


def _flag(value: object) -> str:
    return "1" if value else "0"
