import socket

import pytest

from kfdet.errors import InputError
from kfdet.storage import download, is_bucket_uri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("/data/model", False),
        ("https://host/x", False),
        ("minio://b/k", True),
        ("s3://b", True),
    ],
)
def test_bucket_uris(text, expected):
    assert is_bucket_uri(text) is expected


def test_no_endpoint_names_the_variables(tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(InputError, match="Set AWS_ENDPOINT_URL"):
        download("minio://models/run", tmp_path)


def test_nobody_listens(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-word")
    with pytest.raises(InputError, match="minio://models/run: http:.* cannot be reached") as raised:
        download("minio://models/run", tmp_path)
    assert "hidden-word" not in str(raised.value)
    assert not list(tmp_path.iterdir())
