"""The videos and images of datasets in buckets: looked at without copying all of them."""

from __future__ import annotations

import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from kfdet.dataset.duplicates import Clusters
from kfdet.dataset.layout import is_image, is_video
from kfdet.dataset.media_files import MediaFiles
from kfdet.dataset.threads import in_threads
from kfdet.errors import InputError, PlaceError
from kfdet.events import track
from kfdet.files import hash_file
from kfdet.storage.clients import CONNECTIONS
from kfdet.storage.download import etag, fetch, is_md5
from kfdet.storage.listing import Entry, changed, gone_if_missing
from kfdet.storage.multipart import CHECKSUM_HEADER
from kfdet.storage.store import Store
from kfdet.video.packets import scan_index
from kfdet.video.probe import VideoInfo, describe
from kfdet.video.ranged import Ranged

_IMAGES_SHARE = 0.5
"""Of the free disk: images that take less are all copied at once."""

T = TypeVar("T")


@dataclass(slots=True)
class _Away:
    """A file that is in a bucket, and the headers that came with a part of it."""

    store: Store
    bucket: str
    entry: Entry
    folder: Path
    headers: dict[str, str]

    def read(self, first: int, end: int) -> bytes:
        """Bytes of the object.

        Raises:
            PlaceError: It is no longer what was listed.
        """
        with gone_if_missing(self.store, self.entry.name):
            return self.store.call_with_retries(self._receive, first, end)

    def _receive(self, first: int, end: int) -> bytes:
        response = self.store.client.get_object(
            self.bucket, self.entry.key, offset=first, length=end - first
        )
        try:
            self.headers.update((name.lower(), value) for name, value in response.headers.items())
            data: bytes = response.read()
        finally:
            response.close()
            response.release_conn()
        if etag(response.headers) != self.entry.etag or len(data) != end - first:
            raise changed(self.store.uri, self.entry.name)
        return data


class BucketMedia(MediaFiles):
    """Those of a copied folder in which stand-ins of the same size take the place of large files.

    Of a video in a bucket only the index and the first frames are read, where that tells enough;
    else it is copied while it is looked at, one video at a time. Images are all copied, unless they
    would fill the disk: then each one is copied while it is looked at.
    """

    def __init__(self) -> None:
        self._away: dict[Path, _Away] = {}
        self._copying = threading.Lock()

    def copy(self, store: Store, bucket: str, found: Sequence[Entry], folder: Path) -> None:
        """Copy the files of a dataset into `folder`, or let stand-ins take their place.

        Raises:
            InputError: As `kfdet.storage.download.fetch`.
        """
        folder = folder.resolve()
        images = sum(entry.size for entry in found if is_image(entry.name))
        crowded = images > _IMAGES_SHARE * shutil.disk_usage(folder).free
        here = []
        for entry in found:
            if is_video(entry.name) or (crowded and is_image(entry.name)):
                path = folder / entry.name
                self._away[path] = _Away(store, bucket, entry, folder, {})
                path.parent.mkdir(parents=True, exist_ok=True)
                _stand_in(path, entry.size)
            else:
                here.append(entry)
        fetch(store, bucket, here, folder)

    def each(self, look: Callable[[str], T], names: Sequence[str]) -> Iterable[T]:
        """Several at a time where they are in a bucket."""
        if not self._away:
            return super().each(look, names)
        return track(in_threads(look, names, CONNECTIONS), "look at files", len(names), "files")

    def probe(self, path: Path) -> VideoInfo:
        """By its index, else by a copy."""
        away = self._away.get(path.resolve())
        if away is None:
            return super().probe(path)
        try:
            table = scan_index(path, Ranged(away.read, away.entry.size))
            if table is not None:
                return describe(table)
        except PlaceError:
            raise
        except InputError:
            pass  # a copy tells more of what is wrong with a video
        with self._copying, self.at_hand(path):
            return super().probe(path)

    @contextmanager
    def at_hand(self, path: Path) -> Iterator[Path]:
        """The copy of a file, in the place of its stand-in."""
        away = self._away.get(path.resolve())
        if away is None:
            yield path
            return
        fetch(away.store, away.bucket, [away.entry], away.folder)
        try:
            yield path
        finally:
            _stand_in(path, away.entry.size)

    def identical(self, paths: Sequence[Path]) -> Clusters:
        """By what the listing says; only where that does not tell, files are read."""
        sizes: defaultdict[int, list[int]] = defaultdict(list)
        for i, path in enumerate(paths):
            sizes[path.stat().st_size].append(i)
        clusters = np.arange(len(paths))
        for same_size in sizes.values():
            if len(same_size) == 1:
                continue
            first: dict[str, int] = {}
            contents = self._contents([paths[i] for i in same_size])
            for i, content in zip(same_size, contents, strict=True):
                clusters[i] = first.setdefault(content, i)
        return clusters

    def _contents(self, paths: Sequence[Path]) -> list[str]:
        """Texts that are equal where files of the same size are."""
        found = [self._away.get(path.resolve()) for path in paths]
        away = [each for each in found if each]
        if len(away) == len(paths) and _tags_tell(away):
            return [each.entry.etag for each in away]
        digests: dict[str, str] = {}
        contents = []
        for path, each in zip(paths, found, strict=True):
            name = each.entry.etag if each else str(path)
            if name not in digests:
                with self.at_hand(path):
                    digests[name] = hash_file(path)
            contents.append(digests[name])
        return contents


def _tags_tell(away: Sequence[_Away]) -> bool:
    """Whether files of the same size are equal where their ETags are, and only there."""
    tags = {each.entry.etag: each for each in away}
    if len(tags) == 1 or all(is_md5(tag, each.headers) for tag, each in tags.items()):
        return True
    checksums = {each.headers.get(CHECKSUM_HEADER.lower()) for each in tags.values()}
    return None not in checksums and len(checksums) == len(tags)


def _stand_in(path: Path, size: int) -> None:
    """Put a file of that size in the place of a copy, which takes no room on the disk."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
