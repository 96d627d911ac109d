from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.object_store import BUCKET, ObjectStore

from kfdet.dataset.reading import load_items
from kfdet.errors import InputError
from kfdet.storage.fingerprint import fingerprint, outline
from kfdet.storage.upload import upload

URI = f"minio://{BUCKET}/toys"


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    folder = tmp_path / "toys"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "film.mp4").write_bytes(b"film")
    return folder


def touch(path: Path) -> None:
    os.utime(path, ns=(5, 5))


CHANGES: list[Callable[[Path], object]] = [
    lambda root: (root / "a" / "film.mp4").write_bytes(b"other size"),
    lambda root: touch(root / "a" / "film.mp4"),
    lambda root: (root / "a" / "film.mp4").rename(root / "a" / "movie.mp4"),
    lambda root: (root / "a" / "film.mp4").unlink(),
    lambda root: (root / "new.xml").write_bytes(b""),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_shows(change: Callable[[Path], object], toys: Path) -> None:
    before = fingerprint(str(toys))
    assert fingerprint(str(toys)) == before
    change(toys)
    assert fingerprint(str(toys)) != before


@pytest.mark.parametrize("name", ["notes.md", ".hidden.xml", "run/run.json"])
def test_what_no_reader_looks_at_does_not_count(name: str, toys: Path) -> None:
    before = fingerprint(str(toys))
    (toys / name).parent.mkdir(exist_ok=True)
    (toys / name).write_bytes(b"{}")
    assert fingerprint(str(toys)) == before


def test_an_empty_folder_has_a_fingerprint(tmp_path: Path) -> None:
    assert fingerprint(str(tmp_path)) == fingerprint(str(tmp_path))


def test_links_that_lead_nowhere_or_in_circles(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert fingerprint(str(tmp_path))


def test_a_linked_folder_belongs_to_the_dataset(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "videos").symlink_to(tmp_path / "films")
    before = fingerprint(str(tmp_path / "dataset"))
    (tmp_path / "films" / "new.mp4").write_bytes(b"")
    assert fingerprint(str(tmp_path / "dataset")) != before


@pytest.mark.parametrize(("content", "same"), [(b"film", True), (b"mlif", False)])
def test_a_replaced_object_shows(
    content: bytes, same: bool, toys: Path, object_store: ObjectStore
) -> None:
    upload(toys, URI)
    before = fingerprint(URI)
    object_store.log.clear()
    object_store.client.put_object(BUCKET, "toys/a/film.mp4", io.BytesIO(content), len(content))
    assert (fingerprint(URI) == before) == same
    assert not [line for line in object_store.log if "film" in line and not line.startswith("PUT")]


def test_a_copy_has_the_same_outline(toys: Path, object_store: ObjectStore) -> None:
    upload(toys, URI)
    copy = shutil.copytree(toys, toys.parent / "copy", copy_function=shutil.copyfile)
    assert outline(str(copy)) == outline(str(toys)) == outline(URI)
    assert fingerprint(str(copy)) != fingerprint(str(toys))
    (copy / "new.xml").write_bytes(b"")
    assert outline(str(copy)) != outline(str(toys))


def test_a_name_that_no_table_can_hold(toys: Path) -> None:
    (toys / "caf\udce9.txt.part").touch()
    fingerprint(str(toys))
    (toys / "caf\udce9.mp4").touch()
    message = r"its name is not text\. Rename it"
    with pytest.raises(InputError, match=message):
        fingerprint(str(toys))
    with pytest.raises(InputError, match=message):
        upload(toys, URI)
    _, problems = load_items(toys)
    assert sum(str(each).endswith("its name is not text. Rename it.") for each in problems) == 1


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the dataset does not exist"):
        fingerprint(str(tmp_path / "gone"))


def test_several_datasets(toys: Path, object_store: ObjectStore) -> None:
    both = f"{toys},{URI}"
    object_store.put(toys, "toys")
    before = fingerprint(both)
    assert before != fingerprint(f"{URI},{toys}")
    (toys / "b.mp4").write_bytes(b"new")
    assert fingerprint(both) != before
