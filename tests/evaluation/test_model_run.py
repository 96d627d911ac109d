from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import blob_detector as blobs

from kfdet.detection import Detector
from kfdet.detection.backend import Answer
from kfdet.errors import InputError, KfdetError
from kfdet.evaluation.matching import class_ids
from kfdet.evaluation.model_run import load_detector, run_model
from kfdet.records.reading import Records


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs.save_blob_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    return Records(blobs.write_blob_records(tmp_path_factory.mktemp("records")))


class SameAnswer:
    """A backend that gives the same detection for every picture."""

    place, labels, input_size = "same", tuple(blobs.LABELS), (120, 160)
    thresholds = None
    in_flight = 1

    def __init__(self, box=(0.25, 0.5, 0.75, 1.0), score=0.9) -> None:
        self.box, self.score = box, score
        self.sizes: list[int] = []

    def predict(self, pictures):
        self.sizes.append(len(pictures))
        row = {
            "detection_boxes": np.tile(np.array(self.box, np.float32), (3, 1)),
            "detection_scores": np.full(3, self.score, np.float32),
            "detection_class_names": [blobs.LABELS[0], "", ""],
            "num_detections": 1,
        }
        return Answer([row] * len(pictures), 0.25 * len(pictures))

    def close(self) -> None:
        pass


def test_boxes_are_pixels_of_the_source(model, records):
    run = run_model(records, load_detector(model, blobs.LABELS))
    first, found = run.truths[0], run.detections[0]
    # The pictures are stored at half the size: a pixel there is two of the source.
    np.testing.assert_allclose(found.boxes, first.boxes, atol=2)
    assert class_ids(found, blobs.LABELS).tolist() == first.classes.tolist() == [1, 2]
    assert found.scores[0] > found.scores[1]
    assert found.picture is None
    assert run.detections[24].boxes.shape == (0, 4)
    assert len(run.truths) == len(run.detections) == 36
    assert run.speed.ms_per_image_batch_1 > 0
    assert run.speed.model_seconds > 0
    assert run.speed.cpu


def test_batches_are_whole_and_nothing_is_lost(records):
    backend = SameAnswer()
    run = run_model(records, Detector(backend))
    assert backend.sizes[:5] == [8, 8, 8, 8, 4]
    assert set(backend.sizes[5:]) == {1, 8}
    np.testing.assert_allclose(run.detections[-1].boxes, [[160, 60, 320, 180]])
    assert run.speed.model_seconds == 9
    assert run.speed.ms_per_image_batch_1 == run.speed.ms_per_image_batch_8 == 250


def test_answers_share_their_texts(model, records):
    """Else each of the millions of detections of a large side would hold one of its own."""
    run = run_model(records, load_detector(model, blobs.LABELS), timed=False)
    texts = [label for found in run.detections for label in found.labels]
    assert len({id(text) for text in texts}) == len(set(texts)) == 2
    assert len({id(found.vocabulary) for found in run.detections}) == 1


def test_a_window_of_the_source_is_put_back(tmp_path):
    folder = blobs.write_blob_records(tmp_path, blobs.scenes()[:1])
    table = pq.read_table(folder / "examples.parquet")
    rows = [
        {**r, "xmin": 100.0, "ymin": 50.0, "xmax": 420.0, "ymax": 290.0} for r in table.to_pylist()
    ]
    pq.write_table(table.from_pylist(rows, table.schema), folder / "examples.parquet")
    run = run_model(Records(folder), Detector(SameAnswer()))
    np.testing.assert_allclose(run.detections[0].boxes, [[260, 110, 420, 230]])


@pytest.mark.parametrize("broken", [{"score": np.nan}, {"box": (0, 0, np.inf, 1)}])
def test_numbers_that_are_not_finite(records, broken):
    with pytest.raises(KfdetError, match="not finite"):
        run_model(records, Detector(SameAnswer(**broken)))


def test_other_labels(model):
    with pytest.raises(InputError, match="labels"):
        load_detector(model, ["cat"])


def test_labels_of_any_text(tmp_path):
    """Not every character that Python takes for a line's end ends a line of labels.txt."""
    labels = ["a\u2028b", "c d", "e\u2029"]
    model = blobs.save_blob_model(tmp_path, labels)
    assert load_detector(model, labels)
    assert json.loads((model / "model.json").read_text())["labels"] == labels
