"""Search for files that are identical or show the same picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kfdet import events
from kfdet.dataset.threads import in_threads
from kfdet.errors import InputError
from kfdet.files import count_cores, hash_file

NEAR_BITS = 6
"""Pictures whose 64-bit perceptual hashes differ in at most this many bits are near duplicates."""
_HASHED_SIDE = 256
_SHARED_BLOCKS = 3
"""Blocks of bits in which two near hashes agree at least, of three more than bits may differ."""
_FEW = 32
"""Hashes that are all compared with each other."""

Clusters = npt.NDArray[np.int64]
"""A number for every file; equal numbers mean duplicates."""

AtHand = Callable[[Path], AbstractContextManager[Path]]


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


def near_hashes(hashes: npt.NDArray[np.uint64], bits: int = NEAR_BITS) -> Clusters:
    """Cluster 64-bit hashes: those of nearly the same picture differ in at most `bits` bits.

    Chains count: a and c are in one cluster where both are near b.

    Time grows with n log n: the bits are dealt to a few more blocks than can differ, so that two
    near hashes agree in some blocks as a whole, and only hashes that agree there are compared.
    """
    distinct, place = np.unique(hashes, return_inverse=True)
    clusters = np.arange(len(distinct))
    blocks = [
        np.uint64(sum(1 << bit for bit in range(first, 64, bits + _SHARED_BLOCKS)))
        for first in range(bits + _SHARED_BLOCKS)
    ]
    for shared in combinations(blocks, _SHARED_BLOCKS):
        key = distinct & np.bitwise_or.reduce(shared)
        order = np.argsort(key)
        start = np.flatnonzero(np.diff(key[order], prepend=~key[order[:1]]))
        end = np.append(start, len(order))[1:]
        size = end - start
        ahead = np.repeat(end, size) - np.arange(len(order)) - 1
        links = [
            _links(distinct, order[start[many] : end[many]], clusters, bits)
            for many in np.flatnonzero(size > _FEW).tolist()
        ]
        left = np.flatnonzero(np.repeat(size <= _FEW, size))
        for distance in range(1, _FEW):
            left = left[ahead[left] >= distance]
            a, b = order[left], order[left + distance]
            near = np.bitwise_count(distinct[a] ^ distinct[b]) <= bits
            links.append(np.stack([a[near], b[near]]))
        clusters = _joined(clusters, np.concatenate(links, axis=1))
    found: Clusters = clusters[place]
    return found


def _links(
    hashes: npt.NDArray[np.uint64], members: Clusters, clusters: Clusters, bits: int
) -> Clusters:
    """Pairs (2, P) that connect those of many `members` that are near, directly or in a chain.

    A member is compared with those only that no other one has reached: frames of one video, all
    near each other, take hardly more time than as many different pictures.
    """
    links = [np.zeros((2, 0), np.int64)]
    left = members
    reached = members[:0]
    while len(left):
        if not len(reached):
            if (clusters[left] == clusters[left[0]]).all():
                break
            reached, left = left[:1], left[1:]
        one, reached = reached[0], reached[1:]
        near = np.bitwise_count(hashes[left] ^ hashes[one]) <= bits
        if near.any():
            found, left = left[near], left[~near]
            links.append(np.stack([np.full(len(found), one), found]))
            reached = np.concatenate([reached, found])
    return np.concatenate(links, axis=1)


def _joined(clusters: Clusters, links: Clusters) -> Clusters:
    """The clusters after links (2, P) between their members."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = clusters[links]
    a, b = a[a != b], b[a != b]
    if not len(a):
        return clusters
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(len(clusters),) * 2)
    joined: Clusters = connected_components(graph, directed=False)[1].astype(np.int64)
    return joined[clusters]


def perceptual_hashes(
    paths: Sequence[Path], at_hand: AtHand = nullcontext
) -> list[int | InputError]:
    """The 64-bit pHash (low frequencies of the DCT) of every image file.

    Args:
        paths: The files.
        at_hand: Gives the content of a file for as long as a block lasts.

    Returns:
        The hashes; of a file that cannot be decoded the error.
    """

    def look(path: Path) -> int | InputError:
        with at_hand(path) as file:
            return _hash(file)

    found = in_threads(look, paths, count_cores())
    return list(events.track(found, "compare images", len(paths), "images"))


def _hash(path: Path) -> int | InputError:
    import imagehash

    from kfdet.video.images import read_gray

    try:
        bits = imagehash.phash(read_gray(path, _HASHED_SIDE)).hash.ravel()
    except InputError as error:
        return error  # others are looked at, too
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
