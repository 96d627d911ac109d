from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf
from support.object_store import BUCKET, ObjectStore

from kfdet.events import listening
from kfdet.parameters import TrainingSettings
from kfdet.training import resuming
from kfdet.training.checkpoints import latest_step
from kfdet.training.history import History, read_history
from kfdet.training.resuming import earlier_runs, run_name, take_over

SETTINGS = TrainingSettings(network="ssd_resnet50_fpn", input_size="96x128", steps=300)


def write_run(folder: Path, step: int, total: int) -> None:
    """A checkpoint folder that stands at `step` of `total`."""
    checkpoint = tf.train.Checkpoint(value=tf.Variable(float(step)))
    manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=2)
    manager.save(checkpoint_number=step)
    checkpoint.write(str(folder / "best" / "weights"))
    History(steps=[step], loss=[1.0], parameters={"steps": total}).write(folder)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"steps": 600}, True),
        ({"steps": 0}, True),
        ({"steps": 600, "early_stop": 0}, True),
        ({"learning_rate": 0.1}, False),
        ({"overrides": "task: {}"}, False),
    ],
)
def test_a_longer_training_finds_the_shorter_one(change, same, tmp_path):
    name = run_name(SETTINGS, 0, "digest", 0)
    write_run(tmp_path / name, 300, 300)
    other = run_name(replace(SETTINGS, **change), 0, "digest", 0)
    assert other != name
    assert earlier_runs(str(tmp_path), other) == ([str(tmp_path / name)] if same else [])


def test_names_are_readable():
    assert run_name(SETTINGS, 0, "digest", 0).startswith("ssd_resnet50_fpn-96x128-300-steps-")
    other = replace(SETTINGS, batch_size=4, learning_rate=0.01, steps=0, input_size="")
    assert run_name(other, 2, "digest", 0).startswith(
        "ssd_resnet50_fpn-batch-4-rate-0.01-seed-2-fitted-steps-"
    )
    assert run_name(SETTINGS, 0, "other", 0) != run_name(SETTINGS, 0, "digest", 0)
    assert run_name(SETTINGS, 0, "digest", 1) != run_name(SETTINGS, 0, "digest", 0)
    assert run_name(SETTINGS, 1, "digest", 0) != run_name(SETTINGS, 0, "digest", 0)
    # neither patience nor deadline changes a step: the same training goes on
    other = replace(SETTINGS, early_stop=0, deadline="6h")
    assert run_name(other, 0, "digest", 0) == run_name(SETTINGS, 0, "digest", 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRAINER", resuming.TRAINER + 1),
        ("package_versions", lambda: {"kfdet": "0.0.1"}),
    ],
)
def test_another_trainer_takes_nothing_over(name, value, tmp_path, monkeypatch):
    before = run_name(SETTINGS, 0, "digest", 0)
    write_run(tmp_path / before, 300, 300)
    monkeypatch.setattr(resuming, name, value)
    after = run_name(SETTINGS, 0, "digest", 0)
    assert after != before
    assert earlier_runs(str(tmp_path), after) == []


def test_other_weights_in_the_same_place_begin_another_training(tmp_path):
    (tmp_path / "model.zip").write_text("1")
    settings = replace(SETTINGS, pretrained=str(tmp_path))
    name = run_name(settings, 0, "digest", 0)
    assert run_name(settings, 0, "digest", 0) == name
    (tmp_path / "model.zip").write_text("2")
    assert run_name(settings, 0, "digest", 0) != name


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], 0),
        ([(300, 300)], 300),
        ([(100, 100), (300, 300), (200, 200)], 300),
        ([(600, 600)], 0),
        ([(1000, 1000)], 0),
        ([(400, 1000)], 0),  # interrupted: its rate falls more slowly
    ],
)
def test_the_longest_shorter_one_is_continued(runs, expected, tmp_path):
    for step, total in runs:
        write_run(tmp_path / str(total), step, total)
    target = tmp_path / "new"
    take_over([str(tmp_path / str(total)) for _, total in runs], target, 600)
    assert latest_step(target) == expected
    history = read_history(target)
    assert (history.steps, history.continued_from) == ([expected] * bool(expected), expected)
    if expected:
        restored = tf.Variable(0.0)
        tf.train.Checkpoint(value=restored).read(str(target / "best" / "weights"))
        assert restored.numpy() == expected


@pytest.mark.parametrize("gone", ["ckpt-300.index", "ckpt-300.*"])
def test_a_shorter_run_that_moves_on_meanwhile(gone, tmp_path):
    """Its state file, read before, names a checkpoint that it has removed by now."""
    write_run(tmp_path / "300", 300, 400)
    for part in (tmp_path / "300").glob(gone):
        part.unlink()
    warnings = []
    with listening(lambda event: warnings.append(event["message"])):
        take_over([str(tmp_path / "300")], tmp_path / "new", 600)
    assert latest_step(tmp_path / "new") == 0
    assert read_history(tmp_path / "new").continued_from == 0
    assert len(warnings) == 1


def test_a_damaged_history_of_another_training(tmp_path):
    write_run(tmp_path / "300", 300, 300)
    write_run(tmp_path / "200", 200, 200)
    (tmp_path / "300" / "history.json").write_text("{")
    warnings = []
    with listening(lambda event: warnings.append(event["message"])):
        take_over([str(tmp_path / each) for each in ("300", "200")], tmp_path / "new", 600)
    assert latest_step(tmp_path / "new") == 200
    (warning,) = warnings
    assert warning.startswith(f"{tmp_path / '300'} is not what kfdet wrote: ")
    assert warning.endswith(". This training does not continue it.")


def test_only_the_newest_checkpoint_is_copied(tmp_path):
    write_run(tmp_path / "300", 200, 400)
    write_run(tmp_path / "300", 300, 400)
    take_over([str(tmp_path / "300")], tmp_path / "new", 600)
    assert latest_step(tmp_path / "new") == 300
    assert not list((tmp_path / "new").glob("ckpt-200.*"))


def test_shorter_runs_in_a_bucket(tmp_path, object_store: ObjectStore):
    root = f"minio://{BUCKET}/checkpoints"
    write_run(tmp_path / "run", 300, 300)
    name = run_name(SETTINGS, 0, "digest", 0)
    object_store.put(tmp_path / "run", f"checkpoints/{name}")
    assert earlier_runs(root, name) == []
    longer = run_name(replace(SETTINGS, steps=600), 0, "digest", 0)
    earlier = earlier_runs(root, longer)
    assert earlier == [f"{root}/{name}"]
    write_run(tmp_path / "shortest", 200, 200)
    object_store.put(tmp_path / "shortest", "checkpoints/shortest")
    earlier.append(f"{root}/shortest")
    History(parameters={"steps": 500}).write(tmp_path / "begun")
    object_store.put(tmp_path / "begun", "checkpoints/begun")
    earlier.append(f"{root}/begun")
    take_over(earlier, tmp_path / "new", 600)
    assert latest_step(tmp_path / "new") == 300
    loaded = [line for line in object_store.log if line.startswith("GET") and "shortest/" in line]
    assert sorted(line.rpartition("/")[2] for line in loaded) == ["checkpoint", "history.json"]


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("copying", [False, True])
def test_a_shorter_run_in_a_bucket_that_moves_on_meanwhile(
    copying, gone, tmp_path, object_store: ObjectStore, monkeypatch
):
    """Between the listing and the download, of what tells how far it is or of its checkpoint."""
    write_run(tmp_path / "run", 300, 300)
    object_store.put(tmp_path / "run", "checkpoints/run")
    fetch, calls = resuming.fetch, []

    def fetch_late(*args):
        calls.append(args)
        if len(calls) == 1 + copying:
            key = f"checkpoints/run/{'ckpt-300.index' if copying else 'history.json'}"
            if gone:
                object_store.client.remove_object(BUCKET, key)
            else:
                object_store.client.put_object(BUCKET, key, io.BytesIO(b"{}"), 2)
        fetch(*args)

    monkeypatch.setattr(resuming, "fetch", fetch_late)
    warnings = []
    with listening(lambda event: warnings.append(event.get("message"))):
        take_over([f"minio://{BUCKET}/checkpoints/run"], tmp_path / "new", 600)
    assert "changes just now: this training does not continue it." in str(warnings)
    assert latest_step(tmp_path / "new") == 0
