"""Sources that never end, are too large, or have names that nothing can hold."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from support.patience import SECONDS
from support.toy_server import picture

from kfdet.detection.counting import Line, Zone
from kfdet.detection.pictures import encode
from kfdet.detection.sinks.targets import choose_targets, open_sinks
from kfdet.detection.sinks.viewers import PageSink
from kfdet.detection.sources import find_sources
from kfdet.errors import InputError
from kfdet.files import read_json
from kfdet.parameters import StreamSettings
from kfdet.video.images import read_image


def png_header(width: int, height: int) -> bytes:
    """A PNG of which nothing but its size is there."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + struct.pack(">I", zlib.crc32(header))


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


ENDLESS: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "1 TB of nothing": sparse,
    "2,147,483,647 rows": lambda path: path.write_bytes(png_header(2**31 - 1, 2**31 - 1)),
    "30,000 rows": lambda path: path.write_bytes(png_header(30_000, 30_000)),
}


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("read", [encode, read_image])
def test_a_picture_without_end_is_not_read(
    tmp_path: Path, kind: str, read: Callable[[Path], object]
) -> None:
    ENDLESS[kind](tmp_path / "a.jpg")
    with pytest.raises(InputError) as raised:
        read(tmp_path / "a.jpg")
    assert raised.value.file == str(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["pipe", "device", "1 TB of nothing"])
def test_json_without_end_is_not_read(tmp_path: Path, kind: str) -> None:
    ENDLESS[kind](tmp_path / "a.json")
    with pytest.raises(InputError):
        read_json(tmp_path / "a.json")


def test_a_name_that_is_no_text_stops_only_its_file(tmp_path: Path) -> None:
    names = [b"a.jpg", b"b\xff.jpg", b"c.jpg"]
    for name in names:
        Path(tmp_path, os.fsdecode(name)).write_bytes(picture(8, 8, (1, 2, 3), "JPEG"))

    first, odd, last = find_sources([str(tmp_path)])
    assert [source.open(StreamSettings())[0] for source in (first, last)] == [1, 1]
    with pytest.raises(InputError, match="not text"):
        odd.open(StreamSettings())


@pytest.mark.parametrize("format_", ["coco", "yolo", "cvat-images", "label-studio"])
def test_a_name_that_annotations_cannot_hold_is_refused_before_the_work(
    tmp_path: Path, format_: Any
) -> None:
    (tmp_path / "a\x1b[2J\n.jpg").write_bytes(picture(8, 8, (1, 2, 3), "JPEG"))
    sources = find_sources([str(tmp_path)])
    targets = choose_targets(str(tmp_path / "out"), [format_], sources)
    with pytest.raises(InputError, match="cannot be the name of a file"):
        open_sinks(targets, sources)


@pytest.mark.parametrize("number", ["1e200", "1e308", "-1e8", "nan", "inf", "9" * 400])
def test_borders_lie_near_the_picture(number: str) -> None:
    for parse, text in ((Line.parse, "0,0,5"), (Zone.parse, "0,0,5,5,0")):
        with pytest.raises(InputError):
            parse(f"{text},{number}")


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://cam/\x1b[2J",
        "tcp://\udcff:1",
        "rtsp://[::1",
        "rtsp://cam:port/1",
        "http://a:1\n/x",
    ],
)
def test_addresses_of_streams_that_are_none(url: str) -> None:
    with pytest.raises(InputError):
        find_sources([url])


@pytest.mark.parametrize(
    "url", ["rtsp://me:12/SECRET@cam/1", "rtsp://me:SECRET@cam/1?key=SECRET#SECRET"]
)
def test_a_name_of_a_stream_shows_no_password(url: str) -> None:
    (source,) = find_sources([url])
    assert "SECRET" not in f"{source.name} {source.output}"
    (long,) = find_sources([f"{url}/{'a' * 5000}"])
    assert len(str(long.output)) < 100


def test_browsers_that_leave_or_talk_nonsense_are_no_news(
    capfd: pytest.CaptureFixture[str],
) -> None:
    page = PageSink()
    try:
        with requests.get(f"{page.url}stream", stream=True, timeout=SECONDS) as answer:
            assert answer.ok
        with requests.get(f"{page.url}{'a' * 70_000}", timeout=SECONDS) as answer:
            assert answer.status_code == 414
        assert requests.get(page.url, timeout=SECONDS).ok
    finally:
        page.close()
    threads = [thread for thread in threading.enumerate() if "process_request" in thread.name]
    for thread in threads:
        thread.join(SECONDS)
    assert capfd.readouterr().err == ""
