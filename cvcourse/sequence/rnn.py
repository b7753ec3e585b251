"""Vanilla RNN: a state that is updated at every step from itself and the input.

Elman, "Finding Structure in Time", Cognitive Science 14, 1990; CS231n, lecture on recurrent
networks: h_t = tanh(W_hh h_{t-1} + W_xh x_t + b).
"""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("cvcourse")
class RNNCell(layers.Layer):
    """One step of a vanilla RNN, a cell for `keras.layers.RNN`.

    Shapes: x (batch, c), [h (batch, units)] -> h, [h]. The weights are those of
    keras.layers.SimpleRNN: kernel (c, units), recurrent_kernel (units, units), bias (units,).

    Args:
        units: Number of units.
        **kwargs: See keras.layers.Layer.

    >>> tuple(keras.layers.RNN(RNNCell(8))(ops.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def build(self, input_shape):
        add_gates(self, input_shape[-1], gates=1)

    def call(self, x, states, training=False):
        (h,) = states
        h = ops.tanh(ops.matmul(x, self.kernel) + ops.matmul(h, self.recurrent_kernel) + self.bias)
        return h, [h]


def add_gates(cell, channels, gates, bias_rows=(), bias="zeros"):
    """Add the weights of a cell with its `gates` side by side, initialized as Keras does."""
    width = gates * cell.units
    cell.kernel = cell.add_weight(
        name="kernel", shape=(channels, width), initializer="glorot_uniform"
    )
    cell.recurrent_kernel = cell.add_weight(
        name="recurrent_kernel", shape=(cell.units, width), initializer="orthogonal"
    )
    cell.bias = cell.add_weight(name="bias", shape=(*bias_rows, width), initializer=bias)


def from_torch(weight_ih, weight_hh, bias_ih, bias_hh):
    """Convert torch.nn.RNN's weights of one layer to Keras' [kernel, recurrent_kernel, bias].

    torch's kernels are (to, from); its two biases are added.
    """
    return [weight_ih.T, weight_hh.T, bias_ih + bias_hh]


def from_course(Wx, Wh, b):
    """Return the assignment's weights, which are in Keras' layout."""
    return [Wx, Wh, b]
