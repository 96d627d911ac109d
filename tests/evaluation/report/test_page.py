"""The page's sentences agree with the numbers they are made from."""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from support.blob_detector import HISTORY

from kfdet.detection.drawing import palette
from kfdet.evaluation.measurement import measure
from kfdet.evaluation.metrics import describe
from kfdet.evaluation.report.charts import css_color
from kfdet.evaluation.report.page import Origin, render_report
from kfdet.evaluation.speed import Speed
from kfdet.evaluation.verdict import Gate, Verdict

LABELS = ["cat", "dog"]
A, B, FAR = (100, 100, 200, 200), (300, 100, 400, 200), (500, 300, 600, 400)
LOOSE_A = (160, 100, 260, 200)

COUNTS = {
    "examples": 40,
    **{"frame": 40, "background": 0, "crop": 0, "tracks": 2, "occluded_boxes": 0},
    **{"boxes": 80, "key_boxes": 8, "interpolated_boxes": 72},
    "labels": {"cat": 40, "dog": 40},
}
STATISTICS = {
    "name": "toys & co",
    "labels": LABELS,
    "split": {
        **{
            "strategy": "time-block",
            "sides_from": "",
            "val_share": 0.2,
            "guard_seconds": 3.0,
            "seed": 0,
        },
        **{"train_frames": 40, "val_frames": 1, "train_sources": ["a.mp4"]},
        "val_sources": ["a.mp4"],
    },
    "counts": {"train": COUNTS, "val": COUNTS},
    "boxes": {key: {} for key in ("width", "height", "area", "aspect", "boxes_per_image")},
    "sources": [
        {
            **{"name": "a.mp4", "kind": "video", "frames": 100, "fps": 10.0},
            **{"train": [[0, 79]], "val": [[83, 99]], "train_examples": 40, "val_examples": 1},
        }
    ],
}
ORIGIN = Origin("toys & co", "kfdet run toys -o RUN", datetime(2031, 2, 3, 4, 5, tzinfo=UTC), "9.8")


@pytest.fixture
def page(hand):
    """Renders the report of one frame: cat and dog are found, with one error of each kind."""

    def render(
        truths=(), history=None, side="val", labels=LABELS, videos=("a.mp4",), **split
    ) -> str:
        statistics = copy.deepcopy(STATISTICS) | {"labels": labels}
        counts = {**COUNTS, "labels": dict.fromkeys(labels, 40)}
        statistics["counts"] = {"train": counts, "val": counts}
        statistics["split"] |= split
        statistics["counts"]["test"] = statistics["counts"]["val"]
        truths = list(truths) or [hand.truth(1, [A, B], [1, 2])]
        scores = [0.9, 0.8, 0.7, 0.6, 0.5]
        found = [hand.found([LOOSE_A, FAR, B, A, B], scores, [1, 2, 1, 1, 2])]
        measurement = measure(truths, found, labels, {"a.mp4": 10.0}, side=side)
        analysis = measurement.analysis
        metrics = describe(
            labels,
            statistics["split"],
            measurement,
            Speed(10.0, 8.0, 1.0, "CPU", 2, ()),
            0.1,
            Gate(),
            Verdict(True, ["AP50 is 0.500, at or above the required 0.5 (--min-ap50)."]),
            {
                name: {"AP50": number / 100, "frames": 1, "boxes": 1, "missed": 0}
                | {"false_positives": 0}
                for number, name in reversed([*enumerate(videos)])
            },
        )
        empty = {key: [] for key in ("false_positives", "misses", "typical", "labels_to_check")}
        return render_report(
            metrics, analysis, statistics, history or {}, {"step": 1}, empty, [], None, ORIGIN
        )

    return render


def test_two_reports_can_be_told_apart(page):
    html = page()
    assert re.search(r"<title>toys &amp; co, AP50 .*3 February 2031, 04:05 UTC", html)
    assert "Detector report: toys &amp; co</h1>" in html
    assert "kfdet 9.8" in html
    assert "<code>kfdet run toys -o RUN</code>" in html


def test_the_gap_is_the_one_of_the_split_not_the_parameter(page):
    html = page()
    assert "at least 0.3 s away from the frames that trained" in html
    assert "3.0 s" not in html


@pytest.mark.parametrize(
    ("strategy", "verdict", "place"),
    [
        ("time-block", "Good enough to serve in this place<", True),
        ("video", "Good enough to serve<", False),
        ("image", "Good enough to serve<", False),
    ],
)
def test_what_the_split_can_measure(page, strategy, verdict, place):
    html = page(strategy=strategy)
    assert verdict in html
    assert ("measures the place that was filmed" in html) is place


def test_images_are_not_called_frames(page):
    html = page(strategy="image")
    assert "measured on 1 image kept" in html
    assert "false detections per image without objects" in html
    assert "Images with objects" in html
    assert "rames with objects" not in html


def test_frames_of_another_dataset_were_not_kept_from_training(page):
    html = page(strategy="whole")
    assert "measured on 1 frame, with 2 boxes drawn by a person" in html
    assert "kept for evaluation" not in html


def test_a_background_video_that_is_on_both_sides(page):
    """Other videos change sides as a whole, a single one without objects is cut."""
    html = page(strategy="video")
    assert "Of videos without objects, a stretch was kept, at least 0.3 s away" in html
    assert "other file" not in html


def test_only_what_a_person_drew_is_truth(page):
    html = page()
    assert "measured on 1 frame kept for evaluation, with 2 boxes drawn by a person" in html
    assert "Truth is what a person drew: 2 boxes on 1 frame." in html
    assert "72 interpolated boxes are on other frames, and do not count." in html
    assert "Draw these to be surer" not in html


def test_a_partly_drawn_frame_is_called_so(page, hand):
    truth = hand.truth(3, [A, B], [1, 2], drawn=[True, False], keys=[(3, 3), (1, 9)])
    html = page([truth])
    assert "with 1 box drawn by a person" in html
    assert "On 1 of them some objects are between their key frames (1 interpolated box)" in html
    assert "Draw every object on 1 frame (1 box)" in html
    assert "<li>a.mp4: frames 3</li>" in html


def test_a_validation_that_chose_the_weights_is_no_test(page):
    html = page(history=HISTORY)
    assert "The weights are the best of 2 validations" in html
    assert "best of" not in page()
    html = page(history=HISTORY, side="test")
    assert "best of" not in html
    assert "measured on the test side, which steered nothing" in html


def test_precision_is_not_called_the_share_on_the_right_kind_of_object(page):
    """A loose box is on the right kind of object, and wrong."""
    html = page()
    assert "on the right kind" not in html
    assert "share of the detections that are right" in html
    assert "IoU ≥ 0.5" in html


def test_a_label_has_one_colour_in_tables_and_curves(page):
    html = page()
    for label, color in palette(LABELS).items():
        key = f'<i class="key" style="background:{css_color(color)}"></i>{label}<'
        assert html.count(key) == 4  # table of labels, row and column of the matrix, legend
        assert f'style="stroke:{css_color(color)}"' in html


class Scrollers(HTMLParser):
    """Text inside elements that scroll sideways, but outside of table cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables_outside = 0
        self.captions = 0

    def handle_starttag(self, tag, attrs):
        classes = dict(attrs).get("class") or ""
        if tag == "div":
            self.open.append(classes)
        self.tables_outside += tag == "table" and "scroll" not in self.open
        self.captions += tag == "caption" or ("caption" in classes and "scroll" in self.open)

    def handle_endtag(self, tag):
        if tag == "div":
            self.open.pop()


def test_on_a_phone_tables_scroll_and_their_captions_do_not(page):
    scrollers = Scrollers()
    scrollers.feed(page())
    assert scrollers.tables_outside == 0
    assert scrollers.captions == 0


def test_the_matrix_has_the_same_background_errors_as_the_table(page):
    html = page()
    row = re.search(r'<th scope="row">background</th>(.*)</tr>', html)[1]
    cells = [int(n) for n in re.findall(r">(\d+)<", row)]
    errors = int(re.search(r'<th scope="row">Background</th><td>(\d+)</td>', html)[1])
    assert sum(cells) == errors == 1


def test_many_labels_and_videos_are_cut_down(page):
    """A matrix of 41 by 41 cells, or a table of 50 videos, tells nobody anything."""
    labels = [*LABELS, *(f"label {number}" for number in range(38))]
    html = page(labels=labels, videos=[f"{number:02d}.mp4" for number in range(50)])
    assert '<p class="soft">40 labels · measured' in html
    assert "What is taken for what" in html
    assert 'class="heat"' not in html
    pair = re.search(r"The most frequent confusions.*?<tbody>(.*?)</tbody>", html, re.DOTALL)[1]
    assert re.findall(r"</i>(\w+)</span>", pair)
    assert "The other 10 labels</summary>" in html
    assert "The 30 of 50 videos with the lowest AP50" in html
    assert html.index(">00.mp4<") < html.index(">29.mp4<")
    assert ">30.mp4<" not in html
    assert len(html) < 200_000


def test_few_labels_and_videos_are_in_their_own_order(page):
    html = page(videos=["a.mp4", "b.mp4"])
    assert html.index(">b.mp4<") < html.index(">a.mp4<")
    assert 'class="heat"' in html
    assert "lowest AP50" not in html
    assert "The other" not in html
