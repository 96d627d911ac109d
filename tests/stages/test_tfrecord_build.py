"""The whole stage on small groups, as frame extraction leaves them; read back with TensorFlow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg
from PIL import Image
from support.numbered_video import HEIGHT, WIDTH, Kind, number_of, write_video
from support.object_store import BUCKET, ObjectStore

from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA
from kfdet.errors import InputError
from kfdet.files import hash_folder, read_zip
from kfdet.parameters import FrameSettings, SamplingSettings
from kfdet.planning.plan import KEYS_FILE, Plan, Source, Split, write_plan
from kfdet.records import merging
from kfdet.records.negatives import negative_table
from kfdet.records.tables import EXAMPLES_FILE, OBJECTS_FILE, SHARDS_FILE
from kfdet.records.tfrecord import read_label_map, read_records
from kfdet.stages import frame_extraction
from kfdet.stages.frame_extraction import extract_group
from kfdet.stages.tfrecord_build import build_tfrecords
from kfdet.storage.shards import open_records
from kfdet.video.extraction import EncodedFrame, extract

LABELS = ("coffee mug", "robot")
SIZE, STORED = (WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2)
SIDES = ("xmin", "ymin", "xmax", "ymax")
FRAMES = 20
Groups = Sequence[Sequence[str]]
Row = dict[str, Any]


def _video(name: str, first_id: int, train: Any = (), val: Any = ()) -> Source:
    times = (FRAMES, 10.0, 0, FRAMES - 1, 1)
    return Source(name, "video", f"{name}.xml", *SIZE, *times, train, val, first_id=first_id)


def _image(name: str, first_id: int) -> Source:
    return Source(
        name, "image", f"{name}.xml", *SIZE, 1, 0.0, 0, 0, 1, ((0, 0),), first_id=first_id
    )


SOURCES = (
    _video("a b.mp4", 1, train=((0, 19),)),
    _image("m.png", 41),
    _image("n.png", 43),
    _video("ü.mp4", 45, val=((0, 19),)),
)
NAMES = [source.name for source in SOURCES]
APART: Groups = [NAMES[:2], NAMES[2:]]


def _boxes() -> list[Row]:
    rows = []
    for name in NAMES:
        for frame in range(12 if name.endswith(".mp4") else 1):
            for track in range(frame % 3 + 1):
                left, top = 5 + 3.3 * frame + 30 * track, 4 + 2.1 * frame
                corners = (left, top, left + 21.7, min(top + 40.2, 60))
                row = {"video": name, "frame": frame, "track_id": track, "method": "linear"}
                row |= {"label": LABELS[track % 2], "occluded": track == 1}
                row |= {"keyframe": frame == 0, "difficult": False, "crowd": False}
                rows.append(row | dict(zip(SIDES, corners, strict=True)))
    return rows


NEGATIVES = [
    ("a b.mp4", 3, "crop", 96.0, 62.0, 160.0, 94.0),
    ("a b.mp4", 14, "frame", 0.0, 0.0, float(WIDTH), float(HEIGHT)),
]


@dataclass(frozen=True)
class Extracted:
    """What the stage reads.

    Args:
        plan_dir: The plan.
        indexes: The tables of every group, with the shards beside them.
    """

    plan_dir: Path
    indexes: list[Path]

    def build(self, root: Path, indexes: Sequence[Path] | None = None) -> Path:
        """Run the stage."""
        indexes = self.indexes if indexes is None else indexes
        records = root / "records"
        build_tfrecords("data", self.plan_dir, indexes, records, root / "boxes.parquet")
        return records


def _extract(
    root: Path,
    dataset: Path,
    groups: Groups,
    rows: Sequence[Row] | None = None,
    negatives: Sequence[tuple[Any, ...]] = NEGATIVES,
) -> Extracted:
    """A plan with these groups, and the shards and tables of each."""
    split = Split("video", 0.2, 3.0, 0)
    (root / "plan").mkdir(parents=True)
    names = tuple(tuple(group) for group in groups)
    write_plan(Plan("data", LABELS, SOURCES, split, names), root / "plan")
    key = {"track_id": 0, "label": "robot", "rotation": 0.0, "outside": True, "occluded": False}
    key |= dict.fromkeys(SIDES, 1.0) | {"line": 0, "difficult": False, "crowd": False}
    keys = [key | {"video": s.name, "frame": f} for s in SOURCES for f in (0, 15)]
    pq.write_table(pa.Table.from_pylist(keys, schema=KEY_SCHEMA), root / "plan" / KEYS_FILE)
    indexes = []
    for number, group in enumerate(groups):
        own = [row for row in (_boxes() if rows is None else rows) if row["video"] in group]
        mined = [row for row in negatives if row[0] in group]
        folder = root / f"group{number}"
        folder.mkdir()
        pq.write_table(pa.Table.from_pylist(own, schema=BOX_SCHEMA), folder / "boxes")
        pq.write_table(negative_table(mined), folder / "negatives")
        extract_group(
            str(dataset),
            root / "plan",
            number,
            folder / "boxes",
            folder / "negatives",
            folder / "shards",
            folder / "index",
            SamplingSettings(every=1),
            FrameSettings(longest_side=STORED[0]),
        )
        indexes.append(folder / "index")
    return Extracted(root / "plan", indexes)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    for name in ("a b.mp4", "ü.mp4"):
        write_video(folder / name, Kind(".mp4", options={"g": "12"}, frames=FRAMES))
    rng = np.random.default_rng(0)
    for name in ("m.png", "n.png"):
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def inputs(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    return _extract(tmp_path_factory.mktemp("inputs"), dataset, APART)


@pytest.fixture(scope="module")
def records(inputs: Extracted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inputs.build(tmp_path_factory.mktemp("built"))


def _rows(records: Path, file: str = EXAMPLES_FILE) -> list[Row]:
    rows: list[Row] = pq.read_table(records / file).to_pylist()
    return rows


def _shards(records: Path, split: str) -> list[Path]:
    """The shards of a side, in their order, as the tables name them."""
    sides = {row["source_id"]: row["split"] for row in _rows(records)}
    places = [
        row["shard"] for row in _rows(records, SHARDS_FILE) if sides[row["source_id"]] == split
    ]
    return [records / place for place in dict.fromkeys(places)]


def _read(records: Path, split: str) -> list[Row]:
    tf = pytest.importorskip("tensorflow")
    spec = {
        **{f"image/{n}": tf.io.FixedLenFeature([], tf.string) for n in ("encoded", "source_id")},
        **{f"image/{n}": tf.io.FixedLenFeature([], tf.int64) for n in ("width", "height")},
        **{f"image/object/bbox/{side}": tf.io.VarLenFeature(tf.float32) for side in SIDES},
        "image/object/class/text": tf.io.VarLenFeature(tf.string),
        "image/object/class/label": tf.io.VarLenFeature(tf.int64),
    }
    read = []
    files = [str(path) for path in _shards(records, split)]
    for raw in tf.data.TFRecordDataset(files).as_numpy_iterator():
        parsed = tf.io.parse_single_example(raw, spec)
        dense = {k: getattr(v, "values", v).numpy() for k, v in parsed.items()}
        read.append({k.rsplit("/", 1)[-1]: v for k, v in dense.items()})
    return read


def test_folder_holds_what_later_stages_read(records: Path) -> None:
    assert {path.name for path in records.iterdir()} == {
        "label_map.pbtxt",
        "examples.parquet",
        "objects.parquet",
        "shards.parquet",
        "dataset.json",
        "samples.zip",
    }, "the shards stay where they are"
    assert read_label_map(records / "label_map.pbtxt") == dict(enumerate(LABELS, 1))
    described = json.loads((records / "dataset.json").read_text())
    counts = {split: described["counts"][split] for split in ("train", "val")}
    kinds = ("frame", "background", "crop")
    assert [counts["train"][kind] for kind in kinds] == [14, 1, 1]
    assert [counts["val"][kind] for kind in kinds] == [12, 4, 0]
    assert described["all_boxes"]["boxes"] == len(_boxes())
    pictures = read_zip(records / "samples.zip")
    assert [sample["file"] for sample in described["samples"]] == list(pictures)
    assert all(simplejpeg.decode_jpeg(picture).ndim == 3 for picture in pictures.values())


def test_samples_show_the_frames_that_they_name(records: Path) -> None:
    described = json.loads((records / "dataset.json").read_text())
    pictures = read_zip(records / "samples.zip")
    (empty,) = [s for s in described["samples"] if s["kind"] == "background"]
    picture = simplejpeg.decode_jpeg(pictures[empty["file"]])
    large = picture.repeat(2, axis=0).repeat(2, axis=1)
    assert empty["frame"] == number_of(simplejpeg.encode_jpeg(large)) == 14


def test_boxes_come_back_through_tensorflow(records: Path) -> None:
    by_id = {row["source_id"]: row for row in _rows(records)}
    seen = set()
    for split in ("train", "val"):
        for read in _read(records, split):
            example = by_id[int(read["source_id"])]
            seen.add(example["source_id"])
            assert example["split"] == split
            assert (read["width"], read["height"]) == (example["width"], example["height"])
            truth = [
                row
                for row in _boxes()
                if (row["video"], row["frame"]) == (example["video"], example["frame"])
                and example["kind"] == "frame"
            ]
            got = np.stack([read[side] for side in SIDES], axis=1) * [*SIZE, *SIZE]
            want = np.array([[row[side] for side in SIDES] for row in truth]).reshape(-1, 4)
            assert np.abs(got - want).max(initial=0) < 1e-4
            assert [t.decode() for t in read["text"]] == [row["label"] for row in truth]
            assert [LABELS[i - 1] for i in read["label"]] == [row["label"] for row in truth]
    assert seen == set(by_id)


def test_pictures_pass_through_and_crops_are_cut(dataset: Path, records: Path) -> None:
    frames = extract(dataset / "a b.mp4", longest_side=STORED[0])
    whole = {frame.frame: frame.jpeg for frame in frames}
    rows = {row["source_id"]: row for row in _rows(records)}
    kinds = []
    for read in _read(records, "train"):
        row = rows[int(read["source_id"])]
        if row["video"] != "a b.mp4":
            continue
        kinds.append(row["kind"])
        if row["kind"] == "crop":
            window = simplejpeg.decode_jpeg(whole[row["frame"]])[31:47, 48:80].astype(int)
            cut = simplejpeg.decode_jpeg(read["encoded"]).astype(int)
            assert cut.shape == window.shape == (16, 32, 3)
            assert np.abs(cut - window).mean() < 3
        else:
            assert read["encoded"] == whole[row["frame"]]
    assert sorted(set(kinds)) == ["background", "crop", "frame"]


def test_records_are_in_the_order_of_sources_and_frames(records: Path) -> None:
    for split in ("train", "val"):
        rows = [row for row in _rows(records) if row["split"] == split]
        assert [int(read["source_id"]) for read in _read(records, split)] == [
            row["source_id"] for row in rows
        ]
        places = [(NAMES.index(row["video"]), row["frame"]) for row in rows]
        assert places == sorted(places)
    owners = [row["source_id"] for row in _rows(records, OBJECTS_FILE)]
    assert owners == sorted(owners)


def _whole(records: Path) -> dict[str, bytes]:
    """Everything but the places: files, and the shards of each side joined."""
    files = {path.name: path.read_bytes() for path in records.iterdir()}
    del files[SHARDS_FILE]
    for split in ("train", "val"):
        files[split] = b"".join(path.read_bytes() for path in _shards(records, split))
    return files


@pytest.mark.parametrize(
    "groups",
    [[NAMES], [[name] for name in NAMES], [NAMES[:1], [], NAMES[1:]]],
    ids=["one", "each alone", "one is empty"],
)
def test_same_bytes_whatever_the_groups_are(
    dataset: Path, records: Path, tmp_path: Path, groups: Groups
) -> None:
    other = _extract(tmp_path / "inputs", dataset, groups)
    again = other.build(tmp_path / "other")
    assert _whole(again) == _whole(records)
    merged = (tmp_path / "other/boxes.parquet").read_bytes()
    assert merged == (records.parent / "boxes.parquet").read_bytes()


def test_same_bytes_whatever_the_order_of_the_groups(
    inputs: Extracted, records: Path, tmp_path: Path
) -> None:
    swapped = inputs.build(tmp_path, inputs.indexes[::-1])
    assert _whole(swapped) == _whole(records)
    found = [(row["source_id"], row["offset"]) for row in _rows(swapped, SHARDS_FILE)]
    assert found == [(row["source_id"], row["offset"]) for row in _rows(records, SHARDS_FILE)]


def test_same_bytes_once_more(inputs: Extracted, records: Path, tmp_path: Path) -> None:
    folder = inputs.build(tmp_path / "x")
    assert _whole(folder) == _whole(records)
    again = inputs.build(tmp_path / "x")
    assert hash_folder(again) == hash_folder(folder), "over what was there"


def test_all_boxes_are_merged_in_order(inputs: Extracted, tmp_path: Path) -> None:
    inputs.build(tmp_path, inputs.indexes[::-1])
    merged = pq.read_table(tmp_path / "boxes.parquet")
    assert merged.schema == BOX_SCHEMA
    assert merged.to_pylist() == _boxes()


def test_a_long_measuring_side_is_thinned_with_all_that_belongs_to_it(
    inputs: Extracted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "MOST_MEASURED", 6)
    records = inputs.build(tmp_path)
    val = [row for row in _rows(records) if row["split"] == "val"]
    assert len(val) == 6
    assert [row["frame"] for row in val if row["measured"]] == [0, *range(12, 16)]
    ids = {row["source_id"] for row in _rows(records)}
    assert len(ids) == 16 + 6
    assert {row["source_id"] for row in _rows(records, OBJECTS_FILE)} <= ids
    assert {row["source_id"] for row in _rows(records, SHARDS_FILE)} == ids
    described = json.loads((records / "dataset.json").read_text())
    assert described["split"]["val_frames"] == described["counts"]["val"]["examples"] == 6
    with open_records(records) as read:
        for row in val:
            assert simplejpeg.decode_jpeg(read.picture(row["source_id"])).shape[1] == STORED[0]


def test_frames_that_come_late_are_in_order_all_the_same(
    dataset: Path, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some frames of a video with intra refresh appear only when it is decoded from its start."""

    def late(*args: Any, **options: Any) -> Iterator[EncodedFrame]:
        return iter(sorted(extract(*args, **options), key=lambda f: (f.frame in (2, 7), f.frame)))

    monkeypatch.setattr(frame_extraction, "extract", late)
    extracted = _extract(tmp_path / "in", dataset, APART)
    written = [row["frame"] for row in _rows(extracted.indexes[0]) if row["video"] == NAMES[0]]
    assert written[-2:] == [2, 7]
    built = extracted.build(tmp_path / "out")
    for file in (EXAMPLES_FILE, OBJECTS_FILE, "dataset.json", "samples.zip"):
        assert (built / file).read_bytes() == (records / file).read_bytes()
    ids = [row["source_id"] for row in _rows(records)]
    with open_records(built) as some, open_records(records) as others:
        assert list(some.pictures(ids)) == list(others.pictures(ids))


# --- places of the shards ---


def test_shards_and_records_may_move_together(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _extract(tmp_path / "run", dataset, APART).build(tmp_path / "run" / "deep" / "down")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved" / "deep")
    with open_records(Path("down/records")) as read:
        for row in _rows(Path("down/records")):
            assert read.picture(row["source_id"])


def test_shards_in_a_bucket(
    inputs: Extracted, records: Path, tmp_path: Path, object_store: ObjectStore
) -> None:
    """The sample pictures are read there, and later stages find the shards by their address."""
    indexes = []
    for number, index in enumerate(inputs.indexes):
        copy = tmp_path / f"index{number}"
        shutil.copytree(index, copy)
        place = f"minio://{BUCKET}/runs/1/shards{number}"
        (copy / "group.json").write_text(json.dumps({"number": number, "place": place}))
        object_store.put(index.parent / "shards", f"runs/1/shards{number}")
        indexes.append(copy)
    remote = inputs.build(tmp_path / "out", indexes)
    first = f"minio://{BUCKET}/runs/1/shards0/train-0000-00000.tfrecord"
    assert _rows(remote, SHARDS_FILE)[0]["shard"] == first
    there, here = ({p.name: p.read_bytes() for p in f.iterdir()} for f in (remote, records))
    assert {name for name in here if there[name] != here[name]} == {SHARDS_FILE}
    ids = [row["source_id"] for row in _rows(records)]
    with open_records(remote) as far, open_records(records) as near:
        assert list(far.pictures(ids)) == list(near.pictures(ids))


# --- bad input ---


def _refused(inputs: Extracted, root: Path, indexes: Sequence[Path] | None = None) -> str:
    with pytest.raises(InputError) as error:
        inputs.build(root, indexes)
    assert not root.exists() or not any(root.iterdir()), "nothing half-written"
    return str(error.value)


def test_no_boxes(dataset: Path, inputs: Extracted, tmp_path: Path) -> None:
    nothing = _extract(tmp_path / "in", dataset, APART, rows=[])
    assert "data: there is no box on any frame. Draw boxes" in _refused(nothing, tmp_path / "out")
    assert "no box on any frame" in _refused(inputs, tmp_path / "out", [])


@pytest.mark.parametrize(("kept", "missing"), [(0, "validation"), (1, "training")])
def test_one_sided(dataset: Path, tmp_path: Path, kept: int, missing: str) -> None:
    own = [row for row in _boxes() if row["video"] == ("a b.mp4", "ü.mp4")[kept]]
    one_sided = _extract(tmp_path / "in", dataset, APART, own, [])
    message = _refused(one_sided, tmp_path / "out")
    assert f"no {missing} picture with a box" in message
    assert "val_share" in message


def test_a_group_is_missing(inputs: Extracted, tmp_path: Path) -> None:
    message = _refused(inputs, tmp_path / "out", inputs.indexes[:1])
    assert "no validation picture with a box" in message


def test_a_damaged_shard_is_noticed_by_the_samples(
    dataset: Path, inputs: Extracted, tmp_path: Path
) -> None:
    copy = tmp_path / "group"
    shutil.copytree(inputs.indexes[1].parent, copy)
    (shard,) = copy.glob("shards/val-*")
    shard.write_bytes(shard.read_bytes()[:100])
    message = _refused(inputs, tmp_path / "out", [inputs.indexes[0], copy / "index"])
    assert f"{shard.name}: a record is cut off or damaged" in message


def test_full_disk_leaves_nothing(
    inputs: Extracted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Path.write_text

    def write_full(path: Path, *content: Any, **options: Any) -> int:
        # The kernel itself answers "no space left" to every write to this device.
        full = path.name == "dataset.json"
        return written(Path("/dev/full") if full else path, *content, **options)

    monkeypatch.setattr(Path, "write_text", write_full)
    message = _refused(inputs, tmp_path / "out")
    assert "No space left on device" in message
    assert "Free some space" in message


def test_every_record_is_whole(records: Path) -> None:
    for split, count in (("train", 16), ("val", 16)):
        found = [record for path in _shards(records, split) for record in read_records(path)]
        assert len(found) == count
