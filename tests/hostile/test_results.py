"""What models answer and what files of results hold, where it is not what kfdet writes."""

from __future__ import annotations

import json
import os
import random
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kfdet.detection.answers import read_row
from kfdet.detection.detections import Detections
from kfdet.detection.endpoint import EndpointError
from kfdet.detection.saved_model import find_saved_model, labels_of, read_thresholds
from kfdet.detection.stream import FrameDetections
from kfdet.detection.tflite import read_attached
from kfdet.errors import InputError, KfdetError
from kfdet.evaluation.results_file import Ids, read_ids, read_results
from kfdet.parameters import ScoringSettings
from kfdet.scoring.places import Folder
from kfdet.scoring.plan import Item, Plan, find_unread, plan_items
from kfdet.scoring.results import RESULT_SCHEMA, merge, to_bytes

ROW: dict[str, Any] = {
    "detection_boxes": [[0.1, 0.1, 0.5, 0.5]],
    "detection_scores": [0.5],
    "detection_class_names": ["cup"],
    "num_detections": 1,
}


@pytest.mark.parametrize(
    "change",
    [
        {"detection_boxes": [[0, 0, 1, 1e308]]},
        {"detection_boxes": [[-1e30, 0, 1, 1]]},
        {"detection_scores": [1e308]},
        {"detection_scores": [-0.5]},
        {"detection_class_names": [""]},
        {"detection_class_names": ["\ud800"]},
        {"detection_class_names": ["\x1b[2J"]},
        {"detection_class_names": ["x" * 100_000]},
    ],
)
def test_answers_that_no_detector_gives(change: dict[str, Any]) -> None:
    assert len(read_row(ROW, "it")[1]) == 1
    with pytest.raises(EndpointError, match="not valid"):
        read_row({**ROW, **change}, "it")


def written(frames: int = 3) -> bytes:
    found = Detections(np.array([[0, 0, 1, 1.0]]), ("cup",), np.array([0.5]), (9, 9))
    return to_bytes([FrameDetections("a.jpg", n, 0.0, 9, 9, found) for n in range(frames)])


def merged(folder: Path) -> int:
    (folder / "scratch").mkdir()
    item = Item("a.jpg", 1, "a.parquet", preview=False)
    return merge([item], Folder(folder), folder / "scratch")[0].frames


def table(**change: Any) -> pa.Table:
    box = {"label": "a", "score": 0.5, "xmin": 0.0, "ymin": 0.0, "xmax": 1.0, "ymax": 1.0}
    row = {"source": "a", "frame": 0, "seconds": 0.0, "width": 9, "height": 9, "detections": [box]}
    return pa.Table.from_pylist([{**row, **change}], RESULT_SCHEMA)


TABLES: dict[str, Callable[[], pa.Table]] = {
    "no frame": lambda: table(frame=None),
    "no detections": lambda: table(detections=None),
    "no detection": lambda: table(detections=[None]),
    "no label": lambda: table(detections=[{"score": 1.0}]),
    "other columns": lambda: pa.table({"a": [1]}),
    "other types": lambda: pa.table({name: ["x"] for name in RESULT_SCHEMA.names}),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_that_scoring_did_not_write(tmp_path: Path, kind: str) -> None:
    pq.write_table(TABLES[kind](), tmp_path / "a.parquet")
    with pytest.raises(KfdetError, match=r"a\.parquet: cannot be read"):
        merged(tmp_path)


@pytest.mark.parametrize("limit", ["MAX_FRAMES", "MAX_BOXES", "_MOST_BYTES"])
def test_tables_with_more_than_scoring_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    (tmp_path / "a.parquet").write_bytes(written(frames=3))
    monkeypatch.setattr(f"kfdet.scoring.results.{limit}", 2)
    with pytest.raises(KfdetError, match="more frames or detections"):
        merged(tmp_path)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_results_of_scoring(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(written())
    for _ in range(3):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    (tmp_path / "a.parquet").write_bytes(data[: rng.choice((len(data), rng.randrange(len(data))))])
    with suppress(KfdetError):
        assert merged(tmp_path) <= 3


def test_a_result_that_never_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="pipe"):
        merged(tmp_path)


def test_files_whose_names_no_result_can_have_are_named(tmp_path: Path) -> None:
    for name in (b"a.jpg", b"b\xff.jpg", b"c" * 240 + b".jpg"):
        Path(tmp_path, os.fsdecode(name)).write_bytes(b"x")
    (tmp_path / "d.jpg").symlink_to("nowhere")
    stamps = Folder(tmp_path).stamps()

    assert [i.name for i in plan_items(stamps, "", ScoringSettings())] == ["a.jpg", "d.jpg"]
    failures = find_unread(stamps, "photos")
    assert [failure.problem.partition(": ")[2] for failure in failures] == [
        "its name is not text. Rename it.",
        "its name is too long. Rename it.",
    ]
    "".join(f"{failure}" for failure in failures).encode()


@pytest.mark.parametrize(
    "content",
    [{}, dict.fromkeys(("source", "target", "labels", "settings", "items")), {"items": 1}],
)
def test_plans_of_scoring_that_are_none(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"plan\.json: (source|labels|items)"):
        Plan.read(tmp_path / "plan.json")


RESULT = {"image_id": "a", "category_id": "cup", "bbox": [0, 0, 5, 5], "score": 0.5}


@pytest.mark.parametrize(
    "change",
    [
        {"bbox": "1234"},
        {"bbox": {"1": 1, "2": 2, "3": 3, "4": 4}},
        {"bbox": [0, 0, -5, 5]},
        {"bbox": [1e308, 0, 1e308, 5]},
        {"bbox": [0, 0, 10**400, 5]},
        {"bbox": [[0], 0, 5, 5]},
        {"score": float("nan")},
        {"score": 1e300},
        {"image_id": ["a"]},
    ],
)
def test_results_of_other_detectors(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([RESULT]))
    assert len(read_results(path, Ids(), ["cup"], ["a.jpg"], []).detections) == 1
    path.write_text(json.dumps([RESULT, {**RESULT, **change}]))
    with pytest.raises(InputError, match="entry 1"):
        read_results(path, Ids(), ["cup"], ["a.jpg"], [])


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"", b"a\n\nb", b"a\x1b[2J", b"x" * 300, b"a\n" * 10_001],
    ids=["bytes", "empty", "no name", "escape code", "long", "many"],
)
def test_label_names_beside_a_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "labels.txt").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "m.tflite", "w") as attached:
        attached.writestr("labels.txt", content)
    with pytest.raises(InputError, match="no names of labels"):
        labels_of(tmp_path)
    with pytest.raises(InputError, match="not a TFLite model"):
        read_attached(tmp_path / "m.tflite")


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"overall": NaN, "per_label": {}}',
        '{"overall": "1", "per_label": {}}',
        '{"overall": 1e9, "per_label": {}}',
        '{"overall": 0.5, "per_label": {"a": -1}}',
        "[]",
    ],
    ids=["deep", "NaN", "text", "huge", "negative", "list"],
)
def test_thresholds_beside_a_model(tmp_path: Path, content: str) -> None:
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "thresholds.json").write_text(content)
    with pytest.raises(InputError, match="thresholds cannot be read"):
        read_thresholds(tmp_path)


def test_attached_files_that_never_end(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.tflite", "w", zipfile.ZIP_DEFLATED) as attached:
        attached.writestr("labels.txt", b"a\n" * (20 << 20))
    os.mkfifo(tmp_path / "p.tflite")
    for name in ("m.tflite", "p.tflite"):
        with pytest.raises(InputError):
            read_attached(tmp_path / name)


def test_a_version_is_a_decimal_number(tmp_path: Path) -> None:
    for name in ("²", "3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(b"")
    assert find_saved_model(tmp_path).name == "3"


@pytest.mark.parametrize(
    "content",
    [
        {"images": 5, "categories": 5},
        {"images": [1], "categories": []},
        {"images": [{"id": {}, "file_name": "a"}], "categories": []},
        {"images": [{}], "categories": []},
        {"images": [], "categories": [{"id": 1, "name": n} for n in "ab"]},
    ],
)
def test_ids_of_results(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError):
        read_ids([path])
    path.write_text(json.dumps({**content, "annotations": [RESULT]}))
    with pytest.raises(InputError):
        read_results(path, Ids(), ["cup"], ["a.jpg"], [])
