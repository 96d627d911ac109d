"""What a user may name as a source, and the frames that come from it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from support.numbered_video import KINDS, number_of, write_video
from support.toy_server import picture

from kfdet.detection.frame import Frame, Source
from kfdet.detection.live import LiveSource
from kfdet.detection.sources import PictureSource, VideoSource, find_sources
from kfdet.errors import InputError
from kfdet.parameters import StreamSettings


def frames(source: Source, **settings: Any) -> list[Frame]:
    count, found = source.open(StreamSettings(**settings))
    result = list(found)
    assert count == len(result)
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures in two folders, and what is no picture."""
    for name in ("a.png", "b/a.png", "b/c.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(40, 20, (9, 9, 9), "PNG"))
    (tmp_path / "photos" / "notes.txt").write_text("none")
    return tmp_path / "photos"


def test_a_folder_is_all_pictures_below_it(folder: Path) -> None:
    found = find_sources([str(folder)])
    names = ["a.png", "b/a.png", "b/c.jpg"]
    assert [source.name for source in found] == [str(folder / name) for name in names]
    assert [str(source.output) for source in found] == names


def test_a_glob_pattern_leaves_out_what_is_no_picture(folder: Path) -> None:
    assert [source.name for source in find_sources([f"{folder}/*"])] == [str(folder / "a.png")]
    assert len(find_sources([f"{folder}/**/*"])) == 3


def test_a_file_counts_once_and_no_two_share_an_output(folder: Path) -> None:
    found = find_sources([str(folder / "a.png"), str(folder / "b/a.png"), str(folder / "a.png")])
    assert [str(source.output) for source in found] == ["a.png", "a-2.png"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("0", "camera 0"),
        ("/dev/video3", "camera 3"),
        ("rtsp://me:secret@10.0.0.1:554/live/1?token=x", "rtsp://10.0.0.1:554/live/1"),
        ("https://example.org/a/index.m3u8", "https://example.org/a/index.m3u8"),
    ],
)
def test_live_sources_by_their_address(text: str, name: str) -> None:
    (source,) = find_sources([text])
    assert isinstance(source, LiveSource)
    assert (source.name, source.kind) == (name, "live")
    assert "secret" not in str(source.output)
    assert len(source.output.parts) == 1


def test_a_file_whose_name_is_a_number_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "7").write_bytes(picture(4, 4, (9, 9, 9)))
    monkeypatch.chdir(tmp_path)
    (source,) = find_sources(["7"])
    assert isinstance(source, PictureSource)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no-such.jpg", "does not exist"),
        ("no-such/*.jpg", "no picture and no video has such a name"),
        ("ftp://example.org/a.mp4", "is not the address of a stream"),
        ("rtsp://", "is not the address of a stream"),
    ],
)
def test_what_is_not_there_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_sources([text])


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture and no video in the folder"):
        find_sources([str(tmp_path)])


def test_a_picture_goes_to_the_model_as_it_is(folder: Path) -> None:
    (found,) = frames(find_sources([str(folder / "a.png")])[0])
    assert found.data == (folder / "a.png").read_bytes()
    assert (found.width, found.height, found.number, found.live) == (40, 20, 0, False)


def test_a_picture_shrinks_but_keeps_the_size_of_its_source(folder: Path) -> None:
    (found,) = frames(find_sources([str(folder / "a.png")])[0], longest_side=10)
    assert (found.width, found.height) == (40, 20)
    assert found.data.startswith(b"\xff\xd8")


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_text("no picture")
    with pytest.raises(InputError, match="this is not a picture") as caught:
        frames(PictureSource(path, PurePosixPath("broken.jpg")))
    assert caught.value.file == str(path)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> VideoSource:
    """60 numbered frames at 25 frames per second."""
    path = write_video(tmp_path_factory.mktemp("video") / "v.mp4", KINDS["mp4, B-frames"])
    return VideoSource(path, PurePosixPath("v.mp4"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, range(60)),
        ({"every": 7}, range(0, 60, 7)),
        ({"start": 1.0}, range(25, 60)),
        ({"start": 1.0, "stop": 2.0, "every": 5}, range(25, 50, 5)),
        ({"stop": 0.1}, range(3)),
    ],
)
def test_the_chosen_frames_of_a_video(
    video: VideoSource, settings: dict[str, Any], expected: range
) -> None:
    found = frames(video, **settings)
    assert [each.number for each in found] == list(expected)
    assert [number_of(each.data) for each in found] == list(expected)
    assert [each.seconds for each in found] == pytest.approx([n / 25 for n in expected], abs=1e-3)


def test_a_start_behind_the_end_is_refused(video: VideoSource) -> None:
    with pytest.raises(InputError, match="no frame is left: start is 9 s"):
        video.open(StreamSettings(start=9.0))


def test_a_stop_before_the_start_is_refused() -> None:
    with pytest.raises(InputError, match="stop must be later than start"):
        StreamSettings(start=2.0, stop=1.0).check()
