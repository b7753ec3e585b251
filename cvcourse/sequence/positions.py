"""Positions: vectors that tell a Transformer the position of a token, as sines or learned.

Vaswani et al., "Attention Is All You Need", NIPS 2017, section 3.5, and Gehring et al. 2017,
https://arxiv.org/abs/1705.03122, for the learned ones.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops


class _Positions(layers.Layer):
    """Add a row of `self.table()` for each position: (batch, n, c) -> (batch, n, c), n <= length.

    With `position` (batch,), the input is one token (batch, 1, c) at that position. Raises
    ValueError for a sequence that is longer than `length`; in a TensorFlow graph of open length,
    which Keras builds for a second shape, InvalidArgumentError with the same text.
    """

    def __init__(self, length, **kwargs):
        super().__init__(**kwargs)
        self.length = length

    def call(self, inputs, position=None):
        table = ops.cast(self.table(inputs.shape[-1]), inputs.dtype)
        if position is not None:
            return inputs + ops.expand_dims(ops.take(table, position, axis=0), 1)
        return self.within_length(inputs) + table[: ops.shape(inputs)[1]]

    def within_length(self, inputs):
        """Return the inputs. Raises an error if there are more of them than positions."""
        n = inputs.shape[1]
        known = f"{self.name} has {self.length} positions (length={self.length})"
        advice = "pass fewer, or build the net with a larger max_length"
        if n is not None and n > self.length:
            raise ValueError(f"{known}; received {n} tokens: {advice}")
        if n is None and keras.backend.backend() == "tensorflow":
            import tensorflow as tf  # Keras has no assertion for graphs

            n = ops.shape(inputs)[1]
            # TensorFlow writes each item in brackets.
            check = tf.debugging.Assert(n <= self.length, [f"{known}; tokens received:", n, advice])
            with tf.control_dependencies([check]):
                return tf.identity(inputs)
        return inputs

    def compute_output_spec(self, inputs, position=None):
        if inputs.shape[1] is not None:
            self.within_length(inputs)
        return keras.KerasTensor(inputs.shape, self.compute_dtype)


@keras.saving.register_keras_serializable("cvcourse")
class SinusoidalPositions(_Positions):
    """Add sines in even channels and cosines in odd ones: (batch, n, c) -> (batch, n, c).

    Vaswani et al. 2017, section 3.5: channels 2k and 2k + 1 share the frequency base ** (-2k / c).

    Args:
        length: Number of positions, the largest n.
        base: Base of the frequencies.
        **kwargs: See keras.layers.Layer.

    >>> SinusoidalPositions(10)(np.zeros((1, 2, 4), "float32"))[0].numpy().round(2).tolist()[0]
    [0.0, 1.0, 0.0, 1.0]
    """

    def __init__(self, length: int, *, base: float = 10_000, **kwargs: Any):
        super().__init__(length, **kwargs)
        self.base = base

    def table(self, channels):
        return sinusoids(self.length, channels, self.base)


@keras.saving.register_keras_serializable("cvcourse")
class LearnedPositions(_Positions):
    """Add a trained vector for each position: (batch, n, c) -> (batch, n, c).

    Args:
        length: Number of positions, the largest n.
        **kwargs: See keras.layers.Layer.

    >>> tuple(LearnedPositions(10)(np.zeros((1, 2, 4), "float32")).shape)
    (1, 2, 4)
    """

    def __init__(self, length: int, **kwargs: Any):
        super().__init__(length, **kwargs)

    def build(self, input_shape):
        self.embedding = self.add_weight(
            name="embedding",
            shape=(self.length, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),  # BERT's
        )

    def table(self, channels):
        return self.embedding


def sinusoids(length, channels, base=10_000):
    """Compute sines and cosines of positions from 0 on: (length, channels) float64."""
    pair = np.arange(channels) // 2
    angles = np.arange(length)[:, None] * float(base) ** (-2 * pair / channels)
    return np.where(np.arange(channels) % 2, np.cos(angles), np.sin(angles))


POSITIONS = {"sinusoidal": SinusoidalPositions, "learned": LearnedPositions}
