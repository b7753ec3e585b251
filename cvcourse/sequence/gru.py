"""GRU: a reset gate controls how much of the state is read, an update gate how much is kept.

Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014,
https://arxiv.org/abs/1406.1078, in the form that torch and cuDNN compute, where the reset gate
is applied after the recurrent product:

    (z, r) = sigmoid(W (h_{t-1}, x_t) + b)        g = tanh(W_x x_t + b_x + r * (W_h h_{t-1} + b_h))
    h_t = z * h_{t-1} + (1 - z) * g
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cvcourse.sequence.lstm import reordered
from cvcourse.sequence.rnn import add_gates

KERAS_GATES, TORCH_GATES = "zrg", "rzg"


@keras.saving.register_keras_serializable("cvcourse")
class GRUCell(layers.Layer):
    """One step of a GRU, a cell for `keras.layers.RNN`.

    Shapes: x (batch, c), [h (batch, units)] -> h, [h]. The weights are those of keras.layers.GRU:
    kernel (c, 3 * units), recurrent_kernel (units, 3 * units), bias (2, 3 * units) for the two
    products, gates in the order z, r, g.

    Args:
        units: Number of units.
        **kwargs: See keras.layers.Layer.

    >>> tuple(keras.layers.RNN(GRUCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def build(self, input_shape):
        add_gates(self, input_shape[-1], gates=3, bias_rows=(2,))

    def call(self, x, states, training=False):
        (h,) = states
        from_x = ops.matmul(x, self.kernel) + self.bias[0]
        from_h = ops.matmul(h, self.recurrent_kernel) + self.bias[1]
        z_x, r_x, g_x = ops.split(from_x, 3, axis=-1)
        z_h, r_h, g_h = ops.split(from_h, 3, axis=-1)
        z, r = ops.sigmoid(z_x + z_h), ops.sigmoid(r_x + r_h)
        h = z * h + (1 - z) * ops.tanh(g_x + r * g_h)
        return h, [h]


def from_torch(weight_ih, weight_hh, bias_ih, bias_hh):
    """Convert torch.nn.GRU's weights of one layer to [kernel, recurrent_kernel, bias (2, …)].

    torch's kernels are (to, from), with gates in the order r, z, g (which it calls n).
    """
    both = np.stack([bias_ih, bias_hh])
    return [reordered(w, TORCH_GATES, KERAS_GATES) for w in (weight_ih.T, weight_hh.T, both)]
