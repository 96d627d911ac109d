from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import Refused
from support.toy_server import NAME, Served

from kfdet.cli import main


def test_rest_and_grpc(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    addresses = [served.model_url, f"grpc://{served.grpc}/v1/models/{NAME}"]
    page = tmp_path / "load.html"
    options = ["--most", "2", "--seconds", "0.1", "--rate", "5", "-o", str(page)]
    assert main(["load", *addresses, *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == addresses
    for each in found.values():
        assert [level["in_flight"] for level in each["levels"]] == [1, 2]
        assert each["advice"]["replicas"] >= 1
    text = page.read_text()
    assert text.count("<svg") == 2
    assert all(address in text for address in addresses)
    assert main(["load", addresses[0], "--most", "1", "--seconds", "0.1", "--rate", "5"]) == 0
    text = capsys.readouterr().out
    assert "IN FLIGHT" in text
    assert "For 5 requests a second: " in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["load", "toys"], "toys: is not the address of an endpoint"),
        (["load", "ftp://toys"], "ftp://toys"),
        (["load", "http://localhost:1", "--picture", "none.jpg"], "none.jpg: cannot be read"),
        (["load", "http://localhost:1", "--picture", "file"], "file: this is not a picture"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, refused: Refused) -> None:
    assert message in refused(arguments)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--most", ("0", "1025", "-1", "x", "9" * 400)),
        ("--seconds", ("0", "3601", "nan", "inf", "-1")),
        ("--rate", ("-1", "1e9", "nan", "inf")),
    ],
)
def test_limits(option: str, values: tuple[str, ...], refused: Refused) -> None:
    for value in values:
        assert option in refused(["load", "http://localhost:1", option, value])
