from __future__ import annotations

from pathlib import Path

import pytest
from support.annotation_samples import box, cvat, track, write_text, write_video

from kfdet.dataset.loading import load
from kfdet.dataset.several import join_datasets, part_names, split_datasets
from kfdet.errors import InputError
from kfdet.parameters import DatasetSettings


@pytest.mark.parametrize(
    "datasets",
    [["a"], ["a,b"], ["a", "b"], ["a b", "minio://x/y"], ['a"b', "c,d"]],
)
def test_one_text_names_all(datasets):
    assert split_datasets(join_datasets(datasets)) == datasets


def test_a_folder_with_a_comma(tmp_path):
    folder = tmp_path / "a, b"
    folder.mkdir()
    assert split_datasets(str(folder)) == [str(folder)]


@pytest.mark.parametrize("start", ["recordings-of-day-", "minio://kfdet/recordings/of-day-"])
def test_more_than_fit_into_the_name_of_a_file(start):
    datasets = [f"{start}{number}" for number in range(200)]
    assert split_datasets(join_datasets(datasets)) == datasets


def test_the_same_twice():
    with pytest.raises(InputError, match="toys: is given twice"):
        split_datasets("toys, cups, toys")


@pytest.mark.parametrize(
    ("datasets", "names"),
    [
        (["a/toys"], ("",)),
        (["/a/toys/", "minio://b/cups"], ("toys", "cups")),
        (["/a/toys", "/b/toys", "s3://c/toys/"], ("toys", "toys-2", "toys-3")),
        (["/a/toys", "/b/toys-2", "/b/toys"], ("toys", "toys-2", "toys-3")),
        (["/", "/a"], ("dataset", "a")),
    ],
)
def test_names(datasets, names):
    assert part_names(datasets) == names


def dataset(root: Path, label: str, **settings: str) -> None:
    """Two videos with twelve boxes of one label each."""
    for name in ("a", "b"):
        write_video(root / f"{name}.mp4", frames=20 + len(root.name))
        rows = [track(box(0), number=n, label=label) for n in range(12)]
        write_text(root / f"{name}.xml", cvat(*rows))
    if settings:
        text = "\n".join(f"{key}: {value}" for key, value in settings.items())
        write_text(root / "dataset.yaml", text)


def test_datasets_are_merged_by_label_each_with_its_own_settings(tmp_path):
    dataset(tmp_path / "toys", "Cup", rename="{Cup: cup}", videos="a")
    dataset(tmp_path / "kitchen", "cup", test="b")
    found = load(tmp_path, parts=("toys", "kitchen"))
    assert [p.problem for p in found.problems if p.severity == "error"] == []
    assert found.labels == ["cup"]
    assert found.name == "toys and kitchen"
    assert {item.name: item.side for item in found.items} == {
        "toys/a.mp4": "",
        "kitchen/a.mp4": "",
        "kitchen/b.mp4": "test",
    }
    assert found.items[0].annotation == "kitchen/a.xml"
    assert found.sides_from == "dataset.yaml"
    assert any("states no sides" in p.problem for p in found.problems)


def test_options_apply_to_all(tmp_path):
    dataset(tmp_path / "toys", "cup")
    dataset(tmp_path / "kitchen", "mug")
    settings = DatasetSettings(rename="mug=cup", val="kitchen", test="toys/a*")
    found = load(tmp_path, settings, ("toys", "kitchen"))
    assert {item.name: item.side for item in found.items} == {
        "toys/a.mp4": "test",
        "toys/b.mp4": "",
        "kitchen/a.mp4": "val",
        "kitchen/b.mp4": "val",
    }
    assert found.labels == ["cup"]
