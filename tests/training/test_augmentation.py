import numpy as np
import pytest

from kfdet.training.augmentation import Augmentation, augment

STILL = Augmentation(flip=False, scale=(1, 1), shift=0, brightness=0, contrast=0, saturation=0)


def picture(boxes, height=96, width=128):
    image = np.zeros((height, width, 3), np.uint8)
    for top, left, bottom, right in boxes.astype(int):
        image[top:bottom, left:right] = 255
    return image


@pytest.mark.parametrize(
    "boxes", [np.zeros((0, 4), np.float32), np.array([[8, 16, 40, 64]], np.float32)]
)
def test_no_augmentation_changes_nothing(boxes):
    image = picture(boxes)
    view = augment(image, boxes, STILL, np.random.default_rng(0))
    np.testing.assert_array_equal(view.image, image)
    np.testing.assert_allclose(view.boxes, boxes)


@pytest.mark.parametrize("seed", range(12))
def test_boxes_follow_the_picture(seed):
    box = np.array([[30, 40, 62, 90]], np.float32)
    settings = Augmentation(brightness=0, contrast=0, saturation=0)
    image = np.full((96, 128, 3), (124, 116, 104), np.uint8)
    image[30:62, 40:90] = 255
    view = augment(image, box, settings, np.random.default_rng(seed))
    assert len(view.boxes) == 1
    rows, columns = np.nonzero(view.image[..., 2] > 180)
    seen = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(view.boxes[0], seen, atol=1.01)


def test_boxes_out_of_view_are_dropped():
    boxes = np.array([[0, 0, 10, 10], [43, 59, 53, 69]], np.float32)
    zoomed = Augmentation(flip=False, scale=(2, 2), shift=0)
    view = augment(picture(boxes), boxes, zoomed, np.random.default_rng(0))
    assert view.kept.tolist() == [1]


def test_same_generator_same_view():
    boxes = np.array([[8, 16, 40, 64]], np.float32)
    one, two = (
        augment(picture(boxes), boxes, Augmentation(), np.random.default_rng(5)) for _ in range(2)
    )
    np.testing.assert_array_equal(one.image, two.image)
