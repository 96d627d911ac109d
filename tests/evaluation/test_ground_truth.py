from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import blob_detector as blobs
from support.record_folder import write_records

from kfdet.errors import InputError
from kfdet.evaluation.ground_truth import read_ground_truth
from kfdet.records.reading import Records


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    return Records(blobs.write_blob_records(tmp_path_factory.mktemp("records")))


def test_boxes_are_pixels_of_the_source(records):
    truths = read_ground_truth(records)
    assert len(truths) == 36
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
    (truth,) = read_ground_truth(Records(folder))
    moved = np.add(truth.boxes, (100, 50, 100, 50))
    np.testing.assert_allclose(truth.to_stored(moved)[0], (10, 20, 40, 60), atol=1e-3)
    np.testing.assert_allclose(truth.to_source(truth.to_stored(truth.boxes)), truth.boxes)


def test_no_pictures(tmp_path):
    write_records(tmp_path, [], blobs.LABELS)
    with pytest.raises(InputError, match="no validation example"):
        read_ground_truth(Records(tmp_path))


def test_to_stored(hand):
    truth = hand.truth(1, [(0, 0, 10, 10)])
    assert replace(truth, stored=(64, 48)).to_stored(truth.boxes).tolist() == [[0, 0, 1, 1]]
