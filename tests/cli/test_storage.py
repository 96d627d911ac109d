from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.annotation_samples import box, cvat, track, write_video
from support.object_store import BUCKET, ObjectStore

from kfdet.cli import main

URI = f"minio://{BUCKET}/datasets/toys"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A video, its annotations, and a video without any."""
    folder = tmp_path / "toys"
    folder.mkdir()
    write_video(folder / "clip.mp4")
    write_video(folder / "other.mp4")
    (folder / "clip.xml").write_text(cvat(*[track(box(0), number=n) for n in range(12)]))
    return folder


def test_upload(
    dataset: Path, object_store: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upload", str(dataset), URI]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("3 files, ")
    assert captured.out.endswith(f" → {URI}\n")
    (dataset / "other.mp4").unlink()
    assert main(["upload", str(dataset), URI, "--json"]) == 0
    captured = capsys.readouterr()
    done = json.loads(captured.out)
    assert (done["files"], done["skipped"], done["left"]) == (2, 2, ["other.mp4"])
    assert "1 remote files are not in" in captured.err
    assert main(["upload", str(dataset), URI, "--delete"]) == 0
    assert sorted(object_store.objects("datasets/toys/")) == ["clip.mp4", "clip.xml"]


def test_upload_of_a_zip(dataset: Path, object_store: ObjectStore) -> None:
    path = shutil.make_archive(str(dataset), "zip", dataset.parent, "toys")
    assert main(["upload", path, URI]) == 0
    names = ["clip.mp4", "clip.xml", "other.mp4"]
    assert sorted(object_store.objects("datasets/toys/")) == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["upload", "{}", "toys"], "Write minio://BUCKET/NAME"),
        (["upload", "{}/none", URI], "does not exist"),
        (["check", URI], 'there is no bucket "kfdet"'),
        (["convert", URI, "{}/out", "--to", "coco"], 'there is no bucket "kfdet"'),
        (["run", URI, "-o", "{}/run"], 'there is no bucket "kfdet"'),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    message: str,
    dataset: Path,
    object_store: ObjectStore,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([argument.format(dataset) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_check_says_the_same_of_a_bucket(
    dataset: Path, object_store: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "broken.mp4").touch()
    object_store.put(dataset, "datasets/toys")
    assert main(["check", str(dataset), "--json"]) == 2
    local = capsys.readouterr().out
    assert "broken.mp4" in local
    assert main(["check", URI, "--json"]) == 2
    assert capsys.readouterr().out == local.replace(str(dataset), URI)


@pytest.mark.parametrize("what", ["", "/clip.xml"], ids=["dataset", "file"])
def test_convert_writes_the_same_of_a_bucket(
    what: str, dataset: Path, object_store: ObjectStore, tmp_path: Path
) -> None:
    object_store.put(dataset, "datasets/toys")
    for source, target in ((f"{dataset}{what}", "here.parquet"), (URI + what, "there.parquet")):
        assert main(["convert", source, str(tmp_path / target), "--to", "parquet"]) == 0
    assert (tmp_path / "here.parquet").read_bytes() == (tmp_path / "there.parquet").read_bytes()
