"""What sequence nets begin and end with: vectors or tokens, which of them are real, and logits."""

import keras
from keras import layers, ops

MASKS = {"mask": "which steps are real", "attention_mask": "who may look at whom"}


def sequence_input(input_shape, vocabulary, dim, *, name, initializer="uniform"):
    """An input of vectors (time, c), or of `vocabulary` tokens (time,), and its vectors.

    Tokens are embedded in `dim` channels by the layer `NAME_embedding`. Raises ValueError for an
    input_shape that is not of that kind.
    """
    input_shape = tuple(input_shape)
    if len(input_shape) != (1 if vocabulary else 2):
        raise ValueError(
            f"input_shape is {'(time,) for tokens' if vocabulary else '(time, channels)'}; "
            f"received {input_shape}"
        )
    if not vocabulary:
        given = keras.Input(input_shape, name=name)
        return given, given
    given = keras.Input(input_shape, dtype="int32", name=name)
    return given, embed(given, vocabulary, dim, initializer=initializer, name=name)


def embed(tokens, vocabulary, dim, *, name, initializer="uniform"):
    """A trained vector for each token: (...) -> (..., dim)."""
    table = layers.Embedding(
        vocabulary, dim, embeddings_initializer=initializer, name=f"{name}_embedding"
    )
    return table(tokens)


def real(tokens, padding):
    """Which tokens are no padding, (batch, time) bool; None where nothing is."""
    return None if padding is None else ops.not_equal(tokens, padding)


def mask_inputs(masks, time):
    """{name: an input} of the masks named: mask (time,), attention_mask (time, time), bool.

    True keeps. Raises ValueError for a mask of another name.
    """
    for name in masks:
        if name not in MASKS:
            raise ValueError(f"masks are {', '.join(MASKS)}; received {name!r}")
    shapes = {"mask": (time,), "attention_mask": (time, time)}
    return {name: keras.Input(shapes[name], dtype="bool", name=name) for name in masks}


def who_sees_whom(mask, attention_mask=None):
    """One mask for attention's scores, (batch, 1, 1 or n, m), from those there are, or None."""
    keep = None if mask is None else mask[:, None, None]
    if attention_mask is None:
        return keep
    every_head = attention_mask[:, None]
    return every_head if keep is None else ops.logical_and(keep, every_head)


def logits(x, num_classes, *, initializer="glorot_uniform"):
    """The last layer, in float32, or as all else in float64; none for num_classes=None."""
    if num_classes is None:
        return x
    dtype = "float64" if keras.config.floatx() == "float64" else "float32"
    head = layers.Dense(num_classes, kernel_initializer=initializer, dtype=dtype, name="logits")
    return head(x)


def model(inputs, outputs, *, name):
    """A keras.Model of {name: tensor}, of the tensor itself where there is one."""

    def plain(tensors):
        return next(iter(tensors.values())) if len(tensors) == 1 else tensors

    return keras.Model(plain(inputs), plain(outputs), name=name)
