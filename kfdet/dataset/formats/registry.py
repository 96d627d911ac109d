"""The one table of annotation formats: how each is recognised, read and written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kfdet.dataset.formats import (
    FormatName,
    coco,
    csv_rows,
    cvat_images,
    cvat_video,
    datumaro,
    label_studio,
    mot,
    parquet,
    voc,
    yolo,
)
from kfdet.dataset.formats.archive import member_names, open_annotation
from kfdet.dataset.formats.border import admit
from kfdet.dataset.formats.model import AnnotatedItem, AnnotationSet
from kfdet.errors import InputError

_HEAD_BYTES = 1 << 20

Reader = Callable[[Path], AnnotationSet]
Writer = Callable[[Sequence[AnnotatedItem], Sequence[str], Path, bool], None]
"""Takes the items with boxes, the labels, the target, and whether only key frames are wanted."""


@dataclass(frozen=True, slots=True)
class Format:
    """One annotation format.

    Args:
        name: What `--to` takes.
        title: What users call it.
        read: Reads one annotation file (YOLO: the file of class names); None if only written.
        write: Writes a dataset's boxes.
        file: Name of the one file it writes, "" where it writes a folder.
        suffix: A target with this suffix is one file also where a folder is usual.
        tracks: It holds tracks of videos; else it is for images and frames.
        images: It can hold images.
        crowds: It can hold regions around groups of objects.
    """

    name: FormatName
    title: str
    read: Reader | None
    write: Writer
    file: str = ""
    suffix: str = ""
    tracks: bool = False
    images: bool = True
    crowds: bool = False


_TABLE = (
    Format(
        "parquet",
        "boxes.parquet",
        None,
        parquet.write,
        file="boxes.parquet",
        tracks=True,
        crowds=True,
    ),
    Format(
        "cvat-video",
        "CVAT for video 1.1",
        cvat_video.read,
        cvat_video.write,
        suffix=".xml",
        tracks=True,
        images=False,
    ),
    Format(
        "cvat-images",
        "CVAT for images 1.1",
        cvat_images.read,
        cvat_images.write,
        file="annotations.xml",
    ),
    Format("voc", "Pascal VOC", voc.read, voc.write),
    Format("coco", "COCO", coco.read, coco.write, suffix=".json", crowds=True),
    Format("yolo", "YOLO", yolo.read, yolo.write),
    Format("mot", "MOT", mot.read, mot.write, images=False),
    Format(
        "datumaro",
        "Datumaro",
        datumaro.read,
        datumaro.write,
        suffix=".json",
        crowds=True,
    ),
    Format(
        "label-studio",
        "Label Studio",
        label_studio.read,
        label_studio.write,
        file="annotations.json",
        tracks=True,
    ),
    Format("csv", "CSV", csv_rows.read, csv_rows.write, file="annotations.csv"),
)
FORMATS: dict[str, Format] = {entry.name: entry for entry in _TABLE}


def detect_format(path: Path) -> str | None:
    """Name of the format of an annotation file, by its content; None where it is unknown.

    Raises:
        InputError: A zip that is hostile or damaged.
    """
    match path.suffix.lower():
        case ".xml":
            return _detect_xml(_head(path))
        case ".zip":
            if any(Path(name).name == "annotations.xml" for name in member_names(path)):
                return _detect_xml(_head(path))
        case ".json":
            return _detect_json(_head(path))
        case ".csv" if csv_rows.recognise(_first_line(path)):
            return "csv"
        case ".txt" if path.name == "gt.txt":
            return "mot"
        case ".txt" | ".yaml" | ".yml" | ".names" if yolo.rank(path) is not None:
            return "yolo"
    return None


def _head(path: Path) -> bytes:
    with open_annotation(path) as file:
        return file.read(_HEAD_BYTES)


def _first_line(path: Path) -> str:
    return _head(path).decode("utf-8-sig", errors="replace").partition("\n")[0]


def _detect_json(head: bytes) -> str | None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"["):
        return "label-studio" if b'"annotations"' in head and b'"data"' in head else None
    if b'"dm_format_version"' in head or re.search(rb'"categories"\s*:\s*\{', head):
        return "datumaro"
    if re.search(rb'"(images|categories|annotations)"\s*:\s*\[', head):
        return "coco"
    return None


def _detect_xml(head: bytes) -> str | None:
    # A broken or empty XML file is still meant as annotations: its reader reports what is wrong.
    first, *others = head.split(b"<!--")
    head = first + b"".join(rest.partition(b"-->")[2] for rest in others)
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
            "is not in a known annotation format.",
            file=path,
            hint=f"Known formats: {', '.join(f.title for f in FORMATS.values())}.",
        )
    return admit(reader(path), str(path))
