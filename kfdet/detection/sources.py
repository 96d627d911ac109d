"""Where pictures come from: files, folders, glob patterns, videos, cameras and streams."""

from __future__ import annotations

import glob
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from kfdet.dataset.layout import find_files, is_media_file, is_video, unread_hint
from kfdet.detection.frame import Frame, Kind, Source
from kfdet.detection.live import LiveSource
from kfdet.detection.pictures import encode
from kfdet.errors import InputError
from kfdet.parameters import StreamSettings

_CAMERA = re.compile(r"(?:/dev/video)?(\d{1,3})", re.ASCII)
_FORMS = "Give a picture, a video, a folder, a glob pattern, a camera's number or a stream's URL."


@dataclass(frozen=True, slots=True)
class _File:
    """A picture or a video; see `kfdet.detection.frame.Source`."""

    path: Path
    output: PurePosixPath

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)


@dataclass(frozen=True, slots=True)
class PictureSource(_File):
    """One picture."""

    kind: Kind = "image"

    def open(self, settings: StreamSettings) -> tuple[int, Iterator[Frame]]:
        """The picture, upright; its bytes stay as they are where they need no change."""
        captured = time.monotonic()
        _check_name(self.path)
        try:
            found = encode(self.path)
            data, (width, height) = found.data, found.size
            if 0 < settings.longest_side < max(width, height):
                from kfdet.video.images import read_image

                data = read_image(self.path, longest_side=settings.longest_side).jpeg
        except InputError as error:
            hint = unread_hint(self.name) or error.hint
            raise InputError(error.problem, file=self.path, hint=hint) from error
        return 1, iter([Frame(self.name, 0, 0.0, data, width, height, captured)])


@dataclass(frozen=True, slots=True)
class VideoSource(_File):
    """A video file; its frames become JPEGs like those that training and evaluation read."""

    kind: Kind = "video"

    def open(self, settings: StreamSettings) -> tuple[int, Iterator[Frame]]:
        """The chosen frames; those that do not decode are left out, with a warning."""
        from kfdet.video.extraction import extract
        from kfdet.video.packets import scan
        from kfdet.video.probe import describe

        _check_name(self.path)
        table = scan(self.path)
        numbers = np.arange(table.frames)
        if table.pts is not None:
            seconds = (table.pts - table.pts[0]) * float(table.time_base)
        else:
            seconds = numbers / (describe(table).fps or 1.0)
        chosen = numbers[:: settings.every]
        times = seconds[chosen]
        chosen = chosen[(times >= settings.start) & (times < (settings.stop or np.inf))]
        if not len(chosen):
            raise InputError(
                f"no frame is left: start is {settings.start:g} s, and the video ends after "
                f"{seconds[-1]:.3g} s.",
                file=self.path,
                hint="Begin earlier.",
            )
        pictures = extract(
            self.path, chosen.tolist(), longest_side=settings.longest_side, table=table
        )
        return len(chosen), (
            Frame(
                self.name,
                each.frame,
                each.seconds,
                each.jpeg,
                each.source_width,
                each.source_height,
                time.monotonic(),
            )
            for each in pictures
        )


def find_sources(texts: Iterable[str]) -> list[Source]:
    """The sources that a user names, each once, in the order given; folders by name.

    Args:
        texts: Files, folders (all pictures and videos in them), glob patterns, numbers of cameras,
            or URLs of streams.

    Raises:
        InputError: There is no such file, nothing in a folder, or no such kind of URL.
    """
    found: list[Source] = []
    taken: Counter[PurePosixPath] = Counter()
    names: set[str] = set()

    def output(path: PurePosixPath) -> PurePosixPath:
        """`path`, with a number where another source has it, whatever its suffix."""
        key = path.with_suffix("")
        taken[key] += 1
        if taken[key] == 1:
            return path
        return output(path.with_name(f"{path.stem}-{taken[key]}{path.suffix}"))

    for text in texts:
        for source in _sources(text):
            if source.name not in names:
                names.add(source.name)
                found.append(replace(source, output=output(source.output)))
    return found


def _sources(text: str) -> Iterator[PictureSource | VideoSource | LiveSource]:
    """The sources of one text."""
    path = Path(text)
    camera = _CAMERA.fullmatch(text)
    if camera and not path.is_file():
        yield LiveSource.camera(int(camera[1]))
    elif "://" in text:
        yield LiveSource.stream(text)
    elif path.is_dir():
        names = [name for name in find_files(path) if is_media_file(name)]
        if not names:
            raise InputError("there is no picture and no video in the folder.", file=path)
        for name in names:
            yield _file(path / name, PurePosixPath(name))
    elif path.exists():
        yield _file(path, PurePosixPath(path.name))
    elif glob.has_magic(text):
        matches = [
            match for match in sorted(glob.glob(text, recursive=True)) if is_media_file(match)
        ]
        if not matches:
            raise InputError("no picture and no video has such a name.", file=text)
        for match in matches:
            yield _file(Path(match), PurePosixPath(Path(match).name))
    else:
        raise InputError("does not exist.", file=text, hint=_FORMS)


def _check_name(path: Path) -> None:
    """Refuse a name that no table or annotation file can hold.

    Raises:
        InputError: Its bytes are not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError("its name is not text.", file=path, hint="Rename it.") from error


def _file(path: Path, output: PurePosixPath) -> PictureSource | VideoSource:
    kind = VideoSource if is_video(path.name) else PictureSource
    return kind(path, output)
