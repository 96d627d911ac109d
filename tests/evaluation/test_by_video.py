"""Each video's AP50 is that of its pictures measured alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kfdet.evaluation.by_video import IMAGES, by_video
from kfdet.evaluation.coco import evaluate_coco
from kfdet.evaluation.measurement import measure

LABELS = ["cat", "dog"]


def test_a_video_is_measured_as_if_it_were_alone(hand):
    random = np.random.default_rng(3)
    names = ["b.mp4", "a.mp4", "1.jpg", "2.jpg", "empty.mp4"]
    truths, detections = [], []
    for picture in range(40):
        name = names[picture % 4]
        corners = random.uniform(0, 300, (3, 2))
        boxes = np.hstack([corners, corners + 60])
        found = boxes + random.normal(0, 12, boxes.shape)
        classes = random.integers(1, 3, 3).tolist() if name != "a.mp4" else [1, 1, 1]
        truths.append(replace(hand.truth(picture, boxes.tolist(), classes), video=name))
        scores = np.sort(random.random(3))[::-1].tolist()
        detections.append(hand.found(found.tolist(), scores, random.integers(1, 3, 3).tolist()))
    truths.append(replace(hand.truth(40), video="empty.mp4"))
    detections.append(hand.found([(0, 0, 50, 50)]))
    truths.append(replace(hand.truth(41, [(0, 0, 50, 50)], measured=False), video="a.mp4"))
    detections.append(hand.found())

    measured = by_video(
        truths, measure(truths, detections, LABELS, {}), set(names) - {"1.jpg", "2.jpg"}
    )

    rows = [IMAGES if t.video.endswith(".jpg") else t.video for t in truths]
    assert list(measured) == ["a.mp4", "b.mp4", "empty.mp4", IMAGES]
    for name, values in measured.items():
        own = [i for i, row in enumerate(rows) if row == name]
        alone, _ = evaluate_coco([truths[i] for i in own], [detections[i] for i in own], LABELS)
        assert values["AP50"] == (alone.ap50 and pytest.approx(alone.ap50, abs=1e-9))
        assert values["frames"] == sum(truths[i].measured for i in own)
        assert values["boxes"] == sum(int(truths[i].counted.sum()) for i in own)
    assert measured["empty.mp4"]["AP50"] is None
