"""Padding of maps below a minimum size."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class PadTo(keras.layers.Layer):
    """Pad maps with zeros to at least `size` pixels per side, also maps of unknown size.

    Args:
        size: Smallest side of the output in pixels.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (batch, h, w, c) -> (batch, max(h, size), max(w, size), c)

    >>> tuple(PadTo(4)(ops.ones((1, 3, 5, 2))).shape)
    (1, 4, 5, 2)
    """

    def __init__(self, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs):
        sides = ops.shape(inputs)[1:3]
        if all(isinstance(side, int) and side >= self.size for side in sides):
            return inputs
        missing = [ops.maximum(self.size - side, 0) for side in sides]
        return ops.pad(inputs, [(0, 0), *[(n // 2, n - n // 2) for n in missing], (0, 0)])

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return (batch, *[side and max(side, self.size) for side in sides], channels)
