"""Tokens for a gateway before an endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfdet.detection.endpoint import (
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    authorization,
    refused,
)
from kfdet.errors import InputError


@pytest.fixture(autouse=True)
def none(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("status", [401, 403])
def test_a_gateway_that_asks_for_one(status: int) -> None:
    assert TOKEN_VARIABLE in str(refused("https://x", status, "RBAC: access denied"))
