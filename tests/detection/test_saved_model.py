from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import blob_detector as blobs

from kfdet.detection import Detector
from kfdet.detection.saved_model import find_saved_model
from kfdet.errors import InputError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs.save_blob_model(tmp_path_factory.mktemp("run") / "model")


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ([""], ""),
        (["1"], "1"),
        (["2", "10", "9"], "10"),
        (["model/1"], "model/1"),
        (["saved_model/1", "checkpoint"], "saved_model/1"),
    ],
)
def test_the_highest_version_is_taken(tmp_path, folders, expected):
    for folder in folders:
        (tmp_path / folder).mkdir(exist_ok=True, parents=True)
        (tmp_path / folder / "saved_model.pb").touch()
    assert find_saved_model(tmp_path) == tmp_path / expected


def test_no_model(tmp_path):
    with pytest.raises(InputError, match="no SavedModel"):
        Detector.load(tmp_path)


def test_a_broken_model(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"cut off")
    with pytest.raises(InputError, match="cannot be loaded"):
        Detector.load(tmp_path)


@pytest.mark.parametrize("place", [".", "1", ".."])
def test_folder_version_and_run(model, place):
    with Detector.load(model / place) as detector:
        assert detector.labels == tuple(blobs.LABELS)
        found = detector.detect(blobs.draw(blobs.scenes()[0], 0))
    assert set(found.labels) == {"red", "green"}
    assert found.size == blobs.STORED
    assert found.model_seconds > 0


def test_array_file_and_bytes_are_the_same(model, tmp_path):
    from PIL import Image

    scene = blobs.draw(blobs.scenes()[0], 0)
    path = tmp_path / "photo.jpg"
    path.write_bytes(scene)
    array = np.array(Image.open(path))
    with Detector.load(model) as detector:
        answers = detector.detect_batch([scene, path, str(path), array])
        assert detector.detect_batch([]) == []
    for found in answers:
        np.testing.assert_allclose(found.boxes, answers[0].boxes, atol=1)
        assert found.labels == answers[0].labels


def test_a_broken_picture(model):
    with Detector.load(model) as detector, pytest.raises(InputError, match="cannot be decoded"):
        detector.detect(blobs.draw(blobs.scenes()[0], 0)[:400])


def test_other_signature(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.run = tf.function(
        lambda image_bytes: {"text": image_bytes},
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.run})
    with pytest.raises(InputError, match="serving_default"):
        Detector.load(tmp_path)
