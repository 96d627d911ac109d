"""Bad input ends a run with one clear message and status 2, and nothing half-written."""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.square_video import write_square_video

from kfdet.local.folder import PUBLISHED, RECORD

Box = tuple[int, float, float, float, float]
"""Frame, left, top, right, bottom."""

KEYS: tuple[Box, ...] = tuple((f, 10.0 + f, 40.0, 40.0 + f, 70.0) for f in range(0, 60, 5))


def cvat(
    keys: tuple[Box, ...] = KEYS,
    *,
    label: str = "toy",
    source: str = "clip.mp4",
    head: str = "",
    more: str = "",
) -> str:
    """A CVAT for video 1.1 dump with one track."""
    rows = "".join(
        f'<box frame="{f}" outside="0" occluded="0" keyframe="1" xtl="{a}" ytl="{b}" xbr="{c}"'
        f' ybr="{d}" z_order="0"></box>\n'
        for f, a, b, c, d in keys
    )
    track = f'<track id="0" label="{label}" source="manual">\n{rows}</track>' if keys else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n{head}<annotations><version>1.1</version>'
        "<meta><task><id>1</id><name>clip</name><size>60</size><mode>interpolation</mode>"
        "<start_frame>0</start_frame><stop_frame>59</stop_frame><frame_filter></frame_filter>"
        "<labels><label><name>toy</name></label></labels><original_size><width>160</width>"
        f"<height>120</height></original_size><source>{source}</source></task></meta>\n"
        f"{track}{more}</annotations>\n"
    )


def moved(index: int, **changes: float) -> tuple[Box, ...]:
    """KEYS with one box changed."""
    names = ("frame", "xtl", "ytl", "xbr", "ybr")
    box: Any = tuple(
        changes.get(name, value) for name, value in zip(names, KEYS[index], strict=True)
    )
    return (*KEYS[:index], box, *KEYS[index + 1 :])


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>\n'
)
TWO_HATS = (
    '<track id="1" label="hat" source="manual">'
    '<box frame="0" outside="0" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    '<box frame="1" outside="1" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    "</track>"
    '<track id="2" label="hat" source="manual">'
    '<box frame="7" outside="0" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    '<box frame="8" outside="1" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    "</track>"
)


def evil_zip(folder: Path) -> None:
    (folder / "clip.xml").unlink()
    with zipfile.ZipFile(folder / "clip.zip", "w") as archive:
        archive.writestr("annotations.xml", cvat())
        archive.writestr("../../escaped", "x")


def xml(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "clip.xml").write_text(text)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "0-byte video": (lambda d: (d / "clip.mp4").write_bytes(b""), r"clip\.mp4.*(empty|0 bytes)"),
    "text named .mp4": (
        lambda d: (d / "clip.mp4").write_text("Dear diary, this is no clip.\n" * 40),
        r"clip\.mp4.*(not|no) ",
    ),
    "XML of another video": (
        xml(cvat(moved(11, frame=4711), source="holiday.mp4")),
        r"clip\.xml.*",
    ),
    "XML bomb": (xml(cvat(head=BOMB)), r"clip\.xml.*entit"),
    "zip with ../": (evil_zip, r"clip\.zip.*escaped"),
    "box outside the frame": (
        xml(cvat(moved(3, xtl=500.0, xbr=540.0))),
        r"clip\.xml:\d+, frame 15.*outside",
    ),
    "NaN coordinates": (xml(cvat(moved(2, ytl=float("nan")))), r"clip\.xml:\d+.*nan"),
    "falling frame numbers": (xml(cvat(moved(6, frame=3))), r"clip\.xml:\d+, frame 3.*"),
    "one class with two boxes": (xml(cvat(more=TWO_HATS)), r"hat.*two|hat.*2 "),
    "no boxes at all": (xml(cvat(())), r"no box"),
    "no annotation file": (lambda d: (d / "clip.xml").unlink(), r"annotation"),
}


def assert_one_clear_message(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("error: ") == 1, done.stderr
    assert re.search(message, done.stderr, re.IGNORECASE | re.DOTALL), done.stderr
    assert "Traceback" not in done.stderr


def assert_nothing_half_written(run: Path) -> None:
    left = {path.name for path in run.iterdir()}
    assert not left & {*PUBLISHED, RECORD}
    assert left <= {".kfdet-run", "run.log", "artifacts", "checkpoints", "tensorboard"}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    write_square_video(folder / "clip.mp4")
    (folder / "clip.xml").write_text(cvat())
    return folder


@pytest.mark.parametrize("case", CASES)
def test_bad_dataset(case: str, dataset: Path, tmp_path: Path, kfdet: Any) -> None:
    spoil, message = CASES[case]
    spoil(dataset)
    assert_one_clear_message(kfdet("run", dataset, "-o", tmp_path / "run"), message)
    assert_nothing_half_written(tmp_path / "run")
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("case", CASES)
def test_check_finds_the_same(case: str, dataset: Path, kfdet: Any) -> None:
    spoil, message = CASES[case]
    spoil(dataset)
    done = kfdet("check", dataset)
    assert done.returncode == 2
    assert re.search(message, done.stdout + done.stderr, re.IGNORECASE | re.DOTALL)
    assert "Traceback" not in done.stderr


def test_output_below_a_file(dataset: Path, tmp_path: Path, kfdet: Any) -> None:
    (tmp_path / "file").touch()
    done = kfdet("run", dataset, "-o", tmp_path / "file" / "run")
    assert_one_clear_message(done, "cannot write: Not a directory")


def in_file_system(options: str, folder: Path) -> tuple[str, ...]:
    """A command prefix: `folder` is a file system of its own, for this command only."""
    prefix = ("unshare", "--map-root-user", "--mount", "sh", "-ec")
    mount = f'mount -t tmpfs -o {options} none "{folder}"'
    try:
        subprocess.run([*prefix, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount a file system here: {error}")
    return (*prefix, f'{mount}; exec "$@"', "sh")


def test_read_only_output_folder(dataset: Path, tmp_path: Path, kfdet: Any) -> None:
    (tmp_path / "run").mkdir()
    before = in_file_system("ro", tmp_path / "run")
    done = kfdet("run", dataset, "-o", tmp_path / "run", before=before)
    assert_one_clear_message(done, "run.*Read-only file system.*choose another folder")


@pytest.mark.parametrize("size", ["4k", "40k", "96k"])
def test_full_disk(size: str, dataset: Path, tmp_path: Path, kfdet: Any) -> None:
    (tmp_path / "run").mkdir()
    before = in_file_system(f"size={size}", tmp_path / "run")
    done = kfdet("run", dataset, "-o", tmp_path / "run", before=before)
    assert_one_clear_message(done, "No space left on device.*Free some space")
