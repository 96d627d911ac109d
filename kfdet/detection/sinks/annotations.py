"""Detections as annotations: the formats of annotation tools and of other trainers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kfdet import events
from kfdet.boxes.tables import BOX_ORDER, BOX_SCHEMA, UNTRACKED
from kfdet.dataset.formats.model import AnnotatedItem, Item
from kfdet.dataset.formats.pictures import safe_path
from kfdet.dataset.formats.registry import FORMATS
from kfdet.detection.frame import Source
from kfdet.detection.key_frames import key_boxes
from kfdet.detection.pictures import Picture
from kfdet.detection.sinks.tables import rows
from kfdet.detection.stream import FrameDetections
from kfdet.errors import InputError

_METHOD = "detected"


@dataclass(slots=True)
class _Seen:
    """What has come from one source: the last frame with its time, all frames, all boxes."""

    last: FrameDetections
    frames: list[int] = field(default_factory=list)
    boxes: list[dict[str, Any]] = field(default_factory=list)


class AnnotationSink:
    """Keeps all boxes until the end, and writes them as `kfdet convert` does.

    Args:
        name: A name in `kfdet.dataset.formats.registry.FORMATS`.
        path: The file or folder to write.
        sources: Where the detections come from: the annotations name them as they lie below their
            folder.
        key_frames: Write the key boxes of tracks, from which a tool interpolates the others.

    Raises:
        InputError: A source's name cannot be that of a picture or video in an annotation file.
    """

    pictures = False

    def __init__(
        self, name: str, path: Path, sources: Sequence[Source], *, key_frames: bool = False
    ) -> None:
        self._format, self._path, self._key_frames = FORMATS[name], path, key_frames
        for source in sources:
            safe_path(str(source.output), "")
        self._sources = {source.name: source for source in sources}
        self._seen: dict[str, _Seen] = {}

    def write(self, _: Picture | None, found: FrameDetections) -> None:
        """Keep the boxes of a frame.

        Raises:
            InputError: The format holds tracks of videos, and nobody tracked.
        """
        source = self._sources[found.source]
        if self._format.tracks and source.kind != "image" and found.detections.tracks is None:
            raise InputError(
                f"{self._format.title} holds the objects of a video as tracks, and these are not "
                "tracked.",
                file=self._path,
                hint="Choose another format, such as coco, or track them.",
            )
        seen = self._seen.setdefault(found.source, _Seen(found))
        seen.last = found
        seen.frames.append(found.frame)
        name = str(source.output)
        for row in rows(found):
            track = UNTRACKED if row["track_id"] is None else row["track_id"]
            flags = dict.fromkeys(("occluded", "keyframe", "difficult", "crowd"), False)
            seen.boxes.append({**row, **flags, "video": name, "track_id": track, "method": _METHOD})

    def close(self) -> None:
        """Write the file or folder.

        Raises:
            InputError: It cannot be written.
        """
        labels = sorted({box["label"] for seen in self._seen.values() for box in seen.boxes})
        if labels:
            entries = [self._entry(*each) for each in self._seen.items()]
            self._format.write(entries, labels, self._path, self._key_frames)
        elif self._seen:
            events.warn(f"{self._path} is not written: nothing was detected.")

    def _entry(self, name: str, seen: _Seen) -> AnnotatedItem:
        source, last = self._sources[name], seen.last
        item = Item(
            str(source.output),
            Path(name),
            "image" if source.kind == "image" else "video",
            last.width,
            last.height,
            last.frame + 1,
            round(last.frame / last.seconds, 3) if last.seconds else 0.0,
            start=seen.frames[0],
            stop=last.frame,
            step=int(np.gcd.reduce(np.diff(seen.frames))) if len(seen.frames) > 1 else 1,
        )
        if self._key_frames:
            item.keys = key_boxes(seen.boxes, item)
        table = pa.Table.from_pylist(seen.boxes, BOX_SCHEMA)
        return AnnotatedItem(item, table.sort_by(BOX_ORDER))
