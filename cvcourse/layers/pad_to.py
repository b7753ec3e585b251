"""Padding that a small map needs and a large one does not."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class PadTo(keras.layers.Layer):
    """Zeros around maps of fewer than `size` pixels a side, known beforehand or only as they come.

    Shapes: (batch, h, w, c) -> (batch, max(h, size), max(w, size), c).
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs):
        sides = ops.shape(inputs)[1:3]
        if all(isinstance(side, int) and side >= self.size for side in sides):
            return inputs
        lacks = [ops.maximum(self.size - side, 0) for side in sides]
        return ops.pad(inputs, [(0, 0), *[(n // 2, n - n // 2) for n in lacks], (0, 0)])

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return (batch, *[side and max(side, self.size) for side in sides], channels)
