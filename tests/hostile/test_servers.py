"""The client against servers that lie, hang and drip: one class of error, and in time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from support.toy_server import free_port, picture

from kfdet.cli import main
from kfdet.detection import Detector, EndpointError

GOOD: dict[str, Any] = {
    "detection_boxes": [[0, 0, 1, 1]],
    "detection_scores": [0.5],
    "detection_class_names": ["cup"],
    "num_detections": 1,
}
TIMEOUT = 1.0
PATIENCE = 60
"""Seconds after which a server would stop; a client that is still there hangs."""

Talk = Callable[[socket.socket, threading.Event], None]


@contextmanager
def serving(talk: Talk) -> Iterator[str]:
    """A server that reads the start of each request and then does as it likes."""
    stopped = threading.Event()

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(1 << 16)
            talk(client, stopped)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)


def sending(*parts: bytes, pause: float = 0.05, again: bytes = b"") -> Talk:
    """Send `parts`, then `again` until the client has gone or the test is over."""

    def talk(client: socket.socket, stopped: threading.Event) -> None:
        for part in parts:
            client.sendall(part)
        end = time.monotonic() + PATIENCE
        while again and not stopped.wait(pause) and time.monotonic() < end:
            client.sendall(again)

    return talk


def answer(body: bytes, headers: str = "", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def saying(**changes: Any) -> bytes:
    return answer(json.dumps({"predictions": [{**GOOD, **changes}]}).encode())


def hang(_: socket.socket, stopped: threading.Event) -> None:
    stopped.wait(PATIENCE)


START = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "silence": hang,
    "half a status": sending(b"HTTP/1.", again=b"1"),
    "headers": sending(START, again=b"a: b\r\n"),
    "one header": sending(START + b"a: ", again=b"b"),
    "continue": sending(again=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": sending(START + b"Content-Length: 100000\r\n\r\n", again=b"["),
    "body without an end": sending(START + b"\r\n", again=b" "),
    "chunks": sending(START + b"Transfer-Encoding: chunked\r\n\r\n", again=b"1\r\n[\r\n"),
    "later": sending(answer(b"", "Retry-After: 3600\r\n", "503 Busy")),
    "too many": sending(answer(b"", "Retry-After: 3600\r\n", "429 Busy")),
    "large": sending(START + b"\r\n", again=b"[" * (1 << 20), pause=0),
}


@pytest.mark.parametrize("talk", ENDLESS.values(), ids=ENDLESS)
def test_no_end(talk: Talk) -> None:
    done = threading.Event()
    errors: list[BaseException] = []

    def detect(url: str) -> None:
        try:
            with Detector.load(url, timeout=TIMEOUT) as detector:
                detector.detect(picture(4, 4, (0, 0, 0)))
        except BaseException as error:  # looked at below
            errors.append(error)
        done.set()

    with serving(talk) as url:
        threading.Thread(target=detect, args=(url,), daemon=True).start()
        # Far more than the timeout, as the machine may be slow; and far less than the server has.
        assert done.wait(PATIENCE / 2)
    (error,) = errors
    assert isinstance(error, EndpointError)


LIES = {
    "nothing": b"",
    "no HTTP": b"220 mail.example.org ESMTP\r\n",
    "cut": answer(b"x" * 100)[:-50],
    "redirect to itself": answer(b"", "Location: /\r\n", "302 Found"),
    "redirect to a file": answer(b"", "Location: file:///etc/passwd\r\n", "307 Moved"),
    "text of no encoding": answer(b"\xff\xfe\x00"),
    "status of four digits": answer(b"", status="9999 Odd"),
    "no JSON": answer(b"<html>"),
    "deep": answer(b"[" * 100_000),
    "deep error": answer(b'{"error": ' * 100_000, status="400 Bad"),
    "long number": answer(b'{"predictions": [' + b"9" * 5000 + b"]}"),
    "compressed, it says": answer(b"{}", "Content-Encoding: gzip\r\n"),
    "a list": answer(b"[1]"),
    "an object for the list": answer(b'{"predictions": {"a": 1}}'),
    "text for the list": answer(b'{"predictions": "x"}'),
    "null": answer(b'{"predictions": [null]}'),
    "two": answer(json.dumps({"predictions": [GOOD, GOOD]}).encode()),
    **{
        f"{name} {json.dumps(value)[:20]}": saying(**{name: value})
        for name, values in {
            "num_detections": (None, "x", [], -1, 2, 1e300, float("nan"), 10**400, 0.5),
            "detection_boxes": (
                *(None, "x", [], [1], [[1]], [[1, 2, 3, "x"]], [[1, 2], [3]], {}),
                *([[0, 0, 1, 1]] * 2, [[0, 0, 1, float("inf")]], [[0, 0, 1, 10**400]]),
            ),
            "detection_scores": (None, "x", [], [None], [0.5, 0.5], [[0.5]], [float("nan")], {}),
            "detection_class_names": (None, "cup", [], [1], [None], ["a", "b"], [["a"]], {}),
        }.items()
        for value in values
    },
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_lies(lie: bytes) -> None:
    with (
        serving(sending(lie)) as url,
        Detector.load(url, timeout=TIMEOUT) as detector,
        pytest.raises(EndpointError) as raised,
    ):
        detector.detect(picture(4, 4, (0, 0, 0)))
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("timing", ["model;dur=1.2.3", "model;dur=" + "9" * 500, "x" * 60_000])
def test_times_that_are_none(timing: str) -> None:
    body = json.dumps({"predictions": [GOOD]}).encode()
    with (
        serving(sending(answer(body, f"Server-Timing: {timing}\r\n"))) as url,
        Detector.load(url) as detector,
    ):
        found = detector.detect(picture(4, 4, (0, 0, 0)))
    assert (found.labels, found.model_seconds) == (("cup",), None)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
@pytest.mark.parametrize("talk", [hang, sending(b"x" * 100)], ids=["silent", "other protocol"])
def test_another_server(scheme: str, talk: Talk) -> None:
    with (
        serving(talk) as url,
        Detector.load(url.replace("http", scheme), timeout=TIMEOUT) as detector,
        pytest.raises(EndpointError),
    ):
        detector.detect(picture(4, 4, (0, 0, 0)))


class TestTensors:
    """A server of gRPC whose tensors are not what they state."""

    @pytest.mark.parametrize(
        "change",
        [
            {"tensor_shape": {"dim": [{"size": 2**40}]}, "float_val": [1.0]},
            {"tensor_shape": {"dim": [{"size": -1}]}, "float_val": [1.0]},
            {"tensor_shape": {"dim": [{"size": 3}]}, "tensor_content": b"x"},
            {"dtype": 20},
            {"dtype": 77},
        ],
    )
    def test_not_valid(self, change: dict[str, Any]) -> None:
        from tensorflow.core.framework.tensor_pb2 import TensorProto

        from kfdet.detection.grpc import read_tensor

        with pytest.raises((TypeError, ValueError, OverflowError, KeyError)):
            read_tensor(TensorProto(**{"dtype": 1, **change}))


@pytest.mark.parametrize("kind", ["nothing", "no JSON", "a list", "null", "two", "deep error"])
def test_load_of_a_server_that_lies(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(sending(LIES[kind])) as url:
        status = main(["load", url, "--most", "2", "--seconds", "0.1"])
    _one_message(status, *capsys.readouterr())


def test_load_of_a_server_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["load", f"http://127.0.0.1:{free_port()}", "--most", "2", "--seconds", "0.1"])
    _one_message(status, *capsys.readouterr())


def _one_message(status: int, out: str, err: str) -> None:
    assert (status, out) == (1, "")
    assert "error: " in err
    assert "127.0.0.1" in err
    assert "Traceback" not in err
