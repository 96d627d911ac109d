from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from kfdet.dataset.formats import archive
from kfdet.dataset.zipped import files_in_zip, is_zip, unpack_dataset
from kfdet.errors import InputError


def pack(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


DATASET = {"videos/a.mp4": b"film", "annotations/a.xml": b"<a/>", "dataset.yaml": b""}


@pytest.mark.parametrize("top", ["", "toys/"])
def test_a_dataset_with_or_without_its_folder(tmp_path: Path, top: str) -> None:
    hidden = {"__MACOSX/toys/._a.mp4": b"", ".DS_Store": b"", f"{top}notes.md": b""}
    members = {top + name: data for name, data in DATASET.items()}
    path = pack(tmp_path / "z.zip", **members, **hidden)

    assert is_zip(path)
    assert [(file.name, file.size) for file in files_in_zip(path)] == [
        ("annotations/a.xml", 4),
        ("dataset.yaml", 0),
        ("videos/a.mp4", 4),
    ]
    (tmp_path / "out").mkdir()
    root = unpack_dataset(path, tmp_path / "out")
    assert root == tmp_path / "out" / top
    assert tree(root) == DATASET


def test_only_the_files_that_are_needed(tmp_path: Path) -> None:
    path = pack(tmp_path / "z.zip", **{f"toys/{name}": data for name, data in DATASET.items()})
    (tmp_path / "out").mkdir()
    root = unpack_dataset(path, tmp_path / "out", {"videos/a.mp4"})
    assert tree(root) == {"videos/a.mp4": b"film"}
    with pytest.raises(InputError, match=r"b\.mp4 is no longer in the zip"):
        unpack_dataset(path, tmp_path / "out", {"videos/b.mp4"})


def test_a_layout_folder_is_no_dataset(tmp_path: Path) -> None:
    path = pack(tmp_path / "z.zip", **{"videos/a.mp4": b"", "videos/a.xml": b""})
    assert [file.name for file in files_in_zip(path)] == ["videos/a.mp4", "videos/a.xml"]


def _symbolic_link(path: Path) -> None:
    link = zipfile.ZipInfo("videos/a.mp4")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(link, "/etc/passwd")


def _twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.mp4", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a.mp4", b"2")


def _overlapping(path: Path) -> None:
    """Many members that share the bytes of one: each of them is within the limits."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a0.mp4", b"0" * (4 << 20))
        for number in range(1, 60):
            info = zipfile.ZipInfo(f"a{number}.mp4")
            first = file.infolist()[0]
            for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(info, field, getattr(first, field))
            file.filelist.append(info)
    path.write_bytes(data.getvalue())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: pack(path, **{"../a.mp4": b""}), "leads out of"),
        (lambda path: pack(path, **{"/a.mp4": b""}), "leads out of"),
        (_symbolic_link, "symbolic link"),
        (_twice, "in it twice"),
        (_overlapping, "zip bomb"),
        (lambda path: pack(path, **{"a.mp4": b"0" * (40 << 20)}), "zip bomb"),
        (lambda path: pack(path, **{"a.mp4": b"", "a.mp4/b.mp4": b""}), "damaged"),
        (lambda path: pack(path, **{"a.xml": b""}), "no videos and no images"),
        (lambda path: path.write_bytes(b"PK text"), "not a zip file"),
    ],
)
def test_bad_zips(make, message: str, tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    make(path)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        unpack_dataset(path, tmp_path / "out")
    assert caught.value.file == str(path)
    assert [each.name for each in tmp_path.iterdir() if each.name not in ("out", "z.zip")] == []


def test_a_full_disk_is_named_before_anything_is_written(tmp_path: Path) -> None:
    path = pack(tmp_path / "z.zip", **{"a.mp4": b"1234567"})
    with pytest.raises(InputError, match="there is room for 0 MiB"):
        archive.unpack(path, tmp_path, ["a.mp4"], 6)
    assert not (tmp_path / "a.mp4").exists()
