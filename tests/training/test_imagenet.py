"""tf_keras.applications' networks and Model Garden's: random weights, the same features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
import tf_keras
from official.vision.modeling.backbones.mobilenet import MobileNet

from kfdet.errors import InputError
from kfdet.training.imagenet import backbone_values
from kfdet.training.published import PUBLISHED
from kfdet.training.tasks import normalize

HEIGHT, WIDTH = 96, 160

ENDPOINTS = {
    "MobileNetV2": {
        "2": "block_2_add",
        "3": "block_5_add",
        "4": "block_12_add",
        "5": "block_16_project_BN",
        "6": "out_relu",
    },
    "MobileNetV3Small": {
        "2": "expanded_conv/project/BatchNorm",
        "3": "expanded_conv_2/Add",
        "4": "expanded_conv_7/Add",
        "5": "expanded_conv_10/Add",
    },
}
"""Level of Model Garden's backbone -> the layer of tf_keras that ends it."""

STEM = {"MobileNetV2": ("Conv1", "bn_Conv1"), "MobileNetV3Small": ("Conv", "Conv/BatchNorm")}


@pytest.fixture(scope="module")
def pictures() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)


def application(name: str) -> Any:
    """A network of tf_keras with random weights and statistics."""
    network = getattr(tf_keras.applications, name)(
        input_shape=(HEIGHT, WIDTH, 3), include_top=False, weights=None
    )
    rng = np.random.default_rng(1)
    network.set_weights(
        [
            # variances and factors of batch normalization keep the features from vanishing
            rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else w + rng.normal(0, 0.02, w.shape)
            for w in network.get_weights()
        ]
    )
    return network


def backbone(name: str, file: Path) -> Any:
    """Model Garden's backbone with the weights in a file of tf_keras."""
    specs = tf_keras.layers.InputSpec(shape=[None, HEIGHT, WIDTH, 3])
    built = MobileNet(model_id=name, input_specs=specs)
    for reference, value in backbone_values(built, file).items():
        reference.deref().assign(value)
    return built


def features(network: Any, name: str, images: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """What tf_keras' network computes where the surroundings have ImageNet's mean colour."""
    convolution, norm = (network.get_layer(layer) for layer in STEM[name])
    colour = tf.constant([0.485, 0.456, 0.406]) * 2 - 1
    image = tf.cast(images, tf.float32) / 127.5 - 1
    padded = tf.pad(image - colour, [[0, 0], [0, 1], [0, 1], [0, 0]]) + colour
    stem = norm(tf.nn.conv2d(padded, convolution.kernel, 2, "VALID"))
    outputs = {level: network.get_layer(layer).output for level, layer in ENDPOINTS[name].items()}
    rest = tf_keras.Model(norm.output, outputs)
    return {level: value.numpy() for level, value in rest(stem, training=False).items()}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_features_are_the_same(
    name: str, pictures: npt.NDArray[np.uint8], tmp_path: Path
) -> None:
    network = application(name)
    network.save_weights(tmp_path / "weights.h5")
    ours = backbone(name, tmp_path / "weights.h5")(normalize(pictures), training=False)
    for level, wanted in features(network, name, pictures).items():
        found = ours[level].numpy()
        assert np.abs(wanted).max() > 0.1, "nothing is compared"
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4, err_msg=f"level {level}")


def test_only_the_edge_of_the_picture_sees_another_colour(
    pictures: npt.NDArray[np.uint8], tmp_path: Path
) -> None:
    """The whole network of tf_keras, as it is: its surroundings are grey."""
    network = application("MobileNetV2")
    network.save_weights(tmp_path / "weights.h5")
    found = backbone("MobileNetV2", tmp_path / "weights.h5")(normalize(pictures))["2"].numpy()
    whole = tf_keras.Model(network.input, network.get_layer("block_2_add").output)
    wanted = whole(tf.cast(pictures, tf.float32) / 127.5 - 1, training=False).numpy()
    np.testing.assert_allclose(found[:, :-4, :-4], wanted[:, :-4, :-4], rtol=1e-4, atol=1e-4)


def test_every_variable_arrives(tmp_path: Path) -> None:
    for name, left_out in (("MobileNetV2", 0), ("MobileNetV3Small", 2)):
        network = application(name)
        network.save_weights(tmp_path / "weights.h5")
        specs = tf_keras.layers.InputSpec(shape=[None, 32, 32, 3])
        built = MobileNet(model_id=name, input_specs=specs)
        before = {variable.ref(): variable.numpy() for variable in built.variables}
        values = backbone_values(built, tmp_path / "weights.h5")
        assert set(values) == set(before)
        changed = [r for r, v in values.items() if not np.array_equal(v, before[r])]
        assert len(changed) == len(network.weights) == len(before) - left_out


def test_a_file_of_another_network(tmp_path: Path) -> None:
    small = application("MobileNetV3Small")
    small.save_weights(tmp_path / "weights.h5")
    with pytest.raises(InputError, match="does not hold tf_keras' weights of MobileNetV2"):
        backbone("MobileNetV2", tmp_path / "weights.h5")
    (tmp_path / "weights.h5").write_text("no")
    with pytest.raises(InputError, match="does not hold tf_keras' weights of MobileNetV2"):
        backbone("MobileNetV2", tmp_path / "weights.h5")


def test_the_addresses_are_those_of_tf_keras() -> None:
    from tf_keras.src.applications import mobilenet_v2, mobilenet_v3

    files = PUBLISHED["imagenet"]
    two, three = files["ssd_mobilenet_v2_fpnlite"], files["ssd_mobilenet_v3_small_fpnlite"]
    assert two.url.removesuffix(two.file) == mobilenet_v2.BASE_WEIGHT_PATH
    assert three.url.removesuffix(three.file) == mobilenet_v3.BASE_WEIGHT_PATH
    assert three.digest == mobilenet_v3.WEIGHTS_HASHES["small_224_1.0_float"][1]
