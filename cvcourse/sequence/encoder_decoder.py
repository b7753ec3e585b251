"""Encoder-decoder: a recurrent net reads a source, another writes tokens and attends to the source.

Without attention: Sutskever et al., "Sequence to Sequence Learning with Neural Networks", NIPS
2014, https://arxiv.org/abs/1409.3215. With attention: Luong et al. 2015,
https://arxiv.org/abs/1508.04025, section 3.1, where attention follows the recurrent layer, so that
all steps of training are computed at once; the scores are in attention.py.
"""

from functools import partial

import keras
from keras import layers, ops

from cvcourse.errors import pick
from cvcourse.layers.transformer import drop
from cvcourse.sequence.attention import SCORES, weighted_sum
from cvcourse.sequence.inputs import embed, logits, real
from cvcourse.sequence.recurrent import CELLS, STATES, read


def encoder_decoder(
    *,
    cell="lstm",
    units=128,
    embedding=64,
    attention="additive",
    dropout=0.0,
    source_vocabulary=100,
    padding=0,
    part="whole",
    input_shape=(None,),
    num_classes=100,
    name="encoder_decoder",
):
    """Build an encoder that reads `source` both ways, and a decoder of `tokens`.

    Shapes: source (batch, m), tokens (batch, n) -> logits of the token that comes after each,
    (batch, n, num_classes). The decoder's initial state is a dense layer of the encoder's last
    states. With `attention` ("additive" or "dot_product", not "none") each step also uses a
    weighted mean of the encoder's outputs; the layer `attention` returns the weights (batch, n, m).
    The token `padding` of the source is in no mean and does not change the state. For `part` see
    decoding.py.
    """
    form = pick("cell", cell, CELLS), dict(units=units)
    kinds, given, context = STATES[cell], {}, {}
    if part != "step":
        source = keras.Input(input_shape, dtype="int32", name="source")
        given["source"], keep = source, real(source, padding)
        x = embed(source, source_vocabulary, embedding, name="source")
        ways = {"encoder": False, "encoder_reverse": True}
        read_by = {way: read(x, form, keep=keep, backwards=b, name=way) for way, b in ways.items()}
        context = {
            kind: layers.Dense(units, activation="tanh", name=f"bridge_{kind}")(
                ops.concatenate([states[i] for _, states in read_by.values()], axis=-1)
            )
            for i, kind in enumerate(kinds)
        }
        if attention != "none":
            memory = ops.concatenate([y for y, _ in read_by.values()], axis=-1)
            keys = layers.Dense(units, use_bias=False, name="keys")(memory)
            context |= {"memory": memory, "keys": keys, "memory_mask": keep}
        if part == "encoder":
            return keras.Model(given, context, name=name)
        given["tokens"] = keras.Input(input_shape, dtype="int32", name="tokens")
        tokens = given["tokens"]
    else:
        context = {kind: keras.Input((units,), name=kind) for kind in kinds}
        if attention != "none":
            context |= {
                "memory": keras.Input((None, 2 * units), name="memory"),
                "keys": keras.Input((None, units), name="keys"),
                "memory_mask": keras.Input((None,), dtype="bool", name="memory_mask"),
            }
        given = {"token": keras.Input((), dtype="int32", name="token"), **context}
        tokens = given["token"][:, None]
    x = drop(embed(tokens, num_classes, embedding, name="tokens"), dropout, name="dropout")
    x, states = read(x, form, state=[context[kind] for kind in kinds], name="decoder")
    if attention != "none":
        score = pick("attention", attention, SCORES)
        queries = layers.Dense(units, use_bias=False, name="queries")(x)
        scores = score(queries, context["keys"], name="attention")
        found = weighted_sum(
            scores, context["memory"], keep=context["memory_mask"], name="attention"
        )
        x = layers.Concatenate(name="decoder_and_found")([x, found])
        x = layers.Dense(units, activation="tanh", name="attentional")(x)  # eq. 5
    x = layers.Identity(name="features")(drop(x, dropout, name="features_dropout"))
    result = logits(x, num_classes)
    if part == "step":
        outputs = {"logits": result[:, 0], **dict(zip(kinds, states, strict=True))}
        return keras.Model(given, outputs, name=name)
    return keras.Model(given, result, name=name)


VARIANTS = {
    "encoder_decoder": partial(encoder_decoder, attention="none"),
    "attention_encoder_decoder": encoder_decoder,
}
