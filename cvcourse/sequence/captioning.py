"""Captioning: nets from an image's features to words.

CS231n assignments 2 and 3, where the image is the initial state (Vinyals et al., "Show and Tell",
CVPR 2015, https://arxiv.org/abs/1411.4555, feed it as the first input instead); Xu et al., "Show,
Attend and Tell", ICML 2015, https://arxiv.org/abs/1502.03044, who attend to a part of it for each
word.
"""

from functools import partial
from typing import Any

import keras
from keras import layers, ops

from cvcourse.layers.replicas import mean_over_replicas
from cvcourse.layers.transformer import drop
from cvcourse.sequence.inputs import embed, logits, real
from cvcourse.sequence.recurrent import CELLS, STATES, read
from cvcourse.sequence.transformer import stack


def init_inject_captioner(
    *,
    cell,
    units=256,
    embedding=256,
    dropout=0.0,
    padding=None,
    memory_shape=(1280,),
    part="whole",
    input_shape=(None,),
    num_classes=1000,
    name="captioning",
):
    """Build the assignment's net: the projected features are the initial state h.

    Shapes: memory (batch, c) or (batch, m, c), which is averaged, and tokens (batch, n) -> logits
    of the word after each, (batch, n, num_classes). An LSTM's c starts at 0. The token `padding`
    does not change the state. For `part` see decoding.py.
    """
    kinds, given = STATES[cell], {}
    if part == "step":
        states = {kind: keras.Input((units,), name=kind) for kind in kinds}
        given = {"token": keras.Input((), dtype="int32", name="token"), **states}
        tokens = given["token"][:, None]
    else:
        given["memory"], x = mean_of(memory_shape)
        states = {"h": layers.Dense(units, name="memory_projection")(x)}
        if part == "encoder":
            return keras.Model(given, states, name=name)
        states |= {kind: ops.zeros_like(states["h"]) for kind in kinds[1:]}
        given["tokens"] = tokens = keras.Input(input_shape, dtype="int32", name="tokens")
    x = drop(embed(tokens, num_classes, embedding, name="tokens"), dropout, name="dropout")
    form = CELLS[cell], dict(units=units)
    keep, start = real(tokens, padding), [states[kind] for kind in kinds]
    x, ends = read(x, form, keep=keep, state=start, name="layer1")
    x = layers.Identity(name="features")(drop(x, dropout, name="features_dropout"))
    result = logits(x, num_classes)
    if part != "step":
        return keras.Model(given, result, name=name)
    ends = dict(zip(kinds, ends, strict=True))
    return keras.Model(given, {"logits": result[:, 0], **ends}, name=name)


def mean_of(shape):
    """Make an input `memory` of this shape; return it and its mean over all positions."""
    given = keras.Input(shape, name="memory")
    return given, layers.GlobalAveragePooling1D(name="mean")(given) if len(shape) > 1 else given


@keras.saving.register_keras_serializable("cvcourse")
class AttendingLSTM(layers.Layer):
    """LSTM that attends to a memory at each step, and reads the attended vector z.

    Xu et al., section 3.1.2: e_i = v tanh(W_a a_i + W_h h), alpha = softmax(e), z = beta sum_i
    alpha_i a_i with the gate beta = sigmoid(W_b h) of section 4.2.1, one number per step. Eq. 14
    adds sum_i (1 - sum_t alpha_ti)^2 to the loss, here divided by the number of words, since the
    loss is a mean over words. Without this term, the attention of all words soon stays at one
    position.

    Args:
        units: Number of units.
        doubly_stochastic: Weight of the term of eq. 14.
        **kwargs: See keras.layers.Layer.

    Call arguments:
        x: Embedded words (batch, n, e).
        memory: Feature map (batch, m, c).
        h: Initial state (batch, units).
        c: Initial cell state (batch, units).
        real: Mask (batch, n); steps where it is False do not count and do not change the state.

    Returns:
        A dict of h (batch, n, units), z (batch, n, c) and alpha (batch, n, m) at each step, and of
        the last cell state c (batch, units).

    >>> layer = AttendingLSTM(8)
    >>> state = ops.zeros((2, 8))
    >>> found = layer(ops.ones((2, 5, 3)), ops.ones((2, 4, 6)), state, state)
    >>> {name: tuple(value.shape) for name, value in found.items()}
    {'h': (2, 5, 8), 'z': (2, 5, 6), 'alpha': (2, 5, 4), 'c': (2, 8)}
    """

    def __init__(self, units: int, doubly_stochastic: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.doubly_stochastic = doubly_stochastic
        as_this = {"dtype": self.dtype_policy}  # also if it is loaded under another policy
        self.cell = layers.LSTMCell(units, name="cell", **as_this)
        self.keys = layers.Dense(units, name="keys", **as_this)
        self.query = layers.Dense(units, use_bias=False, name="query", **as_this)
        self.score = layers.Dense(1, use_bias=False, name="score", **as_this)
        self.gate = layers.Dense(1, activation="sigmoid", name="gate", **as_this)

    def build(self, x_shape, memory_shape, h_shape, c_shape, real_shape=None):
        channels = memory_shape[-1]
        self.cell.build((None, x_shape[-1] + channels))
        self.keys.build((None, None, channels))
        self.score.build((None, None, self.units))
        for layer in (self.query, self.gate):
            layer.build((None, self.units))

    def call(self, x, memory, h, c, real=None):
        keys = self.keys(memory)

        is_read = ops.ones_like(x[..., 0], "bool") if real is None else ops.cast(real, "bool")

        def attend_and_read(state, inputs):
            (h, c, *_), (x_t, is_read_t) = state, inputs
            scores = self.score(ops.tanh(keys + self.query(h)[:, None]))[..., 0]
            alpha = ops.softmax(scores)
            z = self.gate(h) * ops.einsum("bm,bmc->bc", alpha, memory)
            _, moved = self.cell(ops.concatenate([x_t, z], axis=-1), [h, c])
            h, c = (
                ops.where(is_read_t[:, None], new, old)
                for new, old in zip(moved, (h, c), strict=True)
            )
            return (state := (h, c, z, alpha)), state

        nothing = ops.zeros_like(memory[:, 0]), ops.zeros_like(memory[..., 0])
        by_steps = ops.transpose(x, (1, 0, 2)), ops.transpose(is_read)
        _, steps = ops.scan(attend_and_read, (h, c, *nothing), by_steps)
        h, c, z, alpha = (ops.transpose(values, (1, 0, 2)) for values in steps)
        if self.doubly_stochastic:
            of = keras.backend.result_type(alpha.dtype, "float32")  # half precision overflows
            counts = ops.cast(is_read, of)
            attended = ops.einsum("bnm,bn->bm", ops.cast(alpha, of), counts)
            uneven = ops.sum((1.0 - attended) ** 2)
            words = mean_over_replicas(ops.sum(counts))
            self.add_loss(self.doubly_stochastic * uneven / ops.maximum(words, 1.0))
        return {"h": h, "z": z, "alpha": alpha, "c": c[:, -1]}

    def compute_output_spec(self, x, memory, h, c, real=None):
        batch, n, _ = x.shape
        places, channels = memory.shape[1:]
        of = self.compute_dtype
        return {
            "h": keras.KerasTensor((batch, n, self.units), of),
            "z": keras.KerasTensor((batch, n, channels), of),
            "alpha": keras.KerasTensor((batch, n, places), of),
            "c": keras.KerasTensor((batch, self.units), of),
        }


def with_attention(
    *,
    units=256,
    embedding=256,
    dropout=0.0,
    doubly_stochastic=0.0,
    padding=None,
    memory_shape=(49, 1280),
    part="whole",
    input_shape=(None,),
    num_classes=1000,
    name="captioning",
):
    """Build Xu et al.'s net with soft attention: each word attends to the feature map.

    Shapes: memory (batch, m, c), m positions of the map, and tokens (batch, n) -> logits of the
    word after each, (batch, n, num_classes). The initial state is computed by dense layers from the
    map's mean; the logits are a deep output of word, state and context (eq. 7). The attention
    weights are the output alpha of the AttendingLSTM `layer1`, whose loss has the weight
    `doubly_stochastic` (1 in the paper's code). The token `padding` does not change the state. For
    `part` see decoding.py.
    """
    given, evenly = {}, 0.0
    memory = keras.Input(memory_shape, name="memory")
    if part == "step":
        states = {kind: keras.Input((units,), name=kind) for kind in "hc"}
        given = {"token": keras.Input((), dtype="int32", name="token"), "memory": memory, **states}
        tokens = given["token"][:, None]
    else:
        given["memory"] = memory
        mean = layers.GlobalAveragePooling1D(name="mean")(memory)
        states = {
            kind: layers.Dense(units, activation="tanh", name=f"bridge_{kind}")(mean)
            for kind in "hc"
        }
        if part == "encoder":
            return keras.Model(given, {**states, "memory": memory}, name=name)
        given["tokens"] = tokens = keras.Input(input_shape, dtype="int32", name="tokens")
        evenly = doubly_stochastic
    words = drop(embed(tokens, num_classes, embedding, name="tokens"), dropout, name="dropout")
    attend = AttendingLSTM(units, evenly, name="layer1")
    steps = attend(words, memory, **states, real=real(tokens, padding))
    h = drop(steps["h"], dropout, name="layer1_dropout")
    result = layers.Add(name="features")(
        [
            words,
            layers.Dense(embedding, use_bias=False, name="features_h")(h),
            layers.Dense(embedding, use_bias=False, name="features_z")(steps["z"]),
        ]
    )
    result = logits(drop(ops.tanh(result), dropout, name="features_dropout"), num_classes)
    if part != "step":
        return keras.Model(given, result, name=name)
    states = {"h": steps["h"][:, 0], "c": steps["c"]}
    return keras.Model(given, {"logits": result[:, 0], **states}, name=name)


def transformer(
    *,
    hidden_dim=256,
    depth=2,
    num_heads=4,
    mlp_dim=1024,
    dropout=0.1,
    norm_first=False,
    activation="gelu",
    positions="sinusoidal",
    max_length=64,
    padding=None,
    memory_shape=(49, 1280),
    part="whole",
    input_shape=(None,),
    num_classes=1000,
    name="captioning",
):
    """Build the assignment's Transformer decoder; its memory is a feature map or one vector.

    Shapes: memory (batch, m, c) or (batch, c), tokens (batch, n) -> logits of the word after each,
    (batch, n, num_classes). Arguments as in transformer.py; for `part` see decoding.py.
    """
    return stack(
        hidden_dim=hidden_dim,
        depth=depth,
        num_heads=num_heads,
        mlp_dim=mlp_dim,
        dropout=dropout,
        norm_first=norm_first,
        activation=activation,
        positions=positions,
        max_length=max_length,
        causal=True,
        memory_shape=memory_shape,
        vocabulary=num_classes,
        padding=padding,
        part=part,
        input_shape=input_shape,
        num_classes=num_classes,
        name=name,
    )


VARIANTS = {
    **{f"caption_{cell}": partial(init_inject_captioner, cell=cell) for cell in CELLS},
    "caption_attention": with_attention,
    "caption_transformer": transformer,
}
