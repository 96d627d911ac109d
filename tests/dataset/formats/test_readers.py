"""Readers of the formats for images, and of MOT and Label Studio."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from support.annotation_samples import box, cvat, voc, write_image, write_text

from kfdet.boxes.tables import UNTRACKED
from kfdet.dataset.formats import coco, cvat_images, label_studio, mot, yolo
from kfdet.dataset.formats import datumaro as datumaro_json
from kfdet.dataset.formats import voc as pascal
from kfdet.dataset.formats.model import KeyBox
from kfdet.dataset.formats.registry import FORMATS, detect_format, read_annotations
from kfdet.errors import InputError


def plain(keys: list[KeyBox]) -> list[tuple]:
    return [(key.label, key.frame, *key[3:7]) for key in keys]


class TestVoc:
    def test_no_objects(self, tmp_path):
        (source,) = pascal.read(write_text(tmp_path / "photo.v2.xml", voc())).sources

        assert source.names == ("photo.v2", "some.jpg")
        assert (source.kind, source.width, source.height) == ("image", 64, 48)
        assert source.keys == []

    def test_objects_with_lines(self, tmp_path):
        text = voc(("cup", (1, 2, 3, 4)), ("cup ", ("5.5", 6, 7, 8)))
        text = text.replace("</object>", "<occluded>1</occluded></object>", 1)
        (source,) = pascal.read(write_text(tmp_path / "a.xml", text)).sources

        assert source.keys == [
            KeyBox(UNTRACKED, "cup", 0, 1, 2, 3, 4, occluded=True, line=4),
            KeyBox(UNTRACKED, "cup ", 0, 5.5, 6, 7, 8, line=5),
        ]

    @pytest.mark.parametrize(
        ("objects", "text"),
        [
            ([("cup", (1, 2, "NaN", 4))], "<xmax>NaN</xmax> is not a finite number"),
            ([("cup", (1, 2, "", 4))], "<xmax></xmax> is not a number"),
            ([("", (1, 2, 3, 4))], "has no <name>"),
        ],
    )
    def test_bad_object(self, tmp_path, objects, text):
        good = ("cup", (1, 2, 3, 4))
        result = pascal.read(write_text(tmp_path / "a.xml", voc(good, *objects, good)))

        (problem,) = result.problems
        assert text in problem.problem
        assert (problem.file, problem.line) == (str(tmp_path / "a.xml"), 5)
        assert len(result.sources[0].keys) == 2

    def test_object_without_box(self, tmp_path):
        text = "<annotation><object><name>a</name></object></annotation>"
        (problem,) = pascal.read(write_text(tmp_path / "a.xml", text)).problems

        assert "no <xmin>" in problem.problem

    def test_other_xml(self, tmp_path):
        with pytest.raises(InputError, match="root element is <svg>"):
            pascal.read(write_text(tmp_path / "a.xml", "<svg/>"))


class TestCvatImages:
    def image(self, name: str, number: int, *rows: str) -> str:
        return f'<image id="{number}" name="{name}" width="64" height="48">{"".join(rows)}</image>'

    def test_images(self, tmp_path):
        row = box(0, label="cup", occluded=1, rotation=90).replace('frame="0" ', "")
        text = cvat(self.image("a/x.jpg", 5, row), self.image("y.png", 6))
        result = cvat_images.read(write_text(tmp_path / "a.xml", text))

        assert result.problems == []
        first, second = result.sources
        assert (first.kind, first.names, first.width) == ("image", ("a/x.jpg",), 64)
        assert first.keys == [KeyBox(UNTRACKED, "cup", 0, 1, 2, 11, 12, 90, occluded=True, line=4)]
        assert second.keys == []

    def test_frames_of_a_video_task(self, tmp_path):
        rows = [self.image(f"frame_{n:06d}", n, box(0, label="cup")) for n in (3, 6)]
        text = cvat(*rows, start=3, step=3, stop=19, source="clip.mp4")
        (source,) = cvat_images.read(write_text(tmp_path / "a.xml", text)).sources

        assert (source.kind, source.names) == ("video", ("clip.mp4",))
        assert [(k.frame, k.track_id) for k in source.keys] == [(3, UNTRACKED), (6, UNTRACKED)]
        assert (source.start, source.stop, source.step) == (3, 18, 3)

    def test_bad_rows(self, tmp_path):
        rows = [
            self.image("a.jpg", 0, '<polygon label="cup"/>', box(0)),
            self.image("", 1, box(0, label="cup")),
            self.image("b.jpg", 2, box(0, label="cup", rotation="x")),
        ]
        result = cvat_images.read(write_text(tmp_path / "a.xml", cvat(*rows)))

        assert sorted((p.line, p.severity) for p in result.problems) == [
            (4, "error"),
            (4, "warning"),
            (5, "error"),
            (6, "error"),
        ]


def coco_file(path: Path, *annotations: dict, **more: object) -> Path:
    content = {
        "images": [
            {"id": 1, "file_name": "a/x.jpg", "width": 64, "height": 48},
            {"id": 2, "file_name": "y.jpg"},
        ],
        "annotations": list(annotations),
        "categories": [{"id": 7, "name": "cup"}],
        **more,
    }
    return write_text(path, json.dumps(content))


def annotation(**more: object) -> dict:
    return {"id": 5, "image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 20], **more}


class TestCoco:
    def test_no_annotations(self, tmp_path):
        first, second = coco.read(coco_file(tmp_path / "a.json")).sources

        assert (first.names, first.width, first.height) == (("a/x.jpg",), 64, 48)
        assert (second.names, second.width, second.keys) == (("y.jpg",), 0, [])

    def test_boxes(self, tmp_path):
        more = {"occluded": True, "rotation": 5.0}
        path = coco_file(tmp_path / "a.json", annotation(), annotation(attributes=more))
        keys = coco.read(path).sources[0].keys

        assert keys == [
            KeyBox(UNTRACKED, "cup", 0, 1, 2, 11, 22),
            KeyBox(UNTRACKED, "cup", 0, 1, 2, 11, 22, 5.0, occluded=True),
        ]

    @pytest.mark.parametrize(
        ("bad", "text"),
        [
            (annotation(bbox=[1, 2, 3]), "annotation 5 has a bbox that is not [x, y"),
            (annotation(bbox=[1, 2, None, 3]), "not four numbers"),
            (annotation(category_id=8), "has category 8"),
            (annotation(image_id=9), "is on image 9"),
            ({"id": 6, "image_id": 1, "category_id": 7}, "annotation 6 has no 'bbox'"),
            ("text", "annotation 'text'"),
        ],
    )
    def test_bad_annotations(self, tmp_path, bad, text):
        result = coco.read(coco_file(tmp_path / "a.json", annotation(), bad, annotation()))

        (problem,) = result.problems
        assert text in problem.problem
        assert len(result.sources[0].keys) == 2

    def test_crowds(self, tmp_path):
        result = coco.read(coco_file(tmp_path / "a.json", annotation(iscrowd=1)))

        assert result.problems[0].severity == "warning"
        assert result.sources[0].keys == []

    def test_not_a_number_is_left_to_the_box_check(self, tmp_path):
        path = coco_file(tmp_path / "a.json", annotation(bbox=[1, 2, math.nan, 4]))

        assert math.isnan(coco.read(path).sources[0].keys[0].xmax)

    @pytest.mark.parametrize(
        ("text", "message", "line"),
        [
            ("", "is not JSON", 1),
            ('{"images": [],\n "anno', "is not JSON", 2),
            ("[]", "no list of images", None),
            ('{"images": [{}], "annotations": [], "categories": []}', "lacks 'id'", None),
        ],
    )
    def test_hopeless(self, tmp_path, text, message, line):
        with pytest.raises(InputError, match=message) as caught:
            coco.read(write_text(tmp_path / "a.json", text))
        assert caught.value.line == line


class TestYolo:
    def dataset(self, tmp_path: Path, names: str, text: str, folder="labels", **labels: str):
        for stem, rows in labels.items():
            write_text(tmp_path / folder / f"{stem}.txt", rows)
        return write_text(tmp_path / names, text)

    @pytest.mark.parametrize(
        ("names", "text"),
        [
            ("data.yaml", "path: .\nnames: [cup, 'red ball']\n"),
            ("data.yaml", "names:\n  0: cup\n  1: red ball\n"),
            ("obj.names", "cup\nred ball\n"),
            ("classes.txt", "cup\nred ball\n"),
        ],
    )
    def test_class_names(self, tmp_path, names, text):
        path = self.dataset(tmp_path, names, text, a="1 0.5 0.5 0.2 0.4\n", b="")
        assert detect_format(path) == "yolo"
        result = yolo.read(path)

        assert result.labels == ["cup", "red ball"]
        first, second = result.sources
        assert (first.names, first.relative) == (("labels/a",), True)
        assert plain(first.keys) == [("red ball", 0, 0.4, 0.3, 0.6, pytest.approx(0.7))]
        assert first.keys[0].line == 1
        assert second.keys == []

    def test_polygon_and_other_text_files(self, tmp_path):
        polygon = "0 0.1 0.2 0.3 0.2 0.3 0.4\n"
        others = {"train": "images/a.jpg\n", "notes": "made by me", "truth_mot": "1,2,3,4,5,6"}
        path = self.dataset(tmp_path, "data.yaml", "names: [cup]", ".", a=polygon, **others)
        (source,) = yolo.read(path).sources

        assert plain(source.keys) == [("cup", 0, 0.1, 0.2, 0.3, 0.4)]

    @pytest.mark.parametrize(
        ("row", "text"),
        [
            ("7 0.5 0.5 0.2 0.4", "class '7' is not among the 1"),
            ("0 0.5 0.5 x 0.4", "is not a number"),
            ("0 0.5 0.5 0.4", "4 numbers is neither a box"),
        ],
    )
    def test_bad_rows(self, tmp_path, row, text):
        good = "0 0.5 0.5 0.2 0.4"
        rows = f"{good}\n\n{row}\n{good}"
        result = yolo.read(self.dataset(tmp_path, "data.yaml", "names: [cup]", a=rows))

        (problem,) = result.problems
        assert text in problem.problem
        assert (problem.file, problem.line) == (str(tmp_path / "labels" / "a.txt"), 3)
        assert [key.line for key in result.sources[0].keys] == [1, 4]

    @pytest.mark.parametrize("text", ["names: []", "names: 3", "names: {a: b}", "names: [a"])
    def test_hopeless(self, tmp_path, text):
        with pytest.raises(InputError):
            yolo.read(write_text(tmp_path / "data.yaml", text))

    def test_other_yaml(self, tmp_path):
        assert detect_format(write_text(tmp_path / "data.yaml", "batch: 3")) is None


class TestMot:
    def read(self, tmp_path: Path, rows: str, labels="cup\nball\n", info=""):
        if labels:
            write_text(tmp_path / "clip" / "gt" / "labels.txt", labels)
        if info:
            write_text(tmp_path / "clip" / "seqinfo.ini", info)
        return mot.read(write_text(tmp_path / "clip" / "gt" / "gt.txt", rows))

    def test_empty(self, tmp_path):
        (source,) = self.read(tmp_path, "").sources

        assert (source.kind, source.names, source.keys) == ("video", ("clip",), [])

    def test_tracks_end_and_are_not_bridged(self, tmp_path):
        rows = "3,1,1,2,10,20,1,2,0.2\n1,1,1,2,10,20,1,2,1\n2,1,2,2,10,20,1,2,1\n6,1,1,2,1,1,1,2,1"
        (source,) = self.read(tmp_path, rows).sources

        found = [(k.frame, k.outside, k.occluded, k.line) for k in source.keys]
        assert found == [
            (0, False, False, 2),
            (1, False, False, 3),
            (2, False, True, 1),
            (3, True, True, 1),
            (5, False, False, 4),
            (6, True, False, 4),
        ]
        assert plain(source.keys)[0] == ("ball", 0, 1, 2, 11, 22)

    def test_sequence_information(self, tmp_path):
        info = "[Sequence]\nname=other\nseqLength=30\nimWidth=64\nimHeight=48\n"
        (source,) = self.read(tmp_path, "", info=info).sources

        assert source.names == ("other", "clip")
        assert (source.stop, source.width, source.height) == (29, 64, 48)

    @pytest.mark.parametrize(
        ("row", "label"),
        [("1,1,1,2,10,20,1,3,1", "car"), ("1,1,1,2,10,20,1,-4.1,-7.3,0", "pedestrian")],
    )
    def test_challenge_without_label_file(self, tmp_path, row, label):
        keys = self.read(tmp_path, row, labels="").sources[0].keys
        assert keys[0].label == label

    def test_images_of_a_sequence(self, tmp_path):
        image = write_image(tmp_path / "clip" / "img1" / "000002.jpg")
        first, second = self.read(tmp_path, "1,1,1,2,10,20\n2,1,1,2,10,20").sources

        assert (second.kind, second.names) == ("image", (image.as_posix(),))
        assert [key.frame for key in second.keys] == [0]
        assert first.names == ("frame 1",)

    @pytest.mark.parametrize(
        ("row", "text"),
        [
            ("1,2,3", "has 3 numbers"),
            ("1,1,x,2,3,4", "not a number"),
            ("1,1,nan,2,3,4", "not finite"),
            ("1.5,1,1,2,3,4", "not a whole number"),
            ("4,1,1,2,3,4,1,9,1", "class 9"),
            ("4,1,1,2,3,4,1,1,1\n4,1,1,2,3,4,1,1,1", "track 1 is on this frame twice"),
        ],
    )
    def test_bad_rows(self, tmp_path, row, text):
        result = self.read(tmp_path, f"1,1,1,2,3,4,1,1,1\n{row}\n")

        (problem,) = result.problems
        assert text in problem.problem
        assert problem.line == 2 + row.count("\n")

    def test_rows_marked_as_not_valid(self, tmp_path):
        result = self.read(tmp_path, "1,1,1,2,3,4,0,1,1\n")

        assert result.problems[0].severity == "warning"
        assert result.sources[0].keys == []


def region(*sequence: tuple[int, bool], **more: object) -> dict:
    place = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
    rows = [{"frame": frame, "enabled": enabled, **place} for frame, enabled in sequence]
    value = {"framesCount": 20, "labels": ["cup"], "sequence": rows}
    return {"id": "r1", "type": "videorectangle", "value": value, **more}


class TestLabelStudio:
    def read(self, tmp_path: Path, *regions: dict, video="clip.mp4", **more: object):
        task = {"id": 1, "data": {"video": video}, "annotations": [{"result": regions}], **more}
        return label_studio.read(write_text(tmp_path / "a.json", json.dumps([task])))

    def test_no_tasks(self, tmp_path):
        assert label_studio.read(write_text(tmp_path / "a.json", "[]")).sources == []

    def test_no_regions(self, tmp_path):
        (source,) = self.read(tmp_path).sources
        assert (source.kind, source.keys, source.names) == ("video", [], ("clip.mp4",))

    @pytest.mark.parametrize(
        ("video", "names"),
        [
            ("/data/upload/3/0a1b2c3d-my%20clip.mp4", ("0a1b2c3d-my clip.mp4", "my clip.mp4")),
            ("/data/local-files/?d=videos/clip.mp4", ("clip.mp4",)),
            ("s3://bucket/a/clip.mp4", ("clip.mp4",)),
        ],
    )
    def test_names(self, tmp_path, video, names):
        assert self.read(tmp_path, video=video).sources[0].names == names

    @pytest.mark.parametrize(
        ("sequence", "keys"),
        [
            ([(1, True)], [(0, False)]),
            ([(1, True), (6, True)], [(0, False), (5, False)]),
            # Visible up to and on the disabled frame, gone after it.
            ([(1, True), (6, False)], [(0, False), (5, False), (6, True)]),
            ([(1, True), (6, False), (7, True)], [(0, False), (5, False), (6, False)]),
            ([(1, True), (6, False), (9, True)], [(0, False), (5, False), (6, True), (8, False)]),
            # A disabled frame that follows a disabled one shows nothing.
            ([(3, False), (6, False), (9, True)], [(2, True), (5, True), (8, False)]),
            ([(6, True), (1, True)], [(0, False), (5, False)]),
        ],
    )
    def test_sequence(self, tmp_path, sequence, keys):
        (source,) = self.read(tmp_path, region(*sequence)).sources

        assert [(key.frame, key.outside) for key in source.keys] == keys
        assert source.stop == 19
        assert plain(source.keys)[0][2:] == (0.1, 0.2, 0.4, pytest.approx(0.6))

    def test_rotation_is_about_the_corner(self, tmp_path):
        turned = region((1, True))
        turned["value"]["sequence"][0]["rotation"] = 90
        (source,) = self.read(tmp_path, turned).sources
        source.to_pixels(100, 100)

        # 30 wide and 40 high at (10, 20), turned clockwise: it covers x -30..10, y 20..50.
        assert source.keys[0].rotation == 90
        assert source.keys[0][3:7] == pytest.approx((-25, 15, 5, 55))

    def test_last_annotation_that_was_not_cancelled_counts(self, tmp_path):
        entries = [
            {"result": [region((1, True))]},
            {"result": [region((2, True))]},
            {"result": [region((3, True))], "was_cancelled": True},
        ]
        (source,) = self.read(tmp_path, annotations=entries).sources
        assert [key.frame for key in source.keys] == [1]

    @pytest.mark.parametrize(
        ("bad", "severity", "text"),
        [
            (region((1, True), (1, True)), "error", "frame 1 twice"),
            ({**region(), "value": {"labels": [], "sequence": []}}, "error", "has 0 labels"),
            ({**region(), "value": {"labels": ["a"]}}, "error", "has no 'sequence'"),
            ({**region(), "type": "timelinelabels"}, "warning", "is a timelinelabels"),
        ],
    )
    def test_bad_regions(self, tmp_path, bad, severity, text):
        result = self.read(tmp_path, region((1, True)), bad)

        (problem,) = result.problems
        assert problem.severity == severity
        assert text in problem.problem
        assert len(result.sources[0].keys) == 1

    @pytest.mark.parametrize("text", ["{}", "[3]", '[{"video": "a.mp4", "box": []}]'])
    def test_hopeless(self, tmp_path, text):
        with pytest.raises(InputError, match="not a Label Studio export"):
            label_studio.read(write_text(tmp_path / "a.json", text))


class TestDatumaro:
    def item(self, **annotation: object) -> dict:
        attributes = {"occluded": True}
        given = {"id": 1, "type": "bbox", "label_id": 0, "bbox": [1, 2, 10, 20]}
        annotations = [{"attributes": attributes, "group": 0, "z_order": 0, **given, **annotation}]
        image = {"path": "x.jpg", "size": [48, 64]}
        return {"id": "a/x", "annotations": annotations, "attr": {}, "image": image}

    def read(self, tmp_path: Path, *items: dict):
        labels = {"label": {"labels": [{"name": "cup", "parent": "", "attributes": []}]}}
        content = {"dm_format_version": "1.0", "categories": labels, "items": items}
        path = write_text(tmp_path / "annotations" / "default.json", json.dumps(content))
        assert detect_format(path) == "datumaro"
        return datumaro_json.read(path)

    def test_box(self, tmp_path):
        (source,) = self.read(tmp_path, self.item()).sources

        assert source.names == ("x.jpg", "a/x")
        assert (source.width, source.height) == (64, 48)
        assert source.keys == [KeyBox(UNTRACKED, "cup", 0, 1, 2, 11, 22, occluded=True)]

    def test_outside_boxes_and_other_shapes(self, tmp_path):
        outside = self.item(attributes={"outside": True})
        polygon = self.item(type="polygon", points=[1, 1, 2, 2, 3, 3])
        result = self.read(tmp_path, outside, {**polygon, "id": "b"})

        assert [source.keys for source in result.sources] == [[], []]
        assert "1 annotations are left out" in result.problems[0].problem

    def test_hopeless(self, tmp_path):
        with pytest.raises(InputError, match="Datumaro cannot read it"):
            self.read(tmp_path, self.item(bbox="x"))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.xml", cvat(), "cvat-video"),
        ("a.xml", cvat('<image id="1" name="a.jpg"></image>'), "cvat-images"),
        ("a.xml", '<?xml version="1.0"?><!-- <b> -->\n<annotation verified="yes">', "voc"),
        ("a.xml", "", "cvat-video"),
        ("a.xml", "<svg></svg>", None),
        ("a.json", "{}", None),
        ("a.json", "[]", None),
        ("a.json", '[{"id": 1, "data": {}, "annotations": []}]', "label-studio"),
        ("a.json", '\ufeff {"info": 1, "images": []}', "coco"),
        ("a.json", '{"info": {}, "categories": {"label": {}}, "items": []}', "datumaro"),
        ("gt.txt", "", "mot"),
        ("groundtruth_mot.txt", "1,2,3,4,5,6", None),
        ("a.csv", "", None),
    ],
)
def test_detect_format(tmp_path, name, text, expected):
    path = write_text(tmp_path / name, text)

    assert detect_format(path) == expected
    assert expected is None or FORMATS[expected].read is not None


def test_unknown_format(tmp_path):
    with pytest.raises(InputError, match="no annotation format that is known") as caught:
        read_annotations(write_text(tmp_path / "a.csv", ""))
    assert "CVAT for video" in caught.value.hint
