"""Stacks of recurrent layers, forward or bidirectional: RNN, LSTM, GRU.

Schuster & Paliwal, "Bidirectional Recurrent Neural Networks", 1997; Graves et al. 2013,
https://arxiv.org/abs/1303.5778, for the stack. The layers are Keras' own, which use fused kernels
if the device has them; rnn.py, lstm.py and gru.py define the same cells by their equations.
"""

from functools import partial

import keras
from keras import layers, ops

from cvcourse.layers.transformer import drop
from cvcourse.sequence.inputs import embed, logits, model, real, sequence_input

CELLS = {"rnn": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}
STATES = {"rnn": ("h",), "lstm": ("h", "c"), "gru": ("h",)}


def recurrent(
    *,
    cell,
    units=128,
    depth=1,
    bidirectional=False,
    activation="tanh",
    use_bias=True,
    dropout=0.0,
    vocabulary=None,
    embedding=64,
    padding=None,
    masks=(),
    return_sequences=True,
    states=False,
    part="whole",
    input_shape=None,
    num_classes=10,
    name="recurrent",
):
    """Build a stack of `depth` recurrent layers of `units`.

    Shapes: vectors (batch, time, c), or tokens (batch, time) of a `vocabulary`, embedded in
    `embedding` channels, -> logits at every step (batch, time, num_classes), or with
    return_sequences=False after the last real step, (batch, num_classes). `bidirectional` layers
    read in both directions and concatenate the outputs. Steps that are padded, by the token
    `padding` or by masks=("mask",), output 0 and do not change the state. input_shape=None is
    (None, 28) for vectors, (None,) for tokens. The layer `features` precedes the logits;
    num_classes=None ends the net there. `states` adds inputs and outputs h (and c), (batch, layers,
    units), the two directions of a layer one after the other; outputs are then a dict. part="step"
    builds the net for one token: see decoding.py.
    """
    form = CELLS[cell], dict(units=units, activation=activation, use_bias=use_bias)
    kinds = STATES[cell]
    ways = (False, True) if bidirectional else (False,)
    if part == "step":
        if bidirectional or not vocabulary:
            raise ValueError("generation is for nets of tokens that read forwards")
        given = {"token": keras.Input((), dtype="int32", name="token")}
        token = given["token"][:, None]
        x = embed(token, vocabulary, embedding, name="tokens")
        keep, states = real(token, padding), True
    else:
        given, x, keep = sequence_input(
            input_shape, vocabulary, embedding, padding=padding, masks=masks
        )
    starts = {}
    if states:
        count = depth * len(ways)
        starts = {kind: keras.Input((count, units), name=kind) for kind in kinds}
        given |= starts
    ends = []
    for level in range(depth):
        outcomes = []
        for backwards in ways:
            start = [starts[kind][:, len(ends)] for kind in starts] or None
            where = f"layer{level + 1}{'_reverse' if backwards else ''}"
            y, end = read(x, form, keep=keep, state=start, backwards=backwards, name=where)
            outcomes.append(y)
            ends.append(end)
        x = layers.Concatenate(name=f"layer{level + 1}_both")(outcomes) if bidirectional else y
        if level < depth - 1:
            x = drop(x, dropout, name=f"layer{level + 1}_dropout")
    if not return_sequences:
        x = ops.concatenate([end[0] for end in ends[-len(ways) :]], axis=-1)
    x = layers.Identity(name="features")(drop(x, dropout, name="dropout"))
    result = logits(x, num_classes)
    if part == "step" and return_sequences:
        result = result[:, 0]
    outputs = {"features" if num_classes is None else "logits": result}
    if states:
        outputs |= {
            kind: ops.stack([end[i] for end in ends], axis=1) for i, kind in enumerate(kinds)
        }
    return model(given, outputs, name=name)


def read(x, form, *, keep=None, state=None, backwards=False, name):
    """Call one layer on all steps: (batch, time, c) -> (batch, time, units), and its last state.

    `form` is the layer's class and its settings. Steps that `keep` masks output 0 and do not change
    the state. With `backwards`, the output at step t depends on step t and all later ones.
    """
    kind, settings = form
    layer = kind(
        **settings,
        return_sequences=True,
        return_state=True,
        go_backwards=backwards,
        zero_output_for_mask=keep is not None,
        name=name,
    )
    if keep is None or x.shape[1] != 1:
        y, *ends = layer(x, mask=keep, initial_state=state)
        return ops.flip(y, axis=1) if backwards else y, ends
    # One step: cuDNN does not support a mask that leaves no step of a row.
    y, *ends = layer(x, initial_state=state)
    state = state or [ops.zeros_like(end) for end in ends]
    ends = [
        ops.where(keep, end, ops.cast(old, end.dtype)) for end, old in zip(ends, state, strict=True)
    ]
    return ops.where(keep[..., None], y, ops.zeros_like(y)), ends


VARIANTS = {
    **{cell: partial(recurrent, cell=cell) for cell in CELLS},
    **{
        f"bidirectional_{cell}": partial(recurrent, cell=cell, bidirectional=True) for cell in CELLS
    },
}
