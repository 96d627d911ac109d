"""Pictures of any kind as 8-bit RGB, the same in training and in detection."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture in 8-bit RGB; of 16-bit gray the upper 8 bits."""
    if image.mode.startswith("I"):
        # Pillow would cut 16-bit gray off at 255.
        deep: npt.NDArray[np.int64] = np.asarray(image).astype(np.int64)
        image = Image.fromarray((deep >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")
