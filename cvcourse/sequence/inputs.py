"""Inputs and outputs of sequence nets: vectors or tokens, masks, and logits."""

import keras
from keras import layers, ops

from cvcourse.layers.transformer import LOWEST

MASKS = ("mask", "attention_mask")  # of real steps; of the positions that each step may attend to


def sequence_input(input_shape, vocabulary, dim, *, padding=None, masks=(), initializer="uniform"):
    """Make the inputs of a net of tokens or vectors.

    Args:
        input_shape: (time,) for tokens, (time, c) for vectors; None for (None,) or (None, 28).
        vocabulary: Number of tokens; None for vectors.
        dim: Channels of the layer `tokens_embedding`.
        padding: Token of padded steps; None if all steps are real.
        masks: Names of mask inputs, see `mask_inputs`; `mask` decides instead of `padding`.
        initializer: Initializer of the embedding.

    Returns:
        A tuple: {name: input} of `tokens` or `inputs` and of the masks; vectors (batch, time,
        channels); a bool mask (batch, time), True for real steps, or None. Input vectors that
        `mask` masks may contain NaN or infinity.

    Raises:
        ValueError: If input_shape does not fit the kind of input, or a mask is unknown.
    """
    if input_shape is None:
        input_shape = (None,) if vocabulary else (None, 28)
    input_shape = tuple(input_shape)
    if len(input_shape) != (1 if vocabulary else 2):
        raise ValueError(
            f"input_shape is {'(time,) for tokens' if vocabulary else '(time, channels)'}; "
            f"received {input_shape}"
        )
    given = mask_inputs(masks, input_shape[0])
    keep = given.get("mask")
    if vocabulary:
        tokens = keras.Input(input_shape, dtype="int32", name="tokens")
        x = embed(tokens, vocabulary, dim, initializer=initializer, name="tokens")
        return {"tokens": tokens, **given}, x, real(tokens, padding) if keep is None else keep
    x = inputs = keras.Input(input_shape, name="inputs")
    if keep is not None:
        x = finite_padding(x, keep)
    return {"inputs": inputs, **given}, x, keep


def finite_padding(x, keep):
    """Replace NaN and infinity in masked steps of vectors (batch, n, c), since 0 * inf is NaN."""
    return ops.where(ops.logical_or(keep[..., None], ops.isfinite(x)), x, 0.0)


def embed(tokens, vocabulary, dim, *, name, initializer="uniform"):
    """Embed tokens as trained vectors: (...) -> (..., dim)."""
    table = layers.Embedding(
        vocabulary, dim, embeddings_initializer=initializer, name=f"{name}_embedding"
    )
    return table(tokens)


def real(tokens, padding):
    """Mask the padding of tokens: (batch, time) -> bool, False for padding; None without any."""
    return None if padding is None else ops.not_equal(tokens, padding)


def mask_inputs(masks, time):
    """Make bool inputs for the named masks: {"mask": (time,), "attention_mask": (time, time)}.

    True keeps a position. Raises ValueError for another name.
    """
    for name in masks:
        if name not in MASKS:
            raise ValueError(f"masks are {', '.join(MASKS)}; received {name!r}")
    shapes = {"mask": (time,), "attention_mask": (time, time)}
    return {name: keras.Input(shapes[name], dtype="bool", name=name) for name in masks}


def combined_mask(mask, attention_mask=None):
    """Combine masks into one for attention scores, (batch, 1, 1 or n, m); None without any.

    `mask` (batch, m) is bool, `attention_mask` (batch, n, m) bool or float, see AttentionWeights.
    """
    keep = None if mask is None else mask[:, None, None]
    if attention_mask is None:
        return keep
    every_head = attention_mask[:, None]
    if keep is None:
        return every_head
    if every_head.dtype == "bool":
        return ops.logical_and(keep, every_head)
    return ops.where(keep, every_head, LOWEST)


def logits(x, num_classes, *, initializer="glorot_uniform"):
    """Add the last layer, in float32 (float64 if floatx is); x itself for num_classes=None."""
    if num_classes is None:
        return x
    dtype = "float64" if keras.config.floatx() == "float64" else "float32"
    head = layers.Dense(num_classes, kernel_initializer=initializer, dtype=dtype, name="logits")
    return head(x)


def model(inputs, outputs, *, name):
    """Make a keras.Model of {name: tensor}; a single tensor is used without a dict."""

    def plain(tensors):
        return next(iter(tensors.values())) if len(tensors) == 1 else tensors

    return keras.Model(plain(inputs), plain(outputs), name=name)
