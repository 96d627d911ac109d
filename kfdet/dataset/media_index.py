"""Index of videos and images by the names that annotation tools write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import PurePosixPath
from unicodedata import normalize

from kfdet.dataset.formats.model import SourceAnnotations
from kfdet.dataset.formats.pictures import LAYOUT_FOLDERS, frame_name

_TOLD_APART = 64
"""Media of equal names in one place whose spelling is compared; more are ambiguous anyway."""


@dataclass(slots=True)
class _Place:
    """Media of one name in folders that end alike; looked at part by part, from the right."""

    names: list[str]
    above: dict[str, _Place] = field(default_factory=dict)
    by_folder: defaultdict[tuple[str, ...], list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )


class MediaIndex:
    """Finds media files (paths relative to the dataset, forward slashes) by the names tools write.

    A name may be a whole path, its end, a file name, or a file name without or with another suffix.
    Letter case, and whether an accent is a character of its own (as macOS writes it), count only
    where they decide between several.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        self._places: dict[int, _Place] = {}
        for name in names:
            path = PurePosixPath(name)
            self._by_name[_folded(path.name)].append(name)
            self._by_stem[_folded(path.stem)].append(name)

    def find(self, wanted: str, near: str = "") -> list[str]:
        """Media that `wanted` may mean: one where it is clear, several where it is not.

        Args:
            wanted: The name in the annotations.
            near: Path of the annotation file; decides between equal names in several folders.
        """
        path = PurePosixPath(wanted.replace("\\", "/"))
        base = _folded(path.name)
        found = (
            self._by_name.get(base)
            or self._by_stem.get(base)
            or self._by_stem.get(_folded(path.stem))
            or []
        )
        if len(found) > 1:
            place = self._place(found)
            for folder in reversed(path.parent.parts):
                if _folded(folder) not in place.above:
                    break
                place = place.above[_folded(folder)]
            found = place.by_folder.get(_inner_folder(near), place.names)
        if 1 < len(found) <= _TOLD_APART:
            found = _best(found, [_likeness(PurePosixPath(name), path) for name in found])
        return found

    def _place(self, names: list[str]) -> _Place:
        """Media of one name by their folders, sorted when they are first asked for.

        However many annotations name them, each is then looked at once.
        """
        top = self._places.get(id(names))
        if top is None:
            top = self._places[id(names)] = _Place([])
            for name in names:
                inner, place = _inner_folder(name), top
                for folder in ("", *reversed(PurePosixPath(name).parent.parts)):
                    if folder:
                        place = place.above.setdefault(_folded(folder), _Place([]))
                    place.names.append(name)
                    place.by_folder[inner].append(name)
        return top


def gather_frames(
    sources: Iterable[SourceAnnotations], images: MediaIndex, videos: MediaIndex
) -> list[SourceAnnotations]:
    """Gather pictures that are not images of the dataset, but frames of a video, into that video.

    Only frames of one annotation file are put together; their boxes are untracked.
    """
    result: list[SourceAnnotations] = []
    gathered: dict[tuple[str, str], SourceAnnotations] = {}
    for source in sources:
        found = [place for name in source.names if (place := frame_name(name))]
        if source.kind == "video" or not found or any(map(images.find, source.names)):
            result.append(source)
            continue
        video, frame = max(found)
        if video and not videos.find(video):
            result.append(source)
            continue
        key = (source.file, video)
        if key not in gathered:
            gathered[key] = SourceAnnotations(
                "video",
                source.file,
                (video,) if video else (),
                names_media_file=bool(video),
                width=source.width,
                height=source.height,
            )
            result.append(gathered[key])
        gathered[key].keys += [box._replace(frame=frame) for box in source.keys]
    return result


def _best(names: list[str], scores: list[int]) -> list[str]:
    best = max(scores)
    return [name for name, score in zip(names, scores, strict=True) if score == best]


def _likeness(name: PurePosixPath, wanted: PurePosixPath) -> int:
    """How many parts of two paths are spelt alike, from the right; the suffix may differ."""
    ends = (name.name == wanted.name, wanted.name == name.stem, wanted.stem == name.stem)
    pairs = zip(reversed(name.parent.parts), reversed(wanted.parent.parts), strict=False)
    return (
        int(any(ends)) * 2
        + ends[0]
        + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    )


def _inner_folder(name: str) -> tuple[str, ...]:
    """The folders above a file without those that only say what kind of file it is."""
    folders = map(_folded, PurePosixPath(name).parts[:-1])
    return tuple(folder for folder in folders if folder not in LAYOUT_FOLDERS)


def _folded(text: str) -> str:
    """The same text for all spellings of a name by case and by accents."""
    if text.isascii():
        return text.lower()
    return normalize("NFD", normalize("NFD", text).casefold())
