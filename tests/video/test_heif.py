from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from support.annotation_samples import write_image

from kfdet.dataset.duplicates import perceptual_hashes
from kfdet.dataset.reading import load_items
from kfdet.detection.pictures import decode
from kfdet.video import heif
from kfdet.video.images import read_image


@pytest.fixture
def fresh() -> Iterator[None]:
    """The library is looked for anew, before the test and after it."""
    for each in (heif.is_readable, heif._formats):
        each.cache_clear()
    yield
    for each in (heif.is_readable, heif._formats):
        each.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_the_library_is_found_and_registered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    double = ModuleType("pillow_heif")
    double.__spec__ = ModuleSpec("pillow_heif", None)
    double.register_heif_opener = lambda: calls.append(1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", double)
    path = write_image(tmp_path / "photo.png").rename(tmp_path / "photo.HEIC")
    assert heif.is_readable()
    (item,), _ = load_items(tmp_path)
    assert (item.name, item.width, item.height) == ("photo.HEIC", 64, 48)
    assert read_image(path).width == 64
    assert calls == [1]


@pytest.mark.usefixtures("fresh")
def test_a_photo_of_a_phone(tmp_path: Path) -> None:
    """Stored sideways: of a real file, which only the real library reads."""
    library = pytest.importorskip("pillow_heif")
    library.register_heif_opener()
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:, :24] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo.heic"
    Image.fromarray(pixels).save(path, "HEIF", exif=exif, quality=95)

    (item,), _ = load_items(tmp_path)
    picture = read_image(path)
    assert (item.width, item.height) == (picture.width, picture.height)
    decoded = decode(path.read_bytes())
    assert decoded.shape == (item.height, item.width, 3)
    shown = np.asarray(Image.open(path).convert("RGB"), int)
    assert np.abs(decoded - shown).mean() < 4
    assert len(perceptual_hashes([path])) == 1
