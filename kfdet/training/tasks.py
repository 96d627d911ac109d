"""Model Garden's detection tasks, fed with batches of decoded uint8 images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import tensorflow as tf
import tf_keras
from official.vision.ops import preprocess_ops
from official.vision.tasks.maskrcnn import MaskRCNNTask
from official.vision.tasks.retinanet import RetinaNetTask

from kfdet.events import Progress
from kfdet.training.anchors import AnchorGrid
from kfdet.training.batches import SPARSE, Arrays, BatchMaker
from kfdet.training.feeding import parallel_map
from kfdet.training.validation import Judge


def normalize(images: tf.Tensor) -> tf.Tensor:
    """ImageNet mean and deviation taken out of RGB images 0..255, as Model Garden does it."""
    return preprocess_ops.normalize_image(tf.cast(images, tf.float32) / 255.0)


class _FedWithDecodedImages:
    """Takes uint8 images, a quarter of the bytes to move, and normalises them on the device."""

    progress: Progress | None = None
    """Of the validation that goes on, in pictures."""

    judge: Judge | None = None
    """What measures the answers to the validation pictures."""

    def build_metrics(self, training: bool = True) -> Any:
        """The losses; at validation the judge takes the place of Model Garden's evaluator."""
        metrics = super().build_metrics(training)  # type: ignore[misc]
        if not training and self.judge is not None:
            self.coco_metric = self.judge
        return metrics

    # No step needs its Python turned into graph operations, which would take longer than the rest
    # of its tracing.
    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def train_step(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        images, labels = inputs
        return super().train_step((normalize(images), labels), *args, **kwargs)  # type: ignore[misc]

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def validation_step(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        images, labels = inputs
        return super().validation_step((normalize(images), labels), *args, **kwargs)  # type: ignore[misc]

    def aggregate_logs(self, state: Any = None, step_outputs: Any = None) -> Any:
        """Count every example once: the last batch is filled up with repeats (see BatchMaker)."""
        if state is None:
            self._counted: set[int] = set()
        name = self.coco_metric.name
        _, predictions = step_outputs[name]  # each field a tuple, one tensor per device
        whole = {field: tf.concat(parts, axis=0) for field, parts in predictions.items()}
        new = []
        for row, source_id in enumerate(whole["source_id"].numpy().tolist()):
            if source_id not in self._counted:
                self._counted.add(source_id)
                new.append(row)
        if self.progress:
            self.progress.update(len(self._counted))
        once = {field: tf.gather(values, new) for field, values in whole.items()}
        return super().aggregate_logs(state, {**step_outputs, name: ({}, once)})  # type: ignore[misc]


class SingleShotTask(_FedWithDecodedImages, RetinaNetTask):  # type: ignore[misc]
    """RetinaNet."""

    def build_model(self) -> Any:
        """The model with all of its variables, so that they can be read, frozen and averaged."""
        model = super().build_model()
        if not model.head.built:  # Model Garden leaves that to the first step without an FPN
            model(tf_keras.Input(self.task_config.model.input_size), training=True)
        return model


class TwoStageTask(_FedWithDecodedImages, MaskRCNNTask):  # type: ignore[misc]
    """Faster R-CNN."""


def build_task(config: Any, two_stage: bool, judge: Judge | None = None) -> Any:
    """The task of an experiment configuration; `judge` measures where there is a validation."""
    task = (TwoStageTask if two_stage else SingleShotTask)(config.task)
    task.judge = judge
    return task


def training_dataset(maker: BatchMaker, first_step: int, steps: int) -> tf.data.Dataset:
    """Batches of steps `first_step` .. `steps` - 1, in order.

    Without anchors for a single-shot detector, which needs them only to decode.
    """
    dataset = tf.data.Dataset.range(first_step, steps)
    return _map(dataset, maker, maker.training_batch, decoding=False)


def validation_dataset(maker: BatchMaker) -> tf.data.Dataset:
    """One pass over the validation split."""
    dataset = tf.data.Dataset.range(0, len(maker.examples), maker.batch_size)
    return _map(dataset, maker, maker.validation_batch, decoding=True)


def _map(dataset: tf.data.Dataset, maker: BatchMaker, make: Any, *, decoding: bool) -> Any:
    sample: Arrays = maker.validation_batch(0)
    types = [tf.as_dtype(array.dtype) for array in sample.values()]
    label = _two_stage_labels if maker.two_stage else _one_stage_labels
    cv2.setNumThreads(1)  # batches run side by side; threads in each would only get in the way

    def load(index: tf.Tensor) -> Any:
        values = tf.numpy_function(
            lambda i: list(make(int(i)).values()), [index], types, stateful=False
        )
        arrays = dict(zip(sample, values, strict=True))
        for name, value in arrays.items():
            rows = None if name in SPARSE else maker.batch_size
            value.set_shape((rows, *sample[name].shape[1:]))
        common = {
            "image_info": arrays["image_info"],
            "groundtruths": {"source_id": arrays["source_id"]},
        }
        labels = label(arrays, maker.grid)
        if decoding or maker.two_stage:
            labels["anchor_boxes"] = anchor_boxes(maker.grid, maker.batch_size)
        return arrays["image"], common | labels

    return parallel_map(dataset, load, ahead=4)


def _one_stage_labels(arrays: Mapping[str, tf.Tensor], grid: AnchorGrid) -> dict[str, Any]:
    """Dense targets; one level holds all of them, because Model Garden flattens the levels."""
    shape, where = (arrays["image"].shape[0], len(grid.boxes)), arrays["anchors"]
    classes = tf.tensor_scatter_nd_update(tf.fill(shape, -1), where, arrays["anchor_classes"])
    # An anchor that is an object counts, even in a region that is not judged.
    judged = tf.tensor_scatter_nd_update(
        tf.ones(shape),
        arrays["ignored_anchors"],
        tf.zeros_like(arrays["ignored_anchors"][:, 0], tf.float32),
    )
    return {
        "cls_targets": {"all": classes},
        "box_targets": {"all": tf.scatter_nd(where, arrays["anchor_offsets"], (*shape, 4))},
        "cls_weights": tf.where(classes > 0, tf.ones(shape), judged),
        "box_weights": tf.cast(classes > 0, tf.float32),
    }


def _two_stage_labels(arrays: Mapping[str, tf.Tensor], grid: AnchorGrid) -> dict[str, Any]:
    return {
        "rpn_score_targets": _levels(arrays["rpn_scores"], grid, 1),
        "rpn_box_targets": _levels(arrays["rpn_offsets"], grid, 4),
        "gt_boxes": arrays["gt_boxes"],
        "gt_classes": arrays["gt_classes"],
        # Model Garden looks these up whether or not a metric reads them.
        "groundtruths": {
            "source_id": arrays["source_id"],
            "boxes": arrays["gt_boxes"],
            "classes": arrays["gt_classes"],
            "is_crowds": tf.zeros_like(arrays["gt_classes"]),
        },
    }


def _levels(flat: tf.Tensor, grid: AnchorGrid, depth: int) -> dict[str, tf.Tensor]:
    """(B, A) or (B, A, depth) to one (B, rows, columns, anchors * depth) per pyramid level."""
    shapes = grid.level_shapes
    parts = tf.split(flat, [r * c * a for r, c, a in shapes.values()], axis=1)
    return {
        level: tf.reshape(part, [-1, rows, columns, anchors * depth])
        for (level, (rows, columns, anchors)), part in zip(shapes.items(), parts, strict=True)
    }


def anchor_boxes(grid: AnchorGrid, batch: tf.Tensor | int) -> dict[str, tf.Tensor]:
    """The grid's anchors, repeated `batch` times, as Model Garden's models take them."""
    levels = _levels(tf.constant(grid.boxes)[None], grid, 4)
    return {level: tf.tile(boxes, [batch, 1, 1, 1]) for level, boxes in levels.items()}
