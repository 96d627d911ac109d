"""The client against `kfdet serve`, and against servers that are something else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from support.patience import SECONDS
from support.toy_server import Served, free_port, picture

from kfdet.detection import Detector, EndpointError
from kfdet.detection.endpoint import (
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    authorization,
    refused,
)
from kfdet.errors import InputError

SCHEMES = ["http", "grpc"]


def url(served: Served, scheme: str) -> str:
    return served.rest if scheme == "http" else f"grpc://{served.grpc}"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_detections_are_in_pixels(served: Served, scheme: str, kind: str) -> None:
    with Detector.load(url(served, scheme), name="toy") as detector:
        found = detector.detect(picture(40, 20, (204, 51, 0), kind))
    np.testing.assert_allclose(found.boxes, [[0, 0, 20, 20], [10, 5, 30, 15]])
    np.testing.assert_allclose(found.scores, [0.8, 0.2], atol=0.02)
    assert found.labels == ("disc", "squäre")
    assert found.model_seconds is not None
    assert 0 < found.model_seconds < SECONDS, "it is in milliseconds there"


def test_rest_needs_no_tensorflow(served: Served) -> None:
    program = (
        "import sys\n"
        "for name in ('tensorflow', 'grpc', 'kserve', 'PIL', 'cv2', 'tensorflow_serving'):\n"
        "    sys.modules[name] = None\n"
        "from kfdet.detection import Detector\n"
        "image = sys.stdin.buffer.read()\n"
        f"print(len(Detector.load({served.rest!r}, name='toy').detect(image).labels))\n"
        "try:\n"
        "    Detector.load('grpc://localhost:1')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        input=picture(4, 4, (9, 9, 9)),
        capture_output=True,
        check=True,
    )
    first, second = ended.stdout.decode().splitlines()
    assert first == "2"
    assert second.startswith("KfdetError A grpc:// endpoint needs the package")
    assert "kfdet[serve]" in second


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_batch_goes_in_one_request(served: Served, scheme: str) -> None:
    red = np.full((20, 40, 3), (255, 0, 0), np.uint8)
    green = picture(10, 30, (0, 255, 0))
    with Detector.load(url(served, scheme), name="toy") as detector:
        first, second = detector.detect_batch([red, green])
        assert detector.detect_batch([]) == []
    assert (first.labels, first.size) == (("disc", "squäre"), (40, 20))
    assert (second.labels, second.size) == (("squäre", "disc"), (10, 30))
    np.testing.assert_allclose(second.boxes, [[2.5, 7.5, 7.5, 22.5], [0, 0, 5, 30]])
    assert first.model_seconds == second.model_seconds


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_batch_beyond_the_servers_limits_goes_in_several_requests(
    served: Served, scheme: str
) -> None:
    colours = [(5 * n, 255 - 5 * n, 0) for n in range(40)]
    with Detector.load(url(served, scheme), name="toy") as detector:
        found = detector.detect_batch([picture(16, 16, colour) for colour in colours])
        large = detector.detect_batch([picture(6000, 4000, (255, 0, 0))] * 4)
    scores = [np.sort(one.scores) for one in found]
    np.testing.assert_allclose(scores, np.sort(np.array(colours)[:, :2] / 255), atol=0.02)
    assert len(large) == 4


def test_the_address_may_name_the_model(served: Served) -> None:
    with Detector.load(served.model_url) as detector:
        assert len(detector.detect(picture(40, 20, (204, 51, 0)))) == 2
        assert (detector.labels, detector.input_size) == (None, None)


@pytest.mark.parametrize("image", [b"", b"hello", b"\xff\xd8\xff"])
def test_no_image(served: Served, image: bytes) -> None:
    with (
        Detector.load(served.rest, name="toy") as detector,
        pytest.raises(InputError, match="not a picture"),
    ):
        detector.detect(image)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_broken_image(served: Served, scheme: str) -> None:
    image = picture(40, 20, (1, 2, 3))[:-30]
    with (
        Detector.load(url(served, scheme), name="toy") as detector,
        pytest.raises(EndpointError, match="answers with an error"),
    ):
        detector.detect(image)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_unknown_model(served: Served, scheme: str) -> None:
    with (
        Detector.load(url(served, scheme), name="other") as detector,
        pytest.raises(EndpointError, match=r"there is no such model \(Servable not found"),
    ):
        detector.detect(picture(4, 4, (0, 0, 0)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nobody_there(scheme: str) -> None:
    with (
        Detector.load(f"{scheme}://127.0.0.1:{free_port()}", name="toy") as detector,
        pytest.raises(EndpointError, match=r"cannot be reached: .*Connection refused"),
    ):
        detector.detect(picture(4, 4, (0, 0, 0)))


@pytest.mark.parametrize(
    "address", ["ftp://host", "grpc://host", "http://", "http://host:99999", "grpc://host:x"]
)
def test_no_address(address: str) -> None:
    with pytest.raises(InputError, match="is not the address of an endpoint"):
        Detector.load(address, name="toy")


EMPTY = {
    "detection_boxes": [[0, 0, 0, 0]],
    "detection_scores": [0],
    "detection_class_names": [""],
    "num_detections": 0,
}
READY = (200, json.dumps({"predictions": [EMPTY]}))


@contextmanager
def scripted(*answers: tuple[int, str]) -> Iterator[str]:
    """A server that gives `answers` one after the other, then the last one again."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_gateway_without_a_server_is_asked_again() -> None:
    with (
        scripted((503, ""), (502, ""), READY) as address,
        Detector.load(address, name="toy") as detector,
    ):
        found = detector.detect(picture(4, 4, (0, 0, 0)))
    assert (found.boxes.shape, found.scores.shape, found.labels) == ((0, 4), (0,), ())
    assert found.model_seconds is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((503, '{"error": "loading"}'), r"is not ready \(loading\)"),
        ((404, "default backend"), r"no such model \(default backend\)"),
        ((302, ""), "answers with an error, 302"),
        ((200, "<html>"), "does not answer as TensorFlow Serving does"),
        ((200, '{"predictions": []}'), "does not answer as TensorFlow Serving does"),
        ((200, '{"predictions": [3.5]}'), "answers without detection_boxes"),
        ((200, '{"predictions": [{"logits": [1]}]}'), "it has logits. Use a model that kfdet"),
    ],
)
def test_other_answers(answer: tuple[int, str], message: str) -> None:
    with (
        scripted(answer) as address,
        Detector.load(address, name="toy") as detector,
        pytest.raises(EndpointError, match=message),
    ):
        detector.detect(picture(4, 4, (0, 0, 0)))


@pytest.mark.parametrize("picture", ["photo.jpg", b"\xff\xd8\xff", Path("photo.jpg")])
def test_a_batch_is_more_than_one_picture(picture: Any) -> None:
    with (
        Detector.load("http://localhost:1") as detector,
        pytest.raises(InputError, match="this is one picture, not several"),
    ):
        detector.detect_batch(picture)


def test_a_detector_shows_where_it_is() -> None:
    with Detector.load("http://localhost:1", name="toys") as detector:
        assert repr(detector) == "<Detector http://localhost:1 (model toys)>"


def test_a_closed_detector() -> None:
    with Detector.load("http://localhost:1") as detector:
        pass
    with pytest.raises(ValueError, match="the detector is closed"):
        detector.detect(b"")


# --- tokens ---


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.delenv(TOKEN_FILE_VARIABLE, raising=False)


def test_nothing_without_a_token() -> None:
    assert authorization() == {}


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "abc.def")
    assert authorization() == {"authorization": "Bearer abc.def"}


def test_from_a_file_that_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv(TOKEN_FILE_VARIABLE, str(file))
    for token in ("first", "second"):
        file.write_text(token + "\n")
        assert authorization() == {"authorization": f"Bearer {token}"}
    monkeypatch.setenv(TOKEN_VARIABLE, "own")
    assert authorization() == {"authorization": "Bearer own"}


@pytest.mark.parametrize(
    "content", ["a b", "a\nb: c", "\x00secret", "\u00e4"], ids=["two", "lines", "zero", "umlaut"]
)
def test_no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    monkeypatch.setenv(TOKEN_FILE_VARIABLE, str(file))
    with pytest.raises(InputError, match="holds no token") as raised:
        authorization()
    assert "secret" not in str(raised.value)
    monkeypatch.setenv(TOKEN_FILE_VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(InputError, match="missing"):
        authorization()


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize("answer", ['{"error": "no: Bearer %s"}', "x %s", "%s"])
def test_a_server_that_repeats_the_token(
    monkeypatch: pytest.MonkeyPatch, status: int, answer: str
) -> None:
    token = "CaNaRy" * 30
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    with (
        scripted((status, answer % token)) as address,
        Detector.load(address, timeout=1) as detector,
        pytest.raises(EndpointError) as raised,
    ):
        detector.detect(picture(4, 4, (0, 0, 0)))
    assert "CaNaRy" not in str(raised.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_gateway_that_asks_for_one(status: int) -> None:
    assert TOKEN_VARIABLE in str(refused("https://x", status, "RBAC: access denied"))
