"""Maxout: a unit that is the largest of several linear ones, and so learns its own activation.

Goodfellow, Warde-Farley, Mirza, Courville & Bengio, "Maxout Networks", ICML 2013,
https://arxiv.org/abs/1302.4389, section 3.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class Maxout(keras.layers.Layer):
    """The largest of each `pieces` neighboring channels: (…, c) -> (…, c / pieces).

    It follows a dense layer or a convolution of `pieces` times the channels that it is to give,
    without activation. Raises ValueError where `pieces` does not divide c.
    """

    def __init__(self, pieces, **kwargs):
        super().__init__(**kwargs)
        if pieces < 1:
            raise ValueError(f"maxout takes the largest of 1 piece or more; received {pieces}")
        self.pieces = pieces

    def build(self, input_shape):
        if input_shape[-1] % self.pieces:
            raise ValueError(
                f"maxout of {self.pieces} pieces cannot share out {input_shape[-1]} channels: give "
                f"the layer before it a multiple of {self.pieces}"
            )

    def call(self, inputs):
        *shape, channels = ops.shape(inputs)
        grouped = ops.reshape(inputs, (*shape, channels // self.pieces, self.pieces))
        return ops.max(grouped, axis=-1)
