from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kfdet import files
from kfdet.errors import InputError
from kfdet.files import (
    atomic_file,
    atomic_folder,
    count_cores,
    hash_folder,
    read_json,
    read_json_object,
    read_zip,
    write_zip,
)


@pytest.fixture
def umask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    before = os.umask(request.param)
    with monkeypatch.context() as patch:
        # Reading the umask sets it for a moment, in all threads: another one's files get it.
        patch.setattr(os, "umask", lambda _: pytest.fail("the umask belongs to the process"))
        yield request.param
    os.umask(before)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], indirect=True)
def test_permissions_follow_the_umask_without_touching_it(umask: int, tmp_path: Path) -> None:
    with atomic_file(tmp_path / "file") as path:
        path.write_text("content")
    with atomic_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


def test_whole_or_absent(tmp_path: Path) -> None:
    def fail(path: Path, error: Exception) -> None:
        manager = atomic_folder(path) if path.suffix == "" else atomic_file(path)
        with manager as temporary:
            inside = temporary / "part" if path.suffix == "" else temporary
            inside.write_text("new")
            raise error

    for path in (tmp_path / "a" / "file.txt", tmp_path / "b" / "folder"):
        with pytest.raises(ValueError, match="stop"):
            fail(path, ValueError("stop"))
        with pytest.raises(InputError, match=f"{path.name}: cannot write: No space"):
            fail(path, OSError(28, "No space left on device"))
        assert list(path.parent.iterdir()) == []


def test_a_place_that_cannot_be_looked_at(tmp_path: Path) -> None:
    for manager in (atomic_file, atomic_folder):
        with (
            pytest.raises(InputError, match="cannot write: File name too long"),
            manager(tmp_path / ("n" * 300)),
        ):
            pytest.fail("nothing to write to")


def test_a_new_folder_replaces_the_old_one(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / name).touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]
    assert len(list(tmp_path.iterdir())) == 1


def test_hash_of_a_folder(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, names in ((one, ("a", "b/c")), (two, ("b/c", "a"))):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
    # Versions of endpoints are made of it: a model that is deployed keeps its version.
    assert hash_folder(one).startswith("0896241edfb9")
    assert hash_folder(two) == hash_folder(one)
    (two / "a").rename(two / "d")
    assert hash_folder(two) != hash_folder(one)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("entries", [{}, {"b.jpg": b"2", "a.jpg": b""}])
def test_zip_is_deterministic_and_keeps_the_order(
    entries: dict[str, bytes], compress: bool, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    write_zip(one, entries, compress=compress)
    on_disk: dict[str, bytes | Path] = {}
    for name, content in entries.items():
        on_disk[name] = tmp_path / name
        (tmp_path / name).write_bytes(content)
    write_zip(two, on_disk, compress=compress)
    assert list(read_zip(one).items()) == list(entries.items())
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.testzip() is None


def test_zip_behind_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"model" * 100)
    write_zip(path, {"labels.txt": b"cat\n"}, append=True)
    assert path.read_bytes().startswith(b"model" * 100)
    assert read_zip(path) == {"labels.txt": b"cat\n"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"file\.json: cannot read: No such file or directory\. Try again\."),
        (b"", r"file\.json:1: is not JSON: Expecting value\. Try again\."),
        (b'{\n"a":', r"file\.json:2: is not JSON: Expecting value\. Try again\."),
        (b'"\xff"', r"file\.json: is not JSON: 'utf-8' codec.*\. Try again\."),
        (b"[" * 100_000, r"file\.json: is not JSON: .*recursion.*\. Try again\."),
        (b"[1]", r"file\.json: is not a JSON object\. Try again\."),
    ],
)
def test_unreadable_json(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_json_object(path, hint="Try again.")


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes('\ufeff["é", 1e400]'.encode())
    assert read_json(path) == ["é", float("inf")]


@pytest.mark.parametrize(
    ("cgroups", "written", "expected"),
    [
        (None, {}, 8),
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 8),
        ("0::/pod/box\n", {"pod/cpu.max": "300000 100000\n", "pod/box/cpu.max": "max 9\n"}, 3),
        (
            "3:memory:/pod\n2:cpu,cpuacct:/pod\n0::/\n",
            {
                "cpu,cpuacct/pod/cpu.cfs_quota_us": "400000\n",
                "cpu,cpuacct/pod/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        # In a container, the group of /proc/self/cgroup is the node's name for what is mounted.
        (
            "2:cpu:/kubepods/pod1/box\n",
            {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            1,
        ),
        (
            "2:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            8,
        ),
        ("nonsense\n", {}, 8),
    ],
)
def test_cores_within_the_cpu_limit(
    cgroups: str | None,
    written: dict[str, str],
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if cgroups is not None:
        (tmp_path / "cgroup").write_text(cgroups)
    for name, content in written.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.setattr(files, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(files, "_CGROUP_MOUNT", tmp_path / "mount")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert count_cores() == expected
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert count_cores() == 1
