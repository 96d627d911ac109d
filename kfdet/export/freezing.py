"""SavedModels with their weights folded in: they load without a checkpoint, and without Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def save_frozen(
    function: Callable[[tf.Tensor], dict[str, tf.Tensor]], spec: tf.TensorSpec, folder: Path
) -> None:
    """Write `function` as SavedModel signature `serving_default`, its variables as constants.

    Args:
        function: Takes one tensor, returns named tensors.
        spec: Shape, type and name of the input.
        folder: Folder to write.
    """
    # nothing in a network needs autograph, which takes longer than the rest of the tracing
    signature = tf.function(function, input_signature=[spec], autograph=False)
    traced = signature.get_concrete_function()
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    # Freezing flattens named outputs into a list, in the order of the sorted names.
    names = sorted(traced.structured_outputs)

    def call(value: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(names, frozen(value), strict=True))

    module = tf.Module()
    module.call = tf.function(call, input_signature=[spec])
    # Frozen weights need no gradients, and swish's cannot be saved.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(
        module, str(folder), signatures={"serving_default": module.call}, options=options
    )
