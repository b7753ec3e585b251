"""Attention, Transformer layers, GELU and patch embedding in NumPy."""

import functools

import classic_cases
import keras
import numpy as np
import pytest
import tensorflow as tf
from classic_cases import Pair, normal

from cvcourse import sequence
from cvcourse.classic import (
    attention,
    gelu,
    patch_embedding,
    positional_encoding,
    temporal,
    transformer,
)
from cvcourse.classic.dropout import dropout_forward

pytestmark = pytest.mark.usefixtures("double_precision")

# ---- the course's fixtures ----

SHORT = {"query": "q", "key": "k", "value": "v", "proj": "o", "fc1": "1", "fc2": "2"}


def params_of(weights, norms=0):
    """The fixture's parameters by our names: from (to, from) to (from, to), absent biases 0."""
    params = {}
    for name, array in weights.items():
        *block, layer, kind = name.split(".")
        name = ".".join([*block, kind[0] + SHORT[layer]])
        params[name] = array.T
        if kind == "weight":
            params.setdefault(name.replace("w", "b"), np.zeros(len(array)))
    for norm in range(1, norms + 1):
        features = len(params["w1"])
        params |= {f"gamma{norm}": np.ones(features), f"beta{norm}": np.zeros(features)}
    return params


class Keeps:
    """A generator whose numbers make dropout keep what an array of 0 and 1 keeps."""

    def __init__(self, keep):
        self.keep = keep

    def random(self, shape):
        return 1.0 - np.reshape(self.keep, shape)


def training(keep, rate):
    return {"mode": "train", "p": 1 - rate, "rng": Keeps(keep)}


def attention_fixture(data, mask, other, heads, dropout=(None, None, None), **weights):
    found = {}
    for key, memory, seen, dropped in zip(
        ("self_attention", "masked_self_attention", "cross_attention"),
        (data, data, other),
        (None, mask, None),
        dropout,
        strict=True,
    ):
        found[key], _ = attention.multi_head_attention_forward(
            data, memory, memory, params_of(weights), heads, seen, dropped
        )
    return found


def attention_training(dropout, keep_self, keep_masked, keep_cross, **given):
    keeps = (keep_self, keep_masked, keep_cross)
    return attention_fixture(**given, dropout=[training(keep, dropout) for keep in keeps])


def positions_in_training(data, base, keep, dropout):
    x = positional_encoding.positional_encoding(data, base)
    return {"out": dropout_forward(x, training(keep, dropout))[0]}


def of_layer(weights, number):
    prefix = f"layer{number}."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def captioning_transformer(features, captions, heads, layers, base, **weights):
    memory = features @ weights["visual.weight"].T
    x, _ = temporal.word_embedding_forward(captions, weights["embedding"])
    x = positional_encoding.positional_encoding(x, base)
    for number in range(layers):
        x, _ = transformer.decoder_layer_forward(
            x,
            memory[:, None],
            params_of(of_layer(weights, number), norms=3),
            heads,
            np.tri(x.shape[1], dtype=bool),
        )
    w, b = weights["output.weight"].T, weights["output.bias"]
    return {"scores": temporal.temporal_affine_forward(x, w, b)[0]}


def vision_transformer(images, heads, layers, patch, base, **weights):
    w = weights["patch.weight"].T
    x, _ = patch_embedding.patch_embedding_forward(images, w, np.zeros(w.shape[1]), patch)
    x = positional_encoding.positional_encoding(x, base)
    for number in range(layers):
        params = params_of(of_layer(weights, number), norms=2)
        x, _ = transformer.encoder_layer_forward(x, params, heads)
    return {"scores": x.mean(axis=1) @ weights["head.weight"].T}


FIXTURES = {
    "attention": attention_fixture,
    "attention_training": attention_training,
    "positional_encoding": lambda data, base: {
        "out": positional_encoding.positional_encoding(data, base)
    },
    "positional_encoding_training": positions_in_training,
    "transformer_encoder_layer": lambda x, mask, heads, **weights: {
        "out": transformer.encoder_layer_forward(x, params_of(weights, 2), heads, mask)[0]
    },
    "transformer_decoder_layer": lambda target, memory, mask, heads, **weights: {
        "out": transformer.decoder_layer_forward(
            target, memory, params_of(weights, 3), heads, mask
        )[0]
    },
    "captioning_transformer": captioning_transformer,
    "vision_transformer": vision_transformer,
    "patch_embedding": lambda x, patch, **weights: {
        "out": patch_embedding.patch_embedding_forward(
            x, weights["proj.weight"].T, weights["proj.bias"], patch
        )[0]
    },
}

# ---- gradients ----

N, S, T, D, HEADS = 2, 3, 4, 4, 2
CAUSAL = np.tri(S, dtype=bool)
MASK = np.array([[True, False, True, True], [False, True, False, False], [True] * 4])


def keras_attention(query, key, value, params, heads, mask=None):
    """Keras' layer with weights that are tensors."""
    features = query.shape[-1]
    layer = keras.layers.MultiHeadAttention(heads, features // heads)
    layer.build(query.shape, value.shape, key.shape)
    weights = []
    for name in "qkv":
        weights.append(tf.reshape(params[f"w{name}"], (features, heads, -1)))
        weights.append(tf.reshape(params[f"b{name}"], (heads, -1)))
    weights += [tf.reshape(params["wo"], (heads, -1, features)), params["bo"]]
    mask = None if mask is None else mask[None]
    return layer.stateless_call(weights, [], query, value, key, attention_mask=mask)[0]


def keras_norm(x, params, number):
    mean, variance = tf.nn.moments(x, (2,), keepdims=True)
    scale, shift = params[f"gamma{number}"], params[f"beta{number}"]
    return tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-5)


def keras_block(x, memory, params, block, number, mask=None):
    own = {k.removeprefix(f"{block}."): v for k, v in params.items() if k.startswith(block)}
    return keras_norm(x + keras_attention(x, memory, memory, own, HEADS, mask), params, number)


def keras_affines(x, params, number):
    y = tf.nn.gelu(x @ params["w1"] + params["b1"], approximate=False)
    return keras_norm(x + y @ params["w2"] + params["b2"], params, number)


def keras_encoder_layer(x, params, mask):
    return keras_affines(keras_block(x, x, params, "self", 1, mask), params, 2)


def keras_decoder_layer(target, memory, params, mask):
    x = keras_block(target, target, params, "self", 1, mask)
    return keras_affines(keras_block(x, memory, params, "cross", 2), params, 3)


def with_params(count, forward, backward, inputs, params, by_keras, **settings):
    """A pair whose inputs are `count` arrays and then the parameters, each by its name."""
    names = list(params)

    def forward_of_arrays(**arrays):
        x = [arrays.pop(name) for name in list(arrays)[:count]]
        return forward(*x, arrays, **settings)

    def backward_of_arrays(dout, cache):
        *dx, grads = backward(dout, cache)
        assert set(grads) == set(names)
        return (*dx, *(grads[name] for name in names))

    def keras_of_arrays(*arrays):
        return by_keras(*arrays[:count], dict(zip(names, arrays[count:], strict=True)))

    return Pair(forward_of_arrays, backward_of_arrays, inputs | params, keras_of_arrays)


def random_like(params):
    """Values that are all different, so that no weight is idle."""
    return {
        name: 0.5 * normal(*array.shape, seed=i) for i, (name, array) in enumerate(params.items())
    }


PROJECTIONS = random_like(
    {f"w{i}": np.zeros((D, D)) for i in "qkvo"} | {f"b{i}": np.zeros(D) for i in "qkvo"}
)
QUERIES = {"query": normal(N, S, D)}
MEMORY = {"key": normal(N, T, D), "value": normal(N, T, D, seed=1)}
heads = functools.partial(
    with_params,
    3,
    attention.multi_head_attention_forward,
    attention.multi_head_attention_backward,
    QUERIES | MEMORY,
    PROJECTIONS,
    num_heads=HEADS,
)


def self_attention_forward(x, params, **settings):
    return attention.multi_head_attention_forward(x, x, x, params, **settings)


def self_attention_backward(dout, cache):
    dquery, dkey, dvalue, grads = attention.multi_head_attention_backward(dout, cache)
    return dquery + dkey + dvalue, grads


def dropped_attention(q, k, v):
    weights = tf.nn.softmax(q @ tf.linalg.matrix_transpose(k) / np.sqrt(D))
    keep = np.random.default_rng(3).random(weights.shape) < 0.6
    return (weights * keep / 0.6) @ v


GRADIENTS = {
    "attention": Pair(
        attention.attention_forward,
        attention.attention_backward,
        {"q": normal(N, S, D), "k": normal(N, T, D), "v": normal(N, T, 5)},
        lambda q, k, v: tf.nn.softmax(q @ tf.linalg.matrix_transpose(k) / np.sqrt(D)) @ v,
    ),
    "attention with dropout": Pair(
        functools.partial(
            attention.attention_forward, dropout_param={"mode": "train", "p": 0.6, "seed": 3}
        ),
        attention.attention_backward,
        {"q": normal(N, S, D), "k": normal(N, T, D), "v": normal(N, T, 5)},
        dropped_attention,
    ),
    "multi_head_attention": heads(lambda q, k, v, w: keras_attention(q, k, v, w, HEADS)),
    "masked": heads(lambda q, k, v, w: keras_attention(q, k, v, w, HEADS, MASK), mask=MASK),
    "causal self-attention": with_params(
        1,
        self_attention_forward,
        self_attention_backward,
        {"x": normal(N, S, D)},
        PROJECTIONS,
        lambda x, w: keras_attention(x, x, x, w, HEADS, CAUSAL),
        num_heads=HEADS,
        mask=CAUSAL,
    ),
    "encoder layer": with_params(
        1,
        transformer.encoder_layer_forward,
        transformer.encoder_layer_backward,
        {"x": normal(N, S, D)},
        random_like(transformer.layer_params(D, 6)),
        lambda x, w: keras_encoder_layer(x, w, CAUSAL),
        num_heads=HEADS,
        mask=CAUSAL,
    ),
    "decoder layer": with_params(
        2,
        transformer.decoder_layer_forward,
        transformer.decoder_layer_backward,
        {"target": normal(N, S, D), "memory": normal(N, T, D)},
        random_like(transformer.layer_params(D, 6, cross=True)),
        lambda x, memory, w: keras_decoder_layer(x, memory, w, CAUSAL),
        num_heads=HEADS,
        mask=CAUSAL,
    ),
    "positional_encoding": Pair(
        lambda x: (positional_encoding.positional_encoding(x), None),
        lambda dout, cache: dout,
        {"x": normal(N, S, 5)},
        sequence.SinusoidalPositions(S),
    ),
    "gelu": Pair(
        gelu.gelu_forward,
        gelu.gelu_backward,
        {"x": 3 * normal(5, 7)},
        functools.partial(tf.nn.gelu, approximate=False),
    ),
    "patch_embedding": Pair(
        functools.partial(patch_embedding.patch_embedding_forward, patch=2),
        patch_embedding.patch_embedding_backward,
        {"x": normal(2, 3, 4, 6), "w": normal(12, 5), "b": normal(5)},
        lambda x, w, b: (
            tf.reshape(
                tf.nn.conv2d(
                    tf.transpose(x, (0, 2, 3, 1)),
                    tf.transpose(tf.reshape(w, (3, 2, 2, 5)), (1, 2, 0, 3)),
                    2,
                    "VALID",
                ),
                (2, 6, 5),
            )
            + b
        ),
    ),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_fixtures(name):
    classic_cases.check_fixture(FIXTURES, name)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    classic_cases.check_slopes(GRADIENTS[name])
    classic_cases.check_against_keras(GRADIENTS[name])
    classic_cases.check_types(GRADIENTS[name])
    classic_cases.check_integers(GRADIENTS[name])


def test_a_query_that_may_look_at_nothing():
    x, dead = normal(N, S, D), CAUSAL.copy()
    dead[1] = False
    out, cache = self_attention_forward(x, PROJECTIONS, num_heads=HEADS, mask=dead)
    expected, _ = self_attention_forward(x, PROJECTIONS, num_heads=HEADS, mask=CAUSAL)
    expected[:, 1] = PROJECTIONS["bo"]
    np.testing.assert_allclose(out, expected, atol=1e-14)
    dout = np.zeros_like(out)
    dout[:, 1] = 1
    dx, grads = self_attention_backward(dout, cache)
    assert not dx.any()
    assert not grads.pop("wo").any()
    np.testing.assert_allclose(grads.pop("bo"), N)
    assert not any(gradient.any() for gradient in grads.values())


def test_large_scores_do_not_overflow():
    q, k = np.array([[[1000.0]]]), np.array([[[1000.0], [-1000.0]]])
    with np.errstate(over="raise", invalid="raise"):
        out, _ = attention.attention_forward(q, k, np.array([[[3.0], [5.0]]]))
    np.testing.assert_array_equal(out, [[[3.0]]])


def test_parameters_of_layers():
    """Counted by torch.nn.TransformerEncoderLayer(512, 8) and TransformerDecoderLayer(512, 8)."""
    for cross, count in ((False, 3_152_384), (True, 4_204_032)):
        params = transformer.layer_params(512, 2048, cross)
        assert sum(array.size for array in params.values()) == count


def projected(heads=HEADS, **inputs):
    return lambda: attention.multi_head_attention_forward(
        **QUERIES | MEMORY | inputs, params=PROJECTIONS, num_heads=heads
    )


WRONG = {
    "memory": (
        projected(key=normal(N, T, 5)),
        "query (2, 3, 4), key (2, 4, 5), value (2, 4, 4); expected query (N, S, D), key (N, T, D)",
    ),
    "heads": (projected(heads=3), "3 heads do not divide the features of query (2, 3, 4)"),
    "weights": (
        lambda: self_attention_forward(
            QUERIES["query"], PROJECTIONS | {"wk": normal(D, 3)}, num_heads=HEADS
        ),
        "x (2, 3, 4), wk (4, 3), bk (4,); expected x (N, T, D), wk (D, D), bk (D)",
    ),
    "mask": (
        lambda: attention.attention_forward(*[normal(N, S, D)] * 3, mask=MASK),
        "scores (2, 3, 3), mask (3, 4); expected scores (N, S, T), mask (S, T)",
    ),
    "numbers as a mask": (
        lambda: attention.attention_forward(*[normal(N, S, D)] * 3, mask=CAUSAL * -1e9),
        "mask has float64 values; it has booleans, True: may look",
    ),
    "patches": (
        lambda: patch_embedding.patch_embedding_forward(
            normal(2, 3, 5, 6), normal(12, 5), normal(5), 2
        ),
        "patches of 2 x 2 do not tile the images of x (2, 3, 5, 6)",
    ),
    "weights of patches": (
        lambda: patch_embedding.patch_embedding_forward(
            normal(2, 3, 4, 6), normal(11, 5), normal(5), 2
        ),
        "x (2, 6, 12), w (11, 5), b (5,); expected x (N, T, D), w (D, M), b (M)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name):
    function, message = WRONG[name]
    with pytest.raises(ValueError) as error:
        function()
    assert message in str(error.value)
