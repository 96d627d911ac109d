from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg

from kfdet.detection.drawing import palette
from kfdet.evaluation.error_analysis import analyse
from kfdet.evaluation.measurement import measure
from kfdet.evaluation.report.gallery import make_shots
from kfdet.evaluation.report.pictures import (
    INTERPOLATED_COLOR,
    TRUTH_COLOR,
    contact_sheet,
    draw_detections,
    fit,
)
from kfdet.evaluation.report.selection import select

A = (100, 100, 200, 200)
FAR = (500, 300, 600, 400)
LABELS = ["cat", "dog"]


def grey(width: int = 640, height: int = 480) -> bytes:
    return simplejpeg.encode_jpeg(np.full((height, width, 3), 90, np.uint8), quality=95)


def test_nothing_to_show():
    selection = select([], [], analyse([], [], LABELS), seed=0)
    assert not selection.images()
    shots = make_shots(selection, {}, [], [], LABELS, 0.5)
    assert shots == {"false_positives": [], "misses": [], "typical": [], "labels_to_check": []}


def test_the_same_error_is_shown_once_if_others_need_the_room(hand):
    places = [FAR] * 20 + [(30 * i, 300, 30 * i + 40, 340) for i in range(20)]
    truths = [hand.truth(i, [A, A]) for i in range(1, 41)]
    found = [hand.found([A, place], [0.9, 0.9]) for i, place in enumerate(places, start=1)]
    selection = select(truths, found, analyse(truths, found, LABELS), seed=0)
    assert len(selection.false_positives) == 12
    assert sum(e.image < 20 for e in selection.false_positives) == 1


def test_repeated_errors_fill_the_room_that_is_left(hand):
    truths = [hand.truth(i) for i in range(1, 4)] + [hand.truth(4, [A])]
    found = [hand.found([FAR], [0.9]) for i in range(1, 4)] + [hand.found([A], [0.9])]
    selection = select(truths, found, analyse(truths, found, LABELS), seed=0)
    assert [e.image for e in selection.false_positives] == [0, 1, 2]


def test_typical_images_have_objects_and_are_in_order(hand):
    truths = [hand.truth(i, [A] if i % 2 else []) for i in range(1, 31)]
    found = [hand.found() for i in range(1, 31)]
    analysis = analyse(truths, found, LABELS)
    selection = select(truths, found, analysis, seed=3)
    assert len(selection.typical) == 6
    assert selection.typical == sorted(selection.typical)
    assert all(len(truths[i].boxes) for i in selection.typical)
    assert selection.typical == select(truths, found, analysis, seed=3).typical
    assert selection.typical != select(truths, found, analysis, seed=4).typical


CAPTIONS = [
    (FAR, 1, "cat 90%: nothing labelled here (IoU below 0.1)"),
    ((160, 100, 260, 200), 1, "cat 90%: too loose or shifted, IoU 0.25"),
    # 0.497 would look like enough if it were rounded
    ((133.6, 100, 233.6, 200), 1, "cat 90%: too loose or shifted, IoU 0.49"),
    (A, 2, "dog 90%: labelled cat"),
]


@pytest.mark.parametrize(("box", "class_id", "caption"), CAPTIONS)
def test_captions_and_close_ups(hand, box, class_id, caption):
    truths = [hand.truth(1, [A]), hand.truth(2, [A])]
    found = [hand.found([box], [0.9], [class_id]), hand.found([A], [0.8])]
    selection = select(truths, found, analyse(truths, found, LABELS), seed=0)
    shots = make_shots(selection, {1: grey(), 2: grey()}, truths, found, LABELS, 0.5)
    assert [shot.caption for shot in shots["false_positives"]] == [caption]
    assert len(shots["misses"]) == 1
    assert shots["misses"][0].caption.startswith("cat, 100 × 100 px: ")
    assert shots["misses"][0].data_uri.startswith("data:image/jpeg;base64,")
    picture = simplejpeg.decode_jpeg(shots["misses"][0].jpeg)
    assert picture.shape == (400, 400, 3)
    if box == FAR:  # only the missed box is in the picture: in its middle, 100 of 250 pixels wide
        bright = np.argwhere((picture > 215).all(axis=2))
        np.testing.assert_allclose(bright.min(axis=0), [120, 120], atol=4)
        np.testing.assert_allclose(bright.max(axis=0), [280, 280], atol=4)


def test_a_missed_object_whose_detection_counts_for_another_one(hand):
    truths = [hand.truth(1, [A, (110, 100, 210, 200)])]
    found = [hand.found([A], [0.9])]
    selection = select(truths, found, analyse(truths, found, LABELS), seed=0)
    (miss,) = make_shots(selection, {1: grey()}, truths, found, LABELS, 0.5)["misses"]
    assert miss.caption.endswith("the detection here (IoU 0.82) counts for another object")


def test_a_box_at_the_corner_of_a_shrunken_picture(hand):
    """Stored at a quarter of the source's size; the crop stays inside the picture."""
    truth = hand.truth(1, [(0, 0, 40, 40)])
    truths = [
        type(truth)(**{n: getattr(truth, n) for n in truth.__slots__} | {"stored": (160, 120)})
    ]
    found = [hand.found()]
    selection = select(truths, found, analyse(truths, found, LABELS), seed=0)
    shots = make_shots(selection, {1: grey(160, 120)}, truths, found, LABELS, 0.5)
    picture = simplejpeg.decode_jpeg(shots["misses"][0].jpeg)
    assert picture.shape == (400, 400, 3)  # 96 stored pixels, from the corner
    bright = np.argwhere((picture > 215).all(axis=2))
    np.testing.assert_allclose(bright.max(axis=0), [40 / 4 / 96 * 400] * 2, atol=5)


def inks(picture, color) -> int:
    """Pixels of about that colour: JPEG changes them a little."""
    return int((np.abs(picture.astype(int) - color) < 50).all(axis=2).sum())


def close_up_of_confusion(hand, surer: bool):
    """A cat that is taken for a dog; `surer`: and that was found with a better score as well."""
    truths = [hand.truth(1, [A]), hand.truth(2, [A, FAR], [2, 2])]
    cats = [hand.found([A, A], [0.9, 0.8], [1, 2]), hand.found([A], [0.8], [2])]
    found = [cats[0 if surer else 1], hand.found([A, FAR], [0.7, 0.7], [2, 2])]
    selection = select(truths, found, analyse(truths, found, LABELS), seed=0)
    images = {1: grey(), 2: grey()}
    shots = make_shots(selection, images, truths, found, LABELS, 0.5)["false_positives"]
    assert [shot.caption for shot in shots] == ["dog 80%: labelled cat"]
    return simplejpeg.decode_jpeg(shots[0].jpeg)


def test_the_error_is_drawn_over_a_surer_box_at_the_same_place(hand):
    picture = close_up_of_confusion(hand, surer=True)
    colors = palette(LABELS)
    assert picture[200, 120].tolist() == pytest.approx(colors["dog"], abs=50)
    assert inks(picture[:120], colors["dog"]) > 200, "its own name is above the box"
    assert inks(picture[121:270, 125:270], colors["cat"]) > 200, "and the other's below the line"


def test_what_a_box_was_confused_with_is_named_even_if_nothing_found_it(hand):
    picture = close_up_of_confusion(hand, surer=False)
    assert inks(picture[:120], palette(LABELS)["dog"]) > 200
    assert inks(picture[125:160, 125:270], TRUTH_COLOR) > 200


def test_contact_sheet(hand):
    truths = [hand.truth(i, [A]) for i in range(1, 5)]
    found = [hand.found([A], [0.9]) for i in range(1, 5)]
    selection = select(truths, found, analyse(truths, found, LABELS), seed=0)
    images = {i: grey() for i in range(1, 5)}
    png = contact_sheet(selection, images, truths, found, LABELS, 0.5)
    sheet = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert sheet.shape == (2 * 300 + 6, 3 * 400 + 2 * 6, 3)
    cells = sheet[:300, :400], sheet[306:, :400], sheet[306:, 406:806]
    for cell, drawn in zip(cells, (True, True, False), strict=True):
        assert (cell == palette(LABELS)["cat"]).all(axis=2).any() == drawn
    assert TRUTH_COLOR not in {tuple(c) for c in sheet[:300, :400].reshape(-1, 3).tolist()}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 360), (640, 360)),
        ((1920, 1080), (720, 404)),
        ((64, 48), (480, 360)),
        ((501, 301), (500, 300)),
    ],
)
def test_fit(size, expected):
    picture = fit(np.zeros((*size[::-1], 3), np.uint8), 480, 720, even=True)
    assert picture.shape[1::-1] == expected


def test_a_region_that_nobody_judges_is_not_shown_as_an_object(hand):
    truths = [hand.truth(1, [FAR], crowd=[True]), hand.truth(2, [A, FAR], crowd=[False, True])]
    found = [hand.found(), hand.found()]
    selection = select(truths, found, analyse(truths, found, LABELS), seed=0)
    assert selection.typical == [1]
    (shot,) = make_shots(selection, {2: grey()}, truths, found, LABELS, 0.5)["typical"]
    assert "1 labelled, 0 detected" in shot.caption
    drawn = simplejpeg.decode_jpeg(shot.jpeg)
    scale = drawn.shape[1] / 640
    edges = [drawn[int(150 * scale), int(x * scale)].mean() for x in (100, 150)]
    assert edges[0] > 150 > edges[1]
    assert drawn[int(350 * scale), int(500 * scale)].mean() < 150


def test_interpolated_boxes_are_not_drawn_like_drawn_ones(hand):
    picture = np.zeros((480, 640, 3), np.uint8)

    def whites(drawn):
        truth = hand.truth(5, [A], drawn=[drawn], keys=[(0, 9)])
        image = draw_detections(picture, truth, hand.found(), LABELS, 0.5, with_truth=True)
        colors = (TRUTH_COLOR, INTERPOLATED_COLOR)
        return [int((image == color).all(axis=2).sum()) for color in colors]

    white, grey_pixels = whites(True)
    assert white > 700
    assert grey_pixels == 0
    none, dashes = whites(False)
    assert none == 0
    assert 0.3 * white < dashes < 0.7 * white


def test_labels_to_check_are_shown_with_their_place(hand):
    truth = hand.truth(
        722, [A], [1], drawn=[False], tracks=[7], keys=[(720, 730)], hulls=[(60, 60, 300, 240)]
    )
    found = hand.found([(A[0] + 40, A[1], A[2] + 40, A[3])])
    measured = measure([truth], [found], LABELS, {})
    selection = select([truth], [found], measured.analysis, 0, measured.labels_to_check)
    images = {722: simplejpeg.encode_jpeg(np.zeros((480, 640, 3), np.uint8))}
    (shot,) = make_shots(selection, images, [truth], [found], LABELS, 0.5)["labels_to_check"]
    assert shot.name == "label-to-check-01.jpg"
    assert "beside the box of track 7, interpolated, 2 frames from key 720 (IoU 0." in shot.caption
