"""LSTM: a cell state that only gates change, so that gradients can pass through it unchanged.

Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997; the forget gate is
of Gers et al. 2000. CS231n, lecture on recurrent networks:

    (i, f, o, g) = (sigmoid, sigmoid, sigmoid, tanh)(W (h_{t-1}, x_t) + b)
    c_t = f * c_{t-1} + i * g        h_t = o * tanh(c_t)
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cvcourse.sequence.rnn import add_gates

KERAS_GATES, TORCH_GATES, COURSE_GATES = "ifgo", "ifgo", "ifog"


@keras.saving.register_keras_serializable("cvcourse")
class LSTMCell(layers.Layer):
    """One step of an LSTM, a cell for `keras.layers.RNN`.

    Shapes: x (batch, c), [h, c], each (batch, units) -> h, [h, c]. The weights are those of
    keras.layers.LSTM: kernel (c, 4 * units), recurrent_kernel (units, 4 * units), bias
    (4 * units,), gates in the order i, f, g, o. The forget gate's bias begins at 1 (Jozefowicz et
    al. 2015), so that an untrained net keeps its cell state.

    Args:
        units: Number of units.
        **kwargs: See keras.layers.Layer.

    >>> tuple(keras.layers.RNN(LSTMCell(8), return_sequences=True)(np.ones((2, 5, 3))).shape)
    (2, 5, 8)
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = self.output_size = units
        self.state_size = [units, units]

    def build(self, input_shape):
        add_gates(self, input_shape[-1], gates=4, bias=remembering)

    def call(self, x, states, training=False):
        h, c = states
        gates = ops.matmul(x, self.kernel) + ops.matmul(h, self.recurrent_kernel) + self.bias
        i, f, g, o = ops.split(gates, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]


def remembering(shape, dtype=None):
    """Return a bias of 1 for the forget gate and 0 for the others."""
    return ops.repeat(ops.cast([gate == "f" for gate in KERAS_GATES], dtype), shape[0] // 4)


def reordered(weights, given, wanted=KERAS_GATES):
    """Reorder the gates of weights (…, gates * units) from `given` to `wanted`."""
    gates = np.split(np.asarray(weights), len(given), axis=-1)
    return np.concatenate([gates[given.index(gate)] for gate in wanted], axis=-1)


def from_torch(weight_ih, weight_hh, bias_ih, bias_hh):
    """Convert torch.nn.LSTM's weights of one layer to Keras' [kernel, recurrent_kernel, bias].

    torch's kernels are (to, from), with gates in Keras' order; its two biases are added.
    """
    return [weight_ih.T, weight_hh.T, bias_ih + bias_hh]


def from_course(Wx, Wh, b):
    """Convert the assignment's weights, gates in the order i, f, o, g, to Keras'."""
    return [reordered(weights, COURSE_GATES) for weights in (Wx, Wh, b)]
