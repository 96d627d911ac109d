"""Streams over HTTP in which something else comes between the pictures."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest
import simplejpeg
from support.numbered_video import drawn

from kfdet.detection import live
from kfdet.detection.live import LiveSource
from kfdet.errors import InputError
from kfdet.events import listening
from kfdet.parameters import StreamSettings

PICTURES = 20


def jpeg(number: int) -> bytes:
    gray = drawn(number)[..., None].repeat(3, axis=2)
    data: bytes = simplejpeg.encode_jpeg(gray, quality=95)
    return data


def small(data: bytes, bits: int) -> bytes:
    """`data` with some of its bits changed."""
    changed, rng = bytearray(data), random.Random(0)
    for _ in range(bits):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


WRONG = {
    "garbage": random.Random(0).randbytes(3000),
    "other bits": small(jpeg(0), 20),
    "cut off": jpeg(0)[:500],
    "nothing": b"",
    "a page": b"<html>404</html>",
    "another size": simplejpeg.encode_jpeg(np.zeros((60, 80, 3), np.uint8)),
    "too large": simplejpeg.encode_jpeg(np.zeros((300, 400, 3), np.uint8)),
    "a header alone that says 50,000 x 50,000": jpeg(0).replace(
        struct.pack(">HH", 112, 176), struct.pack(">HH", 50_000, 50_000)
    ),
}
"""What may come between a camera's pictures."""


class Camera(BaseHTTPRequestHandler):
    """Sends some parts, and then the last of them again and again where it is `endless`."""

    parts: tuple[bytes, ...] = ()
    endless = False

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with suppress(OSError):
            for data in itertools.chain(
                self.parts, itertools.repeat(self.parts[-1]) if self.endless else ()
            ):
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
                self.wfile.write(head.encode() + b"\r\n\r\n" + data + b"\r\n")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def sending(parts: Iterable[bytes], *, endless: bool = False) -> Iterator[LiveSource]:
    handler = type("Handler", (Camera,), {"parts": tuple(parts), "endless": endless})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield LiveSource.stream(f"http://127.0.0.1:{server.server_port}/video")
        server.shutdown()


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("before", [0, 5])
def test_a_stream_goes_on_after_what_is_no_picture(
    kind: str, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(live, "MAX_PICTURE_PIXELS", 100_000)
    parts = [*[jpeg(1)] * before, *[WRONG[kind]] * 3, *[jpeg(2)] * PICTURES]
    with sending(parts) as source:
        found = list(itertools.islice(source.open(StreamSettings())[1], PICTURES))
    assert [frame.number for frame in found] == list(range(PICTURES))
    assert (found[-1].width, found[-1].height) == (176, 112)
    assert all(frame.width * frame.height <= 100_000 for frame in found)


@pytest.mark.parametrize("kind", ["garbage", "nothing", "a page", "too large"])
def test_a_stream_without_any_picture_is_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_PICTURE_PIXELS", 100_000)
    with (
        sending([WRONG[kind]] * 30) as source,
        pytest.raises(InputError, match="cannot be opened") as caught,
    ):
        next(source.open(StreamSettings())[1])
    assert caught.value.file == source.name


def test_a_stream_that_becomes_something_else_counts_as_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(live, "_MOST_BROKEN", 20)
    monkeypatch.setattr(live, "MAX_PICTURE_PIXELS", 100_000)
    warnings: list[dict[str, Any]] = []
    parts = [*[jpeg(1)] * 5, WRONG["too large"]]
    with sending(parts, endless=True) as source, listening(warnings.append):
        found = list(itertools.islice(source.open(StreamSettings())[1], 12))
    assert len(found) == 12
    messages = [each["message"] for each in warnings if each["event"] == "warning"]
    assert set(messages) == {f"{source.name} is gone. Waiting for it."}
