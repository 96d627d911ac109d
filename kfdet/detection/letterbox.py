"""How an image is prepared for the network, the same in training, SavedModel and TFLite."""

from __future__ import annotations

import tensorflow as tf


def decode_and_letterbox(
    encoded: tf.Tensor, height: int, width: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decode JPEG, PNG, BMP or GIF bytes and fit the picture into the top left of the input.

    The aspect ratio stays; the rest is black.

    Args:
        encoded: Scalar string.
        height: Input height in pixels.
        width: Input width in pixels.

    Returns:
        Image uint8 (height, width, 3) RGB; scale, float32 input pixels per source pixel;
        size, int32 (2,) source height and width.
    """
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return letterbox(image, height, width)


def letterbox(image: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`decode_and_letterbox` of a decoded picture (h, w, 3)."""
    size = tf.shape(image)[:2]
    ratios = tf.cast([height, width], tf.float32) / tf.cast(size, tf.float32)
    scale = tf.reduce_min(ratios)
    fitted = tf.cast(tf.round(tf.cast(size, tf.float32) * scale), tf.int32)
    fitted = tf.clip_by_value(fitted, 1, [height, width])
    # Antialiasing keeps small objects visible when a large frame shrinks.
    resized = tf.image.resize(image, fitted, antialias=True)
    padded = tf.image.pad_to_bounding_box(resized, 0, 0, height, width)
    # Whole numbers: what a phone that feeds uint8 to the TFLite model sees is what this sees.
    return tf.saturate_cast(tf.round(padded), tf.uint8), scale, size
