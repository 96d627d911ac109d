"""Which video or image a set of annotations belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import takewhile
from pathlib import PurePosixPath

_LAYOUT_FOLDERS = ("annotations", "images", "labels", "videos", "xmls")


class MediaIndex:
    """Finds media files (paths relative to the dataset, forward slashes) by the names tools write.

    A name may be a whole path, its end, a file name, or a file name without or with another suffix;
    letter case counts only where it decides between several.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            path = PurePosixPath(name)
            self._by_name[path.name.casefold()].append(name)
            self._by_stem[path.stem.casefold()].append(name)

    def find(self, wanted: str, near: str = "") -> list[str]:
        """Media that `wanted` may mean: one where it is clear, several where it is not.

        Args:
            wanted: The name in the annotations.
            near: Path of the annotation file; decides between equal names in several folders.
        """
        path = PurePosixPath(wanted.replace("\\", "/"))
        base = path.name.casefold()
        found = (
            self._by_name.get(base)
            or self._by_stem.get(base)
            or self._by_stem.get(path.stem.casefold())
            or []
        )
        if len(found) > 1:
            found = _best(found, [_common_tail(name, path) for name in found])
        if len(found) > 1:
            folder = _inner_folder(near)
            found = _best(found, [int(_inner_folder(name) == folder) for name in found])
        return found


def _best(names: list[str], scores: list[int]) -> list[str]:
    best = max(scores)
    return [name for name, score in zip(names, scores, strict=True) if score == best]


def _common_tail(name: str, wanted: PurePosixPath) -> int:
    """How many trailing path parts are equal."""
    pairs = zip(reversed(PurePosixPath(name).parts), reversed(wanted.parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _inner_folder(name: str) -> tuple[str, ...]:
    """The folders above a file without those that only say what kind of file it is."""
    return tuple(part for part in PurePosixPath(name).parts[:-1] if part not in _LAYOUT_FOLDERS)
