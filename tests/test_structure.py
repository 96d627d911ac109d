"""Where things are: few modules at the root of kfdet, and tests beside what they test."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
TESTS = REPOSITORY / "tests"

ROOT_MODULES = {"__init__", "__main__", "errors", "events", "files", "parameters", "signals"}

WITHOUT_MODULE = {
    "docker",  # the images
    "e2e",  # whole runs, here and on a cluster
    "examples",
    "hostile",  # broken files and wrong credentials, whatever module meets them
    "manifests",
    "support",  # helpers of the tests
    "test_docs.py",
    "test_docstrings.py",
    "test_packaging.py",
    "test_structure.py",
}
"""Tests of something other than one module of kfdet/, components/ or pipelines/."""


def has_a_module(test: Path) -> bool:
    """Whether it tests a module, or __main__ or __init__ of its package, or a package."""
    name = test.stem.removeprefix("test_")
    return any(
        (root / test.parent / tested).is_file()
        for root in (REPOSITORY, REPOSITORY / "kfdet")
        for tested in (f"{name}.py", f"__{name}__.py", f"{name}/__init__.py")
    )


def test_the_root_holds_only_what_every_room_imports() -> None:
    assert {path.stem for path in (REPOSITORY / "kfdet").glob("*.py")} <= ROOT_MODULES


def test_tests_mirror_the_packages() -> None:
    tests = sorted(path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
    astray = [str(test) for test in tests if test.parts[0] not in WITHOUT_MODULE]
    assert [test for test in astray if not has_a_module(Path(test))] == []
