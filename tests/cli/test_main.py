from __future__ import annotations

import errno
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from support.annotation_samples import box, cvat, track, write_text, write_video

from kfdet import __version__
from kfdet.cli import main
from kfdet.cli.data import Format
from kfdet.cli.serving import serve
from kfdet.parameters import Network


def kfdet(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kfdet", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def test_help_needs_nothing_heavy() -> None:
    program = (
        "import sys; from kfdet.cli import main; main(['run', '--help'])\n"
        "heavy = {'tensorflow', 'kfp', 'numpy', 'pyarrow', 'cv2', 'av', 'datumaro', 'yaml'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


COMMANDS = (
    *("demo", "run", "check", "convert", "serve", "upload", "submit", "compile", "deploy"),
    *("endpoints", "rollback"),
)


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
    if command not in ("run", "submit"):
        assert "…" not in text, "nothing is cut"


def test_a_server_is_local_unless_another_address_is_given() -> None:
    assert inspect.signature(serve).parameters["host"].default == "127.0.0.1"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"kfdet {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command 'fly'. Commands: demo, run, check, "),
        (["runn"], "No such command 'runn'. Did you mean 'run'?"),
        (["predict"], "'kfdet serve RUN', or in Python kfdet.Detector.load('RUN/model')"),
        (["trian"], "'kfdet run' trains, exports and evaluates."),
        (["run"], "Missing argument"),
        (["run", "d"], "Missing option"),
        (["run", "d", "-o", "r", "--network", "yolo"], "'yolo' is not one of"),
        (["run", "d", "-o", "r", "--val-share", "2"], "less than or equal to 0.9"),
        (["run", "d", "-o", "r", "--input-size", "big"], "is not HEIGHTxWIDTH"),
        (["run", "d", "-o", "r", "--init-checkpoint", "no/where"], "no/where: no such checkpoint"),
        (
            ["run", "d", "-o", "r", "--overrides", "none.yaml"],
            "none.yaml: cannot read: No such file",
        ),
        (["run", "d", "-o", "r", "--overrides", "."], ".: cannot read: Is a directory"),
        (["run", "d", "-o", "r"], "d: no such folder"),
        (["check", "d"], "d"),
        (
            ["compile", "-o", "x.yaml", "--shared-memory", "1GB"],
            "shared_memory must be a quantity as Kubernetes writes it, got '1GB'",
        ),
        (["compile", "-o", "file/x.yaml"], "file/x.yaml: cannot write"),
    ],
)
def test_wrong_usage_ends_with_one_message_and_status_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "file").touch()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_overrides_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (binary := tmp_path / "binary").write_bytes(b"\x89PNG\xff")
    assert main(["run", "d", "-o", "r", "--overrides", str(binary)]) == 2
    assert "binary: is not UTF-8 text" in capsys.readouterr().err


def test_a_file_that_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "a.xml")

    monkeypatch.setattr("kfdet.cli.app", refuse)
    assert main(["check", "d"]) == 2
    error = "error: a.xml: Permission denied. Change its permissions or choose another place.\n"
    assert capsys.readouterr().err == error


@pytest.mark.parametrize("text", ["task: [", "- a"])
def test_overrides_that_are_no_yaml_mapping(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "o.yaml").write_text(text)
    assert main(["run", "d", "-o", "r", "--overrides", str(tmp_path / "o.yaml")]) == 2
    assert "the overrides are not" in capsys.readouterr().err


def test_compile_writes_the_pipeline(tmp_path: Path) -> None:
    done = kfdet("compile", "--image", "hub/kfdet:1", cwd=tmp_path)
    assert done.returncode == 0
    assert "image: hub/kfdet:1" in (tmp_path / "pipeline.yaml").read_text()


def test_check_as_json(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "film.mp4").write_text("not a film")
    done = kfdet("check", "--json", str(tmp_path))
    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert list(found) == ["problems", "summary", "split"]
    assert any("film.mp4" in problem["file"] for problem in found["problems"])
    assert (found["summary"]["videos"], found["split"]) == (0, None)


def test_check_fails_on_errors_only_unless_it_is_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "clip.mp4", 100)
    rows = [box(frame, (frame / 10, 2, frame / 10 + 12, 14)) for frame in range(0, 100, 5)]
    write_text(tmp_path / "clip.xml", cvat(track(*rows), stop=99))
    assert main(["check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "1 video (100 frames, 0:00:10)" in said
    assert "Boxes drawn by a person (in 1 track): cup 20" in said
    assert "with a gap of 1.0 s" in said
    assert "0 errors, 1 warning\n" in said
    assert main(["check", "--strict", str(tmp_path)]) == 2
    (tmp_path / "broken.mp4").touch()
    capsys.readouterr()
    assert main(["check", str(tmp_path)]) == 2
    assert "1 error, 0 warnings\n" in capsys.readouterr().out


def test_the_networks_are_those_that_training_knows() -> None:
    from kfdet.training.networks import NETWORKS

    assert set(get_args(Network)) == set(NETWORKS)


def test_the_formats_are_those_that_convert_knows() -> None:
    from kfdet.dataset.conversion import FORMATS

    assert get_args(Format) == tuple(FORMATS)


def test_convert_as_json(tmp_path: Path) -> None:
    (tmp_path / "boxes.xml").write_text(
        "<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height>"
        "<depth>3</depth></size><object><name>toy</name><bndbox><xmin>1</xmin><ymin>2</ymin>"
        "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
    )
    done = kfdet("convert", "boxes.xml", "out", "--to", "parquet", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["boxes"] == 1
