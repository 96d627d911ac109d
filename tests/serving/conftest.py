from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.toy_server import Served, start_server, write_toy_model


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "model"
    write_toy_model(folder)
    return folder


@pytest.fixture(scope="session")
def served(toy_model: Path) -> Iterator[Served]:
    """A server that all tests share."""
    served = start_server(toy_model)
    yield served
    served.process.terminate()
    assert served.process.wait(60) == 0
