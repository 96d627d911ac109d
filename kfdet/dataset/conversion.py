"""Conversion from one annotation format to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kfdet.boxes.interpolation import count_boxes
from kfdet.boxes.tables import BOX_SCHEMA
from kfdet.dataset.box_checks import Media, check_source
from kfdet.dataset.formats.limits import MAX_FRAMES, MAX_WRITTEN_BOXES
from kfdet.dataset.formats.model import AnnotatedItem, Item, KeyBox, SourceAnnotations, key_table
from kfdet.dataset.formats.pictures import picture_name
from kfdet.dataset.formats.registry import FORMATS, Format, read_annotations
from kfdet.dataset.layout import LAYOUT
from kfdet.dataset.loading import all_errors
from kfdet.dataset.reading import load_items
from kfdet.errors import InputError, Problem
from kfdet.motion.interpolation import interpolate_videos
from kfdet.parameters import Interpolation

_FILE_SUFFIXES = frozenset((".csv", ".json", ".parquet", ".txt", ".xml", ".yaml", ".zip"))


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result of a conversion.

    Args:
        target: The file or folder that was written.
        sources: Number of videos and images.
        frames: Number of pictures with boxes.
        boxes: Number of boxes.
        warnings: Warnings about the input.
    """

    target: Path
    sources: int
    frames: int
    boxes: int
    warnings: tuple[Problem, ...]


def convert(
    src: Path,
    dst: Path,
    to: str,
    *,
    key_frames: bool = False,
    interpolation: Interpolation = "linear",
) -> Conversion:
    """Write the boxes of `src` in another format.

    Args:
        src: A dataset folder, or one annotation file (no video or image is then needed).
        dst: The file or folder to write. A format of one file makes a file of its usual name in
            `dst` where that has no suffix.
        to: A name in FORMATS.
        key_frames: Only frames that a person drew on. Formats with tracks then hold key boxes
            only; the others hold all boxes of these frames, or the frames would be half labelled.
        interpolation: How boxes move between key frames otherwise; "auto" and "tracked" need the
            videos.

    Raises:
        InputError: Unknown format, errors in the annotations (all of them), a target that exists,
            an input that the format cannot hold, or no videos where they are needed.
    """
    target_format = _target_format(to)
    target = _target(src, dst, target_format)
    items, problems = load_items(src) if src.is_dir() else _load_file(src)
    error = all_errors(problems)
    if error:
        raise error
    items = [item for item in items if item.annotation]
    if not items:
        raise InputError("holds no annotations.", file=src, hint=LAYOUT)
    _refuse_unfit(src, items, target_format, target)
    boxes = _boxes(src, items, "linear" if key_frames else interpolation)
    if key_frames and not target_format.tracks:
        boxes = _on_key_frames(boxes)
    boxes, left_out = _without_regions(boxes, target_format, src)
    entries = _split(items, boxes)
    labels = sorted(set(boxes.column("label").unique().to_pylist()))
    target_format.write(entries, labels, target, key_frames)
    if key_frames and target_format.tracks:
        boxes = boxes.filter(boxes.column("keyframe"))
    frames = boxes.group_by(["video", "frame"]).aggregate([]).num_rows
    return Conversion(target, len(items), frames, boxes.num_rows, (*problems, *left_out))


def _target_format(to: str) -> Format:
    if to not in FORMATS:
        raise InputError(
            f"there is no annotation format {to!r}.", hint=f"Choose one of {', '.join(FORMATS)}."
        )
    return FORMATS[to]


def _target(src: Path, dst: Path, to: Format) -> Path:
    suffix = to.suffix or Path(to.file).suffix
    target = dst / to.file if to.file and dst.suffix != suffix else dst
    if dst.suffix in _FILE_SUFFIXES and dst.suffix != suffix:
        raise InputError(
            f"{to.title} is not written as a {dst.suffix} file.",
            file=dst,
            hint=f"Give a name with {suffix}, or a folder." if suffix else "Give a folder.",
        )
    if target.resolve() == src.resolve():
        raise InputError("source and target are the same.", file=dst, hint="Choose another target.")
    if target.is_dir() and (to.file or any(target.iterdir())):
        # Folders are written as a whole and would take the place of what is there.
        raise InputError("the target folder is not empty.", file=dst, hint="Choose a new name.")
    return target


def _load_file(path: Path) -> tuple[list[Item], list[Problem]]:
    if not path.is_file():
        raise InputError(
            "does not exist.",
            file=path,
            hint="Give a dataset's folder or zip, or an annotation file.",
        )
    read = read_annotations(path)
    items: list[Item] = []
    taken: set[str] = set()
    problems = list(read.problems)
    for source in read.sources:
        if source.relative:
            raise InputError(
                "the size of the pictures is not known, and boxes are shares of it.",
                file=path,
                hint="Give the dataset folder, with the videos or images in it.",
            )
        name = source.names[0] if source.names else path.stem
        if name in taken:
            # Tasks of a project may have one name.
            name = f"{name}-{len(items) + 1}"
        taken.add(name)
        last = max((key.frame for key in source.keys if not key.outside), default=0)
        stop = last if source.stop is None else source.stop
        if max(stop, last) > MAX_FRAMES:
            raise InputError(
                f"its task ends on frame {stop:,}; kfdet converts at most {MAX_FRAMES:,} frames.",
                file=path,
                hint="Give the dataset folder, with the video in it, if this is a damaged number.",
            )
        media = Media(name, source.width, source.height, max(stop, last) + 1, 0.0)
        keys, found = check_source(source, media)
        problems += found
        items.append(_item(path, name, source, keys, stop))
    return items, problems


def _item(path: Path, name: str, source: SourceAnnotations, keys: list[KeyBox], stop: int) -> Item:
    return Item(
        name,
        path,
        source.kind,
        source.width,
        source.height,
        stop + 1,
        0.0,
        annotation=path.name,
        start=source.start,
        stop=stop,
        step=source.step,
        keys=keys,
    )


def _refuse_unfit(src: Path, items: Sequence[Item], to: Format, target: Path) -> None:
    kinds = {item.kind for item in items}
    if "image" in kinds and not to.images:
        raise InputError(
            f"{to.title} cannot hold images, only videos.",
            file=src,
            hint="Choose coco, voc, yolo, cvat-images, datumaro or parquet.",
        )
    names = Counter(PurePosixPath(picture_name(item, 0)).with_suffix("") for item in items)
    (name, count) = names.most_common(1)[0]
    if count > 1 and to.name != "parquet":
        raise InputError(
            f"{count} files are called {name}, apart from their suffix, and would be mixed up.",
            file=src,
            hint="Rename them.",
        )
    if to.name not in ("parquet", "cvat-video") and any(not item.width for item in items):
        raise InputError(
            f"the size of the pictures is not known, and {to.title} needs it.",
            file=src,
            hint="Give the dataset folder, with the videos or images in it.",
        )
    if to.name == "cvat-video" and target.suffix == to.suffix and len(items) > 1:
        raise InputError(
            f"{to.title} holds one video per file, and there are {len(items)}.",
            file=target,
            hint="Give the name of a folder.",
        )


def _boxes(src: Path, items: Sequence[Item], interpolation: Interpolation) -> pa.Table:
    tasks = {item.name: (item.start, item.stop, item.step) for item in items}
    keys = key_table((item.name, item.keys) for item in items)
    count = count_boxes(keys, tasks)
    if count > MAX_WRITTEN_BOXES:
        raise InputError(
            f"there are {count:,} boxes on all frames; kfdet converts at most "
            f"{MAX_WRITTEN_BOXES:,}.",
            file=src,
            hint="Check where the task and its tracks end, or split it.",
        )
    if interpolation in ("auto", "tracked") and not src.is_dir():
        raise InputError(
            f"{interpolation} interpolation looks at the videos.",
            file=src,
            hint="Give the dataset folder, with the videos in it.",
        )
    videos = {item.name: item.path for item in items if item.kind == "video"}
    return interpolate_videos(keys, tasks, videos, interpolation)


def _without_regions(boxes: pa.Table, to: Format, src: Path) -> tuple[pa.Table, list[Problem]]:
    """The boxes without crowd regions where the format cannot hold them, and the warning."""
    count = pc.sum(boxes.column("crowd")).as_py() or 0
    if to.crowds or not count:
        return boxes, []
    text = f"{count} boxes around groups of objects are left out: {to.title} cannot hold them."
    hint = "Draw boxes around the single objects, or convert to coco."
    problem = Problem("warning", text, str(src), hint=hint)
    return boxes.filter(pc.invert(boxes.column("crowd"))), [problem]


def _on_key_frames(boxes: pa.Table) -> pa.Table:
    """All boxes of the frames with at least one box that a person drew."""
    drawn = boxes.filter(boxes.column("keyframe")).select(["video", "frame"])
    frames = drawn.group_by(["video", "frame"]).aggregate([])
    found = boxes.join(frames, ["video", "frame"], join_type="left semi")
    order = [("video", "ascending"), ("frame", "ascending"), ("track_id", "ascending")]
    return found.select(BOX_SCHEMA.names).sort_by(order)


def _split(items: Sequence[Item], boxes: pa.Table) -> list[AnnotatedItem]:
    """Each item with its slice of the table, which is sorted by video."""
    names = pc.run_end_encode(boxes.column("video").combine_chunks())
    ends = names.run_ends.to_numpy()
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    slices = {
        name: boxes.slice(int(start), int(end - start))
        for name, start, end in zip(names.values.to_pylist(), starts, ends, strict=True)
    }
    empty = BOX_SCHEMA.empty_table()
    return [AnnotatedItem(item, slices.get(item.name, empty)) for item in items]
