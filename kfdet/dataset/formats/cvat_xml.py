"""CVAT's XML 1.1: parsed as CVAT writes it, and what writers of both of its kinds share.

"CVAT for video" and "CVAT for images" share one root element, one metadata block and one way of
writing a box, so one streaming parser serves both; `cvat_video` and `cvat_images` interpret it.
Format: https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/ and CVAT's own exporter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element, TreeBuilder
from xml.sax.xmlreader import AttributesImpl

from kfdet.dataset.formats.archive import open_annotation
from kfdet.dataset.formats.cvat_dump import Dump, Image, Row, Task, Track
from kfdet.dataset.formats.limits import whole_number
from kfdet.dataset.formats.xmlfile import LineHandler, XmlWriter, parse_xml
from kfdet.errors import InputError, Problem

_MARKS = ("difficult", "ignore")
"""Attributes of a box that mean something, in lower case."""
_TRUE = ("true", "1", "yes")
"""Their values where they are set: a checkbox's, and what people write into the other kinds."""
SHAPES = ("polygon", "polyline", "points", "cuboid", "ellipse", "mask", "skeleton")


def parse_dump(path: Path) -> Dump:
    """Read a CVAT XML file, or the annotations.xml in a zip, in one pass.

    Bad rows become problems in the result and are left out.

    Raises:
        InputError: Not CVAT's XML, not well-formed, or hostile.
    """
    handler = _Handler(str(path))
    with open_annotation(path) as stream:
        parse_xml(stream, handler, str(path))
    dump = handler.dump
    if not dump.tasks:
        dump.tasks.append(Task())
    _number_tracks(dump.tracks)
    return dump


class _Handler(LineHandler):
    def __init__(self, file: str) -> None:
        super().__init__()
        self.dump = Dump(file)
        self._depth = 0
        self._meta: TreeBuilder | None = None
        self._owner: Track | Image | None = None
        self._row_read = False
        self._mark = ""
        self._value: list[str] = []

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        depth = self._depth
        self._depth += 1
        if self._meta is not None:
            self._meta.start(name, {})
        elif depth == 3:
            self._value.clear()
            wanted = attrs.get("name", "").lower() if name == "attribute" else ""
            self._mark = wanted if wanted in _MARKS and self._row_read else ""
        elif depth == 2:
            self._row_read = False
            if name == "box" and self._owner is not None:
                self._read(self._box, attrs)
            elif name in SHAPES and self._owner is not None:
                self._shape(name)
        elif depth == 1:
            if name == "track":
                self._read(self._track, attrs)
            elif name == "image":
                self._read(self._image, attrs)
            elif name == "meta":
                self._meta = TreeBuilder()
                self._meta.start(name, {})
        elif depth == 0 and name != "annotations":
            raise InputError(
                f"is not a CVAT file: its root element is <{name}>, not <annotations>.",
                file=self.dump.file,
                line=self.line(),
            )

    def characters(self, content: str) -> None:
        if self._meta is not None:
            self._meta.data(content)
        elif self._mark:
            self._value.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802
        self._depth -= 1
        if self._meta is not None:
            self._meta.end(name)
            if self._depth == 1:
                self._finish_meta(self._meta.close())
                self._meta = None
        elif self._depth == 3 and self._mark:
            self._set_mark()
        elif self._depth == 1:
            self._owner = None

    def _finish_meta(self, meta: Element) -> None:
        line = self.line()
        try:
            self.dump.tasks, self.dump.project = _tasks(meta)
        except ValueError as error:
            raise InputError(
                f"its <meta> is broken: {error}.", file=self.dump.file, line=line
            ) from error
        labels = (e.text or "" for e in meta.iterfind(".//labels/label/name"))
        self.dump.labels = list(dict.fromkeys(labels))

    def _read(self, reader: object, attrs: AttributesImpl) -> None:
        try:
            reader(attrs)  # type: ignore[operator]
        except ValueError as error:
            frame = attrs.get("frame", "")
            self.dump.problems.append(
                Problem(
                    "error",
                    f"{error}; the row is left out.",
                    self.dump.file,
                    self.line(),
                    whole_number(frame),
                    "Correct it, or export the task again.",
                )
            )

    def _track(self, attrs: AttributesImpl) -> None:
        track = Track(
            _integer(attrs, "id", -1),
            attrs.get("label", ""),
            self.line(),
            attrs.get("task_id", ""),
            attrs.get("subset", ""),
        )
        self._owner = track
        self.dump.tracks.append(track)

    def _image(self, attrs: AttributesImpl) -> None:
        image = Image(
            _integer(attrs, "id", 0),
            attrs.get("name", ""),
            _integer(attrs, "width", 0),
            _integer(attrs, "height", 0),
            self.line(),
            attrs.get("task_id", ""),
            attrs.get("subset", ""),
        )
        self._owner = image
        self.dump.images.append(image)

    def _box(self, attrs: AttributesImpl) -> None:
        owner = self._owner
        if isinstance(owner, Track):
            frame, label = _integer(attrs, "frame"), owner.label
        else:
            frame, label = 0, attrs.get("label", "")
        assert owner is not None
        owner.rows.append(
            Row(
                frame,
                _number(attrs, "xtl"),
                _number(attrs, "ytl"),
                _number(attrs, "xbr"),
                _number(attrs, "ybr"),
                _number(attrs, "rotation", 0.0),
                attrs.get("outside", "0") == "1",
                attrs.get("occluded", "0") == "1",
                attrs.get("keyframe", "1") == "1",
                label,
                self.line(),
            )
        )
        self._row_read = True

    def _set_mark(self) -> None:
        assert self._owner is not None
        if "".join(self._value).strip().lower() in _TRUE:
            row = self._owner.rows.pop()
            marked = (
                row._replace(ignore=True)
                if self._mark == "ignore"
                else row._replace(difficult=True)
            )
            self._owner.rows.append(marked)
        self._mark = ""

    def _shape(self, name: str) -> None:
        if isinstance(self._owner, Track):
            self._owner.shapes.setdefault(name, self.line())
        else:
            self.dump.problems.append(unread_shape("image", name, self.dump.file, self.line()))


def unread_shape(owner: Literal["image", "track"], shape: str, file: str, line: int) -> Problem:
    """The warning that a shape other than a box is left out."""
    return Problem(
        "warning",
        f"a {shape} in this {owner} is left out: only boxes are read.",
        file,
        line,
        hint="Redraw it as a rectangle if the object should be learned; unlabelled, it counts as "
        "background.",
    )


def _number(attrs: AttributesImpl, name: str, default: float | None = None) -> float:
    text = attrs.get(name)
    if text is None:
        if default is None:
            raise ValueError(f"the box has no {name}")
        return default
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f'{name}="{text}" is not a number') from None
    if not math.isfinite(value):
        raise ValueError(f'{name}="{text}" is not a finite number')
    return value


def _integer(attrs: AttributesImpl, name: str, default: int | None = None) -> int:
    value = _number(attrs, name, default)
    if value != int(value):
        raise ValueError(f'{name}="{attrs.get(name)}" is not a whole number')
    return int(value)


def _tasks(meta: Element) -> tuple[list[Task], bool]:
    """The tasks of a dump; and whether it is a project's, which numbers frames through."""
    project = meta.find("project")
    if project is None:
        node = next((n for tag in ("task", "job") if (n := meta.find(tag)) is not None), meta)
        return [_task(node, meta)], False
    nodes = project.findall("tasks/task")
    tasks = [_task(node, node) for node in nodes]
    # As CVAT's ProjectData counts: every task begins where the one before it in the same subset
    # ended, with the source frames before its own start frame counted in.
    subset, following = None, 0
    for task in tasks:
        task.offset = following if task.subset == subset else 0
        subset, following = task.subset, task.end
    return tasks, True


def _task(node: Element, meta: Element) -> Task:
    start = int(node.findtext("start_frame") or 0)
    stop = node.findtext("stop_frame") or ""
    size = node.findtext("size") or ""
    found = re.search(r"step\s*=\s*(\d+)", node.findtext("frame_filter") or "")
    step = int(found[1]) if found else 1
    if step < 1:
        raise ValueError(f"<frame_filter> has a step of {step}")
    last = None
    if stop:
        last = int(stop)
    elif size:
        last = start + (int(size) - 1) * step
    if last is not None:
        last -= (last - start) % step
    source = node.findtext(".//source") or meta.findtext(".//source") or ""
    return Task(
        id=node.findtext("id") or "",
        name=node.findtext("name") or "",
        source=source,
        subset=node.findtext("subset") or "default",
        start=start,
        stop=last,
        step=step,
        width=int(meta.findtext(".//original_size/width") or 0),
        height=int(meta.findtext(".//original_size/height") or 0),
        video=(node.findtext("mode") or "interpolation") == "interpolation",
    )


def _number_tracks(tracks: list[Track]) -> None:
    """Give tracks without a number, or with one that was used before, a free number."""
    free = max((t.id for t in tracks), default=0) + 1
    seen: set[int] = set()
    for track in tracks:
        if track.id < 0 or track.id in seen:
            track.id, free = free, free + 1
        seen.add(track.id)


# --- writing ---


def write_labels(xml: XmlWriter, labels: Iterable[str]) -> None:
    """Write the <labels> of a task's metadata."""
    xml.open("labels")
    for label in labels:
        xml.open("label")
        xml.leaf("name", label)
        xml.leaf("attributes", "")
        xml.close("label")
    xml.close("labels")


def box_sides(*values: object) -> dict[str, str]:
    """The attributes of a <box> with these xmin, ymin, xmax, ymax, in CVAT's two digits."""
    return {name: f"{v:.2f}" for name, v in zip(("xtl", "ytl", "xbr", "ybr"), values, strict=True)}


def flag(value: object) -> str:
    """How CVAT writes a boolean attribute."""
    return "1" if value else "0"
