from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from kfdet.serving.model import ServingError
from kfdet.serving.picture_size import pixels_to_decode


def encoded(kind: str, frames: int = 1, **options) -> bytes:
    rng = np.random.default_rng(1)
    images = [Image.fromarray(rng.integers(0, 255, (37, 53, 3), np.uint8)) for _ in range(frames)]
    file = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    images[0].save(file, kind, **more, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"exif": Image.Exif(), "comment": b"\xff\xc0 is no marker here"}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0II*\0"}),
    ],
)
def test_size_of_a_picture(kind, options):
    assert pixels_to_decode(encoded(kind, **options)) == 53 * 37


def test_every_frame_of_an_animation_counts():
    # The screen as well as its images.
    assert pixels_to_decode(encoded("GIF")) == 2 * 53 * 37
    assert pixels_to_decode(encoded("GIF", frames=5)) == 6 * 53 * 37
    assert pixels_to_decode(encoded("WEBP", frames=5)) == 5 * 53 * 37


def test_size_that_only_the_header_has():
    png = bytearray(encoded("PNG"))
    struct.pack_into(">II", png, 16, 2**31 - 1, 2**31 - 1)

    assert pixels_to_decode(bytes(png)) == (2**31 - 1) ** 2


@pytest.mark.parametrize("filling", [b"\xff" * 9, b"garbage \x00", b"\xff\x01\xff\xd0"])
def test_jpeg_with_filling_before_a_marker(filling):
    jpeg = encoded("JPEG")
    # libjpeg skips all of these, too.
    place = jpeg.index(b"\xff\xdb")
    assert pixels_to_decode(jpeg[:place] + filling + jpeg[place:]) == 53 * 37


def test_jpeg_of_very_many_scans():
    with pytest.raises(ServingError, match="more than 100 scans"):
        pixels_to_decode(encoded("JPEG") + b"\xff\xda\x00\x08" * 200)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG", "GIF", "WEBP"])
def test_cut_off(kind):
    data = encoded(kind)
    for length in range(60):
        assert pixels_to_decode(data[:length]) in (0, 53 * 37)


@pytest.mark.parametrize("data", [b"", b"hello", b"RIFF", b"\xff\xd8\xff\xd9", b"GIF89a"])
def test_no_picture(data):
    assert pixels_to_decode(data) == 0
