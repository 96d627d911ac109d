"""Writer of Pascal VOC.

Ours and not Datumaro's, which writes no file for an image without objects: the image would turn
from one that shows nothing into one that nobody has labelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from kfdet.dataset.formats.model import Item, Labelled
from kfdet.dataset.formats.table_writers import BoxRow, frames
from kfdet.dataset.formats.xmlfile import XmlWriter
from kfdet.dataset.media_index import picture_name
from kfdet.files import atomic_folder


def write_voc(entries: Sequence[Labelled], _: Sequence[str], target: Path, __: bool) -> None:
    """Write an XML for each image and for each frame of a video that has boxes.

    Files mirror the folder of images; coordinates are ours (0-based), with three digits.
    """
    with atomic_folder(target) as folder:
        for entry in entries:
            for frame, boxes in frames(entry):
                name = PurePosixPath(picture_name(entry.item, frame))
                path = folder / name.with_suffix(".xml")
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_one(path, name, entry.item, boxes)


def _write_one(path: Path, name: PurePosixPath, item: Item, boxes: Sequence[BoxRow]) -> None:
    with path.open("wb") as stream:
        xml = XmlWriter(stream)
        xml.open("annotation")
        xml.leaf("folder", name.parent.as_posix())
        xml.leaf("filename", name.name)
        xml.open("size")
        xml.leaf("width", str(item.width))
        xml.leaf("height", str(item.height))
        xml.leaf("depth", "3")
        xml.close("size")
        for box in boxes:
            xml.open("object")
            xml.leaf("name", box["label"])
            xml.leaf("truncated", "0")
            xml.leaf("occluded", "1" if box["occluded"] else "0")
            xml.leaf("difficult", "0")
            xml.open("bndbox")
            for side in ("xmin", "ymin", "xmax", "ymax"):
                xml.leaf(side, f"{box[side]:.3f}".rstrip("0").rstrip("."))
            xml.close("bndbox")
            xml.close("object")
        xml.close("annotation")
