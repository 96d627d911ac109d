"""Published weights: the cache, the mirror, digests, and no network at all."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.object_store import BUCKET, ObjectStore

from kfdet.errors import InputError
from kfdet.training import weight_cache
from kfdet.training.published import Published
from kfdet.training.weight_cache import cache_folder, obtain

CONTENT = b"weights"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no mirror."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KFDET_MIRROR", raising=False)
    return tmp_path / "cache" / "kfdet" / "weights"


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[str]:
    """Address of a server with one file."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "a.h5").write_bytes(CONTENT)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def digest(name: str) -> str:
    return hashlib.new(name, CONTENT, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("known", [digest("sha256"), digest("md5"), ""])
def test_it_is_fetched_once(
    known: str, cache: Path, publisher: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="kfdet")
    weights = Published(f"{publisher}/a.h5", known)
    assert obtain(weights) == cache / "a.h5"
    assert (f"SHA-256 {digest('sha256')}" in caplog.text) is (not known)
    (tmp_path / "published" / "a.h5").unlink()
    assert obtain(weights).read_bytes() == CONTENT


@pytest.mark.parametrize("known", ["0" * 64, "0" * 32])
def test_another_content_is_refused(known: str, cache: Path, publisher: str) -> None:
    with pytest.raises(InputError, match="but that of the published weights is 0000"):
        obtain(Published(f"{publisher}/a.h5", known))
    assert list(cache.iterdir()) == []


def test_a_damaged_cache_is_not_used(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "a.h5").write_bytes(b"half")
    with pytest.raises(InputError, match=rf"Delete {re.escape(str(cache))}/a.h5"):
        obtain(Published("http://example.com/a.h5", digest("md5")))


def test_what_is_not_there(cache: Path, publisher: str) -> None:
    with pytest.raises(InputError, match="cannot be downloaded: 404"):
        obtain(Published(f"{publisher}/b.h5"))
    assert list(cache.iterdir()) == []


def test_a_connection_that_breaks_off_leaves_nothing(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.h5"
        with pytest.raises(InputError, match="the connection broke off"):
            obtain(Published(url))
    assert list(cache.iterdir()) == []


def test_no_network(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(InputError, match=rf"127.0.0.1:{port} cannot be reached.*pretrained none"):
        obtain(Published(f"http://127.0.0.1:{port}/a.h5"))


def test_a_server_that_never_answers(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_cache, "PATIENCE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.h5"
        with pytest.raises(InputError, match="no answer within 0 s"):
            obtain(Published(url))


def test_a_mirror_is_asked_instead(
    cache: Path, publisher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for mirror in (publisher, str(tmp_path / "published")):
        monkeypatch.setenv("KFDET_MIRROR", f"{mirror}/")
        assert obtain(Published("http://127.0.0.1:1/far/a.h5")).read_bytes() == CONTENT
        (cache / "a.h5").unlink()
    monkeypatch.setenv("KFDET_MIRROR", str(tmp_path))
    with pytest.raises(InputError, match="there is no such file in the mirror"):
        obtain(Published(f"{publisher}/a.h5"))


def test_a_bucket_as_a_mirror(
    cache: Path, tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "a.h5").write_bytes(CONTENT)
    object_store.put(tmp_path / "mirror", "weights")
    monkeypatch.setenv("KFDET_MIRROR", f"minio://{BUCKET}/weights")
    assert obtain(Published("http://127.0.0.1:1/a.h5")).read_bytes() == CONTENT
    assert [path.name for path in cache.iterdir()] == ["a.h5"]


def test_the_cache_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder() == Path("/home/ada/.cache/kfdet/weights")
