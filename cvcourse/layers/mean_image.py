"""Mean image: subtract the mean of all training images from each image.

Krizhevsky, Sutskever & Hinton 2012, https://papers.nips.cc/paper/4824, section 2. To normalize each
channel by its mean and standard deviation, use keras.layers.Normalization.
"""

from typing import Any

import keras
import numpy as np

from cvcourse.layers.moments import mean


@keras.saving.register_keras_serializable("cvcourse")
class MeanImage(keras.layers.Layer):
    """Subtract a mean image, pixel by pixel. The mean is 0 before `adapt`.

    Args:
        **kwargs: See keras.layers.Layer; dtype is float32 by default.

    Shapes:
        (batch, …) -> (batch, …) float32

    >>> layer = MeanImage()
    >>> layer.adapt(np.array([[1.0, 2.0], [3.0, 2.0]]))
    >>> layer(np.array([[5.0, 5.0]])).numpy().tolist()
    [[3.0, 3.0]]
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})  # half precision would round pixels

    def build(self, input_shape):
        self.mean = self.add_weight(
            name="mean", shape=input_shape[1:], initializer="zeros", trainable=False
        )

    def adapt(self, images):
        """Compute the mean of images (n, …); use the training split only."""
        if not self.built:
            self.build(images.shape)
        shape = images.shape[1:]
        self.mean.assign(mean(images, np.prod(shape)).reshape(shape))

    def call(self, inputs):
        return inputs - self.mean
