"""Which files a user asks for, and the sinks that write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from kfdet.detection.frame import Source
from kfdet.detection.sinks.annotations import AnnotationSink
from kfdet.detection.sinks.drawn import DrawnSink, drawn_path, is_drawable
from kfdet.detection.sinks.tables import CsvSink, JsonLinesSink, ParquetSink
from kfdet.detection.stream import Sink
from kfdet.errors import InputError
from kfdet.parameters import DetectionFormat

FOLDER = "detections"
"""Where results go that nobody named a place for."""

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class DataFormat:
    """A file or folder that holds the detections on all sources.

    Args:
        file: Its usual name; without a suffix it is a folder.
        make: Makes the sink that writes it.
        streams: Whether it can be written to standard output: the path is then None.
        single: Suffix of the one file that takes the folder's place where there is one source.
        tracks: Whether it holds tracks of videos, and nothing else.
    """

    file: str
    make: Callable[[Path | None, Sequence[Source]], Sink]
    streams: bool = False
    single: str = ""
    tracks: bool = False


def _file(path: Path | None) -> Path:
    if path is None:
        raise ValueError("this format cannot be written to standard output.")
    return path


def _annotations(name: str, path: Path | None, sources: Sequence[Source]) -> Sink:
    return AnnotationSink(name, _file(path), sources)


def _tracks(path: Path | None, sources: Sequence[Source]) -> Sink:
    return AnnotationSink("cvat-video", _file(path), sources, key_frames=True)


FORMATS: Mapping[str, DataFormat] = {
    "jsonl": DataFormat("detections.jsonl", lambda path, _: JsonLinesSink(path), streams=True),
    "csv": DataFormat("detections.csv", lambda path, _: CsvSink(path), streams=True),
    "parquet": DataFormat("detections.parquet", lambda path, _: ParquetSink(_file(path))),
    **{
        name: DataFormat(file, partial(_annotations, name))
        for name, file in (
            ("coco", "coco.json"),
            ("yolo", "yolo"),
            ("cvat-images", "cvat-images.xml"),
            ("label-studio", "label-studio.json"),
        )
    },
    "cvat-video": DataFormat("cvat-video", _tracks, single=".xml", tracks=True),
}
"""The formats of data by the name that `--to` takes; `drawn` is beside them."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to write.

    Args:
        format: Its format.
        path: The file or folder; None: standard output.
    """

    format: DetectionFormat
    path: Path | None


def choose_targets(
    output: str, formats: Sequence[DetectionFormat], sources: Sequence[Source]
) -> list[Target]:
    """What to write where.

    Args:
        output: A folder, the one file to write, "-" for standard output, "" for the folder FOLDER.
        formats: What to write; empty: what the suffix of `output` says, else drawn copies.
        sources: Where the detections will come from.

    Raises:
        InputError: No such format, or one that does not fit `output`.
    """
    for name in formats:
        if name not in get_args(DetectionFormat):
            raise InputError(
                f"there is no format {name!r}.",
                hint=f"Choose one of {', '.join(get_args(DetectionFormat))}.",
            )
    formats = list(dict.fromkeys(formats))
    for name in formats:
        images = [source.name for source in sources if source.kind == "image"]
        if images and needs_tracks(name):
            raise InputError(
                f"{name} holds tracks of videos, and this is a picture.",
                file=images[0],
                hint="Choose cvat-images.",
            )
    if output == STANDARD_OUTPUT:
        formats = formats or ["jsonl"]
        streams = [name for name in formats if name in FORMATS and FORMATS[name].streams]
        if len(formats) > 1 or not streams:
            raise InputError(
                f"{' and '.join(formats)} cannot be written to standard output.",
                hint="Choose one of jsonl and csv, or a folder with -o.",
            )
        return [Target(formats[0], None)]
    path = Path(output or FOLDER)
    if path.is_dir() or not path.suffix:
        formats = formats or ["drawn"]
        return [_in_folder(name, path, alone=len(formats) == 1) for name in formats]
    fitting = [name for name in get_args(DetectionFormat) if _fits(name, path)]
    chosen = [name for name in formats or fitting[:1] if name in fitting]
    if len(chosen) != 1 or len(formats) > 1:
        raise InputError(
            f"{' and '.join(formats) or 'this kind of file'} cannot be written to one file of "
            "this name.",
            file=path,
            hint="Name a folder, or a file that ends in .mp4, .jpg, .png, .jsonl, .csv, .parquet, "
            ".json or .xml.",
        )
    if chosen == ["drawn"]:
        _check_drawn(path, sources)
    elif FORMATS[chosen[0]].single:
        _check_single(path, sources)
    return [Target(chosen[0], path)]


def needs_tracks(name: DetectionFormat) -> bool:
    """Whether detections must be tracked before they are written in a format."""
    return name in FORMATS and FORMATS[name].tracks


def _in_folder(name: DetectionFormat, folder: Path, alone: bool) -> Target:
    if name == "drawn":
        return Target(name, folder)
    file = FORMATS[name].file
    path = folder if alone and not Path(file).suffix else folder / file
    if not path.suffix and path.is_dir() and any(path.iterdir()):
        # It is written as a whole, and would take the place of what is there.
        raise InputError("the target folder is not empty.", file=path, hint="Choose a new name.")
    return Target(name, path)


def _fits(name: DetectionFormat, path: Path) -> bool:
    if name == "drawn":
        return is_drawable(path)
    return path.suffix.lower() in (Path(FORMATS[name].file).suffix, FORMATS[name].single)


def _check_single(path: Path, sources: Sequence[Source]) -> None:
    if len(sources) > 1:
        raise InputError(
            f"there are {len(sources)} sources, and this is one file.",
            file=path,
            hint="Name a folder.",
        )


def _check_drawn(path: Path, sources: Sequence[Source]) -> None:
    _check_single(path, sources)
    expected = drawn_path(sources[0], path.parent).suffix
    if (path.suffix.lower() == ".mp4") != (expected == ".mp4"):
        raise InputError(
            f"{sources[0].name} is drawn as a {expected} file.",
            file=path,
            hint="Choose another suffix.",
        )


def open_sinks(targets: Sequence[Target], sources: Sequence[Source]) -> list[Sink]:
    """A sink for each target.

    Raises:
        InputError: A target would replace a source, or its folder cannot be written.
    """
    inputs = {Path(source.name).resolve() for source in sources if source.kind != "live"}
    sinks: list[Sink] = []
    for target in targets:
        if target.format == "drawn" and target.path:
            paths = _drawn_paths(target.path, sources)
            written = list(paths.values())
        else:
            written = [target.path] if target.path else []
        for path in written:
            if path.resolve() in inputs:
                raise InputError(
                    "is a source, and would be replaced.", file=path, hint="Name another place."
                )
        if target.format == "drawn":
            live = [source.name for source in sources if source.kind == "live"]
            sinks.append(DrawnSink(paths, live))
        else:
            sinks.append(FORMATS[target.format].make(target.path, sources))
    return sinks


def _drawn_paths(place: Path, sources: Sequence[Source]) -> dict[str, Path]:
    if is_drawable(place) and not place.is_dir():
        return {source.name: place for source in sources}
    return {source.name: drawn_path(source, place) for source in sources}
