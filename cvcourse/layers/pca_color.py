"""PCA color noise: shift each training image along the principal components of all pixels' colors.

Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
NIPS 2012, https://papers.nips.cc/paper/4824, section 4.1.
"""

from typing import Any

import keras
import numpy as np
from keras import ops, random

from cvcourse.layers.moments import covariance, mean


@keras.saving.register_keras_serializable("cvcourse")
class PCAColor(keras.layers.Layer):
    """Add [p1 p2 p3] [a1 l1, a2 l2, a3 l3]' to all pixels of an image, a_i ~ N(0, `std`).

    p_i and l_i are the eigenvectors and eigenvalues of the covariance of the pixels' colors, which
    `adapt` computes; before it, nothing is added. An eigenvalue has the unit of a squared pixel,
    and the paper does not give the scale: as in fb.resnet.torch, whose eigenvalues for ImageNet are
    0.2175, 0.0188 and 0.0045, it is the scale of pixels in 0..1. The shift is scaled back to
    `value_range`: with 0..255, ImageNet's first component has a standard deviation of
    0.1 * 0.2175 * 255 = 5.5 gray levels. Nothing is clipped.

    As with Keras' augmentation layers, a call augments unless `training=False`, and
    `transform_images` applies given draws (in a tf.data stream only on the TensorFlow backend).

    Args:
        std: Standard deviation of the draws a_i.
        value_range: Range of the pixels, (low, high).
        seed: Integer seed of the draws; None for a random one.
        **kwargs: See keras.layers.Layer; dtype is float32 by default.

    Shapes:
        (batch, h, w, c) -> (batch, h, w, c) float32

    >>> layer = PCAColor()
    >>> layer.adapt(np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)))
    >>> shift = layer(ops.zeros((1, 2, 2, 3)))[0]
    >>> bool(ops.all(shift == shift[0, 0])), bool(ops.any(shift != 0))
    (True, True)
    """

    def __init__(
        self,
        std: float = 0.1,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})  # half precision would round pixels
        self.std, self.value_range, self.seed = std, value_range, seed
        self.seed_generator = random.SeedGenerator(seed)

    def build(self, input_shape):
        channels = input_shape[-1]
        self.shifts = self.add_weight(
            name="shifts", shape=(channels, channels), initializer="zeros", trainable=False
        )

    def adapt(self, images):
        """Compute the components of images (n, h, w, c); use the training split only."""
        if not self.built:
            self.build(images.shape)
        low, high = self.value_range
        colors = covariance(images, mean(images, images.shape[-1]))
        vectors, values, _ = np.linalg.svd(colors, hermitian=True)
        self.shifts.assign((vectors * values / (high - low)).T)

    def get_random_transformation(self, images, training=True):
        """Draw a number for each component, (batch, c) in [0, 1)."""
        if not training:
            return None
        shape = (ops.shape(images)[0], images.shape[-1])
        return random.uniform(shape, dtype="float32", seed=self.seed_generator)

    def transform_images(self, images, transformation, training=True):
        """Shift the images by draws (batch, c) in [0, 1), the quantiles of the a_i."""
        images = ops.cast(images, self.compute_dtype)
        if not training:
            return images
        draws = ops.clip(transformation, 1e-6, 1 - 1e-6)  # at 0 the quantile is infinite
        normal = 2**0.5 * ops.erfinv(2 * draws - 1)
        return images + ops.matmul(self.std * normal, self.shifts)[:, None, None]

    def call(self, images, training=True):
        transformation = self.get_random_transformation(images, training)
        return self.transform_images(images, transformation, training)
