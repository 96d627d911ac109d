"""Names of files as they come: in other spellings, very often the same, and with escape codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unicodedata import normalize

import pytest
from support.annotation_samples import box, cvat, track, voc, write_image, write_text, write_video
from support.resources import at_most

from kfdet.dataset.loading import load
from kfdet.dataset.media_index import MediaIndex

WORD = "Größe_é"


@pytest.mark.parametrize("media", ["NFC", "NFD"])
@pytest.mark.parametrize("named", ["NFC", "NFD"])
def test_accents_match_in_both_forms(tmp_path: Path, media: str, named: str) -> None:
    write_video(tmp_path / "videos" / f"{normalize(media, WORD)}.mp4")
    source = f"{normalize(named, WORD)}.mp4"
    write_text(tmp_path / "annotations" / "task.xml", cvat(track(box(0)), source=source))
    write_text(
        tmp_path / "annotations" / f"{normalize(named, WORD)}2.xml", voc(("cup", (1, 2, 30, 40)))
    )
    write_image(tmp_path / "images" / f"{normalize(media, WORD.upper())}2.jpg")
    dataset = load(tmp_path)

    assert [len(item.keys) for item in dataset.items] == [1, 1]


@pytest.mark.parametrize(
    ("names", "wanted", "near", "found"),
    [
        (("A.jpg", "a.jpg"), "a.jpg", "", ["a.jpg"]),
        (("A.jpg", "a.jpg"), "A.jpg", "", ["A.jpg"]),
        (("A.jpg", "a.jpg"), "A.JPG", "", ["A.jpg"]),
        (("A.jpg", "a.jpg"), "A", "", ["A.jpg"]),
        (("x/A.jpg", "y/a.jpg"), "X/a.jpg", "", ["x/A.jpg"]),
        (("x/a.jpg", "y/a.jpg"), "a.jpg", "labels/Y/a.txt", ["y/a.jpg"]),
        (("x/a.jpg", "X/a.jpg"), "X/a.jpg", "", ["X/a.jpg"]),
        (("é.jpg", "e\u0301.jpg"), "e\u0301.jpg", "", ["e\u0301.jpg"]),
        (("p/x/a.jpg", "q/x/a.jpg", "x/a.jpg"), "q/x/a.jpg", "", ["q/x/a.jpg"]),
    ],
)
def test_spelling_decides_between_several(
    names: tuple[str, ...], wanted: str, near: str, found: list[str]
) -> None:
    assert MediaIndex(names).find(wanted, near) == found


@pytest.mark.parametrize("wanted", ["{}/frame.jpg", "frame.jpg", "other/frame.jpg"])
def test_time_grows_with_the_number_of_equal_names(wanted: str) -> None:
    count = 20_000
    with at_most(seconds=10):
        index = MediaIndex(f"images/{n}/frame.jpg" for n in range(count))
        found = [index.find(wanted.format(n), f"annotations/{n}/a.xml") for n in range(count)]

    assert [names[0] for names in found] == [f"images/{n}/frame.jpg" for n in range(count)]


def test_nothing_in_a_name_reaches_the_terminal(tmp_path: Path) -> None:
    codes = b"\x1b]0;owned\x07\x1b[2J\x9b\xff"
    for name in (b"a" + codes + b".jpg", b"b" + codes + b".xml", b"c" + codes + b".mp4"):
        Path(tmp_path, name.decode(errors="surrogateescape")).write_bytes(b"nothing")
    write_image(tmp_path / "d\x1b[31m.jpg")
    done = subprocess.run(
        [sys.executable, "-m", "kfdet", "check", str(tmp_path)], capture_output=True, check=False
    )

    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert rb"d\x1b[31m.jpg" in done.stdout
