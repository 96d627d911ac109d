"""Pictures for people in one zip file, because a cluster copies artifacts file by file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

SAMPLES_FILE = "samples.zip"
"""Sample pictures in the folder of the TFRecord build."""


def write_pictures(path: Path, pictures: Mapping[str, bytes]) -> None:
    """Write encoded pictures by name; same pictures, same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in pictures.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def read_pictures(path: Path) -> dict[str, bytes]:
    """The pictures of a file that `write_pictures` wrote, in the same order."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
