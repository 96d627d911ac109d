from __future__ import annotations

import numpy as np
import pytest
import requests
import simplejpeg
from support.found_frames import frame_with

from kfdet.detection.sinks.viewers import PageSink, open_viewer


def test_without_a_display_there_is_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    viewer = open_viewer()
    assert isinstance(viewer, PageSink)
    viewer.close()


def test_a_browser_gets_the_newest_picture_and_the_end() -> None:
    page = PageSink()
    try:
        assert 'src="/stream"' in requests.get(page.url, timeout=60).text
        assert requests.get(f"{page.url}other", timeout=60).status_code == 404
        for value in (50, 200):
            page.write(np.full((20, 40, 3), value, np.uint8), frame_with(0))
        with requests.get(f"{page.url}stream", timeout=60, stream=True) as answer:
            assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace")
            lines = [answer.raw.readline() for _ in range(4)]
            assert lines[:2] == [b"--frame\r\n", b"Content-Type: image/jpeg\r\n"]
            jpeg = answer.raw.read(int(lines[2].split()[1]))
            assert simplejpeg.decode_jpeg(jpeg).mean() == pytest.approx(200, abs=3)
            page.close()
            assert answer.raw.read() == b"\r\n"
    finally:
        page.close()
