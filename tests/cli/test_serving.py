from __future__ import annotations

import inspect

from kfdet.cli.serving import serve


def test_a_server_is_local_unless_another_address_is_given() -> None:
    assert inspect.signature(serve).parameters["host"].default == "127.0.0.1"
