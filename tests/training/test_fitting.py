import numpy as np
import pytest

from kfdet.training.fitting import AnchorShapes, fit_anchors, fit_input_size

PHONE = np.tile([[1080.0, 1920.0]], (5, 1))


@pytest.mark.parametrize(
    ("images", "boxes", "expected"),
    [
        (PHONE, np.zeros((0, 2)), (192, 320)),
        (PHONE, np.full((9, 2), 0.5), (160, 256)),
        (PHONE, np.full((9, 2), 0.02), (256, 448)),
        (PHONE[:, ::-1], np.full((9, 2), 0.02), (448, 256)),
        (np.array([[64.0, 64.0]]), np.full((9, 2), 0.02), (64, 64)),
    ],
    ids=["empty", "large objects", "small objects", "upright phone", "tiny images"],
)
def test_input_size(images, boxes, expected):
    size = fit_input_size(images, boxes, min_pixels=160 * 256, max_pixels=288 * 384, multiple=32)
    assert size == expected


@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])
def test_anchors_follow_the_boxes(ratio):
    rng = np.random.default_rng(0)
    side = rng.uniform(16, 60, 200)
    boxes = np.stack([side * ratio**-0.5, side * ratio**0.5], axis=1)
    fit = fit_anchors(boxes, 288, 384, min_level=3, max_level=5)
    assert fit.mean_iou > 0.8
    assert min(abs(np.log(r / ratio)) for r in fit.aspect_ratios) < 0.1


def test_no_boxes_give_generic_anchors():
    fit = fit_anchors(np.zeros((0, 2)), 288, 384, min_level=3, max_level=5)
    assert fit.aspect_ratios == (0.5, 1.0, 2.0)


@pytest.mark.parametrize(
    ("trained", "kept"), [((2, (0.75,), 3.0), True), ((1, (8.0,), 5.0), False)]
)
def test_trained_anchors_stay_where_they_cover_the_boxes(trained, kept):
    """The head knows them; anchors for another kind of object are of no use."""
    side = np.random.default_rng(0).uniform(24, 60, 200)
    boxes = np.stack([side * 1.2, side * 0.8], axis=1)
    shapes = AnchorShapes(*trained)
    fit = fit_anchors(boxes, 288, 384, min_level=3, max_level=5, trained=shapes)
    assert ((fit.num_scales, fit.aspect_ratios, fit.anchor_size) == shapes) is kept
    assert fit.mean_iou > 0.75
