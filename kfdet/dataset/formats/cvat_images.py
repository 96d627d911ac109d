"""CVAT for images 1.1: boxes image by image, or frame by frame of a video task."""

from __future__ import annotations

import re
from pathlib import Path

from kfdet.dataset.formats import cvat_video
from kfdet.dataset.formats.cvat_xml import Dump, Image, Task, parse_dump
from kfdet.dataset.formats.model import UNTRACKED, AnnotationSet, KeyBox, SourceAnnotations
from kfdet.errors import Problem

# CVAT names a video's frames so; an image's name always has its suffix.
_FRAME_NAME = re.compile(r"(.*/)?frame_\d{6,}")


def read(path: Path) -> AnnotationSet:
    """Read a dump (XML or zip): one source an image, or one a task where the task is a video.

    A video's boxes are untracked: this format does not say which of them are one object.

    Raises:
        InputError: The file is not CVAT's XML, not well-formed, or hostile.
    """
    return interpret(parse_dump(path))


def interpret(dump: Dump) -> AnnotationSet:
    """The sources of a parsed dump's images."""
    result = AnnotationSet(labels=dump.labels, problems=dump.problems)
    videos: dict[int, SourceAnnotations] = {}
    for image in dump.images:
        task = dump.task_of(image.task, image.subset, range(image.id, image.id + 1))
        if _FRAME_NAME.fullmatch(image.name) and task is not None:
            index = dump.tasks.index(task)
            if index not in videos:
                videos[index] = _video(task, image, dump.file)
            source, frame = videos[index], image.id - task.offset
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
                )
            )
    result.sources.extend(videos.values())
    return result


def _image(image: Image, file: str) -> SourceAnnotations:
    return SourceAnnotations(
        "image", file, (image.name,), width=image.width, height=image.height, stop=0
    )


def _video(task: Task, image: Image, file: str) -> SourceAnnotations:
    source = cvat_video.source_of(task, file)
    source.width, source.height = image.width, image.height
    return source
