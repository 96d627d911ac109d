from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from support.annotation_samples import box, cvat, track, write_text, write_video
from support.command_line import Refused, kfdet

from kfdet.cli import main
from kfdet.dataset.formats import FormatName
from kfdet.planning.check import Check, SplitSummary, Summary
from kfdet.planning.sides import Strategy


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "d"], "d"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, refused: Refused) -> None:
    assert message in refused(arguments)


def test_check_as_json(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "clip.mp4").write_text("not a video")
    done = kfdet("check", "--json", str(tmp_path))
    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert list(found) == ["problems", "summary", "split"]
    assert any("clip.mp4" in problem["file"] for problem in found["problems"])
    assert (found["summary"]["videos"], found["split"]) == (0, None)


def test_check_fails_on_errors_only_unless_it_is_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "clip.mp4", 100)
    rows = [box(frame, (frame / 10, 2, frame / 10 + 12, 14)) for frame in range(0, 100, 5)]
    write_text(tmp_path / "clip.xml", cvat(track(*rows), stop=99))
    assert main(["check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "1 video (100 frames, 0:00:10)" in said
    assert "Boxes drawn by a person (in 1 track): cup 20" in said
    assert "with a gap of 1.0 s" in said
    assert "0 errors, 1 warning\n" in said
    assert main(["check", "--strict", str(tmp_path)]) == 2
    (tmp_path / "broken.mp4").touch()
    capsys.readouterr()
    assert main(["check", str(tmp_path)]) == 2
    assert "1 error, 0 warnings\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("strategy", "gap", "videos", "images", "sentence"),
    [
        (
            *("video", None, 3, 0),
            "train on 4 frames (1 without an object) and evaluate on 1 frame: "
            "whole videos are kept for evaluation",
        ),
        (
            *("video", 0.4, 3, 0),
            "1 frame: whole videos are kept for evaluation, and a stretch of a video without "
            "objects, with a gap of 0.4 s",
        ),
        (
            *("time-block", 3.0, 1, 0),
            "1 frame: a stretch of each video is kept for evaluation, with a gap of 3.0 s",
        ),
        ("image", None, 0, 5, "on 1 image: images are kept for evaluation"),
        ("image", 0.4, 1, 5, "on 1 picture: images are kept for evaluation, and a stretch of"),
    ],
)
def test_check_describes_the_split(
    strategy: Strategy,
    gap: float | None,
    videos: int,
    images: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = Summary(videos, images, 0, 0.0, 0, {}, 0, ())
    found = Check((), summary, SplitSummary(strategy, 4, 1, 1, 0, gap))
    monkeypatch.setattr("kfdet.planning.check.check", lambda *_: found)
    assert main(["check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert sentence in said
    assert said.count("gap") == (gap is not None)


def test_check_takes_the_options_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        write_video(tmp_path / f"{name}.mp4", 100)
        rows = [box(frame, (frame / 10, 2, frame / 10 + 12, 14)) for frame in range(0, 100, 5)]
        label = "mug" if name == "a" else "cup"
        write_text(tmp_path / f"{name}.xml", cvat(track(*rows, label=label), stop=99))
    options = ["--rename", "mug=cup", "--val", "b", "--test", "c*", "--test", "c.mp4"]
    assert main(["check", str(tmp_path), *options]) == 0
    said = capsys.readouterr().out
    assert "cup 60" in said
    assert "measure the result on 100 frames: the sides are those of --val and --test" in said
    assert main(["check", str(tmp_path), "--val", "x"]) == 2
    assert "--val x matches no video and no image" in capsys.readouterr().out


def test_the_formats_are_those_that_convert_knows() -> None:
    from kfdet.dataset.conversion import FORMATS

    assert get_args(FormatName) == tuple(FORMATS)


def test_convert_as_json(tmp_path: Path) -> None:
    (tmp_path / "boxes.xml").write_text(
        "<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height>"
        "<depth>3</depth></size><object><name>toy</name><bndbox><xmin>1</xmin><ymin>2</ymin>"
        "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
    )
    done = kfdet("convert", "boxes.xml", "out", "--to", "parquet", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["boxes"] == 1
