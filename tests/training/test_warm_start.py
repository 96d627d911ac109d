"""What a network takes over from the weights of another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
import tf_keras
from official.vision.modeling.heads.dense_prediction_heads import RetinaNetHead
from official.vision.modeling.heads.instance_heads import DetectionHead

from kfdet.errors import InputError
from kfdet.training.warm_start import Taken, warm_start
from kfdet.training.weight_files import WeightFiles

ANCHORS = 3


class Network:
    """A backbone of one layer, and a head that knows classes, every variable at one value."""

    def __init__(
        self, value: float, labels: Sequence[str], *, kind: str = "single", anchors: int = ANCHORS
    ) -> None:
        inputs = tf_keras.Input([4, 4, 8])
        self.labels = labels
        self.backbone = tf_keras.Model(inputs, tf_keras.layers.Conv2D(8, 1)(inputs))
        classes = len(labels) + 1
        if kind == "double":
            self.head = DetectionHead(classes, fc_dims=8)
            self.head(tf.zeros([1, 2, 4, 4, 8]))
        else:
            self.head = RetinaNetHead(
                *(3, 3, classes, anchors),
                num_convs=1,
                num_filters=8,
                use_separable_conv=kind == "separable",
            )
            self.head({"3": tf.zeros([1, 4, 4, 8])})
        for variable in (*self.backbone.variables, *self.head.variables):
            variable.assign(tf.fill(variable.shape, float(value)))

    @property
    def checkpoint_items(self) -> dict[str, Any]:
        many = isinstance(self.head, DetectionHead)
        return {"backbone": self.backbone, "head": [self.head] if many else self.head}

    def rows(self, name: str, inner: int = 1) -> npt.NDArray[np.float32]:
        """(anchors, classes, inner): the bias of an output layer."""
        bias = next(v for v in self.head.variables if f"{name}/bias" in v.name).numpy()
        outer = ANCHORS if isinstance(self.head, RetinaNetHead) else 1
        return np.asarray(bias.reshape(outer, -1, inner))


def start(model: Network, saved: Network, folder: Path, *, known: bool = True) -> Taken:
    prefix = str(folder / "weights")
    tf.train.Checkpoint(**saved.checkpoint_items).write(prefix)
    labels = dict(enumerate(saved.labels, start=1)) if known else {}
    return warm_start(model, WeightFiles("the weights", Path(prefix), labels), model.labels)


@pytest.mark.parametrize("kind", ["single", "separable", "double"])
def test_rows_follow_their_labels(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved = Network(0, ["ball", "cup", "robot"], kind=kind)
    for variable in saved.head.variables:
        variable.assign(tf.random.stateless_uniform(variable.shape, [1, 2]))
    model = Network(-1, ["car", "robot", "ball"], kind=kind)
    caplog.set_level("INFO", logger="kfdet")
    taken = start(model, saved, tmp_path)
    assert taken.labels == ["robot", "ball"]
    assert not taken.unfit
    assert "new labels: car" in caplog.text
    outputs = {"scores": 1, "boxes": 4} if kind == "double" else {"scores": 1}
    for name, inner in outputs.items():
        here, there = model.rows(name, inner), saved.rows(name, inner)
        np.testing.assert_array_equal(here[:, [0, 2, 3]], there[:, [0, 3, 1]])
        assert (here[:, 1] == -1).all()
    if kind != "double":
        np.testing.assert_array_equal(model.rows("boxes", 4), saved.rows("boxes", 4))


def test_the_same_labels_take_everything(tmp_path: Path) -> None:
    saved, model = Network(7, ["ball", "cup"]), Network(0, ["ball", "cup"])
    taken = start(model, saved, tmp_path)
    variables = (*model.backbone.variables, *model.head.variables)
    assert taken.variables == len(variables)
    assert all((v.numpy() == 7).all() for v in variables)


def test_labels_that_nobody_knows_start_fresh(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same number of classes does not mean the same classes."""
    model = Network(0, ["ball", "cup"])
    caplog.set_level("INFO", logger="kfdet")
    taken = start(model, Network(7, ["car", "bus"]), tmp_path, known=False)
    assert taken.labels == []
    assert (model.rows("scores") == 0).all()
    assert (model.rows("boxes") == 7).all()
    assert "nothing beside the weights names theirs" in caplog.text


def test_other_anchors_need_new_outputs(tmp_path: Path) -> None:
    model, saved = Network(0, ["ball"]), Network(7, ["ball"], anchors=2)
    taken = start(model, saved, tmp_path)
    assert taken.parts == ["backbone", "head"]
    assert taken.labels == []
    assert (model.rows("scores") == 0).all()
    assert (model.rows("boxes") == 0).all()


def test_a_head_of_another_kind_stays_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Network(1, ["ball"])
    taken = start(model, Network(7, ["ball"], kind="separable"), tmp_path)
    assert (taken.parts, taken.unfit) == (["backbone"], ["head"])
    assert all((v.numpy() == 1).all() for v in model.head.variables)
    assert "head do not fit and start from random weights" in caplog.text


def test_a_part_that_is_not_trained_has_to_fit(tmp_path: Path) -> None:
    prefix = str(tmp_path / "weights")
    model = Network(1, ["ball"])
    tf.train.Checkpoint(head=model.head).write(prefix)
    weights = WeightFiles("them", Path(prefix), {1: "ball"})
    with pytest.raises(InputError, match="them: holds no backbone that fits"):
        warm_start(model, weights, ["ball"], ["backbone"])


def test_weights_of_another_network(tmp_path: Path) -> None:
    prefix = str(tmp_path / "weights")
    tf.train.Checkpoint(backbone=tf_keras.layers.Dense(3)).write(prefix)
    with pytest.raises(InputError, match="no part of these weights fits the network"):
        warm_start(Network(1, ["ball"]), WeightFiles("them", Path(prefix)), ["ball"])


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "weights.index").write_bytes(b"no")
    weights = WeightFiles("them", tmp_path / "weights")
    with pytest.raises(InputError, match="is damaged, or not a checkpoint of TensorFlow 2"):
        warm_start(Network(1, ["ball"]), weights, ["ball"])


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_a_checkpoint_that_is_cut_off(part: str, tmp_path: Path) -> None:
    saved = Network(1, ["ball"])
    tf.train.Checkpoint(**saved.checkpoint_items).write(str(tmp_path / "weights"))
    file = tmp_path / f"weights.{part}"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    weights = WeightFiles("them", tmp_path / "weights")
    with pytest.raises(InputError, match="is damaged, or not a checkpoint of TensorFlow 2"):
        warm_start(Network(1, ["ball"]), weights, ["ball"])
