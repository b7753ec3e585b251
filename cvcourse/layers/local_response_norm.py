"""Local response normalization: strong responses damp those of neighboring channels.

Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
NIPS 2012, https://papers.nips.cc/paper/4824, section 3.3.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class LocalResponseNorm(keras.layers.Layer):
    """Compute x_c / (k + alpha * sum of the squares of the `size` channels around c) ** beta.

    The defaults and the formula are the paper's. torch and Caffe divide alpha by `size`, so their
    alpha is `size` times this one; TensorFlow's operation does not, and takes a radius.

    Args:
        size: Number of channels in the sum.
        alpha: Factor of the sum.
        beta: Exponent.
        k: Constant added to the sum.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (batch, h, w, c) -> (batch, h, w, c)

    >>> float(LocalResponseNorm(size=1, alpha=1, beta=1)(2 * ops.ones((1, 1, 1, 1)))[0, 0, 0, 0])
    0.3333333432674408
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 2.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def call(self, inputs):
        channels = inputs.shape[-1]
        squares = ops.square(ops.cast(inputs, "float32"))  # half precision overflows at 256
        sides = (self.size // 2, (self.size - 1) // 2)
        squares = ops.pad(squares, [(0, 0)] * (len(inputs.shape) - 1) + [sides])
        energy = sum(squares[..., i : i + channels] for i in range(self.size))
        scale = ops.power(self.k + self.alpha * energy, -self.beta)
        return inputs * ops.cast(scale, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape
