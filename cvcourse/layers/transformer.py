"""Transformer: tokens that look at each other, then think for themselves, block after block.

Vaswani et al., "Attention Is All You Need", NIPS 2017, https://arxiv.org/abs/1706.03762.
"""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("cvcourse")
class ClassToken(layers.Layer):
    """One learned token before all others: (batch, n, c) -> (batch, 1 + n, c)."""

    def build(self, input_shape):
        self.token = self.add_weight(
            name="token", shape=(1, 1, input_shape[-1]), initializer="zeros"
        )

    def call(self, inputs):
        token = ops.broadcast_to(self.token, (ops.shape(inputs)[0], 1, inputs.shape[-1]))
        return ops.concatenate([ops.cast(token, inputs.dtype), inputs], axis=1)


@keras.saving.register_keras_serializable("cvcourse")
class PositionEmbedding(layers.Layer):
    """x + a learned vector for each position: (batch, n, c) -> the same, for one n alone."""

    def build(self, input_shape):
        self.embedding = self.add_weight(
            name="embedding",
            shape=(1, *input_shape[1:]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),  # BERT's
        )

    def call(self, inputs):
        return inputs + self.embedding


def self_attention(x, heads, *, name):
    """Every token takes from all tokens what its query finds in their keys: (batch, n, c) -> same.

    `NAME_attention` is the matrix of who looks at whom, (batch, heads, n, n). As products and a
    softmax a training step (6 heads, 197 tokens, 384 channels, 2 cores) took 384 ms, through
    Keras' dot_product_attention 570.
    """
    n, channels = x.shape[1:]
    if channels % heads:
        raise ValueError(f"{heads} heads must share the channels; received {channels} channels")
    size = channels // heads
    x = layers.Dense(3 * channels, name=f"{name}_qkv")(x)
    q, k, v = ops.split(ops.reshape(x, (-1, n, 3 * heads, size)), 3, axis=2)
    q, k, v = [
        ops.transpose(q, (0, 2, 1, 3)),
        ops.transpose(k, (0, 2, 3, 1)),
        ops.transpose(v, (0, 2, 1, 3)),
    ]
    weights = layers.Softmax(name=f"{name}_attention")(ops.matmul(q * size**-0.5, k))
    x = ops.reshape(ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3)), (-1, n, channels))
    return layers.Dense(channels, name=f"{name}_out")(x)


def encoder_block(x, heads, mlp, *, dropout, epsilon, name):
    """Attention, then `mlp` hidden units for each token, both added to it: (batch, n, c) -> same.

    Norms come first in each path. Dropout follows every dense layer but the one that makes
    queries, keys and values.
    """
    y = layers.LayerNormalization(epsilon=epsilon, name=f"{name}_1_norm")(x)
    y = self_attention(y, heads, name=name)
    y = drop(y, dropout, name=f"{name}_1_dropout")
    x = layers.Add(name=f"{name}_1")([x, y])
    y = layers.LayerNormalization(epsilon=epsilon, name=f"{name}_2_norm")(x)
    y = layers.Dense(mlp, activation="gelu", name=f"{name}_hidden")(y)
    y = drop(y, dropout, name=f"{name}_hidden_dropout")
    y = layers.Dense(x.shape[-1], name=f"{name}_mlp")(y)
    y = drop(y, dropout, name=f"{name}_2_dropout")
    return layers.Add(name=name)([x, y])


def drop(x, rate, *, name):
    """Dropout, if there is any."""
    return layers.Dropout(rate, name=name)(x) if rate else x
