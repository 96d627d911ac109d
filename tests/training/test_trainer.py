"""Training on several devices: two logical CPUs of one process in place of two GPUs."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)

from kfdet.evaluation.validation import Validation
from kfdet.parameters import TrainingSettings
from kfdet.training.run import train_detector

tf.distribute.OneDeviceStrategy = lambda _: tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
records, root = map(Path, sys.argv[1:])
(root / "model").mkdir()
settings = TrainingSettings(pretrained="none", input_size="96x128", steps=4, batch_size=4)
folders = [root / name for name in ("checkpoints", "tensorboard", "scratch")]
folders[2].mkdir()
validate = Validation.of(records)
train_detector(records, root / "model", settings, 0, "digest", *folders, 0, validate)
"""


@pytest.mark.slow
def test_training_and_validation_on_two_devices(square_records, tmp_path):
    subprocess.run([sys.executable, "-c", PROGRAM, square_records, tmp_path], check=True)
    history = json.loads((tmp_path / "model" / "history.json").read_text())
    assert history["steps"][-1] == 4
    assert history["val"][-1]["step"] == 4
