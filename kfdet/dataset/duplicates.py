"""Search for files that are identical or show the same picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kfdet import events
from kfdet.errors import InputError
from kfdet.files import count_cores, hash_file

NEAR_BITS = 6
"""Pictures whose 64-bit perceptual hashes differ in at most this many bits are near duplicates."""
_HASHED_SIDE = 256
_BLOCK_PAIRS = 1 << 22

Clusters = npt.NDArray[np.int64]
"""A number for every file; equal numbers mean duplicates."""


def identical_files(paths: Sequence[Path]) -> Clusters:
    """Cluster files of the same bytes; only files of equal size are read."""
    sizes: defaultdict[int, list[int]] = defaultdict(list)
    for i, path in enumerate(paths):
        sizes[path.stat().st_size].append(i)
    clusters = np.arange(len(paths))
    for same_size in sizes.values():
        first: dict[str, int] = {}
        for i in same_size if len(same_size) > 1 else []:
            clusters[i] = first.setdefault(hash_file(paths[i]), i)
    return clusters


def near_duplicates(paths: Sequence[Path], bits: int = NEAR_BITS) -> Clusters:
    """Cluster image files that show nearly the same picture, whatever their size and quality.

    Chains count: a and c are in one cluster where both are near b.

    Raises:
        InputError: A file cannot be decoded.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    hashes = perceptual_hashes(paths)
    pairs = [np.zeros((2, 0), np.int64)]
    rows = max(1, _BLOCK_PAIRS // max(len(hashes), 1))
    for start in range(0, len(hashes), rows):
        block = hashes[start : start + rows, None] ^ hashes[None, start:]
        near = np.nonzero(np.bitwise_count(block) <= bits)
        pairs.append(np.stack(near) + start)
    a, b = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(len(hashes),) * 2)
    clusters: Clusters = connected_components(graph, directed=False)[1].astype(np.int64)
    return clusters


def perceptual_hashes(paths: Sequence[Path]) -> npt.NDArray[np.uint64]:
    """The 64-bit pHash (low frequencies of the DCT) of every image file.

    Raises:
        InputError: Files cannot be decoded: all of them.
    """
    with ThreadPoolExecutor(count_cores()) as pool:
        found = events.track(pool.map(_hash, paths), "compare images", len(paths), "images")
        hashes = list(found)
    errors = [each for each in hashes if isinstance(each, InputError)]
    if len(errors) > 1:
        lines = "\n".join(f"  {error}" for error in errors)
        raise InputError(f"{len(errors)} images cannot be read:\n{lines}") from errors[0]
    if errors:
        raise errors[0]
    return np.array(hashes, np.uint64)


def _hash(path: Path) -> int | InputError:
    import imagehash

    from kfdet.video.images import read_gray

    try:
        bits = imagehash.phash(read_gray(path, _HASHED_SIDE)).hash.ravel()
    except InputError as error:
        return error  # others are looked at, too
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
