from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.annotation_samples import voc, write_image, write_text

from kfdet.dataset.loading import load
from kfdet.parameters import DatasetSettings


def images(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        write_image(root / name, colour=9 * number)


def sides(root: Path, **settings) -> dict[str, str]:
    """Side of every image by its stem."""
    return {item.path.stem: item.side for item in load(root, DatasetSettings(**settings)).items}


def yolo(root: Path, yaml: str, **folders: str) -> None:
    """YOLO's layout: images of these stems in images/FOLDER, with one box each."""
    write_text(root / "data.yaml", f"names: [cup]\n{yaml}")
    number = 0
    for folder, stems in folders.items():
        for stem in stems:
            number += 1
            write_image(root / "images" / folder / f"{stem}.jpg", colour=9 * number)
            write_text(root / "labels" / folder / f"{stem}.txt", "0 .5 .5 .2 .2\n")


class TestYolo:
    @pytest.mark.parametrize(
        "yaml",
        [
            "train: images/train\nval: images/val\ntest: images/test",
            "path: .\ntrain: [images/train]\nval: ./images/val\ntest: images/test/",
            "path: /home/somebody/else\ntrain: images/train\nval: images/val\ntest: images/test",
            "train: ../images/train\nval: ../images/val\ntest: ../images/test",
            "train: images/train\nval: val.txt\ntest: images/test",
            "train: images/train\nval: images/val\ntest: images/test\nnc: 1",
        ],
    )
    def test_named(self, tmp_path, yaml):
        yolo(tmp_path, yaml, train="abc", val="d", test="e")
        write_text(tmp_path / "val.txt", "./images/val/d.jpg\n\n")
        found = load(tmp_path)
        assert {item.path.stem: item.side for item in found.items} == {
            **dict.fromkeys("abc", "train"),
            "d": "val",
            "e": "test",
        }
        assert found.sides_from == "data.yaml"
        assert not [p for p in found.problems if "side" in p.problem]

    def test_what_it_does_not_name_is_left_out(self, tmp_path):
        yolo(tmp_path, "train: images/train\nval: images/val", train="abc", val="d", old="xyzwu")
        assert sorted(sides(tmp_path)) == ["a", "b", "c", "d"]
        (problem,) = (p for p in load(tmp_path).problems if "does not name" in p.problem)
        assert "images/old/u.jpg, images/old/w.jpg, images/old/x.jpg and 2 more" in problem.problem

    @pytest.mark.parametrize(
        ("yaml", "severity", "side"),
        [
            ("train: images/train\nval: images/gone", "error", "val"),
            ("train: images/train\nval: images/val", "error", "val"),
            ("train: images/train\nval: images/x\ntest: images/gone", "warning", "test"),
        ],
        ids=["no such folder", "nothing in it", "no test side"],
    )
    def test_a_side_of_nothing(self, tmp_path, yaml, severity, side):
        yolo(tmp_path, yaml, train="abc", x="d")
        (tmp_path / "images" / "val").mkdir()
        (problem,) = (p for p in load(tmp_path).problems if "no picture" in p.problem)
        assert problem.severity == severity
        assert f"on the {side} side that data.yaml states" in problem.problem

    def test_a_data_yaml_of_somebody_elses_folders_states_nothing(self, tmp_path):
        yolo(tmp_path, "train: /home/x/train\nval: /home/x/val", train="abc", x="d")
        assert not [p for p in load(tmp_path).problems if "side" in p.problem]

    def test_the_same_folder_for_both_is_no_split(self, tmp_path):
        yolo(tmp_path, "train: images/all\nval: images/all", all="abcd")
        assert set(sides(tmp_path).values()) == {""}

    def test_sides_that_overlap(self, tmp_path):
        yolo(tmp_path, "train: images\nval: images/val", train="abc", val="d")
        (problem,) = (p for p in load(tmp_path).problems if p.severity == "error")
        assert problem.problem == "images/val/d.jpg is on train and on val."
        assert "--no-own-sides" in problem.hint
        assert problem.file.endswith("data.yaml")

    def test_not_wanted(self, tmp_path):
        yolo(tmp_path, "train: images/train\nval: images/val", train="abc", val="d")
        assert set(sides(tmp_path, own_sides=False).values()) == {""}
        write_text(tmp_path / "dataset.yaml", "own_sides: false")
        assert set(sides(tmp_path).values()) == {""}

    def test_options_come_first(self, tmp_path):
        yolo(tmp_path, "train: images/train\nval: images/val", train="abc", val="d")
        assert sides(tmp_path, test="b.jpg") == {
            "a": "train",
            "b": "test",
            "c": "train",
            "d": "val",
        }


def voc_devkit(root: Path, **sets: str) -> None:
    base = root / "VOC2007"
    stems = sorted(set("".join(sets.values())))
    for number, stem in enumerate([*stems, "z"]):
        write_image(base / "JPEGImages" / f"{stem}.jpg", colour=9 * number)
        write_text(base / "Annotations" / f"{stem}.xml", voc(("cup", (1, 2, 30, 40))))
    for name, listed in sets.items():
        write_text(base / "ImageSets" / "Main" / f"{name}.txt", "\n".join(listed) + "\n")
    write_text(base / "ImageSets" / "Main" / "cup_train.txt", "a 1\nb -1\n")


class TestVoc:
    def test_three_sides(self, tmp_path):
        voc_devkit(tmp_path, train="ab", val="c", trainval="abc", test="d")
        found = load(tmp_path)
        assert {item.path.stem: item.side for item in found.items} == {
            "a": "train",
            "b": "train",
            "c": "val",
            "d": "test",
        }
        assert found.sides_from == "VOC2007/ImageSets/Main"

    def test_trainval_is_split_and_test_kept(self, tmp_path):
        voc_devkit(tmp_path, trainval="abc", test="d")
        assert sides(tmp_path) == {**dict.fromkeys("abc", "train"), "d": "test"}


def coco(path: Path, *names: str) -> None:
    content = {
        "images": [
            {"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(names)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 2, 20, 20]}
            for i in range(len(names))
        ],
        "categories": [{"id": 1, "name": "cup"}],
    }
    write_text(path, json.dumps(content))


class TestNames:
    def test_coco_files(self, tmp_path):
        images(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
        coco(tmp_path / "annotations" / "instances_train2017.json", "a.jpg", "b.jpg")
        coco(tmp_path / "annotations" / "instances_val2017.json", "c.jpg")
        assert sides(tmp_path) == {"a": "train", "b": "train", "c": "val"}

    def test_roboflow(self, tmp_path):
        images(tmp_path, "train/a.jpg", "valid/b.jpg", "test/c.jpg")
        for folder, name in (("train", "a.jpg"), ("valid", "b.jpg"), ("test", "c.jpg")):
            coco(tmp_path / folder / "_annotations.coco.json", name)
        assert sides(tmp_path) == {"a": "train", "b": "val", "c": "test"}

    def test_folders_of_the_tutorials(self, tmp_path):
        for number, stem in enumerate(("train/a", "train/b", "test/c", "d")):
            write_image(tmp_path / "images" / f"{stem}.jpg", colour=9 * number)
            write_text(tmp_path / "images" / f"{stem}.xml", voc(("cup", (1, 2, 30, 40))))
        assert sides(tmp_path) == {"a": "train", "b": "train", "c": "test", "d": "train"}
        (problem,) = (p for p in load(tmp_path).problems if "no side" in p.problem)
        assert "images/d.jpg" in problem.problem

    @pytest.mark.parametrize("folder", ["train", "test", "bus"])
    def test_one_side_is_none(self, tmp_path, folder):
        images(tmp_path, f"{folder}/test.jpg", f"{folder}/train.jpg")
        for stem in ("test", "train"):
            write_text(tmp_path / folder / f"{stem}.xml", voc(("cup", (1, 2, 30, 40))))
        assert set(sides(tmp_path).values()) == {""}


def test_linked_images(tmp_path):
    yolo(tmp_path / "here", "train: images/train\nval: images/val", train="abc", val="d")
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "here" / "images").rename(elsewhere)
    for folder in ("train", "val"):
        (tmp_path / "here" / "images" / folder).mkdir(parents=True)
        for image in (elsewhere / folder).iterdir():
            (tmp_path / "here" / "images" / folder / image.name).symlink_to(image)
    found = load(tmp_path / "here")
    assert found.sides_from == "data.yaml"
    assert [item.side for item in found.items] == ["train", "train", "train", "val"]


def test_what_states_sides_is_named(tmp_path):
    yolo(tmp_path, "train: images/train\nval: images/val", train="abc", val="d", more="ef")
    assert load(tmp_path, DatasetSettings(test="a.jpg")).sides_from == "data.yaml and --test"
    both = DatasetSettings(test="a.jpg", val="b.jpg")
    assert load(tmp_path, both).sides_from == "--val and --test"
