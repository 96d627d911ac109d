from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of the licence's text as the Apache Software Foundation publishes it."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from a copy: a build leaves folders in its source."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("kfdet", "components", "pipelines"):
        shutil.copytree(REPOSITORY / name, source / name)
    for name in ("LICENSE", "pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, source / name)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--wheel-dir", str(built), str(source)),
        ],
        check=True,
    )
    (path,) = built.iterdir()
    return path


def test_only_kfdet_is_put_into_site_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"kfdet"}


def test_every_package_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    places = {"kfdet": "kfdet", "components": "kfdet/components", "pipelines": "kfdet/pipelines"}
    for folder, place in places.items():
        for path in (REPOSITORY / folder).rglob("*.py"):
            name = path.relative_to(REPOSITORY / folder).as_posix()
            assert f"{place}/{name}" in inside


def test_the_licence_is_in_the_wheel(wheel: Path) -> None:
    text = (REPOSITORY / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == APACHE_2_0
    with zipfile.ZipFile(wheel) as archive:
        (licence,) = (n for n in archive.namelist() if n.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(licence) == text


def test_the_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = (
        "import sys; sys.path.insert(0, 'site'); import kfdet; "
        "assert 'site' in kfdet.__file__, kfdet.__file__; "
        "from kfdet.cli import main; sys.exit(main(['compile', '-o', 'out.yaml']))"
    )
    subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, check=True)
    golden = REPOSITORY / "tests" / "pipelines" / "golden" / "training.yaml"
    assert (tmp_path / "out.yaml").read_text() == golden.read_text()


def test_the_lock_names_no_host_and_no_path() -> None:
    for line in (REPOSITORY / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(
            r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ;.*)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line
        ), line
        assert "://" not in line


NOT_LOCKED = {"heic"}
"""Extras that neither the lock nor an image has; pyproject.toml says why."""


def test_the_lock_holds_every_direct_dependency() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [
        *project["project"]["dependencies"],
        *(d for name in extras.keys() - NOT_LOCKED for d in extras[name]),
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
    ]
    locked = {
        line.split("==")[0].lower()
        for line in (REPOSITORY / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    for requirement in wanted:
        name = re.split(r"[<>=!~\[; ]", requirement)[0]
        assert re.sub(r"[-_.]+", "-", name).lower() in locked
