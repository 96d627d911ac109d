from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import blob_detector as blobs

from kfdet.errors import InputError
from kfdet.evaluation.ground_truth import (
    count_pictures,
    read_dataset,
    read_ground_truth,
    read_images,
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs.write_blob_records(tmp_path_factory.mktemp("records"))


def test_boxes_are_pixels_of_the_source(records):
    truths = [truth for _, truth in read_ground_truth(records)]
    assert len(truths) == count_pictures(records) == 36
    assert [t.frame for t in truths] == list(range(36))
    assert {t.video for t in truths} == {blobs.VIDEO}
    np.testing.assert_allclose(truths[0].boxes, [b.box for b in blobs.scenes()[0]], atol=1e-3)
    assert truths[0].classes.tolist() == [1, 2]
    assert not truths[0].crowd.any()
    assert truths[0].difficult.shape == (2,)
    assert truths[24].kind == "background"
    assert truths[24].boxes.shape == (0, 4)


def move_window(folder: Path) -> None:
    """Let the pictures be a part of their source that begins at 100, 50."""
    table = pq.read_table(folder / "examples.parquet")
    rows = [
        {**r, "xmin": 100.0, "ymin": 50.0, "xmax": 420.0, "ymax": 290.0} for r in table.to_pylist()
    ]
    pq.write_table(table.from_pylist(rows, table.schema), folder / "examples.parquet")


def test_a_window_of_the_source_is_put_back(tmp_path):
    folder = blobs.write_blob_records(tmp_path, blobs.scenes()[:1])
    move_window(folder)
    ((_, truth),) = read_ground_truth(folder)
    expected = np.add(blobs.scenes()[0][0].box, (100, 50, 100, 50))
    np.testing.assert_allclose(truth.boxes[0], expected, atol=1e-3)
    np.testing.assert_allclose(truth.to_stored(truth.boxes)[0], (10, 20, 40, 60), atol=1e-3)
    np.testing.assert_allclose(truth.to_source(truth.to_stored(truth.boxes)), truth.boxes)


def test_read_images_keeps_the_order_of_the_records(records):
    pairs = list(read_images(records, [130, 101, 103]))
    assert [source_id for source_id, _ in pairs] == [101, 103, 130]
    assert pairs[0][1] == blobs.draw(blobs.scenes()[0], 0)


def test_bad_records(tmp_path, records):
    def read(folder):
        return list(read_ground_truth(folder))

    with pytest.raises(InputError, match="index of the records"):
        read(tmp_path)
    with pytest.raises(InputError, match=r"dataset\.json"):
        read_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json"):
        read_dataset(tmp_path)
    table = pq.read_table(records / "examples.parquet")
    pq.write_table(table, tmp_path / "examples.parquet")
    with pytest.raises(InputError, match=r"no val-\*\.tfrecord"):
        read(tmp_path)
    pq.write_table(table.slice(0, 0), tmp_path / "examples.parquet")
    with pytest.raises(InputError, match="nothing to measure"):
        read(tmp_path)
    other = blobs.write_blob_records(tmp_path / "other", blobs.scenes()[:2])
    pq.write_table(table.slice(1, 1), other / "examples.parquet")
    with pytest.raises(InputError, match=r"101 is not in examples\.parquet"):
        read(other)


def test_to_stored(hand):
    truth = hand.truth(1, [(0, 0, 10, 10)])
    assert replace(truth, stored=(64, 48)).to_stored(truth.boxes).tolist() == [[0, 0, 1, 1]]
