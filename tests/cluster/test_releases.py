from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfdet.cluster.releases import KSERVE, PIPELINES, Product, Release, parse_release, write_release

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kubernetes.md"
PRODUCT = Product("Trains", (2, 9), (2, 11))


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("", None),
        ("unknown", None),
        ("1", None),
        ("2.17.0", (2, 17)),
        ("2.16", (2, 16)),
        ("v0.20.0-rc1", (0, 20)),
    ],
)
def test_a_version_belongs_to_a_release(version: str, release: Release | None) -> None:
    assert parse_release(version) == release


@pytest.mark.parametrize(
    ("version", "doubt"),
    [
        ("unknown", "Trains does not tell its version; kfdet was made for 2.9 to 2.11."),
        ("2.8.3", "Trains here is 2.8.3; kfdet was made for 2.9 to 2.11."),
        ("2.9.0", ""),
        ("v2.11.4", ""),
        ("2.12.0", "Trains here is 2.12.0; kfdet was made for 2.9 to 2.11."),
    ],
)
def test_what_kfdet_was_not_made_for(version: str, doubt: str) -> None:
    assert PRODUCT.doubt(version) == doubt


@pytest.mark.parametrize("product", [PIPELINES, KSERVE], ids=lambda product: product.name)
def test_the_page_names_the_same_releases(product: Product) -> None:
    (row,) = re.findall(rf"(?m)^\| {product.name} \| (.+?) \|", PAGE.read_text())
    assert row == f"{write_release(product.oldest)} to {write_release(product.newest)}"
