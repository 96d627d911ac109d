from __future__ import annotations

from pathlib import Path

import pytest

from kfdet import events
from kfdet.errors import InputError, KfdetError


def fail(error: Exception) -> None:
    @events.stage("export")
    def failing() -> None:
        raise error

    failing()


@pytest.fixture
def termination_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setattr(events, "_TERMINATION_LOG", path)
    return path


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KfdetError("no luck"), 1, "no luck"),
        (InputError("is empty.", file="a.xml", hint="Draw."), 2, "a.xml: is empty. Draw."),
        (FileNotFoundError(2, "No such file", "b.mp4"), 2, "b.mp4: No such file."),
        (KfdetError("a" + "é" * 3000), 1, "a" + "é" * 2047),
    ],
)
def test_a_failed_stage_leaves_its_message_to_kubernetes(
    error: Exception, status: int, message: str, termination_log: Path
) -> None:
    with pytest.raises(SystemExit) as end:
        fail(error)
    assert end.value.code == status
    assert termination_log.read_text() == message


@pytest.mark.parametrize("error", [ValueError("odd"), OSError("no number, no file")])
def test_what_nobody_thought_of_keeps_its_traceback(
    error: Exception, termination_log: Path
) -> None:
    with pytest.raises(type(error)):
        fail(error)
    assert termination_log.read_text() == f"{type(error).__name__}: {error}"


def test_a_good_stage_leaves_no_message(termination_log: Path) -> None:
    events.stage("export")(lambda: None)()
    assert termination_log.read_text() == ""


@pytest.mark.parametrize("place", ["absent", "folder"])
def test_elsewhere_there_is_nobody_to_leave_it_to(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    if place == "folder":
        path.mkdir()
    monkeypatch.setattr(events, "_TERMINATION_LOG", path)
    with pytest.raises(SystemExit):
        fail(KfdetError("no luck"))
    assert path.exists() == (place == "folder")
