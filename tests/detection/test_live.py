"""Streams over HTTP: they are taken up again, or were never there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import simplejpeg
from support.numbered_video import drawn, number_of
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


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveSource]:
    monkeypatch.setattr(live, "_RETRY_SECONDS", 0.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield LiveSource.stream(f"http://127.0.0.1:{server.server_port}/video")
        server.shutdown()


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


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_stream_that_was_never_there_is_refused(scheme: str) -> None:
    source = LiveSource.stream(f"{scheme}://127.0.0.1:{free_port()}/a")
    with pytest.raises(InputError, match="cannot be opened") as caught:
        next(source.open(StreamSettings())[1])
    assert caught.value.file == source.name


def test_a_camera_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="camera 97: cannot be opened: no such camera"):
        next(LiveSource.camera(97).open(StreamSettings())[1])
