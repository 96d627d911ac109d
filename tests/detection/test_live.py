"""Streams over HTTP: they are taken up again, or were never there."""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import av
import pytest
import simplejpeg
from support.numbered_video import Kind, drawn, number_of, write_video
from support.patience import SECONDS
from support.toy_server import free_port

from kfdet.detection import live
from kfdet.detection.live import LiveSource
from kfdet.errors import InputError, KfdetError
from kfdet.events import listening
from kfdet.parameters import StreamSettings

PICTURES = 20


def jpeg(number: int) -> bytes:
    gray = drawn(number)[..., None].repeat(3, axis=2)
    data: bytes = simplejpeg.encode_jpeg(gray, quality=95)
    return data


class Camera(BaseHTTPRequestHandler):
    """Sends PICTURES pictures as Motion JPEG, then hangs up."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(PICTURES):
            data = jpeg(number)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")

    def log_message(self, *_: object) -> None:
        pass


class Folder(SimpleHTTPRequestHandler):
    """Sends the files of a folder."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of these tests is only slow because the machine is."""
    monkeypatch.setattr(live, "_OPEN_SECONDS", SECONDS)
    monkeypatch.setattr(live, "_READ_SECONDS", SECONDS)


@contextmanager
def serving(handler: Any) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveSource]:
    monkeypatch.setattr(live, "_RETRY_SECONDS", 0.0)
    with serving(Camera) as url:
        yield LiveSource.stream(f"{url}/video")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web server with HLS in segments of 15 frames, live and with an end, and a page of text."""
    folder = tmp_path_factory.mktemp("web")
    for name, flags in (("live", "omit_endlist"), ("ended", "independent_segments")):
        options = {"hls_time": "0.5", "hls_list_size": "0", "hls_flags": flags}
        kind = Kind(".m3u8", options={"g": "15"}, container_options=options)
        write_video(folder / f"{name}.m3u8", kind)
    (folder / "page.html").write_text("<p>No video.</p>")
    with serving(partial(Folder, directory=str(folder))) as url:
        yield url


def test_a_stream_that_hangs_up_is_taken_up_again_with_one_warning(camera: LiveSource) -> None:
    warnings: list[dict[str, Any]] = []
    with listening(warnings.append):
        count, frames = camera.open(StreamSettings())
        found = list(itertools.islice(frames, PICTURES + 5))
    assert count == 0
    assert [frame.number for frame in found] == list(range(len(found)))
    assert all(frame.live and (frame.width, frame.height) == (176, 112) for frame in found)
    assert number_of(found[1].data) in range(1, PICTURES)
    messages = [each["message"] for each in warnings if each["event"] == "warning"]
    assert messages == [f"{camera.name} is gone. Waiting for it."]


def test_a_stream_that_stays_away_is_an_error(
    camera: LiveSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    shots = live._shots
    calls = itertools.count()

    def once(address: int | str, longest_side: int) -> Iterator[Any]:
        if next(calls):
            raise OSError("gone")
        return shots(address, longest_side)

    monkeypatch.setattr(live, "_shots", once)
    monkeypatch.setattr(live, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(KfdetError, match="has been gone for 0 s"):
        list(camera.open(StreamSettings())[1])


def test_hls_with_an_end_is_read_as_a_file(web: str) -> None:
    _, frames = LiveSource.stream(f"{web}/ended.m3u8").open(StreamSettings())
    found = list(frames)
    assert [number_of(frame.data) for frame in found] == list(range(60))
    assert not any(frame.live for frame in found)
    assert found[25].seconds == pytest.approx(1.0)


def test_live_hls_begins_three_segments_before_its_end(web: str) -> None:
    _, frames = LiveSource.stream(f"{web}/live.m3u8").open(StreamSettings())
    found = list(itertools.islice(frames, 20))
    assert [number_of(frame.data) for frame in found] == list(range(15, 35))
    assert [frame.number for frame in found] == list(range(20))
    assert all(frame.live for frame in found)


def test_frames_that_come_all_at_once_are_played_at_their_own_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, slept = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    frames = live._paced(SimpleNamespace(time=each) for each in (7.0, 7.5, 8.0, 2000.0, 2000.5))
    for _ in (next(frames), next(frames)):
        pass
    now += 0.25  # the model
    assert len(list(frames)) == 3
    assert slept == pytest.approx([0.0, 0.5, 0.25, 0.0, 0.5])


@pytest.mark.parametrize(
    ("name", "problem"),
    [("page.html", "it does not send a video"), ("none.m3u8", "404 Not Found")],
)
def test_an_address_without_video_is_refused(name: str, problem: str, web: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        next(LiveSource.stream(f"{web}/{name}").open(StreamSettings())[1])
    assert "another program, such as VLC" in caught.value.hint


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_says_nothing_is_refused(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_OPEN_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = LiveSource.stream(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/a")
        with pytest.raises(InputError, match="no answer within"):
            next(source.open(StreamSettings())[1])


def test_an_unknown_host_name_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = av.FFmpegError(errno.EIO, "Input/output error")
    assert live._reason("http://a/b", error, late=False) == "its host name is not known"


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_stream_that_was_never_there_is_refused(scheme: str) -> None:
    source = LiveSource.stream(f"{scheme}://127.0.0.1:{free_port()}/a")
    with pytest.raises(InputError, match="cannot be opened") as caught:
        next(source.open(StreamSettings())[1])
    assert caught.value.file == source.name


def test_a_camera_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="camera 97: cannot be opened: no such camera"):
        next(LiveSource.camera(97).open(StreamSettings())[1])
