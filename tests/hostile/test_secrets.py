"""Whatever is wrong with a credential: it appears nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.annotation_samples import write_image

from kfdet.cli import main
from kfdet.errors import InputError
from kfdet.storage.address import BucketPath

CANARY = "CaNaRy7/pXq+wJalrXUtnFEMIbPxRfiCYzEXAMPLE"
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
WRONG = {
    "line break behind": f"{CANARY}\n",
    "line break before": f"\r\n{CANARY}",
    "line break inside": f"{CANARY}\n{CANARY}",
    "header inside": f"{CANARY}\r\nX-Evil: {CANARY}",
    "tab": f"{CANARY}\t{CANARY}",
    "no ASCII": f"{CANARY}ä",
    "control character": f"{CANARY}\x1b[31m",
    "byte order mark": f"\ufeff{CANARY}",
    "quotes": f'"{CANARY}"',
    "space": f"{CANARY} {CANARY}",
    "bytes that are no text": f"{CANARY}\udcff",
    "right": CANARY,
}
COMMANDS = {
    "upload": ("upload", "DATASET", "minio://kfdet/toys"),
    "download": ("download", "minio://kfdet/toys", "OUT"),
    "check": ("check", "minio://kfdet/toys"),
}


class Parrot(BaseHTTPRequestHandler):
    """A store that refuses everything, and repeats all it was sent."""

    def _refuse(self) -> None:
        code = "SignatureDoesNotMatch" if self.path.count("/") > 1 else "InvalidAccessKeyId"
        message = " ".join(f"{name}: {value}" for name, value in self.headers.items())
        shown = message.replace("&", "").replace("<", "")
        text = f"<Error><Code>{code}</Code><Message>{shown}</Message></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self._refuse()

    def do_PUT(self) -> None:
        self._refuse()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._refuse()

    def do_HEAD(self) -> None:
        self._refuse()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def parrot():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def everything_shown(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """What a command prints, and the content of all files that it leaves."""
    words = {"DATASET": str(folder / "data"), "OUT": str(folder / "out")}
    done = subprocess.run(
        [sys.executable, "-m", "kfdet", *(words.get(word, word) for word in arguments)],
        env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder / "tmp"), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=300,
    )
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr
    left = [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]
    names = [str(path) for path in folder.rglob("*")]
    return "\n".join([done.stdout, done.stderr, *left, *names])


def prepare(folder: Path) -> None:
    (folder / "tmp").mkdir()
    (folder / "data" / "images").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "images" / "a.jpg").write_bytes(b"no picture")


@pytest.mark.parametrize("wrong", WRONG)
def test_no_credential_is_shown(tmp_path: Path, parrot: str, wrong: str) -> None:
    prepare(tmp_path)
    environment = {"AWS_ENDPOINT_URL": parrot, **dict.fromkeys(VARIABLES, WRONG[wrong])}

    assert CANARY not in everything_shown(tmp_path, environment, *COMMANDS["upload"])


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_REGION"])
def test_no_credential_in_another_variable_is_shown(
    tmp_path: Path, parrot: str, variable: str
) -> None:
    prepare(tmp_path)
    environment = {"AWS_ENDPOINT_URL": parrot, **dict.fromkeys(VARIABLES, "someone")}
    environment[variable] = CANARY

    assert CANARY not in everything_shown(tmp_path, environment, *COMMANDS["download"])


def test_no_credential_in_an_address_is_shown(tmp_path: Path, parrot: str) -> None:
    prepare(tmp_path)
    environment = {"AWS_ENDPOINT_URL": parrot, **dict.fromkeys(VARIABLES, "someone")}
    uri = f"s3://someone:{CANARY}@kfdet/toys"

    assert CANARY not in everything_shown(tmp_path, environment, "check", uri)
    with pytest.raises(InputError, match="contains credentials") as raised:
        BucketPath.parse(uri)
    assert CANARY not in str(raised.value)


def shown_here(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    environment: dict[str, str],
    arguments: Sequence[str],
) -> str:
    """As `everything_shown`, in this process, which has loaded what takes long."""
    prepare(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    for name, value in {"HOME": str(folder), **environment}.items():
        monkeypatch.setenv(name, value)
    words = {"DATASET": str(folder / "data"), "OUT": str(folder / "out")}
    status = main([words.get(word, word) for word in arguments])
    printed = capfd.readouterr()
    assert status in (1, 2), printed
    left = [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]
    return "\n".join([printed.out, printed.err, *left, *map(str, folder.rglob("*"))])


@pytest.mark.parametrize(
    "command",
    [
        ("detect", "minio://kfdet/a.jpg", "-m", "OUT"),
        ("detect", "DATASET", "-m", "minio://kfdet/m"),
        ("score", "minio://kfdet/a", "minio://kfdet/b", "--model", "minio://kfdet/m"),
        ("score", "minio://kfdet/a", "OUT", "--model", "http://127.0.0.1:9"),
        ("score", "DATASET", "minio://kfdet/b", "--model", "http://127.0.0.1:9"),
        ("evaluate", "minio://kfdet/m", "DATASET"),
        ("evaluate", "http://127.0.0.1:9", "minio://kfdet/toys"),
        ("run", "minio://kfdet/toys", "-o", "OUT"),
        ("convert", "minio://kfdet/toys", "OUT", "--to", "coco"),
        ("download", "minio://kfdet/toys", "OUT"),
    ],
    ids=" ".join,
)
def test_no_credential_is_shown_by_what_reads_a_bucket(
    tmp_path: Path,
    parrot: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: Sequence[str],
) -> None:
    environment = {"AWS_ENDPOINT_URL": parrot, **dict.fromkeys(VARIABLES, CANARY)}

    assert CANARY not in shown_here(tmp_path, monkeypatch, capfd, environment, command)


BUCKET = f"s3://someone:{CANARY}@kfdet/toys"
ENDPOINTS = (
    f"http://someone:{CANARY}@127.0.0.1:9",
    f"http://127.0.0.1:9/v1/models/toys?key={CANARY}",
    f"grpc://someone:{CANARY}@127.0.0.1:9",
)


@pytest.mark.parametrize(
    "command",
    [
        ("upload", "DATASET", BUCKET),
        ("download", BUCKET, "OUT"),
        ("convert", BUCKET, "OUT", "--to", "coco"),
        ("run", BUCKET, "-o", "OUT"),
        ("submit", BUCKET, "--host", "http://127.0.0.1:9"),
        ("detect", BUCKET, "-m", "OUT"),
        ("detect", "DATASET", "-m", BUCKET),
        ("score", BUCKET, "OUT", "--model", "OUT"),
        ("score", "DATASET", BUCKET, "--model", "OUT"),
        ("score", "DATASET", "OUT", "--model", BUCKET),
        ("evaluate", BUCKET, "DATASET"),
        ("evaluate", "OUT", BUCKET),
        ("detect", f"http://someone:{CANARY}@127.0.0.1:9/a?key={CANARY}", "-m", "OUT"),
        ("detect", f"rtsp://someone:{CANARY}@127.0.0.1:9/a", "-m", "http://127.0.0.1:9"),
        *(("detect", "DATASET", "-m", address) for address in ENDPOINTS),
        *(("load", address) for address in ENDPOINTS),
        *(("score", "DATASET", "OUT", "--model", address) for address in ENDPOINTS),
        *(("evaluate", address, "DATASET") for address in ENDPOINTS),
        *(("evaluate", "OUT", "DATASET", "--against", address) for address in ENDPOINTS),
    ],
    ids=lambda command: " ".join(command).replace(CANARY, "..."),
)
def test_no_credential_in_any_address_is_shown(
    tmp_path: Path,
    parrot: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: Sequence[str],
) -> None:
    environment = {"AWS_ENDPOINT_URL": parrot, **dict.fromkeys(VARIABLES, "someone")}

    assert CANARY not in shown_here(tmp_path, monkeypatch, capfd, environment, command)


@pytest.mark.parametrize("token", [CANARY, f"{CANARY}\n", f"{CANARY} {CANARY}", f"{CANARY}ä"])
@pytest.mark.parametrize(
    "command",
    [
        ("detect", "DATASET", "-m", "ENDPOINT"),
        ("score", "DATASET", "OUT", "--model", "ENDPOINT"),
        ("load", "ENDPOINT"),
    ],
    ids=lambda command: command[0],
)
def test_no_token_of_an_endpoint_is_shown(
    tmp_path: Path,
    parrot: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: Sequence[str],
    token: str,
) -> None:
    write_image(tmp_path / "data" / "images" / "b.jpg")
    monkeypatch.setenv("KFDET_ENDPOINT_TOKEN", token)
    asked = [parrot if word == "ENDPOINT" else word for word in command]

    assert CANARY not in shown_here(tmp_path, monkeypatch, capfd, {}, asked)
