"""A folder or bucket is scored once: what is there already is never scored again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.object_store import BUCKET, ObjectStore

from kfdet.detection import Detector
from kfdet.errors import InputError
from kfdet.parameters import ScoringSettings
from kfdet.scoring.places import owned
from kfdet.scoring.run import score
from kfdet.scoring.summary import Summary

NAMES = ["a.png", "inner/b.png", "inner/c.png", "videos/d.mp4"]


def rows(table: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(table).to_pylist())


def states(folder: Path) -> dict[str, int]:
    """When each result was written."""
    return {str(p): p.stat().st_mtime_ns for p in (folder / "files").rglob("*.parquet")}


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return tmp_path / "scores"


@pytest.fixture
def run(footage: Path, scores: Path, blob_model: Path) -> Any:
    def run(**settings: Any) -> Summary:
        return score(str(footage), str(scores), str(blob_model), ScoringSettings(**settings))

    return run


def test_every_frame_and_every_detection_has_a_row(run: Any, footage: Path, scores: Path) -> None:
    done = run()
    assert (done.files, done.frames, done.detections) == (4, 63, 3)
    assert done.labels == {"red": 1, "green": 1, "<b>blue</b> & co": 1}
    frames = rows(scores / "frames.parquet")
    assert [row["source"] for row in frames] == [*NAMES[:3], *[NAMES[3]] * 60]
    assert [row["frame"] for row in frames[3:]] == list(range(60))
    assert frames[13]["seconds"] == pytest.approx(1.0)
    assert [row["detections"] for row in frames[:4]] == [1, 2, 0, 0]
    found = rows(scores / "detections.parquet")
    assert [(row["source"], row["label"]) for row in found] == [
        ("a.png", "red"),
        ("inner/b.png", "green"),
        ("inner/b.png", "<b>blue</b> & co"),
    ]
    box = [found[0][side] for side in ("xmin", "ymin", "xmax", "ymax")]
    assert box == pytest.approx([5, 20, 45, 60], abs=1e-3)


def test_a_picture_scores_as_the_detector_finds_it(
    run: Any, footage: Path, scores: Path, blob_model: Path
) -> None:
    run()
    with Detector.load(blob_model) as detector:
        found = detector.detect(footage / "inner" / "b.png")
    written = [r["score"] for r in rows(scores / "detections.parquet") if "b.png" in r["source"]]
    assert written == found.scores.tolist()


def test_the_page_and_the_summary_tell_what_was_found(run: Any, scores: Path) -> None:
    run()
    summary = json.loads((scores / "summary.json").read_text())
    assert (summary["files"], summary["failed"]) == (4, [])
    page = (scores / "index.html").read_text()
    assert "&lt;b&gt;blue&lt;/b&gt; &amp; co" in page
    assert page.count("<img src") == 4
    assert {p.name for p in (scores / "previews").rglob("*.jpg")} >= {"a.png.jpg", "d.mp4.jpg"}


def test_the_same_command_again_scores_nothing(run: Any, scores: Path) -> None:
    first = run()
    written = states(scores)
    tables = [(scores / name).read_bytes() for name in ("frames.parquet", "detections.parquet")]
    again = run()
    assert (first.scored, again.scored) == (4, 0)
    assert (again.frames, again.detections) == (first.frames, first.detections)
    assert states(scores) == written
    assert [(scores / n).read_bytes() for n in ("frames.parquet", "detections.parquet")] == tables


def test_only_what_is_new_or_changed_is_scored(run: Any, footage: Path, scores: Path) -> None:
    run()
    (footage / "a.png").write_bytes((footage / "inner" / "b.png").read_bytes())
    (footage / "inner" / "c.png").unlink()
    (footage / "new.png").write_bytes((footage / "inner" / "b.png").read_bytes())
    done = run()
    assert (done.scored, done.files, done.detections) == (2, 4, 6)
    assert {row["source"] for row in rows(scores / "frames.parquet")} == {
        *("a.png", "inner/b.png", "new.png", "videos/d.mp4")
    }


def test_other_settings_are_other_results(run: Any, scores: Path) -> None:
    run()
    done = run(every=7)
    assert done.scored == 1, "pictures do not depend on it"
    video = [row["frame"] for row in rows(scores / "frames.parquet")][3:]
    assert video == list(range(0, 60, 7))
    assert run(threshold=1).detections == 0


def test_a_file_that_is_no_picture_is_named_and_the_others_are_scored(
    run: Any, footage: Path, scores: Path
) -> None:
    (footage / "broken.png").write_bytes(b"not a picture")
    whole = (footage / "a.png").read_bytes()
    (footage / "cut.png").write_bytes(whole[: len(whole) // 2])
    (footage / "videos" / "e.mp4").write_bytes(b"not a video")
    (footage / "old.wmv").write_bytes(b"not read")
    done = run()
    names = ["broken.png", "cut.png", "old.wmv", "videos/e.mp4"]
    assert [failure.name for failure in done.failed] == names
    for failure in done.failed:
        assert str(footage / failure.name) in failure.problem
    assert done.files == 4
    with pytest.raises(InputError, match=r"4 of 8 files could not be scored: .* And 1 more"):
        done.check()
    (footage / "broken.png").write_bytes(whole)
    again = run()
    assert (again.scored, len(again.failed)) == (1, 3)


def test_what_stops_a_scoring_before_anything_is_written(
    footage: Path, scores: Path, blob_model: Path, tmp_path: Path
) -> None:
    settings = ScoringSettings()
    (tmp_path / "empty").mkdir()
    for source, target, model, message in (
        (footage, footage / "scores", blob_model, "inside the folder that is scored"),
        (footage, footage, blob_model, "inside the folder that is scored"),
        (tmp_path / "none", scores, blob_model, "no such folder"),
        (tmp_path / "empty", scores, blob_model, "neither pictures nor videos"),
        (footage, scores, tmp_path / "empty", "no SavedModel"),
        (footage / "a.png", scores, blob_model, "is a file, not a folder"),
    ):
        with pytest.raises(InputError, match=message):
            score(str(source), str(target), str(model), settings)
    assert not scores.exists()


def test_a_second_scoring_into_the_same_folder(run: Any, scores: Path) -> None:
    with (
        owned(str(scores)),
        pytest.raises(InputError, match=r"another process \(\d+\) is scoring into this folder"),
    ):
        run()
    assert run().files == 4


PROGRAM = """
import sys, time
from kfdet.scoring import places
write = places.Folder.write
def slow(self, name, content):
    write(self, name, content)
    if name.endswith('.parquet'):
        print(name, flush=True)
        time.sleep(600)
places.Folder.write = slow
from kfdet.cli import main
main(sys.argv[1:])
"""


def test_a_killed_scoring_repeats_nothing_that_was_written(
    run: Any, footage: Path, scores: Path, blob_model: Path
) -> None:
    command = ["score", str(footage), str(scores), "--model", str(blob_model)]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline(), "one result is written"
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = states(scores)
    assert 1 <= len(before) < 4
    done = run()
    assert done.scored == 4 - len(before)
    assert {path: time for path, time in states(scores).items() if path in before} == before
    frames = [(row["source"], row["frame"]) for row in rows(scores / "frames.parquet")]
    assert len(frames) == len(set(frames)) == 63


def test_from_a_bucket_to_a_bucket(
    object_store: ObjectStore, footage: Path, scores: Path, blob_model: Path, tmp_path: Path
) -> None:
    object_store.put(footage, "footage")
    object_store.put(blob_model, "models/blobs")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    object_store.client.fput_object(BUCKET, "footage/x.png", str(tmp_path / "broken.png"))
    places = [f"minio://{BUCKET}/{name}" for name in ("footage", "scores", "models/blobs")]
    done = score(*places, ScoringSettings())
    assert (done.files, done.frames, done.detections, done.scored) == (4, 63, 3, 4)
    (failure,) = done.failed
    assert failure.problem.startswith(f"minio://{BUCKET}/footage/x.png: this is not a picture")
    written = {n for n in object_store.objects("scores/") if not n.startswith(("files", "prev"))}
    assert written == {"frames.parquet", "detections.parquet", "summary.json", "index.html"}
    object_store.log.clear()
    assert score(*places, ScoringSettings()).scored == 0
    puts = [line for line in object_store.log if line.startswith("PUT") and "/files/" in line]
    assert puts == []


def test_seconds_are_counted(run: Any) -> None:
    started = time.monotonic()
    done = run()
    assert 0 <= done.waited <= done.seconds <= time.monotonic() - started
