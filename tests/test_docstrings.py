"""The examples in kfdet's docstrings and in the guide run, and every public name has one."""

from __future__ import annotations

import doctest
import json
import re
import shutil
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import pytest
from support.square_video import write_square_annotation, write_square_video

import kfdet

REPOSITORY = Path(__file__).resolve().parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    folders = {"kfdet": "kfdet", "components": "kfdet.components", "pipelines": "kfdet.pipelines"}
    return sorted(
        ".".join(
            [package, *path.relative_to(REPOSITORY / folder).with_suffix("").parts]
        ).removesuffix(".__init__")
        for folder, package in folders.items()
        for path in (REPOSITORY / folder).rglob("*.py")
        if ">>> " in path.read_text()
    )


@pytest.fixture(scope="session")
def working_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an example may use: two datasets, two finished runs and `photo.jpg`."""
    folder = tmp_path_factory.mktemp("examples")
    for top in (20, 60):
        video = write_square_video(folder / "videos" / f"{top}.mp4", top)
        write_square_annotation(video.with_suffix(".xml"), video.name, top)
    capture = cv2.VideoCapture(str(video))
    cv2.imwrite(str(folder / "photo.jpg"), capture.read()[1])
    capture.release()
    command = (sys.executable, "-m", "kfdet", "run", "videos", "-o", "run", "--steps", "2")
    subprocess.run(command, cwd=folder, check=True)
    shutil.copytree(folder / "videos", folder / "garage")
    shutil.copytree(folder / "run", folder / "older-run")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("module", modules_with_examples())
def test_examples(module: str, working_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(working_folder)
    monkeypatch.setenv("KUBECONFIG", "no-cluster-for-examples")
    result = doctest.testmod(import_module(module), extraglobs={"kfdet": kfdet}, optionflags=FLAGS)
    assert result.failed == 0  # what was expected instead is in the captured output
    assert result.attempted > 0


@pytest.mark.parametrize("name", kfdet.__all__)
def test_a_public_name_has_an_example_that_runs(name: str) -> None:
    found = doctest.DocTestFinder().find(getattr(kfdet, name), name)
    examples = [example for test in found for example in test.examples]
    assert any(not example.options.get(doctest.SKIP) for example in examples)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_guide_runs_as_written(
    page: str, working_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(dataset: str, folder: str, **changes: Any) -> kfdet.Run:  # hundreds of steps
        kfdet.Parameters(**changes).check()
        assert Path(dataset).is_dir()
        return kfdet.Run.load(folder)

    def sweep(dataset: str, folder: str, grid: dict[str, Any], **changes: Any) -> kfdet.Run:
        kfdet.Parameters(**{name: values[0] for name, values in grid.items()}).check()
        done = run(dataset, "older-run", **changes)
        costs = {"ms_per_image": 1.0, "megabytes": 1.0, "minutes": 1.0}
        trial = {"settings": grid, "AP50": 0.5, "AP": 0.3, **costs}
        document = {"trials": [trial], "chosen": grid, "reason": "It is the best."}
        (done.folder / "sweep.json").write_text(json.dumps(document))
        return done

    monkeypatch.chdir(working_folder)
    monkeypatch.setattr(kfdet, "run", run)
    monkeypatch.setattr(kfdet, "sweep", sweep)
    blocks = re.findall(r"(?m)^\n((?: {4}.*\n|\n(?= {4}))+)", (REPOSITORY / page).read_text())
    program = "".join(textwrap.dedent(block) for block in blocks if "kfdet." in block)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102
    assert names["run"].model.is_dir()
    assert Path("drawn.jpg").is_file()
