"""The one table of annotation formats: how each is recognised, read and written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kfdet.annotations import cvat_images, cvat_video, voc
from kfdet.annotations.archive import member_names, open_annotation
from kfdet.annotations.model import AnnotationSet
from kfdet.errors import InputError

_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Format:
    """One annotation format.

    Args:
        name: What `--to` takes.
        title: What users call it.
        read: Reads one annotation file; None where it is only written.
    """

    name: str
    title: str
    read: Callable[[Path], AnnotationSet] | None


FORMATS = {
    f.name: f
    for f in (
        Format("cvat-video", "CVAT for video 1.1", cvat_video.read),
        Format("cvat-images", "CVAT for images 1.1", cvat_images.read),
        Format("voc", "Pascal VOC", voc.read),
    )
}


def detect_format(path: Path) -> str | None:
    """Name of the format of an annotation file, by its content; None where it is none we know.

    Raises:
        InputError: A zip that is hostile or damaged.
    """
    match path.suffix.lower():
        case ".xml":
            with path.open("rb") as file:
                return _detect_xml(file.read(_HEAD_BYTES))
        case ".zip":
            if any(Path(name).name == "annotations.xml" for name in member_names(path)):
                with open_annotation(path) as file:
                    return _detect_xml(file.read(_HEAD_BYTES))
    return None


def _detect_xml(head: bytes) -> str | None:
    # A broken or empty XML file is still somebody's annotations: its reader says what is wrong.
    root = re.search(rb"<([A-Za-z_][\w.-]*)", head)
    if root is not None and root[1] == b"annotation":
        return "voc"
    if root is None or root[1] == b"annotations":
        image, track = head.find(b"<image "), head.find(b"<track ")
        return "cvat-images" if image >= 0 and (track < 0 or image < track) else "cvat-video"
    return None


def read_annotations(path: Path) -> AnnotationSet:
    """Read an annotation file of any known format.

    Raises:
        InputError: The format is not known, or the file cannot be read at all.
    """
    name = detect_format(path)
    reader = FORMATS[name].read if name else None
    if reader is None:
        raise InputError(
            "is in no annotation format that is known.",
            file=path,
            hint=f"Known are: {', '.join(f.title for f in FORMATS.values())}.",
        )
    return reader(path)
