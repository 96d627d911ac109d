from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from kfdet.boxes.reduction import fewest_keys
from kfdet.boxes.tables import iou_pairs


def along(frames: np.ndarray, centres: np.ndarray, size: float = 20.0) -> np.ndarray:
    """Square boxes with these centres on the horizontal."""
    left, top = centres - size / 2, np.full(len(frames), 50.0)
    return np.stack([left, top, left + size, top + size], axis=1)


def between(frames: np.ndarray, boxes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(frames, frames[keys], boxes[keys, side]) for side in range(4)], 1)


def wandering(seed: int, count: int, *, step: int = 1, noise: float = 0.0) -> tuple:
    """Frames and boxes of an object whose speed and size change as they like."""
    random = np.random.default_rng(seed)
    frames = 7 + step * np.arange(count)
    centres = 300 + random.normal(0, 2, (count, 2)).cumsum(axis=0).cumsum(axis=0)
    sizes = np.exp(random.normal(0, 0.05, (count, 2)).cumsum(axis=0)) * (40, 90)
    boxes = np.hstack([centres - sizes / 2, centres + sizes / 2])
    return frames, boxes + random.normal(0, noise, boxes.shape)


@pytest.mark.parametrize("count", [1, 2])
def test_the_first_and_the_last_box_are_always_keys(count):
    frames = np.arange(count)
    assert fewest_keys(frames, along(frames, 9.0 * frames)).tolist() == list(range(count))


def test_a_straight_motion_needs_two_keys():
    frames = np.arange(100)
    assert fewest_keys(frames, along(frames, 3.0 * frames)).tolist() == [0, 99]


def test_a_turn_needs_a_key():
    frames = np.arange(101)
    keys = fewest_keys(frames, along(frames, 4.0 * np.abs(frames - 50)))
    assert len(keys) == 3
    assert abs(keys[1] - 50) <= 1


def test_frames_between_which_there_is_no_box_count_as_time():
    frames = np.array([0, 1, 2, 10, 11, 12])
    assert fewest_keys(frames, along(frames, 5.0 * frames)).tolist() == [0, 5]
    assert len(fewest_keys(frames, along(frames, 5.0 * np.arange(6)))) > 2


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("least", "noise"), [(0.85, 0.0), (0.85, 2.0), (0.6, 4.0)])
def test_no_choice_of_fewer_keys_holds_every_box(seed, least, noise):
    frames, boxes = wandering(seed, 11, step=1 + seed % 3, noise=noise)
    keys = fewest_keys(frames, boxes, least)
    assert (iou_pairs(between(frames, boxes, keys), boxes) >= least - 1e-9).all()
    inner = range(1, len(frames) - 1)
    for some in combinations(inner, len(keys) - 3) if len(keys) > 2 else ():
        fewer = np.array([0, *some, len(frames) - 1])
        assert (iou_pairs(between(frames, boxes, fewer), boxes) < least).any()


def test_long_tracks():
    frames = np.arange(3000)
    boxes = along(frames, 300 + 200 * np.sin(frames / 20))
    keys = fewest_keys(frames, boxes)
    assert 100 < len(keys) < 600
    assert (iou_pairs(between(frames, boxes, keys), boxes) >= 0.85 - 1e-9).all()


def test_an_object_that_keeps_still_has_a_key_now_and_then():
    frames = np.arange(1000)
    keys = fewest_keys(frames, along(frames, np.full(1000, 40.0)))
    assert len(keys) == 5
