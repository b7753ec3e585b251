"""Nets of the assignments, and their solver: fixtures, gradients, and what training gives."""

import functools

import classic_cases
import keras
import numpy as np
import pytest
import tensorflow as tf
from classic_cases import Pair, normal
from golden import course_fixtures as course

from cvcourse.classic import nets
from cvcourse.classic.captioning_rnn import CaptioningRNN
from cvcourse.classic.convolutional_net import ThreeLayerConvNet
from cvcourse.classic.solver import UPDATES, Solver

pytestmark = pytest.mark.usefixtures("double_precision")

DOUBLE = {"dtype": np.float64, "rng": 0}


def of(net, *data, keras=None):
    """A pair of the loss of a net as a function of its parameters."""

    def forward(**params):
        net.params, net.dtype = params, params["W1" if "W1" in params else "Wx"].dtype
        loss, grads = net.loss(*data)
        return loss, tuple(grads[name] for name in params)

    return Pair(forward, None, net.params, keras)


def with_params(net, **params):
    """A net with these parameters, others at 0."""
    assert params.keys() <= net.params.keys()
    net.params = {name: params.get(name, 0 * value) for name, value in net.params.items()}
    return net


def fully_connected(reg=0.0, **params):
    weights = [params[f"W{i}"] for i in range(1, 9) if f"W{i}" in params]
    dims = [len(weights[0]), *(w.shape[1] for w in weights)]
    net = nets.FullyConnectedNet(dims[1:-1], dims[0], dims[-1], reg=reg, **DOUBLE)
    return with_params(net, **params)


def loss_of(X, y, reg, **params):
    return {"loss": fully_connected(reg, **params).loss(X, y)[0]}


def toy_net_training(X, y, learning_rate, decay, reg, steps, batch_size, **params):
    solver = Solver(
        fully_connected(2 * reg, **params),  # the course's penalty of that year has no half
        {"X_train": X, "y_train": y, "X_val": X, "y_val": y},
        optim_config={"learning_rate": learning_rate},
        lr_decay=decay,
        batch_size=batch_size,
        num_epochs=steps,  # of one step each
    )
    solver.train()
    return {"loss": solver.loss_history[-1]}


def conv_net_loss(X, y, stride, pad, pool, reg, **params):
    net = with_params(ThreeLayerConvNet(**DOUBLE), **params)
    assert net.conv_param == {"stride": stride, "pad": pad}
    found = {}
    for net.reg, key in zip(reg, ("loss", "loss_reg"), strict=True):
        found[key] = net.loss(X, y)[0]
    return found


def captioning(cell, captions, features, null, **params):
    words = {"<NULL>": null, "cat": 1, "dog": 2}
    sizes = features.shape[1], params["W_embed"].shape[1], len(params["Wh"])
    net = with_params(CaptioningRNN(words, *sizes, cell, **DOUBLE), **params)
    return {"loss": net.loss(features, captions)[0]}


def gradients(X, y, reg, **params):
    return of(fully_connected(reg, **params), X, y)


FIXTURES = {
    "two_layer_scores": lambda X, **params: {"scores": fully_connected(**params).loss(X)},
    "two_layer_loss": loss_of,
    "two_layer_loss_reg": loss_of,
    "toy_net_scores": lambda X, **params: {"scores": fully_connected(**params).loss(X)},
    "toy_net_loss": lambda reg, **given: loss_of(reg=2 * reg, **given),
    "toy_net_training": toy_net_training,
    "conv_net_loss_init": conv_net_loss,
    "captioning_rnn_loss": functools.partial(captioning, "rnn"),
    "captioning_lstm_loss": functools.partial(captioning, "lstm"),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_fixtures(name):
    classic_cases.check_fixture(FIXTURES, name)


OTHER_FIXTURES = ("grad_two_layer", "grad_three_layer")  # with several strengths of the penalty


@pytest.mark.parametrize("name", OTHER_FIXTURES)
def test_gradients_of_the_fixtures(name):
    inputs, hyperparameters, expected = course.rebuild(name)
    for reg in hyperparameters["reg"]:
        pair = gradients(reg=reg, **inputs)
        assert expected.keys() == pair.inputs.keys()
        classic_cases.check_slopes(pair)


# ---- gradients, by differences and by Keras ----

X, Y = normal(5, 3, 4, 6), np.array([0, 3, 1, 1, 2])
FLAT = 3 * 4 * 6
WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "cat": 3, "dog": 4}
CAPTIONS = np.array([[1, 3, 4, 2, 0], [1, 4, 2, 0, 0], [1, 3, 3, 4, 2]])


def by_keras(*chain, reg, transposed=False):
    """Loss of a chain of Keras layers, whose weights are in the order of the parameters."""

    def function(*params):
        model = keras.Sequential([keras.Input(X.shape[1:]), *(make() for make in chain)])
        model.build()
        penalty = sum(tf.reduce_sum(w**2) for w in params if w.shape.rank > 1)
        values = [tf.transpose(w, (2, 3, 1, 0)) if w.shape.rank == 4 else w for w in params]
        state = [v.value for v in model.non_trainable_variables]
        scores, _ = model.stateless_call(values, state, X, training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(Y, scores)
        return loss + reg / 2 * penalty

    return function


def masked(layer, units, keep):
    """Dropout with the units that the layer of this number drops, for seed 3."""
    mask = (np.random.default_rng([3, layer]).random((len(X), units)) < keep) / keep
    return lambda: keras.layers.Lambda(lambda x: x * mask)


dense = functools.partial(functools.partial, keras.layers.Dense)
relu = keras.layers.ReLU
NORMS = {
    None: [],
    "batchnorm": [functools.partial(keras.layers.BatchNormalization, epsilon=1e-5)],
    "layernorm": [functools.partial(keras.layers.LayerNormalization, epsilon=1e-5)],
}


def deep(normalization, keep, reg):
    settings = {"dropout_keep_ratio": keep, "seed": 3, "normalization": normalization}
    net = nets.FullyConnectedNet([7, 8], FLAT, 4, reg=reg, weight_scale=None, **settings, **DOUBLE)
    # Shifts and scales away from 0 and 1.
    net.params = {
        k: v + 0.3 * normal(*v.shape, seed=i) for i, (k, v) in enumerate(net.params.items())
    }
    chain = [keras.layers.Flatten]
    for layer, units in enumerate((7, 8), 1):
        chain += [dense(units), *NORMS[normalization], relu, masked(layer, units, keep)]
    return of(net, X, Y, keras=by_keras(*chain, dense(4), reg=reg))


def conv(reg):
    net = ThreeLayerConvNet((3, 4, 6), 5, 3, 7, 4, weight_scale=None, reg=reg, **DOUBLE)
    net.params = {k: v + 0.1 * normal(*v.shape) for k, v in net.params.items()}
    chain = (
        functools.partial(keras.layers.Permute, (2, 3, 1)),
        functools.partial(keras.layers.Conv2D, 5, 3, padding="same"),
        *(relu, keras.layers.MaxPooling2D),
        functools.partial(keras.layers.Permute, (3, 1, 2)),
        *(keras.layers.Flatten, dense(7), relu, dense(4)),
    )
    return of(net, X, Y, keras=by_keras(*chain, reg=reg))


def caption(cell):
    features = normal(3, 6)
    net = CaptioningRNN(WORDS, 6, 5, 4, cell, **DOUBLE)

    def by_layers(W_embed, W_proj, b_proj, Wx, Wh, b, W_vocab, b_vocab):
        x = tf.one_hot(CAPTIONS[:, :-1], len(WORDS), dtype="float64") @ W_embed
        h = features @ W_proj + b_proj
        if cell == "rnn":
            layer, state = keras.layers.SimpleRNN(4, return_sequences=True), [h]
        else:
            layer, state = keras.layers.LSTM(4, return_sequences=True), [h, tf.zeros_like(h)]
        layer.build(x.shape)
        weights = [swapped(w) if cell == "lstm" else w for w in (Wx, Wh, b)]
        h, _ = layer.stateless_call(
            weights, [v.value for v in layer.non_trainable_variables], x, initial_state=state
        )
        wanted = CAPTIONS[:, 1:]
        each = keras.ops.sparse_categorical_crossentropy(
            wanted, h @ W_vocab + b_vocab, from_logits=True
        )
        return tf.reduce_sum(tf.where(wanted != 0, each, 0)) / len(features)

    return of(net, features, CAPTIONS, keras=by_layers)


def swapped(w):
    """The course's gates i, f, o, g in Keras' order i, f, g, o."""
    i, f, o, g = tf.split(w, 4, axis=-1)
    return tf.concat([i, f, g, o], axis=-1)


GRADIENTS = {
    "no hidden layer": lambda: of(
        nets.FullyConnectedNet([], FLAT, 4, reg=0.5, **DOUBLE),
        X,
        Y,
        keras=by_keras(keras.layers.Flatten, dense(4), reg=0.5),
    ),
    "two layers": lambda: of(
        nets.TwoLayerNet(FLAT, 9, 4, weight_scale=0.1, reg=0.7, rng=0),
        X,
        Y,
        keras=by_keras(keras.layers.Flatten, dense(9), relu, dense(4), reg=0.7),
    ),
    "three layers": lambda: deep(None, 1, 0.0),
    "three layers, penalty": lambda: deep(None, 1, 3.14),
    "dropout": lambda: deep(None, 0.6, 0.5),
    "batchnorm": lambda: deep("batchnorm", 1, 0.0),
    "layernorm, dropout, penalty": lambda: deep("layernorm", 0.6, 0.7),
    "conv": lambda: conv(0.0),
    "conv, penalty": lambda: conv(0.5),
    "captioning, rnn": lambda: caption("rnn"),
    "captioning, lstm": lambda: caption("lstm"),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    classic_cases.check_slopes(GRADIENTS[name]())
    classic_cases.check_against_keras(GRADIENTS[name]())
    classic_cases.check_types(GRADIENTS[name]())


# ---- initialization and modes ----


def test_the_initial_weights_have_their_standard_deviation():
    for scale, wanted in (
        (0.03, (0.03,) * 3),
        (None, ((2 / 147) ** 0.5, (2 / 8192) ** 0.5, 0.1414)),
    ):
        net = ThreeLayerConvNet(weight_scale=scale, rng=0)
        for i, expected in enumerate(wanted, 1):
            assert net.params[f"W{i}"].std() == pytest.approx(expected, rel=0.05)
            assert net.params[f"W{i}"].dtype == np.float32 and not net.params[f"b{i}"].any()
    one, same, other = (nets.TwoLayerNet(rng=rng).params["W1"] for rng in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


def test_test_mode_uses_running_statistics_and_every_unit():
    net = nets.FullyConnectedNet([50], FLAT, 4, 0.5, "batchnorm", weight_scale=None, **DOUBLE)
    before = net.loss(X)
    np.testing.assert_array_equal(before, net.loss(X))
    losses = {net.loss(X, Y)[0] for _ in range(3)}
    assert len(losses) == 3  # other units each time
    mean = net.bn_params[0]["running_mean"]
    expected = (X.reshape(5, -1) @ net.params["W1"]).mean(axis=0) * (1 - 0.9**3)
    np.testing.assert_allclose(mean, expected)
    assert np.abs(net.loss(X) - before).max() > 1e-3


def test_depth_with_he_s_weights_keeps_the_scale_of_the_scores():
    x = normal(100, 256)
    shrunk = nets.FullyConnectedNet([256] * 10, 256, weight_scale=0.01, **DOUBLE).loss(x)
    kept = nets.FullyConnectedNet([256] * 10, 256, weight_scale=None, **DOUBLE).loss(x)
    assert shrunk.std() < 1e-6 and 0.5 < kept.std() < 3


# ---- solver ----


def blobs(count, seed):
    """Three classes of points around three centers: overlapping, hence never at 100 %."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=count)
    return np.array([[2.0, 0], [-1, 2], [-1, -2]])[y] + rng.normal(size=(count, 2)), y


(X_TRAIN, Y_TRAIN), (X_VAL, Y_VAL) = blobs(300, 0), blobs(100, 1)
DATA = {"X_train": X_TRAIN, "y_train": Y_TRAIN, "X_val": X_VAL, "y_val": Y_VAL}


def solved(seed=0, rate=1e-2, rule="adam", epochs=8, normalization="batchnorm", **settings):
    net = nets.FullyConnectedNet([10], 2, 3, normalization=normalization, rng=0)
    config = {"learning_rate": rate}
    solver = Solver(
        net, DATA, update_rule=rule, optim_config=config, num_epochs=epochs, seed=seed, **settings
    )
    solver.train()
    return solver


@pytest.mark.parametrize("rule", UPDATES)
def test_each_rule_trains(rule):
    solver = solved(rule=rule, rate={"sgd": 0.5, "sgd_momentum": 0.1}.get(rule, 1e-2))
    assert solver.best_val_acc >= 0.85
    assert len(solver.loss_history) == 8 * 3 and len(solver.train_acc_history) == 9
    assert np.mean(solver.loss_history[-3:]) < 0.7 * solver.loss_history[0]
    assert solver.model.params["W1"].dtype == np.float32


def test_the_same_seed_gives_the_same_bits():
    one, same, other = solved(), solved(), solved(seed=1)
    assert one.loss_history == same.loss_history != other.loss_history
    for name, value in one.model.params.items():
        np.testing.assert_array_equal(value, same.model.params[name])


def test_the_best_parameters_are_kept_with_their_statistics():
    solver = solved(rate=3.0, epochs=12)  # too large: the accuracy moves up and down
    assert solver.val_acc_history[-1] < max(solver.val_acc_history) == solver.best_val_acc
    assert solver.check_accuracy(X_VAL, Y_VAL) == solver.best_val_acc
    assert solver.check_accuracy(X_VAL, Y_VAL, batch_size=7) == solver.best_val_acc


def test_decay_and_samples_and_printing(capsys):
    solver = solved(rule="sgd", rate=1.0, lr_decay=0.5, epochs=3, num_train_samples=10)
    assert {c["learning_rate"] for c in solver.optim_configs.values()} == {0.125}
    assert all(round(10 * accuracy, 9).is_integer() for accuracy in solver.train_acc_history)
    assert capsys.readouterr().out == ""
    solved(epochs=1, verbose=True)
    assert capsys.readouterr().out.startswith("epoch 1 of 1: loss ")


# ---- captions ----


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_captions_are_learned_and_written(cell):
    features = np.eye(3, 6)
    net = CaptioningRNN(WORDS, 6, 8, 16, cell, dtype=np.float64, rng=0)
    configs = {name: {"learning_rate": 0.02} for name in net.params}
    for _ in range(150):
        loss, grads = net.loss(features, CAPTIONS)
        for name, w in net.params.items():
            net.params[name], configs[name] = UPDATES["adam"](w, grads[name], configs[name])
    assert loss < 0.05
    written = net.sample(features, max_length=4)
    kept = CAPTIONS[:, 1:] != 0
    np.testing.assert_array_equal(written[kept], CAPTIONS[:, 1:][kept])


WRONG = {
    "inputs": (
        lambda: nets.TwoLayerNet(4, 5, 3).loss(np.ones((2, 6))),
        "x (2, 6), w (4, 5), b (5,); expected x (N, D), w (D, M), b (M)",
    ),
    "a label missing": (
        lambda: nets.TwoLayerNet(4, 5, 3).loss(np.ones((2, 4)), np.array([1])),
        "scores (2, 3), y (1,)",
    ),
    "normalization": (
        lambda: nets.FullyConnectedNet([5], normalization="batch"),
        "normalization is 'batch'; it is batchnorm, layernorm or None",
    ),
    "filters of even size": (
        lambda: ThreeLayerConvNet(filter_size=4),
        "filter_size is 4, input_dim (3, 32, 32); the former is odd",
    ),
    "an image that the pool cannot tile": (
        lambda: ThreeLayerConvNet(input_dim=(3, 33, 32)),
        "input_dim (3, 33, 32)",
    ),
    "rule": (
        lambda: Solver(nets.TwoLayerNet(), DATA, update_rule="adamw"),
        "update_rule is 'adamw'; it is one of sgd, sgd_momentum, rmsprop, adam",
    ),
    "data": (
        lambda: Solver(nets.TwoLayerNet(), DATA | {"y_val": Y_VAL[:3]}),
        "X_val (100, 2), y_val (3,)",
    ),
    "cell": (
        lambda: CaptioningRNN(WORDS, cell_type="gru"),
        "cell_type is 'gru'; it is one of rnn, lstm",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name):
    function, message = WRONG[name]
    with pytest.raises(ValueError) as error:
        function()
    assert message in str(error.value)


def test_a_second_call_of_train_keeps_the_best_parameters():
    solver = Solver(
        nets.TwoLayerNet(FLAT, 8, 4, weight_scale=None, **DOUBLE),
        {"X_train": X, "y_train": Y, "X_val": X, "y_val": Y},
        optim_config={"learning_rate": 0.1},
        num_epochs=20,
        batch_size=len(X),
    )
    solver.train()
    best = solver.best_val_acc
    for config in solver.optim_configs.values():
        config["learning_rate"] = 1e3
    with np.errstate(all="ignore"):
        solver.train()
    assert solver.check_accuracy(X, Y) == solver.best_val_acc >= best
    assert {len(curve) for curve in solver.curves().values()} == {20}


def test_scores_that_are_not_finite_are_wrong():
    net = nets.TwoLayerNet(FLAT, 8, 4, **DOUBLE)
    data = {"X_train": X, "y_train": 0 * Y, "X_val": X, "y_val": 0 * Y}
    solver = Solver(net, data)
    net.params["b2"][1] = np.nan
    assert solver.check_accuracy(X, 0 * Y) == 0
