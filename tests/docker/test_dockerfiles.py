from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kfdet.components import image

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "docker"
TARGETS = ("kfdet", "kfdet-serving", "kfdet-tensorboard", "kfdet-training")
LOCKS = sorted(path.name for path in DOCKER.glob("*.lock"))
NOT_IN_THE_PROJECTS_LOCK = {
    "build.lock": {"setuptools-scm", "vcs-versioning"},
    "kfdet-training.lock": {
        *(f"nvidia-cuda-{part}-cu12" for part in ("cupti", "nvcc", "nvrtc", "runtime")),
        *("nvidia-cublas-cu12", "nvidia-cudnn-cu12", "nvidia-cufft-cu12", "nvidia-curand-cu12"),
        *("nvidia-cusolver-cu12", "nvidia-cusparse-cu12", "nvidia-nccl-cu12"),
        "nvidia-nvjitlink-cu12",
    },
}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments."""
    with (DOCKER / "Dockerfile").open("rb") as file:
        structure = DockerfileParser(fileobj=file).structure
    return [
        (part["instruction"], part["value"])
        for part in structure
        if part["instruction"] != "COMMENT"
    ]


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, those of the stages it is built on first."""
    found: dict[str, list[tuple[str, str]]] = {"${BASE}": []}
    name = ""
    for instruction, argument in instructions():
        if instruction == "FROM":
            parent, name = argument.split(" AS ")
            found[name] = list(found[parent])
        elif name:
            found[name].append((instruction, argument))
    return found


def locked(path: Path) -> dict[str, tuple[set[str], set[str]]]:
    """Versions and hashes of each package of a lock."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    versions, hashes = set[str](), set[str]()
    for line in path.read_text().splitlines():
        if pin := re.match(r"([A-Za-z0-9._-]+)==([^ ]+)", line):
            versions, hashes = found.setdefault(pin[1], (set(), set()))
            versions.add(pin[2])
        elif digest := re.fullmatch(r"    --hash=(sha256:[0-9a-f]{64})( \\)?", line):
            hashes.add(digest[1])
        else:
            pytest.fail(f"{path.name}: neither a pin nor a hash: {line}")
    return found


@pytest.fixture(scope="module")
def build_commands() -> list[str]:
    """What `make images` would run, one string per image."""
    printed = subprocess.run(
        ["make", "--dry-run", "--silent", "images", "IMAGE_BUILD=build", "IMAGE_PREFIX=my/"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [" ".join(line.split()) for line in printed.replace("\\\n", " ").splitlines()]


def test_make_builds_every_target_under_the_name_that_components_use(
    build_commands: list[str],
) -> None:
    asked = {image.IMAGE, image.TRAINING_IMAGE, image.TENSORBOARD_IMAGE}
    built = set(re.findall(r"--target (\S+) --tag my/(\S+) ", "\n".join(build_commands)))
    assert {target for target, _ in built} == set(TARGETS)
    assert all(tag.split(":")[0] == target for target, tag in built)
    assert asked < {tag for _, tag in built}
    assert {tag for _, tag in built} - asked == {image.IMAGE.replace("kfdet", "kfdet-serving", 1)}


def test_one_pinned_base_of_the_python_that_the_locks_are_for() -> None:
    (base,) = (argument for instruction, argument in instructions() if instruction == "ARG")
    python = re.fullmatch(r"BASE=python:(3\.\d+)-slim-[a-z]+", base)
    assert python
    compile_command = re.search(
        r"^COMPILE := (.*\\\n.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE
    )
    assert compile_command
    assert f"--python-version {python[1]}" in compile_command[1]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_numeric_user_that_is_not_root(target: str) -> None:
    users = [argument for instruction, argument in stages()[target] if instruction == "USER"]
    (user,) = users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert [instruction for instruction, _ in stages()[target]][-1] == "USER"


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_can_run_on_a_read_only_root(target: str) -> None:
    variables = " ".join(argument for kind, argument in stages()[target] if kind == "ENV").split()
    assert "HOME=/tmp" in variables
    assert "PYTHONDONTWRITEBYTECODE=1" in variables


def test_nothing_comes_from_outside_but_packages_of_a_lock() -> None:
    assert "ADD" not in {instruction for instruction, _ in instructions()}
    for instruction, argument in instructions():
        assert "://" not in argument, (instruction, argument)
        if instruction == "RUN":
            for command in argument.split(" && "):
                program = command.split()[0]
                assert program in {"pip", "python3", "rm"}, command


def test_pip_installs_from_a_lock_with_hashes_or_without_a_network() -> None:
    commands = [
        command
        for instruction, argument in instructions()
        if instruction == "RUN"
        for command in argument.split(" && ")
        if command.startswith("pip ")
    ]
    used = []
    for command in commands:
        options = command.split()
        assert "--no-cache-dir" in options
        if "--no-index" in options:
            assert options[-1] == "/source"
            continue
        assert "--require-hashes" in options
        lock = re.fullmatch(r"-r /tmp/(\S+\.lock)", " ".join(options[-2:]))
        assert lock, command
        used.append(lock[1])
    assert sorted(used) == LOCKS


@pytest.mark.parametrize("lock", LOCKS)
def test_an_image_has_the_projects_versions(lock: str) -> None:
    project = locked(REPOSITORY / "requirements.lock")
    packages = locked(DOCKER / lock)
    assert packages
    assert set(packages) - set(project) == NOT_IN_THE_PROJECTS_LOCK.get(lock, set())
    for name, (versions, hashes) in packages.items():
        assert len(versions) == 1
        assert hashes
        if name in project:
            assert versions <= project[name][0], name
            assert hashes <= project[name][1], name


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("common.lock", ()),
        ("kfdet-serving.lock", ("serve",)),
        ("kfdet.lock", ("train",)),
        ("kfdet-training.lock", ("train",)),
    ],
)
def test_an_image_has_what_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    packages = locked(DOCKER / lock)
    wanted = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in packages, name
        (version,) = packages[name][0]
        assert requirement.specifier.contains(version), (name, version)


def test_layers_add_to_each_other_and_replace_nothing() -> None:
    above = {
        "common.lock": ("kfdet.lock", "kfdet-serving.lock"),
        "kfdet.lock": ("kfdet-training.lock",),
    }
    for below, locks in above.items():
        for lock in locks:
            packages = locked(DOCKER / lock)
            for name, pin in locked(DOCKER / below).items():
                assert packages[name] == pin, (lock, name)


def test_the_server_needs_no_training() -> None:
    serving = set(locked(DOCKER / "kfdet-serving.lock"))
    assert not serving & {"tf-models-official", "tf-keras", "tensorflow-text", "datumaro"}


def test_the_build_context_holds_only_what_is_copied() -> None:
    lines = [
        line
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    admitted = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        "docker/*.lock" if source.endswith(".lock") else source
        for instruction, argument in instructions()
        if instruction == "COPY" and not argument.startswith("--from=project ")
        for source in argument.split()[:-1]
    }
    assert admitted == copied
    assert all((REPOSITORY / source).exists() for source in copied - {"docker/*.lock"})


def test_a_thread_that_fails_ends_tensorboard() -> None:
    """Else its server goes on without the thread that reads the logs."""
    script = (
        "import threading, time;"
        "threading.Thread(target=lambda: open('/no/such/file')).start();"
        "time.sleep(60)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        env={"PYTHONPATH": str(DOCKER)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr
    assert ("ENV", "PYTHONPATH=/opt/kfdet/startup") in stages()["kfdet-tensorboard"]
