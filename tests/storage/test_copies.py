from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.data_stages import make_records
from support.object_store import BUCKET, ObjectStore
from support.square_video import write_square_annotation, write_square_video

from kfdet.cli import main
from kfdet.errors import InputError
from kfdet.local.folder import check_places
from kfdet.parameters import SamplingSettings, SplitSettings
from kfdet.planning.plan import read_plan
from kfdet.stages.planning import plan_dataset
from kfdet.storage.copies import local_dataset
from kfdet.storage.fingerprint import fingerprint, outline


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder toys, and a zip of it beside it."""
    folder = tmp_path_factory.mktemp("datasets") / "toys"
    for name in ("a", "b"):
        write_square_video(folder / "videos" / f"{name}.mp4", 40 if name == "a" else 60)
        (folder / "annotations").mkdir(exist_ok=True)
        top = 40 if name == "a" else 60
        write_square_annotation(folder / "annotations" / f"{name}.xml", f"{name}.mp4", top)
    shutil.make_archive(str(folder), "zip", folder.parent, "toys")
    return folder


def zip_of(folder: Path) -> str:
    return str(folder.with_suffix(".zip"))


def digest(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_stages_read_a_zip_as_its_folder(toys: Path, tmp_path: Path) -> None:
    for number, dataset in enumerate((str(toys), zip_of(toys))):
        plan = tmp_path / f"plan{number}"
        plan_dataset(dataset, plan, SamplingSettings(), SplitSettings(), seed=0)
        make_records(dataset, plan, tmp_path / f"made{number}")
    assert read_plan(tmp_path / "plan1").dataset == "toys"
    for name in ("plan", "made"):
        assert digest(tmp_path / f"{name}1") == digest(tmp_path / f"{name}0")


def test_several_of_which_one_is_a_zip(toys: Path) -> None:
    with local_dataset(f"{zip_of(toys)},{toys}") as root:
        assert sorted(path.name for path in root.iterdir()) == ["toys", "toys-2"]
        assert digest(root / "toys") == digest(root / "toys-2") == digest(toys)
    assert not root.exists()


def test_messages_name_the_zip(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = toys.parent / "broken"
    shutil.copytree(toys, broken, dirs_exist_ok=True)
    (broken / "videos" / "b.mp4").write_bytes(b"")
    path = shutil.make_archive(str(broken), "zip", broken)
    assert main(["check", path]) == 2
    assert f"{path}/videos/b.mp4: " in capsys.readouterr().out


def test_check_and_convert(toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", zip_of(toys)]) == 0
    assert "2 videos (120 frames" in capsys.readouterr().out
    for source, target in ((str(toys), "folder.json"), (zip_of(toys), "zip.json")):
        assert main(["convert", source, str(tmp_path / target), "--to", "coco"]) == 0
    assert (tmp_path / "zip.json").read_bytes() == (tmp_path / "folder.json").read_bytes()


def test_fingerprints_are_of_what_the_zip_holds(toys: Path, tmp_path: Path) -> None:
    assert outline(zip_of(toys)) == outline(str(toys))
    copy = tmp_path / "copy.zip"
    shutil.copyfile(zip_of(toys), copy)
    assert fingerprint(str(copy)) == fingerprint(zip_of(toys))
    other = tmp_path / "toys"
    shutil.copytree(toys, other)
    text = (other / "annotations" / "a.xml").read_text()
    (other / "annotations" / "a.xml").write_text(text.replace("square", "circle"))
    path = shutil.make_archive(str(other), "zip", tmp_path, "toys")
    assert outline(path) == outline(zip_of(toys))
    assert fingerprint(path) != fingerprint(zip_of(toys))


def test_a_zip_in_a_bucket_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="in a bucket, a dataset is a folder"):
        fingerprint("minio://kfdet/toys.zip")


def test_a_run_takes_a_zip_and_no_other_file(toys: Path, tmp_path: Path) -> None:
    check_places(Path(zip_of(toys)), tmp_path / "run")
    with pytest.raises(InputError, match="is a file"):
        check_places(toys / "annotations" / "a.xml", tmp_path / "run")


def test_named_files_of_a_bucket_are_looked_up_and_not_listed(
    toys: Path, object_store: ObjectStore
) -> None:
    object_store.put(toys, "toys")
    object_store.log.clear()
    names = ["videos/b.mp4", "annotations/a.xml"]
    with local_dataset(f"s3://{BUCKET}/toys", names) as folder:
        assert digest(folder) == {name: (toys / name).read_bytes() for name in sorted(names)}
    assert object_store.listings == 0
    for name in names:
        assert object_store.log.count(f"HEAD {BUCKET}/toys/{name}") == 1
        assert object_store.log.count(f"GET {BUCKET}/toys/{name}") == 1
    with local_dataset(f"s3://{BUCKET}/toys") as folder:
        assert digest(folder) == digest(toys)
    assert object_store.listings == 1


def test_all_named_files_that_a_bucket_does_not_have(toys: Path, object_store: ObjectStore) -> None:
    object_store.put(toys, "toys")
    names = ["videos/z.mp4", "videos/a.mp4", "videos/y.mp4"]
    message = r"videos/y.mp4 is no longer in the bucket \(2 of 3 files are missing\)\."
    with pytest.raises(InputError, match=message), local_dataset(f"s3://{BUCKET}/toys", names):
        pass
