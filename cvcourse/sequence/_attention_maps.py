"""Attention maps: the weights by which a trained sequence net attends, read from its layers.

Bahdanau, Cho & Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate",
ICLR 2015, https://arxiv.org/abs/1409.0473, read a translator's weights as an alignment.
"""

from typing import Any

import keras
import numpy as np

from cvcourse.layers.transformer import AttentionWeights
from cvcourse.sequence.captioning import AttendingLSTM


def attention_maps(net: keras.Model, inputs: Any) -> np.ndarray | None:
    """Compute the attention weights of a net's last attention layer.

    In a block that attends to its own tokens and then to a memory, these are the weights over the
    memory.

    Args:
        net: keras.Model that `sequence.build` made, or that was loaded from its file.
        inputs: Inputs of the net: an array or a dict of arrays, (batch, ...) each.

    Returns:
        Weights (batch, heads, n, m) float32, of n tokens over the m positions attended to; heads is
        1 for a net without heads. None for a net that does not attend.

    >>> from cvcourse import sequence
    >>> net = sequence.build("caption_attention", units=8, memory_shape=(4, 3), num_classes=7)
    >>> given = {"memory": np.ones((2, 4, 3)), "tokens": np.ones((2, 5), "int32")}
    >>> attention_maps(net, given).shape
    (2, 1, 5, 4)
    """
    kinds = (AttentionWeights, AttendingLSTM, keras.Model)
    found = [layer for layer in net.layers if isinstance(layer, kinds)]
    if not found:
        return None
    layer = found[-1]
    if isinstance(layer, keras.Model):  # an encoder-decoder's decoder
        node = layer._inbound_nodes[0]
        given = keras.Model(net.input, node.arguments.args[0]).predict_on_batch(inputs)
        return attention_maps(layer, given)
    weights = layer.output
    if isinstance(layer, AttendingLSTM):
        weights = weights[0]  # alpha, of alpha, c, h and z
    weights = keras.ops.convert_to_numpy(keras.Model(net.input, weights).predict_on_batch(inputs))
    weights = weights.astype("float32")
    return weights if weights.ndim == 4 else weights[:, None]
