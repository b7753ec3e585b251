"""Binary weights and inputs: values, gradients and block order, against NumPy and popcounts."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from networks import five_kernels

import cvcourse.layers
from cvcourse.compression import bake, binarize
from cvcourse.compression.binary import BinaryInput

WEIGHTS = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
WEIGHTS[:3, :3] = 0  # as after pruning; the sign of 0 is +1


def dense(weights=WEIGHTS):
    net = keras.Sequential([keras.Input((20,)), layers.Dense(6, name="dense")])
    net.get_layer("dense").kernel.assign(weights)
    return net


def gradient(net):
    """Return (kernel, given gradient of it, gradient of the weights)."""
    given = np.random.default_rng(1).normal(size=(20, 6)).astype("float32")
    weights = net.trainable_variables[0]
    with tf.GradientTape() as tape:
        kernel = net(np.eye(20, dtype="float32"))
        loss = tf.reduce_sum(kernel * given)
    return np.array(kernel), given, np.array(tape.gradient(loss, weights.value))


def test_bwn_scales_signs_by_the_mean_of_each_filter():
    kernel, given, found = gradient(binarize(dense(), "bwn", keep=()))
    alpha = np.abs(WEIGHTS).mean(axis=0)
    np.testing.assert_allclose(kernel, np.where(WEIGHTS >= 0, alpha, -alpha), rtol=1e-5)
    np.testing.assert_allclose(found, given * (1 / 20 + alpha * (np.abs(WEIGHTS) < 1)), rtol=1e-5)
    zero = binarize(dense(np.zeros((20, 6), "float32")), "bwn", keep=())
    np.testing.assert_array_equal(gradient(zero)[0], 0)


def test_filters_of_transposed_convolutions():
    net = keras.Sequential(
        [keras.Input((4, 4, 5)), layers.Conv2DTranspose(7, 3, use_bias=False, name="up")]
    )
    kernel = np.array(net.get_layer("up").kernel)  # (3, 3, filters, channels)
    found = bake(binarize(net, keep=())).get_layer("up").kernel
    alpha = np.abs(kernel).mean(axis=(0, 1, 3), keepdims=True)
    np.testing.assert_allclose(found, alpha * np.sign(kernel), rtol=1e-5)


def test_binaryconnect_clips_its_weights():
    net = binarize(dense(), "binaryconnect", keep=())
    kernel, given, found = gradient(net)
    limit = np.sqrt(1.5 / 26)
    np.testing.assert_allclose(kernel, np.where(WEIGHTS >= 0, limit, -limit), rtol=1e-5)
    np.testing.assert_array_equal(found, given)
    net.compile("sgd", "mse")
    net.fit(np.eye(20), np.zeros((20, 6)), verbose=0)
    weights = np.array(net.trainable_variables[0])
    np.testing.assert_allclose(np.abs(weights).max(), limit, rtol=1e-5)
    assert (np.abs(weights) < 0.99 * limit).any()


def popcount_convolution(images, kernel, strides=1, dilation=1, groups=1):
    """Binary convolution without padding as in the paper: XNOR, popcount, then K and alpha.

    Dot product of signs = 2 * (number of equal signs) - n.
    """
    rows, columns, depth, filters = kernel.shape
    reach = dilation * (rows - 1) + 1, dilation * (columns - 1) + 1
    height, width = ((s - r) // strides + 1 for s, r in zip(images.shape[1:3], reach, strict=True))
    alpha = np.abs(kernel).mean(axis=(0, 1, 2))
    weight_bits = (kernel >= 0).reshape(-1, filters)
    out = np.zeros((len(images), height, width, filters))
    for i in range(height):
        for j in range(width):
            y, x = i * strides, j * strides
            window = images[:, y : y + reach[0] : dilation, x : x + reach[1] : dilation]
            for f in range(filters):
                group = f * groups // filters
                part = window[..., group * depth : (group + 1) * depth].reshape(len(images), -1)
                equal = ~((part >= 0) ^ weight_bits[:, f])
                k = np.abs(part).mean(axis=1)
                out[:, i, j, f] = (2 * equal.sum(axis=1) - len(weight_bits)) * k * alpha[f]
    return out


@pytest.mark.parametrize(
    "settings", [{}, {"strides": 2}, {"dilation_rate": 2, "activation": "relu"}, {"groups": 2}]
)
def test_xnor_is_the_popcount_formula(settings):
    kind = cvcourse.layers.GroupedConv2D if "groups" in settings else layers.Conv2D
    net = keras.Sequential(
        [
            keras.Input((8, 9, 4)),
            kind(6, 3, **settings, bias_initializer="ones", name="conv"),
        ]
    )
    xnor = binarize(net, "xnor", keep=())
    x = np.random.default_rng(0).normal(size=(2, 8, 9, 4)).astype("float32")
    x[:, :2] = 0
    normalized = x / np.sqrt(1 + 1e-4)  # before training: mean 0, variance 1
    settings = {"dilation" if k == "dilation_rate" else k: v for k, v in settings.items()}
    relu = settings.pop("activation", None)
    expected = 1 + popcount_convolution(
        normalized, np.array(net.get_layer("conv").kernel), **settings
    )
    expected = np.maximum(expected, 0) if relu else expected
    np.testing.assert_allclose(xnor(x), expected, atol=1e-5)
    plain = bake(xnor)
    np.testing.assert_array_equal(plain(x), xnor(x))
    assert isinstance(plain.get_layer("conv"), BinaryInput)


def test_signs_pass_gradients_within_one():
    net = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False, name="dense")])
    net.get_layer("dense").kernel.assign([[2.0], [3.0], [-4.0]])
    layer = BinaryInput(net.get_layer("dense"))
    layer.build((None, 3))
    x = tf.constant([[0.5, -2.0, -0.25]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    n = np.array(x)[0] / np.sqrt(1 + 1e-4)
    signs, kernel = np.array([1, -1, -1]), np.array([2, 3, -4])
    k, dot = np.abs(n).mean(), signs @ kernel
    np.testing.assert_allclose(y, [[k * dot]], rtol=1e-5)
    through = kernel * (np.abs(n) < 1) * k  # of the signs
    expected = (through + dot * signs / 3) / np.sqrt(1 + 1e-4)  # and of K
    np.testing.assert_allclose(tape.gradient(y, x)[0], expected, rtol=1e-5)


def test_inputs_after_a_relu_have_both_signs():
    """Signs of outputs of a ReLU would all be +1: normalization comes between (figure 3)."""
    net = keras.Sequential(
        [
            keras.Input((30,)),
            layers.Dense(40, "relu", name="hidden"),
            layers.Dense(40, use_bias=False, name="dense"),
        ]
    )
    xnor = binarize(net, "xnor", keep=("first",))
    x = np.random.default_rng(0).normal(size=(64, 30))
    outputs = np.array(xnor(x, training=True))
    # All-equal signs would make each row K times one vector: rank 1.
    assert np.linalg.matrix_rank(outputs / np.linalg.norm(outputs, axis=1, keepdims=True)) > 10


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (10, 10, 10, 1)).astype("float32")


@pytest.mark.parametrize(
    "method", [pytest.param("bwn", marks=pytest.mark.slow), "binaryconnect", "xnor"]
)
def test_training_lowers_the_loss_and_ends_with_two_values(images, method, tmp_path):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16" if method == "xnor" else "float32")
    try:
        net = binarize(five_kernels(), method)
    finally:
        keras.config.set_dtype_policy("float32")
    net.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    losses = net.fit(images, np.arange(10), epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    logits = np.array(net(images))
    np.testing.assert_array_equal(again(images), logits)
    plain = bake(again)
    np.testing.assert_array_equal(plain(images), logits)
    plain.save(tmp_path / "plain.keras")
    again = keras.saving.load_model(tmp_path / "plain.keras")
    np.testing.assert_array_equal(again(images), logits)
    for name in ("c3", "c5", "f6"):
        layer = plain.get_layer(name)
        kernel = np.array(getattr(layer, "layer", layer).kernel)
        filters = kernel.reshape(-1, kernel.shape[-1]).T
        assert all(len(np.unique(values)) == 2 for values in filters)
        assert len(np.unique(kernel)) == (2 if method == "binaryconnect" else 2 * len(filters))
    twice = bake(binarize(plain, method)) if method != "xnor" else plain
    for new, old in zip(twice.weights, plain.weights, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5)


def test_xnor_leaves_attention_alone(capsys):
    rows = keras.Input((5, 20))
    x = layers.MultiHeadAttention(2, 10, name="attention")(rows, rows)
    net = keras.Model(rows, layers.Dense(20, name="dense")(x))
    assert isinstance(binarize(net, "xnor", keep=()).get_layer("attention"), type(net.layers[1]))
    assert "binarize: unchanged: attention (Multi" in capsys.readouterr().err
    kernel = bake(binarize(net, "bwn", keep=())).get_layer("attention").query_dense.kernel
    assert len(np.unique(np.abs(kernel))) == 10  # filters on the last axis
    with pytest.raises(ValueError, match="unknown method 'bnn'"):
        binarize(net, "bnn")
