"""Pascal VOC: one XML per image, as VOCdevkit has it or as LabelImg writes it.

Read here and not by Datumaro, which expects VOCdevkit's folders and gives no line numbers; users
have a folder of LabelImg's files. Written here too: Datumaro writes no file for an image without
objects, which would turn an image that shows nothing into one that was never labelled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from xml.sax.xmlreader import AttributesImpl

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats.limits import whole_number
from kfdet.dataset.formats.model import (
    AnnotatedItem,
    AnnotationSet,
    Item,
    KeyBox,
    SourceAnnotations,
)
from kfdet.dataset.formats.pictures import BoxRow, frames_with_boxes, picture_name
from kfdet.dataset.formats.xmlfile import LineHandler, XmlWriter, parse_xml
from kfdet.errors import InputError, Problem
from kfdet.files import atomic_folder

_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read(path: Path) -> AnnotationSet:
    """Read one XML: its image, known by the XML's stem first and by <filename> second.

    Coordinates are taken as they are, as the TF Object Detection API does: VOC's are 1-based, those
    of most tools that write this format are not, and the file does not state which. `truncated`
    does not matter for detection and is ignored; `difficult` objects train, but are not scored.

    Raises:
        InputError: Not VOC's XML, not well-formed, or hostile.
    """
    handler = _Handler(str(path))
    with path.open("rb") as stream:
        parse_xml(stream, handler, str(path))
    names = dict.fromkeys(name for name in (path.stem, handler.filename) if name)
    handler.source.names = tuple(names)
    return AnnotationSet([handler.source], problems=handler.problems)


IMAGE_SETS = ("ImageSets", "Main")
"""The folder of VOCdevkit's lists of images, beside the folders of annotations and images."""


def image_sets(folder: Path) -> dict[str, set[str]]:
    """Stems of the images on the sides train, val and test, by the lists in ImageSets/Main.

    Lists of single classes are not read. `trainval` counts where it is not cut into train and val.
    """
    sets = {}
    for side in ("train", "val", "test", "trainval"):
        path = folder / f"{side}.txt"
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            sets[side] = {line.split()[0] for line in lines if line.strip()}
    whole = sets.pop("trainval", set())
    if whole and "val" not in sets:
        sets["train"] = whole
    return sets


class _Handler(LineHandler):
    def __init__(self, file: str) -> None:
        super().__init__()
        self.source = SourceAnnotations("image", file, (), names_media_file=False, stop=0)
        self.filename = ""
        self.problems: list[Problem] = []
        self._path: list[str] = []
        self._text: list[str] = []
        self._object: dict[str, str] = {}
        self._line = 0

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        if not self._path and name != "annotation":
            raise InputError(
                f"is not Pascal VOC: its root element is <{name}>, not <annotation>.",
                file=self.source.file,
                line=self.line(),
            )
        self._path.append(name)
        self._text.clear()
        if self._path[1:] == ["object"]:
            self._object, self._line = {}, self.line()

    def characters(self, content: str) -> None:
        self._text.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802
        text = "".join(self._text).strip()
        match self._path[1:]:
            case ["filename"]:
                self.filename = text
            case ["size", "width"]:
                self.source.width = whole_number(text) or 0
            case ["size", "height"]:
                self.source.height = whole_number(text) or 0
            case ["object", "name"]:
                # Not stripped: a stray space makes another label, which `check` reports.
                self._object["name"] = "".join(self._text)
            case ["object", ("occluded" | "difficult") as mark]:
                self._object[mark] = text
            case ["object", "bndbox", side] if side in _SIDES:
                self._object[side] = text
            case ["object"]:
                self._finish_object()
        self._path.pop()
        self._text.clear()

    def _finish_object(self) -> None:
        found = self._object
        try:
            if not found.get("name", "").strip():
                raise ValueError("the object has no <name>")
            xmin, ymin, xmax, ymax = (_number(found, side) for side in _SIDES)
        except ValueError as error:
            self.problems.append(
                Problem(
                    "error",
                    f"{error}; the object is left out.",
                    self.source.file,
                    self._line,
                    hint="Correct it, or draw the box again.",
                )
            )
            return
        self.source.keys.append(
            KeyBox(
                UNTRACKED,
                found["name"],
                0,
                xmin,
                ymin,
                xmax,
                ymax,
                occluded=found.get("occluded") == "1",
                line=self._line,
                difficult=found.get("difficult") == "1",
            )
        )


def _number(found: dict[str, str], side: str) -> float:
    text = found.get(side)
    if text is None:
        raise ValueError(f"the object has no <{side}>")
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"<{side}>{text}</{side}> is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"<{side}>{text}</{side}> is not a finite number")
    return value


def write(entries: Sequence[AnnotatedItem], _: Sequence[str], target: Path, __: bool) -> None:
    """Write an XML for each image and for each frame of a video that has boxes.

    Files mirror the folder of images; coordinates are ours (0-based), with three digits.
    """
    with atomic_folder(target) as folder:
        for entry in entries:
            for frame, boxes in frames_with_boxes(entry):
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
            xml.leaf("difficult", "1" if box["difficult"] else "0")
            xml.open("bndbox")
            for side in ("xmin", "ymin", "xmax", "ymax"):
                xml.leaf(side, f"{box[side]:.3f}".rstrip("0").rstrip("."))
            xml.close("bndbox")
            xml.close("object")
        xml.close("annotation")
