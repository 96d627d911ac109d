from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.data_stages import make_records
from support.numbered_video import HEIGHT, WIDTH, Kind, write_video
from support.object_store import BUCKET, ObjectStore

from kfdet.boxes.tables import BOX_SCHEMA, KEY_SCHEMA
from kfdet.errors import InputError
from kfdet.parameters import (
    BoxSettings,
    DatasetSettings,
    Parameters,
    SamplingSettings,
    SplitSettings,
)
from kfdet.planning.plan import KEYS_FILE, PLAN_FILE, read_plan
from kfdet.records.negatives import NEGATIVE_SCHEMA
from kfdet.stages.interpolation import interpolate_group
from kfdet.stages.negative_mining import mine_negatives
from kfdet.stages.planning import plan_dataset

FRAMES = 150
SAMPLING, SPLIT = SamplingSettings(), SplitSettings()
Row = tuple[int, str]
"""Frame and the other attributes of a box in CVAT's XML."""

MOVING: Sequence[Row] = [
    *((frame, f'xtl="{frame / 2}" ytl="40" xbr="{frame / 2 + 30}" ybr="70"') for frame in (0, 40)),
    (60, 'xtl="50" ytl="40" xbr="80" ybr="70" outside="1"'),
    *((frame, 'xtl="-20" ytl="20" xbr="20" ybr="60"') for frame in (100, 140)),
    (149, 'xtl="150" ytl="20" xbr="190" ybr="60"'),
]
TURNED: Sequence[Row] = [
    *((frame, 'xtl="0" ytl="10" xbr="40" ybr="30" rotation="30"') for frame in (10, 20, 30)),
    (35, 'xtl="0" ytl="10" xbr="40" ybr="30" rotation="30" outside="1"'),
]


def annotate(path: Path, tracks: Sequence[Sequence[Row]], frames: int = FRAMES) -> None:
    """Write CVAT for video 1.1 beside the video of that name."""
    lines = [
        f"<annotations><version>1.1</version><meta><task><size>{frames}</size>"
        f"<mode>interpolation</mode><start_frame>0</start_frame><stop_frame>{frames - 1}"
        f"</stop_frame><original_size><width>{WIDTH}</width><height>{HEIGHT}</height>"
        f"</original_size><source>{path.with_suffix('.mp4').name}</source></task></meta>"
    ]
    for number, rows in enumerate(tracks):
        lines.append(f'<track id="{number}" label="cup">')
        for frame, attributes in rows:
            outside = "" if "outside" in attributes else ' outside="0"'
            lines.append(f'<box frame="{frame}" keyframe="1" occluded="0" {attributes}{outside}/>')
        lines.append("</track>")
    path.write_text("\n".join([*lines, "</annotations>"]))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One annotated video and one without annotations, and five images of which two are alike."""
    root = tmp_path_factory.mktemp("dataset")
    for name in ("a", "unlabelled"):
        write_video(root / f"{name}.mp4", Kind(".mp4", frames=FRAMES))
    annotate(root / "a.xml", [MOVING, TURNED])
    random = np.random.default_rng(0)
    for number in range(5):
        blocks = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((160, 120)).save(root / f"{number}.jpg")
        objects = "" if number == 2 else "<object><name>cup</name><bndbox><xmin>20</xmin>"
        objects += "<ymin>20</ymin><xmax>60</xmax><ymax>70</ymax></bndbox></object>"
        (root / f"{number}.xml").write_text(
            f"<annotation><filename>{number}.jpg</filename><size><width>160</width>"
            f"<height>120</height><depth>3</depth></size>{objects * (number != 2)}</annotation>"
        )
    (root / "4.jpg").write_bytes((root / "0.jpg").read_bytes())
    return root


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run up to negative mining."""
    folder = tmp_path_factory.mktemp("run")
    groups = plan_dataset(str(dataset), folder / "plan", SAMPLING, SPLIT, seed=0)
    assert groups == [{"index": 0}]
    interpolate_group(str(dataset), folder / "plan", 0, folder / "boxes.parquet", BoxSettings())
    mine_negatives(
        *(folder / "plan", 0, folder / "boxes.parquet", folder / "negatives.parquet"),
        SAMPLING,
        seed=0,
    )
    return folder


def test_plan(run: Path) -> None:
    plan = read_plan(run / "plan")
    assert (plan.labels, plan.split.strategy) == (("cup",), "time-block")
    assert [s.name for s in plan.sources] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "a.mp4"]
    assert plan.groups == (tuple(s.name for s in plan.sources),)
    source = plan.source("a.mp4")
    # The gap is a tenth of the video: 15 frames; everything is covered or has boxes.
    assert (source.train, source.val) == (((0, 106),), ((122, 149),))
    assert plan.source("0.jpg").val == plan.source("4.jpg").val
    assert any(s.val for s in plan.sources if s.kind == "image")


def test_keys_are_clipped_but_not_the_rotated_ones(run: Path) -> None:
    keys = pq.read_table(run / "plan" / KEYS_FILE)
    assert keys.schema == KEY_SCHEMA
    for key in keys.to_pylist():
        if key["frame"] == 100:
            assert (key["xmin"], key["xmax"]) == (0, 20)
        if key["rotation"]:
            assert (key["xmin"], key["ymin"]) == (0, 10)


def test_boxes(run: Path) -> None:
    table = pq.read_table(run / "boxes.parquet")
    assert table.schema == BOX_SCHEMA
    rows = table.filter(table["video"].to_numpy() == "a.mp4").to_pylist()
    assert {row["frame"] for row in rows} == {*range(60), *range(100, FRAMES)}
    turned = next(row for row in rows if row["track_id"] == 1)
    assert turned["xmin"] == 0
    assert turned["ymin"] == pytest.approx(20 - 10 * np.cos(np.pi / 6) - 20 * np.sin(np.pi / 6))


def test_negatives(run: Path) -> None:
    table = pq.read_table(run / "negatives.parquet")
    assert table.schema == NEGATIVE_SCHEMA
    plan = read_plan(run / "plan")
    kinds = set()
    for row in table.to_pylist():
        assert any(a <= row["frame"] <= b for a, b in plan.source(row["video"]).train)
        kinds.add((row["video"], row["kind"]))
        if (row["video"], row["kind"]) == ("a.mp4", "frame"):
            assert 73 <= row["frame"] <= 86
    assert ("a.mp4", "frame") in kinds


def test_the_same_again_gives_the_same_bytes(run: Path, dataset: Path, tmp_path: Path) -> None:
    plan_dataset(str(dataset), tmp_path / "plan", SAMPLING, SPLIT, seed=0)
    interpolate_group(str(dataset), tmp_path / "plan", 0, tmp_path / "boxes.parquet", BoxSettings())
    mine_negatives(
        *(tmp_path / "plan", 0, tmp_path / "boxes.parquet", tmp_path / "negatives.parquet"),
        SAMPLING,
        seed=0,
    )
    for name in (f"plan/{PLAN_FILE}", f"plan/{KEYS_FILE}", "boxes.parquet", "negatives.parquet"):
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name


def test_a_dataset_in_a_bucket_gives_the_same_bytes(
    run: Path,
    dataset: Path,
    tmp_path: Path,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    object_store.put(dataset, dataset.name)
    uri = f"minio://{BUCKET}/{dataset.name}"
    assert plan_dataset(uri, tmp_path / "plan", SAMPLING, SPLIT, seed=0) == [{"index": 0}]
    for name in (PLAN_FILE, KEYS_FILE):
        assert (tmp_path / "plan" / name).read_bytes() == (run / "plan" / name).read_bytes()
    assert not list(scratch.iterdir())
    assert f"{uri}/unlabelled.mp4: the video has no annotations" in caplog.text


def test_all_errors_are_in_one_message(
    dataset: Path, tmp_path: Path, object_store: ObjectStore
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in ("a.mp4", "a.xml"):
        (bad / name).write_bytes((dataset / name).read_bytes())
    (bad / "empty.mp4").touch()
    text = (bad / "a.xml").read_text().replace('xtl="150"', 'xtl="nan"')
    (bad / "a.xml").write_text(text)
    with pytest.raises(InputError) as local:
        plan_dataset(str(bad), tmp_path / "plan", SAMPLING, SPLIT, seed=0)
    assert "empty.mp4" in str(local.value)
    assert "a.xml:8, frame 149" in str(local.value)
    assert not (tmp_path / "plan").exists()
    object_store.put(bad, "bad")
    with pytest.raises(InputError) as remote:
        plan_dataset(f"s3://{BUCKET}/bad", tmp_path / "plan", SAMPLING, SPLIT, seed=0)
    assert str(remote.value) == str(local.value).replace(str(bad), f"s3://{BUCKET}/bad")


@pytest.mark.parametrize("stated", ["option", "dataset.yaml"])
def test_what_cannot_be_read_is_left_out_where_that_is_wanted(
    stated: str, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(dataset, root)
    (root / "empty.mp4").touch()
    annotate(root / "empty.xml", [MOVING])
    for name, source in (("b", "1"), ("c", "3")):
        (root / f"{name}.xml").write_text((root / "0.xml").read_text().replace("0.jpg", name))
        (root / f"{name}.jpg").write_bytes((root / f"{source}.jpg").read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"empty\.mp4: the video is empty"):
        plan_dataset(str(root), tmp_path / "plan", SAMPLING, SPLIT, seed=0)
    choice = DatasetSettings(keep_going=stated == "option")
    if stated == "dataset.yaml":
        (root / "dataset.yaml").write_text("keep_going: true\n")
    caplog.clear()
    plan_dataset(str(root), tmp_path / "plan", SAMPLING, SPLIT, choice, seed=0)
    plan = read_plan(tmp_path / "plan")
    assert [s.name for s in plan.sources] == ["0.jpg", *(f"{n}.jpg" for n in "1234"), "a.mp4"]
    videos = pq.read_table(tmp_path / "plan" / KEYS_FILE)["video"].to_pylist()
    assert set(videos) <= {source.name for source in plan.sources}
    for name in ("empty.mp4", "b.jpg", "c.jpg"):
        (warning,) = [line for line in caplog.messages if f"/{name}: " in line]
        assert "It is not used." in warning


def test_all_images_that_do_not_decode_are_named(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(dataset, root)
    for name in ("1.jpg", "3.jpg"):
        (root / name).write_bytes((root / name).read_bytes()[:-2000])
    message = r"2 images cannot be read:\n  .*1\.jpg.*\n  .*3\.jpg"
    with pytest.raises(InputError, match=message):
        plan_dataset(str(root), tmp_path / "plan", SAMPLING, SPLIT, seed=0)
    assert not (tmp_path / "plan").exists()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"val_share": 0.0}, "val_share must be 0.01 to 0.9, got 0.0"),
        ({"val_share": float("nan")}, "val_share must be 0.01 to 0.9, got nan"),
        ({"guard_seconds": -1.0}, "guard_seconds must be at least 0"),
        ({"frame_rate": 0.0}, "frame_rate must be at least 0.001"),
        ({"every": -1}, "every must be at least 0, got -1"),
    ],
)
def test_bad_parameters(
    parameters: dict[str, float],
    message: str,
    dataset: Path,
    tmp_path: Path,
) -> None:
    given = Parameters(**parameters)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        plan_dataset(
            str(dataset),
            tmp_path / "plan",
            given.part(SamplingSettings),
            given.part(SplitSettings),
            seed=0,
        )


@pytest.mark.parametrize(("group", "method"), [(7, "linear"), (0, "quadratic")])
def test_interpolation_refuses(run: Path, tmp_path: Path, group: int, method: str) -> None:
    with pytest.raises(InputError):
        interpolate_group("", run / "plan", group, tmp_path / "b", BoxSettings(method))  # type: ignore[arg-type]
    assert not (tmp_path / "b").exists()


def test_a_key_between_the_tasks_frames_makes_the_grid_finer(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    root.mkdir()
    write_video(root / "a.mp4", Kind(".mp4", frames=100))
    annotate(root / "a.xml", [[(f, MOVING[0][1]) for f in (0, 10, 25, 90)]], 100)
    text = (root / "a.xml").read_text()
    (root / "a.xml").write_text(
        text.replace("<stop_frame>", "<frame_filter>step=10</frame_filter><stop_frame>")
    )
    plan_dataset(str(root), tmp_path / "plan", SAMPLING, SPLIT, seed=0)
    assert read_plan(tmp_path / "plan").sources[0].step == 5


def test_several_datasets_from_folders_and_buckets(
    tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, frames in (("toys", 100), ("cups", 101)):
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "a.mp4", Kind(".mp4", frames=frames))
        annotate(tmp_path / name / "a.xml", [MOVING[:2]], frames)
    object_store.put(tmp_path / "cups", "cups")
    both = f"{tmp_path / 'toys'},minio://{BUCKET}/cups"
    plan_dataset(both, tmp_path / "plan", SAMPLING, SPLIT, seed=0)
    plan = read_plan(tmp_path / "plan")
    assert plan.dataset == "toys and cups"
    assert [source.name for source in plan.sources] == ["cups/a.mp4", "toys/a.mp4"]
    records = make_records(both, tmp_path / "plan", tmp_path, SAMPLING)
    examples = pq.read_table(records / "examples.parquet")
    assert set(examples["video"].to_pylist()) == {"cups/a.mp4", "toys/a.mp4"}


def test_messages_name_the_dataset_of_several(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "dataset0"
    other.mkdir()
    (other / "empty.mp4").touch()
    with pytest.raises(InputError) as caught:
        plan_dataset(f"{dataset},{other}", tmp_path / "plan", SAMPLING, SPLIT, seed=0)
    assert f"{other}/empty.mp4: " in str(caught.value)
    with pytest.raises(InputError, match=f"{tmp_path}/none: the dataset does not exist"):
        plan_dataset(f"{dataset},{tmp_path}/none", tmp_path / "plan", SAMPLING, SPLIT, seed=0)
