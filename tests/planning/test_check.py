from __future__ import annotations

from pathlib import Path

import pytest
from support.annotation_samples import box, cvat, track, voc, write_image, write_text, write_video

from kfdet.errors import InputError
from kfdet.parameters import Parameters
from kfdet.planning.check import check

FRAMES = 60


def video(folder: Path, name: str, *elements: str) -> None:
    write_video(folder / f"{name}.mp4", FRAMES)
    write_text(folder / f"{name}.xml", cvat(*elements, source=f"{name}.mp4", stop=FRAMES - 1))


def moving(label: str = "cup", number: int = 0) -> str:
    rows = [box(frame, (frame / 10, 2, frame / 10 + 12, 14)) for frame in range(0, FRAMES, 5)]
    return track(*rows, label=label, number=number)


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no videos and no images"):
        check(tmp_path)


def test_describes_a_video_and_the_split_of_a_run(tmp_path: Path) -> None:
    video(tmp_path, "clip", moving(), moving("spoon", 1))
    found = check(tmp_path)
    assert found.errors == ()
    summary = found.summary
    assert (summary.videos, summary.images, summary.frames, summary.seconds) == (1, 0, 60, 6.0)
    assert (summary.labels, summary.tracks) == ({"cup": 12, "spoon": 12}, 2)
    assert summary.annotated_frames == 60
    split = found.split
    assert split is not None
    assert (split.strategy, split.train_frames, split.val_frames) == ("time-block", 42, 12)
    # A tenth of the video, where three seconds were asked for.
    assert split.gap_seconds == 0.6
    (warning,) = found.problems
    assert "clip.mp4 (0.6 s)" in str(warning)
    (source,) = summary.sources
    assert (source.boxes, source.train_frames, source.val_frames) == (24, 42, 12)


def test_names_background_videos(tmp_path: Path) -> None:
    video(tmp_path, "clip", moving())
    video(tmp_path, "empty")
    found = check(tmp_path)
    assert [s.name for s in found.summary.sources if s.background] == ["empty.mp4"]
    assert found.split is not None
    assert (found.split.train_background, found.split.val_background) == (42, 12)


def test_shows_what_is_chosen_and_ignored(tmp_path: Path) -> None:
    for number in range(12):
        write_image(tmp_path / f"{number}.jpg", colour=20 * number)
        text = voc(("Cup", (1, 2, 20, 20)), ("blur", (30, 2, 50, 20)))
        if number < 5:
            text = text.replace("</object>", "<difficult>1</difficult></object>", 1)
        write_text(tmp_path / f"{number}.xml", text)
    write_text(tmp_path / "dataset.yaml", "rename: {Cup: cup}\nignore: {label: blur}")
    found = check(tmp_path, Parameters(labels="cup", own_sides=False))
    assert str(found.summary).splitlines()[1:] == [
        "Boxes drawn by a person: cup 12",
        "Learned but not scored: 5 difficult boxes",
        "Neither learned nor counted: 12 boxes",
        "dataset.yaml: rename Cup=cup; ignore label=blur",
        "options: labels cup; own_sides no",
    ]


def test_warns_of_labels_that_mirroring_mixes_up(tmp_path: Path) -> None:
    video(tmp_path, "clip", moving("left"), moving("right", 1))
    warning = "labels 'left' and 'right' look like mirror images"
    assert any(warning in p.problem for p in check(tmp_path).problems)
    still = check(tmp_path, Parameters(mirror="none"))
    assert not any(warning in p.problem for p in still.problems)


def test_an_error_leaves_the_description_without_a_split(tmp_path: Path) -> None:
    video(tmp_path, "clip", moving())
    (tmp_path / "broken.mp4").touch()
    found = check(tmp_path)
    assert [problem.file for problem in found.errors] == [str(tmp_path / "broken.mp4")]
    assert (found.summary.videos, found.split) == (1, None)


def test_too_little_to_be_split_is_an_error(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    write_text(tmp_path / "a.xml", voc(*[("cup", (1, 1, 20, 20))] * 12))
    (error,) = check(tmp_path).errors
    assert "too small to be split" in error.problem


def test_as_text_it_holds_problems_contents_and_counts(tmp_path: Path) -> None:
    video(tmp_path, "clip", moving())
    (tmp_path / "broken.mp4").touch()
    found = check(tmp_path)
    assert repr(found) == str(found)  # what a notebook shows
    first, *_, last = str(found).splitlines()
    assert first.startswith(f"error: {tmp_path / 'broken.mp4'}: ")
    assert str(found.summary) in str(found)
    assert last == "1 error, 0 warnings"
