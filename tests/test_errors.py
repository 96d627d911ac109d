"""What is said where a package of an extra is missing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from kfdet.errors import KfdetError, explain_missing_packages

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[<>=!~\[; ]", each)[0]) for each in requirements}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> set[str]:
    """The modules that kfdet's source imports, without what Python itself brings."""
    found = set()
    for root in ("kfdet", "components", "pipelines"):
        for path in (REPOSITORY / root).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"kfdet"}


def test_every_module_of_an_extra_is_explained() -> None:
    base, distributions = names(PROJECT["dependencies"]), packages_distributions()
    extras = {e: names(given) for e, given in PROJECT["optional-dependencies"].items()}
    explained = 0
    for module in imported() - {"google"}:  # a namespace, and protobuf comes with kfp
        owners = {normal(name) for name in distributions.get(module, [])}
        homes = {extra for extra, given in extras.items() if owners & given}
        if owners & base or not homes:
            continue
        with pytest.raises(KfdetError) as raised, explain_missing_packages():
            raise ModuleNotFoundError(name=f"{module}.inner")
        named = re.search(rf"The module {module} is .* 'kfdet\[(\w+)\]'", str(raised.value))
        assert named, module
        assert named[1] in homes, module
        explained += 1
    assert explained > 10


def test_another_missing_module_keeps_its_error() -> None:
    with pytest.raises(ModuleNotFoundError), explain_missing_packages():
        import no_such_module  # noqa: F401


BLOCK = "import sys\nfor name in ('PIL', 'av', 'cv2', 'tensorflow'): sys.modules[name] = None\n"


def without_extras(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCK + program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [["check", "d"], ["convert", "d", "new.json", "--to", "coco"], ["demo", "-o", "no-such"]],
    ids=lambda command: command[0],
)
def test_a_command_without_its_extra_names_it(command: list[str]) -> None:
    ended = without_extras(f"from kfdet.cli import main; sys.exit(main({command}))")
    assert ended.returncode == 1
    assert re.fullmatch(
        r"error: The module (PIL|av) is not installed: pip install 'kfdet\[train\]'.\n",
        ended.stderr,
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("check('d')", "pip install 'kfdet[train]'."),
        ("load_dataset('d')", "pip install 'kfdet[train]'."),
        ("convert('d', 'new.json', 'coco')", "pip install 'kfdet[train]'."),
        (
            "Detections(None, (), None, (4, 4)).draw()",
            "Drawing needs the packages Pillow and OpenCV: "
            "pip install pillow opencv-python-headless.",
        ),
    ],
)
def test_a_function_without_its_extra_names_it(call: str, message: str) -> None:
    ended = without_extras(
        f"import kfdet\ntry:\n    kfdet.{call}\nexcept kfdet.KfdetError as error:\n    print(error)"
    )
    assert ended.stderr == ""
    assert ended.stdout.endswith(f"{message}\n")
