from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kfdet.errors import InputError
from kfdet.video.images import read_image

ORIENTATION = 0x0112


def _corners() -> Image.Image:
    """Black, but white at the top left and red at the bottom right; 48 x 32."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :16] = 255
    pixels[16:, 32:] = (255, 0, 0)
    return Image.fromarray(pixels)


def _decoded(jpeg: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image = Image.open(BytesIO(jpeg))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return np.asarray(image)


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 20}],
    ids=["baseline", "progressive", "4:4:4", "coarse"],
)
def test_jpeg_passes_through_as_it_is(tmp_path: Path, options: dict[str, int]) -> None:
    path = tmp_path / "a.jpg"
    _corners().save(path, "JPEG", **options)
    picture = read_image(path)
    assert picture.jpeg == path.read_bytes()
    assert (picture.width, picture.height) == (48, 32)
    assert (picture.source_width, picture.source_height) == (48, 32)


def test_jpeg_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "really a jpeg.png"
    _corners().save(path, "JPEG")
    assert read_image(path).jpeg == path.read_bytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_are_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = np.asarray(_corners())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / "a"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, kind, exif=exif)
    picture = read_image(path, quality=95)
    assert (picture.width, picture.height) == (48, 32)
    assert np.abs(_decoded(picture.jpeg).astype(int) - upright).mean() < 4
    assert Image.open(BytesIO(picture.jpeg)).getexif().get(ORIENTATION, 1) == 1


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("L", "PNG"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("LA", "PNG"),
        ("1", "PNG"),
        ("RGB", "BMP"),
        ("RGB", "WEBP"),
        ("RGB", "TIFF"),
    ],
)
def test_everything_becomes_rgb(tmp_path: Path, mode: str, kind: str) -> None:
    path = tmp_path / "a"
    source = _corners().convert(mode)
    source.save(path, kind)
    pixels = _decoded(read_image(path, quality=95).jpeg).astype(int)
    expected = np.asarray(source.convert("RGB")).astype(int)
    assert np.abs(pixels - expected).mean() < 6


def test_16_bit_gray_keeps_its_shades(tmp_path: Path) -> None:
    shades = (np.arange(64, dtype=np.uint16) * 1024)[None].repeat(16, axis=0)
    path = tmp_path / "a.png"
    Image.fromarray(shades).save(path)
    pixels = _decoded(read_image(path, quality=95).jpeg).astype(int)
    assert np.abs(pixels[:, :, 0] - (shades >> 8)).max() < 6


def test_longest_side_shrinks_and_keeps_the_source_size(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    _corners().save(path)
    picture = read_image(path, longest_side=24)
    assert (picture.width, picture.height) == (24, 16) == _decoded(picture.jpeg).shape[1::-1]
    assert (picture.source_width, picture.source_height) == (48, 32)
    assert read_image(path, longest_side=48).jpeg == path.read_bytes()


def test_same_image_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    _corners().save(path)
    assert read_image(path) == read_image(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.7])
def test_cut_off_image_is_named(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / "cut.img"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, kind)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match=r"cut\.img") as caught:
        read_image(path)
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"no image\n" * 99, b"\xff\xd8\xff" + bytes(500)])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.jpg"):
        read_image(path)


def test_absent_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jpg.*No such file"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 20_000])  # above Pillow's limit, and above twice that
def test_enormous_image_is_refused(side: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (side, side)).save(path)
    with pytest.raises(InputError, match="more pixels"):
        read_image(path)


def test_threads_leave_the_filters_of_warnings_alone(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read_image, [tmp_path / "a.png"] * 500))
    assert list(warnings.filters) == before


def test_real_images_pass_through(shared_data: Path) -> None:
    paths = sorted((shared_data / "raccoon" / "images").glob("*.jpg"))[:20]
    assert all(read_image(path).jpeg == path.read_bytes() for path in paths)
