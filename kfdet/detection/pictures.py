"""Pictures as detectors take them: files, encoded bytes and arrays become encoded upright bytes."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import imagesize
import numpy as np
import numpy.typing as npt

from kfdet.errors import InputError, KfdetError
from kfdet.files import read_whole
from kfdet.video.limits import MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS

Picture = npt.NDArray[np.uint8]
"""Shape (height, width, 3), RGB."""

Source = str | PathLike[str] | bytes | Picture
"""A file, the bytes of an encoded picture, or an array."""

_DECODABLE = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")
"""How the files begin that TensorFlow decodes."""

_UPRIGHT = (-1, 0, 1)
"""EXIF orientations (imagesize gives -1 where there is none) that leave the pixels as they are."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture ready to be sent to a model.

    Args:
        data: JPEG, PNG, GIF or BMP.
        size: Width and height in pixels.
        original: What to draw on: `data`, or the caller's array.
    """

    data: bytes
    size: tuple[int, int]
    original: bytes | Picture


def encode(picture: Source) -> Encoded:
    """The picture as bytes that a model decodes, upright as a viewer shows it.

    Training turns pictures upright, too. JPEG, PNG, GIF and BMP pass through unchanged unless
    EXIF turns them; everything else that Pillow reads is re-encoded without loss.

    Raises:
        InputError: The file cannot be read, the bytes are not a picture or one of too many pixels,
            the array is not uint8 of shape (height, width, 3), or it is something else.
    """
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise InputError(
                f"a picture must be a uint8 array of shape (height, width, 3), "
                f"got {picture.dtype} {picture.shape}."
            )
        height, width = picture.shape[:2]
        return Encoded(_bmp(picture), (width, height), picture)
    if not isinstance(picture, str | bytes | PathLike):
        raise InputError(
            f"a picture must be a file's name, bytes or an array, got {type(picture).__name__}.",
            hint="np.asarray(image.convert('RGB')) makes an array of a Pillow image.",
        )
    file = "" if isinstance(picture, bytes) else str(picture)
    data = picture if isinstance(picture, bytes) else _read(Path(picture))
    size = _size_of_upright(data)
    if size is not None:
        _check_pixels(size, file)
        return Encoded(data, size, data)
    pixels = _open_with_pillow(data, file)
    height, width = pixels.shape[:2]
    data = _bmp(pixels)
    return Encoded(data, (width, height), pixels)


def decode(data: bytes) -> Picture:
    """The pixels of an encoded picture, upright.

    Raises:
        InputError: The bytes are not a picture.
    """
    return _open_with_pillow(data, "")


def _read(path: Path) -> bytes:
    try:
        return read_whole(path, MAX_PICTURE_BYTES)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", file=path) from error


def _check_pixels(size: tuple[int, int], file: str) -> None:
    if size[0] * size[1] > MAX_PICTURE_PIXELS:
        raise InputError(
            f"the picture has {size[0]:,} x {size[1]:,} pixels, more than kfdet decodes.",
            file=file,
            hint="Shrink it first.",
        )


def _size_of_upright(data: bytes) -> tuple[int, int] | None:
    """Width and height of a picture that a model decodes upright; None for all others."""
    if not data.startswith(_DECODABLE) or _is_turned_png(data) or _is_bmp_with_palette(data):
        return None
    try:
        found = imagesize.get_info(io.BytesIO(data))
    except (ValueError, struct.error):  # cut off in the header
        return None
    if found.width <= 0 or found.rotation not in _UPRIGHT:
        return None
    return found.width, found.height


def _is_turned_png(data: bytes) -> bool:
    """Whether a PNG has EXIF, of which imagesize does not read the orientation."""
    return data.startswith(b"\x89PNG") and b"eXIf" in data


def _is_bmp_with_palette(data: bytes) -> bool:
    """Whether the pixels of a bitmap are not colours; TensorFlow takes numbers of colours as gray.

    The header has the bits per pixel at offset 28.
    """
    return data.startswith(b"BM") and data[28:30] not in (b"\x18\0", b"\x20\0")


def _open_with_pillow(data: bytes, file: str) -> Picture:
    try:
        from PIL import Image, ImageOps

        from kfdet.video.heif import open_picture
        from kfdet.video.rgb import to_rgb
    except ModuleNotFoundError as error:
        raise KfdetError(
            "Pictures other than upright JPEG, PNG, GIF and BMP need the package Pillow: "
            "pip install pillow."
        ) from error
    try:
        with open_picture(io.BytesIO(data)) as image:
            _check_pixels(image.size, file)
            return np.asarray(to_rgb(ImageOps.exif_transpose(image)))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            "this is not a picture.", file=file, hint="Use JPEG, PNG, GIF, BMP or WebP."
        ) from error


def _bmp(pixels: Picture) -> bytes:
    """An uncompressed bitmap (BITMAPINFOHEADER, bottom row first): exact, and quick to write."""
    height, width = pixels.shape[:2]
    rows = np.zeros((height, -(-width * 3 // 4) * 4), np.uint8)
    rows[:, : width * 3] = pixels[::-1, :, ::-1].reshape(height, -1)
    header = struct.pack("<2sIII", b"BM", 54 + rows.size, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, rows.size, 0, 0, 0, 0)
    return header + info + rows.tobytes()
