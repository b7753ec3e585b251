"""Attention: a mean of values, weighted by the softmax of scores.

Additive scores: Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align and
Translate", ICLR 2015, https://arxiv.org/abs/1409.0473. Scaled dot products, and several heads:
Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2. (The dot product of Luong et al.
2015, https://arxiv.org/abs/1508.04025, is not scaled.)
"""

import keras
from keras import layers, ops

from cvcourse.errors import pick
from cvcourse.layers.transformer import AttentionWeights, attend, heads_of
from cvcourse.sequence.inputs import combined_mask, model


def additive(queries, keys, *, name):
    """Compute v tanh(queries + keys): (batch, n, u), (batch, m, u) -> scores (batch, n, m)."""
    both = ops.tanh(queries[:, :, None] + keys[:, None])
    # Equal to Dense(1), with which TensorFlow 2.20 with oneDNN crashes on four axes.
    score = layers.EinsumDense("bnmu,us->bnms", (None, None, 1), name=f"{name}_score")
    return score(both)[..., 0]


def dot_product(queries, keys, *, name):
    """Compute queries · keys / sqrt(u): (batch, n, u), (batch, m, u) -> scores (batch, n, m)."""
    return ops.matmul(queries * keys.shape[-1] ** -0.5, ops.transpose(keys, (0, 2, 1)))


SCORES = {"additive": additive, "dot_product": dot_product}


def weighted_sum(scores, values, *, keep=None, name):
    """Average values by the softmax of scores: (batch, n, m), (batch, m, c) -> (batch, n, c).

    `keep` (batch, m) is True for real positions. The layer `name` returns the weights.
    """
    weigh = AttentionWeights(name=name)
    weights = weigh(scores) if keep is None else weigh(scores, keep=keep[:, None])
    return ops.matmul(weights, values)


def multi_head_attention(
    *,
    num_heads=8,
    use_bias=True,
    memory_shape=None,
    masks=(),
    additive_mask=False,
    input_shape=(None, 512),
    name="multi_head_attention",
):
    """Build a net of multi-head attention alone: inputs (batch, n, c) -> outputs and weights.

    The result is a dict of `outputs` (batch, n, c) and `weights` (batch, num_heads, n, m). The
    inputs attend to themselves, or with a `memory_shape` (m, c) to an input `memory`.
    masks=("mask",) adds an input (batch, m), masks=("attention_mask",) one of (batch, n, m); True
    keeps a position. With `additive_mask`, attention_mask has floats that are added to the scores.
    """
    given = {"inputs": keras.Input(input_shape, name="inputs")}
    form = dict(use_bias=use_bias)
    x = given["inputs"]
    if memory_shape is None:
        q, k, v = heads_of(x, num_heads, 3, **form, name="attention_qkv")
    else:
        given["memory"] = keras.Input(memory_shape, name="memory")
        (q,) = heads_of(x, num_heads, 1, **form, name="attention_memory_q")
        k, v = heads_of(given["memory"], num_heads, 2, **form, name="attention_memory_kv")
    positions = (memory_shape or input_shape)[0]
    shapes = {"mask": (positions,), "attention_mask": (input_shape[0], positions)}
    for mask in masks:
        pick("mask", mask, shapes)
        kind = "float32" if additive_mask and mask == "attention_mask" else "bool"
        given[mask] = keras.Input(shapes[mask], dtype=kind, name=mask)
    keep = combined_mask(given.get("mask"), given.get("attention_mask"))
    x = attend(q, k, v, keep=keep, name="attention_memory" if memory_shape else "attention")
    where = "attention_memory_out" if memory_shape else "attention_out"
    outputs = layers.Dense(input_shape[-1], **form, name=where)(x)
    weights = keras.Model(given, outputs).get_layer(where.replace("_out", "_attention")).output
    return model(given, {"outputs": outputs, "weights": weights}, name=name)


VARIANTS = {"multi_head_attention": multi_head_attention}
