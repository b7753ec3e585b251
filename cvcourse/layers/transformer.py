"""Transformer: blocks of attention between tokens and an MLP for each token.

Vaswani et al., "Attention Is All You Need", NIPS 2017, https://arxiv.org/abs/1706.03762.
"""

import math
from typing import Any

import keras
from keras import layers, ops

LOWEST = -1e9  # exactly 0 after the softmax, also where bfloat16 rounds it
LOWEST_FLOAT16 = -6e4


@keras.saving.register_keras_serializable("cvcourse")
class ClassToken(layers.Layer):
    """Insert one learned token before all others: (batch, n, c) -> (batch, 1 + n, c).

    Args:
        **kwargs: See keras.layers.Layer.

    >>> tuple(ClassToken()(ops.ones((2, 4, 3))).shape)
    (2, 5, 3)
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.token = self.add_weight(
            name="token", shape=(1, 1, input_shape[-1]), initializer="zeros"
        )

    def call(self, inputs):
        token = ops.broadcast_to(self.token, (ops.shape(inputs)[0], 1, inputs.shape[-1]))
        return ops.concatenate([ops.cast(token, inputs.dtype), inputs], axis=1)


@keras.saving.register_keras_serializable("cvcourse")
class PositionEmbedding(layers.Layer):
    """Add a learned vector for each position: (batch, n, c) -> (batch, n, c), for one n only.

    Args:
        **kwargs: See keras.layers.Layer.

    >>> tuple(PositionEmbedding()(ops.ones((2, 4, 3))).shape)
    (2, 4, 3)
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.embedding = self.add_weight(
            name="embedding",
            shape=(1, *input_shape[1:]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),  # BERT's
        )

    def call(self, inputs):
        return inputs + self.embedding


@keras.saving.register_keras_serializable("cvcourse")
class AttentionWeights(layers.Layer):
    """Softmax of masked scores over the last axis: (..., n, m) -> weights (..., n, m).

    Masked positions get a weight of exactly 0. A row that `keep` masks completely gets equal
    weights over all its visible positions; positions that are not visible always get 0.

    Args:
        causal: Whether only the positions 0..i are visible to position i.
        **kwargs: See keras.layers.Layer.

    Call arguments:
        scores: Floats (..., n, m).
        keep: Mask that broadcasts to the scores: bool, True to keep; or float, added to the scores,
            where -1e9 or less (-6e4 in float16) masks.
        seen: Bool, broadcasts to the scores: True for visible positions. Not used if `causal`.

    >>> AttentionWeights(causal=True)(ops.zeros((1, 2, 2)))[0].numpy().tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """

    def __init__(self, *, causal: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.causal = causal

    def call(self, scores, keep=None, seen=None):
        if scores.shape[-1] == 1:  # Keras would warn of this softmax
            return ops.ones_like(scores)
        lowest = LOWEST_FLOAT16 if self.compute_dtype == "float16" else LOWEST
        lowest = ops.cast(lowest, scores.dtype)
        if keep is not None:
            if keras.backend.standardize_dtype(keep.dtype) != "bool":
                keep = ops.cast(keep, scores.dtype)
                scores, keep = scores + keep, keep > lowest
            # All masked positions get the same score, so that a row of them has equal weights.
            scores = ops.where(keep, scores, lowest)
        if self.causal:
            n, m = ops.shape(scores)[-2:]
            seen = ops.expand_dims(ops.arange(n), 1) >= ops.arange(m)
        if seen is not None:
            scores = ops.where(seen, scores, ops.cast(-math.inf, scores.dtype))
        return ops.softmax(scores, axis=-1)

    def compute_output_spec(self, scores, keep=None, seen=None):
        return keras.KerasTensor(scores.shape, self.compute_dtype)


@keras.saving.register_keras_serializable("cvcourse")
class GlobalAveragePooling1D(layers.GlobalAveragePooling1D):
    """Keras' GlobalAveragePooling1D, but returns 0 for a row that is masked completely.

    Keras' layer divides by 0 there.

    Args:
        data_format: "channels_last".
        keepdims: Whether to keep the axis of length 1.
        **kwargs: See keras.layers.GlobalAveragePooling1D.

    Shapes:
        (batch, n, c), with a bool mask (batch, n) if any -> (batch, c)

    >>> x = ops.reshape(ops.arange(4.0), (2, 2, 1))
    >>> mask = ops.convert_to_tensor([[True, False], [False, False]])
    >>> GlobalAveragePooling1D()(x, mask=mask).numpy().tolist()
    [[0.0], [0.0]]
    """

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any):
        super().__init__(data_format=data_format, keepdims=keepdims, **kwargs)

    def call(self, inputs, mask=None):
        if mask is None:
            return super().call(inputs)
        counted = ops.cast(mask, "float32")
        share = counted / ops.maximum(ops.sum(counted, axis=1, keepdims=True), 1.0)
        # Divided first: a long sum could overflow float16.
        return ops.sum(inputs * ops.cast(share, inputs.dtype)[..., None], axis=1)


def heads_of(x, num_heads, parts, *, use_bias=True, name):
    """Project to `parts` sets of heads: (batch, n, c) -> list of (batch, heads, n, c / heads)."""
    channels = x.shape[-1]
    if channels % num_heads:
        raise ValueError(f"{channels} channels cannot be divided among {num_heads} heads")
    x = layers.Dense(parts * channels, use_bias=use_bias, name=name)(x)
    x = layers.Reshape((-1, parts * num_heads, channels // num_heads))(x)
    x = ops.split(x, parts, axis=2)
    return [ops.transpose(part, (0, 2, 1, 3)) for part in x]


def attend(q, k, v, *, keep=None, seen=None, causal=False, name):
    """Compute attention: (batch, heads, n, size), twice (batch, heads, m, size) -> (batch, n, c).

    For `keep`, `seen` and `causal` see AttentionWeights. Scores are divided by the square root of
    the head size (eq. 1). The layer `NAME_attention` returns the weights (batch, heads, n, m). A
    training step (6 heads, 197 tokens, 384 channels, 2 cores) took 384 ms with matrix products and
    a softmax, and 570 ms with Keras' dot_product_attention.
    """
    num_heads, size = q.shape[1], q.shape[-1]
    scores = ops.matmul(q * size**-0.5, ops.transpose(k, (0, 1, 3, 2)))
    weigh = AttentionWeights(causal=causal, name=f"{name}_attention")
    masks = {"keep": keep, "seen": seen}
    weights = weigh(scores, **{key: mask for key, mask in masks.items() if mask is not None})
    x = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))
    return layers.Reshape((-1, num_heads * size))(x)


def self_attention(x, num_heads, *, keep=None, causal=False, cache=None, name):
    """Attend from every token to all tokens: (batch, n, c) -> (batch, n, c).

    For `keep` and `causal` see AttentionWeights. For decoding step by step, `x` is the next token
    and `cache` a function of its keys and values, which returns those of all tokens so far and the
    mask of the visible positions.
    """
    q, k, v = heads_of(x, num_heads, 3, name=f"{name}_qkv")
    seen = None
    if cache:
        k, v, seen = cache(k, v)
    x_new = attend(q, k, v, keep=keep, seen=seen, causal=causal and not cache, name=name)
    return layers.Dense(x.shape[-1], name=f"{name}_out")(x_new)


def memory_heads(memory, num_heads, *, name):
    """Compute keys and values for a block's cross-attention: (batch, m, c) -> a pair."""
    return heads_of(memory, num_heads, 2, name=f"{name}_memory_kv")


def cross_attention(x, memory, *, keep=None, name):
    """Attend from every token to a memory: (batch, n, c) -> (batch, n, c).

    `memory` is a pair of keys and values (see `memory_heads`), `keep` their mask.
    """
    num_heads = memory[0].shape[1]
    (q,) = heads_of(x, num_heads, 1, name=f"{name}_memory_q")
    x_new = attend(q, *memory, keep=keep, name=f"{name}_memory")
    return layers.Dense(x.shape[-1], name=f"{name}_memory_out")(x_new)


def transformer_block(
    x,
    num_heads,
    mlp_dim,
    *,
    dropout,
    epsilon,
    name,
    norm_first=True,
    activation="gelu",
    keep=None,
    causal=False,
    cache=None,
    memory=None,
    memory_keep=None,
):
    """Self-attention and an MLP of `mlp_dim` hidden units, both residual, on (batch, n, c).

    With a `memory` (see `cross_attention`; `memory_keep` is its mask) attention to it is between
    the two, as in a decoder. `norm_first` puts the norm before each path (Xiong et al. 2020,
    https://arxiv.org/abs/2002.04745) instead of after the sum (Vaswani et al.). `keep`, `causal`
    and `cache` are for self-attention. Dropout follows every dense layer except those of queries,
    keys and values.
    """

    def mlp(y):
        y = layers.Dense(mlp_dim, activation=activation, name=f"{name}_hidden")(y)
        y = drop(y, dropout, name=f"{name}_hidden_dropout")
        return layers.Dense(x.shape[-1], name=f"{name}_mlp")(y)

    paths = {
        "1": lambda y: self_attention(
            y, num_heads, keep=keep, causal=causal, cache=cache, name=name
        ),
        "memory": lambda y: cross_attention(y, memory, keep=memory_keep, name=name),
        "2": mlp,
    }
    if memory is None:
        del paths["memory"]
    for path, function in paths.items():
        norm = layers.LayerNormalization(epsilon=epsilon, name=f"{name}_{path}_norm")
        last = path == "2"
        y = drop(function(norm(x) if norm_first else x), dropout, name=f"{name}_{path}_dropout")
        total = layers.Add(name=name if last and norm_first else f"{name}_{path}")([x, y])
        x = total if norm_first else norm(total)
    return x


def drop(x, rate, *, name):
    """Apply dropout if the rate is not 0."""
    return layers.Dropout(rate, name=name)(x) if rate else x
