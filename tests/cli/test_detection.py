"""kfdet detect, with a model that finds the same two objects everywhere."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.command_line import Refused
from support.square_video import FRAMES, write_square_video
from support.toy_server import picture

from kfdet.cli import detection, main
from kfdet.detection import Detector
from kfdet.detection.backend import Answer
from kfdet.errors import KfdetError


class Everywhere:
    """A mug in the left half, and a less certain robot in the right one."""

    place = "a model"
    labels = ("mug", "robot")
    input_size = None
    thresholds = None
    in_flight = 1
    asked = 0

    def predict(self, pictures: Sequence[bytes]) -> Answer:
        self.asked += len(pictures)
        row = {
            "detection_boxes": np.array([[0.0, 0.0, 1.0, 0.5], [0.0, 0.5, 1.0, 1.0]]),
            "detection_scores": np.array([0.9, 0.4]),
            "detection_class_names": ["mug", "robot"],
            "num_detections": 2,
        }
        return Answer([row] * len(pictures), None)

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a video and two pictures, one of them broken; and the model."""

    def load(_: str, __: str, threshold: float | None, stack: ExitStack) -> Detector:
        return stack.enter_context(Detector(Everywhere(), threshold))

    monkeypatch.setattr(detection, "_load", load)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_media() -> None:
    write_square_video(Path("media/clip.avi"))
    Path("media/photo.png").write_bytes(picture(40, 20, (9, 9, 9)))


def test_tracks_are_counted_by_line_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    write_media()
    command = ["detect", "media/clip.avi", "--model", "run", "--to", "jsonl", "-o", "found.jsonl"]
    assert main([*command, "--line", "0,0,0,9", "--zone", "0,0,9,0,9,9", "--json"]) == 0
    (counts,) = json.loads(capsys.readouterr().out)["counts"].values()
    assert counts["objects"] == {"mug": 1, "robot": 1}
    assert counts["lines"] == [{"points": [[0, 0], [0, 9]], "entered": {}, "left": {}}]
    lines = [json.loads(line) for line in Path("found.jsonl").read_text().splitlines()]
    assert len(lines) == FRAMES
    last = {each["label"]: each["track_id"] for each in lines[-1]["detections"]}
    assert sorted(last) == ["mug", "robot"]
    assert len(set(last.values()) - {-1}) == 2


def test_counts_stand_below_the_whole_path(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("a-folder-whose-name-is-longer-than-the-table/clip.avi")
    write_square_video(path)
    assert (
        main(["detect", str(path), "-m", "run", "--to", "jsonl", "-o", "a.jsonl", "--track"]) == 0
    )
    assert str(path) in capsys.readouterr().out.splitlines()


def test_drawn_copies_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    write_media()
    assert main(["detect", "media", "--model", "run", "-o", "out", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["received"], summary["frames"], summary["dropped"]) == (61, 61, 0)
    assert summary["labels"] == {"mug": 61, "robot": 61}
    assert summary["outputs"] == [{"format": "drawn", "path": "out"}]
    with av.open("out/clip.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    with Image.open("out/photo.png") as image:
        assert image.size == (40, 20)


def test_lines_on_standard_output_leave_it_to_them(capsys: pytest.CaptureFixture[str]) -> None:
    write_media()
    arguments = ["--every", "20", "--labels", "robot", "--min-box-area", "1"]
    assert main(["detect", "media/clip.avi", "-m", "run", "-o", "-", *arguments]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["frame"] for line in lines] == [0, 20, 40]
    assert lines[0]["detections"] == [
        {"label": "robot", "score": 0.4, "box": [80.0, 0.0, 160.0, 120.0]}
    ]
    assert "3 detections: 3 robot" in captured.err


def test_a_person_reads_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    write_media()
    assert main(["detect", "media/photo.png", "-m", "run", "-o", "out", "--labels", "mug"]) == 0
    frames, found, written = capsys.readouterr().out.splitlines()
    assert frames.startswith("1 frame in ")
    assert (found, written) == ("1 detection: 1 mug", "drawn → out")


def test_nothing_is_said_to_be_written_that_is_not_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("broken.png").write_text("no picture")
    assert main(["detect", "broken.png", "-m", "run", "-o", "out"]) == 2
    assert capsys.readouterr().out.splitlines() == ["1 left out, named above"]
    assert not Path("out").exists()


def test_a_threshold_leaves_out_what_scores_less(capsys: pytest.CaptureFixture[str]) -> None:
    write_media()
    assert main(["detect", "media/photo.png", "-m", "run", "-o", "-", "--threshold", "0.5"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["detections"]
    assert found["label"] == "mug"


@pytest.mark.parametrize(("options", "status"), [([], 2), (["--keep-going"], 0)])
def test_a_file_that_is_no_picture_is_named_and_the_others_are_done(
    options: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_media()
    Path("media/a-broken.jpg").write_text("no picture")
    command = ["detect", "media", "-m", "run", "-o", "found.jsonl", "--json", *options]
    assert main(command) == status
    captured = capsys.readouterr()
    (failed,) = json.loads(captured.out)["failed"]
    assert failed == {"file": "media/a-broken.jpg", "problem": "this is not a picture."}
    assert "media/a-broken.jpg: this is not a picture." in captured.err
    assert len(Path("found.jsonl").read_text().splitlines()) == FRAMES + 1


def test_an_error_in_the_middle_keeps_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    write_media()
    predict = Everywhere.predict

    def broken(self: Everywhere, pictures: Sequence[bytes]) -> Answer:
        if self.asked >= 8:
            raise KfdetError("the model is broken.")
        return predict(self, pictures)

    monkeypatch.setattr(Everywhere, "predict", broken)
    assert main(["detect", "media/clip.avi", "-m", "run", "-o", "found.jsonl"]) == 1
    assert len(Path("found.jsonl").read_text().splitlines()) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such.jpg"], "no-such.jpg: does not exist"),
        (["file", "-o", "a.txt"], "cannot be written to one file"),
        (["file", "--labels", "cat"], "the model does not know the label 'cat'"),
        (["file", "--start", "2", "--stop", "1"], "stop must be later than start"),
        (["file", "--to", "excel"], "there is no format 'excel'"),
        (["s3://"], "is not the address of a bucket"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, refused: Refused) -> None:
    assert message in refused(["detect", *arguments, "-m", "run"])


def test_a_camera_that_is_not_there_is_one_message() -> None:
    """In a process of its own, which imports OpenCV anew: that has messages of its own."""
    command = [sys.executable, "-m", "kfdet", "detect", "97", "-m", "http://127.0.0.1:9"]
    done = subprocess.run(
        [*command, "--threshold", "0.5", "-o", "a.jsonl"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: camera 97: cannot be opened: no such camera.")
    assert not Path("a.jsonl").exists()


def test_ctrl_c_leaves_files_that_play_and_parse(tmp_path: Path) -> None:
    """A process of its own is interrupted once a few frames are done, while many are left."""
    write_media()
    program = textwrap.dedent(
        """
        import signal, sys, threading
        sys.path.insert(0, sys.argv[1])
        from cli import test_detection as here
        from kfdet.cli import detection, main
        from kfdet.detection import Detector
        from kfdet.detection.sinks.tables import JsonLinesSink

        eight, write = threading.Event(), JsonLinesSink.write

        def counted(self, picture, found):
            write(self, picture, found)
            if found.frame == 7:
                eight.set()

        JsonLinesSink.write = counted

        class Interrupted(here.Everywhere):
            def predict(self, pictures):
                if self.asked >= 12:
                    eight.wait()
                    signal.raise_signal(signal.SIGINT)
                    threading.Event().wait()  # an endpoint that does not answer any more
                return super().predict(pictures)

        detection._load = lambda *_: Detector(Interrupted())
        sys.exit(main(["detect", "media/clip.avi", "-m", "run", "-o", "out", "--to", "drawn",
                       "--to", "jsonl"]))
        """
    )
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tests)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    frames = int(done.stdout.split()[0])  # the last four may not be written yet
    assert 8 <= frames <= 12
    assert sorted(path.name for path in Path("out").iterdir()) == ["clip.mp4", "detections.jsonl"]
    lines = Path("out/detections.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(frames))
    with av.open("out/clip.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == frames
