"""Images of a dataset as JPEGs that a trainer decodes the way a viewer shows them."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from kfdet.errors import InputError
from kfdet.video.extraction import EncodedFrame
from kfdet.video.heif import open_picture
from kfdet.video.jpeg import fit
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
    try:
        data = path.read_bytes()
        return _picture(data, longest_side, quality)
    except UnidentifiedImageError as error:
        problem = "the image is empty (0 bytes)." if not data else "this is not an image."
        raise _broken(problem, path) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(
            "the image has more pixels than kfdet decodes.", file=path, hint="Shrink it first."
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise _broken(f"the image cannot be decoded ({error}).", path) from error


def _broken(problem: str, path: Path) -> InputError:
    return InputError(problem, file=path, hint="Replace the file, or remove it and its boxes.")


def _picture(data: bytes, longest_side: int, quality: int) -> EncodedFrame:
    with open_picture(BytesIO(data)) as image:
        width, height = image.size
        # Pillow warns only; to make an error of a warning changes all threads' filters.
        if width * height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Image.DecompressionBombError
        turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
        shrunk = fit(width, height, longest_side) != (width, height)
        if not turned and not shrunk and _is_colour_jpeg(data):
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
    if not data.startswith(_JPEG_START):
        return False
    if simplejpeg.decode_jpeg_header(data)[2] != "YCbCr":
        return False
    # An eighth of the size is enough to read every byte, and takes a fraction of the time.
    simplejpeg.decode_jpeg(data, min_height=1, min_width=1, min_factor=8)
    return True
