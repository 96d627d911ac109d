"""Files of every format with something wrong: a message each, never a traceback."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from support.annotation_samples import box, cvat, track, voc, write_image, write_text, write_video
from support.mutations import mutated

from kfdet.dataset.conversion import convert
from kfdet.dataset.formats.registry import FORMATS
from kfdet.dataset.loading import load
from kfdet.errors import InputError

ROUNDS = 25


@pytest.fixture(scope="module")
def datasets(tmp_path_factory) -> list[Path]:
    """A folder of a video and one of images, with CVAT's and VOC's annotations."""
    videos, images = (tmp_path_factory.mktemp(kind) for kind in ("videos", "images"))
    write_video(videos / "videos" / "clip.mp4")
    first = (box(0), box(4, (9, 2, 19, 12), rotation=30), box(5, keyframe=0), box(11, outside=1))
    dump = cvat(track(*first), track(box(6), number=1, label="red ball"), source="clip.mp4")
    write_text(videos / "annotations" / "clip.xml", dump)
    for number in range(2):
        write_image(images / "images" / f"x{number}.jpg", colour=number)
        objects = (("cup", (1, 2, 30, 40)), ("red ball", (3, 4, 20, 30)))
        write_text(images / "annotations" / f"x{number}.xml", voc(*objects))
    return [videos, images]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "parquet"])
def test_no_traceback_and_nothing_outside(datasets, tmp_path, name):
    rng = random.Random(name)
    made: list[tuple[Path, Path]] = []
    for source in datasets:
        target = tmp_path / "made" / source.name
        with suppress(InputError):
            convert(source, target, name)
            made.append((source, target))
    for _ in range(ROUNDS):
        source, target = rng.choice(made)
        work = tmp_path / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(source, work / "data", ignore=shutil.ignore_patterns("annotations"))
        shutil.copytree(target, work / "data" / "annotations")
        found = sorted(p for p in (work / "data" / "annotations").rglob("*") if p.is_file())
        path = rng.choice(found)
        path.write_bytes(mutated(path.read_bytes(), rng, path.suffix == ".json"))

        for problem in load(work / "data").problems:
            str(problem).encode()
        for start in (work / "data", path):
            with suppress(InputError):
                convert(start, work / "out" / start.name, rng.choice(("coco", "voc", "yolo")))
        assert {p.name for p in work.iterdir()} <= {"data", "out"}
        assert {p.name for p in tmp_path.iterdir()} <= {"made", "work"}
