from __future__ import annotations

import io
from pathlib import Path

import boto3
import pytest
from support.object_store import BUCKET, ObjectStore

from kfdet.errors import InputError, KfdetError
from kfdet.storage.download import download, fetch
from kfdet.storage.listing import Entry
from kfdet.storage.multipart import CHECKSUM_HEADER
from kfdet.storage.store import Store


@pytest.fixture
def filled(object_store: ObjectStore) -> ObjectStore:
    client = object_store.client
    client.make_bucket(BUCKET)
    for key in (
        "run/checkpoint",
        "run/ckpt-5.index",
        "run/ckpt-5.data-00000-of-00001",
        "run/ckpt-50.index",
        "run2/checkpoint",
        "zipped/model.zip",
    ):
        client.put_object(BUCKET, key, io.BytesIO(key.encode()), len(key))
    return object_store


@pytest.mark.parametrize(
    ("key", "path", "files"),
    [
        (
            "run",
            "run",
            [f"run/{n}" for n in ("checkpoint", "ckpt-5.data-00000-of-00001", "ckpt-5.index")]
            + ["run/ckpt-50.index"],
        ),
        ("run2/", "run2", ["run2/checkpoint"]),
        ("run/checkpoint", "checkpoint", ["checkpoint"]),
        ("run/ckpt-5", "ckpt-5", ["ckpt-5.data-00000-of-00001", "ckpt-5.index"]),
    ],
    ids=["folder", "with a slash", "file", "beginning of a checkpoint"],
)
def test_download(
    key: str, path: str, files: list[str], filled: ObjectStore, tmp_path: Path
) -> None:
    assert download(f"s3://{BUCKET}/{key}", tmp_path) == tmp_path / path
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert found == files
    for name in files:
        assert (tmp_path / name).read_text().endswith(Path(name).name)


@pytest.mark.parametrize("key", ["ru", "run/ckpt", "run/absent", "zipped/model"])
def test_nothing_there(key: str, filled: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no objects"):
        download(f"minio://{BUCKET}/{key}", tmp_path)
    assert not list(tmp_path.iterdir())


def test_damaged_content_is_refused(filled: ObjectStore, tmp_path: Path) -> None:
    content = b"<annotations/>"
    filled.client.put_object(
        BUCKET,
        "bad/a.xml",
        io.BytesIO(content),
        len(content),
        metadata={CHECKSUM_HEADER: "00000000"},
    )
    with pytest.raises(KfdetError, match=r"bad/a.xml arrived damaged 3 times: its CRC32C is"):
        download(f"minio://{BUCKET}/bad", tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("size", "etag", "message"),
    [
        (3000, "", "it has 14 bytes, 3,000 are listed"),
        (13, "", "it has more bytes, 13 are listed"),
        (14, "0" * 32, "checkpoint was replaced in the bucket while it was read"),
        (15, "0" * 32, "checkpoint was replaced in the bucket while it was read"),
    ],
)
def test_what_is_not_as_listed_is_refused(
    size: int, etag: str, message: str, filled: ObjectStore, tmp_path: Path
) -> None:
    entry = Entry("checkpoint", "run/checkpoint", size, etag)
    with Store(f"minio://{BUCKET}/run") as store, pytest.raises(KfdetError, match=message):
        fetch(store, BUCKET, [entry], tmp_path)
    assert not list(tmp_path.iterdir())


def test_content_that_changes_on_its_way(
    filled: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = "0" * 32
    monkeypatch.setattr("kfdet.storage.download.etag", lambda headers: tag)
    message = "its MD5 is [0-9a-f]{32}, the listing's ETag"
    entry = Entry("checkpoint", "run/checkpoint", 14, tag)
    with Store(f"minio://{BUCKET}/run") as store, pytest.raises(KfdetError, match=message):
        fetch(store, BUCKET, [entry], tmp_path)


def test_an_object_that_is_gone_since_it_was_listed(filled: ObjectStore, tmp_path: Path) -> None:
    message = f"minio://{BUCKET}/run: a.mp4 is no longer in the bucket"
    entry = Entry("a.mp4", "run/a.mp4", 14, "")
    with Store(f"minio://{BUCKET}/run") as store, pytest.raises(InputError, match=message):
        fetch(store, BUCKET, [entry], tmp_path)


@pytest.mark.parametrize("etag", ["", "0" * 32 + "-2", "W/abc"])
def test_a_tag_that_is_no_digest_is_not_compared(
    etag: str, filled: ObjectStore, tmp_path: Path
) -> None:
    with Store(f"minio://{BUCKET}/run") as store:
        fetch(store, BUCKET, [Entry("checkpoint", "run/checkpoint", 14, etag)], tmp_path)
    assert (tmp_path / "checkpoint").read_bytes() == b"run/checkpoint"


def test_a_key_that_leaves_the_folder_is_left_out(filled: ObjectStore, tmp_path: Path) -> None:
    client = boto3.client("s3", "us-east-1", endpoint_url=filled.url)
    client.put_object(Bucket=BUCKET, Key="evil/a/../../../x.xml", Body=b"x")
    with pytest.raises(InputError, match="no objects"):
        download(f"minio://{BUCKET}/evil", tmp_path / "inner")
    assert not list(tmp_path.iterdir())

    client.put_object(Bucket=BUCKET, Key="evil/a/y.xml", Body=b"y")
    root = download(f"minio://{BUCKET}/evil", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [root / "a" / "y.xml"]


def test_no_room(filled: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 20

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(InputError, match=r"0\.0 GB are free.*set TMPDIR"):
        download(f"minio://{BUCKET}/run", tmp_path)
