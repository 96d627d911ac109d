import numpy as np
import pytest

from kfdet.training.anchors import (
    AnchorGrid,
    RetinaTargets,
    anchors_within,
    overlaps,
    retina_targets,
    rpn_targets,
)

GRID = AnchorGrid(96, 128, 3, 5, 2, (0.5, 1.0), 2.5)
OTHER = np.array([[12, 10, 44, 48]], np.float32)
TWO = np.array([[10, 12, 40, 50], [30, 60, 90, 120]], np.float32)


def test_anchors_are_model_gardens():
    from official.vision.ops.anchor import Anchor

    theirs = Anchor(3, 5, 2, [0.5, 1.0], 2.5, (96, 128)).multilevel_boxes
    flat = np.concatenate([level.numpy().reshape(-1, 4) for level in theirs.values()])
    np.testing.assert_allclose(GRID.boxes, flat, atol=1e-4)


@pytest.mark.parametrize(
    ("boxes", "classes"),
    [
        (np.zeros((0, 4), np.float32), []),
        (TWO, [1, 2]),
        (TWO[[0, 0]], [2, 1]),
        (np.array([[1, 1, 5, 5]], np.float32), [3]),
        (np.array([[0, 0, 96, 128]], np.float32), [1]),
    ],
    ids=["empty", "two", "the same box twice", "tiny, forced", "whole image"],
)
def test_targets_are_model_gardens(boxes, classes):
    import tensorflow as tf
    from official.vision.ops.anchor import Anchor, AnchorLabeler

    anchors = Anchor(3, 5, 2, [0.5, 1.0], 2.5, (96, 128)).multilevel_boxes
    theirs = AnchorLabeler().label_anchors(
        anchors, tf.constant(boxes), tf.constant(classes, tf.int32, shape=(len(classes), 1))
    )
    # Beside another picture's boxes, which must not matter.
    both = np.concatenate([OTHER, boxes])
    pictures = np.repeat([0, 1], [len(OTHER), len(boxes)])
    batch = retina_targets(GRID, both, np.array([7, *classes], np.int32), pictures)
    own = batch.where[:, 0] == 1
    ours = RetinaTargets(*(values[own] for values in batch))

    def flat(levels, depth):
        return np.concatenate([v.numpy().reshape(-1, depth) for v in levels.values()])

    np.testing.assert_array_equal(ours.where[:, 1], np.flatnonzero(theirs[4].numpy() > 0))
    np.testing.assert_array_equal(ours.classes, flat(theirs[0], 1)[ours.where[:, 1], 0])
    np.testing.assert_allclose(ours.offsets, flat(theirs[1], 4)[ours.where[:, 1]], atol=1e-4)
    assert (theirs[3].numpy() == 1).all(), "no anchor is ignored"


def test_a_box_out_of_reach_has_no_anchor():
    away = np.array([[200, 200, 220, 220]], np.float32)
    assert not len(retina_targets(GRID, away, np.array([1], np.int32), np.array([0])).where)


def test_overlaps_are_intersection_over_union():
    ours = overlaps(GRID, TWO)
    for box, row in zip(TWO, ours, strict=True):
        inner = np.minimum(GRID.boxes[:, 2:], box[2:]) - np.maximum(GRID.boxes[:, :2], box[:2])
        common = np.maximum(inner, 0).prod(axis=1)
        areas = (GRID.boxes[:, 2:] - GRID.boxes[:, :2]).prod(axis=1)
        union = areas + (box[2:] - box[:2]).prod() - common
        np.testing.assert_allclose(row, common / union, atol=1e-5)


@pytest.mark.parametrize("boxes", [np.zeros((0, 4), np.float32), TWO], ids=["empty", "two"])
def test_rpn_targets_sample_a_batch(boxes):
    targets = rpn_targets(GRID, boxes, np.random.default_rng(0), batch=64)
    assert (targets.scores >= 0).sum() == 64
    assert (targets.scores == 1).sum() <= 32
    assert ((targets.scores == 1).sum() > 0) == bool(len(boxes))
    assert not targets.offsets[targets.scores != 1].any()


def test_anchors_within_regions():
    assert len(anchors_within(GRID, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))) == 0
    whole = np.array([[0, 0, 96, 128]], np.float32)
    part = np.array([[20, 30, 60, 90]], np.float32)
    pictures = np.array([1, 0])
    found = anchors_within(GRID, np.concatenate([part, whole]), pictures)
    top, left = np.maximum(GRID.boxes[:, :2], part[0, :2]).T
    bottom, right = np.minimum(GRID.boxes[:, 2:], part[0, 2:]).T
    common = np.clip(bottom - top, 0, None) * np.clip(right - left, 0, None)
    share = common / (GRID.boxes[:, 2:] - GRID.boxes[:, :2]).prod(axis=1)
    assert found[found[:, 0] == 1, 1].tolist() == np.flatnonzero(share >= 0.5).tolist()
    assert (found[:, 0] == 0).sum() > (found[:, 0] == 1).sum() > 0


def test_no_background_within_regions():
    region = anchors_within(GRID, OTHER, np.zeros(1, np.int64))[:, 1]
    rng = np.random.default_rng(0)
    scores = [rpn_targets(GRID, TWO[1:], rng, ignored=region).scores[region] for _ in range(20)]
    assert set(np.concatenate(scores).tolist()) == {-1}
