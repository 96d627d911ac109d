"""Pictures and videos with the boxes drawn on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from PIL import Image

from kfdet.detection.frame import Source
from kfdet.detection.pictures import Picture
from kfdet.detection.sinks.result import ResultFile
from kfdet.detection.stream import FrameDetections
from kfdet.files import atomic_file
from kfdet.video.writing import VideoEncoder

_KEPT = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
"""Suffixes of pictures whose drawn copy has the same format; the others become JPEGs."""
_QUALITY = 92


def is_drawable(path: Path) -> bool:
    """Whether a drawn copy can have this name."""
    return path.suffix.lower() in {".mp4", *_KEPT}


def drawn_path(source: Source, folder: Path) -> Path:
    """Where the drawn copy of a source is: pictures stay pictures, everything else is MP4."""
    path = folder / source.output
    if source.kind != "image":
        return path.with_name(f"{path.name if source.kind == 'live' else path.stem}.mp4")
    return path if path.suffix.lower() in _KEPT else path.with_suffix(".jpg")


class DrawnSink:
    """A drawn copy of every source.

    Args:
        paths: Where that of each source is written, by the source's name; a picture if the suffix
            is that of a picture, else a video. What is there is replaced.
        live: Names of the live sources; of the others, one has ended when the next one begins.
    """

    pictures = True

    def __init__(self, paths: Mapping[str, Path], live: Collection[str] = ()) -> None:
        self._paths, self._live = paths, frozenset(live)
        self._videos: dict[str, ResultFile[VideoEncoder]] = {}

    def write(self, picture: Picture | None, found: FrameDetections) -> None:
        """Write the picture, or add it to its video."""
        if picture is None:
            raise ValueError("a drawn copy needs the picture.")
        path = self._paths[found.source]
        kind = _KEPT.get(path.suffix.lower())
        if kind:
            with atomic_file(path) as temporary:
                Image.fromarray(picture).save(temporary, kind, quality=_QUALITY)
            return
        if found.source not in self._videos:
            if found.source not in self._live:
                for name in self._videos.keys() - self._live:
                    self._videos.pop(name).finish()
            self._videos[found.source] = ResultFile(path, VideoEncoder)
        with self._videos[found.source].writing() as video:
            video.write(picture, found.seconds)

    def close(self) -> None:
        """Give the videos their names."""
        for video in self._videos.values():
            video.finish()
