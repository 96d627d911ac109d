"""tf_keras.applications' ImageNet weights in Model Garden's MobileNet backbones.

Both libraries have the same layers in the same order, so that the variables can be copied one by
one. Only their inputs differ: Model Garden takes RGB with ImageNet's mean and deviation taken out,
tf_keras.applications takes it from -1 to 1. One is a linear function of the other in each channel,
x = 2 (deviation z + mean) - 1, and is folded into the first convolution: its factor into the
kernel, its constant into the mean of the batch normalization that follows. What lies outside of the
picture, and is zero in both, thereby becomes ImageNet's mean colour instead of a medium grey.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras
from official.vision.ops.preprocess_ops import MEAN_NORM, STDDEV_NORM

from kfdet.errors import InputError

Array = npt.NDArray[Any]

_APPLICATIONS = {
    "MobileNetV2": tf_keras.applications.MobileNetV2,
    "MobileNetV3Small": tf_keras.applications.MobileNetV3Small,
}
_SIDE = 64
"""Side of the picture for which a network is built; its weights do not depend on it."""

_LAYERS = ("_conv0", "_norm0", "_conv1", "_norm1", "_squeeze_excitation", "_conv2", "_norm2")
"""The layers of a block of Model Garden's MobileNets, in the order in which they are applied."""

_SQUEEZE_EXCITATION = ("_se_reduce", "_se_expand")


def backbone_values(backbone: Any, file: Path) -> dict[Any, Array]:
    """Values of a backbone's variables, by reference to the variable.

    Args:
        backbone: A MobileNet of Model Garden.
        file: Weights of the same network without its top, as tf_keras.applications saves them.

    Raises:
        InputError: The backbone is no MobileNet, or the file does not hold weights of this one.
    """
    model_id = backbone.get_config().get("model_id")
    if model_id not in _APPLICATIONS:
        raise InputError("holds weights of a MobileNet, which is not this backbone.", file=file)
    try:
        application = _APPLICATIONS[model_id](
            input_shape=(_SIDE, _SIDE, 3), include_top=False, weights=str(file)
        )
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            f"does not hold tf_keras' weights of {model_id}.",
            file=file,
            hint="Delete the file, so that it is fetched again.",
        ) from error
    return map_variables(backbone, application)


def map_variables(backbone: Any, application: Any) -> dict[Any, Array]:
    """Values of a backbone's variables, by reference, from the same network of tf_keras."""
    ours = list(_layers_in_order(backbone))
    theirs = [layer for layer in application.layers if layer.weights]
    values = {
        variable.ref(): value
        for here, there in zip(ours, theirs, strict=False)
        for variable, value in zip(here.weights, there.get_weights(), strict=True)
    }
    kernel, mean = ours[0].weights[0].ref(), ours[1].moving_mean.ref()
    values[kernel], shift = _fold(values[kernel])
    values[mean] = values[mean] - shift
    # MobileNetV3's last layer belongs to the classifier: nothing in a detector reads its output
    for unused in ours[len(theirs) :]:
        values |= {variable.ref(): variable.numpy() for variable in unused.weights}
    return values


def _fold(kernel: Array) -> tuple[Array, Array]:
    """The kernel for Model Garden's input, and what it then no longer adds to each filter."""
    mean = np.array(MEAN_NORM, np.float32)[:, None]
    deviation = np.array(STDDEV_NORM, np.float32)[:, None]
    return kernel * (2 * deviation), (kernel * (2 * mean - 1)).sum(axis=(0, 1, 2))


def _layers_in_order(backbone: Any) -> Iterator[Any]:
    """The layers of a MobileNet of Model Garden that have weights of their own."""
    for block in backbone.layers:
        for name in _LAYERS:
            layer = getattr(block, name, None)
            if name == "_squeeze_excitation" and layer is not None:
                yield from (getattr(layer, each) for each in _SQUEEZE_EXCITATION)
            elif layer is not None and layer.weights:
                yield layer
