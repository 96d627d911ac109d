"""Training for real, on tiny records."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from support.patience import wait_until

from kfdet.detection.drawing import PALETTE, palette
from kfdet.errors import InputError, KfdetError
from kfdet.evaluation.validation import Validation
from kfdet.events import listening
from kfdet.parameters import TrainingSettings, parse_input_size
from kfdet.records.reading import Records
from kfdet.training import trainer
from kfdet.training.checkpoints import is_whole
from kfdet.training.history import History, read_history
from kfdet.training.networks import NETWORKS
from kfdet.training.run import _read, train_detector
from kfdet.training.settings import fitted_steps

V3 = "ssd_mobilenet_v3_small_fpnlite"


def train(
    records: Path, root: Path, earlier: Sequence[str] = (), seed: int = 0, **settings: object
) -> History:
    model = root / "model"
    model.mkdir(parents=True)
    (root / "scratch").mkdir()
    wanted = {
        "pretrained": "none",
        "network": V3,
        "input_size": "96x128",
        "batch_size": 4,
        **settings,
    }
    opened = Records(records)
    train_detector(
        opened,
        model,
        TrainingSettings(**wanted),  # type: ignore[arg-type]
        seed,
        "digest",
        root / "checkpoints",
        root / "tensorboard",
        root / "scratch",
        gpus=0,
        validate=Validation.of(opened),
        earlier=earlier,
    )
    return read_history(model)


def test_it_learns(trained_model: Path) -> None:
    history = read_history(trained_model)
    best = history.best()
    assert best is not None
    assert best["AP50"] > 0.5
    assert history.loss[-1] < history.loss[0] / 2
    assert (trained_model.parent / "tensorboard").is_dir()


def test_the_model_says_what_made_it(trained_model: Path) -> None:
    described = json.loads((trained_model / "model.json").read_text())
    assert described["labels"] == ["disc", "square"]
    assert (described["height"], described["width"]) == (96, 128)
    assert set(described["versions"]) == {"kfdet", "tensorflow", "tf-models-official"}


def test_killed_training_continues_and_ends_alike(square_records: Path, tmp_path: Path) -> None:
    """kill -9 after the first checkpoint; the second part sees the data that the first would.

    Whether pictures are kept decoded or not does not matter.
    """
    script = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[3:];"
        "from test_run import train;"
        "train(Path(sys.argv[1]), Path(sys.argv[2]), steps=20, cache_gb=1e-6)"
    )
    killed = tmp_path / "killed"
    places = [str(folder) for folder in Path(__file__).parents[:2]]
    command = [sys.executable, "-c", script, str(square_records), str(killed), *places]
    with subprocess.Popen(command, start_new_session=True) as process:
        wait_until((killed / "checkpoints" / "checkpoint").exists, process)
        os.killpg(process.pid, signal.SIGKILL)
    first = read_history(killed / "checkpoints")
    assert 20 not in first.steps
    (killed / "model").rmdir()
    for file in (killed / "scratch").iterdir():
        file.unlink()
    (killed / "scratch").rmdir()
    resumed = train(square_records, killed, steps=20, cache_gb=1e-6)
    assert not list((killed / "scratch").iterdir()), "nothing was kept decoded"
    whole = train(square_records, tmp_path / "whole", steps=20)
    assert resumed.steps == whole.steps
    assert [v["step"] for v in resumed.val] == [v["step"] for v in whole.val]
    np.testing.assert_allclose(resumed.loss, whole.loss, rtol=0.05)


def test_best_weights_that_are_gone_are_found_anew(
    square_records: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After the last step, where nothing else would be validated any more."""
    first = train(square_records, tmp_path, steps=20)
    for folder in ("model", "scratch", "checkpoints/best"):
        shutil.rmtree(tmp_path / folder)
    again = train(square_records, tmp_path, steps=20)
    assert "best weights so far are damaged" in caplog.text
    assert [each["step"] for each in again.val] == [20]
    assert again.steps == first.steps
    assert is_whole(tmp_path / "model" / "weights")


def test_best_weights_of_a_step_that_is_lost_do_not_count(
    square_records: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else they would be those of the best step before, as the model describes them."""
    train(square_records, tmp_path, steps=20)
    checkpoints = tmp_path / "checkpoints"
    history = read_history(checkpoints)
    history.val[-1]["AP"], history.seconds = 1.0, 100.0
    history.write(checkpoints)
    (checkpoints / "ckpt-20.index").write_bytes(b"")
    for folder in ("model", "scratch"):
        shutil.rmtree(tmp_path / folder)
    again = train(square_records, tmp_path, steps=20, deadline="1s")
    assert "best weights so far are of a later step" in caplog.text
    assert [each["step"] for each in again.val] == [16]
    assert json.loads((tmp_path / "model" / "model.json").read_text())["step"] == 16


def test_a_history_that_does_not_tell_what_was_fitted(square_records: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    checkpoint = tf.train.Checkpoint(value=tf.Variable(1.0))
    tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=2).save(checkpoint_number=5)
    with pytest.raises(InputError, match=r"history\.json: does not tell the anchors"):
        train(square_records, tmp_path, steps=20)


@pytest.mark.slow
def test_more_steps_continue_the_shorter_training(
    square_records: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="kfdet")
    shorter = train(square_records, tmp_path / "shorter", steps=10)
    checkpoints = str(tmp_path / "shorter" / "checkpoints")
    longer = train(square_records, tmp_path / "longer", [checkpoints], steps=20)
    assert "continues at step 10 of 20" in caplog.text
    assert longer.continued_from == 10
    taken = len(shorter.steps)
    assert (longer.steps[:taken], longer.loss[:taken]) == (shorter.steps, shorter.loss)
    assert longer.steps[-1] == longer.val[-1]["step"] == 20
    assert longer.seconds > shorter.seconds
    # a cosine over 20 steps, not what is left of the one over 10
    assert longer.learning_rate[taken] > 5 * shorter.learning_rate[-1]
    untouched = read_history(tmp_path / "shorter" / "checkpoints")
    assert untouched.steps == shorter.steps


def test_what_does_not_fit_is_named(
    square_records: Path, trained_model: Path, tmp_path: Path
) -> None:
    overrides = "task: {model: {head: {num_filters: 32}}}"
    events: list[dict[str, Any]] = []
    start = {"pretrained": str(trained_model), "overrides": overrides}
    with listening(events.append):
        train(square_records, tmp_path, steps=1, **start)
    warnings, infos = (
        " ".join(event["message"] for event in events if event["event"] == kind)
        for kind in ("warning", "info")
    )
    assert "head do not fit and start from random weights" in warnings
    assert re.search(r"starting from .*: backbone, decoder", infos)


@pytest.mark.parametrize(("freeze", "changed"), [("backbone", "decoder"), ("decoder", "head")])
def test_an_earlier_detector_learns_a_label_more(
    freeze: str,
    changed: str,
    square_records: Path,
    trained_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is frozen stays as it was, statistics included; the rest goes on from there."""
    weights: list[dict[str, Any]] = []

    def watched(run: Any, history: History, strategy: Any) -> None:
        models = []

        def initialize(model: Any) -> dict[str, Any]:
            record: dict[str, Any] = run.initialize(model)
            models.append(model)
            weights.append(values(model))
            return record

        trainer.train(replace(run, initialize=initialize), history, strategy)
        weights.append(values(models[0]))

    def values(model: Any) -> dict[str, Any]:
        return {n: part.get_weights() for n, part in model.checkpoint_items.items()}

    monkeypatch.setattr("kfdet.training.run.train_run", watched)
    records = tmp_path / "records"
    shutil.copytree(square_records, records)
    statistics = json.loads((records / "dataset.json").read_text())
    statistics["labels"] = ["circle", *statistics["labels"]]
    (records / "dataset.json").write_text(json.dumps(statistics))
    start = {"pretrained": str(trained_model), "freeze": freeze}
    history = train(records, tmp_path / "run", steps=3, **start)
    before, after = weights
    same = {
        name: all(np.array_equal(a, b) for a, b in zip(before[name], after[name], strict=True))
        for name in before
    }
    assert same == {"backbone": True, "decoder": freeze == "decoder", "head": False}
    assert not same[changed]
    assert history.start["labels"] == ["disc", "square"]
    assert history.start["parts"] == ["backbone", "head", "decoder"]
    scratch = read_history(trained_model)
    assert scratch.start == {"pretrained": "none"}
    for name in ("num_scales", "aspect_ratios", "anchor_size"):
        assert history.parameters[name] == scratch.parameters[name]
    described = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert described["start"] == history.start


def test_divergence_is_explained(square_records: Path, tmp_path: Path) -> None:
    overrides = "trainer: {optimizer_config: {optimizer: {adam: {global_clipnorm: null}}}}"
    with pytest.raises(KfdetError, match=r"diverged.*lower learning rate"):
        train(square_records, tmp_path, steps=60, learning_rate=1e30, overrides=overrides)
    assert not (tmp_path / "model" / "model.json").exists()


def test_what_a_killed_attempt_kept_decoded_does_not_count_against_the_disk(
    square_records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 5_000_000

    def usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=room - sum(p.stat().st_size for p in folder.glob("*.npy")))

    monkeypatch.setattr("kfdet.training.run.shutil.disk_usage", usage)
    records = Records(square_records)
    for _ in range(2):
        data = _read(records, 96, 128, tmp_path, cache_gb=0.0045)
        assert isinstance(data.training.images, np.ndarray)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "yolo"}, "Choose one of: ssd_mobilenet_v2_fpnlite"),
        ({"input_size": "wide"}, 'Write for example "288x384"'),
        ({"input_size": "100x130"}, 'Try "96x128"'),
        ({"overrides": "task: {modle: {}}"}, "modle"),
        ({"overrides": "- a list"}, "not a mapping"),
        ({"pretrained": "nowhere"}, "holds no checkpoint"),
        ({"cache_gb": 99_999.0}, "cache_gb is 99999, but only"),
    ],
)
def test_bad_settings(
    settings: dict[str, Any], message: str, square_records: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        train(square_records, tmp_path, steps=1, **settings)


def test_validation_has_progress_of_its_own(square_records: Path, tmp_path: Path) -> None:
    """Seconds to minutes, in which the count of steps stands still."""
    events: list[dict[str, Any]] = []
    with listening(events.append):
        train(square_records, tmp_path, steps=2)
    counts: dict[str, list[tuple[int, int]]] = {}
    for event in events:
        if event["event"] == "progress":
            counts.setdefault(event["task"], []).append((event["done"], event["total"]))
    assert counts["training"][0] == (0, 2), "the total is known before the first step"
    assert counts["training"][-1] == (2, 2)
    done, total = counts["validation"][-1]
    assert done == total > 0


@pytest.mark.slow
@pytest.mark.parametrize("network", ["faster_rcnn_resnet50", "spinenet49_mobile"])
def test_every_network_trains(network: str, square_records: Path, tmp_path: Path) -> None:
    multiple = 2 ** NETWORKS[network].levels[1]
    size = f"{multiple}x{multiple}"
    history = train(
        square_records, tmp_path, network=network, input_size=size, steps=1, batch_size=1
    )
    assert history.steps == [1]
    assert np.isfinite(history.loss[0])


@pytest.mark.parametrize(
    ("examples", "gpu", "steps"),
    [(0, False, 300), (606, False, 378), (10**6, False, 600), (0, True, 1500)],
)
def test_steps_follow_the_dataset(examples: int, gpu: bool, steps: int) -> None:
    assert fitted_steps(examples, 8, gpu) == steps


def test_input_size_is_height_first() -> None:
    assert parse_input_size("96x128") == (96, 128)


def test_pictures_of_the_training_use_the_colour_of_each_label(trained_model: Path) -> None:
    """The same colours as in the report, whatever the labels are called."""
    records = [
        tf.compat.v1.Event.FromString(record)
        for path in sorted((trained_model.parent / "tensorboard").rglob("*.tfevents.*"))
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    values = [v for event in records for v in event.summary.value if v.tag == "detections"]
    (_, _, *pngs) = tf.make_ndarray(values[-1].tensor)
    pixels = np.concatenate([tf.io.decode_png(png).numpy().reshape(-1, 3) for png in pngs])
    shown = {color for color in PALETTE if (pixels == color).all(axis=1).sum() > 20}
    assert shown
    assert shown <= set(palette(["disc", "square"]).values())
