from __future__ import annotations

import pytest

from kfdet.storage import multipart


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes a part: S3's least, so that a small file has several."""
    monkeypatch.setattr(multipart, "PART_SIZE", 5 << 20)
    return 5 << 20
