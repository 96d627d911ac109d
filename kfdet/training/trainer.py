"""Model Garden's trainer in a loop that survives a kill, stops when it should, and records why."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orbit
import tensorflow as tf
from official.core import base_trainer

from kfdet.detection.drawing import draw_boxes, palette
from kfdet.errors import KfdetError
from kfdet.events import Progress, emit, warn
from kfdet.parameters import parse_deadline
from kfdet.training.batches import BatchMaker
from kfdet.training.checkpoints import latest_step
from kfdet.training.history import History
from kfdet.training.tasks import anchor_boxes, normalize, training_dataset, validation_dataset

BEST_PREFIX = "best/weights"
_SAMPLE_PICTURES = 4
_SAMPLE_SCORE = 0.3


@dataclass(frozen=True)
class Run:
    """One training run, ready to start or to continue.

    Args:
        config: Model Garden's experiment configuration.
        task: The task built from it.
        training: Batches of the training split.
        validation: Batches of the validation split.
        labels: Label names, class id 1 first.
        checkpoints: Folder of this run's checkpoints.
        tensorboard: Folder of this run's TensorBoard logs.
        early_stop: Validations without a better AP before training stops; 0 never stops.
        deadline: Longest time that training takes, with what earlier attempts took (see
            `kfdet.parameters.parse_deadline`).
        initialize: Called with the new model when there is no checkpoint to continue from; gives
            what history.json records of the start.
        frozen: Parts of the model that are not trained; their batch normalization keeps its
            statistics, too.
    """

    config: Any
    task: Any
    training: BatchMaker
    validation: BatchMaker
    labels: tuple[str, ...]
    checkpoints: Path
    tensorboard: Path
    early_stop: int
    deadline: str
    initialize: Callable[[Any], dict[str, Any]]
    frozen: tuple[str, ...] = ()


def train(run: Run, history: History, strategy: tf.distribute.Strategy) -> None:
    """Train to the last step, from the newest checkpoint on where there is one.

    The weights of the best validation stay at `BEST_PREFIX` under the checkpoint folder.

    Args:
        run: What to train.
        history: Curves so far; extended, and written beside the checkpoints.
        strategy: Where to train.

    Raises:
        KfdetError: The loss is not finite any more.
    """
    first_step = latest_step(run.checkpoints)
    history.truncate(first_step)
    # the patience and the deadline may have changed since
    history.stopped_early, history.out_of_time = "", False
    end = time.monotonic() + parse_deadline(run.deadline) - history.seconds
    if 0 < first_step < run.config.trainer.train_steps:
        emit(
            "info",
            message=f"continues at step {first_step} of {run.config.trainer.train_steps}",
        )
    with strategy.scope():
        trainer = _build_trainer(run, history, strategy, first_step)
        if first_step == 0:
            history.begin(run.checkpoints)
        controller = _build_controller(run, history, trainer, strategy)
        total, interval = run.config.trainer.train_steps, run.config.trainer.validation_interval
        step = first_step
        while True:
            if step and not history.validated(step):
                examples = len(run.validation.examples)
                run.task.progress = Progress("validation", examples, "pictures")
                run.task.progress.update(0)
                logs = controller.evaluate()
                history.val.append(
                    {"step": step} | {k: float(logs[k]) for k in ("AP", "AP50", "AP75")}
                )
                history.write(run.checkpoints)
            if run.early_stop and history.validations_without_gain() >= run.early_stop:
                highest = max(validation["AP"] for validation in history.val)
                history.stopped_early = (
                    f"AP did not rise above {highest:.3f} in {run.early_stop} validations"
                )
            if step and step < total and time.monotonic() >= end and not history.stopped_early:
                history.out_of_time = True
                history.stopped_early = f"the deadline of {run.deadline} was reached"
                warn(f"Training ends at step {step} of {total}: {history.stopped_early}.")
            if step >= total or history.stopped_early:
                break
            started = time.monotonic()
            step = train_until(min((step // interval + 1) * interval, total), end, controller)
            history.seconds += time.monotonic() - started
    history.write(run.checkpoints)


def train_until(last: int, end: float, controller: orbit.Controller) -> int:
    """Train to the step `last`, or to an earlier one where the time is over before; returns it.

    Args:
        last: The step.
        end: The time, as time.monotonic counts it.
        controller: What trains; it has a checkpoint of that step afterwards.
    """
    step = int(controller.global_step.numpy())
    while step < last:
        step = min(step + int(controller.steps_per_loop), last)
        controller.train(step, checkpoint_at_completion=False)
        if time.monotonic() >= end:
            break
    controller.save_checkpoint()
    return step


def _build_trainer(
    run: Run, history: History, strategy: tf.distribute.Strategy, first_step: int
) -> base_trainer.Trainer:
    model = run.task.build_model()
    for name in run.frozen:
        model.checkpoint_items[name].trainable = False
    optimizer = run.task.create_optimizer(run.config.trainer.optimizer_config, run.config.runtime)
    if first_step == 0:
        history.start = run.initialize(model)
    steps = run.config.trainer.train_steps
    return base_trainer.Trainer(
        run.config,
        run.task,
        model,
        optimizer,
        train_dataset=_dealt(training_dataset(run.training, first_step, steps), strategy),
        validation_dataset=_dealt(validation_dataset(run.validation), strategy),
        checkpoint_exporter=_BestCheckpoint(run, model, history),
    )


def _dealt(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """Batches for each device; one device takes them as they are, without threads in between."""
    if strategy.num_replicas_in_sync == 1:
        return dataset
    return strategy.experimental_distribute_dataset(dataset)


def _build_controller(
    run: Run, history: History, trainer: base_trainer.Trainer, strategy: tf.distribute.Strategy
) -> orbit.Controller:
    settings = run.config.trainer
    manager = tf.train.CheckpointManager(
        trainer.checkpoint,
        directory=str(run.checkpoints),
        max_to_keep=settings.max_to_keep,
        step_counter=trainer.global_step,
        checkpoint_interval=settings.checkpoint_interval,
    )
    return orbit.Controller(
        strategy=strategy,
        trainer=trainer,
        evaluator=trainer,
        global_step=trainer.global_step,
        steps_per_loop=settings.steps_per_loop,
        checkpoint_manager=manager,
        summary_dir=str(run.tensorboard / "train"),
        eval_summary_dir=str(run.tensorboard / "validation"),
        summary_interval=settings.summary_interval,
        train_actions=[_Monitor(trainer, history, run)],
    )


class _Monitor:
    """After every few steps: stop on a loss that is not finite, record it, report progress."""

    def __init__(self, trainer: base_trainer.Trainer, history: History, run: Run) -> None:
        self.trainer, self.history, self.folder = trainer, history, run.checkpoints
        self.progress = Progress("training", run.config.trainer.train_steps, "steps")
        self.progress.update(int(trainer.global_step.numpy()), "preparing the first step")
        self.last = (time.monotonic(), int(trainer.global_step.numpy()))

    def __call__(self, output: Any) -> None:
        step = int(self.trainer.global_step.numpy())
        loss = float(orbit.utils.get_value(output["training_loss"]))
        rate = float(orbit.utils.get_value(output["learning_rate"]))
        if not math.isfinite(loss):
            raise KfdetError(
                f"the training loss is {loss} at step {step}: training diverged. Start again with "
                f"a lower learning rate (it was {rate:.2g}; try a third), or check the dataset for "
                "boxes that are far too small or too large."
            )
        self.history.steps.append(step)
        self.history.loss.append(round(loss, 6))
        self.history.learning_rate.append(round(rate, 8))
        # Before the checkpoint that may follow: a killed run finds curves up to its checkpoint.
        self.history.write(self.folder)
        now = time.monotonic()
        speed = (step - self.last[1]) / max(now - self.last[0], 1e-9)
        self.last = (now, step)
        self.progress.update(step, f"loss {loss:.3f}, {speed:.1f} steps/s")


class _BestCheckpoint:
    """Called by the trainer while the averaged weights are in place (its checkpoint exporter)."""

    def __init__(self, run: Run, model: Any, history: History) -> None:
        self.run, self.model, self.history = run, model, history
        self.best_ckpt_logs: dict[str, Any] = {}

    def maybe_export_checkpoint(self, checkpoint: Any, logs: dict[str, Any], step: int) -> bool:
        """Keep the weights if this validation is the best; show sample detections."""
        ap = float(logs["AP"])
        better = self.history.is_best(ap)
        if better:
            items = getattr(self.model, "checkpoint_items", {})
            tf.train.Checkpoint(model=self.model, **items).write(
                str(self.run.checkpoints / BEST_PREFIX)
            )
        self.best_ckpt_logs = {"AP": max([ap, *(each["AP"] for each in self.history.val)])}
        self._show_samples(int(step))
        return better

    def _show_samples(self, step: int) -> None:
        examples, grid = self.run.validation.examples, self.run.validation.grid
        chosen = np.linspace(0, len(examples) - 1, _SAMPLE_PICTURES).round().astype(int)
        chosen = np.unique(chosen)
        images = np.stack([examples.images[i] for i in chosen])
        shapes = np.array([examples.sizes[i] * examples.scales[i] for i in chosen], np.float32)
        found = self.model(
            normalize(images),
            image_shape=tf.constant(shapes),
            anchor_boxes=anchor_boxes(grid, len(images)),
            training=False,
        )
        pictures = []
        for row, image in enumerate(images):
            scores = found["detection_scores"][row].numpy()
            keep = scores > _SAMPLE_SCORE
            boxes = found["detection_boxes"][row].numpy()[keep][:, [1, 0, 3, 2]]
            names = [
                self.run.labels[int(c) - 1] for c in found["detection_classes"][row].numpy()[keep]
            ]
            pictures.append(draw_boxes(image, boxes, names, scores[keep], palette(self.run.labels)))
        tf.summary.image("detections", np.stack(pictures), step=step, max_outputs=len(pictures))
