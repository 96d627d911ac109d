"""Annotation files that are made to hurt, of every format: small, valid enough, and expensive."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from support.annotation_samples import box, cvat, track, voc, write_image, write_text, write_video
from support.resources import at_most

from kfdet.dataset.conversion import convert
from kfdet.dataset.formats.registry import FORMATS, detect_format, read_annotations
from kfdet.dataset.label_checks import Use, check_labels
from kfdet.dataset.loading import load
from kfdet.dataset.reading import load_items
from kfdet.errors import InputError
from kfdet.evaluation.results_file import Ids, read_results

FOR_IMAGES = ("coco", "voc", "yolo", "datumaro", "cvat-images", "csv", "parquet")
FOR_VIDEOS = ("coco", "voc", "yolo", "datumaro", "cvat-images", "cvat-video", "mot", "parquet")


def coco(name: object, width: int = 64) -> str:
    image = {"id": 1, "file_name": name, "width": width, "height": 48}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    return json.dumps(
        {"images": [image], "annotations": [entry], "categories": [{"id": 1, "name": "cup"}]}
    )


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


class TestNamesDecideNothing:
    """Where `convert` writes is the user's choice alone."""

    SAFE = (
        ("a:b.jpg", "a:b"),
        ("day 1/it's (2).jpg", "day 1/it's (2)"),
        ("...a.jpg", "...a"),
        ("../../out.jpg", "out"),
        ("a/../../../out.jpg", "a/out"),
        (".. /out.jpg", "out"),
        ("/etc/cron.d/out.jpg", "etc/cron.d/out"),
        ("//host/share/out.jpg", "host/share/out"),
        ("C:\\data\\out.jpg", "data/out"),
        ("..\\..\\out.jpg", "out"),
        ("~/out.jpg", "~/out"),
    )
    REFUSED = (
        *(
            "",
            ".",
            "..",
            "/",
            "../..",
            "...jpg",
            "..jpg",
            "x/.. .jpg",
            "C:\\",
            "\\\\",
            " /..",
            "a\nb.jpg",
            "a\x00b.jpg",
        ),
        *("\x1b[2J.jpg", "\ud800.jpg", "x" * 300 + ".jpg", "d/" * 900 + "x.jpg"),
    )

    @pytest.mark.parametrize("to", FOR_IMAGES)
    @pytest.mark.parametrize(("name", "stem"), SAFE)
    def test_images(self, tmp_path, name, stem, to):
        source = write_text(tmp_path / "in" / "a.json", coco(name))
        done = convert(source, tmp_path / "deep" / "er" / "out", to)

        assert done.boxes == 1
        written = files(tmp_path)
        assert {p for p in written if not p.startswith(("in/", "deep/er/out/"))} == set()
        if to in ("voc", "yolo"):
            folder = "labels/" if to == "yolo" else ""
            assert f"deep/er/out/{folder}{stem}.{'txt' if to == 'yolo' else 'xml'}" in written

    @pytest.mark.parametrize("to", FOR_IMAGES)
    @pytest.mark.parametrize("name", REFUSED)
    def test_no_name_of_an_image(self, tmp_path, name, to):
        source = write_text(tmp_path / "in" / "a.json", coco(name))

        with pytest.raises(InputError, match=r"a\.json: "):
            convert(source, tmp_path / "out", to)
        assert files(tmp_path) == {"in/a.json"}

    @pytest.mark.parametrize("to", FOR_VIDEOS)
    @pytest.mark.parametrize("name", ["/var/clip.mp4", "../../clip.mp4", "D:\\x\\..\\clip.mp4"])
    def test_videos(self, tmp_path, name, to):
        source = write_text(tmp_path / "in" / "a.xml", cvat(track(box(0), box(3)), source=name))
        done = convert(source, tmp_path / "deep" / "er" / "out", to)

        assert done.sources == 1
        assert {p for p in files(tmp_path) if not p.startswith(("in/", "deep/er/out/"))} == set()

    def test_names_that_become_one(self, tmp_path):
        content = json.loads(coco("a.jpg"))
        content["images"].append({"id": 2, "file_name": "../a.jpg", "width": 64, "height": 48})
        source = write_text(tmp_path / "a.json", json.dumps(content))

        with pytest.raises(InputError, match="2 files are called a"):
            convert(source, tmp_path / "out", "voc")

    def test_image_of_such_a_name_comes_back(self, tmp_path):
        write_image(tmp_path / "in" / "images" / "a:b.jpg")
        write_text(tmp_path / "in" / "annotations" / "a:b.xml", voc(("cup", (1, 2, 30, 40))))
        for to in ("coco", "datumaro"):
            convert(tmp_path / "in", tmp_path / to / "annotations", to)
            write_image(tmp_path / to / "images" / "a:b.jpg")
            ((item,), problems) = load_items(tmp_path / to)

            assert (len(item.keys), problems) == (1, [])


class TestNumbersDecideNothing:
    """A number in a file changes neither memory nor time."""

    @pytest.mark.parametrize("stop", [30_000_000, 2**31, 2**63, 10**30])
    def test_last_frame_beyond_the_video(self, tmp_path, stop):
        write_video(tmp_path / "clip.mp4")
        # CVAT's own boxes between key frames are compared with ours.
        rows = track(box(0), box(1, keyframe=0), box(4), box(9, keyframe=0))
        write_text(tmp_path / "clip.xml", cvat(rows, stop=stop))
        with at_most(seconds=3):
            dataset = load(tmp_path)

        assert dataset.items[0].stop == 19
        assert not any("differ from ours" in p.problem for p in dataset.problems)
        with at_most(seconds=3), pytest.raises(InputError, match="converts at most 8,000,000"):
            convert(tmp_path / "clip.xml", tmp_path / "out", "parquet")

    @pytest.mark.parametrize("to", ["parquet", "coco", "cvat-video", "mot"])
    def test_very_many_boxes_between_keys(self, tmp_path, to):
        tracks = [track(box(0), number=n) for n in range(3)]
        path = write_text(tmp_path / "clip.xml", cvat(*tracks, stop=1_000_000))

        with at_most(seconds=3), pytest.raises(InputError, match="3,000,003 boxes on all frames"):
            convert(path, tmp_path / "out", to)

    @pytest.mark.parametrize(
        "numbers",
        [
            {"start": 10**12},
            {"start": -5},
            {"stop": -7},
            {"start": 25, "stop": 30},
            {"step": 10**25},
            {"size": (10**400, 48)},
            {"size": (-64, 48)},
        ],
    )
    def test_task(self, tmp_path, numbers):
        write_video(tmp_path / "clip.mp4")
        path = write_text(tmp_path / "clip.xml", cvat(track(box(0), box(4)), **numbers))
        with at_most(seconds=3):
            dataset = load(tmp_path)
            with suppress(InputError):
                convert(path, tmp_path / "out", "parquet")

        assert all(0 <= item.start <= item.stop < 20 for item in dataset.items)

    @pytest.mark.parametrize(
        "row",
        [
            box(2**63),
            box("1e300"),
            box(0, (1, 2, "1e308", 12)),
            box(0, ("9" * 400, 2, 3, 4)),
            box("9" * 5000),
        ],
    )
    def test_box(self, tmp_path, row):
        write_video(tmp_path / "clip.mp4")
        write_text(tmp_path / "clip.xml", cvat(track(box(1), row, number=2**63)))

        assert any(p.severity == "error" for p in load(tmp_path).problems)

    @pytest.mark.parametrize("digits", ["9" * 5000, "1e999", "NaN", "-1", '"x"', "null", "[]"])
    @pytest.mark.parametrize("place", ['"width": 64', '"bbox": [1, 2,', '"image_id": 1', '"id": 1'])
    def test_json(self, tmp_path, place, digits):
        name, _, value = place.partition(": ")
        text = coco("x.jpg").replace(place, f"{name}: {value.replace('1', digits, 1)}")
        write_image(tmp_path / "x.jpg")
        write_text(tmp_path / "a.json", text.replace('"width": 64', f'"width": {digits}'))

        assert load(tmp_path).problems


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.mp4", "a.xml", "a.json", "classes.txt", "data.yaml", "labels/a.txt"]
)
def test_pipes_are_not_opened(tmp_path, name):
    write_image(tmp_path / "x.jpg")
    write_text(tmp_path / "x.xml", voc(("cup", (1, 2, 30, 40))))
    if name == "labels/a.txt":
        write_text(tmp_path / "classes.txt", "cup\n")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)

    assert len(load(tmp_path).items[0].keys) == 1


@pytest.mark.parametrize("kind", [[], {}, None, 1, [["x"]]])
def test_a_region_of_no_type(tmp_path, kind):
    region = {"type": kind, "value": {"rectanglelabels": ["cup"]}}
    task = {"data": {"image": "x.jpg"}, "annotations": [{"result": [region]}]}
    path = write_text(tmp_path / "a.json", json.dumps([task]))

    assert any("is not read" in problem.problem for problem in read_annotations(path).problems)


class TestTimeGrowsWithTheFile:
    def test_comments_without_an_end(self, tmp_path):
        path = write_text(tmp_path / "a.xml", "<!--" * 200_000)
        with at_most(seconds=2):
            detect_format(path)

    @pytest.mark.parametrize(
        "text",
        [
            "<annotations><meta><project>" + "<tasks><task>" * 20_000,
            "<annotation>" + "<object>" * 100_000,
            "<annotation>" + "<x>" * 65 + "</x>" * 65 + "</annotation>",
        ],
    )
    def test_deep_xml(self, tmp_path, text):
        path = write_text(tmp_path / "a.xml", text)
        with at_most(seconds=2), pytest.raises(InputError, match="in more than 64 other elements"):
            read_annotations(path)

    def test_long_tag(self, tmp_path):
        path = write_text(tmp_path / "a.xml", f"<annotations a='{'x' * 30_000_000}'></annotations>")
        with at_most(seconds=5):
            read_annotations(path)

    @pytest.mark.parametrize("name", ["a.json", "coco.json"])
    def test_deep_json(self, tmp_path, name):
        start = '[{"data": 1, "annotations": ' if name == "a.json" else '{"images": [], "x": '
        path = write_text(tmp_path / name, start + "[" * 200_000)
        with at_most(seconds=2), pytest.raises(InputError, match="not JSON"):
            read_annotations(path)

    @pytest.mark.parametrize(
        "text",
        [
            "names:\n  - &a [x, x]\n" + "".join(f"  - &a{n} [*a, *a]\n" for n in range(50)),
            "names: " + "[" * 2000,
            "names: " + "{a: " * 2000,
            "names:\n" + "- x\n" * 100_000,
            "#" * (2 << 20) + "\nnames: [a]",
            "names: [[a, b], [c]]",
            "names: {.inf: a}",
            "names: {x: a}",
            "names: !!int x",
            "names: 2001-99-99",
            "names: &a {0: *a}",
        ],
    )
    def test_yaml(self, tmp_path, text):
        path = write_text(tmp_path / "data.yaml", text)
        with at_most(seconds=8), pytest.raises(InputError, match=r"data\.yaml: "):
            read_annotations(path)

    def test_yaml_words_are_names(self, tmp_path):
        path = write_text(tmp_path / "data.yaml", "names: [yes, no, 1, ~, 2001-01-01]")

        assert read_annotations(path).labels == ["yes", "no", "1", "~", "2001-01-01"]

    @pytest.mark.parametrize("stated", [True, False])
    def test_tasks_by_tracks(self, tmp_path, stated):
        count = 4000
        tasks = "".join(
            f"<task><id>{n}</id><name>v{n}</name><size>10</size><start_frame>0</start_frame>"
            f"<source>v{n}.mp4</source></task>"
            for n in range(count)
        )
        tracks = "\n".join(
            track(box(10 * n), number=n, more=f'task_id="{n}"' if stated else "")
            for n in range(count)
        )
        meta = f"<meta><project><tasks>{tasks}</tasks></project></meta>"
        path = write_text(tmp_path / "a.xml", f"<annotations>{meta}{tracks}</annotations>")
        with at_most(seconds=8):
            found = read_annotations(path)

        assert [len(source.keys) for source in found.sources] == [1] * count

    def test_tracks_by_rows_of_reference(self, tmp_path):
        write_video(tmp_path / "clip.mp4")
        count = 4000
        rows = [track(box(0), box(1, (5, 5, 9, 9), keyframe=0), number=n) for n in range(count)]
        write_text(tmp_path / "clip.xml", cvat(*rows))
        with at_most(seconds=8):
            _, problems = load_items(tmp_path)

        assert sum("differ from ours" in problem.problem for problem in problems) == count

    def test_similar_labels(self):
        words = [f"{'x' * 50}{n:04d}" for n in range(3000)]
        uses = [
            Use(word, "a.xml", 1, 0) for n, word in enumerate(words) for _ in range(1 + n % 2 * 9)
        ]
        with at_most(seconds=20):
            assert check_labels(uses)

    def test_very_many_images_in_one_file(self, tmp_path):
        content = json.loads(coco("x.jpg"))
        content["images"] = [
            {"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48} for n in range(20_000)
        ]
        path = write_text(tmp_path / "a.json", json.dumps(content))
        with at_most(seconds=10):
            assert convert(path, tmp_path / "out", "parquet").sources == 20_000


def test_every_format_is_among_those_that_name_files():
    assert {*FOR_IMAGES, *FOR_VIDEOS, "label-studio"} == set(FORMATS)


@pytest.mark.parametrize("name", ["image_id", "category_id", "score", "bbox"])
@pytest.mark.parametrize("value", [[], {}, None, [[1]], 10**400, [1, 2, 3, 10**400]])
def test_results_of_another_detector(tmp_path, name, value):
    entry = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, name: value}
    path = write_text(tmp_path / "results.json", json.dumps([entry]))

    with pytest.raises(InputError):
        read_results(path, Ids({}, {}), ["cup"], ["x.jpg"], [])
