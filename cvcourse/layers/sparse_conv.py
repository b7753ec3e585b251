"""Convolution in which each output map is computed from only some of the input maps.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, section II.B.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("cvcourse")
class SparseConv2D(keras.layers.Layer):
    """Convolve with "valid" padding and bias; output map j reads input maps `connections[j]`.

    The kernel has a filter for each connection, in the order of `connections`, initialized
    uniformly within ±2.4 / F, where F is the number of inputs of an output pixel (appendix A).

    Args:
        connections: Indices of the input maps of each output map.
        kernel_size: Side of the kernel.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (batch, h, w, c) -> (batch, h - kernel_size + 1, w - kernel_size + 1, len(connections));
        kernel (kernel_size, kernel_size, number of connections)

    >>> layer = SparseConv2D([[0], [0, 1]], 3)
    >>> tuple(layer(ops.ones((1, 5, 5, 2))).shape), tuple(layer.kernel.shape)
    ((1, 3, 3, 2), (3, 3, 3))
    """

    def __init__(self, connections: Sequence[Sequence[int]], kernel_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.connections = connections
        self.kernel_size = (kernel_size, kernel_size)

    def build(self, input_shape):
        fan_in = [len(maps) * self.kernel_size[0] ** 2 for maps in self.connections for _ in maps]
        uniform = keras.initializers.RandomUniform(-2.4, 2.4)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, len(fan_in)),
            initializer=lambda shape, dtype: uniform(shape, dtype) / np.array(fan_in, dtype),
        )
        self.bias = self.add_weight(
            name="bias", shape=(len(self.connections),), initializer="zeros"
        )
        self.places = np.zeros((len(fan_in), input_shape[-1], len(self.connections)), "float32")
        links = [(c, j) for j, maps in enumerate(self.connections) for c in maps]
        for link, place in enumerate(links):
            self.places[(link, *place)] = 1

    def call(self, inputs):
        kernel = ops.tensordot(self.kernel, ops.cast(self.places, self.compute_dtype), 1)
        return ops.conv(inputs, kernel, data_format="channels_last") + self.bias

    def compute_output_shape(self, input_shape):
        batch, *sides, _ = input_shape
        sides = [n and n - k + 1 for n, k in zip(sides, self.kernel_size, strict=True)]
        return (batch, *sides, len(self.connections))
