"""The trained network as one function: pictures in, boxes, scores and label names out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from official.core import exp_factory
from official.modeling import hyperparams

from kfdet.detection.letterbox import decode_and_letterbox
from kfdet.training.anchors import AnchorGrid
from kfdet.training.model_folder import (
    Description,
    read_description,
    read_experiment,
    weights_prefix,
)
from kfdet.training.tasks import anchor_boxes, build_task, normalize

Outputs = dict[str, tf.Tensor]


class ServingModule(tf.Module):  # type: ignore[misc]
    """A trained network with everything around it that a client need not know.

    Args:
        model: Model Garden's detection model with its weights.
        grid: The network's anchors.
        description: What the model is.
    """

    def __init__(self, model: Any, grid: AnchorGrid, description: Description) -> None:
        super().__init__(name="detector")
        self.model, self.grid, self.description = model, grid, description

    def detect_bytes(self, image_bytes: tf.Tensor) -> Outputs:
        """Detections in encoded images of any size.

        Args:
            image_bytes: String (N,), JPEG or PNG.

        Returns:
            detection_boxes float32 (N, 100, 4): ymin, xmin, ymax, xmax as shares of the source
            image; detection_scores float32 (N, 100), falling; detection_classes int64 (N, 100),
            from 1; detection_class_names string (N, 100); num_detections int32 (N,). Rows after
            num_detections are 0 and "".
        """
        height, width = self.description.height, self.description.width
        images, scales, sizes = tf.map_fn(
            lambda encoded: decode_and_letterbox(encoded, height, width),
            image_bytes,
            fn_output_signature=(
                tf.TensorSpec([height, width, 3], tf.uint8),
                tf.TensorSpec([], tf.float32),
                tf.TensorSpec([2], tf.int32),
            ),
        )
        found = self.detect_input(images, tf.cast(sizes, tf.float32) * scales[:, None])
        names = tf.constant(["", *self.description.labels])
        found["detection_class_names"] = tf.gather(names, found["detection_classes"])
        return found

    def detect_input(self, images: tf.Tensor, shapes: tf.Tensor) -> Outputs:
        """Detections in letterboxed images, without label names.

        Args:
            images: uint8 (N, height, width, 3), RGB 0..255.
            shapes: float32 (N, 2), height and width of the picture inside the letterbox.
        """
        found = self.model(
            normalize(images),
            image_shape=shapes,
            anchor_boxes=anchor_boxes(self.grid, tf.shape(images)[0]),
            training=False,
        )
        boxes = found["detection_boxes"] / tf.concat([shapes, shapes], axis=1)[:, None]
        count = tf.shape(boxes)[1]
        real = tf.range(count)[None] < found["num_detections"][:, None]
        return {
            "detection_boxes": tf.where(real[..., None], tf.clip_by_value(boxes, 0.0, 1.0), 0.0),
            "detection_scores": tf.where(real, found["detection_scores"], 0.0),
            "detection_classes": tf.where(real, tf.cast(found["detection_classes"], tf.int64), 0),
            "num_detections": tf.cast(found["num_detections"], tf.int32),
        }

    def raw_outputs(self, images: tf.Tensor) -> Outputs:
        """The answers of a single-shot detector for every anchor, before any is left out.

        Args:
            images: uint8 (N, height, width, 3), RGB 0..255.

        Returns:
            boxes float32 (N, A, 4): ty, tx, th, tw; scores float32 (N, A, labels).
        """
        features = self.model.backbone(normalize(images))
        if self.model.decoder:
            features = self.model.decoder(features)
        scores, boxes, _ = self.model.head(features)
        count, classes = tf.shape(images)[0], 1 + len(self.description.labels)
        levels = self.grid.level_shapes
        logits = tf.concat([tf.reshape(scores[k], [count, -1, classes]) for k in levels], axis=1)
        return {
            "boxes": tf.concat([tf.reshape(boxes[k], [count, -1, 4]) for k in levels], axis=1),
            "scores": tf.sigmoid(logits[..., 1:]),  # the first class is the background
        }


def load_module(folder: Path) -> ServingModule:
    """The module with the model that training wrote to `folder`."""
    description = read_description(folder)
    name = "fasterrcnn_resnetfpn_coco" if description.two_stage else "retinanet"
    config = exp_factory.get_exp_config(name)
    hyperparams.override_params_dict(config, read_experiment(folder), is_strict=False)
    task = build_task(config, description.two_stage)
    model = task.build_model()
    status = tf.train.Checkpoint(model=model).read(weights_prefix(folder))
    status.expect_partial()
    status.assert_existing_objects_matched()
    return ServingModule(model, AnchorGrid.of_model(config.task.model), description)
