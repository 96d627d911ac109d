import dataclasses
import resource
import signal

import cv2
import numpy as np
import pytest
import simplejpeg
import tensorflow as tf

from kfdet.detection.letterbox import decode_and_letterbox
from kfdet.errors import InputError
from kfdet.records.reading import Records
from kfdet.training.anchors import AnchorGrid
from kfdet.training.augmentation import Augmentation
from kfdet.training.batches import BatchMaker
from kfdet.training.examples import ExampleSet, decode, read_examples

GRID = AnchorGrid(96, 128, 3, 5, 1, (1.0,), 3.0)


@pytest.fixture(scope="module")
def examples(square_records, tmp_path_factory) -> ExampleSet:
    cache = tmp_path_factory.mktemp("cache") / "train.npy"
    return read_examples(Records(square_records), "train", 96, 128, cache, 1 << 30)


def maker(examples, **changes):
    wanted = {
        "examples": examples,
        "grid": GRID,
        "two_stage": False,
        "batch_size": 4,
        "seed": 0,
        "augmentation": Augmentation(),
    }
    return BatchMaker(**{**wanted, **changes})


def test_decoded_boxes_are_pixels_of_the_input(examples):
    first = int(np.flatnonzero(np.diff(examples.offsets))[0])
    top, left, bottom, right = examples.boxes[examples.of(first)][0].round().astype(int)
    patch = examples.images[first, top:bottom, left:right]
    middle = patch[len(patch) // 2, patch.shape[1] // 2].astype(int)
    assert abs(middle[0] - middle[2]) > 100, "the centre of a box is red or blue, not grey"


@pytest.mark.parametrize("two_stage", [False, True])
def test_a_batch_is_a_function_of_seed_and_step(examples, two_stage):
    one, two = (maker(examples, two_stage=two_stage).training_batch(7) for _ in range(2))
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name])
    other = maker(examples, two_stage=two_stage, seed=1).training_batch(7)
    assert (other["source_id"] != one["source_id"]).any()


def test_an_epoch_shows_every_example_once(examples):
    batches = maker(examples)
    seen = np.concatenate([batches.training_batch(s)["source_id"] for s in range(24)])
    assert sorted(seen) == sorted(examples.source_ids)
    following = np.concatenate([batches.training_batch(24 + s)["source_id"] for s in range(24)])
    assert sorted(following) == sorted(seen)
    assert (following != seen).any()


def test_pictures_that_are_decoded_anew_make_the_same_batches(examples, square_records, tmp_path):
    cache = tmp_path / "none.npy"
    streamed = read_examples(Records(square_records), "train", 96, 128, cache, 96 * 128)
    assert not cache.exists()
    for step in (0, 7, 31):
        kept, anew = maker(examples), maker(streamed)
        for name, values in kept.training_batch(step).items():
            np.testing.assert_array_equal(values, anew.training_batch(step)[name])
    validation = maker(streamed, augmentation=None).validation_batch(90)
    np.testing.assert_array_equal(validation["image"][0], examples.images[90])


@pytest.mark.parametrize("size", [(480, 640), (301, 97), (60, 80), (1, 900)])
def test_pictures_fill_the_same_place_as_those_that_are_detected_in(size):
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (max(1, size[0] // 20), max(1, size[1] // 20), 3), np.uint8)
    picture = cv2.resize(blocks, size[::-1], interpolation=cv2.INTER_LINEAR)
    jpeg = simplejpeg.encode_jpeg(picture, quality=98, colorsubsampling="444")
    found = decode(jpeg, 96, 128)
    wanted = decode_and_letterbox(tf.constant(jpeg), 96, 128)[0].numpy()
    np.testing.assert_array_equal(found.any(axis=2).any(axis=0), wanted.any(axis=2).any(axis=0))
    np.testing.assert_array_equal(found.any(axis=2).any(axis=1), wanted.any(axis=2).any(axis=1))
    assert np.abs(found.astype(int) - wanted).mean() < 2


def test_what_is_finer_than_a_pixel_is_smoothed_as_it_is_for_detection():
    """Closer to what detection sees than OpenCV's own way to make a picture smaller."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    jpeg = simplejpeg.encode_jpeg(noise, quality=98, colorsubsampling="444")
    wanted = decode_and_letterbox(tf.constant(jpeg), 96, 128)[0].numpy().astype(int)
    by_area = cv2.resize(simplejpeg.decode_jpeg(jpeg), (128, 96), interpolation=cv2.INTER_AREA)
    found = np.abs(decode(jpeg, 96, 128).astype(int) - wanted).mean()
    assert found < np.abs(by_area.astype(int) - wanted).mean() / 2


def test_a_validation_takes_a_part_of_many_pictures(square_records, tmp_path, monkeypatch):
    monkeypatch.setattr("kfdet.training.examples.MOST_VALIDATED", 6)
    records, cache = Records(square_records), tmp_path / "val.npy"
    every = records.examples("val")["source_id"].to_numpy()
    found = read_examples(records, "val", 96, 128, cache, 1 << 30)
    assert found.source_ids.tolist() == every[2::4].tolist(), "evenly spread"
    assert len(found.boxes) == found.offsets[-1] > 0


def test_a_full_disk_is_an_error_not_a_crash(square_records, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(InputError, match=r"val.npy: cannot write"):
            read_examples(Records(square_records), "val", 96, 128, tmp_path / "val.npy", 1 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_validation_leaves_pictures_alone_and_fills_the_last_batch_up(examples):
    batches = maker(examples, batch_size=10, augmentation=None)
    last = batches.validation_batch(90)
    np.testing.assert_array_equal(last["image"], examples.images[[*range(90, 96), *[95] * 4]])
    assert last["source_id"].tolist() == examples.source_ids[[*range(90, 96), *[95] * 4]].tolist()


@pytest.mark.parametrize("augmentation", [None, Augmentation()])
def test_regions_are_neither_object_nor_background(examples, augmentation):
    plain = maker(examples, augmentation=augmentation).training_batch(3)
    crowded = dataclasses.replace(examples, crowds=np.ones_like(examples.crowds))
    regions = maker(crowded, augmentation=augmentation).training_batch(3)

    np.testing.assert_array_equal(plain["image"], regions["image"])
    assert len(plain["anchors"])
    assert not len(plain["ignored_anchors"])
    assert len(regions["ignored_anchors"])
    assert not len(regions["anchors"])
