"""Layers, activation functions, dropout, losses, normalization and updates in NumPy."""

import functools

import classic_cases
import numpy as np
import pytest
import tensorflow as tf
from classic_cases import Pair, normal

from cvcourse import optimization
from cvcourse.classic import (
    dropout,
    layers,
    losses,
    normalization,
    optim,
    shapes,
    spatial_normalization,
)

pytestmark = pytest.mark.usefixtures("double_precision")

affine = functools.partial(Pair, layers.affine_forward, layers.affine_backward)
relu = functools.partial(Pair, layers.relu_forward, layers.relu_backward)


def affine_relu_forward(x, w, b):
    out, affine_cache = layers.affine_forward(x, w, b)
    out, relu_cache = layers.relu_forward(out)
    return out, (affine_cache, relu_cache)


def affine_relu_backward(dout, cache):
    return layers.affine_backward(layers.relu_backward(dout, cache[1]), cache[0])


def loss_of(function, y, **settings):
    """A pair of a loss function of the scores x."""
    return functools.partial(
        Pair, lambda x: function(np.reshape(x, (-1, x.shape[-1])), y, **settings), None
    )


def normalized(name, module=normalization, **param):
    """A pair of a normalization's functions. The running statistics of a call are dropped."""
    forward, backward = (getattr(module, f"{name}_{way}") for way in ("forward", "backward"))

    def forward_again(x, gamma, beta):
        return forward(x, gamma, beta, *param.get("groups", ()), dict(param["param"]))

    return functools.partial(Pair, forward_again, backward)


batchnorm = normalized("batchnorm", param={"mode": "train"})
layernorm = normalized("layernorm", param={})
spatial_batchnorm = normalized("spatial_batchnorm", spatial_normalization, param={"mode": "train"})


def groupnorm(groups):
    return normalized("spatial_groupnorm", spatial_normalization, groups=(groups,), param={})


def moments(pair, axes, of=lambda y: y):
    def statistics(x, gamma, beta, epsilon, momentum=0.9, groups=None):
        made = groupnorm(groups) if groups else pair
        y = of(made({}).forward(x, gamma, beta)[0])
        return {"mean": y.mean(axis=axes), "std": y.std(axis=axes)}

    return statistics


def running(forward, axes):
    def statistics(batches, gamma, beta, epsilon, momentum):
        param = {"mode": "train", "eps": epsilon, "momentum": momentum}
        for batch in batches[:50]:
            forward(batch, gamma, beta, param)
        y, _ = forward(batches[50], gamma, beta, param | {"mode": "test"})
        return {"mean": y.mean(axis=axes), "std": y.std(axis=axes)}

    return statistics


def dropped(x, keep):
    found = {}
    for mode in ("train", "test"):
        y, _ = dropout.dropout_forward(x, {"mode": mode, "p": keep, "seed": 0})
        found |= {f"{mode}_mean": y.mean(), f"{mode}_zeros": np.mean(y == 0)}
    return found


def updated(update, **given):
    w, dw = given.pop("w"), given.pop("dw")
    next_w, config = update(w, dw, given)
    return {
        "next_w": next_w,
        **{key: config[key] for key in ("velocity", "cache", "m", "v", "t") if key in config},
    }


def notes_svm_softmax(W, x, b, y, margin):
    scores = layers.affine_forward(x[None], W.T, b)[0]
    loss, gradient = losses.softmax_loss(scores, y[None])
    return {
        "scores": scores[0],
        "hinge": losses.svm_loss(scores, y[None], margin)[0],
        "probabilities": (gradient + np.eye(scores.shape[1])[y])[0],
        "cross_entropy": loss,
    }


def one_example(loss, scores, y=0, **settings):
    return loss(np.reshape(scores, (1, -1)), np.reshape(y, 1), **settings)[0]


def circuit(x, y, z):
    """f = (x + y) z, by one affine layer of one unit: its gradients are those of the notes."""
    f, cache = layers.affine_forward(np.reshape(x + y, (1, 1)), np.reshape(z, (1, 1)), np.zeros(1))
    dq, dz, _ = layers.affine_backward(np.ones((1, 1)), cache)
    return {"f": f[0, 0], "dx": dq[0, 0], "dy": dq[0, 0], "dz": dz[0, 0]}


FIXTURES = {
    "affine_forward": lambda x, w, b: {"out": layers.affine_forward(x, w, b)[0]},
    "relu_forward": lambda x: {"out": layers.relu_forward(x)[0]},
    "leaky_relu": lambda x, slope: {"y": layers.leaky_relu_forward(x, slope)[0]},
    "svm_loss_init": lambda x, y, margin: {"loss": losses.svm_loss(x, y, margin)[0]},
    "softmax_loss_init": lambda x, y: {"loss": losses.softmax_loss(x, y)[0]},
    "sgd_momentum": functools.partial(updated, optim.sgd_momentum),
    "rmsprop": functools.partial(updated, optim.rmsprop),
    "adam": functools.partial(updated, optim.adam),
    "batchnorm_train": moments(batchnorm, 0),
    "batchnorm_train_scaled": moments(batchnorm, 0),
    "batchnorm_test": running(normalization.batchnorm_forward, 0),
    "layernorm": moments(layernorm, 1),
    "layernorm_scaled": moments(layernorm, 1),
    "spatial_batchnorm_train": moments(spatial_batchnorm, (0, 2, 3)),
    "spatial_batchnorm_train_scaled": moments(spatial_batchnorm, (0, 2, 3)),
    "spatial_batchnorm_test": running(spatial_normalization.spatial_batchnorm_forward, (0, 2, 3)),
    "group_norm": moments(None, 1, of=lambda y: y.reshape(4, -1)),
    "dropout_0_25": dropped,
    "dropout_0_4": dropped,
    "dropout_0_7": dropped,
    "notes_hinge_margin": lambda scores, y, margin: {
        "loss": one_example(losses.svm_loss, scores, y, margin=margin)
    },
    "notes_svm_softmax": notes_svm_softmax,
    "notes_chance_loss": lambda scores, margin: {
        "cross_entropy": one_example(losses.softmax_loss, scores),
        "hinge": one_example(losses.svm_loss, scores, margin=margin),
    },
    "notes_circuit": circuit,
    "grad_affine": lambda dout, **x: affine(x, dout=dout),
    "grad_relu": lambda dout, **x: relu(x, dout=dout),
    "grad_affine_relu": lambda dout, **x: Pair(
        affine_relu_forward, affine_relu_backward, x, dout=dout
    ),
    "grad_svm_loss": lambda x, y, margin: loss_of(losses.svm_loss, y, margin=margin)({"x": x}),
    "grad_softmax_loss": lambda x, y: loss_of(losses.softmax_loss, y)({"x": x}),
    "grad_batchnorm": lambda dout, epsilon, **x: batchnorm(x, dout=dout),
    "grad_layernorm": lambda dout, epsilon, **x: layernorm(x, dout=dout),
    "grad_spatial_batchnorm": lambda dout, epsilon, **x: spatial_batchnorm(x, dout=dout),
    "grad_group_norm": lambda dout, epsilon, groups, **x: groupnorm(groups)(x, dout=dout),
}

Y = np.array([0, 3, 1, 1, 2])
SCORES = {"x": 2 * normal(5, 4)}
FLAT = {"x": 3 + 2 * normal(6, 5), "gamma": normal(5), "beta": normal(5, seed=1)}
MAPS = {"x": 3 + 2 * normal(2, 6, 4, 5), "gamma": normal(6), "beta": normal(6, seed=1)}
GROUPS = MAPS | {name: MAPS[name].reshape(1, 6, 1, 1) for name in ("gamma", "beta")}
ONE_HOT = np.eye(4)[Y]
STATISTICS = {"mode": "test", "running_mean": normal(5), "running_var": normal(5) ** 2}


def by_keras(axes):
    """Normalization by TensorFlow's moments."""

    def function(x, gamma, beta):
        mean, variance = tf.nn.moments(x, axes, keepdims=True)
        if x.shape.rank == 4 and gamma.shape.rank == 1:
            gamma, beta = (tf.reshape(v, (1, -1, 1, 1)) for v in (gamma, beta))
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-5)

    return function


def groups_by_keras(groups):
    def function(x, gamma, beta):
        n, c, h, w = x.shape
        y = by_keras((2, 3, 4))(
            tf.reshape(x, (n, groups, c // groups, h, w)),
            tf.constant(1.0, x.dtype),
            tf.constant(0.0, x.dtype),
        )
        return gamma * tf.reshape(y, x.shape) + beta

    return function


def margins(x):
    return (1 - ONE_HOT) * (x - tf.reduce_sum(ONE_HOT * x, axis=1, keepdims=True) + 1)


GRADIENTS = {
    "affine": affine(
        {"x": normal(5, 2, 3), "w": normal(6, 4), "b": normal(4)},
        lambda x, w, b: tf.reshape(x, (5, 6)) @ w + b,
    ),
    "relu": relu({"x": normal(5, 7)}, tf.nn.relu),
    "leaky_relu": Pair(
        functools.partial(layers.leaky_relu_forward, slope=0.2),
        layers.leaky_relu_backward,
        {"x": normal(5, 7)},
        functools.partial(tf.nn.leaky_relu, alpha=0.2),
    ),
    "sigmoid": Pair(
        layers.sigmoid_forward, layers.sigmoid_backward, {"x": 3 * normal(5, 7)}, tf.nn.sigmoid
    ),
    "tanh": Pair(layers.tanh_forward, layers.tanh_backward, {"x": normal(5, 7)}, tf.nn.tanh),
    "dropout": Pair(
        functools.partial(
            dropout.dropout_forward, dropout_param={"mode": "train", "p": 0.6, "seed": 3}
        ),
        dropout.dropout_backward,
        {"x": normal(5, 7)},
        lambda x: x * (np.random.default_rng(3).random((5, 7)) < 0.6) / 0.6,
    ),
    "dropout in test mode": Pair(
        functools.partial(dropout.dropout_forward, dropout_param={"mode": "test", "p": 0.6}),
        dropout.dropout_backward,
        {"x": normal(5, 7)},
        lambda x: x,
    ),
    "softmax_loss": loss_of(losses.softmax_loss, Y)(
        SCORES, lambda x: optimization.LOSSES["softmax"]()(Y, x)
    ),
    "svm_loss": loss_of(losses.svm_loss, Y)(SCORES, lambda x: optimization.MulticlassSVM()(Y, x)),
    "squared": loss_of(losses.svm_loss, Y, form="squared")(
        SCORES, lambda x: tf.reduce_sum(tf.nn.relu(margins(x)) ** 2) / 5
    ),
    "crammer_singer": loss_of(losses.svm_loss, Y, form="crammer_singer")(
        SCORES, lambda x: tf.reduce_sum(tf.nn.relu(tf.reduce_max(margins(x), axis=1))) / 5
    ),
    "one_vs_all": loss_of(losses.svm_loss, Y, form="one_vs_all")(
        SCORES, lambda x: tf.reduce_sum(tf.nn.relu(1 - (2 * ONE_HOT - 1) * x)) / 5
    ),
    "batchnorm": batchnorm(FLAT, by_keras((0,))),
    "batchnorm in test mode": normalized("batchnorm", param=STATISTICS)(
        FLAT,
        lambda x, gamma, beta: (
            gamma * (x - STATISTICS["running_mean"]) / tf.sqrt(STATISTICS["running_var"] + 1e-5)
            + beta
        ),
    ),
    "layernorm": layernorm(FLAT, by_keras((1,))),
    "layernorm of sequences": layernorm(FLAT | {"x": normal(2, 3, 5)}, by_keras((2,))),
    "spatial_batchnorm": spatial_batchnorm(MAPS, by_keras((0, 2, 3))),
    "instance norm": groupnorm(6)(GROUPS, by_keras((2, 3))),
    "group norm": groupnorm(3)(GROUPS, groups_by_keras(3)),
    "layer norm of images": groupnorm(1)(GROUPS, by_keras((1, 2, 3))),
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
    if GRADIENTS[name].backward and "test mode" not in name:
        classic_cases.check_gradient_shapes(GRADIENTS[name])


@pytest.mark.parametrize("form", losses.FORMS)
@pytest.mark.parametrize("margin", [0.5, 1.0, 10.0])
def test_loops_and_arrays_give_one_loss(form, margin):
    scores = 3 * normal(20, 6)
    y = np.random.default_rng(1).integers(6, size=20)
    loss, gradient = losses.svm_loss(scores, y, margin, form)
    naive_loss, naive_gradient = losses.svm_loss_naive(scores, y, margin, form)
    assert loss == pytest.approx(naive_loss, rel=1e-12)
    np.testing.assert_allclose(gradient, naive_gradient, atol=1e-14)


def test_softmax_with_loops_and_with_large_scores():
    scores, y = 3 * normal(20, 6), np.random.default_rng(1).integers(6, size=20)
    for found, naive in zip(
        losses.softmax_loss(scores, y), losses.softmax_loss_naive(scores, y), strict=True
    ):
        np.testing.assert_allclose(found, naive, rtol=1e-12, atol=1e-14)
    loss, gradient = losses.softmax_loss(np.array([[1000.0, 0.0]]), np.array([1]))
    assert loss == 1000  # not infinite: the notes' shift
    np.testing.assert_array_equal(gradient, [[1, -1]])


def test_saturated_activations():
    x = np.array([-np.inf, -1e4, 1e4, np.inf])
    with np.errstate(over="raise", invalid="raise"):
        np.testing.assert_array_equal(layers.sigmoid_forward(x)[0], [0, 0, 1, 1])
        np.testing.assert_array_equal(layers.relu_forward(x)[0], [0, 0, 1e4, np.inf])


def test_running_statistics_and_a_second_call():
    x, param = FLAT["x"], {"mode": "train", "momentum": 0.8}
    for _ in range(2):
        normalization.batchnorm_forward(x, FLAT["gamma"], FLAT["beta"], param)
    np.testing.assert_allclose(param["running_mean"], 0.36 * x.mean(axis=0))
    np.testing.assert_allclose(param["running_var"], 0.36 * x.var(axis=0))


def test_sgd_and_a_chain_of_steps():
    w, config = np.ones(3), None
    for _ in range(3):
        w, config = optim.adam(w, np.full(3, 7.0), config)
    # Of a constant gradient, each corrected step is the learning rate.
    np.testing.assert_allclose(w, 1 - 3e-3, rtol=1e-7)
    assert config["t"] == 3
    np.testing.assert_allclose(optim.sgd(np.ones(3), np.full(3, 7.0))[0], 0.93)


WRONG = {
    "affine": (
        lambda: layers.affine_forward(np.ones((2, 3)), np.ones((4, 5)), np.ones(5)),
        "x (2, 3), w (4, 5), b (5,); expected x (N, D), w (D, M), b (M)",
    ),
    "labels": (
        lambda: losses.svm_loss(np.ones((2, 3)), np.array([0, 3])),
        "from 0 to 3; it has class numbers from 0 to 2, the columns of scores (2, 3)",
    ),
    "a label missing": (
        lambda: losses.softmax_loss(np.ones((2, 3)), np.array([0])),
        "scores (2, 3), y (1,); expected scores (N, C), y (N)",
    ),
    "labels that are no numbers of classes": (
        lambda: losses.softmax_loss(np.ones((2, 3)), np.array([0.0, 1.0])),
        "y has float64 values",
    ),
    "no examples": (
        lambda: losses.softmax_loss(np.ones((0, 3)), np.array([], int)),
        "no examples: scores (0, 3)",
    ),
    "form": (
        lambda: losses.svm_loss(np.ones((2, 3)), np.array([0, 1]), form="hinge"),
        "form is 'hinge'; it is one of weston_watkins, squared, crammer_singer, one_vs_all",
    ),
    "groups": (
        lambda: groupnorm(4)(GROUPS).forward(**GROUPS),
        "4 groups do not divide the 6 channels of x (2, 6, 4, 5)",
    ),
    "gamma": (lambda: batchnorm({}).forward(np.ones((2, 3)), np.ones(4), np.ones(4)), "gamma (4,)"),
    "mode": (
        lambda: dropout.dropout_forward(np.ones(3), {"mode": "training", "p": 0.5}),
        "mode is 'training'",
    ),
    "p": (lambda: dropout.dropout_forward(np.ones(3), {"mode": "train", "p": 0}), "p is 0"),
    "dimensions": (lambda: shapes.sizes("x N D", np.ones(3)), "x (3,); expected x (N, D)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name):
    function, message = WRONG[name]
    with pytest.raises(ValueError) as error:
        function()
    assert message in str(error.value)
