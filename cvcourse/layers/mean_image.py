"""The mean image: what all training images have in common is taken off each.

Krizhevsky, Sutskever & Hinton 2012, https://papers.nips.cc/paper/4824, section 2. The mean and
standard deviation of each channel are keras.layers.Normalization's.
"""

import keras
import numpy as np

from cvcourse.layers.moments import mean


@keras.saving.register_keras_serializable("cvcourse")
class MeanImage(keras.layers.Layer):
    """x - mean, pixel by pixel: (batch, …) -> the same, float32; the mean is 0 before `adapt`."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})  # half precision would round pixels

    def build(self, input_shape):
        self.mean = self.add_weight(
            name="mean", shape=input_shape[1:], initializer="zeros", trainable=False
        )

    def adapt(self, images):
        """Take the mean of (n, …) images, those of the training split alone."""
        if not self.built:
            self.build(images.shape)
        shape = images.shape[1:]
        self.mean.assign(mean(images, np.prod(shape)).reshape(shape))

    def call(self, inputs):
        return inputs - self.mean
