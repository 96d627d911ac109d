"""Images of a dataset as JPEGs that a trainer decodes the way a viewer shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from kfdet.errors import InputError
from kfdet.files import read_whole
from kfdet.video.extraction import EncodedFrame
from kfdet.video.heif import open_picture
from kfdet.video.jpeg import fit
from kfdet.video.limits import MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS
from kfdet.video.rgb import to_rgb

_ORIENTATION = 0x0112
_JPEG_START = b"\xff\xd8\xff"


def read_image(path: Path, *, longest_side: int = 0, quality: int = 92) -> EncodedFrame:
    """One image as an upright JPEG in RGB.

    The bytes of a colour JPEG pass through unchanged if it needs neither turning (TensorFlow
    ignores EXIF's orientation) nor shrinking.

    Args:
        path: JPEG, PNG or another format that Pillow reads.
        longest_side: Shrink to this many pixels; 0 keeps the size.
        quality: JPEG quality, 1 to 100, where it has to be encoded.

    Raises:
        InputError: The file is not an image, is cut off or too large.
    """
    with _explained(path):
        return _picture(read_whole(path, MAX_PICTURE_BYTES), longest_side, quality)


def read_gray(path: Path, least_side: int) -> Image.Image:
    """An image in gray for comparing; a JPEG may be decoded smaller, down to `least_side` pixels.

    It reads what `read_image` reads, and nothing else.

    Raises:
        InputError: As `read_image`.
    """
    with _explained(path):
        data = read_whole(path, MAX_PICTURE_BYTES)
        with _open(data) as image:
            if not _is_turned(image) and _has_jpeg_colours(data):
                pixels = simplejpeg.decode_jpeg(
                    data, colorspace="GRAY", min_height=least_side, min_width=least_side
                )
                return Image.fromarray(pixels[:, :, 0])
            return to_rgb(ImageOps.exif_transpose(image)).convert("L")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        empty = not path.stat().st_size
        problem = "the image is empty (0 bytes)." if empty else "this is not an image."
        raise _broken(problem, path) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(
            "the image has more pixels than kfdet decodes.", file=path, hint="Shrink it first."
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise _broken(f"the image cannot be decoded ({error}).", path) from error


def _broken(problem: str, path: Path) -> InputError:
    return InputError(problem, file=path, hint="Replace the file, or remove it and its boxes.")


@contextmanager
def _open(data: bytes) -> Iterator[Image.Image]:
    with open_picture(BytesIO(data)) as image:
        width, height = image.size
        # Pillow warns only; to make an error of a warning changes all threads' filters.
        if width * height > MAX_PICTURE_PIXELS:
            raise Image.DecompressionBombError
        yield image


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(_ORIENTATION, 1) not in (0, 1)


def _picture(data: bytes, longest_side: int, quality: int) -> EncodedFrame:
    with _open(data) as image:
        width, height = image.size
        shrunk = fit(width, height, longest_side) != (width, height)
        if not shrunk and not _is_turned(image) and _is_colour_jpeg(data):
            return EncodedFrame(0, data, width, height, width, height, 0.0)
        upright = to_rgb(ImageOps.exif_transpose(image))
    source_width, source_height = upright.size
    width, height = fit(source_width, source_height, longest_side)
    pixels = (
        upright.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)
        if shrunk
        else upright
    )
    jpeg = simplejpeg.encode_jpeg(np.asarray(pixels), quality=quality, colorsubsampling="420")
    return EncodedFrame(0, jpeg, width, height, source_width, source_height, 0.0)


def _is_colour_jpeg(data: bytes) -> bool:
    """Whether these are the bytes of a whole YCbCr JPEG; ValueError where they are broken."""
    if not _has_jpeg_colours(data):
        return False
    # An eighth of the size is enough to read every byte, and takes a fraction of the time.
    simplejpeg.decode_jpeg(data, min_height=1, min_width=1, min_factor=8)
    return True


def _has_jpeg_colours(data: bytes) -> bool:
    return data.startswith(_JPEG_START) and simplejpeg.decode_jpeg_header(data)[2] == "YCbCr"
