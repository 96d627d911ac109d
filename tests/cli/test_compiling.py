from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import Refused, kfdet


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["compile", "-o", "x.yaml", "--shared-memory", "1GB"],
            "shared_memory must be a quantity as Kubernetes writes it, got '1GB'",
        ),
        (["compile", "-o", "file/x.yaml"], "file/x.yaml: cannot write"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, refused: Refused) -> None:
    assert message in refused(arguments)


def test_compile_writes_the_pipeline(tmp_path: Path) -> None:
    done = kfdet("compile", "--image", "hub/kfdet:1", cwd=tmp_path)
    assert done.returncode == 0
    assert "image: hub/kfdet:1" in (tmp_path / "pipeline.yaml").read_text()
