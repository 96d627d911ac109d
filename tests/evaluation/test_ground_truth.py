from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import blob_detector as blobs

from kfdet.errors import InputError, KfdetError
from kfdet.evaluation.ground_truth import (
    find_saved_model,
    load_detector,
    read_dataset,
    read_images,
    run_model,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs.save_blob_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs.write_blob_records(tmp_path_factory.mktemp("records"))


def answer(count: int, box=(0.25, 0.5, 0.75, 1.0), score=0.9):
    """What a detector says about `count` images: the same box on each."""
    return {
        "detection_boxes": np.tile(np.array(box, np.float32), (count, 3, 1)),
        "detection_scores": np.full((count, 3), score, np.float32),
        "detection_classes": np.ones((count, 3), np.int64),
        "num_detections": np.ones(count, np.int32),
    }


def test_boxes_are_pixels_of_the_source(model, records):
    run = run_model(records, load_detector(model, blobs.LABELS))
    assert [t.source_id for t in run.truths] == [d.source_id for d in run.detections]
    assert [t.frame for t in run.truths] == list(range(36))
    assert {t.video for t in run.truths} == {blobs.VIDEO}
    first, found = run.truths[0], run.detections[0]
    np.testing.assert_allclose(first.boxes, [b.box for b in blobs.scenes()[0]], atol=1e-3)
    # The pictures are stored at half the size: a pixel there is two of the source.
    np.testing.assert_allclose(found.boxes, first.boxes, atol=2)
    assert found.classes.tolist() == first.classes.tolist() == [1, 2]
    assert found.scores[0] > found.scores[1]
    np.testing.assert_allclose(first.to_stored(first.boxes), first.boxes / 2)
    background = run.truths[24]
    assert background.kind == "background"
    assert background.boxes.shape == run.detections[24].boxes.shape == (0, 4)
    assert run.speed.ms_per_image_batch_1 > 0
    assert run.speed.cpu


def test_batches_are_whole_and_nothing_is_lost(records):
    sizes = []

    def detect(images):
        sizes.append(len(images))
        return answer(len(images))

    run = run_model(records, detect)
    assert sizes[:5] == [8, 8, 8, 8, 4]
    assert set(sizes[5:]) == {1, 8}
    np.testing.assert_allclose(run.detections[-1].boxes, [[160, 60, 320, 180]])


def test_a_window_of_the_source_is_put_back(tmp_path):
    folder = blobs.write_blob_records(tmp_path, blobs.scenes()[:1])
    table = pq.read_table(folder / "examples.parquet")
    rows = [
        {**r, "xmin": 100.0, "ymin": 50.0, "xmax": 420.0, "ymax": 290.0} for r in table.to_pylist()
    ]
    pq.write_table(table.from_pylist(rows, table.schema), folder / "examples.parquet")
    run = run_model(folder, lambda images: answer(len(images)))
    np.testing.assert_allclose(run.detections[0].boxes, [[260, 110, 420, 230]])
    expected = np.add(blobs.scenes()[0][0].box, (100, 50, 100, 50))
    np.testing.assert_allclose(run.truths[0].boxes[0], expected, atol=1e-3)


@pytest.mark.parametrize("broken", [{"score": np.nan}, {"box": (0, 0, np.inf, 1)}])
def test_numbers_that_are_not_finite(records, broken):
    with pytest.raises(KfdetError, match="not finite"):
        run_model(records, lambda images: answer(len(images), **broken))


def test_read_images_keeps_the_order_of_the_records(records):
    pairs = list(read_images(records, [130, 101, 103]))
    assert [source_id for source_id, _ in pairs] == [101, 103, 130]
    assert pairs[0][1] == blobs.draw(blobs.scenes()[0], 0)


@pytest.mark.parametrize(
    ("versions", "expected"), [([""], ""), (["1"], "1"), (["2", "10", "9"], "10")]
)
def test_the_highest_version_is_taken(tmp_path, versions, expected):
    for version in versions:
        (tmp_path / version).mkdir(exist_ok=True)
        (tmp_path / version / "saved_model.pb").touch()
    assert find_saved_model(tmp_path) == tmp_path / expected


def test_no_model(tmp_path):
    with pytest.raises(InputError, match="no SavedModel"):
        find_saved_model(tmp_path)


def test_other_labels(model):
    with pytest.raises(InputError, match="labels"):
        load_detector(model, ["cat"])


def test_other_signature(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.run = tf.function(
        lambda image_bytes: {"text": image_bytes},
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.run})
    with pytest.raises(InputError, match="serving_default"):
        load_detector(tmp_path, ["cat"])


def test_bad_records(tmp_path, records):
    with pytest.raises(InputError, match="index of the records"):
        run_model(tmp_path, lambda images: answer(len(images)))
    with pytest.raises(InputError, match=r"dataset\.json"):
        read_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json"):
        read_dataset(tmp_path)
    table = pq.read_table(records / "examples.parquet")
    pq.write_table(table, tmp_path / "examples.parquet")
    with pytest.raises(InputError, match=r"no val-\*\.tfrecord"):
        run_model(tmp_path, lambda images: answer(len(images)))
    pq.write_table(table.slice(0, 0), tmp_path / "examples.parquet")
    with pytest.raises(InputError, match="nothing to measure"):
        run_model(tmp_path, lambda images: answer(len(images)))
    other = blobs.write_blob_records(tmp_path / "other", blobs.scenes()[:2])
    pq.write_table(table.slice(1, 1), other / "examples.parquet")
    with pytest.raises(InputError, match=r"101 is not in examples\.parquet"):
        run_model(other, lambda images: answer(len(images)))


def test_labels_of_any_text(tmp_path):
    """Not every character that Python takes for a line's end ends a line of labels.txt."""
    labels = ["a\u2028b", "c d", "e\x85"]
    model = blobs.save_blob_model(tmp_path, labels)
    assert load_detector(model, labels)
    assert json.loads((model / "model.json").read_text())["labels"] == labels


def test_to_stored(hand):
    truth = hand.truth(1, [(0, 0, 10, 10)])
    assert replace(truth, stored=(64, 48)).to_stored(truth.boxes).tolist() == [[0, 0, 1, 1]]
