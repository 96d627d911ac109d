"""HEIC, the format of a phone's photos: read where pillow-heif is installed.

Its wheels hold an encoder under the GPL, so that it is an extra of its own, which no image of kfdet
brings along.
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


@cache
def is_readable() -> bool:
    """Whether pillow-heif is installed; it is not imported."""
    return find_spec("pillow_heif") is not None


def open_picture(file: Path | BinaryIO) -> Image.Image:
    """Like Pillow's `Image.open`, of HEIC too.

    Raises:
        OSError: And what else `Image.open` raises of files that are not pictures.
    """
    from PIL import Image

    if is_readable():
        _register()
    return Image.open(file)


@cache
def _register() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
