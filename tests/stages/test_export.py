"""Evaluation, SavedModel and TFLite see the same objects in the same pictures."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import tensorflow as tf
from support import run_files
from tensorflow.lite.tools.flatbuffer_utils import read_model_from_bytearray

from kfdet.detection import Detector
from kfdet.detection.letterbox import decode_and_letterbox
from kfdet.detection.tflite import find_tflite
from kfdet.detection.thresholds import Thresholds
from kfdet.errors import InputError
from kfdet.evaluation.model_run import load_detector, run_model
from kfdet.evaluation.tflite import compare_tflite
from kfdet.export.module import load_module
from kfdet.export.tflite_metadata import metadata
from kfdet.parameters import ExportSettings
from kfdet.records.reading import Records
from kfdet.stages.export import export
from kfdet.stages.packaging import package


@pytest.fixture(scope="module")
def exported(trained_model: Path, square_records: Path, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("exported")
    export(
        trained_model,
        square_records,
        saved_model=root / "exported",
        tflite_models=root / "exported-tflite",
        settings=ExportSettings("float16,int8"),
    )
    metrics = run_files.metrics(per_class={"disc": run_files.FIGURES | {"threshold": 0.3}})
    (root / "metrics.json").write_text(json.dumps(metrics))
    package(
        root / "metrics.json",
        root / "exported",
        root / "exported-tflite",
        trained_model,
        square_records,
        saved_model=root / "model",
        tflite=root / "tflite",
        bundle=root / "model.zip",
    )
    return root


@pytest.fixture(scope="module")
def pictures(square_records: Path) -> list[bytes]:
    records = Records(square_records)
    ids = records.examples("val", ["source_id"])["source_id"].to_pylist()
    return [jpeg for _, jpeg in records.pictures(ids)]


@pytest.fixture(scope="module")
def served(exported: Path, pictures: list[bytes]) -> dict[str, np.ndarray]:
    model = tf.saved_model.load(str(exported / "model" / "1"))
    found = model.signatures["serving_default"](image_bytes=tf.constant(pictures))
    return {name: values.numpy() for name, values in found.items()}


def test_signature(served: dict[str, np.ndarray], pictures: list[bytes]) -> None:
    count = len(pictures)
    assert {name: (v.shape, v.dtype.name) for name, v in served.items()} == {
        "detection_boxes": ((count, 100, 4), "float32"),
        "detection_scores": ((count, 100), "float32"),
        "detection_classes": ((count, 100), "int64"),
        "detection_class_names": ((count, 100), "object"),
        "num_detections": ((count,), "int32"),
    }
    names = np.array([b"", b"disc", b"square"], object)
    np.testing.assert_array_equal(
        served["detection_class_names"], names[served["detection_classes"]]
    )
    assert (np.diff(served["detection_scores"], axis=1) <= 0).all()
    behind = np.arange(100) >= served["num_detections"][:, None]
    assert not served["detection_scores"][behind].any()
    assert served["num_detections"].sum() > 0


def test_saved_model_agrees_with_the_trained_network(
    served: dict[str, np.ndarray], trained_model: Path, pictures: list[bytes]
) -> None:
    found = load_module(trained_model).detect_bytes(tf.constant(pictures))
    for name in ("detection_boxes", "detection_scores"):
        np.testing.assert_allclose(found[name].numpy(), served[name], atol=1e-3)


def test_tflite_agrees_with_saved_model(
    served: dict[str, np.ndarray], exported: Path, pictures: list[bytes]
) -> None:
    interpreter = tf.lite.Interpreter(str(exported / "tflite" / "model.tflite"))
    run = interpreter.get_signature_runner()
    for row, encoded in enumerate(pictures):
        image, _, _ = decode_and_letterbox(tf.constant(encoded), 96, 128)
        found = run(images=image.numpy()[None])
        # at the border an unsure detection may be left out by one of them only
        sure = served["detection_scores"][row] > 0.3
        np.testing.assert_array_equal(found["detection_scores"][0] > 0.3, sure)
        np.testing.assert_allclose(
            found["detection_scores"][0][sure], served["detection_scores"][row][sure], atol=1e-3
        )
        np.testing.assert_allclose(
            np.clip(found["detection_boxes"][0][sure], 0, 1),
            served["detection_boxes"][row][sure],
            atol=1e-3,
        )
        np.testing.assert_array_equal(
            found["detection_classes"][0][sure] + 1, served["detection_classes"][row][sure]
        )


@pytest.mark.parametrize("name", ["model.tflite", "model-float16.tflite", "model-int8.tflite"])
def test_tflite_has_the_outputs_that_apps_read_by_position(name: str, exported: Path) -> None:
    interpreter = tf.lite.Interpreter(str(exported / "tflite" / name))
    (given,) = interpreter.get_input_details()
    assert (given["shape"].tolist(), given["dtype"]) == ([1, 96, 128, 3], np.uint8)
    outputs = [
        (each["name"], each["shape"].tolist(), each["dtype"])
        for each in interpreter.get_output_details()
    ]
    assert outputs == [
        ("detection_boxes", [1, 100, 4], np.float32),
        ("detection_classes", [1, 100], np.float32),
        ("detection_scores", [1, 100], np.float32),
        ("num_detections", [1], np.float32),
    ]


def test_smaller_tflite_models_see_the_same(
    exported: Path, square_records: Path, pictures: list[bytes]
) -> None:
    records = Records(square_records)
    files = find_tflite(exported / "tflite")
    labels = ["disc", "square"]
    with load_detector(exported / "model", labels) as detector:
        run = run_model(records, detector, timed=False)
    compared = compare_tflite(records, files, run, labels)
    assert list(compared) == ["float32", "float16", "int8"]
    sizes = [form["megabytes"] for form in compared.values()]
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.35 * sizes[0]
    for form, tolerance in zip(compared.values(), (0.005, 0.005, 0.05), strict=True):
        assert form["AP50"] == pytest.approx(form["AP50_saved_model"], abs=tolerance)
        assert form["pictures"] == len(pictures)
        assert form["ms_per_image"] > 0


def test_tflite_metadata(exported: Path) -> None:
    content = (exported / "tflite" / "model-int8.tflite").read_bytes()
    model = read_model_from_bytearray(bytearray(content))
    (entry,) = [each for each in model.metadata if each.name == b"TFLITE_METADATA"]
    found = bytes(model.buffers[entry.buffer].data)
    assert found == metadata("ssd_mobilenet_v3_small_fpnlite", 96, 128, 0.4)


def test_the_example_for_a_small_board_needs_neither_tensorflow_nor_kfdet(
    exported: Path, pictures: list[bytes], tmp_path: Path
) -> None:
    photo, model = tmp_path / "photo.png", str(exported / "tflite" / "model.tflite")
    large = np.zeros((200, 256, 3), np.uint8)
    large[:192] = simplejpeg.decode_jpeg(pictures[0]).repeat(2, axis=0).repeat(2, axis=1)
    photo.write_bytes(tf.io.encode_png(large).numpy())
    script = Path(__file__).parents[2] / "examples" / "4-on-a-small-board" / "detect.py"
    run_without = (
        "import runpy, sys; sys.argv = sys.argv[1:]; "
        "sys.modules |= {'tensorflow': None, 'kfdet': None}; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", run_without, str(script), model, str(photo)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    form = re.compile(rf"{re.escape(str(photo))}: (\w+) (\d+)% at (\S+), (\S+), (\S+), (\S+)")
    lines = [form.fullmatch(line) for line in said.splitlines()]
    with Detector.load(model) as detector:
        found = detector.detect(photo)
    sure = found.above(0.6)  # pictures are shrunk a little differently
    assert 0 < len(sure) <= len(lines)
    assert all(lines)
    said_boxes = [(line[1], [float(line[i]) for i in range(3, 7)]) for line in lines if line]
    for label, box in zip(sure.labels, sure.boxes, strict=True):
        near = [name for name, other in said_boxes if np.allclose(other, box, atol=5)]
        assert label in near


def test_only_what_is_wanted_is_written(
    trained_model: Path, square_records: Path, tmp_path: Path
) -> None:
    places = tmp_path / "model", tmp_path / "tflite"
    with pytest.raises(InputError, match=r"tflite must be float32, float16, int8, .* got 'int4'"):
        export(trained_model, square_records, *places, ExportSettings("int8,int4"))
    assert not any(tmp_path.iterdir())
    assert ExportSettings("int8,float16").precisions() == ("float32", "float16", "int8")
    assert ExportSettings("").precisions() == ("float32",)


def test_detectors_agree(exported: Path, pictures: list[bytes]) -> None:
    large = np.zeros((150, 400, 3), np.uint8)
    large[:96, :128] = simplejpeg.decode_jpeg(pictures[0])
    with (
        Detector.load(exported / "model", threshold=0) as saved_model,
        Detector.load(exported / "tflite" / "model.tflite", threshold=0) as tflite,
    ):
        assert saved_model.labels == tflite.labels == ("disc", "square")
        assert saved_model.input_size == tflite.input_size == (96, 128)
        assert saved_model.thresholds == tflite.thresholds == Thresholds(0.4, {"disc": 0.3})
        answers = zip(
            saved_model.detect_batch([*pictures, large]),
            tflite.detect_batch([*pictures, large]),
            strict=True,
        )
        for expected, found in answers:
            assert found.size == expected.size
            sure, also = expected.above(0.3), found.above(0.3)
            np.testing.assert_allclose(also.scores, sure.scores, atol=1e-3)
            np.testing.assert_allclose(also.boxes, sure.boxes, atol=0.5)
            assert also.labels == sure.labels


def test_evaluation_agrees_with_saved_model(
    served: dict[str, np.ndarray], exported: Path, square_records: Path
) -> None:
    detector = load_detector(exported / "model", ["disc", "square"])
    results = run_model(Records(square_records), detector)
    for row, found in enumerate(results.detections):
        count = len(found.scores)
        np.testing.assert_allclose(found.scores, served["detection_scores"][row][:count], atol=1e-3)
        pixels = served["detection_boxes"][row][:count][:, [1, 0, 3, 2]] * [128, 96, 128, 96]
        np.testing.assert_allclose(found.boxes, pixels, atol=0.2)


def test_sizes_may_differ_in_a_batch(exported: Path, pictures: list[bytes]) -> None:
    model = tf.saved_model.load(str(exported / "model" / "1"))
    image = simplejpeg.decode_jpeg(pictures[0])
    larger = np.ascontiguousarray(image.repeat(2, axis=0).repeat(2, axis=1))
    png = tf.io.encode_png(larger).numpy()
    found = model.signatures["serving_default"](image_bytes=tf.constant([pictures[0], png]))
    boxes, scores = found["detection_boxes"].numpy(), found["detection_scores"].numpy()
    assert scores[0, 0] > 0.3
    # Which of two objects scores higher may change with the size, where it is may not.
    seen_again = boxes[1][scores[1] > 0.2]
    assert np.abs(seen_again - boxes[0, 0]).max(axis=1).min() < 0.05


def test_the_zip_is_whole_and_repeatable(
    exported: Path, trained_model: Path, square_records: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(exported / "model.zip") as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        described = json.loads(archive.read("model.json"))
        extra = json.loads(archive.read("saved_model/1/assets.extra/thresholds.json"))
        tflite = archive.read("model-int8.tflite")
    assert described["labels"] == ["disc", "square"]
    assert described["thresholds"] == extra == {"overall": 0.4, "per_label": {"disc": 0.3}}
    assert {"model.tflite", "model-float16.tflite"} <= names
    assert {"README.txt", "labels.txt", "label_map.pbtxt", "saved_model/1/saved_model.pb"} <= names
    assert "checkpoint/weights.index" in names
    with zipfile.ZipFile(io.BytesIO(tflite)) as attached:
        assert attached.read("labels.txt") == b"disc\nsquare\n"
        assert json.loads(attached.read("thresholds.json")) == extra


def test_the_measured_model_answers_above_its_threshold(
    exported: Path, pictures: list[bytes]
) -> None:
    for name in ("tflite/model.tflite", "model"):
        with (
            Detector.load(exported / name) as detector,
            Detector.load(exported / name, threshold={"square": 1.0}) as discs,
            Detector.load(exported / name, threshold=0) as everything,
        ):
            found, whole = detector.detect_batch(pictures), everything.detect_batch(pictures)
            assert [f.scores.tolist() for f in found] == [
                w.scores[w.scores >= 0.4].tolist() for w in whole
            ]
            assert sum(map(len, found)) < sum(map(len, whole))
            assert {label for f in discs.detect_batch(pictures) for label in f.labels} == {"disc"}
    with Detector.load(exported / "exported") as unmeasured:
        assert unmeasured.thresholds is None
        assert len(unmeasured.detect(pictures[0])) == len(whole[0])
