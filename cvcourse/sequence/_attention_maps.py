"""Attention maps: the weights by which a trained sequence net attends, read from its layers.

Bahdanau, Cho & Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate",
ICLR 2015, https://arxiv.org/abs/1409.0473, read those of a translator as an alignment.
"""

import keras

from cvcourse.layers.transformer import AttentionWeights
from cvcourse.sequence.captioning import AttendingLSTM


def attention_maps(net, inputs):
    """Compute the attention weights of a net's last attention layer.

    Where a block attends to its own tokens and then to a memory, that is the memory.

    Args:
        net: A net that `sequence.build` made, or one that was loaded from its file.
        inputs: What the net takes: an array or a dict of arrays, (batch, ...) each.

    Returns:
        Weights (batch, heads, n, m) float32, of n tokens over the m positions attended to; a net
        without heads has one. None for a net that does not attend.
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
