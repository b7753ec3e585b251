"""Vanilla RNN: a state that is rewritten at every step from itself and the input.

Elman, "Finding Structure in Time", Cognitive Science 14, 1990; CS231n, lecture on recurrent
networks: h_t = tanh(W_hh h_{t-1} + W_xh x_t + b).
"""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("cvcourse")
class RNNCell(layers.Layer):
    """One step: x (batch, c), [h (batch, units)] -> h, [h]; for `keras.layers.RNN`.

    Its weights are those of keras.layers.SimpleRNN: kernel (c, units), recurrent_kernel
    (units, units), bias (units,).
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def build(self, input_shape):
        add_gates(self, input_shape[-1], gates=1)

    def call(self, x, states, training=False):
        (h,) = states
        h = ops.tanh(ops.matmul(x, self.kernel) + ops.matmul(h, self.recurrent_kernel) + self.bias)
        return h, [h]


def add_gates(cell, channels, gates, bias_rows=(), bias="zeros"):
    """Add the weights of a cell whose `gates` lie side by side, initialized as Keras does."""
    width = gates * cell.units
    cell.kernel = cell.add_weight(
        name="kernel", shape=(channels, width), initializer="glorot_uniform"
    )
    cell.recurrent_kernel = cell.add_weight(
        name="recurrent_kernel", shape=(cell.units, width), initializer="orthogonal"
    )
    cell.bias = cell.add_weight(name="bias", shape=(*bias_rows, width), initializer=bias)


def from_torch(weight_ih, weight_hh, bias_ih, bias_hh):
    """torch.nn.RNN's weights of one layer as Keras' [kernel, recurrent_kernel, bias].

    torch's lie (to, from), and it has two biases where one would do.
    """
    return [weight_ih.T, weight_hh.T, bias_ih + bias_hh]


def from_course(Wx, Wh, b):
    """The assignment's weights, which are Keras' as they stand."""
    return [Wx, Wh, b]
