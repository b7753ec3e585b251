"""Cutout: cover a square, which may cross the border, of each training image.

DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017,
https://arxiv.org/abs/1708.04552.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops, random


@keras.saving.register_keras_serializable("cvcourse")
class Cutout(keras.layers.Layer):
    """Fill a square in each image of a training batch.

    The center is drawn uniformly from the pixels of the image, so the square may cross the border
    and cover less, down to a quarter of its area: section 3.2 finds that this matters.
    keras.layers.RandomErasing is a different regularizer: it covers a rectangle of random area and
    aspect ratio inside the image, more often in the middle.

    As with Keras' augmentation layers, a call augments unless `training=False`, and
    `transform_images` applies given draws (in a tf.data stream only on the TensorFlow backend).

    Args:
        size: Side of the square in pixels.
        fill: Value of covered pixels, a number or one for each channel: 0 for images whose mean was
            subtracted, as in the paper; the mean for other images.
        seed: Integer seed of the draws; None for a random one.
        **kwargs: See keras.layers.Layer; dtype is float32 by default.

    Shapes:
        (batch, h, w, c) -> (batch, h, w, c) float32

    Raises:
        ValueError: If `size` is below 1.

    >>> float(ops.sum(Cutout(8)(ops.ones((1, 4, 4, 1)))))
    0.0
    """

    def __init__(
        self,
        size: int,
        fill: float | Sequence[float] = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})  # half precision would round pixels
        if size < 1:
            raise ValueError(f"cutout covers a square of 1 pixel or more; received size={size}")
        self.size, self.fill, self.seed = size, fill, seed
        self.seed_generator = random.SeedGenerator(seed)

    def get_random_transformation(self, images, training=True):
        """Draw centers as shares of the height and the width, (batch, 2) in [0, 1)."""
        if not training:
            return None
        return random.uniform((ops.shape(images)[0], 2), dtype="float32", seed=self.seed_generator)

    def transform_images(self, images, transformation, training=True):
        """Fill squares whose centers are the draws (batch, 2) in [0, 1)."""
        images = ops.cast(images, self.compute_dtype)
        if not training:
            return images
        height, width = ops.shape(images)[1:3]
        centers = ops.cast(transformation, images.dtype)
        rows, columns = self._covered(centers[:, 0], height), self._covered(centers[:, 1], width)
        square = ops.logical_and(rows[:, :, None, None], columns[:, None, :, None])
        return ops.where(square, ops.convert_to_tensor(self.fill, images.dtype), images)

    def call(self, images, training=True):
        transformation = self.get_random_transformation(images, training)
        return self.transform_images(images, transformation, training)

    def _covered(self, draws, side):
        """Compute the pixels of a side that the squares cover: (batch,) -> (batch, side) bool."""
        center = ops.floor(draws * ops.cast(side, draws.dtype))
        begin = center[:, None] - self.size // 2
        pixel = ops.arange(side, dtype=draws.dtype)
        return ops.logical_and(pixel >= begin, pixel < begin + self.size)
