"""Training batches as a pure function of seed and step: a resumed run sees what it would have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from kfdet.training.anchors import AnchorGrid, retina_targets, rpn_targets
from kfdet.training.augmentation import Augmentation, augment
from kfdet.training.examples import ExampleSet

Arrays = dict[str, npt.NDArray[np.generic]]

MAX_BOXES = 100


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


@dataclass(frozen=True)
class BatchMaker:
    """Makes batches of one split.

    Args:
        examples: The decoded split.
        grid: The network's anchors.
        two_stage: Targets of a region proposal network instead of a single-shot detector's.
        batch_size: Images a batch.
        seed: Seed of order and augmentation.
        augmentation: None leaves the images as they are.
    """

    examples: ExampleSet
    grid: AnchorGrid
    two_stage: bool
    batch_size: int
    seed: int
    augmentation: Augmentation | None

    def training_batch(self, step: int) -> Arrays:
        """Batch of training step `step` (from 0): every example once an epoch, in random order."""
        count = len(self.examples)
        positions = range(step * self.batch_size, (step + 1) * self.batch_size)
        indices = [int(_order(self.seed, p // count, count)[p % count]) for p in positions]
        return self._batch(indices, [np.random.default_rng([self.seed, 1, p]) for p in positions])

    def validation_batch(self, start: int) -> Arrays:
        """The `batch_size` examples from `start` on, fewer at the end, as they are."""
        indices = list(range(start, min(start + self.batch_size, len(self.examples))))
        return self._batch(indices, [np.random.default_rng([self.seed, 2, i]) for i in indices])

    def _batch(self, indices: list[int], rngs: list[np.random.Generator]) -> Arrays:
        images = np.empty((len(indices), *self.examples.images.shape[1:]), np.uint8)
        rows = [
            self._row(index, rng, image)
            for index, rng, image in zip(indices, rngs, images, strict=True)
        ]
        batch: Arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        return {"image": images, **batch}

    def _row(self, index: int, rng: np.random.Generator, image: npt.NDArray[np.uint8]) -> Arrays:
        """Everything of one example but its picture, which is written to `image`."""
        examples = self.examples
        where = examples.of(index)
        boxes, classes = examples.boxes[where], examples.classes[where]
        if self.augmentation is None:
            image[:] = examples.images[index]
        else:
            keep = ~examples.crowds[where]
            boxes, classes = boxes[keep], classes[keep]
            view = augment(examples.images[index], boxes, self.augmentation, rng, image)
            boxes, classes = view.boxes, classes[view.kept]
        row: Arrays = {
            "source_id": examples.source_ids[index],
            "image_info": self._image_info(index),
        }
        if self.two_stage:
            rpn = rpn_targets(self.grid, boxes, rng)
            padding = [(0, MAX_BOXES - len(boxes[:MAX_BOXES]))]
            row |= {
                "rpn_scores": rpn.scores,
                "rpn_offsets": rpn.offsets,
                "gt_boxes": np.pad(boxes[:MAX_BOXES], [*padding, (0, 0)], constant_values=-1),
                "gt_classes": np.pad(classes[:MAX_BOXES], padding, constant_values=-1),
            }
        else:
            row |= retina_targets(self.grid, boxes, classes)._asdict()
        return row

    def _image_info(self, index: int) -> npt.NDArray[np.float32]:
        """(4, 2): source size, input size, scale, offset, as Model Garden's evaluator reads it."""
        scale = self.examples.scales[index]
        size = self.examples.sizes[index]
        return np.array([size, size * scale, [scale, scale], [0, 0]], np.float32)
