"""How the videos and images of a dataset are looked at, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kfdet.dataset.duplicates import Clusters, identical_files

if TYPE_CHECKING:
    from kfdet.video.probe import VideoInfo

T = TypeVar("T")


class MediaFiles:
    """Videos and images that are files of the dataset's folder."""

    def each(self, look: Callable[[str], T], names: Sequence[str]) -> Iterable[T]:
        """What `look` finds for every name, in their order."""
        return map(look, names)

    def probe(self, path: Path) -> VideoInfo:
        """The properties of a video.

        Raises:
            InputError: It cannot be read.
        """
        from kfdet.video.probe import probe

        return probe(path)

    def at_hand(self, path: Path) -> AbstractContextManager[Path]:
        """A file with the content of a video or image, for as long as the block lasts."""
        return nullcontext(path)

    def identical(self, paths: Sequence[Path]) -> Clusters:
        """Cluster videos and images of the same bytes (`kfdet.dataset.duplicates`)."""
        return identical_files(paths)


ON_DISK = MediaFiles()
