from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_cluster import FakeCluster, running
from support.record_folder import Labelled, write_records

from kfdet.deployment.endpoint import Endpoint, Release, Serving
from kfdet.deployment.smoke_test import (
    PICTURES,
    LabelledPicture,
    picture_of,
    smoke_test,
    validation_pictures,
)
from kfdet.errors import InputError, KfdetError
from kfdet.records.reading import Records
from kfdet.records.tfrecord import Example

# 1 x 1 pixel
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
# The same with a header that says 200 x 100, which is all that the client looks at
WIDE = GIF[:6] + struct.pack("<HH", 200, 100) + GIF[10:]
ENDPOINT = Endpoint(
    name="toys-candidate",
    namespace="default",
    serving=Serving(Release("1", "s3://kfdet/models/toys/1")),
    ready=True,
    url="http://toys.example.com",
    address="http://toys-candidate-predictor.default.svc.cluster.local",
    created="",
    mode="Standard",
)
TRUTH = LabelledPicture("film/1.jpg", GIF, np.array([[0.1, 0.1, 0.9, 0.9]]), ["ball"])


def answer(
    box: list[float] | None = None, label: str = "ball", score: float = 0.7
) -> dict[str, Any]:
    """What TensorFlow Serving says: one detection, ymin, xmin, ymax, xmax as shares."""
    return {
        "predictions": [
            {
                "detection_boxes": [box or [0.1, 0.1, 0.9, 0.9], [0, 0, 0, 0]],
                "detection_scores": [score, 0.0],
                "detection_class_names": [label, ""],
                "detection_classes": [1, 0],
                "num_detections": 1,
            }
        ]
    }


def ask(prediction: dict[str, Any], *pictures: LabelledPicture) -> None:
    fake = FakeCluster()
    path = "/services/toys-candidate-predictor:80/proxy/v1/models/toys-candidate:predict"
    fake.answers["POST", path] = (200, prediction)
    with running(fake) as cluster:
        smoke_test(cluster, pictures, ENDPOINT)


def test_it_sees_what_a_person_saw() -> None:
    ask(answer(), TRUTH)


def test_one_object_of_several_pictures_is_enough() -> None:
    other = LabelledPicture("film/2.jpg", GIF, np.array([[0.0, 0.0, 0.1, 0.1]]), ["mug"])
    ask(answer(), other, TRUTH)


def test_about_a_picture_of_the_users_it_need_only_answer() -> None:
    ask(answer(label="mug"), LabelledPicture("photo.gif", GIF, np.zeros((0, 4)), ()))


@pytest.mark.parametrize(
    "prediction",
    [answer(label="mug"), answer(box=[0.1, 0.1, 0.4, 0.9])],
    ids=["another label", "another place"],
)
def test_it_sees_nothing_of_it(prediction: dict[str, Any]) -> None:
    with pytest.raises(KfdetError, match="detects none of the 1 objects in 1 validation pictures"):
        ask(prediction, TRUTH)


@pytest.mark.parametrize(
    "prediction",
    [
        answer(score=1.5),
        answer(score=-0.1),
        answer(score=float("nan")),
        answer(box=[0, 0, float("inf"), 1]),
    ],
)
def test_numbers_that_cannot_be(prediction: dict[str, Any]) -> None:
    with pytest.raises(KfdetError, match=r"invalid scores|not valid"):
        ask(prediction, TRUTH)


def test_not_a_detector() -> None:
    with pytest.raises(KfdetError, match="answers without detection_boxes"):
        ask({"predictions": [{"scores": [1.0]}]}, TRUTH)


# --- pictures ---


def example(source_id: int, labels: list[str]) -> Example:
    return Example(
        source_id=source_id,
        filename=f"film/{source_id}.jpg",
        jpeg=WIDE,
        width=200,
        height=100,
        boxes=np.array([[0.25, 0.5, 0.75, 1.0]] * len(labels)).reshape(-1, 4),
        labels=labels,
        class_ids=np.arange(1, len(labels) + 1),
        occluded=np.zeros(len(labels), bool),
        truncated=np.zeros(len(labels), bool),
    )


def write(folder: Path, labels: list[list[str]]) -> None:
    pictures = [Labelled(example(number, each), frame=number) for number, each in enumerate(labels)]
    write_records(folder, pictures, ["ball", "mug"])


def test_no_validation_pictures(tmp_path: Path) -> None:
    write(tmp_path, [])
    with pytest.raises(InputError, match="there is no validation example"):
        validation_pictures(Records(tmp_path))
    write(tmp_path, [[], []])
    with pytest.raises(InputError, match="no validation picture"):
        validation_pictures(Records(tmp_path))


def test_the_first_pictures_with_objects(tmp_path: Path) -> None:
    write(tmp_path, [[], *[["ball", "mug"]] * (PICTURES + 3)])
    pictures = validation_pictures(Records(tmp_path))
    names = [f"film.mp4, frame {n}" for n in (1, 2, 3, 4)]
    assert [picture.name for picture in pictures] == names
    assert pictures[0].image == WIDE
    assert pictures[0].labels == ["ball", "mug"]
    assert pictures[0].boxes.tolist() == [[50, 50, 150, 100]] * 2


def test_a_picture_of_the_users(tmp_path: Path) -> None:
    path = tmp_path / "photo.gif"
    with pytest.raises(InputError, match="cannot read: No such file"):
        picture_of(path)
    path.write_bytes(GIF)
    assert picture_of(path).image == GIF
