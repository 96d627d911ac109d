from __future__ import annotations

import pytest

from kfdet.detection import Detector
from kfdet.errors import InputError


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Detector.load(tmp_path / "model.tflite")


def test_another_file(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"no labels attached")
    with pytest.raises(InputError, match="not a TFLite model of kfdet"):
        Detector.load(path)
