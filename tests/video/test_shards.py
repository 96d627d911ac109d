from __future__ import annotations

import errno
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kfdet.errors import InputError
from kfdet.video.shards import INDEX_SCHEMA, MOST_SHARDS, FrameStore, FrameWriter


def _picture(video: str, frame: int) -> bytes:
    return f"{video} {frame} ".encode() * (frame + 1)


def _write(folder: Path, pairs: list[tuple[str, int]], shard_bytes: int = 1 << 20) -> Path:
    with FrameWriter(folder, shard_bytes) as writer:
        for video, frame in pairs:
            writer.add(video, frame, _picture(video, frame), 32, 24, 64, 48, frame / 10)
    return folder


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("videos/a.mp4", 0)],
        [("b.mp4", 3), ("a.mp4", 200), ("a.mp4", 7), ("ü ber/" + "n" * 150 + ".mp4", 1)],
    ],
    ids=["empty", "one", "several"],
)
def test_reads_what_was_written(tmp_path: Path, pairs: list[tuple[str, int]]) -> None:
    store = FrameStore([_write(tmp_path / "frames", pairs)])
    assert store.index.schema == INDEX_SCHEMA
    rows = store.index.to_pylist()
    assert [(row["video"], row["frame"]) for row in rows] == sorted(pairs)
    assert [row["seconds"] for row in rows] == [frame / 10 for _, frame in sorted(pairs)]
    assert [store.read(*pair) for pair in pairs] == [_picture(*pair) for pair in pairs]
    assert len(store) == len(pairs)
    assert all(pair in store for pair in pairs)
    assert ("c.mp4", 0) not in store


def test_no_folders_is_an_empty_store() -> None:
    store = FrameStore([])
    assert (len(store), store.index.schema) == (0, INDEX_SCHEMA)


def test_any_tar_tool_opens_the_shards(tmp_path: Path) -> None:
    pairs = [("videos/a.mp4", n) for n in range(5)]
    folder = _write(tmp_path / "frames", pairs)
    with tarfile.open(folder / "frames-00-00000.tar") as tar:
        assert tar.getnames() == [f"videos/a.mp4/{n:06d}.jpg" for n in range(5)]
        for _, frame in pairs:
            member = tar.extractfile(f"videos/a.mp4/{frame:06d}.jpg")
            assert member is not None
            assert member.read() == _picture("videos/a.mp4", frame)


def test_shards_are_closed_before_they_grow_too_large(tmp_path: Path) -> None:
    pairs = [("a.mp4", n) for n in range(60)]
    folder = _write(tmp_path / "frames", pairs, shard_bytes=10_000)
    sizes = [path.stat().st_size for path in sorted(folder.glob("*.tar"))]
    assert len(sizes) == MOST_SHARDS, "however many frames there are"
    assert max(sizes[:-1]) <= 10_000 + 4 * 512
    again = FrameStore([folder])
    assert [again.read(*pair) for pair in pairs] == [_picture(*pair) for pair in pairs]


def test_same_pictures_same_bytes(tmp_path: Path) -> None:
    pairs = [("a.mp4", n) for n in range(9)]
    one, two = (_write(tmp_path / name, pairs) for name in ("one", "two"))
    assert [p.name for p in sorted(one.iterdir())] == [p.name for p in sorted(two.iterdir())]
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_lanes_may_be_written_at_once(tmp_path: Path) -> None:
    def fill(writer: FrameWriter, lane: int) -> None:
        for frame in range(200):
            video = f"{lane}.mp4"
            writer.add(video, frame, _picture(video, frame), 1, 1, 1, 1, 0.0, lane=lane)

    for folder in ("one", "two"):
        with FrameWriter(tmp_path / folder) as writer, ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda lane: fill(writer, lane), range(4)))
    store = FrameStore([tmp_path / "one"])
    pairs = [(f"{lane}.mp4", frame) for lane in range(4) for frame in range(200)]
    assert [store.read(*pair) for pair in pairs] == [_picture(*pair) for pair in pairs]
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_several_folders_are_one_store(tmp_path: Path) -> None:
    folders = [_write(tmp_path / name, [(name, 1), (name, 0)]) for name in ("b", "a")]
    store = FrameStore(folders)
    assert store.index["video"].to_pylist() == ["a", "a", "b", "b"]
    assert store.read("b", 1) == _picture("b", 1)
    assert all(Path(shard).is_file() for shard in store.index["shard"].to_pylist())


def test_frame_twice_is_a_mistake_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="written twice"):
        _write(tmp_path / "frames", [("a.mp4", 1), ("a.mp4", 1)])
    assert list(tmp_path.iterdir()) == []


def _fail(folder: Path, error: Exception) -> None:
    with FrameWriter(folder) as writer:
        writer.add("b.mp4", 2, b"x", 1, 1, 1, 1, 0.0)
        raise error


def test_failure_keeps_what_was_there(tmp_path: Path) -> None:
    folder = _write(tmp_path / "frames", [("a.mp4", 1)])
    with pytest.raises(RuntimeError):
        _fail(folder, RuntimeError())
    assert FrameStore([folder]).index["video"].to_pylist() == ["a.mp4"]
    assert list(tmp_path.iterdir()) == [folder]


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        _write(tmp_path / "file" / "frames", [])


def test_full_disk_is_bad_input_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Free some space"):
        _fail(tmp_path / "frames", OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["no index", "short shard"])
def test_damaged_folder_is_named(tmp_path: Path, damage: str) -> None:
    folder = _write(tmp_path / "frames", [("a.mp4", 5)])
    if damage == "no index":
        (folder / "frames.parquet").unlink()
    else:
        (folder / "frames-00-00000.tar").write_bytes(b"short")
    with pytest.raises(InputError, match="again"):
        FrameStore([folder]).read("a.mp4", 5)


def test_index_holds_the_offset_of_the_picture(tmp_path: Path) -> None:
    folder = _write(tmp_path / "frames", [("a.mp4", 5)])
    (row,) = pq.read_table(folder / "frames.parquet").to_pylist()
    data = (folder / row["shard"]).read_bytes()
    assert data[row["offset"] : row["offset"] + row["length"]] == _picture("a.mp4", 5)
