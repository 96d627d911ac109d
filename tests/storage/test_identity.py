"""Credentials that the cloud gives to a pod: no key in the environment."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.object_store import BUCKET, ObjectStore

from kfdet.errors import InputError
from kfdet.storage.download import download
from kfdet.storage.environment import read_connection
from kfdet.storage.store import Store
from kfdet.storage.upload import upload

URI = f"minio://{BUCKET}/toys"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class Quiet(BaseHTTPRequestHandler):
    """Answers, and prints nothing."""

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[Quiet]) -> Iterator[str]:
    """The address of a server that answers with `handler`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEYS, "AWS_REGION", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    # this machine's own metadata service, if it has one, is not asked
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def role(no_keys: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the keys that EKS Pod Identity's agent gives out, one after the other."""
    given: list[str] = []

    class Agent(Quiet):
        def do_GET(self) -> None:
            given.append(f"temporary-{len(given)}")
            answer = {
                "AccessKeyId": given[-1],
                "SecretAccessKey": "hidden-word",
                "Token": "hidden-token",
                # botocore renews them a quarter of an hour before
                "Expiration": (datetime.now(UTC) + timedelta(minutes=1)).isoformat(),
            }
            self.answer(json.dumps(answer))

    with serving(Agent) as address:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{address}/v1/credentials")
        yield given


def test_no_key_is_needed(
    object_store: ObjectStore, role: list[str], tmp_path: Path, no_keys: None
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.jpg").write_bytes(b"picture")
    upload(tmp_path / "there", URI)
    assert (download(URI, tmp_path) / "a.jpg").read_bytes() == b"picture"
    assert role


def test_both_clients_sign_with_what_the_cloud_gives(
    object_store: ObjectStore, role: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with Store(URI) as store:
        for _ in range(2):  # what has expired is renewed
            small = store.client.presigned_get_object(BUCKET, "a")
            assert f"Credential={role[-1]}%2F" in small
            assert "X-Amz-Security-Token=hidden-token" in small
        large = store.multipart_client.generate_presigned_url(
            "get_object", {"Bucket": BUCKET, "Key": "a"}
        )
        assert f"Credential={role[-1]}%2F" in large
        assert "X-Amz-Security-Token=hidden-token" in large
    assert len(set(role)) > 1


@pytest.mark.parametrize(
    ("region", "host"),
    [("eu-central-1", "s3.eu-central-1.amazonaws.com"), ("", "s3.amazonaws.com")],
)
def test_a_role_of_amazon_means_amazons_store(
    region: str, host: str, role: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_REGION", region)
    connection = read_connection(URI)
    assert (connection.scheme, connection.host) == ("https", host)
    assert "hidden" not in repr(connection)


def test_keys_come_first(
    object_store: ObjectStore, role: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    with pytest.raises(InputError, match=r"Set AWS_SECRET_ACCESS_KEY\.$"):
        read_connection(URI)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-word")
    assert read_connection(URI).identity is None
    assert role == []


def test_the_store_is_never_asked_for_a_role(
    object_store: ObjectStore, no_keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_ENDPOINT_URL is the address of every service for botocore, also of the one for roles."""
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/kfdet")
    (tmp_path / "token").write_text("hidden-token")
    asked = []

    def see(self: object, service: str, **options: object) -> None:
        asked.append((service, options.get("endpoint_url")))
        raise LookupError

    session = read_connection(URI).identity
    monkeypatch.setattr(type(session), "create_client", see)
    with pytest.raises(LookupError):
        session.get_credentials().get_frozen_credentials()
    assert asked == [("sts", None)]
    assert session.get_config_variable("ignore_configured_endpoint_urls") is True


def test_a_pod_without_a_role(
    object_store: ObjectStore, no_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY\.$"):
        read_connection(URI)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(InputError, match=r"from the Secret kfdet-storage .* the cloud gives"):
        read_connection(URI)


def test_a_role_that_may_not(object_store: ObjectStore, role: list[str], tmp_path: Path) -> None:
    object_store.client.make_bucket(BUCKET)
    object_store.check_credentials(strictly=True)
    try:
        with pytest.raises(InputError, match=r"Check the role of the pod's ServiceAccount"):
            download(URI, tmp_path)
    finally:
        object_store.check_credentials(strictly=False)


def test_the_role_of_the_node_comes_from_a_service_that_answers_late(
    object_store: ObjectStore, no_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Metadata(Quiet):
        def do_PUT(self) -> None:
            self._answer("session")

        def do_GET(self) -> None:
            role = {
                "Code": "Success",
                "AccessKeyId": "temporary",
                "SecretAccessKey": "hidden-word",
                "Token": "hidden-token",
                "Expiration": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
            }
            self._answer(json.dumps(role) if self.path.endswith("/node") else "node")

        def _answer(self, text: str) -> None:
            asked.append(self.path)
            if len(asked) <= 2:
                self.send_error(503)
                return
            self.answer(text)

    with serving(Metadata) as address:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", address)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        identity = read_connection(URI).identity
        assert identity.get_credentials().access_key == "temporary"
