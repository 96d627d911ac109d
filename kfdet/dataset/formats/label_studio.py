"""Label Studio's JSON export of video tasks (`videorectangle` regions with key frames).

Format: labelstud.io/tags/videorectangle; which frames show a box follows Label Studio's own
`extract_key_frames` (label-studio-tools, postprocessing/video.py).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from kfdet.boxes.tables import UNTRACKED
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


def read(path: Path) -> AnnotationSet:
    """Read an export: one source per task, boxes as shares of the video's width and height.

    Frames are 1-based in the file. A key frame with `enabled` false ends what was visible before
    it: the box is still there on that frame and gone on the next; after the last enabled key frame
    it stays to the end of the video. Of several annotations of a task the last one that was not
    cancelled counts.

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
        if not isinstance(task, dict) or "annotations" not in task:
            raise InputError(
                "is not a Label Studio export: a task has no annotations.",
                file=path,
                hint="Export the project as JSON (not JSON-MIN).",
            )
        valid = [entry for entry in task["annotations"] if not entry.get("was_cancelled")]
        source = SourceAnnotations(
            "video", str(path), _names(task), reviewed=bool(valid), relative=True, corner=True
        )
        for number, region in enumerate(valid[-1].get("result", []) if valid else []):
            _add_region(source, number, region, result.problems)
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
            url = urlsplit(text)
            name = PurePosixPath(unquote(parse_qs(url.query).get("d", [url.path])[0])).name
            names += [name, _UPLOAD_PREFIX.sub("", name, count=1)]
    return tuple(dict.fromkeys(name for name in names if PurePosixPath(name).suffix))


def _add_region(
    source: SourceAnnotations, number: int, region: dict[str, Any], problems: list[Problem]
) -> None:
    name = region.get("id", number)
    if region.get("type") != "videorectangle":
        if "value" in region:
            kind = region.get("type")
            text = f"region {name} is a {kind}, which is not read: only videorectangle is."
            problems.append(Problem("warning", text, source.file))
            source.reviewed = False
        return
    try:
        value = region["value"]
        labels = value.get("labels") or []
        if len(labels) != 1:
            raise ValueError(f"has {len(labels)} labels instead of one")
        if value.get("framesCount"):
            source.stop = int(value["framesCount"]) - 1
        source.keys += _keys(number, str(labels[0]), value["sequence"])
    except (KeyError, TypeError, ValueError) as error:
        what = f"has no {error}" if isinstance(error, KeyError) else str(error)
        problems.append(
            Problem(
                "error",
                f"region {name} {what}; it is left out.",
                source.file,
                hint="Correct it in Label Studio and export again.",
            )
        )


def _keys(track: int, label: str, sequence: list[dict[str, Any]]) -> list[KeyBox]:
    entries = sorted(sequence, key=lambda entry: int(entry["frame"]))
    keys: list[KeyBox] = []
    shown = False
    for entry, following in zip(entries, [*entries[1:], None], strict=True):
        frame = int(entry["frame"]) - 1
        if following is not None and int(following["frame"]) == frame + 1:
            raise ValueError(f"has frame {frame + 1} twice")
        x, y, width, height = (float(entry[side]) / 100 for side in _SIDES)
        enabled = bool(entry.get("enabled", True))
        key = KeyBox(
            track,
            label,
            frame,
            x,
            y,
            x + width,
            y + height,
            float(entry.get("rotation") or 0.0),
            outside=not enabled and not shown,
        )
        keys.append(key)
        gone = frame + 1
        if not enabled and shown and (following is None or int(following["frame"]) - 1 != gone):
            keys.append(key._replace(frame=gone, outside=True))
        shown = enabled
    return keys


def write(
    entries: Sequence[AnnotatedItem], _: Sequence[str], target: Path, key_frames: bool
) -> None:
    """Write one JSON of video tasks: key frames only, or every frame as a key frame.

    Where a track pauses or ends, the last frame on which it is seen is written too: Label Studio
    marks the end there. Occlusion is lost: the format has no place for it.
    """
    tasks = [
        {
            "id": number,
            "data": {"video": PurePosixPath(entry.item.name).name},
            "annotations": [{"id": number, "result": list(_regions(entry, key_frames))}],
        }
        for number, entry in enumerate(entries, 1)
    ]
    with atomic_file(target) as path:
        path.write_text(json.dumps(tasks, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


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


def _sequence_entry(box: BoxRow, item: Item, enabled: bool) -> dict[str, Any]:
    return {
        "frame": box["frame"] + 1,
        "enabled": enabled,
        "rotation": 0,
        "x": round(100 * box["xmin"] / item.width, 6),
        "y": round(100 * box["ymin"] / item.height, 6),
        "width": round(100 * (box["xmax"] - box["xmin"]) / item.width, 6),
        "height": round(100 * (box["ymax"] - box["ymin"]) / item.height, 6),
        "time": round(box["frame"] / item.fps, 6) if item.fps else 0,
    }
