"""Maxout: the largest of several linear units, a learned activation.

Goodfellow, Warde-Farley, Mirza, Courville & Bengio, "Maxout Networks", ICML 2013,
https://arxiv.org/abs/1302.4389, section 3.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class Maxout(keras.layers.Layer):
    """Return the maximum of every `pieces` adjacent channels.

    The layer before it is a dense layer or a convolution without activation that has `pieces` times
    the channels of the output.

    Args:
        pieces: Number of channels that become one.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (…, c) -> (…, c / pieces)

    Raises:
        ValueError: If `pieces` is below 1 or does not divide c.

    >>> Maxout(2)(ops.convert_to_tensor([[1.0, 3.0, 2.0, 0.0]])).numpy().tolist()
    [[3.0, 2.0]]
    """

    def __init__(self, pieces: int, **kwargs: Any):
        super().__init__(**kwargs)
        if pieces < 1:
            raise ValueError(f"maxout needs 1 piece or more; received {pieces}")
        self.pieces = pieces

    def build(self, input_shape):
        if input_shape[-1] % self.pieces:
            raise ValueError(
                f"maxout of {self.pieces} pieces cannot divide {input_shape[-1]} channels: give "
                f"the layer before it a multiple of {self.pieces}"
            )

    def call(self, inputs):
        *shape, channels = ops.shape(inputs)
        grouped = ops.reshape(inputs, (*shape, channels // self.pieces, self.pieces))
        return ops.max(grouped, axis=-1)
