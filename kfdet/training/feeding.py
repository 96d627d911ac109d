"""How TensorFlow's data pipelines run here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kfdet.files import count_cores


def parallel_map(
    dataset: tf.data.Dataset, function: Callable[..., Any], *, ahead: int
) -> tf.data.Dataset:
    """Apply `function` to elements side by side, in their order.

    As many at a time as there are cores, fixed: TensorFlow's autotuner sleeps for up to a minute
    between two looks at a pipeline, and the end of the process waits for it
    (tensorflow/core/framework/model.cc, Model::OptimizeLoop).

    Args:
        dataset: The elements.
        function: As `tf.data.Dataset.map` takes it.
        ahead: Results to keep ready.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    mapped = dataset.map(function, num_parallel_calls=count_cores(), deterministic=True)
    return mapped.prefetch(ahead).with_options(options)
