"""A made-up annotator: draws key boxes on a sample video and saves them as CVAT would."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from kfdet.boxes.tables import iou_pairs
from kfdet.demo.rendering import Video, runs
from kfdet.demo.script import FRAMES, HEIGHT, LABELS, WIDTH, Array

_COLORS = {"ball": "#2e62c4", "mug": "#c8322c", "robot": "#f0c442"}
_HAND = 0.5  # standard deviation of a drawn edge, pixels


def annotate(video: Video, index: int, seed: int, path: Path) -> None:
    """Write the CVAT for video 1.1 dump of a person who drew key boxes on `video`.

    Every visible frame has a row, as in a real dump: `keyframe="1"` where a box was drawn, CVAT's
    linear interpolation elsewhere; an outside key ends each visible stretch before the video does.
    """
    rng = np.random.default_rng([seed, index, 1])
    root = ET.Element("annotations")
    _add(root, version="1.1")
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    when = "2026-01-01 12:00:00.000000+00:00"  # fixed: the same seed gives the same bytes
    _add(task, id=index + 1, name=video.name, size=FRAMES, mode="interpolation", overlap=5)
    _add(task, bugtracker="", created=when, updated=when, subset="default")
    _add(task, start_frame=0, stop_frame=FRAMES - 1, frame_filter="")
    labels = ET.SubElement(task, "labels")
    for name in LABELS:
        label = ET.SubElement(labels, "label")
        _add(label, name=name, color=_COLORS[name], type="rectangle", attributes="")
    _add(ET.SubElement(task, "original_size"), width=WIDTH, height=HEIGHT)
    _add(task, source=f"{video.name}.mp4")
    _add(root[1], dumped=when)
    for number, label_name in enumerate(video.labels):
        element = ET.SubElement(root, "track", id=str(number), label=label_name, source="manual")
        for first, last in runs(video.seen[number]):
            _draw(element, video, number, first, last, rng)
    ET.indent(root)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    path.write_bytes(data + b"\n")


def _add(parent: ET.Element, **children: object) -> None:
    for tag, text in children.items():
        ET.SubElement(parent, tag).text = str(text)


def _draw(
    track_element: ET.Element,
    video: Video,
    number: int,
    first: int,
    last: int,
    rng: np.random.Generator,
) -> None:
    """Rows of one visible stretch."""
    limits = [WIDTH, HEIGHT, WIDTH, HEIGHT]
    drawn = np.clip(video.boxes[number] + rng.normal(0, _HAND, (FRAMES, 4)), 0, limits).round(2)
    on_step = [t for t in range(first, last + 1) if t % video.key_step == 0]
    keys = sorted({first, last, *on_step})
    times = np.arange(first, last + 1)
    while True:  # where the path bends, a person adds a key box
        shown = np.stack([np.interp(times, keys, drawn[keys, c]) for c in range(4)], axis=1)
        fit = iou_pairs(shown, video.boxes[number, first : last + 1])
        fit[np.array(keys) - first] = 1
        if fit.min() >= 0.8:
            break
        keys = sorted({*keys, int(times[fit.argmin()])})
    previous = first
    for t, box in zip(times.tolist(), shown, strict=True):
        previous = t if t in keys else previous
        _row(track_element, t, box, False, bool(video.occluded[number, previous]), t in keys)
    if last < FRAMES - 1:
        _row(track_element, last + 1, shown[-1], True, bool(video.occluded[number, previous]), True)


def _row(
    parent: ET.Element, frame: int, box: Array, outside: bool, occluded: bool, key: bool
) -> None:
    left, top, right, bottom = (f"{v:.2f}" for v in box)
    ET.SubElement(
        parent,
        "box",
        frame=str(frame),
        keyframe=str(int(key)),
        outside=str(int(outside)),
        occluded=str(int(occluded)),
        xtl=left,
        ytl=top,
        xbr=right,
        ybr=bottom,
        z_order="0",
    )
