"""Where a checkpoint may come from: the network part runs against a server on this machine."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tensorflow as tf
import yaml

from kfdet.errors import InputError
from kfdet.records.tfrecord import write_label_map
from kfdet.training.fitting import AnchorShapes
from kfdet.training.model_folder import Description
from kfdet.training.weight_files import local_weights

LABELS = {1: "disc", 2: "square"}
V3 = "ssd_mobilenet_v3_small_fpnlite"
ANCHORS = AnchorShapes(2, (0.4, 1.5), 3.5)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    tf.train.Checkpoint(value=tf.Variable(7.0)).write(str(folder / "weights"))
    description = Description(V3, False, 96, 128, tuple(LABELS.values()), 5, 0, "digest", {})
    (folder / "model.json").write_text(json.dumps(asdict(description)))
    anchor = ANCHORS._asdict() | {"aspect_ratios": list(ANCHORS.aspect_ratios)}
    (folder / "experiment.yaml").write_text(yaml.safe_dump({"task": {"model": {"anchor": anchor}}}))
    return folder / "weights"


@pytest.fixture
def address(checkpoint: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(checkpoint.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def packed(checkpoint: Path, kind: str) -> Path:
    source = checkpoint.parent.rename(checkpoint.parent.with_name("content"))
    checkpoint.parent.mkdir()
    return Path(shutil.make_archive(str(checkpoint.parent / "model"), kind, source))


def value(source: str) -> float:
    """The number in a checkpoint; its labels are checked."""
    with local_weights(source, V3) as weights:
        assert weights.labels == LABELS
        reader = tf.train.load_checkpoint(str(weights.path))
        return float(reader.get_tensor("value/.ATTRIBUTES/VARIABLE_VALUE"))


def test_a_path(checkpoint: Path) -> None:
    assert value(str(checkpoint)) == 7


@pytest.mark.parametrize("kind", ["gztar", "zip"])
def test_an_archive_behind_an_address(kind: str, checkpoint: Path, address: str) -> None:
    assert value(f"{address}/{packed(checkpoint, kind).name}") == 7


def test_an_archive_that_leaves_its_folder(checkpoint: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as archive:
        archive.add(checkpoint.with_name("weights.index"), "../outside.index")
    with pytest.raises(InputError, match="cannot be unpacked"), local_weights(str(evil), V3):
        pass
    assert not list(tmp_path.rglob("outside*"))


@pytest.mark.parametrize("place", ["run", "run/model", "run/model.zip"])
def test_a_folder_of_a_run(place: str, checkpoint: Path, tmp_path: Path) -> None:
    """The SavedModel's variables are newer, and not a checkpoint of the network."""
    content = tmp_path / "content"
    shutil.copytree(checkpoint.parent, content / "checkpoint")
    saved = content / "saved_model" / "1" / "variables"
    saved.mkdir(parents=True)
    tf.train.Checkpoint(other=tf.Variable(1.0)).write(str(saved / "variables"))
    shutil.make_archive(str(tmp_path / "run" / "model"), "zip", content)
    (content / "saved_model" / "1" / "saved_model.pb").touch()
    shutil.copytree(content / "saved_model", tmp_path / "run" / "model")
    assert value(str(tmp_path / place)) == 7


def test_the_labels_of_a_checkpoint_without_description(checkpoint: Path) -> None:
    checkpoint.with_name("model.json").unlink()
    with local_weights(str(checkpoint), V3) as weights:
        assert (weights.labels, weights.anchors) == ({}, None)
    write_label_map(checkpoint.with_name("label_map.pbtxt"), list(LABELS.values()))
    assert value(str(checkpoint)) == 7


@pytest.mark.parametrize(
    ("network", "anchors"), [(V3, ANCHORS), ("ssd_mobilenet_v2_fpnlite", None)]
)
def test_anchors_are_those_of_the_same_network(
    network: str, anchors: AnchorShapes | None, checkpoint: Path
) -> None:
    with local_weights(str(checkpoint), network) as weights:
        assert weights.anchors == anchors


@pytest.mark.parametrize(
    ("source", "message"),
    [("{address}/absent.zip", "cannot be downloaded: 404"), ("nowhere", "holds no checkpoint")],
)
def test_nothing_there(source: str, message: str, address: str) -> None:
    with (
        pytest.raises(InputError, match=re.escape(message)),
        local_weights(source.format(address=address), V3),
    ):
        pass
