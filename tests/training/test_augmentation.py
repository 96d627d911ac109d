import numpy as np
import pytest

from kfdet.parameters import TrainingSettings
from kfdet.training.augmentation import (
    Augmentation,
    jittered,
    move_boxes,
    random_views,
    render,
)

STILL = Augmentation(flip=False, scale=(1, 1), shift=0, brightness=0, contrast=0, saturation=0)


def picture(boxes, height=96, width=128):
    image = np.zeros((height, width, 3), np.uint8)
    for top, left, bottom, right in boxes.astype(int):
        image[top:bottom, left:right] = 255
    return image


def augment(image, boxes, settings, seed):
    views = random_views(settings, image.shape[:2], 3, np.random.default_rng(seed))
    out = np.empty_like(image)
    render(image, views, 1, out)
    pictures = np.ones(len(boxes), np.int64)
    return out, *move_boxes(boxes, pictures, views, settings.min_visible)


@pytest.mark.parametrize(
    "boxes", [np.zeros((0, 4), np.float32), np.array([[8, 16, 40, 64]], np.float32)]
)
def test_no_augmentation_changes_nothing(boxes):
    image = picture(boxes)
    view, moved, _ = augment(image, boxes, STILL, 0)
    np.testing.assert_array_equal(view, image)
    np.testing.assert_allclose(moved, boxes)


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("seed", range(24))
def test_boxes_follow_the_picture(seed, vertical):
    box = np.array([[30, 40, 62, 90]], np.float32)
    settings = Augmentation(flip_vertically=vertical, brightness=0, contrast=0, saturation=0)
    image = np.full((96, 128, 3), (124, 116, 104), np.uint8)
    image[30:62, 40:90] = 255
    view, moved, _ = augment(image, box, settings, seed)
    assert len(moved) == 1
    rows, columns = np.nonzero(view[..., 2] > 180)
    seen = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(moved[0], seen, atol=1.01)


def test_boxes_out_of_view_are_dropped():
    boxes = np.array([[0, 0, 10, 10], [43, 59, 53, 69]], np.float32)
    zoomed = Augmentation(flip=False, scale=(2, 2), shift=0)
    _, _, kept = augment(picture(boxes), boxes, zoomed, 0)
    assert kept.tolist() == [1]


@pytest.mark.parametrize("zoom", [0.75, 0.9, 1.1, 1.35])
def test_no_grey_edge_where_the_picture_goes_on(zoom):
    settings = Augmentation(scale=(zoom, zoom), shift=0, brightness=0, contrast=0, saturation=0)
    image = np.full((97, 131, 3), 255, np.uint8)
    view, _, _ = augment(image, np.zeros((0, 4), np.float32), settings, 0)
    grey = (view[..., 0] != 255).mean()
    assert grey == 0 if zoom > 1 else grey == pytest.approx(1 - zoom**2, abs=0.02)


@pytest.mark.parametrize(
    ("mirror", "mirrored"),
    [("none", set()), ("horizontal", {1}), ("vertical", {0}), ("both", {0, 1})],
)
def test_mirrored_only_as_asked_for(mirror, mirrored):
    settings = Augmentation.of(TrainingSettings(mirror=mirror))
    views = random_views(settings, (96, 128), 200, np.random.default_rng(0))
    assert set(np.flatnonzero(views.flip.any(axis=0)).tolist()) == mirrored
    assert all(60 < views.flip[:, axis].sum() < 140 for axis in mirrored)


def test_the_defaults_are_the_defaults():
    assert Augmentation.of(TrainingSettings()) == Augmentation()


def test_vertical_mirroring_changes_nothing_else():
    one, other = (
        random_views(Augmentation(flip_vertically=up), (96, 128), 5, np.random.default_rng(0))
        for up in (False, True)
    )
    np.testing.assert_array_equal(one.seen, other.seen)
    np.testing.assert_array_equal(one.colours, other.colours)


def test_no_change_of_colour():
    settings = Augmentation.of(TrainingSettings(colour=0, min_zoom=1, max_zoom=1))
    views = random_views(settings, (96, 128), 5, np.random.default_rng(0))
    np.testing.assert_allclose(views.colours[..., :3], np.tile(np.eye(3), (5, 1, 1)), atol=1e-6)
    assert not views.colours[..., 3].any()


def test_strong_colours_keep_a_picture():
    settings = Augmentation.of(TrainingSettings(colour=3))
    assert settings.contrast < 1
    assert settings.saturation <= 0.9


def test_jittered_boxes():
    boxes = np.array([[10, 10, 30, 50], [0, 0, 4, 4]], np.float32)
    moved = np.stack([jittered(boxes, 0.1, np.random.default_rng(s)) for s in range(200)])
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    shift = (moved - boxes) / size
    assert np.abs(shift).max() <= 0.1
    assert np.abs(shift).max() > 0.09
    assert np.abs(shift.mean(axis=0)).max() < 0.02
    assert jittered(boxes[:0], 0.1, np.random.default_rng(0)).shape == (0, 4)


def test_same_seed_same_view():
    boxes = np.array([[8, 16, 40, 64]], np.float32)
    one, two, other = (augment(picture(boxes), boxes, Augmentation(), s)[0] for s in (5, 5, 6))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
