from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.annotation_samples import attribute, box, cvat, track, write_text

from kfdet.boxes.interpolation import interpolate
from kfdet.dataset.box_checks import REFERENCE_TOLERANCE, compare_with_reference
from kfdet.dataset.formats import cvat_video
from kfdet.dataset.formats.model import REFERENCE_COLUMNS, AnnotatedItem, Item, KeyBox, key_table
from kfdet.dataset.formats.registry import detect_format
from kfdet.errors import InputError


def read(tmp_path: Path, text: str):
    return cvat_video.read(write_text(tmp_path / "a.xml", text))


class TestTracks:
    def test_no_tracks(self, tmp_path):
        result = read(tmp_path, cvat(source="clip.mp4"))

        assert result.problems == []
        assert result.labels == ["cup"]
        (source,) = result.sources
        assert source.names == ("clip.mp4",)
        assert (source.width, source.height) == (64, 48)
        assert (source.start, source.stop, source.step) == (0, 19, 1)
        assert source.keys == []

    def test_bare_file_without_meta(self, tmp_path):
        result = read(tmp_path, f"<annotations>{track(box(3))}</annotations>")

        assert [key.frame for key in result.sources[0].keys] == [3]
        assert result.sources[0].stop is None

    def test_key_frames_only_and_the_rest_as_oracle(self, tmp_path):
        rows = [box(0), box(1, keyframe=0), box(2, outside=1, keyframe=0), box(3, outside=1)]
        (source,) = read(tmp_path, cvat(track(*rows, number=7))).sources

        assert source.keys == [
            KeyBox(7, "cup", 0, 1, 2, 11, 12, line=5),
            KeyBox(7, "cup", 3, 1, 2, 11, 12, outside=True, line=8),
        ]
        assert np.reshape(source.reference_boxes, (-1, REFERENCE_COLUMNS)).tolist() == [
            [7, 1, 1, 2, 11, 12, 6]
        ]

    @pytest.mark.parametrize(
        ("name", "value", "marks"),
        [
            ("difficult", "true", (True, False)),
            ("Difficult", " 1 ", (True, False)),
            ("ignore", "true", (False, True)),
            ("difficult", "false", (False, False)),
            ("ignore", "", (False, False)),
            ("colour", "true", (False, False)),
        ],
    )
    def test_attributes_mark_the_key_box_that_they_are_in(self, tmp_path, name, value, marks):
        rows = [box(0), box(5, inside=attribute("colour", "red") + attribute(name, value)), box(9)]
        keys = read(tmp_path, cvat(track(*rows))).sources[0].keys

        plain = (False, False)
        assert [(key.difficult, key.crowd) for key in keys] == [plain, marks, plain]

    def test_an_attribute_of_a_box_that_is_left_out_marks_no_other_one(self, tmp_path):
        rows = [box(0), box("x", inside=attribute("difficult", "true")), attribute("ignore", "1")]
        result = read(tmp_path, cvat(track(*rows)))

        assert [(key.difficult, key.crowd) for key in result.sources[0].keys] == [(False, False)]
        assert len(result.problems) == 1

    def test_rotation_occlusion_attributes_and_missing_keyframe_attribute(self, tmp_path):
        plain = '<box frame="5" xtl="1" ytl="2" xbr="3" ybr="4"/>'
        turned = box(6, rotation="30.50", occluded=1)
        turned = turned.replace("</box>", '<attribute name="colour">red</attribute></box>')
        keys = read(tmp_path, cvat(track(plain, turned))).sources[0].keys

        assert keys[0] == KeyBox(0, "cup", 5, 1, 2, 3, 4, line=5)
        assert (keys[1].rotation, keys[1].occluded) == (30.5, True)

    def test_start_and_step(self, tmp_path):
        text = cvat(track(box(10), box(16)), start=10, stop=41, step=3)
        (source,) = read(tmp_path, text).sources

        assert [key.frame for key in source.keys] == [10, 16]
        assert (source.start, source.stop, source.step) == (10, 40, 3)

    def test_job_dump_has_no_names(self, tmp_path):
        (source,) = read(tmp_path, cvat(track(box(0)), kind="job")).sources

        assert source.names == ()
        assert (source.width, source.stop) == (64, 19)

    @pytest.mark.parametrize(("first", "second"), [(4, 4), (-1, 4), (4, -1)])
    def test_tracks_of_one_number_stay_apart(self, tmp_path, first, second):
        tracks = track(box(0), number=first), track(box(0), number=second)
        keys = read(tmp_path, cvat(*tracks)).sources[0].keys

        assert len({key.track_id for key in keys}) == 2
        assert min(key.track_id for key in keys) >= 0


def project(*elements: str) -> str:
    """Two tasks of subset "a" (frames 2, 4, ... 8 and 0 to 9) and one of "b"."""
    tasks = "".join(
        f"<task><id>{number}</id><name>{name}</name><size>{size}</size><mode>interpolation</mode>"
        f"<subset>{subset}</subset><start_frame>{start}</start_frame>"
        f"<stop_frame>{stop}</stop_frame><frame_filter>{rule}</frame_filter>"
        "<original_size><width>64</width><height>48</height></original_size></task>"
        for number, name, subset, start, stop, size, rule in (
            (11, "first.mp4", "a", 2, 8, 4, "step=2"),
            (12, "second", "a", 0, 9, 10, ""),
            (13, "third", "b", 0, 4, 5, ""),
        )
    )
    body = "\n".join(elements)
    return (
        f"<annotations><meta><project><name>p</name><tasks>{tasks}</tasks><labels><label>"
        f"<name>cup</name></label></labels></project></meta>\n{body}\n</annotations>"
    )


class TestProjects:
    def test_running_numbers_become_the_frames_of_each_task(self, tmp_path):
        # CVAT adds to a task's frames those of the tasks before it in the same subset:
        # start + step * size = 2 + 2 * 4 = 10.
        result = read(
            tmp_path,
            project(
                track(box(4), number=0, more='task_id="11" subset="a"'),
                track(box(10), box(19), number=1, more='task_id="12" subset="a"'),
                track(box(3), number=2, more='task_id="13" subset="b"'),
            ),
        )

        assert result.problems == []
        found = {s.names: [key.frame for key in s.keys] for s in result.sources}
        assert found == {("first.mp4",): [4], ("second",): [0, 9], ("third",): [3]}
        assert [s.width for s in result.sources] == [64, 64, 64]
        assert not any(s.names_media_file for s in result.sources)

    def test_tasks_are_told_by_frames_where_tracks_do_not_name_them(self, tmp_path):
        text = project(track(box(12), more='subset="a"'), track(box(3), number=1))
        result = read(tmp_path, text)

        assert [key.frame for key in result.sources[1].keys] == [2]
        (problem,) = result.problems
        assert "it is not known which task" in problem.problem
        assert problem.line == 5

    def test_unknown_task(self, tmp_path):
        (problem,) = read(tmp_path, project(track(box(3), more='task_id="99"'))).problems

        assert problem.severity == "error"


@pytest.mark.parametrize(
    ("rows", "kept", "line", "frame", "text"),
    [
        ([box(5), box(3), box(7)], [5, 7], 6, 3, "frame 3 comes after 5"),
        ([box(5), box(5), box(7)], [5, 7], 6, 5, "frame 5 is there twice"),
        ([box(5), box(4, keyframe=0)], [5], 6, 4, "comes after 5"),
        ([box(5), box(6, sides=(1, 2, "nan", 4))], [5], 6, 6, 'xbr="nan" is not a finite'),
        ([box(5), box(6, sides=(1, 2, 3, "-inf"))], [5], 6, 6, 'ybr="-inf" is not a finite'),
        ([box(5), box(6, sides=("1,5", 2, 3, 4))], [5], 6, 6, 'xtl="1,5" is not a number'),
        ([box(5), '<box frame="6" xtl="1" ytl="1" xbr="2"/>'], [5], 6, 6, "has no ybr"),
        ([box(5), box("six")], [5], 6, None, 'frame="six" is not a number'),
        ([box(5), box("6.5")], [5], 6, None, "is not a whole number"),
        (['<polygon frame="1" points="1,1;2,2"/>'], [], 4, None, "only boxes are read"),
        ([box(5), '<ellipse frame="6" cx="1"/>'], [], 4, None, "mixes boxes with a ellipse"),
    ],
)
def test_bad_rows_are_named_and_left_out(tmp_path, rows, kept, line, frame, text):
    result = read(tmp_path, cvat(track(*rows)))

    (problem,) = result.problems
    assert text in problem.problem
    assert problem.file == str(tmp_path / "a.xml")
    assert (problem.line, problem.frame) == (line if text != "only boxes are read" else 5, frame)
    assert [key.frame for key in result.sources[0].keys] == kept


def test_elements_of_a_skeleton_are_no_boxes(tmp_path):
    skeleton = f'<skeleton frame="1" keyframe="1">{box(1)}</skeleton>'
    result = read(tmp_path, cvat(track(skeleton)))

    assert result.sources[0].keys == []
    assert "skeleton" in result.problems[0].problem


def test_track_without_label(tmp_path):
    (problem,) = read(tmp_path, cvat(track(box(0), label=""))).problems

    assert "has no label" in problem.problem
    assert problem.line == 4


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xxxxxxxxxx">'
    + "".join(f'<!ENTITY x{i} "{f"&x{i - 1};" * 10 if i else "&x;" * 10}">' for i in range(9))
    + "]><annotations>&x8;</annotations>"
)
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>'


@pytest.mark.parametrize(
    ("content", "line", "text"),
    [
        ("", 1, "not well-formed"),
        ("no XML at all", 1, "not well-formed"),
        ("<annotations>\n<track>\n", 3, "not well-formed"),
        ("<annotations>\n<a>\n</b></annotations>", 3, "not well-formed"),
        ("<html></html>", 1, "root element is <html>"),
        ("<annotations><meta><task><stop_frame>x</stop_frame></task></meta></annotations>", 1, "x"),
        (BOMB, None, "defines entities"),
        (OUTSIDE, None, "defines entities"),
    ],
)
def test_hopeless_files(tmp_path, content, line, text):
    with pytest.raises(InputError, match=text) as caught:
        read(tmp_path, content)

    assert caught.value.file == str(tmp_path / "a.xml")
    assert caught.value.line == line


class TestZip:
    def zip(self, tmp_path: Path, **members: str) -> Path:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    @pytest.mark.parametrize("name", ["annotations.xml", "export/annotations.xml"])
    def test_dump(self, tmp_path, name):
        path = self.zip(tmp_path, **{name: cvat(track(box(3))), "images/frame_000003.PNG": ""})

        assert detect_format(path) == "cvat-video"
        assert [key.line for key in cvat_video.read(path).sources[0].keys] == [5]

    @pytest.mark.parametrize("name", ["../a.xml", "/annotations.xml", "a/../../b", "C:\\x"])
    def test_members_that_leave_the_folder(self, tmp_path, name):
        path = self.zip(tmp_path, **{"annotations.xml": cvat(), name: ""})

        for function in (cvat_video.read, detect_format):
            with pytest.raises(InputError, match="leads out of") as caught:
                function(path)
            assert caught.value.file == str(path)

    def test_symbolic_link(self, tmp_path):
        path = tmp_path / "a.zip"
        link = zipfile.ZipInfo("annotations.xml")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(link, "/etc/passwd")

        with pytest.raises(InputError, match="symbolic link"):
            cvat_video.read(path)

    def test_bomb(self, tmp_path):
        path = self.zip(tmp_path, **{"annotations.xml": " " * (40 << 20)})

        with pytest.raises(InputError, match="zip bomb"):
            cvat_video.read(path)

    def test_without_annotations(self, tmp_path):
        path = self.zip(tmp_path, **{"data.json": "{}"})

        assert detect_format(path) is None
        with pytest.raises(InputError, match=r"holds no annotations\.xml"):
            cvat_video.read(path)

    @pytest.mark.parametrize("damage", [lambda data: b"text", lambda data: data[: len(data) // 2]])
    def test_damaged(self, tmp_path, damage):
        path = self.zip(tmp_path, **{"annotations.xml": cvat()})
        path.write_bytes(damage(path.read_bytes()))

        with pytest.raises(InputError, match="not a zip file"):
            cvat_video.read(path)

    def test_damaged_member(self, tmp_path):
        path = self.zip(tmp_path, **{"annotations.xml": cvat(track(box(3)))})
        data = bytearray(path.read_bytes())
        data[80:90] = b"x" * 10
        path.write_bytes(data)

        with pytest.raises(InputError):
            cvat_video.read(path)


def oracle_difference(source) -> float:
    """Largest difference of our interpolation to the rows that CVAT interpolated."""
    reference = np.reshape(source.reference_boxes, (-1, REFERENCE_COLUMNS))
    task = (source.start, source.stop, source.step)
    boxes = interpolate(key_table([("v", source.keys)]), {"v": task}).to_pylist()
    ours = {(b["track_id"], b["frame"]): b for b in boxes}
    sides = ("xmin", "ymin", "xmax", "ymax")
    rows = [[ours[track, frame][side] for side in sides] for track, frame in reference[:, :2]]
    return float(np.abs(np.array(rows) - reference[:, 2:6]).max())


@pytest.mark.parametrize(
    ("name", "rows"), [("pets/annotations.xml", 4160), ("cvat/job_dump_traffic.xml", 10)]
)
def test_real_dumps_equal_their_own_interpolation(shared_data, name, rows):
    (source,) = cvat_video.read(shared_data / name).sources

    assert len(source.reference_boxes) == rows * REFERENCE_COLUMNS
    assert oracle_difference(source) <= 0.01 + 1e-9  # both sides are rounded
    assert compare_with_reference(source, source.keys) == []


class TestOracle:
    def dump(self, tmp_path, middle: float):
        rows = [box(0), box(5, (middle, 2, 11, 12), keyframe=0), box(10, (11, 2, 21, 12))]
        return read(tmp_path, cvat(track(*rows))).sources[0]

    @pytest.mark.parametrize("middle", [6, 6 + REFERENCE_TOLERANCE - 0.01])
    def test_agreement(self, tmp_path, middle):
        source = self.dump(tmp_path, middle)
        source.reference_boxes[4] = 16
        assert compare_with_reference(source, source.keys) == []

    def test_disagreement(self, tmp_path):
        source = self.dump(tmp_path, 1)
        (problem,) = compare_with_reference(source, source.keys)

        assert problem.severity == "warning"
        assert (problem.line, problem.frame) == (6, 5)
        assert "by up to 5.00 pixels" in problem.problem

    def test_box_where_we_have_none(self, tmp_path):
        rows = [box(0), box(2, outside=1), box(5, keyframe=0)]
        source = read(tmp_path, cvat(track(*rows))).sources[0]
        (problem,) = compare_with_reference(source, source.keys)

        assert "where we have no box" in problem.problem


sides = st.tuples(*[st.integers(0, 6399)] * 2, *[st.integers(1, 6399)] * 2).map(
    lambda s: (s[0] / 100, s[1] / 100, (s[0] + s[2]) / 100, (s[1] + s[3]) / 100)
)
one_key = st.tuples(sides, st.booleans(), st.booleans(), st.integers(0, 35900))
one_track = st.dictionaries(st.integers(0, 30), one_key, min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(
    tracks=st.lists(one_track, max_size=4),
    start=st.integers(0, 9),
    step=st.integers(1, 4),
    key_frames=st.booleans(),
)
def test_what_is_written_is_read_again(tmp_path_factory, tracks, start, step, key_frames):
    keys = [
        KeyBox(number, 'a <b> & "c"', start + step * index, *box, turn / 100, outside, occluded)
        for number, rows in enumerate(tracks)
        for index, (box, outside, occluded, turn) in sorted(rows.items())
    ]
    stop = start + step * 30
    item = Item("clip.mp4", Path(), "video", 64, 48, stop + 1, 10, "a", start, stop, step, keys)
    boxes = interpolate(key_table([("clip.mp4", keys)]), {"clip.mp4": (start, stop, step)})
    path = tmp_path_factory.mktemp("cvat") / "clip.xml"
    cvat_video.write([AnnotatedItem(item, boxes)], ['a <b> & "c"'], path, key_frames)
    result = cvat_video.read(path)

    assert result.problems == []
    (source,) = result.sources
    assert [key._replace(line=0) for key in source.keys] == keys
    assert (source.start, source.stop, source.step) == (start, stop, step)
    assert source.names == ("clip.mp4",)
    if source.reference_boxes:
        assert not key_frames
        assert oracle_difference(source) <= 0.0051


@pytest.mark.parametrize(
    ("elements", "reviewed"),
    [
        ((), True),
        ((track(box(0)),), True),
        (('<track id="0" label="cup"><polygon frame="0" points="1,1;2,2;3,1"/></track>',), False),
    ],
    ids=["no track", "boxes", "a polygon that is left out"],
)
def test_a_task_is_reviewed_unless_shapes_are_left_out(tmp_path, elements, reviewed):
    (source,) = read(tmp_path, cvat(*elements)).sources

    assert source.reviewed == reviewed
