"""The examples as a reader runs them; the third takes a cluster: tests/e2e/kubernetes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.annotation_samples import box, cvat, track, write_text, write_video
from support.patience import SECONDS
from support.square_video import FRAMES, write_square_video
from support.toy_server import NAME, picture, start_server, write_toy_model

LABELS = ("disc", "squäre")  # of the toy model
EXAMPLES = Path(__file__).parents[2] / "examples"


def example(script: str, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_boxes_on_every_frame(tmp_path: Path) -> None:
    cup = track(box(0), box(4), box(11, outside=1))
    ball = track(box(6), box(19), number=1, label="red ball")
    write_video(tmp_path / "clip.mp4")
    write_text(tmp_path / "clip.xml", cvat(cup, ball, source="clip.mp4"))
    said = example("1-boxes-on-every-frame/boxes.py", str(tmp_path))
    assert said.splitlines() == [
        "cup: 2 drawn, 11 on every frame",
        "red ball: 2 drawn, 14 on every frame",
    ]


@pytest.mark.slow
def test_ask_an_endpoint(tmp_path: Path) -> None:
    write_toy_model(tmp_path / "model")
    photo, drawn = tmp_path / "photo.png", tmp_path / "drawn.png"
    photo.write_bytes(picture(80, 40, (255, 51, 0)))
    served = start_server(tmp_path / "model")
    try:
        for url in (served.rest, f"grpc://{served.grpc}"):
            said = example("2-ask-an-endpoint/ask.py", url, NAME, str(photo), str(drawn), "0.3")
            assert said == "disc 100% at 0, 0, 40, 40\n"
            assert (cv2.imread(str(drawn)) != cv2.imread(str(photo))).any()
            assert np.array_equal(cv2.imread(str(drawn))[:, -20:], cv2.imread(str(photo))[:, -20:])
            drawn.unlink()
    finally:
        served.process.terminate()
        served.process.wait(SECONDS)


NOTEBOOK = EXAMPLES / "5-films-in-tracks-out" / "tracks.ipynb"


@pytest.mark.slow
def test_films_in_tracks_out(toy_model: Path, tmp_path: Path) -> None:
    """The cells one after the other, as a kernel runs them."""
    run = tmp_path / "demo" / "run"
    run.mkdir(parents=True)
    (run / "model").symlink_to(toy_model)
    for name in ("a.mp4", "b.mp4"):
        write_square_video(tmp_path / "demo" / "dataset" / "videos" / name)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = "\n".join("".join(each["source"]) for each in cells if each["cell_type"] == "code")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    rows = [line.split(",") for line in (tmp_path / "tracks.csv").read_text().splitlines()]
    assert rows[0] == ["film", "label", "track", "frames", "first", "last", "dx", "dy"]
    assert [(row[0], row[1], row[3], row[6]) for row in rows[1:]] == [
        (film, label, str(FRAMES), "0.0") for film in ("a.mp4", "b.mp4") for label in LABELS
    ]


def test_the_notebook_holds_no_results() -> None:
    """Nor what an editor adds when it saves, and no place of anybody's machine."""
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["metadata"].keys()) == (
        4,
        {"kernelspec", "language_info"},
    )
    assert len({each["id"] for each in notebook["cells"]}) == len(notebook["cells"])
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not re.search(r"(?<![\w.])/(?:home|root|tmp|Users|work)/", "".join(cell["source"]))
