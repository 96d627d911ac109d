from __future__ import annotations

import errno
import re
import subprocess
import sys

import pytest
from support.command_line import Refused

from kfdet import __version__
from kfdet.cli import main


def test_help_needs_nothing_heavy() -> None:
    program = (
        "import sys; from kfdet.cli import main; main(['run', '--help'])\n"
        "heavy = {'tensorflow', 'kfp', 'numpy', 'pyarrow', 'cv2', 'av', 'datumaro', 'yaml'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


COMMANDS = (
    *(
        "demo",
        "run",
        "sweep",
        "check",
        "evaluate",
        "detect",
        "convert",
        "score",
        "serve",
        "load",
        "upload",
        "submit",
        "schedule",
        "schedules",
        "runs",
        "download",
        "prune",
        "compile",
        "deploy",
    ),
    *("endpoints", "rollback", "promote", "scale"),
)


def test_the_list_of_commands_makes_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["kfdet.cli.app"], "with_parameters", None)
    assert main(["--help"]) == 0


def test_the_commands_are_listed_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.partition("Commands")[2].splitlines()
    assert [line.split()[1] for line in lines if re.match(r"│ \w", line)] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f" {command} [OPTIONS]" in text
    assert f" kfdet {command}" in text.partition("Example")[2], "an example"
    assert "…" not in text, "nothing is cut"
    assert "bool" not in text, "no type where no value is taken"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"kfdet {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command 'fly'. Commands: demo, run, sweep, check, "),
        (["runn"], "No such command 'runn'. Did you mean 'run'?"),
        (["swim"], "No such command 'swim'. Commands: demo, run, sweep, check, "),
        (["predict"], "'kfdet detect photo.jpg --model RUN', or 'kfdet serve RUN'"),
        (["trian"], "'kfdet run' trains, exports and evaluates."),
    ],
)
def test_an_unknown_command(arguments: list[str], message: str, refused: Refused) -> None:
    assert message in refused(arguments)


def test_a_file_that_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "a.xml")

    monkeypatch.setattr("kfdet.cli.app", refuse)
    assert main(["check", "d"]) == 2
    error = "error: a.xml: Permission denied. Change its permissions or choose another place.\n"
    assert capsys.readouterr().err == error
