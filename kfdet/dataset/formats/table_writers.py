"""Writers of formats that are tables of boxes: Parquet, YOLO, MOT and Label Studio's JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kfdet.dataset.formats.model import UNTRACKED, Item, Labelled
from kfdet.dataset.media_index import picture_name
from kfdet.files import atomic_file, atomic_folder

BoxRow = dict[str, Any]
"""One row of BOX_SCHEMA."""


def write_parquet(
    entries: Sequence[Labelled], _: Sequence[str], target: Path, key_frames: bool
) -> None:
    """Write one Parquet file in BOX_SCHEMA: all boxes, or those that a person drew."""
    table = pa.concat_tables([entry.boxes for entry in entries])
    with atomic_file(target) as path:
        pq.write_table(table.filter(table.column("keyframe")) if key_frames else table, path)


def write_yolo(entries: Sequence[Labelled], labels: Sequence[str], target: Path, _: bool) -> None:
    """Write Ultralytics' layout: data.yaml, and labels/ that mirrors the folder of images."""
    numbers = {label: number for number, label in enumerate(labels)}
    with atomic_folder(target) as folder:
        # JSON strings are YAML strings, whatever they hold.
        names = "".join(f"  {i}: {json.dumps(label)}\n" for label, i in numbers.items())
        text = f"path: .\ntrain: images\nval: images\nnames:\n{names}"
        (folder / "data.yaml").write_text(text, encoding="utf-8")
        for entry in entries:
            for frame, boxes in frames(entry):
                name = PurePosixPath(picture_name(entry.item, frame)).with_suffix(".txt")
                path = folder / "labels" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                rows = [_yolo_row(box, numbers, entry.item) for box in boxes]
                path.write_text("".join(rows), encoding="utf-8")


def _yolo_row(box: BoxRow, numbers: dict[str, int], item: Item) -> str:
    x = (box["xmin"] + box["xmax"]) / 2 / item.width
    y = (box["ymin"] + box["ymax"]) / 2 / item.height
    width = (box["xmax"] - box["xmin"]) / item.width
    height = (box["ymax"] - box["ymin"]) / item.height
    return f"{numbers[box['label']]} {x:.7f} {y:.7f} {width:.7f} {height:.7f}\n"


def write_mot(entries: Sequence[Labelled], labels: Sequence[str], target: Path, _: bool) -> None:
    """Write for each video a folder of its name with gt/gt.txt, gt/labels.txt and seqinfo.ini.

    Boxes without a track get track -1; MOT's frames and classes count from 1.
    """
    numbers = {label: number for number, label in enumerate(labels, 1)}
    with atomic_folder(target) as folder:
        for entry in entries:
            item = entry.item
            inner = folder / PurePosixPath(picture_name(item, 0)).parent
            (inner / "gt").mkdir(parents=True)
            (inner / "gt" / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
            (inner / "seqinfo.ini").write_text(
                f"[Sequence]\nname={inner.name}\nframeRate={item.fps:g}\n"
                f"seqLength={item.frames}\nimWidth={item.width}\nimHeight={item.height}\n",
                encoding="utf-8",
            )
            with (inner / "gt" / "gt.txt").open("w", encoding="utf-8") as stream:
                for box in entry.boxes.to_pylist():
                    width, height = box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]
                    stream.write(
                        f"{box['frame'] + 1},{box['track_id']},{box['xmin']:.3f},"
                        f"{box['ymin']:.3f},{width:.3f},{height:.3f},1,"
                        f"{numbers[box['label']]},{0 if box['occluded'] else 1}\n"
                    )


def write_label_studio(
    entries: Sequence[Labelled], _: Sequence[str], target: Path, key_frames: bool
) -> None:
    """Write one JSON of video tasks: key frames only, or every frame as a key frame.

    Where a track pauses or ends, the last frame on which it is seen is written too: Label Studio
    marks the end there. Occlusion is lost, which the format does not know.
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


def _regions(entry: Labelled, key_frames: bool) -> Iterator[dict[str, Any]]:
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


def frames(entry: Labelled) -> Iterator[tuple[int, list[BoxRow]]]:
    """The pictures of an entry with their boxes: its image, or the frames of a video with boxes.

    Frames without boxes are left out: they may show objects that nobody has labelled.
    """
    found: defaultdict[int, list[BoxRow]] = defaultdict(list)
    if entry.item.kind == "image":
        found[0] = []
    for box in entry.boxes.to_pylist():
        found[box["frame"]].append(box)
    yield from sorted(found.items())
