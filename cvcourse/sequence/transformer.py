"""Transformer encoders, decoders and encoder-decoders, for vectors or tokens.

Vaswani et al., "Attention Is All You Need", NIPS 2017, https://arxiv.org/abs/1706.03762; the
decoder alone is the language model of Radford et al. 2018. The block is shared with the ViT.
"""

from functools import partial

import keras
import numpy as np
from keras import layers, ops

from cvcourse.errors import pick
from cvcourse.layers.transformer import (
    GlobalAveragePooling1D,
    drop,
    memory_heads,
    transformer_block,
)
from cvcourse.sequence.inputs import (
    combined_mask,
    embed,
    finite_padding,
    logits,
    model,
    real,
    sequence_input,
)
from cvcourse.sequence.positions import POSITIONS

EPSILON = 1e-5  # torch's
# Standard deviation, about that of the added positions: sines of 1 / sqrt(2), BERT's learned ones.
EMBEDDINGS = {"sinusoidal": 1.0, "learned": 0.02, "none": 1.0}


def stack(
    *,
    hidden_dim=128,
    depth=2,
    num_heads=4,
    mlp_dim=512,
    dropout=0.1,
    norm_first=True,
    final_norm=None,
    activation="gelu",
    positions="sinusoidal",
    max_length=512,
    causal=False,
    memory_shape=None,
    memory_masked=False,
    vocabulary=None,
    padding=None,
    masks=(),
    return_sequences=True,
    part="whole",
    input_shape=None,
    num_classes=10,
    name="transformer",
):
    """Build `depth` Transformer blocks on `hidden_dim` channels.

    Each has `num_heads` heads and an MLP of `mlp_dim` hidden units.

    Shapes: vectors (batch, time, c), or tokens (batch, time) of a `vocabulary`, -> logits at every
    step (batch, time, num_classes), or with return_sequences=False of the mean over real steps,
    (batch, num_classes). hidden_dim=None takes vectors as they are, without a projection and
    without `positions` (sinusoidal, learned or none; at most `max_length`). With `causal` a step
    does not attend to later ones. With a `memory_shape` (m, c) or (c,), one vector, each block also
    attends to an input `memory`, or with `memory_masked` to the part that an input `memory_mask`
    (m,) keeps; it is projected if c is not hidden_dim. Padding is given by the token `padding` or
    by masks=("mask",), (time,); any other mask is "attention_mask" (time, time). True in a mask
    keeps a position; masked positions do not affect the output. input_shape=None is (None, 28) for
    vectors, (None,) for tokens. `final_norm` adds a norm after the last block, as the layer
    `features`; by default if `norm_first` (the paper's blocks are post-norm). num_classes=None ends
    the net there. part="step" builds the net for one token, and part="encoder" the net that
    computes its inputs from the memory: see decoding.py.
    """
    pick("positions", positions, EMBEDDINGS)
    blocks = [f"block{i}" for i in range(1, depth + 1)]
    given, states = {}, {}
    memory, memory_keep, cache = {}, None, {}
    if memory_shape is not None:
        mask = None
        if memory_masked:
            mask = keras.Input((memory_shape[0],), dtype="bool", name="memory_mask")
        if part == "step":
            found = memory_of_each(blocks, num_heads, hidden_dim, memory_shape)
            memory = {block: [found[f"{block}_memory_{kind}"] for kind in "kv"] for block in blocks}
            given |= found
        else:
            given, x = memory_input(memory_shape, hidden_dim, mask)
            memory = {block: memory_heads(x, num_heads, name=block) for block in blocks}
        if mask is not None:
            given["memory_mask"], memory_keep = mask, combined_mask(mask)
    if part == "encoder":
        made = {
            f"{block}_memory_{kind}": tensor
            for block, pair in memory.items()
            for kind, tensor in zip("kv", pair, strict=True)
        }
        if memory_masked:
            made["memory_mask"] = given["memory_mask"]
        return keras.Model(given, made, name=name)
    keep, attention_keep, position = None, None, None
    if part == "step":
        if not (vocabulary and causal and return_sequences):
            raise ValueError("generation is for causal nets of tokens, return_sequences=True")
        for key in ("token", "position"):
            given[key] = keras.Input((), dtype="int32", name=key)
        position = given["position"]
        states["position"] = position + 1
        cache = {
            block: Cache(block, num_heads, max_length, hidden_dim // num_heads, position)
            for block in blocks
        }
        token = given["token"][:, None]
        x = embed(token, vocabulary, hidden_dim, name="tokens")
        if padding is not None:
            given["real"] = keras.Input((max_length,), dtype="bool", name="real")
            here = ops.equal(position[:, None], np.arange(max_length))
            states["real"] = ops.where(here, real(token, padding), given["real"])
            attention_keep = combined_mask(states["real"])
    else:
        start = keras.initializers.RandomNormal(stddev=EMBEDDINGS[positions])
        inputs, x, keep = sequence_input(
            input_shape, vocabulary, hidden_dim, padding=padding, masks=masks, initializer=start
        )
        given |= inputs
        attention_keep = combined_mask(keep, inputs.get("attention_mask"))
    if hidden_dim is not None:
        if not vocabulary:
            x = layers.Dense(hidden_dim, name="projection")(x)
        x = drop(placed(x, positions, max_length, position), dropout, name="dropout")
    for block in blocks:
        x = transformer_block(
            x,
            num_heads,
            mlp_dim,
            dropout=dropout,
            epsilon=EPSILON,
            norm_first=norm_first,
            activation=activation,
            keep=attention_keep,
            causal=causal,
            cache=cache.get(block),
            memory=memory.get(block),
            memory_keep=memory_keep,
            name=block,
        )
    x = features(x, norm_first if final_norm is None else final_norm)
    if not return_sequences and part != "step":
        x = GlobalAveragePooling1D(name="pool")(x, mask=keep)
    # GPT-2's: after a norm, larger weights would start far above a loss of ln(num_classes).
    small = keras.initializers.RandomNormal(stddev=0.02)
    result = logits(x, num_classes, initializer=small)
    if part == "step":
        for old in cache.values():
            given |= old.given
            states |= old.states
        return keras.Model(given, {"logits": result[:, 0], **states}, name=name)
    outputs = {"features" if num_classes is None else "logits": result}
    return model(given, outputs, name=name)


def placed(x, positions, max_length, position=None):
    """Add positions to `x`, unless they are "none"; given `position`, `x` is one token there."""
    table = pick("positions", positions, {**POSITIONS, "none": None})
    if table is None:
        return x
    layer = table(max_length, name="positions")
    return layer(x) if position is None else layer(x, position=position)


def features(x, norm):
    """Add the layer `features`: a norm, which pre-norm blocks need, or the identity."""
    last = layers.LayerNormalization(epsilon=EPSILON, name="features") if norm else None
    return (last or layers.Identity(name="features"))(x)


def memory_input(shape, hidden_dim, mask=None):
    """Make an input `memory` of this shape; return it and its vectors of `hidden_dim` channels."""
    given = keras.Input(shape, name="memory")
    x = given[:, None] if len(shape) == 1 else given
    if mask is not None:
        x = finite_padding(x, mask)
    if hidden_dim not in (None, shape[-1]):
        x = layers.Dense(hidden_dim, name="memory_projection")(x)
    return {"memory": given}, x


def memory_of_each(blocks, num_heads, hidden_dim, shape):
    """Make inputs {name: input} for the keys and values of the memory, for each block."""
    places = shape[0] if len(shape) > 1 else 1
    keys = [f"{block}_memory_{kind}" for block in blocks for kind in "kv"]
    return {
        key: keras.Input((num_heads, places, hidden_dim // num_heads), name=key) for key in keys
    }


class Cache:
    """Keys and values of earlier tokens, for one block: inputs `given`, outputs `states`.

    Called with the keys and values of the token at `position`, it returns those of all tokens,
    (batch, num_heads, max_length, size), and a mask of the positions up to `position`. Each example
    of a batch may be at a different position.
    """

    def __init__(self, block, num_heads, max_length, size, position):
        self.keys = [f"{block}_{kind}" for kind in "kv"]
        self.given = {
            key: keras.Input((num_heads, max_length, size), name=key) for key in self.keys
        }
        self.states = {}
        places, position = np.arange(max_length), position[:, None]
        self.here = ops.equal(position, places)[:, None, :, None]
        self.seen = ops.less_equal(places, position)[:, None, None]

    def __call__(self, *new):
        for key, one in zip(self.keys, new, strict=True):
            self.states[key] = ops.where(self.here, one, ops.cast(self.given[key], one.dtype))
        return *self.states.values(), self.seen


def transformer(
    *,
    hidden_dim=128,
    depth=2,
    num_heads=4,
    mlp_dim=512,
    dropout=0.1,
    norm_first=False,
    activation="relu",
    positions="sinusoidal",
    max_length=512,
    source_vocabulary=100,
    padding=0,
    final_norm=None,
    part="whole",
    input_shape=(None,),
    num_classes=100,
    name="transformer",
):
    """Build the paper's net: an encoder of `source`, and a decoder of `tokens` that attends to it.

    Shapes: source (batch, m), tokens (batch, n) -> logits of the token that comes after each,
    (batch, n, num_classes). No position attends to the source's token `padding`; `tokens` are
    padded at the end, to which no earlier position attends. The net has two inner nets, `encoder`
    and `decoder`; for `part` see decoding.py.
    """
    form = dict(
        depth=depth, num_heads=num_heads, mlp_dim=mlp_dim, dropout=dropout, norm_first=norm_first
    )
    form |= dict(final_norm=final_norm)
    form |= dict(
        hidden_dim=hidden_dim, activation=activation, positions=positions, max_length=max_length
    )
    decoder = partial(
        stack,
        **form,
        causal=True,
        memory_shape=(None, hidden_dim),
        memory_masked=True,
        vocabulary=num_classes,
        input_shape=input_shape,
        num_classes=num_classes,
        name="decoder",
    )
    if part == "step":
        return decoder(part="step")
    encoder = stack(
        **form,
        vocabulary=source_vocabulary,
        padding=padding,
        input_shape=input_shape,
        num_classes=None,
        name="encoder",
    )
    source = keras.Input(input_shape, dtype="int32", name="source")
    memory = {"memory": encoder(source), "memory_mask": real(source, padding)}
    if part == "encoder":
        return keras.Model({"source": source}, decoder(part="encoder")(memory), name=name)
    tokens = keras.Input(input_shape, dtype="int32", name="tokens")
    result = decoder()({"tokens": tokens, **memory})
    return keras.Model({"source": source, "tokens": tokens}, result, name=name)


VARIANTS = {
    "transformer_encoder": stack,
    "transformer_decoder": partial(stack, causal=True),
    "transformer": transformer,
}
