from __future__ import annotations

import pytest

from kfdet.boxes.rotation import envelope, turn_about_centre
from kfdet.boxes.tables import KEY_SCHEMA
from kfdet.dataset.box_checks import Media, check_source
from kfdet.dataset.formats.model import Item, KeyBox, SourceAnnotations, key_table
from kfdet.dataset.formats.pictures import frame_name, picture_name
from kfdet.dataset.label_checks import Use, check_labels
from kfdet.dataset.media_index import MediaIndex, gather_frames

VIDEO = Media("clip.mp4", 64, 48, 100, 10.0)
IMAGE = Media("x.jpg", 64, 48, 1, 0.0)


def key(frame=0, sides=(1, 2, 11, 12), track=0, **more) -> KeyBox:
    return KeyBox(track, "cup", frame, *sides, line=9, **more)


def video(*keys: KeyBox, **more) -> SourceAnnotations:
    return SourceAnnotations("video", "a.xml", ("clip.mp4",), keys=list(keys), **more)


def test_no_keys():
    assert check_source(video(), VIDEO) == ([], [])


@pytest.mark.parametrize(
    "found",
    [
        key(sides=(0, 0, 64, 48)),
        key(sides=(-1, -1, 65, 49)),  # rounding of tools is no problem
        key(sides=(5, 5, 5, 5), outside=True),
        key(sides=(100, 100, 200, 200), outside=True),
        key(99),
    ],
)
def test_good_boxes(found):
    keys, problems = check_source(video(found, stop=found.frame), VIDEO)

    assert keys == [found]
    assert problems == []


@pytest.mark.parametrize(
    ("found", "severity", "text"),
    [
        (key(sides=(1, 2, 1, 12)), "error", "has no area"),
        (key(sides=(11, 2, 1, 12)), "error", "has no area"),
        (key(sides=(64, 2, 70, 12)), "error", "lies outside the 64x48 frame"),
        (key(sides=(-9, 2, 0, 12)), "error", "lies outside"),
        (key(sides=(-9, 2, 5, 12)), "warning", "sticks out of the 64x48 frame by 9 pixels"),
        (key(sides=(1, 2, 5, 49.5)), "warning", "by 1.5 pixels"),
        (key(sides=(0, 10, 4, 40), rotation=90), "warning", "by 13 pixels"),
        (key(-1), "error", "a box is on frame -1"),
        (key(100), "error", "has only the frames 0 to 99"),
    ],
)
def test_bad_boxes(found, severity, text):
    good = [key(), key(track=1)]
    keys, problems = check_source(video(good[0], found, good[1], stop=0), VIDEO)

    (problem,) = [p for p in problems if "task's frames" not in p.problem]
    assert text in problem.problem
    assert (problem.severity, problem.file, problem.line) == (severity, "a.xml", 9)
    assert problem.frame == found.frame
    assert keys == (good if severity == "error" else [good[0], found, good[1]])


def test_boxes_of_an_image_have_no_frame():
    source = SourceAnnotations("image", "a.xml", ("x.jpg",), keys=[key(sides=(1, 1, 1, 1))])
    (problem,) = check_source(source, IMAGE)[1]

    assert problem.frame is None


def test_boxes_after_the_end_are_one_problem():
    (problem,) = check_source(video(key(150), key(160), key(170)), VIDEO)[1]

    assert problem.frame == 150
    assert "and so are 2 more" in problem.problem
    assert "another video" in problem.hint


def test_a_track_may_end_after_the_last_frame():
    keys, problems = check_source(video(key(99), key(100, outside=True)), VIDEO)

    assert keys == [key(99)]
    assert problems == []


@pytest.mark.parametrize(
    ("stated", "hint"),
    [
        ((100, 100), "another video"),
        ((128, 96), "was resized"),
        ((0, 0), None),
        ((64, 48), None),
    ],
)
def test_size(stated, hint):
    boxes = [key(sides=(70, 2, 90, 12)), key(sides=(75, 2, 90, 12), track=1)]
    source = video(*boxes[: 2 if hint else 0], width=stated[0], height=stated[1], stop=0)
    _, problems = check_source(source, VIDEO)

    # Boxes that lie anywhere follow from the wrong size and are not named one by one.
    assert [hint in problem.hint for problem in problems] == ([True] if hint else [])


def test_size_without_exif_orientation():
    source = SourceAnnotations("image", "a.xml", ("x.jpg",), width=48, height=64)
    (problem,) = check_source(source, Media("x.jpg", 64, 48, 1, 0.0, stored=(48, 64)))[1]

    assert "EXIF" in problem.hint


@pytest.mark.parametrize(("frame", "count"), [(10, 0), (13, 0), (40, 0), (11, 1), (7, 1), (43, 1)])
def test_task_grid(frame, count):
    source = video(key(frame), key(frame, outside=True), start=10, stop=40, step=3)
    problems = [p for p in check_source(source, VIDEO)[1] if "task's frames" in p.problem]

    assert len(problems) == count


@pytest.mark.parametrize(
    ("keys", "stop", "frames"),
    [
        ([key(0), key(49)], None, []),
        ([key(0), key(48)], None, [48]),
        ([key(0), key(48, outside=True)], None, []),
        ([key(0), key(48)], 98, []),
        ([key(0), key(0, track=-1)], 99, [0]),
        ([key(0, track=1), key(0, track=2)], 99, [0, 0]),
    ],
)
def test_tracks_without_an_end(keys, stop, frames):
    _, problems = check_source(video(*keys, stop=stop), VIDEO)

    assert [(problem.severity, problem.frame) for problem in problems] == [
        ("warning", frame) for frame in frames
    ]


def uses(**counts: int) -> list[Use]:
    return [
        Use(label.replace("_", " "), f"{label}.xml", line, None)
        for label, count in counts.items()
        for line in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("counts", "severities", "text"),
    [
        ({}, ["error"], "the dataset has no boxes"),
        ({"cup": 10, "ball": 10}, [], ""),
        ({"cup": 10, "ball": 9}, ["warning"], "'ball' has only 9 boxes"),
        ({"cup": 10, "ball": 3}, ["warning"], "'ball' has only 3 boxes"),
        ({"cup": 10, "ball": 2}, ["error"], "'ball' has only 2 boxes"),
        ({"cup": 2}, ["error"], "'cup' has only 2 boxes"),
        ({"cup": 1}, ["error"], "has only 1 box;"),
        ({"person": 40, "Person": 20}, ["error"], "differ only in case"),
        ({"person": 40, "person_": 20}, ["error"], "differ only in case"),
        ({"hot_dog": 40, "hot-dog": 20}, ["error"], "differ only in case"),
        ({"person": 200, "persn": 15}, ["warning"], "'persn' (15 boxes) looks like 'person'"),
        ({"person": 200, "preson": 15}, ["warning"], "looks like"),
        ({"person": 200, "persn": 2}, ["error"], "'persn' has only 2 boxes"),
        ({"person": 40, "persn": 15}, [], ""),
        ({"car1": 200, "car2": 15}, [], ""),
        ({"cat": 200, "car": 15}, [], ""),
        ({"traffic_light": 200, "trafic_ligt": 15}, ["warning"], "looks like"),
    ],
)
def test_labels(counts, severities, text):
    problems = check_labels(uses(**counts))

    assert [problem.severity for problem in problems] == severities
    assert all(text in problem.problem for problem in problems)


def test_label_problems_say_where_and_what():
    (problem,) = check_labels(uses(person=200, persn=2))

    assert (problem.file, problem.line) == ("persn.xml", 1)
    assert "Did you mean 'person'?" in problem.hint


NAMES = ["images/a/x.jpg", "images/b/x.jpg", "images/y.v2.png", "videos/Clip.mp4", "z.jpg"]


@pytest.mark.parametrize(
    ("wanted", "near", "found"),
    [
        ("missing.jpg", "", []),
        ("", "", []),
        ("z.jpg", "", ["z.jpg"]),
        ("Z.JPG", "", ["z.jpg"]),
        ("z", "", ["z.jpg"]),
        ("z.png", "", ["z.jpg"]),
        ("y.v2", "", ["images/y.v2.png"]),
        ("clip.mov", "", ["videos/Clip.mp4"]),
        ("C:\\data\\clip.mp4", "", ["videos/Clip.mp4"]),
        ("x.jpg", "", ["images/a/x.jpg", "images/b/x.jpg"]),
        ("b/x.jpg", "", ["images/b/x.jpg"]),
        ("b/x", "", ["images/b/x.jpg"]),
        ("x", "annotations/a/x.xml", ["images/a/x.jpg"]),
        ("x", "annotations/c/x.xml", ["images/a/x.jpg", "images/b/x.jpg"]),
    ],
)
def test_media_index(wanted, near, found):
    assert MediaIndex(NAMES).find(wanted, near) == found


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("", None),
        ("x.jpg", None),
        ("frame_12.jpg", None),
        ("frame_000012", ("", 12)),
        ("frame_000012.PNG", ("", 12)),
        ("a/clip/frame_1000000.jpg", ("a/clip", 1000000)),
    ],
)
def test_frame_name(name, place):
    assert frame_name(name) == place


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("images/a/x.jpg", "image", "a/x.jpg"),
        ("x.jpg", "image", "x.jpg"),
        ("videos/clip.mp4", "video", "clip/frame_000012.jpg"),
        ("day/clip.mp4", "video", "day/clip/frame_000012.jpg"),
    ],
)
def test_picture_name(tmp_path, name, kind, expected):
    assert picture_name(Item(name, tmp_path, kind, 1, 1, 1, 0.0), 12) == expected


def test_gather_frames():
    names = ["x.jpg", "clip/frame_000003.jpg", "clip/frame_000001.jpg", "other/frame_000001.jpg"]
    sources = [SourceAnnotations("image", "a.json", (n,), keys=[key(track=-1)]) for n in names]
    found = gather_frames(sources, MediaIndex(["x.jpg"]), MediaIndex(["videos/clip.mp4"]))

    kinds = [(source.kind, [k.frame for k in source.keys]) for source in found]
    assert kinds == [("image", [0]), ("video", [3, 1]), ("image", [0])]
    assert found[1].names == ("clip",)


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        (0, (10, 20, 40, 60)),
        (90, (5, 25, 45, 55)),
        (180, (10, 20, 40, 60)),
        (-90, (5, 25, 45, 55)),
    ],
)
def test_envelope(rotation, expected):
    assert envelope(10, 20, 40, 60, rotation) == pytest.approx(expected)


def test_turn_about_centre_covers_the_same_area():
    turned = turn_about_centre(10, 20, 40, 60, 90)

    assert envelope(*turned, 90) == pytest.approx((-30, 20, 10, 50))


def test_key_table():
    assert key_table([]).schema == KEY_SCHEMA
    table = key_table([("v", []), ("w", [key(3, outside=True)])])

    assert table.schema == KEY_SCHEMA
    (row,) = table.to_pylist()
    assert (row["video"], row["frame"], row["xmax"], row["outside"]) == ("w", 3, 11, True)
