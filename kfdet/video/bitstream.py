"""Whether a packet can be a frame of its codec: by its first bytes, without decoding it.

Only a hint: a packet that looks damaged is decoded to be sure. Damage inside a frame, which
decoders hide with the pictures around it, is not found.
"""

from __future__ import annotations

from collections.abc import Callable

Look = Callable[[memoryview], bool]
"""Whether the bytes of a packet begin like a frame."""


def look_for(codec: str, extradata: bytes) -> Look | None:
    """The test for packets of a codec; None where there is none.

    Args:
        codec: FFmpeg's name.
        extradata: What the container says of the stream.
    """
    if codec in ("h264", "hevc"):
        place = 4 if codec == "h264" else 21
        # ISO 14496-15: avcC and hvcC begin with 1; else NAL units are separated by start codes.
        if len(extradata) <= place or extradata[0] != 1:
            return None
        size = (extradata[place] & 3) + 1
        return lambda data: _is_chain_of_units(data, size)
    return _LOOKS.get(codec)


def _is_chain_of_units(data: memoryview, size: int) -> bool:
    """Whether lengths of NAL units, `size` bytes each, lead exactly to the end."""
    place, end = 0, len(data)
    while place + size < end:
        length = int.from_bytes(data[place : place + size], "big")
        if not length or data[place + size] & 0x80:
            return False
        place += size + length
    return place == end


def _has_start_code(data: memoryview) -> bool:
    return bytes(data[:3]) == b"\0\0\1"


def _is_vp8(data: memoryview) -> bool:
    """RFC 6386, section 9.1: key frames have a start code, all have a first part of some length."""
    if len(data) < 3:
        return False
    tag = int.from_bytes(data[:3], "little")
    header = 3 if tag & 1 else 10
    return header + (tag >> 5) <= len(data) and (
        bool(tag & 1) or bytes(data[3:6]) == b"\x9d\x01\x2a"
    )


_LOOKS: dict[str, Look] = {
    "mpeg4": _has_start_code,
    "mpeg2video": _has_start_code,
    "mpeg1video": _has_start_code,
    "mjpeg": lambda data: bytes(data[:2]) == b"\xff\xd8",
    "vp8": _is_vp8,
    "vp9": lambda data: len(data) > 0 and data[0] >> 6 == 2,
    "av1": lambda data: len(data) > 0 and not data[0] & 0x81,
}
