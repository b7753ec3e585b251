"""Cutout: cover a square of each training image, wherever it falls.

DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017,
https://arxiv.org/abs/1708.04552.
"""

import keras
from keras import ops, random


@keras.saving.register_keras_serializable("cvcourse")
class Cutout(keras.layers.Layer):
    """Fills a square of `size` pixels a side in each image of a training batch with `fill`.

    Its center is any pixel of the image, each as likely as the other, so the square may cross the
    border and what is covered be smaller, down to a quarter: section 3.2 finds that this matters.
    keras.layers.RandomErasing covers a rectangle that lies within the image, of an area and
    proportions drawn anew, and favors the middle: another regularizer. `fill`, a number or one a
    channel, is the paper's 0 for images whose mean was taken off; before that, it is their mean.

    As in Keras' own augmentations a call augments unless it is told `training=False`, and
    `transform_images` takes draws from elsewhere (in a tf.data stream: on TensorFlow's backend).
    Shapes: (batch, h, w, c) -> the same, float32.
    """

    def __init__(self, size, fill=0.0, seed=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})  # half precision would round pixels
        if size < 1:
            raise ValueError(f"cutout covers a square of 1 pixel or more; received size={size}")
        self.size, self.fill, self.seed = size, fill, seed
        self.seed_generator = random.SeedGenerator(seed)

    def get_random_transformation(self, images, training=True):
        """Where the centers are, as a share of the height and the width: (batch, 2) in [0, 1)."""
        if not training:
            return None
        return random.uniform((ops.shape(images)[0], 2), dtype="float32", seed=self.seed_generator)

    def transform_images(self, images, transformation, training=True):
        """The images with squares where the draws (batch, 2) in [0, 1) have their centers."""
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
        """Which pixels of a side the squares cover: (batch,) -> (batch, side) of booleans."""
        center = ops.floor(draws * ops.cast(side, draws.dtype))
        begin = center[:, None] - self.size // 2
        pixel = ops.arange(side, dtype=draws.dtype)
        return ops.logical_and(pixel >= begin, pixel < begin + self.size)
