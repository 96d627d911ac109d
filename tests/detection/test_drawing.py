from __future__ import annotations

import numpy as np
import pytest

from kfdet.detection.drawing import PALETTE, draw_boxes, palette

GREY = np.full((180, 320, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("boxes", "labels", "scores"),
    [
        ([], [], None),
        (np.zeros((0, 4)), [], np.zeros(0)),
    ],
)
def test_no_boxes_leave_the_picture(boxes: object, labels: list[str], scores: object) -> None:
    drawn = draw_boxes(GREY, boxes, labels, scores)
    assert np.array_equal(drawn, GREY)
    assert drawn is not GREY


@pytest.mark.parametrize(
    "box",
    [
        (100, 60, 180, 120),  # room for the label above
        (10, 0, 60, 40),  # none above
        (-40, -30, 20, 10),  # partly outside
        (300, 150, 500, 400),
        (50, 50, 50, 50),  # a point
    ],
)
@pytest.mark.parametrize("label", ["mug", "", "coffee mug, full", "Fußgänger 日本", "x" * 200])
def test_draws_on_a_copy(box: tuple[float, ...], label: str) -> None:
    before = GREY.copy()
    drawn = draw_boxes(GREY, [box], [label], [0.5])
    assert np.array_equal(before, GREY)
    assert drawn.shape == GREY.shape
    assert (drawn != GREY).any()


def test_line_follows_the_box_and_nothing_else_changes() -> None:
    drawn = draw_boxes(GREY, [[100, 60, 180, 120]], [""], colors=[(255, 0, 0)])
    assert drawn[90, 100].tolist() == [255, 0, 0]
    assert drawn[119, 140].tolist() == [255, 0, 0]
    assert np.array_equal(drawn[65:115, 105:175], GREY[65:115, 105:175])
    assert np.array_equal(drawn[:, :90], GREY[:, :90])


def test_label_stands_on_its_colour_above_the_box() -> None:
    drawn = draw_boxes(GREY, [[100, 60, 180, 120]], ["mug"], colors={"mug": (0, 0, 200)})
    above = drawn[45:58, 100:125]
    assert ((above == (0, 0, 200)).all(axis=2)).any()
    assert ((above > 200).all(axis=2)).any(), "white letters on a dark ground"


def test_better_score_lies_on_top() -> None:
    box = [100, 60, 180, 120]
    red, green = (255, 0, 0), (0, 255, 0)
    drawn = draw_boxes(GREY, [box, box], ["", ""], [0.9, 0.2], colors=[red, green])
    assert drawn[90, 100].tolist() == list(red)


def test_the_texts_of_equal_boxes_do_not_cover_each_other() -> None:
    box, red, green = [100, 60, 180, 120], (255, 0, 0), (0, 255, 0)
    drawn = draw_boxes(GREY, [box, box], ["mug", "mug"], colors=[red, green])
    alone = draw_boxes(GREY, [box], ["mug"], colors=[red])
    grounds = [int((drawn == color).all(axis=2)[..., :125].sum()) for color in (red, green)]
    assert min(grounds) > 0.5 * (alone == red).all(axis=2)[:58].sum()


def test_a_text_that_finds_no_free_place_is_covered_by_the_box_on_top() -> None:
    red, green = (255, 0, 0), (0, 255, 0)
    boxes = [[100, 60, 180, 120]] * 6
    drawn = draw_boxes(GREY, boxes, ["mug"] * 6, colors=[red] * 5 + [green])
    assert (drawn[45:58, 100:125] == green).all(axis=2).any()
    assert not (drawn[45:58, 100:125] == red).all(axis=2).any()


def test_lines_scale_with_the_picture() -> None:
    def share(factor: int) -> float:
        image = np.zeros((180 * factor, 320 * factor, 3), np.uint8)
        return float((draw_boxes(image, [[80 * factor] * 4], ["mug"]) > 0).mean())

    assert share(6) == pytest.approx(share(2), rel=0.35)


def test_read_only_and_flipped_pictures_are_fine() -> None:
    flipped = GREY[:, ::-1, ::-1]
    flipped.flags.writeable = False
    assert draw_boxes(flipped, [[1, 1, 30, 30]], ["a"]).shape == GREY.shape


def test_palette_is_by_position() -> None:
    labels = [f"l{i}" for i in range(len(PALETTE) + 1)]
    colors = palette(labels)
    assert colors["l0"] == colors[f"l{len(PALETTE)}"] == PALETTE[0]
    assert palette([]) == {}
