"""How many pixels the decoding of a picture takes, by its header, without decoding it.

For the formats that TensorFlow's decode_image knows, read as its decoders read them: a reader that
takes the size from another place than the decoder does protects from nothing.
"""

from __future__ import annotations

import struct

from kfdet.serving.model import invalid

_MOST_SCANS = 100
"""Scans of a JPEG: progressive ones have about ten. Every scan passes over the whole picture."""
_SIZED = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's start-of-frame markers."""
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


def pixels_to_decode(data: bytes) -> int:
    """Pixels of all frames that a decoder makes of `data`; 0 where it is none of these formats.

    A header that is cut off counts 0 as well: the decoder refuses it before it takes any memory.

    Raises:
        ServingError: INVALID_ARGUMENT, a JPEG of very many scans.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"\x89PNG"):
            width, height = struct.unpack_from(">II", data, 16)
            return int(width) * int(height)
        if data.startswith(b"GIF8"):
            return _gif(data)
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(int(width) * int(height))
        if data.startswith(b"RIFF"):
            return _webp(data)
    except (IndexError, struct.error):
        pass
    return 0


def _jpeg(data: bytes) -> int:
    # Within the data of a scan FF is followed by 0 or by a restart marker: this counts markers, and
    # those in a thumbnail.
    if data.count(b"\xff\xda") > _MOST_SCANS:
        raise invalid(f"a JPEG has more than {_MOST_SCANS} scans")
    place = 2
    while True:
        # As libjpeg, which skips whatever lies before a marker, and bytes of filling.
        place = data.find(b"\xff", place)
        if place < 0:
            return 0
        while data[place] == 0xFF:
            place += 1
        marker = data[place]
        place += 1
        if marker in _SIZED:
            height, width = struct.unpack_from(">HH", data, place + 3)
            return int(width) * int(height)
        if marker in (0xD9, 0xDA):
            return 0
        if marker and marker not in _WITHOUT_LENGTH:
            place += max(2, struct.unpack_from(">H", data, place)[0])


def _gif(data: bytes) -> int:
    """The screen, and every image: giflib decodes all of them before TensorFlow takes the first."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    total = int(width) * int(height)
    place = 13 + _colour_table(flags)
    while place < len(data):
        kind = data[place]
        if kind == 0x21:  # an extension
            place = _after_blocks(data, place + 2)
        elif kind == 0x2C:
            width, height, flags = struct.unpack_from("<HHB", data, place + 5)
            total += int(width) * int(height)
            place = _after_blocks(data, place + 10 + _colour_table(flags) + 1)
        else:
            break
    return total


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, place: int) -> int:
    while size := data[place]:
        place += 1 + size
    return place + 1


def _webp(data: bytes) -> int:
    """By RFC 9649: the canvas, times the number of frames of an animation."""
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return int(width & 0x3FFF) * int(height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return int((bits & 0x3FFF) + 1) * int((bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        return width * height * max(1, data.count(b"ANMF"))
    return 0
