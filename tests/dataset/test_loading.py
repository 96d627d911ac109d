from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.annotation_samples import box, cvat, track, voc, write_image, write_text, write_video

from kfdet.boxes.tables import KEY_SCHEMA
from kfdet.dataset.loading import Dataset, all_errors, load
from kfdet.errors import InputError, Problem
from kfdet.video import heif


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A video of 20 frames, 64x48, 10 a second."""
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4")


def tracks(count: int = 12, label: str = "cup", first: int = 0) -> list[str]:
    return [track(box(0), number=first + n, label=label) for n in range(count)]


def dump(**more) -> str:
    return cvat(*tracks(), **more)


def texts(dataset: Dataset, severity: str | None = None) -> list[str]:
    return [p.problem for p in dataset.problems if severity in (None, p.severity)]


class TestFolder:
    def test_missing(self, tmp_path):
        with pytest.raises(InputError, match="does not exist"):
            load(tmp_path / "none")

    def test_a_file(self, clip):
        with pytest.raises(InputError, match="is a file"):
            load(clip)

    @pytest.mark.parametrize("name", [None, "annotations/a.xml", ".hidden.jpg"])
    def test_without_media(self, tmp_path, name):
        if name:
            write_text(tmp_path / name, cvat())
        with pytest.raises(InputError, match="no videos and no images") as caught:
            load(tmp_path)
        assert "videos/" in caught.value.hint

    def test_outputs_of_a_run_and_hidden_folders_are_not_searched(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        write_text(tmp_path / "a.xml", dump())
        write_text(tmp_path / "run" / "run.json", "{}")
        write_image(tmp_path / "run" / "artifacts" / "sample.jpg")
        write_image(tmp_path / ".cache" / "x.jpg")

        assert [item.name for item in load(tmp_path).items] == ["clip.mp4"]

    def test_links_are_followed_but_not_for_ever(self, tmp_path, clip):
        write_text(tmp_path / "data" / "annotations" / "clip.xml", dump())
        (tmp_path / "data" / "videos").symlink_to(clip.parent)
        (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")

        assert [item.name for item in load(tmp_path / "data").items] == ["videos/clip.mp4"]


class TestVideos:
    @pytest.mark.parametrize(
        ("video", "annotation", "source"),
        [
            ("clip.mp4", "annotations.xml", "clip.mp4"),
            ("videos/clip.mp4", "annotations/task_3.xml", "clip.mp4"),
            ("videos/clip.mp4", "annotations/clip.xml", ""),
            ("videos/clip.mp4", "annotations/clip.xml", "before_it_was_renamed.mp4"),
            ("videos/day/clip.mp4", "annotations/clip/annotations.xml", ""),
            ("videos/clip.mp4", "annotations/whatever.xml", ""),
        ],
    )
    def test_annotations_find_their_video(self, tmp_path, clip, video, annotation, source):
        (tmp_path / video).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / video)
        write_text(tmp_path / annotation, dump(source=source))
        dataset = load(tmp_path)

        assert dataset.problems == []
        (item,) = dataset.items
        assert (item.name, item.annotation, item.kind) == (video, annotation, "video")
        assert (item.width, item.height, item.frames, item.fps) == (64, 48, 20, 10)
        assert (item.start, item.stop, item.step) == (0, 19, 1)
        assert len(item.keys) == 12
        assert dataset.labels == ["cup"]
        assert dataset.key_table().schema == KEY_SCHEMA
        assert dataset.key_table().column("video").unique().to_pylist() == [video]

    def test_every_video_gets_its_own(self, tmp_path, clip):
        for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4"):
            write_video(tmp_path / "videos" / name)
            if name != "d.mp4":
                write_text(tmp_path / "annotations" / f"{name[0]}.xml", dump(kind="job"))
        dataset = load(tmp_path)

        found = {item.name[7]: item.annotation[12:] for item in dataset.items}
        assert found == {"a": "a.xml", "b": "b.xml", "c": "c.xml", "d": ""}
        (problem,) = [p for p in dataset.problems if "no annotations" in p.problem]
        assert problem.severity == "warning"
        assert problem.file == str(tmp_path / "videos" / "d.mp4")

    def test_task_that_is_shorter_than_its_video(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        rows = [track(box(2), box(11), number=n) for n in range(9)]
        write_text(tmp_path / "clip.xml", cvat(*rows, start=2, stop=12, step=3))
        (item,) = load(tmp_path).items

        assert (item.start, item.stop, item.step) == (2, 11, 3)

    def test_task_that_claims_more_frames_than_there_are(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        write_text(tmp_path / "clip.xml", dump(stop=99))
        dataset = load(tmp_path)

        assert dataset.items[0].stop == 19
        assert dataset.problems == []

    @pytest.mark.parametrize(
        ("xml", "text"),
        [
            (dump(source="other.mp4", size=(100, 100)), "are for 100x100 pixels, but clip.mp4"),
            (cvat(*tracks(), track(box(30), number=99)), "a box is on frame 30"),
        ],
    )
    def test_annotations_of_another_video(self, tmp_path, clip, xml, text):
        shutil.copy(clip, tmp_path)
        write_text(tmp_path / "annotations.xml", xml)
        errors = [p for p in load(tmp_path).problems if p.severity == "error"]

        assert len(errors) == 1
        assert text in errors[0].problem
        assert "another video" in errors[0].hint

    def test_named_after_one_video_but_made_for_another(self, tmp_path):
        for name in ("a.mp4", "b.mp4"):
            write_video(tmp_path / name)
        write_text(tmp_path / "a.xml", dump(source="b.mp4"))

        assert any("belongs to a.mp4, but it states" in text for text in texts(load(tmp_path)))

    def test_used_for_the_only_video(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        write_text(tmp_path / "annotations.xml", dump(source="other.mp4"))

        assert texts(load(tmp_path), "warning") == [
            "was made for other.mp4; it is used for clip.mp4, the only video that is left."
        ]

    def test_annotations_that_name_no_video(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        write_text(tmp_path / "clip.xml", dump())
        write_text(tmp_path / "stray.xml", dump())

        (text,) = texts(load(tmp_path), "error")
        assert text == "the dataset has no video of that name."

    @pytest.mark.parametrize(
        ("elements", "background"),
        [
            ([], True),
            (['<track id="0" label="cup"><polygon frame="0" points="1,1;2,2"/></track>'], False),
        ],
    )
    def test_annotations_without_a_box(self, tmp_path, clip, elements, background):
        write_text(tmp_path / "a.xml", dump())
        shutil.copy(clip, tmp_path / "a.mp4")
        write_video(tmp_path / "empty.mp4")
        write_text(tmp_path / "empty.xml", cvat(*elements))

        dataset = load(tmp_path)
        assert [item.background for item in dataset.items] == [False, background]
        unused = [text for text in texts(dataset) if "the video is not used" in text]
        assert len(unused) == (not background)

    def test_annotations_without_video(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        write_text(tmp_path / "clip.xml", dump())
        write_text(tmp_path / "stray.xml", dump(source="stray.mp4"))

        (text,) = texts(load(tmp_path), "error")
        assert "the dataset has no video 'stray.mp4'." in text

    def test_two_annotations_of_one_video(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        write_text(tmp_path / "clip.xml", dump())
        write_text(tmp_path / "second.xml", dump(source="clip.mp4"))

        (text,) = texts(load(tmp_path), "error")
        assert text.startswith("belongs to clip.mp4 like")

    @pytest.mark.parametrize("content", [b"", b"this is no video\n" * 99])
    def test_no_video(self, tmp_path, content):
        (tmp_path / "clip.mp4").write_bytes(content)
        write_text(tmp_path / "clip.xml", dump())
        dataset = load(tmp_path)

        assert dataset.items == []
        (problem,) = dataset.problems
        assert (problem.severity, problem.file) == ("error", str(tmp_path / "clip.mp4"))

    def test_video_that_is_cut_off(self, tmp_path):
        whole = write_video(tmp_path / "whole" / "clip.avi", frames=60)
        data = whole.read_bytes()
        whole.unlink()
        (tmp_path / "clip.avi").write_bytes(data[: -len(data) // 4])
        write_text(tmp_path / "clip.xml", dump())
        dataset = load(tmp_path)

        assert 0 < dataset.items[0].frames < 60
        (problem,) = [p for p in dataset.problems if "cut off" in p.problem]
        assert (problem.severity, problem.file) == ("warning", str(tmp_path / "clip.avi"))

    def test_xml_that_cannot_be_read(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        write_text(tmp_path / "clip.xml", "<annotations>\n<track>")

        problem = next(p for p in load(tmp_path).problems if "not well-formed" in p.problem)
        assert (problem.file, problem.line) == (str(tmp_path / "clip.xml"), 2)

    def test_same_video_twice(self, tmp_path, clip):
        for name in ("a.mp4", "b.mp4"):
            shutil.copy(clip, tmp_path / name)
            write_text((tmp_path / name).with_suffix(".xml"), dump())

        assert texts(load(tmp_path), "error") == ["the same video as a.mp4."]

    def test_project_dump(self, tmp_path, clip):
        tasks = ""
        for number, name in enumerate(("a", "b")):
            write_video(tmp_path / "videos" / f"{name}.mp4")
            tasks += (
                f"<task><id>{number}</id><name>{name}.mp4</name><size>20</size>"
                "<start_frame>0</start_frame><stop_frame>19</stop_frame></task>"
            )
        rows = [
            track(box(7 + 20 * task), number=number, more=f'task_id="{task}"')
            for number, task in enumerate([0, 1] * 6)
        ]
        body = "\n".join(rows)
        text = f"<annotations><meta><project><tasks>{tasks}</tasks></project></meta>{body}"
        write_text(tmp_path / "annotations" / "project.xml", f"{text}</annotations>")
        dataset = load(tmp_path)

        assert dataset.problems == []
        assert [{key.frame for key in item.keys} for item in dataset.items] == [{7}, {7}]

    def test_dumped_interpolation_that_differs(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        rows = [box(0), box(1, (5, 5, 20, 20), keyframe=0), box(15)]
        write_text(tmp_path / "clip.xml", cvat(*tracks(first=1), track(*rows)))

        (text,) = texts(load(tmp_path))
        assert "1 of the boxes that the annotation tool interpolated differ" in text

    def test_coco_of_a_videos_frames(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        content = {
            "images": [
                {"id": n, "file_name": f"frame_{n:06d}.PNG", "width": 64, "height": 48}
                for n in range(12)
            ],
            "annotations": [
                {"id": n, "image_id": n, "category_id": 1, "bbox": [1, 2, 3, 4]} for n in range(12)
            ],
            "categories": [{"id": 1, "name": "cup"}],
        }
        write_text(tmp_path / "instances.json", json.dumps(content))
        dataset = load(tmp_path)

        assert dataset.problems == []
        assert [key.frame for key in dataset.items[0].keys] == list(range(12))

    def test_label_studio_shares_become_pixels(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        place = {"frame": 1, "enabled": False, "x": 25, "y": 50, "width": 50, "height": 50}
        value = {"labels": ["cup"], "sequence": [place], "framesCount": 20}
        regions = [{"type": "videorectangle", "value": value}]
        task = {"data": {"video": "/data/upload/1/0123abcd-clip.mp4"}}
        text = json.dumps([{**task, "annotations": [{"result": regions}]}])
        write_text(tmp_path / "export.json", text.replace("false", "true"))
        (item,) = load(tmp_path).items

        assert item.annotation == "export.json"
        assert item.keys[0][3:7] == (16, 24, 48, 48)

    def test_mot_ground_truth_is_read_and_other_text_is_not(self, tmp_path, clip):
        shutil.copy(clip, tmp_path)
        rows = "".join(f"{n},1,1,2,10,20,1,1,1\n" for n in range(1, 21))
        write_text(tmp_path / "groundtruth_mot.txt", "not,for,us\n")
        write_text(tmp_path / "gt.txt", rows)
        dataset = load(tmp_path)

        assert dataset.problems == []
        assert len(dataset.items[0].keys) == 20


class TestImages:
    def voc_dataset(self, root: Path, count: int = 12, label: str = "cup") -> None:
        for number in range(count):
            write_image(root / "images" / f"x{number}.jpg", colour=number)
            write_text(root / "annotations" / f"x{number}.xml", voc((label, (1, 2, 30, 40))))

    def test_voc(self, tmp_path):
        self.voc_dataset(tmp_path)
        dataset = load(tmp_path)

        assert dataset.problems == []
        assert len(dataset.items) == 12
        item = dataset.items[0]
        assert (item.name, item.annotation) == ("images/x0.jpg", "annotations/x0.xml")
        assert (item.kind, item.frames, item.fps, item.start, item.stop) == ("image", 1, 0, 0, 0)
        assert item.keys[0].line == 4

    def test_yolo(self, tmp_path):
        write_text(tmp_path / "data.yaml", "names: [cup]")
        write_text(tmp_path / "classes.txt", "cup\n")
        for split in ("train", "val"):
            for number in range(6):
                shade = number + 10 * (split == "val")
                write_image(tmp_path / "images" / split / f"{number}.jpg", colour=shade)
                text = "0 0.5 0.5 0.25 0.5\n" if number else ""
                write_text(tmp_path / "labels" / split / f"{number}.txt", text)
        dataset = load(tmp_path)

        assert dataset.problems == []
        assert [len(item.keys) for item in dataset.items] == [0, 1, 1, 1, 1, 1] * 2
        assert dataset.items[1].annotation == "labels/train/1.txt"
        assert dataset.items[1].keys[0][3:7] == (24, 12, 40, 36)

    def test_labelimg_yolo_in_one_folder(self, tmp_path):
        write_text(tmp_path / "classes.txt", "cup\n")
        for number in range(10):
            write_image(tmp_path / f"{number}.jpg", colour=number)
            write_text(tmp_path / f"{number}.txt", "0 0.5 0.5 0.2 0.4\n")

        assert load(tmp_path).problems == []

    @pytest.mark.parametrize(("orientation", "size"), [(1, (64, 48)), (3, (64, 48)), (6, (48, 64))])
    def test_exif_orientation(self, tmp_path, orientation, size):
        write_image(tmp_path / "x.jpg", orientation=orientation)
        write_text(tmp_path / "x.xml", voc(("cup", (1, 2, 30, 40)), size=size))
        dataset = load(tmp_path)

        (item,) = dataset.items
        assert (item.width, item.height, item.orientation) == (*size, orientation)
        assert not any("pixels, but" in text for text in texts(dataset))

    def test_annotations_that_ignored_the_exif_orientation(self, tmp_path):
        write_image(tmp_path / "x.jpg", orientation=6)
        write_text(tmp_path / "x.xml", voc(("cup", (1, 2, 30, 40)), size=(64, 48)))

        problem = next(p for p in load(tmp_path).problems if "pixels, but" in p.problem)
        assert "EXIF" in problem.hint

    @pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0\x00\x10JFIF"])
    def test_no_image(self, tmp_path, content):
        self.voc_dataset(tmp_path)
        (tmp_path / "images" / "x3.jpg").write_bytes(content)
        dataset = load(tmp_path)

        assert len(dataset.items) == 11
        (problem,) = dataset.problems
        assert problem.file == str(tmp_path / "images" / "x3.jpg")

    def test_unmatched(self, tmp_path):
        self.voc_dataset(tmp_path)
        (tmp_path / "images" / "x3.jpg").unlink()
        (tmp_path / "annotations" / "x4.xml").unlink()
        problems = load(tmp_path).problems

        assert [(Path(p.file).name, p.severity) for p in problems] == [
            ("x3.xml", "warning"),
            ("x4.jpg", "warning"),
        ]

    def test_duplicates(self, tmp_path):
        self.voc_dataset(tmp_path)
        shutil.copy(tmp_path / "images" / "x3.jpg", tmp_path / "images" / "x5.jpg")

        (problem,) = load(tmp_path).problems
        assert problem.problem == "the same image as images/x3.jpg."
        assert problem.severity == "warning"

    def test_same_name_in_two_folders(self, tmp_path):
        self.voc_dataset(tmp_path)
        write_image(tmp_path / "images" / "b" / "x0.png", colour=99)
        write_image(tmp_path / "images" / "c" / "x1.png", colour=98)
        (tmp_path / "images" / "x1.jpg").rename(tmp_path / "images" / "d.jpg")
        write_image(tmp_path / "images" / "e" / "x1.png", colour=97)

        assert texts(load(tmp_path), "error") == [
            "may belong to images/c/x1.png or to images/e/x1.png."
        ]

    def test_one_class_with_two_boxes(self, tmp_path):
        self.voc_dataset(tmp_path, count=2)

        (text,) = texts(load(tmp_path), "error")
        assert "label 'cup' has only 2 boxes" in text

    def test_no_boxes(self, tmp_path):
        write_image(tmp_path / "x.jpg")
        write_text(tmp_path / "x.xml", voc())

        assert texts(load(tmp_path), "error") == ["the dataset has no boxes."]


def test_every_problem_is_listed_in_order(tmp_path, clip):
    shutil.copy(clip, tmp_path)
    rows = [
        track(box(3), box(2), number=90),
        track(box(0, (1, 2, "nan", 4)), number=91),
        track(box(0, (5, 5, 5, 9)), number=92),
        track(box(0, (-9, 5, 5, 9)), number=93),
        track(box(0), number=94, label="Cup"),
    ]
    write_text(tmp_path / "clip.xml", cvat(*rows, *tracks()))
    problems = load(tmp_path).problems

    assert [(p.line, p.severity) for p in problems] == [
        (6, "error"),
        (9, "error"),
        (12, "error"),
        (15, "warning"),
        (18, "error"),
    ]
    assert {p.file for p in problems} == {str(tmp_path / "clip.xml")}


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        ([], None),
        ([Problem("warning", "w")], None),
        ([Problem("error", "e.", "a.xml", 3)], "a.xml:3: e."),
        ([Problem("error", "e"), Problem("error", "f", "b")], "2 errors:\n  e\n  b: f"),
    ],
)
def test_all_errors(problems, message):
    error = all_errors(problems)

    assert (str(error) if error else None) == message


@pytest.mark.parametrize(
    ("name", "items", "keys", "labels", "warnings"),
    [("pets", 1, 502, ["person"], 0), ("raccoon", 200, 217, ["raccoon"], 4)],
)
def test_real_data(shared_data, name, items, keys, labels, warnings):
    dataset = load(shared_data / name)

    assert (len(dataset.items), dataset.key_table().num_rows) == (items, keys)
    assert dataset.labels == labels
    assert [p.severity for p in dataset.problems] == ["warning"] * warnings


def test_loading_imports_nothing_heavy():
    code = (
        "import sys, kfdet.dataset.loading, kfdet.dataset.conversion, kfdet.video.probe;"
        "print(*({'datumaro', 'tensorflow', 'cv2', 'kfp', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


def test_a_notebook_shows_how_much_there_is(tmp_path):
    dataset = Dataset(tmp_path, [], ["cup", "spoon"], [])
    assert repr(dataset) == (
        f"<Dataset {tmp_path}: 0 items, 0 boxes, 0 problems; labels: cup, spoon>"
    )


def images(root: Path, count: int = 12) -> None:
    for number in range(count):
        write_image(root / "images" / f"x{number}.jpg", colour=number)


def pack(path: Path, **members: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


class TestZips:
    def test_voc(self, tmp_path):
        images(tmp_path)
        files = {f"Annotations/x{n}.xml": voc(("cup", (1, 2, 30, 40))) for n in range(12)}
        pack(tmp_path / "annotations" / "boxes.zip", **files, **{"readme.md": ""})
        dataset = load(tmp_path)

        assert dataset.problems == []
        assert all(len(item.keys) == 1 for item in dataset.items)
        assert dataset.items[0].annotation == "annotations/boxes.zip/Annotations/x0.xml"

    def test_yolo(self, tmp_path):
        images(tmp_path)
        files = {f"labels/x{n}.txt": "0 .5 .5 .2 .2" for n in range(12)}
        pack(tmp_path / "labels.zip", **files, **{"data.yaml": "names: [cup]"})

        assert load(tmp_path).labels == ["cup"]

    def test_problems_name_the_file_in_the_zip(self, tmp_path):
        images(tmp_path)
        files = {f"x{n}.xml": voc(("cup", (1, 2, 30, "x" if n == 3 else 40))) for n in range(12)}
        pack(tmp_path / "boxes.zip", **files)
        (problem,) = load(tmp_path).problems

        assert problem.file == str(tmp_path / "boxes.zip" / "x3.xml")
        assert problem.line == 4

    def test_images_inside(self, tmp_path):
        images(tmp_path, 1)
        pack(tmp_path / "images.zip", **{"a.jpg": "", "x0.jpg": "", "b.mp4": ""})
        problem = next(p for p in load(tmp_path).problems if p.file.endswith(".zip"))

        assert "holds 2 videos and images, such as a.jpg" in problem.problem
        assert problem.hint.startswith("Unpack it")
        (tmp_path / "images" / "x0.jpg").unlink()
        with pytest.raises(InputError, match="holds no videos and no images") as caught:
            load(tmp_path)
        assert "images.zip" in caught.value.hint

    def test_a_way_out_of_the_folder(self, tmp_path):
        images(tmp_path, 1)
        pack(tmp_path / "a.zip", **{"../x0.xml": voc(("cup", (1, 2, 30, 40)))})

        assert any("leads out of the zip" in text for text in texts(load(tmp_path), "error"))


@pytest.mark.parametrize(
    ("name", "hint"), [("a.HEIC", "kfdet[heic]"), ("b.WMV", "ffmpeg"), ("c.gif", "PNG")]
)
def test_what_is_not_read_is_named(tmp_path, monkeypatch, name, hint):
    monkeypatch.setattr(heif, "is_readable", lambda: False)
    images(tmp_path, 1)
    write_text(tmp_path / name, "")
    write_text(tmp_path / "notes.md", "")
    (problem,) = (p for p in load(tmp_path).problems if "does not read" in p.problem)
    assert name in problem.problem
    assert hint in problem.hint


def test_the_only_annotation_file_is_named_where_nothing_reads_it(tmp_path):
    images(tmp_path, 1)
    write_text(tmp_path / "labels.csv", "a,b\n1,2\n")
    wanted = "is not in a known annotation format; it is not read."
    assert wanted in texts(load(tmp_path), "warning")
    write_text(tmp_path / "x0.xml", voc(("cup", (1, 2, 30, 40))))
    assert wanted not in texts(load(tmp_path), "warning")


@pytest.mark.parametrize("suffix", ["m4v", "3gp", "mts", "ts"])
def test_videos_of_phones_and_camcorders(tmp_path, suffix):
    write_video(tmp_path / f"clip.{suffix.upper()}")
    write_text(tmp_path / "clip.xml", dump())
    dataset = load(tmp_path)
    assert [item.frames for item in dataset.items] == [20]
    assert len(dataset.items[0].keys) == 12


def test_subsets_of_a_cvat_project_are_sides(tmp_path):
    images(tmp_path, 4)
    elements = [
        f'<image id="{n}" name="x{n}.jpg" subset="{subset}" width="64" height="48">'
        '<box label="cup" xtl="1" ytl="2" xbr="30" ybr="40"></box></image>'
        for n, subset in enumerate(("Train", "Train", "Validation", "Test"))
    ]
    write_text(tmp_path / "a.xml", cvat(*elements))
    dataset = load(tmp_path)
    assert [item.side for item in dataset.items] == ["train", "train", "val", "test"]
    assert dataset.sides_from == "the annotations"
