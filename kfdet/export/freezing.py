"""A function with its weights folded in: loads without a checkpoint, and without Keras."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def frozen_module(
    function: Callable[[tf.Tensor], dict[str, tf.Tensor]], spec: tf.TensorSpec
) -> tf.Module:
    """A module whose `call` does what `function` does, its variables turned into constants.

    Args:
        function: Takes one tensor, returns named tensors.
        spec: Shape, type and name of the input.
    """
    traced = tf.function(function, input_signature=[spec]).get_concrete_function()
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    # Freezing flattens named outputs into a list, in the order of the sorted names.
    names = sorted(traced.structured_outputs)

    def call(value: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(names, frozen(value), strict=True))

    module = tf.Module()
    module.call = tf.function(call, input_signature=[spec])
    return module
