"""What a user is told, and how long a store may be away."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from support.certificate import secured, write_certificate
from support.object_store import BUCKET, ObjectStore

from kfdet.errors import InputError
from kfdet.storage.copies import local_dataset
from kfdet.storage.download import download
from kfdet.storage.environment import read_connection
from kfdet.storage.fingerprint import fingerprint
from kfdet.storage.multipart import CHECKSUM_HEADER, send, target_for
from kfdet.storage.store import Store, StoreUnavailableError
from kfdet.storage.upload import upload

URI = f"minio://{BUCKET}/toys"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"picture")
    return folder


def _copy(dataset: Path) -> None:
    with local_dataset(URI):
        pass


ASKING: dict[str, Callable[[Path], object]] = {
    "download": lambda dataset: download(URI, dataset),
    "upload": lambda dataset: upload(dataset, URI),
    "fingerprint": lambda _: fingerprint(URI),
    "local_dataset": _copy,
}


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AWS_ENDPOINT_URL", "", "Set AWS_ENDPOINT_URL"),
        ("AWS_SECRET_ACCESS_KEY", "", "Set AWS_SECRET_ACCESS_KEY"),
        ("AWS_ENDPOINT_URL", "minio:9000", 'is "minio:9000", which is not an address'),
    ],
)
def test_what_the_environment_lacks(
    asking: str,
    variable: str,
    value: str,
    message: str,
    dataset: Path,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=message) as raised:
        ASKING[asking](dataset)
    assert raised.value.file == URI
    assert object_store.log[1:] == []


ADDRESSES = [
    ("http://minio:abc", "", 'AWS_ENDPOINT_URL is "http://minio:abc", which is not an address'),
    ("http://minio:99999", "", "which is not an address"),
    ("http://[::1", "", "which is not an address"),
    ("http://:9000", "", "which is not an address"),
    ("http://minio/tenant/s3", "", "at the root of the host"),
    ("http://minio?a=b", "", "at the root of the host"),
    ("http://ann:hidden@minio:9000", "", "AWS_ENDPOINT_URL contains credentials"),
    ("minio://ann:hidden@minio", "", "AWS_ENDPOINT_URL contains credentials"),
    ("http://ann:hid/den@minio", "", "AWS_ENDPOINT_URL contains credentials"),
    ("https://b.s3.amazonaws.com", "", "invalid Amazon AWS host .* AWS_ENDPOINT_URL"),
    ("http://minio:9000", "no region", "AWS_REGION is not the name of a region"),
]


@pytest.mark.parametrize(("url", "region", "message"), ADDRESSES)
def test_what_is_no_address(
    url: str, region: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_REGION", region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-word")
    with pytest.raises(InputError, match=message) as raised:
        Store(URI)
    assert raised.value.file == URI
    assert "hid" not in str(raised.value)


@pytest.mark.parametrize(
    "variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
)
@pytest.mark.parametrize("value", ["hidden\nword", "hidden\x7f", "hidden-wörd"])
def test_a_credential_that_is_not_one_is_never_shown(
    variable: str, value: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=f"{variable} contains a character") as raised:
        fingerprint(URI)
    assert "hid" not in str(raised.value)


def test_a_line_break_behind_the_credentials(
    dataset: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a Secret made with `echo`; http.client would show the whole header and refuse it."""
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, f"{value}\n")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hidden-word\n")
    assert upload(dataset, URI).files == 1
    connection = repr(read_connection(URI))
    assert object_store.url.removeprefix("http://") in connection
    assert "hidden-word" not in connection


def test_a_slash_at_the_end_of_the_address(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{object_store.url}/")
    with Store(URI) as store:
        assert store.call_with_retries(store.client.list_buckets) == []


@pytest.mark.parametrize("asking", ASKING)
def test_wrong_credentials(asking: str, dataset: Path, object_store: ObjectStore) -> None:
    object_store.client.make_bucket(BUCKET)
    object_store.check_credentials(strictly=True)
    try:
        with pytest.raises(InputError, match=r"refuses the credentials.*Check AWS_ACCESS_KEY_ID"):
            ASKING[asking](dataset)
    finally:
        object_store.check_credentials(strictly=False)


@pytest.mark.parametrize("asking", ["download", "fingerprint", "local_dataset"])
def test_missing(asking: str, dataset: Path, object_store: ObjectStore) -> None:
    with pytest.raises(InputError, match='there is no bucket "kfdet"'):
        ASKING[asking](dataset)
    object_store.client.make_bucket(BUCKET)
    with pytest.raises(InputError, match="there are no objects with this key or prefix"):
        ASKING[asking](dataset)


def test_a_name_that_no_store_takes(dataset: Path, object_store: ObjectStore) -> None:
    with pytest.raises(InputError, match="minio://B_/toys: "):
        upload(dataset, "minio://B_/toys")


def test_nobody_listens(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-word")
    monkeypatch.setattr("kfdet.storage.store._FIRST_CONTACT_SECONDS", 0.5)
    with pytest.raises(InputError, match=r"cannot be reached: .*Check the network") as raised:
        download(URI, dataset)
    assert "hidden-word" not in str(raised.value)
    assert [path.name for path in dataset.iterdir()] == ["a.jpg"]


class NoBuckets(BaseHTTPRequestHandler):
    """A store without buckets."""

    def do_GET(self) -> None:
        answer = b"<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def test_a_certificate_that_nobody_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_certificate(certificate := tmp_path / "ca.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), NoBuckets)
    server.socket = secured(server.socket, certificate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-word")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with server, Store(URI) as store:
        with pytest.raises(InputError, match=r"is not trusted: self.signed .*SSL_CERT_FILE names"):
            store.call_with_retries(store.client.list_buckets)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with Store(URI) as trusting:
            assert trusting.call_with_retries(trusting.client.list_buckets) == []
        server.shutdown()


class PartsOnly(BaseHTTPRequestHandler):
    """The multipart calls of a store, for one object; refuses damaged parts."""

    protocol_version = "HTTP/1.1"
    content = b""
    checksum = ""
    tokens: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._answer("<ListMultipartUploadsResult></ListMultipartUploadsResult>")

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header(CHECKSUM_HEADER, self.checksum)
        self.send_header("Last-Modified", "Mon, 05 Jan 2026 10:00:00 GMT")
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path.endswith("?uploads"):
            PartsOnly.checksum = self.headers[CHECKSUM_HEADER]
            self._answer("<R><UploadId>1</UploadId></R>")
        else:
            self._answer("<R><Key>toys</Key></R>")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        assert base64.b64decode(self.headers["Content-MD5"]) == digest
        self.tokens.append(self.headers["X-Amz-Security-Token"])
        PartsOnly.content += body
        self._answer("", ETag='"etag"')

    def _answer(self, body: str, **headers: str) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.usefixtures("small_parts")
def test_parts_over_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same trust and credentials as for small files; neither a proxy nor a profile matters."""
    write_certificate(certificate := tmp_path / "ca.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), PartsOnly)
    server.socket = secured(server.socket, certificate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "hidden-word",
        "AWS_SESSION_TOKEN": "token",
        "AWS_REGION": "somewhere",
        "AWS_PROFILE": "absent",
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "video.mp4"
    path.write_bytes(os.urandom((5 << 20) + 1))
    target = target_for(path, BUCKET, "toys")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with server, ThreadPoolExecutor(1) as parts, Store(URI) as distrusting:
        with pytest.raises(InputError, match=r"is not trusted: self.signed .*SSL_CERT_FILE names"):
            send(distrusting, path, target, parts, lambda _: None)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with Store(URI) as store:
            send(store, path, target, parts, lambda _: None)
        server.shutdown()
    assert PartsOnly.content == path.read_bytes()
    assert PartsOnly.tokens == ["token", "token"]


def test_an_outage_is_waited_out(object_store: ObjectStore) -> None:
    with Store(URI, retry_seconds=30) as store:
        store.call_with_retries(store.client.list_buckets)
        object_store.stop()
        threading.Timer(2, object_store.start).start()
        assert store.call_with_retries(store.client.list_buckets) == []


def test_patience_ends(object_store: ObjectStore) -> None:
    with Store(URI, retry_seconds=1) as store:
        store.call_with_retries(store.client.list_buckets)
        object_store.stop()
        try:
            with pytest.raises(StoreUnavailableError, match=r"has not answered for . s: .*refused"):
                store.call_with_retries(store.client.list_buckets)
        finally:
            object_store.start()
