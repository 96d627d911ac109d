import numpy as np
import pytest

from kfdet.training.anchors import AnchorGrid, retina_targets, rpn_targets

GRID = AnchorGrid(96, 128, 3, 5, 2, (0.5, 1.0), 2.5)
TWO = np.array([[10, 12, 40, 50], [30, 60, 90, 120]], np.float32)


def test_anchors_are_model_gardens():
    from official.vision.ops.anchor import Anchor

    theirs = Anchor(3, 5, 2, [0.5, 1.0], 2.5, (96, 128)).multilevel_boxes
    flat = np.concatenate([level.numpy().reshape(-1, 4) for level in theirs.values()])
    np.testing.assert_allclose(GRID.boxes, flat, atol=1e-4)


@pytest.mark.parametrize(
    ("boxes", "classes", "matched", "unmatched"),
    [
        (np.zeros((0, 4), np.float32), [], 0.5, 0.5),
        (TWO, [1, 2], 0.5, 0.5),
        (TWO, [2, 1], 0.6, 0.4),
        (np.array([[1, 1, 5, 5]], np.float32), [3], 0.5, 0.5),
        (np.array([[0, 0, 96, 128]], np.float32), [1], 0.5, 0.3),
    ],
    ids=["empty", "two", "ignore band", "tiny, forced", "whole image"],
)
def test_targets_are_model_gardens(boxes, classes, matched, unmatched):
    import tensorflow as tf
    from official.vision.ops.anchor import Anchor, AnchorLabeler

    anchors = Anchor(3, 5, 2, [0.5, 1.0], 2.5, (96, 128)).multilevel_boxes
    labeler = AnchorLabeler(match_threshold=matched, unmatched_threshold=unmatched)
    theirs = labeler.label_anchors(
        anchors, tf.constant(boxes), tf.constant(classes, tf.int32, shape=(len(classes), 1))
    )
    ours = retina_targets(GRID, boxes, np.array(classes, np.int32), matched, unmatched)

    def flat(levels, depth):
        return np.concatenate([v.numpy().reshape(-1, depth) for v in levels.values()])

    np.testing.assert_array_equal(ours.classes, flat(theirs[0], 1)[:, 0])
    np.testing.assert_array_equal(ours.class_weights, theirs[3].numpy())
    np.testing.assert_array_equal(ours.box_weights, theirs[4].numpy())
    positive = ours.box_weights > 0
    np.testing.assert_allclose(ours.offsets[positive], flat(theirs[1], 4)[positive], atol=1e-4)


@pytest.mark.parametrize("boxes", [np.zeros((0, 4), np.float32), TWO], ids=["empty", "two"])
def test_rpn_targets_sample_a_batch(boxes):
    targets = rpn_targets(GRID, boxes, np.random.default_rng(0), batch=64)
    assert (targets.scores >= 0).sum() == 64
    assert (targets.scores == 1).sum() <= 32
    assert ((targets.scores == 1).sum() > 0) == bool(len(boxes))
    assert not targets.offsets[targets.scores != 1].any()
