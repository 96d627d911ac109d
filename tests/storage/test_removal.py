from __future__ import annotations

import io
from pathlib import Path

import pytest
from support.object_store import ObjectStore

from kfdet.errors import InputError
from kfdet.storage.download import download_as
from kfdet.storage.listing import list_names
from kfdet.storage.removal import remove, size_of, write_note


@pytest.fixture
def bucket(object_store: ObjectStore) -> ObjectStore:
    object_store.client.make_bucket("toys")
    for key in ("run", "run/a", "run/b/c", "runner"):
        object_store.client.put_object("toys", key, io.BytesIO(key.encode()), len(key))
    return object_store


def test_an_object_goes_with_all_below_it_and_nothing_else(bucket: ObjectStore) -> None:
    assert size_of("s3://toys/run") == len("run" + "run/a" + "run/b/c")
    remove("minio://toys/run/")
    assert [each.object_name for each in bucket.client.list_objects("toys")] == ["runner"]
    remove("minio://toys/run")
    assert size_of("s3://toys/run") == 0


def test_a_note(bucket: ObjectStore) -> None:
    write_note("s3://toys/notes/a.json", {"places": ["b"]})
    assert list_names("s3://toys/notes") == ["a.json"]
    response = bucket.client.get_object("toys", "notes/a.json")
    assert response.data == b'{"places": ["b"]}'


def test_a_download_under_another_name_continues(bucket: ObjectStore, tmp_path: Path) -> None:
    download_as("s3://toys/runner", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "runner"
    download_as("s3://toys/run", tmp_path / "model")
    assert (tmp_path / "model" / "b" / "c").read_text() == "run/b/c"
    (tmp_path / "model" / "a").unlink()
    bucket.log.clear()
    download_as("s3://toys/run", tmp_path / "model")
    assert (tmp_path / "model" / "a").read_text() == "run/a"
    assert [line for line in bucket.log if line.startswith("GET toys/")] == ["GET toys/run/a"]
    with pytest.raises(InputError, match="there are no objects"):
        download_as("s3://toys/absent", tmp_path / "absent")


def test_a_file_of_the_same_size_is_not_taken_for_the_object(
    bucket: ObjectStore, tmp_path: Path
) -> None:
    """The folder may hold another run's results, of which many are as large."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_text("other")
    download_as("s3://toys/run", tmp_path / "model")
    assert (tmp_path / "model" / "a").read_text() == "run/a"
