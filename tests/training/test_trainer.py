"""Training on several devices: two logical CPUs of one process in place of two GPUs."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from kfdet.training.trainer import train_until

PROGRAM = """
import sys
from pathlib import Path
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)

from kfdet.evaluation.validation import Validation
from kfdet.parameters import TrainingSettings
from kfdet.records.reading import Records
from kfdet.training.run import train_detector

tf.distribute.OneDeviceStrategy = lambda _: tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
records, root = map(Path, sys.argv[1:])
(root / "model").mkdir()
settings = TrainingSettings(pretrained="none", input_size="96x128", steps=4, batch_size=4)
folders = [root / name for name in ("checkpoints", "tensorboard", "scratch")]
folders[2].mkdir()
records = Records(records)
validate = Validation.of(records)
train_detector(records, root / "model", settings, 0, "digest", *folders, 0, validate)
"""


@pytest.mark.slow
def test_training_and_validation_on_two_devices(square_records, tmp_path):
    subprocess.run([sys.executable, "-c", PROGRAM, square_records, tmp_path], check=True)
    history = json.loads((tmp_path / "model" / "history.json").read_text())
    assert history["steps"][-1] == 4
    assert history["val"][-1]["step"] == 4


@pytest.mark.parametrize(("end", "last"), [(9.0, 24), (0.0, 10), (2.0, 20)])
def test_a_deadline_ends_training_within_a_few_steps(end, last, monkeypatch):
    seen = []

    def train(step, checkpoint_at_completion):
        assert not checkpoint_at_completion
        seen.append(step)

    monkeypatch.setattr("kfdet.training.trainer.time.monotonic", lambda: len(seen))
    controller = SimpleNamespace(
        global_step=SimpleNamespace(numpy=lambda: 0),
        steps_per_loop=10,
        train=train,
        save_checkpoint=lambda: seen.append("saved"),
    )
    assert train_until(24, end, controller) == last
    assert seen == [*(step for step in (10, 20, 24) if step <= last), "saved"]
