from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import simplejpeg
from support import record_folder
from support.object_store import BUCKET, ObjectStore
from support.record_folder import Labelled, write_records

from kfdet.errors import InputError
from kfdet.records.reading import Records, open_file
from kfdet.records.tables import EXAMPLES_FILE, OBJECTS_FILE, SHARDS_FILE
from kfdet.records.tfrecord import Example, ShardWriter, serialize
from kfdet.storage import shards
from kfdet.storage.shards import open_records
from kfdet.storage.store import Store

URI = f"minio://{BUCKET}/runs/1"
NUMBERS = [10, 11, 25, 26, 40, 41, 42]
LABELS = ("disc", "square")


def an_example(number: int) -> Example:
    """Noise with two boxes; number 26 has none."""
    picture = np.random.default_rng(number).integers(0, 255, (24, 32, 3), np.uint8)
    count = 0 if number == 26 else 2
    return Example(
        source_id=number,
        filename=f"{number}.jpg",
        jpeg=simplejpeg.encode_jpeg(picture),
        width=32,
        height=24,
        boxes=np.array([[0.1, 0.1, 0.5, 0.5], [0.2, 0.2, 0.9, 0.9]])[:count],
        labels=LABELS[:count],
        class_ids=np.arange(1, count + 1),
        occluded=np.zeros(count, bool),
        truncated=np.zeros(count, bool),
    )


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [an_example(number) for number in NUMBERS]


def write(folder: Path, examples: Sequence[Example], sides: Sequence[str]) -> Path:
    pictures = [Labelled(one, side) for one, side in zip(examples, sides, strict=True)]
    return write_records(folder, pictures, LABELS)


@pytest.fixture
def folder(tmp_path: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records of seven pictures, three of them validation, in several shards."""
    small = partial(ShardWriter, shard_bytes=2 * len(serialize(examples[0])) + 200)
    monkeypatch.setattr(record_folder, "ShardWriter", small)
    folder = write(tmp_path / "records", examples, ["train"] * 4 + ["val"] * 3)
    assert len(list(folder.glob("*.tfrecord"))) == 4
    return folder


def shard_of(folder: Path, number: int) -> tuple[str, int]:
    """The place and the offset of an example."""
    rows = pq.read_table(folder / SHARDS_FILE, filters=pc.field("source_id") == number)
    (row,) = rows.to_pylist()
    return row["shard"], row["offset"]


# --- tables ---


def test_what_the_tables_say(folder: Path) -> None:
    with Records(folder) as records:
        assert records.labels == LABELS
        assert records.sides == {"train", "val"}
        assert records.measured_side == "val"
        assert records.examples("train")["source_id"].to_pylist() == NUMBERS[:4]
        assert records.examples("val", ["kind"]).column_names == ["kind"]
        owners = records.objects("train", ["source_id"])["source_id"].to_pylist()
        assert sorted(set(owners)) == [10, 11, 25], "26 is background"
        assert records.rows(EXAMPLES_FILE, [40, 11])["source_id"].to_pylist() == [11, 40]
        assert set(records.rows(OBJECTS_FILE, [25])["source_id"].to_pylist()) == {25}


def test_a_test_side_is_what_evaluation_reports(tmp_path: Path, examples: list[Example]) -> None:
    folder = write(tmp_path, examples, ["train"] * 2 + ["val"] + ["test"] * 4)
    assert Records(folder).measured_side == "test"


def test_a_side_without_examples(folder: Path) -> None:
    with pytest.raises(InputError, match=r"there is no test example.*Label more frames"):
        Records(folder).examples("test")


def test_the_digest_is_that_of_the_pictures_not_of_their_places(
    folder: Path, tmp_path: Path, examples: list[Example]
) -> None:
    first = Records(folder).digest()
    table = pq.read_table(folder / SHARDS_FILE)
    pq.write_table(at(table, "minio://elsewhere"), folder / SHARDS_FILE)
    assert Records(folder).digest() == first
    other = write(tmp_path / "other", examples, ["train"] * 3 + ["val"] * 4)
    assert Records(other).digest() != first


@pytest.mark.parametrize(
    ("missing", "problem"),
    [
        (EXAMPLES_FILE, "the index of the records is missing"),
        (SHARDS_FILE, "made by an older version of kfdet.*kfdet run.*kfdet evaluate RUN"),
    ],
)
def test_folders_that_are_no_records(folder: Path, missing: str, problem: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(InputError, match=problem) as error:
        open_records(folder)
    assert str(folder) in error.value.file


# --- pictures on disk ---


def test_pictures_come_in_the_order_asked_for(folder: Path, examples: list[Example]) -> None:
    jpegs = {one.source_id: one.jpeg for one in examples}
    order = [41, 10, 42, 26, 10]
    with Records(folder) as records:
        assert records.picture(25) == jpegs[25]
        assert list(records.pictures(order)) == [(number, jpegs[number]) for number in order]
        many = np.random.default_rng(0).choice(NUMBERS, 100).tolist()
        assert list(records.pictures(many)) == [(number, jpegs[number]) for number in many]
        assert list(records.pictures([])) == []
        assert records.request(11).result() == jpegs[11]


def test_tables_in_any_order_find_their_pictures(folder: Path, examples: list[Example]) -> None:
    table = pq.read_table(folder / SHARDS_FILE)
    pq.write_table(table.take([6, 2, 0, 5, 1, 4, 3]), folder / SHARDS_FILE, row_group_size=2)
    with Records(folder) as records:
        assert [jpeg for _, jpeg in records.pictures(NUMBERS)] == [one.jpeg for one in examples]


def test_shards_beside_the_folder(
    folder: Path, tmp_path: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shards").mkdir()
    for path in folder.glob("*.tfrecord"):
        path.rename(tmp_path / "shards" / path.name)
    pq.write_table(at(pq.read_table(folder / SHARDS_FILE), "../shards"), folder / SHARDS_FILE)
    monkeypatch.chdir(tmp_path)
    assert open_records(Path("records")).picture(42) == examples[-1].jpeg


@pytest.mark.parametrize("number", [0, 9, 12, 43])
def test_an_unknown_example(folder: Path, number: int) -> None:
    with Records(folder) as records, pytest.raises(InputError, match=f"no example {number}"):
        records.picture(number)


@pytest.mark.parametrize("damage", ["cut off", "changed", "empty"])
def test_a_damaged_shard_is_named(folder: Path, damage: str) -> None:
    shard, offset = shard_of(folder, 25)
    data = bytearray((folder / shard).read_bytes())
    data[offset + 100] ^= 1
    kept = {"cut off": data[: offset + 50], "changed": data, "empty": b""}
    (folder / shard).write_bytes(kept[damage])
    problem = f"{shard}: a record is cut off or damaged. Build the TFRecords again"
    with Records(folder) as records:
        records.picture(41)
        with pytest.raises(InputError, match=problem):
            records.picture(25)
        with pytest.raises(InputError, match=problem):
            list(records.pictures([10, 25, 41]))


def test_a_shard_that_is_gone_is_named(folder: Path) -> None:
    shard, _ = shard_of(folder, 25)
    (folder / shard).unlink()
    with Records(folder) as records, pytest.raises(InputError, match=f"{shard}.*Build the records"):
        records.picture(25)


def test_only_the_range_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    read = open_file(tmp_path / "file")
    assert (read(2, 3), read(0, 1), read(8, 9), read(20, 1)) == (b"234", b"0", b"89", b"")


def test_files_are_closed_with_the_records(folder: Path) -> None:
    def open_files() -> list[str]:
        links = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
        targets = [os.readlink(link) for link in links if os.path.islink(link)]
        return [target for target in targets if target.startswith(str(folder))]

    with Records(folder) as records:
        list(records.pictures(NUMBERS))
        assert open_files()
    assert not open_files()


# --- pictures in a bucket ---


def at(table: pa.Table, place: str) -> pa.Table:
    """A table of shards that are in this place."""
    names = [f"{place}/{name}" for name in table["shard"].to_pylist()]
    column = pa.array(names).dictionary_encode()
    return table.set_column(table.schema.get_field_index("shard"), "shard", column)


@pytest.fixture
def remote(folder: Path, object_store: ObjectStore) -> Path:
    """The records, with the shards in a bucket."""
    shards = folder.parent / "shards"
    shards.mkdir()
    for path in folder.glob("*.tfrecord"):
        shutil.move(path, shards / path.name)
    object_store.put(shards, "runs/1")
    pq.write_table(at(pq.read_table(folder / SHARDS_FILE), URI), folder / SHARDS_FILE)
    object_store.log.clear()
    return folder


def test_pictures_come_out_of_a_bucket(
    remote: Path, examples: list[Example], object_store: ObjectStore
) -> None:
    jpegs = {one.source_id: one.jpeg for one in examples}
    order = [41, 10, 42, 26, 10]
    with open_records(remote) as records:
        assert list(records.pictures(order)) == [(number, jpegs[number]) for number in order]
    gets = [line for line in object_store.log if line.startswith("GET") and "tfrecord" in line]
    assert len(gets) == len(order), "one request for each picture"


@pytest.mark.parametrize(("kept_bytes", "requests"), [(0, 14), (100, 14), (1 << 20, 7)])
def test_what_is_kept_is_asked_for_once(
    remote: Path,
    object_store: ObjectStore,
    examples: list[Example],
    kept_bytes: int,
    requests: int,
) -> None:
    jpegs = [(one.source_id, one.jpeg) for one in examples]
    with open_records(remote, kept_bytes=kept_bytes) as records:
        for _ in range(2):
            assert list(records.pictures(NUMBERS)) == jpegs
    gets = [line for line in object_store.log if line.startswith("GET") and "tfrecord" in line]
    assert len(gets) == requests


def test_only_the_picture_travels(remote: Path, object_store: ObjectStore) -> None:
    """A shard of which all but one record is damaged still gives that record."""
    (uri, start), (same, _) = shard_of(remote, 10), shard_of(remote, 11)
    assert uri == same
    path = remote.parent / "shards" / Path(uri).name
    data = bytearray(path.read_bytes())
    data[start] ^= 1
    path.write_bytes(data)
    object_store.put(remote.parent / "shards", "runs/1")
    with open_records(remote) as records:
        assert len(records.picture(11))
        with pytest.raises(InputError, match=f"{uri}: a record is cut off or damaged.*again"):
            records.picture(10)


def test_readers_side_by_side_ask_for_credentials_once(
    remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Store] = []

    def slow(uri: str) -> Store:
        time.sleep(0.1)
        made.append(Store(uri))
        return made[-1]

    monkeypatch.setattr(shards, "Store", slow)
    with open_records(remote) as records:
        assert len(list(records.pictures(NUMBERS))) == len(NUMBERS)
    assert len(made) == 1


def test_one_connection_however_many_shards(remote: Path, object_store: ObjectStore) -> None:
    with open_records(remote) as records:
        assert [len(records.picture(number)) > 0 for number in NUMBERS] == [True] * 7
    assert object_store.log.count(f"GET {BUCKET}") <= 1, "a client asks once where the bucket is"


@pytest.mark.parametrize("kept", ["half", "header", "nothing"])
def test_an_object_that_is_shorter_than_listed(
    remote: Path, object_store: ObjectStore, kept: str
) -> None:
    uri, offset = shard_of(remote, 25)
    path = remote.parent / "shards" / Path(uri).name
    length = {"half": offset + 50, "header": offset, "nothing": 0}[kept]
    path.write_bytes(path.read_bytes()[:length])
    object_store.put(remote.parent / "shards", "runs/1")
    with open_records(remote) as records:
        with pytest.raises(InputError, match=f"{uri}: .*Build the .*again") as error:
            records.picture(25)
        assert "AWS" not in str(error.value), "the store is the right one"
        assert len(records.picture(41)), "the others are whole"


def test_an_object_that_is_gone(remote: Path, object_store: ObjectStore) -> None:
    uri, _ = shard_of(remote, 25)
    object_store.client.remove_object(BUCKET, uri.removeprefix(f"minio://{BUCKET}/"))
    with open_records(remote) as records:
        with pytest.raises(InputError, match=f"{uri}: .*Build the .*again") as error:
            list(records.pictures(NUMBERS))
        assert "AWS" not in str(error.value), "the store is the right one"


def test_a_store_that_refuses_says_so(remote: Path, object_store: ObjectStore) -> None:
    object_store.check_credentials(strictly=True)
    try:
        with open_records(remote) as records, pytest.raises(InputError, match="credentials"):
            records.picture(25)
    finally:
        object_store.check_credentials(strictly=False)
