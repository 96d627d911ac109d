from __future__ import annotations

import numpy as np
import pytest
from support import blob_detector as blobs

from kfdet.evaluation.ground_truth import read_ground_truth
from kfdet.evaluation.validation import Validation
from kfdet.records.reading import Records
from kfdet.training.validation import Answer


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> Validation:
    return Validation.of(Records(blobs.write_blob_records(tmp_path_factory.mktemp("records"))))


def test_without_a_detection_everything_is_missed(validation):
    nothing = Answer(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    answers = {truth.source_id: nothing for truth in validation.truths}
    assert validation(answers) == {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}


@pytest.mark.parametrize("every", [1, 3])
def test_right_answers_in_pixels_of_the_stored_picture(validation, every):
    """Pictures that were not asked do not count."""
    answers = {
        truth.source_id: Answer(truth.boxes / 2, np.full(len(truth.boxes), 0.9), truth.classes)
        for truth in validation.truths[::every]
    }
    assert validation(answers) == {"AP": 1.0, "AP50": 1.0, "AP75": 1.0}


def test_it_is_judged_on_drawn_boxes_only(tmp_path):
    """A detection that sits on the object beside its interpolated box costs nothing."""
    records = Records(blobs.write_blob_records(tmp_path, blobs.scenes()[:4], drawn_labels=[1]))
    validation = Validation.of(records)
    answers = {}
    for truth in read_ground_truth(records):
        moved = truth.boxes + np.where(truth.drawn[:, None], 0, [14, 0, 14, 0])
        answers[truth.source_id] = Answer(moved / 2, np.full(len(moved), 0.9), truth.classes)
    assert validation(answers)["AP"] == 1.0
