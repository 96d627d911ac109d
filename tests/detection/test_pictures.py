from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from support.toy_server import picture

from kfdet.detection.pictures import decode, encode
from kfdet.errors import InputError


@pytest.mark.parametrize("width", [1, 2, 3, 4, 41])
def test_an_array_arrives_pixel_by_pixel(width):
    pixels = np.random.default_rng(0).integers(0, 256, (7, width, 3), np.uint8)
    encoded = encode(pixels)
    assert encoded.size == (width, 7)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded.data))), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_what_a_model_decodes_passes_through(kind, tmp_path):
    data = picture(40, 20, (1, 2, 3), kind)
    (tmp_path / "photo").write_bytes(data)
    for source in (data, tmp_path / "photo", str(tmp_path / "photo")):
        assert encode(source).data == data
        assert encode(source).size == (40, 20)


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
def test_other_formats_are_converted(kind):
    encoded = encode(picture(40, 20, (1, 2, 3), kind))
    assert encoded.data.startswith(b"BM")
    assert encoded.size == (40, 20)


@pytest.mark.parametrize("mode", ["P", "L", "1"])
def test_bitmaps_with_a_palette_become_colours(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    image.save(file := io.BytesIO(), "BMP")
    encoded = encode(file.getvalue())
    assert encoded.data[28] == 24
    assert np.array_equal(encoded.original, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_of_16_bit_gray_the_upper_half_counts(kind):
    deep = np.random.default_rng(0).integers(0, 1 << 16, (20, 40), np.uint16)
    Image.fromarray(deep).save(file := io.BytesIO(), kind)
    assert np.array_equal(decode(encode(file.getvalue()).data)[..., 0], deep >> 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (40, 20)), (3, (40, 20)), (6, (20, 40))])
def test_exif_turns_the_picture(kind, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:8, :8] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, exif=exif)
    encoded = encode(file.getvalue())
    assert encoded.size == size
    upright = np.asarray(Image.open(io.BytesIO(encoded.data)))
    corner = {1: (2, 2), 3: (-3, -3), 6: (2, -3)}[orientation]
    assert upright[corner].min() > 200


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))]
)
def test_other_arrays(array):
    with pytest.raises(InputError, match="uint8 array of shape"):
        encode(array)


def test_files_that_are_not_pictures(tmp_path):
    with pytest.raises(InputError, match=r"absent.*cannot be read"):
        encode(tmp_path / "absent.jpg")
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(InputError, match=r"text\.jpg: this is not a picture"):
        encode(tmp_path / "text.jpg")


def test_a_picture_of_pillow():
    image = Image.new("P", (4, 4))
    with pytest.raises(InputError, match=r"got Image\. np\.asarray\(image\.convert\('RGB'\)\)"):
        encode(image)
    assert encode(np.asarray(image.convert("RGB"))).size == (4, 4)
