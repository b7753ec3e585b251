"""Recurrent networks, word embedding, and layers of each step, in NumPy."""

import functools

import classic_cases
import keras
import numpy as np
import pytest
import tensorflow as tf
from classic_cases import Pair, normal

from cvcourse.classic import recurrent, recurrent_cells, temporal

pytestmark = pytest.mark.usefixtures("double_precision")

rnn_step = functools.partial(
    Pair, recurrent_cells.rnn_step_forward, recurrent_cells.rnn_step_backward
)
rnn = functools.partial(Pair, recurrent.rnn_forward, recurrent.rnn_backward)
lstm = functools.partial(Pair, recurrent.lstm_forward, recurrent.lstm_backward)
temporal_affine = functools.partial(
    Pair, temporal.temporal_affine_forward, temporal.temporal_affine_backward
)


def both_states(**inputs):
    """An LSTM step's hidden and cell states, side by side: (N, 2, H)."""
    h, c, cache = recurrent_cells.lstm_step_forward(**inputs)
    return np.stack([h, c], axis=1), cache


def both_states_backward(dout, cache):
    return recurrent_cells.lstm_step_backward(dout[:, 0], dout[:, 1], cache)


lstm_step = functools.partial(Pair, both_states, both_states_backward)


def lstm_step_fixture(**inputs):
    h, c, _ = recurrent_cells.lstm_step_forward(**inputs)
    return {"next_h": h, "next_c": c}


def embedding(x, **settings):
    return functools.partial(
        Pair,
        lambda W: temporal.word_embedding_forward(x, W),
        temporal.word_embedding_backward,
        **settings,
    )


def softmax(y, mask):
    return functools.partial(Pair, lambda x: temporal.temporal_softmax_loss(x, y, mask), None)


def softmax_fixture(x, y, mask):
    return {"loss": temporal.temporal_softmax_loss(x, y, mask)[0]}


FIXTURES = {
    "rnn_step": lambda **x: {"next_h": recurrent_cells.rnn_step_forward(**x)[0]},
    "rnn": lambda **x: {"h": recurrent.rnn_forward(**x)[0]},
    "lstm_step": lstm_step_fixture,
    "lstm": lambda **x: {"h": recurrent.lstm_forward(**x)[0]},
    "word_embedding": lambda x, W: {"out": temporal.word_embedding_forward(x, W)[0]},
    "temporal_softmax_one": softmax_fixture,
    "temporal_softmax_ten": softmax_fixture,
    "temporal_softmax_masked": softmax_fixture,
    "grad_rnn_step": lambda dout, h, **x: rnn_step({"x": x.pop("x"), "prev_h": h, **x}, dout=dout),
    "grad_rnn": lambda dout, **x: rnn(x, dout=dout),
    "grad_lstm_step": lambda dnext_h, dnext_c, **x: lstm_step(
        x, dout=np.stack([dnext_h, dnext_c], axis=1)
    ),
    "grad_lstm": lambda dout, **x: lstm(x, dout=dout),
    "grad_word_embedding": lambda x, W, dout: embedding(x)({"W": W}, dout=dout),
    "grad_temporal_affine": lambda dout, **x: temporal_affine(x, dout=dout),
    "grad_temporal_softmax": lambda x, y, mask: softmax(y, mask)({"x": x}),
}

N, T, D, H = 3, 4, 5, 6
WORDS = np.array([[0, 2, 2], [1, 2, 0]])
Y = np.random.default_rng(0).integers(5, size=(N, T))
MASK = np.random.default_rng(1).random((N, T)) < 0.6
UNLABELED = np.where(MASK, Y, -1)


def weights(gates=1):
    return {"Wx": normal(D, gates * H), "Wh": 0.5 * normal(H, gates * H), "b": normal(gates * H)}


def keras_layer(kind, x, states, weights):
    """A Keras layer's hidden states at each step, and last states; its weights are tensors."""
    layer = kind(H, return_sequences=True, return_state=True)
    layer.build(x.shape)
    rest = layer.non_trainable_variables
    return layer.stateless_call(weights, rest, x, initial_state=states)[0]


def keras_order(*weights):
    """Ours have the gates i, f, o, g; Keras' i, f, g, o."""
    return [
        tf.concat([i, f, g, o], -1)
        for i, f, o, g in (tf.split(array, 4, axis=-1) for array in weights)
    ]


GRADIENTS = {
    "rnn_step": rnn_step(
        {"x": normal(N, D), "prev_h": normal(N, H), **weights()},
        lambda x, h, *w: keras_layer(keras.layers.SimpleRNN, x[:, None], [h], w)[1],
    ),
    "rnn": rnn(
        {"x": normal(N, T, D), "h0": normal(N, H), **weights()},
        lambda x, h0, *w: keras_layer(keras.layers.SimpleRNN, x, [h0], w)[0],
    ),
    "lstm_step": lstm_step(
        {"x": normal(N, D), "prev_h": normal(N, H), "prev_c": normal(N, H, seed=1), **weights(4)},
        lambda x, h, c, *w: tf.stack(
            keras_layer(keras.layers.LSTM, x[:, None], [h, c], keras_order(*w))[1:], axis=1
        ),
    ),
    "lstm": lstm(
        {"x": normal(N, T, D), "h0": normal(N, H), **weights(4)},
        lambda x, h0, *w: keras_layer(
            keras.layers.LSTM, x, [h0, tf.zeros_like(h0)], keras_order(*w)
        )[0],
    ),
    "word_embedding": embedding(WORDS)(
        {"W": normal(3, D)}, lambda W: tf.einsum("ntv,vd->ntd", np.eye(3)[WORDS], W)
    ),
    "temporal_affine": temporal_affine(
        {"x": normal(N, T, D), "w": normal(D, 2), "b": normal(2)},
        lambda x, w, b: tf.einsum("ntd,dm->ntm", x, w) + b,
    ),
    "temporal_softmax_loss": softmax(UNLABELED, MASK)(
        {"x": normal(N, T, 5)},
        lambda x: tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(Y, x) * MASK) / N,
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


def test_no_step_is_kept():
    loss, dx = temporal.temporal_softmax_loss(normal(N, T, 5), Y, np.zeros((N, T)))
    assert loss == 0
    np.testing.assert_array_equal(dx, np.zeros((N, T, 5)))


def zeros(*shapes):
    return [np.zeros(shape) for shape in shapes]


WRONG = {
    "weights": (
        lambda: recurrent.rnn_forward(*zeros((2, 3, 4), (2, 5), (4, 5), (5, 6), 5)),
        "x (2, 4), prev_h (2, 5), Wx (4, 5), Wh (5, 6), b (5,); expected x (N, D)",
    ),
    "gates": (
        lambda: recurrent.lstm_forward(*zeros((2, 3, 4), (2, 5), (4, 5), (5, 5), 5)),
        "Wh (5, 5), b (5,); expected Wh (H, 4H), b (4H)",
    ),
    "states": (
        lambda: recurrent.rnn_forward(*zeros((2, 3, 4), (3, 5), (4, 5), (5, 5), 5)),
        "x (2, 3, 4), h0 (3, 5); expected x (N, T, D), h0 (N, H)",
    ),
    "steps": (
        lambda: recurrent.rnn_forward(*zeros((2, 0, 4), (2, 5), (4, 5), (5, 5), 5)),
        "x (2, 0, 4) has no steps",
    ),
    "words": (
        lambda: temporal.word_embedding_forward(np.array([[0, -1]]), np.zeros((3, 2))),
        "x has int64 values from -1 to 0; it has word numbers from 0 to 2, the rows of W (3, 2)",
    ),
    "words that are no integers": (
        lambda: temporal.word_embedding_forward(np.zeros((1, 2)), np.zeros((3, 2))),
        "x has float64 values",
    ),
    "temporal_affine": (
        lambda: temporal.temporal_affine_forward(*zeros((2, 3, 4), (3, 5), 5)),
        "x (2, 3, 4), w (3, 5), b (5,); expected x (N, T, D), w (D, M), b (M)",
    ),
    "mask": (
        lambda: temporal.temporal_softmax_loss(np.zeros((N, T, 5)), Y, MASK[:, 1:]),
        "mask (3, 3); expected x (N, T, V), y (N, T), mask (N, T)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name):
    function, message = WRONG[name]
    with pytest.raises(ValueError) as error:
        function()
    assert message in str(error.value)
