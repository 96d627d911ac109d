"""Training beside Model Garden's stock trainer: same records, same configuration, same process.

    python -m benchmarks.training [--data FOLDER]

The records are those of the sample dataset, or of `pets` where FOLDER has it. Input pipeline:
batches a second after the first epoch, augmentation and anchor targets included. Training step:
steps a second with each side's own input pipeline, which share the cores with the step; then those
of ours with pictures that are read and decoded anew, beside pictures that are kept decoded. Turns
alternate; the best of each side counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from official.core import base_trainer
from official.vision.tasks.retinanet import RetinaNetTask

from benchmarks.table import Row, print_table
from benchmarks.tfrecord import prepare
from kfdet.demo.sample import make_sample
from kfdet.records.reading import Records
from kfdet.stages.tfrecord_build import build_tfrecords
from kfdet.storage.shards import open_records
from kfdet.training import networks
from kfdet.training.anchors import AnchorGrid
from kfdet.training.augmentation import Augmentation
from kfdet.training.batches import BatchMaker
from kfdet.training.examples import read_examples
from kfdet.training.tasks import build_task, training_dataset

NETWORK = "ssd_mobilenet_v3_small_fpnlite"
GRID = AnchorGrid(288, 384, 3, 5, 2, (0.4, 1.0), 2.0)
BATCH, WARM_UP, BATCHES, STEPS, ROUNDS = 8, 12, 60, 12, 3
REPLICAS, BATCH_OF_REPLICA = 8, 16
EIGHT_V100 = 752.0
"""SSD320 in mixed precision: NVIDIA/DeepLearningExamples, TensorFlow/Detection/SSD/README.md, March
2019."""
REPLICAS_FLOOR = 1.0
PIPELINE_FLOOR, STEP_FLOOR, STREAMING_FLOOR = 10.0, 1.0, 0.95


def measure(data: Path | None = None) -> list[Row]:
    """Make the comparisons; `data` is the folder that holds `pets`."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        records = _records(data, root)
        config = _config(records, root / "shards*" / "train-*")
        stock = RetinaNetTask(config.task)
        with open_records(records) as opened:
            maker = _maker(opened, root, budget=1 << 40)
            return [
                _pipelines(maker, stock, config),
                _steps(maker, stock, config),
                _streamed(_maker(opened, root, budget=0), maker, config),
                _eight("kept decoded", maker, REPLICAS_FLOOR),
                _eight("decoded anew", _maker(opened, root, budget=0), 0.0),
            ]


def _maker(records: Records, root: Path, budget: int) -> BatchMaker:
    return BatchMaker(
        read_examples(records, "train", GRID.height, GRID.width, root / "train.npy", budget),
        GRID,
        two_stage=False,
        batch_size=BATCH,
        seed=0,
        augmentation=Augmentation(),
    )


def _records(data: Path | None, root: Path) -> Path:
    if data is not None and (data / "pets").is_dir():
        dataset = data / "pets"
    else:
        dataset = root / "dataset"
        make_sample(dataset)
    records = root / "records"
    build_tfrecords(
        **prepare(str(dataset), root),  # type: ignore[arg-type]
        records=records,
        all_boxes=root / "boxes.parquet",
    )
    return records


def _config(records: Path, shards: Path) -> Any:
    schedule = networks.Schedule(1000, BATCH, 1e-3, 1000)
    labels = sum("name:" in line for line in (records / "label_map.pbtxt").open())
    config = networks.experiment(networks.network(NETWORK), GRID, labels, schedule, False)
    inputs = config.task.train_data
    inputs.input_path = str(shards)
    inputs.dtype, inputs.is_training = "float32", True
    parser, ours = inputs.parser, Augmentation()
    parser.aug_rand_hflip = True
    parser.aug_scale_min, parser.aug_scale_max = ours.scale
    return config


def _pipelines(maker: BatchMaker, stock: Any, config: Any) -> Row:
    epoch = -(-len(maker.examples) // BATCH)
    ours = iter(training_dataset(maker, epoch, 1_000_000))
    theirs = iter(stock.build_inputs(config.task.train_data))
    best = _alternate(lambda: _drain(ours, BATCHES * 4), lambda: _drain(theirs, BATCHES))
    rates = best[0] * BATCHES * 4 * BATCH, best[1] * BATCHES * BATCH
    return Row(
        "input pipeline, after the first epoch / Model Garden's",
        rates[0],
        rates[1],
        "images/s",
        rates[0] / rates[1],
        PIPELINE_FLOOR,
    )


def _eight(name: str, maker: BatchMaker, floor: float) -> Row:
    """The input side of eight GPUs beside what as many of NVIDIA's V100 take."""
    whole = replace(maker, batch_size=REPLICAS * BATCH_OF_REPLICA)
    batches = iter(training_dataset(whole, 0, 1_000_000))
    next(batches)
    turns = 8
    best, _ = _alternate(lambda: _drain(batches, turns), lambda: None)
    rate = best * turns * whole.batch_size
    return Row(
        f"images for {REPLICAS} GPUs, {name} / SSD320 on as many V100",
        rate,
        EIGHT_V100,
        "images/s",
        rate / EIGHT_V100,
        floor,
    )


def _drain(batches: Iterator[Any], count: int) -> None:
    for _ in range(count):
        next(batches)


def _steps(maker: BatchMaker, stock: Any, config: Any) -> Row:
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    config.task.use_coco_metrics = False
    ours = _own_trainer(strategy, maker, config)
    theirs = _trainer(strategy, stock, config, stock.build_inputs(config.task.train_data))
    name = "training step / Model Garden's stock trainer"
    return _compared(strategy, name, ours, theirs, STEP_FLOOR)


def _streamed(streamed: BatchMaker, kept: BatchMaker, config: Any) -> Row:
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    ours, theirs = (_own_trainer(strategy, maker, config) for maker in (streamed, kept))
    name = "training step, pictures decoded anew / kept decoded"
    return _compared(strategy, name, ours, theirs, STREAMING_FLOOR)


def _compared(
    strategy: tf.distribute.Strategy,
    name: str,
    ours: base_trainer.Trainer,
    theirs: base_trainer.Trainer,
    floor: float,
) -> Row:
    with strategy.scope():
        for trainer in (ours, theirs):
            trainer.train(tf.constant(WARM_UP))
        best = _alternate(
            lambda: ours.train(tf.constant(STEPS)), lambda: theirs.train(tf.constant(STEPS))
        )
    return Row(name, best[0] * STEPS, best[1] * STEPS, "steps/s", best[0] / best[1], floor)


def _own_trainer(
    strategy: tf.distribute.Strategy, maker: BatchMaker, config: Any
) -> base_trainer.Trainer:
    task = build_task(config, two_stage=False)
    return _trainer(strategy, task, config, training_dataset(maker, 0, 1_000_000))


def _trainer(
    strategy: tf.distribute.Strategy, task: Any, config: Any, dataset: tf.data.Dataset
) -> base_trainer.Trainer:
    with strategy.scope():
        model = task.build_model()
        optimizer = task.create_optimizer(config.trainer.optimizer_config, config.runtime)
        return base_trainer.Trainer(
            config,
            task,
            model,
            optimizer,
            evaluate=False,
            train_dataset=strategy.experimental_distribute_dataset(dataset),
        )


def _alternate(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Return the best turns per second of each side."""
    best = [0.0, 0.0]
    for _ in range(ROUNDS):
        for side, turn in enumerate((ours, theirs)):
            started = time.perf_counter()
            turn()
            best[side] = max(best[side], 1 / (time.perf_counter() - started))
    return best[0], best[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None, help="folder that holds pets/")
    print_table(measure(parser.parse_args().data))


if __name__ == "__main__":
    main()
