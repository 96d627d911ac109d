from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.sparse.csgraph import connected_components

from kfdet.dataset.duplicates import (
    NEAR_BITS,
    identical_files,
    near_hashes,
    perceptual_hashes,
)


def clusters(paths: list[Path], numbers: np.ndarray) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for path, number in zip(paths, numbers.tolist(), strict=True):
        found.setdefault(number, []).append(path.name)
    return sorted(names for names in found.values() if len(names) > 1)


def picture(seed: int) -> Image.Image:
    """A picture of large random shapes."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((480, 360), Image.Resampling.BICUBIC)


def near_duplicates(paths: list[Path]) -> np.ndarray:
    return near_hashes(np.array(perceptual_hashes(paths), np.uint64))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for seed in range(20):
        picture(seed).save(folder / f"{seed:02}.jpg", quality=92)
    (folder / "03 again.jpg").write_bytes((folder / "03.jpg").read_bytes())
    picture(5).save(folder / "05 other format.png")
    picture(5).resize((240, 180)).save(folder / "05 smaller.jpg", quality=60)
    return folder


@pytest.mark.parametrize("find", [identical_files, near_duplicates])
def test_no_files(find: type) -> None:
    assert find([]).tolist() == []


def test_identical_files(folder: Path) -> None:
    paths = sorted(folder.iterdir())
    assert clusters(paths, identical_files(paths)) == [["03 again.jpg", "03.jpg"]]


def test_near_duplicates(folder: Path) -> None:
    paths = sorted(folder.iterdir())
    assert clusters(paths, near_duplicates(paths)) == [
        ["03 again.jpg", "03.jpg"],
        ["05 other format.png", "05 smaller.jpg", "05.jpg"],
    ]


def flipped(hashes: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """The hashes with up to so many bits changed."""
    for _ in range(most):
        bit = np.uint64(1) << rng.integers(0, 64, len(hashes), dtype=np.uint64)
        hashes = np.where(rng.random(len(hashes)) < 0.6, hashes ^ bit, hashes)
    return hashes


@pytest.mark.parametrize("pictures", [1, 30, 1500])
@pytest.mark.parametrize("changed", [0, 4, 12])
def test_near_hashes_are_those_that_a_comparison_of_all_finds(pictures: int, changed: int) -> None:
    rng = np.random.default_rng(changed)
    seen = rng.integers(0, 1 << 64, pictures, dtype=np.uint64)
    hashes = flipped(seen[rng.integers(0, pictures, 1500)], changed, rng)
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= NEAR_BITS
    _, expected = connected_components(near, directed=False)
    found = near_hashes(hashes)
    assert len(set(zip(found, expected, strict=True))) == len(set(found)) == len(set(expected))


def test_near_hashes_of_very_many_pictures() -> None:
    """Each with each would be 20 billion pairs."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 64, 200_000, dtype=np.uint64)
    hashes[1] = hashes[0] ^ np.uint64(0b111111)
    still = flipped(np.full(20_000, hashes[2]), 5, rng)
    found = near_hashes(np.concatenate([hashes, still]))
    assert found[0] == found[1]
    assert set(found[200_000:]) == {found[2]}


def test_an_image_that_is_cut_off_is_named(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((folder / "01.jpg").read_bytes()[:4000])
    first, second = perceptual_hashes([folder / "01.jpg", broken])
    assert isinstance(first, int)
    assert "broken.jpg: the image cannot be decoded" in str(second)


def test_real_photos(shared_data: Path) -> None:
    paths = sorted((shared_data / "raccoon" / "images").iterdir())
    exact = clusters(paths, identical_files(paths))
    near = clusters(paths, near_duplicates(paths))
    assert len(exact) == 4
    assert all(any(set(pair) <= set(cluster) for cluster in near) for pair in exact)
    assert ["raccoon-21.jpg", "raccoon-45.jpg"] in near
    assert max(map(len, near)) <= 3
