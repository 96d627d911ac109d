"""From dataset.yaml and options to the records: what is chosen, ignored, and on which side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.annotation_samples import write_text
from support.data_stages import make_records

from kfdet.parameters import DatasetSettings, SamplingSettings, SplitSettings
from kfdet.records.tfrecord import Example, parse, read_records
from kfdet.stages.planning import plan_dataset


def photo(root: Path, stem: str, objects: str, seed: int) -> None:
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    root.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blocks).resize((160, 120)).save(root / f"{stem}.jpg")
    write_text(
        root / f"{stem}.xml",
        f"<annotation><filename>{stem}.jpg</filename><size><width>160</width><height>120</height>"
        f"<depth>3</depth></size>{objects}</annotation>",
    )


def thing(label: str, *sides: int, difficult: int = 0) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{n}>{v}</{n}>" for n, v in zip(names, sides, strict=True))
    return (
        f"<object><name>{label}</name><difficult>{difficult}</difficult>"
        f"<bndbox>{box}</bndbox></object>"
    )


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of two datasets, the second with a dataset.yaml and a test side."""
    root = tmp_path_factory.mktemp("chosen")
    for number in range(8):
        photo(root / "toys", f"t{number}", thing("Mug", 10, 10, 60, 60), number)
    for number in range(6):
        objects = [
            thing("cup", 20, 20, 60, 60),
            thing("cup", 70, 20, 100, 60, difficult=1),
            thing("crowd", 110, 50, 150, 110),
            thing("poster", 5, 70, 30, 110),
        ]
        photo(root / "shop", f"s{number}", "".join(objects), 50 + number)
    write_text(
        root / "shop" / "dataset.yaml",
        'rename: {cup: mug}\nignore: [label: crowd, "region=s*:0:0:160:10"]\ntest: [s4, s5]\n',
    )
    data = f"{root / 'toys'},{root / 'shop'}"
    choice = DatasetSettings(rename="Mug=mug", labels="mug")
    folder = root / "run"
    folder.mkdir()
    plan_dataset(data, folder / "plan", SamplingSettings(), SplitSettings(), choice, seed=0)
    return make_records(data, folder / "plan", folder)


def examples(records: Path, split: str, name: str) -> list[Example]:
    found = [parse(r) for f in records.parent.rglob(f"{split}-*.tfrecord") for r in read_records(f)]
    # a crop shows nothing of the kind
    return [e for e in found if e.filename.startswith(name) and "+" not in e.filename]


def marks(example: Example) -> list[tuple[str, bool, bool]]:
    """Label, difficult and crowd of each box."""
    rows = zip(example.labels, example.difficult.tolist(), example.crowd.tolist(), strict=True)
    return sorted(rows)


def test_labels_are_merged(records: Path) -> None:
    assert json.loads((records / "dataset.json").read_text())["labels"] == ["mug"]


def test_sides(records: Path) -> None:
    split = json.loads((records / "dataset.json").read_text())["split"]
    assert split["test_sources"] == ["shop/s4.jpg", "shop/s5.jpg"]
    assert split["sides_from"] == "dataset.yaml"
    assert split["test_frames"] == 2
    assert len(split["train_sources"]) + len(split["val_sources"]) == 12
    assert {e.filename.split("/")[1] for e in examples(records, "test", "shop")} == {
        "s4.jpg",
        "s5.jpg",
    }


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_nobody_judges(records: Path, split: str) -> None:
    for example in examples(records, split, "shop"):
        assert marks(example) == [
            ("mug", False, False),
            ("mug", False, True),  # the region
            ("mug", False, True),  # the crowd
            ("mug", True, False),
        ]


def test_other_datasets_are_as_they_are(records: Path) -> None:
    whole = examples(records, "train", "toys")
    assert whole
    for example in whole:
        assert marks(example) == [("mug", False, False)]
