"""Model Garden's published checkpoints, rebuilt with random weights: every variable arrives."""

from __future__ import annotations

import re
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.core import exp_factory, task_factory
from official.vision.configs import common
from official.vision.modeling.backbones.factory import build_backbone

from kfdet.errors import InputError
from kfdet.parameters import PUBLISHED_STARTS, Network, TrainingSettings
from kfdet.training import networks
from kfdet.training.anchors import AnchorGrid
from kfdet.training.published import COCO_LABELS, PUBLISHED, published
from kfdet.training.tasks import build_task
from kfdet.training.warm_start import Taken, warm_start
from kfdet.training.weight_files import open_start

STOCK = {
    "ssd_resnet50_fpn": "retinanet_resnetfpn_coco",
    "spinenet49_mobile": "retinanet_mobile_coco",
}
SIDE = 128


def ours(network: str, labels: int) -> Any:
    """kfdet's network with the anchors that the published weights are for."""
    entry = networks.network(network)
    weights = PUBLISHED["coco"].get(network)
    shapes = (weights and weights.anchors) or (1, (1.0,), 3.0)
    grid = AnchorGrid(SIDE, SIDE, *entry.levels, *shapes)
    schedule = networks.Schedule(1, 1, 1e-3, 1)
    config = networks.experiment(entry, grid, labels, schedule, mixed_precision=False)
    return build_task(config, entry.two_stage).build_model()


def backbone_of(network: str) -> Any:
    """As much of kfdet's network as ImageNet knows: the rest takes long to build."""
    specs = tf_keras.layers.InputSpec(shape=[None, SIDE, SIDE, 3])
    config = networks.network(network).backbone(2, 6)
    backbone = build_backbone(specs, config, common.NormActivation(use_sync_bn=False))
    return SimpleNamespace(backbone=backbone, checkpoint_items={"backbone": backbone})


def publish(model: Any, weights: Any, mirror: Path) -> None:
    """Pack a checkpoint as Model Garden's archives are."""
    for number, variable in enumerate(model.variables):
        # one number tells a variable from the others, and is quickly packed; outputs have rows
        one = tf.random.stateless_uniform(variable.shape, [0, number])
        variable.assign(one if "scores" in variable.name else tf.fill(variable.shape, number + 0.5))
    root = tf.train.Checkpoint(model=model, **model.checkpoint_items)
    root.write(str(mirror / "ckpt-33264"))
    with tarfile.open(mirror / weights.file, "w:gz", compresslevel=1) as archive:
        for part in sorted(mirror.glob("ckpt-33264.*")):
            archive.add(part, f"./{part.name}")


def start(network: str, collection: str, model: Any, labels: list[str]) -> Taken:
    settings = TrainingSettings(network=network, pretrained=collection)  # type: ignore[arg-type]
    with open_start(settings) as weights:
        assert weights
        assert len(weights.sha256) == 64
        return warm_start(model, weights, labels)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KFDET_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


@pytest.mark.parametrize("network", STOCK)
def test_a_detector_trained_on_coco(network: str, mirror: Path) -> None:
    config = exp_factory.get_exp_config(STOCK[network])
    config.task.model.input_size = [SIDE, SIDE, 3]
    config.task.model.norm_activation.use_sync_bn = False  # it has the same variables
    stock = task_factory.get_task(config.task).build_model()
    stock(tf.zeros([1, SIDE, SIDE, 3]), training=True)
    publish(stock, PUBLISHED["coco"][network], mirror)
    anchor = config.task.model.anchor
    assert PUBLISHED["coco"][network].anchors == (
        *(anchor.num_scales, tuple(anchor.aspect_ratios), anchor.anchor_size),
    )

    labels = ["unicorn", *(COCO_LABELS.get(number, f"gap {number}") for number in range(2, 91))]
    model = ours(network, len(labels))
    taken = start(network, "coco", model, labels)
    assert not taken.unfit
    assert set(taken.labels) == set(COCO_LABELS.values()) - {"person"}
    assert taken.variables == len(model.variables) == len(stock.variables)
    for here, there in zip(model.variables, stock.variables, strict=True):
        values = here.numpy(), there.numpy()
        if re.search(r"/scores/(kernel|pointwise_kernel|bias)", here.name):
            known = [0, *sorted(set(COCO_LABELS) - {1})]
            shape = (-1, 9, 91)  # anchors, classes
            values = tuple(value.reshape(shape)[:, :, known] for value in values)
        np.testing.assert_array_equal(*values, err_msg=here.name)


@pytest.mark.parametrize("network", ["faster_rcnn_resnet50", "faster_rcnn_resnet101"])
def test_a_resnet_trained_on_imagenet(network: str, mirror: Path) -> None:
    config = exp_factory.get_exp_config("resnet_imagenet")
    config.task.model.backbone.resnet.model_id = int(network.removeprefix("faster_rcnn_resnet"))
    config.task.model.input_size = [64, 64, 3]
    stock = task_factory.get_task(config.task).build_model()
    publish(stock, PUBLISHED["imagenet"][network], mirror)
    model = backbone_of(network)
    taken = start(network, "imagenet", model, ["a", "b"])
    assert taken.parts == ["backbone"]
    assert not taken.unfit
    pairs = zip(model.backbone.variables, stock.backbone.variables, strict=True)
    assert all(np.array_equal(here.numpy(), there.numpy()) for here, there in pairs)


def test_what_there_is() -> None:
    assert set(PUBLISHED) == set(PUBLISHED_STARTS)
    for members in PUBLISHED.values():
        assert set(members) <= set(get_args(Network))
    assert len(COCO_LABELS) == 80
    assert (COCO_LABELS[1], COCO_LABELS[13], COCO_LABELS[90]) == (
        *("person", "stop sign", "toothbrush"),
    )


def test_a_network_without_published_weights() -> None:
    with pytest.raises(InputError) as error:
        published("imagenet", "spinenet49_mobile")
    assert str(error.value) == (
        "there are no published imagenet weights for spinenet49_mobile. They exist for "
        "ssd_mobilenet_v2_fpnlite, ssd_mobilenet_v3_small_fpnlite, ssd_resnet50_fpn, "
        "faster_rcnn_resnet50, faster_rcnn_resnet101. spinenet49_mobile can start from coco."
    )


def test_the_default_starts_from_random_weights_where_there_are_none(
    mirror: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="kfdet")
    settings = TrainingSettings()
    with open_start(settings) as weights:
        assert weights is None
    assert "starting from random weights: " in caplog.text
    assert "there is no such file in the mirror" in caplog.text
    with pytest.raises(InputError, match="there is no such file in the mirror"):
        open_start(replace(settings, freeze="backbone")).__enter__()
    with open_start(replace(settings, pretrained="none")) as weights:
        assert weights is None
