"""Training batches as a pure function of seed and step: a resumed run sees what it would have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from kfdet.training.anchors import AnchorGrid, anchors_within, retina_targets, rpn_targets
from kfdet.training.augmentation import Augmentation, jittered, move_boxes, random_views, render
from kfdet.training.examples import ExampleSet

Arrays = dict[str, npt.NDArray[np.generic]]

MAX_BOXES = 100

_AHEAD = 4
"""Steps whose pictures are read before they are due, where they are not decoded yet."""

SPARSE = ("anchors", "anchor_classes", "anchor_offsets", "ignored_anchors")
"""Arrays with one row per anchor that is an object: (P, 2) picture and anchor, (P,), (P, 4); and
per anchor that is neither object nor background: (I, 2)."""


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def _aligned(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """An empty array at an address that TensorFlow takes over without a copy."""
    size = int(np.prod(shape))
    buffer = np.empty(size + 63, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size].reshape(shape)


@dataclass(frozen=True)
class BatchMaker:
    """Makes batches of one split.

    Args:
        examples: The decoded split.
        grid: The network's anchors.
        two_stage: Targets of a region proposal network instead of a single-shot detector's.
        batch_size: Images per batch.
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
        """Batch of training step `step` (from 0): every example once per epoch, in random order."""
        self.examples.request(self._order_of(step, step + _AHEAD))
        indices = self._order_of(step, step + 1)
        return self._batch(indices, np.random.default_rng([self.seed, 1, step]))

    def _order_of(self, first: int, stop: int) -> list[int]:
        """The examples of some steps."""
        count = len(self.examples)
        positions = range(first * self.batch_size, stop * self.batch_size)
        return [int(_order(self.seed, p // count, count)[p % count]) for p in positions]

    def validation_batch(self, start: int) -> Arrays:
        """The `batch_size` examples from `start` on as they are; after the end, the last one again.

        Batches are always full, so that every device gets work.
        """
        last = len(self.examples) - 1
        indices = [min(index, last) for index in range(start, start + self.batch_size)]
        return self._batch(indices, np.random.default_rng([self.seed, 2, start]))

    def _batch(self, indices: list[int], rng: np.random.Generator) -> Arrays:
        examples = self.examples
        images = _aligned((len(indices), *examples.images.shape[1:]))
        ranges = [examples.of(index) for index in indices]
        pictures = np.repeat(np.arange(len(indices)), [r.stop - r.start for r in ranges])
        chosen = np.concatenate([np.arange(r.start, r.stop) for r in ranges])
        if self.augmentation is None:
            boxes = examples.boxes[chosen]
            for index, image in zip(indices, images, strict=True):
                image[:] = examples.images[index]
            seen = np.arange(len(chosen))
        else:
            size = (self.grid.height, self.grid.width)
            views = random_views(self.augmentation, size, len(indices), rng)
            # Of a region every part counts, of an object only what can be recognised.
            share = np.where(examples.crowds[chosen], 0, self.augmentation.min_visible)
            boxes = examples.boxes[chosen]
            if self.augmentation.jitter:
                boxes = jittered(boxes, self.augmentation.jitter, rng)
            boxes, seen = move_boxes(boxes, pictures, views, share)
            for row, index in enumerate(indices):
                render(examples.images[index], views, row, images[row])
        pictures, chosen = pictures[seen], chosen[seen]
        region = examples.crowds[chosen]
        ignored = anchors_within(self.grid, boxes[region], pictures[region])
        boxes, pictures, classes = (
            boxes[~region],
            pictures[~region],
            examples.classes[chosen[~region]],
        )
        if self.two_stage:
            targets = self._two_stage(boxes, classes, pictures, ignored, len(indices), rng)
        else:
            one = retina_targets(self.grid, boxes, classes, pictures)
            targets = dict(zip(SPARSE, (*one, ignored), strict=True))
        return {
            "image": images,
            "source_id": examples.source_ids[indices],
            "image_info": np.stack([self._image_info(index) for index in indices]),
            **targets,
        }

    def _two_stage(
        self,
        boxes: npt.NDArray[np.float32],
        classes: npt.NDArray[np.int32],
        pictures: npt.NDArray[np.int64],
        ignored: npt.NDArray[np.int64],
        count: int,
        rng: np.random.Generator,
    ) -> Arrays:
        gt_boxes = np.full((count, MAX_BOXES, 4), -1, np.float32)
        gt_classes = np.full((count, MAX_BOXES), -1, np.int32)
        targets = []
        for row in range(count):
            own = np.flatnonzero(pictures == row)
            within = ignored[ignored[:, 0] == row, 1]
            targets.append(rpn_targets(self.grid, boxes[own], rng, ignored=within))
            own = own[:MAX_BOXES]
            gt_boxes[row, : len(own)], gt_classes[row, : len(own)] = boxes[own], classes[own]
        return {
            "rpn_scores": np.stack([one.scores for one in targets]),
            "rpn_offsets": np.stack([one.offsets for one in targets]),
            "gt_boxes": gt_boxes,
            "gt_classes": gt_classes,
        }

    def _image_info(self, index: int) -> npt.NDArray[np.float32]:
        """(4, 2): source size, input size, scale, offset, as Model Garden's evaluator reads it."""
        scale = self.examples.scales[index]
        size = self.examples.sizes[index]
        return np.array([size, size * scale, [scale, scale], [0, 0]], np.float32)
