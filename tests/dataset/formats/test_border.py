from __future__ import annotations

import math

import pytest

from kfdet.dataset.formats import border, limits
from kfdet.dataset.formats.model import AnnotationSet, KeyBox, SourceAnnotations
from kfdet.errors import InputError

GOOD = KeyBox(0, "cup", 0, 1.0, 2.0, 11.0, 12.0, line=7)


def source(*keys: KeyBox, **more) -> SourceAnnotations:
    return SourceAnnotations("video", "a.xml", ("clip.mp4",), keys=list(keys), **more)


def admitted(*sources: SourceAnnotations, labels=()) -> tuple[list[SourceAnnotations], list[str]]:
    found = border.admit(AnnotationSet(list(sources), list(labels)), "a.xml")
    return found.sources, [problem.problem for problem in found.problems]


def test_nothing():
    assert admitted() == ([], [])


def test_what_fits_stays_as_it_is():
    keys = (GOOD, GOOD._replace(frame=3, xmin=-4.5, label="Größe 42"))

    assert admitted(source(*keys)) == ([source(*keys)], [])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"xmin": math.nan}, "has a coordinate that is not a number"),
        ({"ymax": math.inf}, "has a coordinate that is not a number"),
        ({"rotation": -math.inf}, "has a coordinate that is not a number"),
        ({"xmax": 1e300}, "has a coordinate beyond 10,000,000"),
        ({"frame": 10**30}, "is on frame a number of 100 bits"),
        ({"frame": -(10**9)}, "is on frame -1,000,000,000"),
        ({"track_id": 2**63}, "the number of a track of 'cup' has more digits"),
        ({"label": "a\x1b[31m"}, r"the label 'a\x1b[31m' has control characters"),
        ({"label": "a\ud800"}, "has control characters"),
        ({"label": "x" * 300}, "more than 255 bytes"),
        ({"label": ""}, "a box has no label"),
        ({"label": " "}, "a box has no label"),
    ],
)
def test_box_out_of_bounds_is_left_out(change, text):
    (found,), (problem,) = admitted(source(GOOD, GOOD._replace(**change), GOOD._replace(frame=2)))

    assert [key.frame for key in found.keys] == [0, 2]
    assert text in problem
    assert "left out" in problem


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"width": 10**400}, "width must be 0 to 1,048,576, got a number of 1329 bits"),
        ({"height": -1}, "height must be 0 to 1,048,576, got -1"),
        ({"start": -5}, "first frame must be 0 to"),
        ({"start": 2**63}, "first frame must be 0 to"),
        ({"step": 0}, "step must be 1 to"),
        ({"step": 2**70}, "step must be 1 to"),
    ],
)
def test_source_out_of_bounds_is_left_out(more, text):
    sources, (problem,) = admitted(source(GOOD, **more))

    assert sources == []
    assert text in problem


@pytest.mark.parametrize("name", ["a\nb.mp4", "a\x00.mp4", "\udcff.mp4", "a" * 2000])
def test_name_that_no_file_has(name):
    found = source(GOOD)
    found.names = (name,)
    sources, (problem,) = admitted(found)

    assert sources == []
    assert "the name of its video" in problem

    found.names = (name, "clip.mp4")
    (left,), _ = admitted(found)
    assert (left.names, left.names_media_file) == (("clip.mp4",), False)


def test_without_a_name_nothing_is_said_about_the_first():
    found = source(GOOD)
    found.names = ()
    assert not admitted(found)[0][0].names_media_file


def test_very_many_labels(monkeypatch):
    monkeypatch.setattr(border, "MAX_LABELS", 3)

    assert admitted(source(GOOD), labels=["a", "b"])[1] == []
    with pytest.raises(InputError, match=r"a\.xml: uses 4 different labels; kfdet reads at most 3"):
        admitted(source(GOOD), labels=["a", "b", "c"])


def test_very_many_boxes(monkeypatch):
    monkeypatch.setattr(border, "MAX_BOXES", 3)

    with pytest.raises(InputError, match="holds more than 3 boxes"):
        admitted(source(GOOD, GOOD), source(GOOD, GOOD))


@pytest.mark.parametrize(
    ("text", "number"),
    [("", None), ("7", 7), ("-1", None), ("1.0", None), ("9" * 18, 10**18 - 1), ("9" * 19, None)],
)
def test_whole_number(text, number):
    assert limits.whole_number(text) == number
