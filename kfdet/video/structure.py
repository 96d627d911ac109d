"""Whether the container of a video is whole: each of its parts must begin where the last one ends.

FFmpeg says nothing about such damage: it skips to the next part that it can read, and what lies
between is missing.
"""

from __future__ import annotations

import mmap
import re
from collections import Counter
from pathlib import Path

import numpy as np

from kfdet.video.ranged import Ranged, Span

# RFC 9559, section 5.1; RFC 8794, section 11.3 (CRC-32 and Void may be anywhere).
_ANYWHERE = frozenset((0xBF, 0xEC))
_EBML, _SEGMENT, _TRACKS, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0x1F43B675
_IN_SEGMENT = _ANYWHERE | {
    *(0x114D9B74, 0x1549A966, _TRACKS, _CLUSTER),
    *(0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367),
}
_SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = 0xA3, 0xA0, 0xA1
_INTEGERS = frozenset((0xE7, 0xA7, 0xAB))
"""Time, position and previous size of a cluster."""
_IN_CLUSTER = _ANYWHERE | _INTEGERS | {_SIMPLE_BLOCK, _BLOCK_GROUP, 0x5854, 0xAF}
_IN_BLOCK_GROUP = _ANYWHERE | {
    _BLOCK,
    0xA2,
    0x75A1,
    0x9B,
    0xFA,
    0xFB,
    0xFD,
    0xA4,
    0x8E,
    0x75A2,
    0xC8,
}
_TRACK_ENTRY, _TRACK_NUMBER, _TRACK_TYPE, _VIDEO = 0xAE, 0xD7, 0x83, b"\x01"

_BLOCK_HEADER = 3
"""Bytes of a block's time and flags, behind its track."""

_AVI_CHUNK = re.compile(rb"(\d\d)[A-Za-z]{2}|ix\d\d|JUNK|junk|idx1")
_BOXES = frozenset(
    b"ftyp styp moov moof mdat free skip wide sidx ssix mfra uuid meta pdin emsg prft udta pnot "
    b"PICT junk".split()
)
_IN_FRAGMENT = frozenset(b"mfhd traf pssh uuid free meta".split())
_IN_TRACK_FRAGMENT = frozenset(
    b"tfhd tfdt trun sdtp sbgp sgpd subs saiz saio senc uuid free meta tfxd tfrf".split()
)

_TS_PACKET, _TS_SYNC = 188, 0x47


class _BrokenError(Exception):
    """The chain of parts is broken."""


def is_whole(path: Path, family: str, packets: int, track: int) -> bool:
    """Whether nothing in the chain of a video's parts is missing, damaged or cut off.

    Args:
        path: The video.
        family: The first of FFmpeg's names of its container.
        packets: Packets of the video stream that FFmpeg finds.
        track: FFmpeg's number (`id`) of the video stream.
    """
    check = {"matroska": _matroska, "avi": _avi, "mov": _mp4, "mpegts": _mpegts}.get(family)
    if check is None:
        return True
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return check(data, track) <= packets
        except (_BrokenError, IndexError):
            return False


def _matroska(data: mmap.mmap, _: int) -> int:
    """Number of blocks of the first video track."""
    blocks: Counter[int] = Counter()
    tracks: dict[int, bool] = {}
    place, end = 0, len(data)
    while place < end:
        identity, place, size = _element(data, place)
        if identity in (_EBML, *_ANYWHERE):
            place += size or 0
        elif identity == _SEGMENT:
            inner = end if size is None else place + size
            place = _segment(data, place, inner, tracks, blocks)
        else:
            raise _BrokenError
        if place > end:
            raise _BrokenError
    if not blocks.keys() <= tracks.keys():
        raise _BrokenError
    first = next((number for number, is_video in tracks.items() if is_video), 0)
    return blocks[first]


def _segment(
    data: mmap.mmap, place: int, end: int, tracks: dict[int, bool], blocks: Counter[int]
) -> int:
    if end > len(data):
        raise _BrokenError
    while place < end:
        start = place
        identity, place, size = _element(data, place)
        if identity == _CLUSTER:
            place = _cluster(data, place, None if size is None else place + size, end, blocks)
            continue
        if identity == _EBML:  # another file, behind a segment of unknown size
            return start
        if identity not in _IN_SEGMENT or size is None or place + size > end:
            raise _BrokenError
        if identity == _TRACKS:
            _tracks(data, place, place + size, tracks)
        place += size
    return place


def _cluster(
    data: mmap.mmap, place: int, end: int | None, segment_end: int, blocks: Counter[int]
) -> int:
    last = segment_end if end is None else end
    if last > segment_end:
        raise _BrokenError
    while place < last:
        start = place
        identity, place, size = _element(data, place)
        if end is None and (identity in _IN_SEGMENT - _ANYWHERE or identity == _EBML):
            return start
        if identity not in _IN_CLUSTER or size is None or place + size > last:
            raise _BrokenError
        if identity in _INTEGERS and size > 8:  # a block that damage gave another name
            raise _BrokenError
        if identity == _SIMPLE_BLOCK:
            _count(data, place, size, blocks)
        elif identity == _BLOCK_GROUP:
            inner = place
            while inner < place + size:
                kind, inner, length = _element(data, inner)
                if kind not in _IN_BLOCK_GROUP or length is None or inner + length > place + size:
                    raise _BrokenError
                if kind == _BLOCK:
                    _count(data, inner, length, blocks)
                inner += length
        place += size
    return place


def _count(data: mmap.mmap, place: int, size: int, blocks: Counter[int]) -> None:
    """Count a block under its track; one without a frame is no packet."""
    track, content = _number(data, place)
    if track is None:
        raise _BrokenError
    blocks[track] += content + _BLOCK_HEADER < place + size


def _tracks(data: mmap.mmap, place: int, end: int, tracks: dict[int, bool]) -> None:
    while place < end:
        identity, place, size = _element(data, place)
        if identity == _TRACK_ENTRY and size is not None:
            inner, number, is_video = place, 0, False
            while inner < place + size:
                kind, inner, length = _element(data, inner)
                value = data[inner : inner + (length or 0)]
                if kind == _TRACK_NUMBER:
                    number = int.from_bytes(value, "big")
                elif kind == _TRACK_TYPE:
                    is_video = value.lstrip(b"\0") == _VIDEO
                inner += length or 0
            tracks[number] = is_video
        place += size or 0


def _element(data: mmap.mmap, place: int) -> tuple[int, int, int | None]:
    """Identity, place of the content and size (None: unknown) of an EBML element (RFC 8794)."""
    length = 9 - data[place].bit_length()
    if length > 4:
        raise _BrokenError
    identity = int.from_bytes(data[place : place + length], "big")
    size, place = _number(data, place + length)
    return identity, place, size


def _number(data: mmap.mmap, place: int) -> tuple[int | None, int]:
    """A number whose leading zero bits tell its length, and the place behind it."""
    length = 9 - data[place].bit_length()
    if length > 8:
        raise _BrokenError
    mask = (1 << 7 * length) - 1
    value = int.from_bytes(data[place : place + length], "big") & mask
    return None if value == mask else value, place + length


def _avi(data: mmap.mmap, _: int) -> int:
    """Number of chunks of the first video stream."""
    streams = [m.start() for m in re.finditer(rb"strh....", data[: 1 << 20], re.DOTALL)]
    kinds = [data[start + 8 : start + 12] for start in streams]
    video = b"%02d" % kinds.index(b"vids") if b"vids" in kinds else b""
    found, place = 0, 0
    while data[place : place + 4] == b"RIFF":
        end = place + 8 + _little(data, place + 4)
        if end > len(data):
            raise _BrokenError
        place += 12
        while place + 8 <= end:
            kind, size = data[place : place + 4], _little(data, place + 4)
            if place + 8 + size > end:
                raise _BrokenError
            if kind == b"LIST" and data[place + 8 : place + 12] == b"movi":
                found += _movi(data, place + 12, place + 8 + size, video)
            place += 8 + size + size % 2
        place = max(place, end + end % 2)
    return found


def _movi(data: mmap.mmap, place: int, end: int, video: bytes) -> int:
    found = 0
    while place + 8 <= end:
        kind, size = data[place : place + 4], _little(data, place + 4)
        if kind == b"LIST":  # chunks that belong together
            place += 12
            continue
        chunk = _AVI_CHUNK.fullmatch(kind)
        if chunk is None or place + 8 + size > end:
            raise _BrokenError
        found += chunk[1] == video and size > 0
        place += 8 + size + size % 2
    return found


def _little(data: mmap.mmap, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "little")


def _mp4(data: mmap.mmap, track: int) -> int:
    """Number of the track's samples in fragments; 0 without them, as the table of samples is exact.

    A file without fragments may have anything behind its last box; phones write there.
    """
    samples, place, fragments, broken = 0, 0, False, False
    tracks: set[int] = set()
    while place < len(data):
        try:
            kind, inner, end = _box(data, place, len(data))
        except (_BrokenError, IndexError):
            broken = True
            break
        broken = broken or kind not in _BOXES
        if kind == b"moov":
            tracks = _mp4_tracks(data, inner, end)
        elif kind == b"moof":
            fragments = True
            samples += _fragment(data, inner, end, track, tracks)
        place = end
    if fragments and broken:
        raise _BrokenError
    return samples


def media_data(data: Ranged) -> list[Span] | None:
    """Where an MP4 file holds its frames; None where it has fragments, each with an own index."""
    place = 0
    spans = []
    while place < len(data):
        try:
            kind, inner, end = _box(data, place, len(data))
        except (_BrokenError, IndexError):
            break
        if kind == b"moof":
            return None
        if kind == b"mdat":
            spans.append((inner, end))
        place = end
    return spans


def _mp4_tracks(data: mmap.mmap, place: int, end: int) -> set[int]:
    found = set()
    while place < end:
        kind, inner, place = _box(data, place, end)
        while kind == b"trak" and inner < place:
            part, content, inner = _box(data, inner, place)
            if part == b"tkhd":
                found.add(_big(data, content + (20 if data[content] else 12)))
    return found


def _fragment(data: mmap.mmap, place: int, end: int, track: int, tracks: set[int]) -> int:
    """Number of the track's samples in one fragment (ISO 14496-12, section 8.8)."""
    samples = 0
    while place < end:
        kind, inner, place = _box(data, place, end)
        if kind not in _IN_FRAGMENT:
            raise _BrokenError
        owner, runs = 0, 0
        while kind == b"traf" and inner < place:
            part, content, inner = _box(data, inner, place)
            if part not in _IN_TRACK_FRAGMENT:
                raise _BrokenError
            flags = _big(data, content) & 0xFFFFFF
            if part == b"tfhd":
                owner = _big(data, content + 4)
                fields = 4 * (flags & 0x3A).bit_count() + 8 * (flags & 1)
                if owner not in tracks or inner - content != 8 + fields:
                    raise _BrokenError
            elif part == b"trun":
                count = _big(data, content + 4)
                fields = 4 * (flags & 5).bit_count() + 4 * (flags & 0xF00).bit_count() * count
                if inner - content != 8 + fields:
                    raise _BrokenError
                runs += count
        samples += runs if owner == track else 0
    return samples


def _big(data: mmap.mmap | Ranged, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "big")


def _box(data: mmap.mmap | Ranged, place: int, end: int) -> tuple[bytes, int, int]:
    """Type, place of the content and end of a box (ISO 14496-12, section 4.2)."""
    size, kind, inner = _big(data, place), data[place + 4 : place + 8], place + 8
    if size == 1:
        size, inner = int.from_bytes(data[inner : inner + 8], "big"), inner + 8
    elif size == 0:
        size = end - place
    if place + size > end or inner > place + size:
        raise _BrokenError
    return kind, inner, place + size


def _mpegts(data: mmap.mmap, _: int) -> int:
    """0 where every packet is whole and begins with the byte of synchronisation."""
    start = data.find(bytes((_TS_SYNC,)))
    # M2TS has a time stamp of four bytes before every packet.
    step = next(
        (s for s in (_TS_PACKET, _TS_PACKET + 4) if data[start + s : start + s + 1] == b"G"), 0
    )
    if not step:
        return 0
    begins = bool(np.all(np.frombuffer(data, np.uint8)[start::step] == _TS_SYNC))
    if not begins or (len(data) - start - _TS_PACKET) % step:
        raise _BrokenError
    return 0
