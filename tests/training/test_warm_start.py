"""Where a checkpoint may come from: the network part runs against a server on this machine."""

from __future__ import annotations

import re
import shutil
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tensorflow as tf
import tf_keras

from kfdet.errors import InputError
from kfdet.training.warm_start import warm_start


class Small:
    """A network of two parts."""

    def __init__(self, value: float, classes: int) -> None:
        inputs = tf_keras.Input([4])
        self.backbone = tf_keras.Model(inputs, tf_keras.layers.Dense(3)(inputs))
        self.head = tf_keras.Model(inputs, tf_keras.layers.Dense(classes)(inputs))
        for part in (self.backbone, self.head):
            part.set_weights([w * 0 + value for w in part.get_weights()])

    @property
    def checkpoint_items(self) -> dict[str, tf_keras.Model]:
        return {"backbone": self.backbone, "head": self.head}

    def values(self) -> tuple[float, float]:
        return tuple(float(part.get_weights()[0][0, 0]) for part in (self.backbone, self.head))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    tf.train.Checkpoint(**Small(7, classes=2).checkpoint_items).write(str(folder / "weights"))
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


def test_a_path(checkpoint: Path) -> None:
    model = Small(0, classes=2)
    warm_start(model, str(checkpoint))
    assert model.values() == (7, 7)


@pytest.mark.parametrize("kind", ["gztar", "zip"])
def test_an_archive_behind_an_address(kind: str, checkpoint: Path, address: str) -> None:
    model = Small(0, classes=2)
    warm_start(model, f"{address}/{packed(checkpoint, kind).name}")
    assert model.values() == (7, 7)


def test_a_head_that_does_not_fit_stays_as_it_was(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Small(1, classes=5)
    warm_start(model, str(checkpoint))
    assert model.values() == (7, 1)
    assert "head do not fit and start from scratch" in caplog.text


def test_an_archive_that_leaves_its_folder(checkpoint: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as archive:
        archive.add(checkpoint.with_name("weights.index"), "../outside.index")
    with pytest.raises(InputError, match="cannot be unpacked"):
        warm_start(Small(0, classes=2), str(evil))
    assert not list(tmp_path.rglob("outside*"))


@pytest.mark.parametrize("place", ["run", "run/model", "run/model.zip"])
def test_a_folder_of_a_run(
    place: str, checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The SavedModel's variables are newer, and not a checkpoint of the network."""
    content = tmp_path / "content"
    shutil.copytree(checkpoint.parent, content / "checkpoint")
    saved = content / "saved_model" / "1" / "variables"
    saved.mkdir(parents=True)
    tf.train.Checkpoint(other=tf.Variable(1.0)).write(str(saved / "variables"))
    shutil.make_archive(str(tmp_path / "run" / "model"), "zip", content)
    (content / "saved_model" / "1" / "saved_model.pb").touch()
    shutil.copytree(content / "saved_model", tmp_path / "run" / "model")
    caplog.set_level("INFO", logger="kfdet")
    model = Small(0, classes=2)
    warm_start(model, str(tmp_path / place))
    assert model.values() == (7, 7)
    assert "(2 of 2 layers fit)" in caplog.text


@pytest.mark.parametrize(
    ("source", "message"),
    [("{address}/absent.zip", "cannot be downloaded: 404"), ("nowhere", "holds no checkpoint")],
)
def test_nothing_there(source: str, message: str, address: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        warm_start(Small(0, classes=2), source.format(address=address))
