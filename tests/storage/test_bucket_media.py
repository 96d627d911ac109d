"""Videos and images that are looked at in their bucket."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import minio
import numpy as np
import pytest
from PIL import Image
from support.numbered_video import KINDS, Kind, write_video
from support.object_store import BUCKET, ObjectStore
from support.square_video import write_square_annotation, write_square_video

from kfdet.dataset.loading import load
from kfdet.dataset.reading import load_items
from kfdet.errors import InputError, PlaceError
from kfdet.parameters import SamplingSettings, SplitSettings
from kfdet.stages.planning import plan_dataset
from kfdet.storage import bucket_media
from kfdet.storage.copies import open_dataset
from kfdet.storage.multipart import CHECKSUM_HEADER, Crc32c

URI = f"s3://{BUCKET}/toys"
SHOWN = (
    *("mp4, B-frames", "mov, HEVC with open GOP", "mp4, variable rate", "mp4, fragments"),
    *("mkv, open GOP", "webm, VP9", "avi, Motion JPEG", "ts, MPEG-2 with B-frames"),
)


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The bytes that are downloaded, by key."""
    counts: dict[str, int] = {}
    get = minio.Minio.get_object

    def counting(client: Any, bucket: str, key: str, *args: Any, **options: Any) -> Any:
        response = get(client, bucket, key, *args, **options)
        counts[key] = counts.get(key, 0) + int(response.headers["Content-Length"])
        return response

    monkeypatch.setattr(minio.Minio, "get_object", counting)
    return counts


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of many kinds; one is turned, one is cut off, and one is empty."""
    folder = tmp_path_factory.mktemp("kinds") / "toys"
    folder.mkdir()
    for number, name in enumerate(SHOWN):
        write_video(folder / f"{number}{KINDS[name].suffix}", KINDS[name])
    turned = write_video(folder / "turned.mp4", Kind(".mp4", rotation=90))
    start = Kind(".mp4", container_options={"movflags": "faststart"})
    data = write_video(folder / "cut.mp4", start).read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) * 3 // 4])
    (folder / "empty.mp4").touch()
    (folder / "sound.mp4").write_bytes(turned.read_bytes()[:200])
    return folder


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Two annotated videos of 3 MB, most of which are frames that nobody looks at."""
    folder = tmp_path / "toys"
    for name, top in (("a", 40), ("b", 60)):
        path = write_square_video(folder / f"{name}.mp4", top)
        _lengthen(path, 3_000_000 + top)
        write_square_annotation(folder / f"{name}.xml", f"{name}.mp4", top)
    return folder


def _lengthen(path: Path, more: int) -> None:
    """Put bytes behind the frames of an MP4 file whose index is at its end."""
    data = path.read_bytes()
    start = data.index(b"mdat") - 4
    end = start + int.from_bytes(data[start : start + 4], "big")
    size = (end - start + more).to_bytes(4, "big")
    path.write_bytes(data[:start] + size + data[start + 4 : end] + bytes(more) + data[end:])


def test_videos_in_a_bucket_are_what_they_are_on_disk(
    videos: Path, object_store: ObjectStore, traffic: dict[str, int]
) -> None:
    object_store.put(videos, "toys")
    items, problems = load_items(videos)
    with open_dataset(URI) as (folder, media):
        found, found_problems = load_items(folder, media)
        assert [replace(item, path=videos / item.name) for item in found] == items
        assert [p.problem for p in found_problems] == [p.problem for p in problems]
        # What was copied to be looked at is gone again.
        assert sum(path.stat().st_blocks for path in folder.iterdir()) == 0
        sizes = {path.name: path.stat().st_size for path in videos.iterdir()}
        assert {path.name: path.stat().st_size for path in folder.iterdir()} == sizes
    assert len(items) == len(SHOWN) + 2


def test_planning_reads_a_small_part_of_the_videos(
    squares: Path, tmp_path: Path, object_store: ObjectStore, traffic: dict[str, int]
) -> None:
    object_store.put(squares, "toys")
    for number, dataset in enumerate((str(squares), URI)):
        plan_dataset(dataset, tmp_path / f"{number}", SamplingSettings(), SplitSettings(), seed=0)
    for path in (tmp_path / "0").iterdir():
        assert path.read_bytes() == (tmp_path / "1" / path.name).read_bytes()
    for name in ("a", "b"):
        assert traffic[f"toys/{name}.xml"] == (squares / f"{name}.xml").stat().st_size
        assert 0 < traffic[f"toys/{name}.mp4"] < 0.1 * (squares / f"{name}.mp4").stat().st_size


def test_the_same_video_twice_is_found_by_the_listing(
    squares: Path, object_store: ObjectStore, traffic: dict[str, int]
) -> None:
    (squares / "c.mp4").write_bytes((squares / "a.mp4").read_bytes())
    write_square_annotation(squares / "c.xml", "c.mp4")
    object_store.put(squares, "toys")
    with open_dataset(URI) as (folder, media):
        problems = [problem.problem for problem in load(folder, media=media).problems]
    assert "the same video as a.mp4." in problems
    assert traffic["toys/c.mp4"] < 0.1 * (squares / "c.mp4").stat().st_size


def test_the_same_video_on_disk_and_in_a_bucket(
    squares: Path, tmp_path: Path, object_store: ObjectStore
) -> None:
    """Else one of them could train, and the other one measure the result."""
    object_store.put(squares, "toys")
    here = tmp_path / "here"
    here.mkdir()
    data = (squares / "a.mp4").read_bytes()
    (here / "a.mp4").write_bytes(data)
    (here / "other.mp4").write_bytes(data[:-1] + b"1")
    with open_dataset(URI) as (folder, media):
        paths = [folder / "b.mp4", folder / "a.mp4", here / "other.mp4", here / "a.mp4"]
        assert media.identical(paths).tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("with_checksum", [True, False])
def test_equal_sizes_with_tags_that_tell_nothing(
    same: bool,
    with_checksum: bool,
    squares: Path,
    object_store: ObjectStore,
    traffic: dict[str, int],
) -> None:
    _lengthen(squares / "a.mp4", 3_000_000)
    data = (squares / "a.mp4").read_bytes()
    other = bytearray(data)
    other[len(data) // 2] ^= not same
    object_store.put(squares, "toys")
    for name, content, part in (("a.mp4", data, 5 << 20), ("c.mp4", bytes(other), 8 << 20)):
        crc = Crc32c()
        crc.update(content)
        headers: Any = {CHECKSUM_HEADER: crc.text} if with_checksum else None
        object_store.client.put_object(
            BUCKET,
            f"toys/{name}",
            io.BytesIO(content),
            len(content),
            part_size=part,
            metadata=headers,
        )
    with open_dataset(URI) as (folder, media):
        paths = [folder / name for name in ("a.mp4", "b.mp4", "c.mp4")]
        for path in paths:
            media.probe(path)
        looked_at = dict(traffic)
        clusters = media.identical(paths).tolist()
    assert (clusters[0] == clusters[2]) == same
    assert clusters[0] != clusters[1]
    assert (traffic == looked_at) == (with_checksum and not same)


def test_a_dataset_that_changes_while_it_is_read(squares: Path, object_store: ObjectStore) -> None:
    object_store.put(squares, "toys")
    with open_dataset(URI) as (folder, media):
        (squares / "a.mp4").write_bytes((squares / "b.mp4").read_bytes())
        object_store.put(squares, "toys")
        with pytest.raises(PlaceError, match=r"a\.mp4 was replaced in the bucket") as raised:
            load(folder, media=media)
        assert raised.value.file == URI
        object_store.client.remove_object(BUCKET, "toys/a.mp4")
        with pytest.raises(PlaceError, match=r"a\.mp4 is no longer in the bucket"):
            load(folder, media=media)


def test_images_that_do_not_fit_the_disk_are_looked_at_one_by_one(
    tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "toys"
    root.mkdir()
    random = np.random.default_rng(0)
    for number in range(8):
        blocks = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((160, 120)).save(root / f"{number}.png")
        (root / f"{number}.xml").write_text(
            f"<annotation><filename>{number}.png</filename><size><width>160</width>"
            "<height>120</height><depth>3</depth></size><object><name>cup</name><bndbox>"
            "<xmin>20</xmin><ymin>20</ymin><xmax>60</xmax><ymax>70</ymax></bndbox></object>"
            "</annotation>"
        )
    (root / "7.png").write_bytes((root / "0.png").read_bytes())
    object_store.put(root, "toys")
    plan_dataset(str(root), tmp_path / "0", SamplingSettings(), SplitSettings(), seed=0)
    monkeypatch.setattr(bucket_media, "_IMAGES_SHARE", 0.0)
    plan_dataset(URI, tmp_path / "1", SamplingSettings(), SplitSettings(), seed=0)
    for path in (tmp_path / "0").iterdir():
        assert path.read_bytes() == (tmp_path / "1" / path.name).read_bytes()
    with open_dataset(URI) as (folder, media):
        assert load(folder, media=media).labels == ["cup"]
        assert sum(os.stat(path).st_blocks for path in folder.glob("*.png")) == 0


def test_a_bucket_without_objects(object_store: ObjectStore) -> None:
    object_store.client.make_bucket(BUCKET)
    with pytest.raises(InputError, match="there are no objects"), open_dataset(URI):
        pass
