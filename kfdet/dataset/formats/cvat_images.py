"""CVAT for images 1.1: boxes image by image, or frame by frame of a video task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kfdet.boxes.tables import SIDES, UNTRACKED
from kfdet.dataset.formats import cvat_video
from kfdet.dataset.formats.cvat_dump import Dump, Image, Task, TaskIndex
from kfdet.dataset.formats.cvat_xml import box_sides, flag, parse_dump, write_labels
from kfdet.dataset.formats.model import (
    SIDE_NAMES,
    AnnotatedItem,
    AnnotationSet,
    KeyBox,
    SourceAnnotations,
)
from kfdet.dataset.formats.pictures import frames_with_boxes, picture_name
from kfdet.dataset.formats.xmlfile import XmlWriter
from kfdet.errors import Problem
from kfdet.files import atomic_file

# CVAT names a video's frames so; an image's name always has its suffix.
_FRAME_NAME = re.compile(r"(.*/)?frame_\d{6,}")


def read(path: Path) -> AnnotationSet:
    """Read a dump (XML or zip): one source per image, or one per task where the task is a video.

    A video's boxes are untracked: this format does not say which of them are one object.

    Raises:
        InputError: The file is not CVAT's XML, not well-formed, or hostile.
    """
    return interpret(parse_dump(path))


def interpret(dump: Dump) -> AnnotationSet:
    """The sources of a parsed dump's images."""
    result = AnnotationSet(labels=dump.labels, problems=dump.problems)
    videos: dict[int, SourceAnnotations] = {}
    index = TaskIndex(dump)
    for image in dump.images:
        place = index.find(image.task, image.subset, range(image.id, image.id + 1))
        if _FRAME_NAME.fullmatch(image.name) and place is not None:
            task = dump.tasks[place]
            if place not in videos:
                videos[place] = _video(task, image, dump.file)
            source, frame = videos[place], image.id - task.offset
        elif image.name:
            source, frame = _image(image, dump.file), 0
            result.sources.append(source)
        else:
            result.problems.append(
                Problem("error", "an <image> has no name.", dump.file, image.line)
            )
            continue
        for row in image.rows:
            if not row.label:
                problem = Problem("error", "a box has no label.", dump.file, row.line, frame)
                result.problems.append(problem)
                continue
            source.keys.append(
                KeyBox(
                    UNTRACKED,
                    row.label,
                    frame,
                    row.xmin,
                    row.ymin,
                    row.xmax,
                    row.ymax,
                    row.rotation,
                    occluded=row.occluded,
                    line=row.line,
                    difficult=row.difficult,
                    crowd=row.ignore,
                )
            )
    for source in videos.values():
        # A shape that was left out may be on any of them.
        source.reviewed = not dump.problems
    result.sources.extend(videos.values())
    return result


def _image(image: Image, file: str) -> SourceAnnotations:
    return SourceAnnotations(
        "image",
        file,
        (image.name,),
        width=image.width,
        height=image.height,
        stop=0,
        side=SIDE_NAMES.get(image.subset.lower(), ""),
    )


def _video(task: Task, image: Image, file: str) -> SourceAnnotations:
    source = cvat_video.source_of(task, file)
    source.width, source.height = image.width, image.height
    return source


def write(entries: Sequence[AnnotatedItem], labels: Sequence[str], target: Path, _: bool) -> None:
    """Write "CVAT for images 1.1": one XML of images, and of the frames of videos that have boxes.

    Coordinates have CVAT's two digits.
    """
    with atomic_file(target) as path, path.open("wb") as stream:
        xml = XmlWriter(stream)
        xml.open("annotations")
        xml.leaf("version", "1.1")
        xml.open("meta")
        xml.open("task")
        xml.leaf("mode", "annotation")
        write_labels(xml, labels)
        xml.close("task")
        xml.close("meta")
        number = 0
        for entry in entries:
            item = entry.item
            for frame, boxes in frames_with_boxes(entry):
                size = {"width": str(item.width), "height": str(item.height)}
                xml.open("image", {"id": str(number), "name": picture_name(item, frame), **size})
                number += 1
                for box in boxes:
                    first = {"label": str(box["label"]), "occluded": flag(box["occluded"])}
                    sides = box_sides(*(box[side] for side in SIDES))
                    xml.leaf("box", "", {**first, **sides, "z_order": "0"})
                xml.close("image")
        xml.close("annotations")
