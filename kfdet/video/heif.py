"""HEIC, the format of a phone's photos: read where pillow-heif is installed.

Its wheels contain an encoder under the GPL. So it is an extra, which kfdet's images leave out.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL import Image

EXTRA = "heic"
"""kfdet's extra that installs it."""


_PICTURES = (
    *("JPEG", "MPO", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF"),
    *("HEIF", "AVIF", "JPEG2000", "PPM"),
)
"""Pillow's names of pictures; others start programs (EPS), or are no pictures."""


@cache
def is_readable() -> bool:
    """Whether pillow-heif is installed; it is not imported."""
    return find_spec("pillow_heif") is not None


def open_picture(file: Path | BinaryIO) -> Image.Image:
    """Like Pillow's `Image.open`, of HEIC too, and of pictures only.

    Raises:
        OSError: And what else `Image.open` raises of files that are not pictures.
    """
    from PIL import Image

    return Image.open(file, formats=_formats())


@cache
def _formats() -> tuple[str, ...]:
    """Those of _PICTURES that are installed."""
    from PIL import Image

    Image.init()
    if is_readable():
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in _PICTURES if name in Image.OPEN)
