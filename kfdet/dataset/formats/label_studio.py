"""Label Studio's JSON export: videos (`videorectangle`) and images (`rectanglelabels`).

Format: labelstud.io/tags/videorectangle and labelstud.io/tags/rectanglelabels; which frames show a
box follows Label Studio's own `extract_key_frames` (label-studio-tools, postprocessing/video.py).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats import values
from kfdet.dataset.formats.limits import MAX_SIDE
from kfdet.dataset.formats.model import (
    AnnotatedItem,
    AnnotationSet,
    Item,
    KeyBox,
    SourceAnnotations,
)
from kfdet.dataset.formats.pictures import BoxRow
from kfdet.errors import InputError, Problem
from kfdet.files import atomic_file, read_json

_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-")
_SIDES = ("x", "y", "width", "height")
_IMAGE_REGION = "rectanglelabels"
_WITHOUT_BOX = frozenset(("choices", "textarea", "rating"))
"""Answers about the picture as a whole, which no object loses by."""
_IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".heif")
)


def read(path: Path) -> AnnotationSet:
    """Read an export: one source per task, boxes as shares of width and height.

    Of videos, frames are 1-based in the file. A key frame with `enabled` false ends what was
    visible before it: the box is still there on that frame and gone on the next; after the last
    enabled key frame it stays to the end of the video. Of several annotations of a task the last
    one that was not cancelled counts.

    Raises:
        InputError: Not JSON, or not a list of Label Studio tasks.
    """
    content = read_json(path, hint="The file may be cut off; export it again.")
    if not isinstance(content, list):
        raise InputError(
            "is not a Label Studio export: not a list of tasks.",
            file=path,
            hint="Export the project as JSON (not JSON-MIN).",
        )
    result = AnnotationSet()
    for task in content:
        try:
            entries = values.sequence(values.mapping(task, "a task")["annotations"], "annotations")
            entries = [values.mapping(entry, "an annotation") for entry in entries]
            valid = [entry for entry in entries if not entry.get("was_cancelled")]
            regions = values.sequence(valid[-1].get("result", []) if valid else [], "a result")
            regions = [values.mapping(region, "a region") for region in regions]
        except (KeyError, ValueError) as error:
            what = "has no annotations" if isinstance(error, KeyError) else str(error)
            raise InputError(
                f"is not a Label Studio export: a task {what}.",
                file=path,
                hint="Export the project as JSON (not JSON-MIN).",
            ) from error
        names = _names(task)
        kind = _kind(names, regions)
        if kind == "image" and not valid:
            continue  # not labelled yet
        source = SourceAnnotations(kind, str(path), names, relative=True, corner=True)
        source.reviewed = bool(valid)
        if kind == "image":
            source.stop = 0
        for number, region in enumerate(regions):
            _add_region(source, number, region, result.problems)
        if source.width and source.height:
            source.to_pixels(source.width, source.height)
        result.sources.append(source)
    return result


def _names(task: dict[str, Any]) -> tuple[str, ...]:
    """File names of the task's video: as uploaded, and without the prefix that uploads get."""
    texts = [task.get("file_upload")]
    data = task.get("data")
    if isinstance(data, dict):
        texts += [data.get("video"), *data.values()]
    names = []
    for text in texts:
        if isinstance(text, str) and text:
            try:
                url = urlsplit(text)
            except ValueError:  # an address with half a bracket
                continue
            name = PurePosixPath(unquote(parse_qs(url.query).get("d", [url.path])[0])).name
            names += [name, _UPLOAD_PREFIX.sub("", name, count=1)]
    return tuple(dict.fromkeys(name for name in names if PurePosixPath(name).suffix))


def _kind(names: Sequence[str], regions: Sequence[dict[str, Any]]) -> Literal["video", "image"]:
    """What a task shows, by its regions, or by the suffix of its file where there is none."""
    types = {str(region.get("type"))[:60] for region in regions}
    if "videorectangle" in types:
        return "video"
    known = any(PurePosixPath(name).suffix.lower() in _IMAGE_SUFFIXES for name in names)
    return "image" if _IMAGE_REGION in types or known else "video"


def _add_region(
    source: SourceAnnotations, number: int, region: dict[str, Any], problems: list[Problem]
) -> None:
    name = values.name_of(region, number)
    wanted = "videorectangle" if source.kind == "video" else _IMAGE_REGION
    kind = str(region.get("type"))[:60]
    if kind != wanted:
        if "value" in region and kind not in _WITHOUT_BOX:
            text = f"region {name} is a {kind}, which is not read: only {wanted} is."
            problems.append(Problem("warning", text, source.file))
            source.reviewed = False
        return
    try:
        value = values.mapping(region["value"], "a value")
        names = value.get("labels" if source.kind == "video" else _IMAGE_REGION) or []
        labels = [values.text(label, "a label") for label in values.sequence(names, "labels")]
        if len(labels) != 1:
            raise ValueError(f"has {len(labels)} labels instead of one")
        if source.kind == "image":
            source.keys.append(_box(UNTRACKED, labels[0], 0, value))
            source.width = _side(region, "original_width")
            source.height = _side(region, "original_height")
            return
        if value.get("framesCount"):
            source.stop = values.whole(value["framesCount"], "a framesCount") - 1
        source.keys += _keys(number, labels[0], values.sequence(value["sequence"], "a sequence"))
    except (KeyError, ValueError) as error:
        what = f"has no {error}" if isinstance(error, KeyError) else str(error)
        problems.append(
            Problem(
                "error",
                f"region {name} {what}; it is left out.",
                source.file,
                hint="Correct it in Label Studio and export again.",
            )
        )


def _side(region: dict[str, Any], name: str) -> int:
    """Pixels of a picture; 0 where the region does not state them."""
    side = values.whole(region.get(name) or 0, name)
    if side > MAX_SIDE:
        raise ValueError(f"has {name} beyond {MAX_SIDE:,}")
    return side


def _box(track: int, label: str, frame: int, entry: dict[str, Any]) -> KeyBox:
    x, y, width, height = (values.number(entry[side], side) / 100 for side in _SIDES)
    rotation = values.number(entry.get("rotation") or 0.0, "a rotation")
    return KeyBox(track, label, frame, x, y, x + width, y + height, rotation)


def _keys(track: int, label: str, frames: list[Any]) -> list[KeyBox]:
    entries = [values.mapping(entry, "a key frame") for entry in frames]
    numbers = [values.whole(entry["frame"], "a frame") - 1 for entry in entries]
    ordered = sorted(zip(numbers, entries, strict=True), key=lambda pair: pair[0])
    keys: list[KeyBox] = []
    shown = False
    for (frame, entry), following in zip(ordered, [*ordered[1:], None], strict=True):
        after = None if following is None else following[0]
        if after == frame:
            raise ValueError(f"has frame {frame + 1} twice")
        enabled = bool(entry.get("enabled", True))
        key = _box(track, label, frame, entry)._replace(outside=not enabled and not shown)
        keys.append(key)
        gone = frame + 1
        if not enabled and shown and after != gone:
            keys.append(key._replace(frame=gone, outside=True))
        shown = enabled
    return keys


def write(
    entries: Sequence[AnnotatedItem], _: Sequence[str], target: Path, key_frames: bool
) -> None:
    """Write one JSON: of videos key frames only, or every frame as a key frame; images as they are.

    Where a track pauses or ends, the last frame on which it is seen is written too: Label Studio
    marks the end there. Occlusion is lost: the format has no place for it.
    """
    tasks = [
        {
            "id": number,
            "data": {entry.item.kind: PurePosixPath(entry.item.name).name},
            "annotations": [{"id": number, "result": list(_result(entry, key_frames))}],
        }
        for number, entry in enumerate(entries, 1)
    ]
    with atomic_file(target) as path:
        path.write_text(json.dumps(tasks, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _result(entry: AnnotatedItem, key_frames: bool) -> Iterator[dict[str, Any]]:
    return _regions(entry, key_frames) if entry.item.kind == "video" else _rectangles(entry)


def _rectangles(entry: AnnotatedItem) -> Iterator[dict[str, Any]]:
    item = entry.item
    for number, box in enumerate(entry.boxes.to_pylist()):
        yield {
            "id": f"box{number}",
            "type": _IMAGE_REGION,
            "from_name": "label",
            "to_name": "image",
            "original_width": item.width,
            "original_height": item.height,
            "value": {"rotation": 0, **_shares(box, item), _IMAGE_REGION: [box["label"]]},
        }


def _regions(entry: AnnotatedItem, key_frames: bool) -> Iterator[dict[str, Any]]:
    item = entry.item
    tracks: defaultdict[tuple[int, int], list[BoxRow]] = defaultdict(list)
    for number, box in enumerate(entry.boxes.to_pylist()):
        alone = number if box["track_id"] == UNTRACKED else UNTRACKED
        tracks[box["track_id"], alone].append(box)
    for number, boxes in enumerate(tracks.values()):
        sequence = []
        for box, following in zip(boxes, [*boxes[1:], None], strict=True):
            gone = box["frame"] + item.step
            enabled = gone > item.stop if following is None else following["frame"] == gone
            if not key_frames or box["keyframe"] or not enabled:
                sequence.append(_sequence_entry(box, item, enabled))
        yield {
            "id": f"track{number}",
            "type": "videorectangle",
            "from_name": "box",
            "to_name": "video",
            "value": {
                "framesCount": item.frames,
                "duration": round(item.frames / item.fps, 3) if item.fps else 0,
                "sequence": sequence,
                "labels": [boxes[0]["label"]],
            },
        }


def _shares(box: BoxRow, item: Item) -> dict[str, float]:
    """A box in percent of the picture."""
    return {
        "x": round(100 * box["xmin"] / item.width, 6),
        "y": round(100 * box["ymin"] / item.height, 6),
        "width": round(100 * (box["xmax"] - box["xmin"]) / item.width, 6),
        "height": round(100 * (box["ymax"] - box["ymin"]) / item.height, 6),
    }


def _sequence_entry(box: BoxRow, item: Item, enabled: bool) -> dict[str, Any]:
    return {
        "frame": box["frame"] + 1,
        "enabled": enabled,
        "rotation": 0,
        **_shares(box, item),
        "time": round(box["frame"] / item.fps, 6) if item.fps else 0,
    }
