from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.object_store import BUCKET, ObjectStore

from kfdet.errors import InputError
from kfdet.storage.download import download
from kfdet.storage.fingerprint import fingerprint
from kfdet.storage.store import Store
from kfdet.storage.upload import upload

URI = f"minio://{BUCKET}/data/toys"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "toys"
    for name, content in {
        "videos/film.mp4": os.urandom(12 << 20),
        "images/ä b.jpg": b"picture",
        "annotations/film.xml": b"<annotations/>",
        "annotations/empty.txt": b"",
        "mot/seqinfo.ini": b"[Sequence]",
        ".git/config.json": b"{}",
        "videos/.film.xml": b"hidden",
        "notes.pdf": b"not of the dataset",
        "run/run.json": b"{}",
        "run/report.json": b"{}",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


WANTED = [
    "annotations/empty.txt",
    "annotations/film.xml",
    "images/ä b.jpg",
    "mot/seqinfo.ini",
    "videos/film.mp4",
]


def before_part(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
    """Call `act` once, before that part is sent."""
    original = Store.call_with_retries
    waiting = [act]

    def call(self, what, *args, **options):
        if options.get("PartNumber") == number and waiting:
            waiting.pop()()
        return original(self, what, *args, **options)

    monkeypatch.setattr(Store, "call_with_retries", call)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "the dataset does not exist"),
        ([], "contains neither videos nor images"),
        (["a.xml", "notes.pdf", ".hidden.mp4"], "contains neither videos nor images"),
    ],
)
def test_no_dataset(
    files: list[str] | None, message: str, tmp_path: Path, object_store: ObjectStore
) -> None:
    folder = tmp_path / "folder"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).touch()
    with pytest.raises(InputError, match=message):
        upload(folder, URI)
    assert not object_store.client.bucket_exists(BUCKET)


@pytest.mark.usefixtures("small_parts")
def test_what_belongs_to_the_dataset_goes_up_and_comes_down(
    dataset: Path, tmp_path: Path, object_store: ObjectStore
) -> None:
    done = upload(dataset, URI)
    assert (done.files, done.skipped, done.left, done.deleted) == (5, 0, (), ())
    there = object_store.objects("data/toys/")
    assert sorted(there) == WANTED
    assert all(content == (dataset / name).read_bytes() for name, content in there.items())
    assert sorted(object_store.parts) == [1, 2, 3]
    (tmp_path / "back").mkdir()
    back = download(URI, tmp_path / "back")
    assert back == tmp_path / "back" / "toys"
    found = sorted(p.relative_to(back).as_posix() for p in back.rglob("*") if p.is_file())
    assert found == WANTED
    assert all((back / name).read_bytes() == there[name] for name in WANTED)


def test_only_what_changed_is_sent_again(dataset: Path, object_store: ObjectStore) -> None:
    upload(dataset, URI)
    before = fingerprint(URI)
    object_store.log.clear()
    assert upload(dataset, URI).skipped == 5
    assert fingerprint(URI) == before
    assert not [line for line in object_store.log if line.startswith(("PUT", "POST"))]
    os.utime(dataset / "videos/film.mp4")
    (dataset / "annotations/film.xml").write_bytes(b"<annotationz/>")
    assert upload(dataset, URI).skipped == 4
    assert object_store.objects()["data/toys/annotations/film.xml"] == b"<annotationz/>"
    assert fingerprint(URI) != before


def test_names_are_not_read_again_for_each_object(
    dataset: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hundred thousand images that would take minutes."""
    turns: list[int] = []

    class Names(list[str]):
        def __iter__(self) -> Iterator[str]:
            turns[-1] += 1
            return super().__iter__()

    monkeypatch.setattr("kfdet.storage.upload._dataset", lambda _: Names(WANTED))
    for _ in range(2):
        turns.append(0)
        upload(dataset, URI)
    assert turns[0] == turns[1]


def test_what_is_not_in_the_folder_is_named_or_deleted(
    dataset: Path, object_store: ObjectStore
) -> None:
    upload(dataset, URI)
    (dataset / "images/ä b.jpg").unlink()
    assert upload(dataset, URI).left == ("images/ä b.jpg",)
    assert upload(dataset, URI, delete=True).deleted == ("images/ä b.jpg",)
    assert "data/toys/images/ä b.jpg" not in object_store.objects()


@pytest.mark.usefixtures("small_parts")
def test_an_interrupted_upload_continues(
    dataset: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        before_part(patch, 3, interrupt)
        with pytest.raises(KeyboardInterrupt):
            upload(dataset, URI)
    assert "data/toys/videos/film.mp4" not in object_store.objects()
    arrived = list(object_store.parts)
    assert set(arrived) <= {1, 2}
    upload(dataset, URI)
    assert sorted(object_store.parts) == [1, 2, 3]
    there = object_store.objects()["data/toys/videos/film.mp4"]
    assert there == (dataset / "videos/film.mp4").read_bytes()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("where", [0, -1], ids=["in a part that is there", "in one that is not"])
def test_a_file_that_changed_after_an_interrupted_upload(
    where: int, dataset: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = dataset / "videos/film.mp4"

    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        before_part(patch, 3, interrupt)
        with pytest.raises(KeyboardInterrupt):
            upload(dataset, URI)
    content = bytearray(film.read_bytes())
    content[where] ^= 1
    film.write_bytes(content)
    upload(dataset, URI)
    assert object_store.objects()["data/toys/videos/film.mp4"] == bytes(content)
    assert upload(dataset, URI).skipped == 5


@pytest.mark.usefixtures("small_parts")
def test_a_file_that_changes_meanwhile(
    dataset: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = dataset / "videos/film.mp4"
    before_part(monkeypatch, 2, lambda: film.write_bytes(os.urandom(12 << 20)))
    with pytest.raises(InputError, match=r"film.mp4: changed while it was being uploaded"):
        upload(dataset, URI)
    assert "data/toys/videos/film.mp4" not in object_store.objects()


@pytest.mark.usefixtures("small_parts")
def test_an_outage_in_the_middle(
    dataset: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outage() -> None:
        object_store.stop()
        threading.Timer(2, object_store.start).start()

    before_part(monkeypatch, 2, outage)
    upload(dataset, URI)
    assert (
        object_store.objects()["data/toys/videos/film.mp4"]
        == (dataset / "videos/film.mp4").read_bytes()
    )


def test_progress_counts_every_byte(
    dataset: Path, object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    log = tmp_path / "events"
    monkeypatch.setenv("KFDET_EVENTS", str(log))
    for _ in range(2):
        done = upload(dataset, URI)
        last = json.loads(log.read_text().splitlines()[-1])
        assert (last["task"], last["unit"]) == ("upload", "bytes")
        assert last["done"] == last["total"] == done.bytes
