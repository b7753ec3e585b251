"""Ternary weights: values, gradients and scales of TWN and TTQ against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import five_kernels

from cvcourse.compression import bake, ternarize

WEIGHTS = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
CHANGED = {"c3", "c5", "f6"}


def dense(weights=WEIGHTS):
    net = keras.Sequential(
        [keras.Input(weights.shape[:1]), keras.layers.Dense(weights.shape[1], name="dense")]
    )
    net.get_layer("dense").kernel.assign(weights)
    return net


def gradients(net):
    """Outputs for one-hot inputs (the kernel), and gradients for given gradients by the kernel."""
    given = np.random.default_rng(1).normal(size=WEIGHTS.shape).astype("float32")
    with tf.GradientTape() as tape:
        kernel = net(np.eye(20, dtype="float32"))
        loss = tf.reduce_sum(kernel * given)
    variables = [v for v in net.trainable_variables if "bias" not in v.name]
    found = tape.gradient(loss, [v.value for v in variables])
    return (
        np.array(kernel),
        given,
        {v.name: np.array(g) for v, g in zip(variables, found, strict=True)},
    )


def test_twn_is_the_nearest_ternary_kernel_at_its_threshold():
    kernel, given, found = gradients(ternarize(dense(), "twn", keep=()))
    large = np.abs(WEIGHTS) > 0.7 * np.abs(WEIGHTS).mean()
    alpha = np.abs(WEIGHTS)[large].mean()
    np.testing.assert_allclose(kernel, alpha * large * np.sign(WEIGHTS), rtol=1e-6)
    np.testing.assert_allclose(found["kernel"], given)  # algorithm 1
    errors = [np.sum((WEIGHTS - a * large * np.sign(WEIGHTS)) ** 2) for a in (0.99, 1, 1.01)]
    assert np.sum((WEIGHTS - kernel) ** 2) <= min(errors)


def test_ttq_has_the_gradients_of_equations_7_and_8():
    net = ternarize(dense(), "ttq", keep=())
    positive, negative = net.get_layer("dense")._computed[0]
    relative = WEIGHTS / np.abs(WEIGHTS).max()
    up, down = relative > 0.05, relative < -0.05
    np.testing.assert_allclose(positive, WEIGHTS[up].mean(), rtol=1e-6)  # least squares
    np.testing.assert_allclose(negative, -WEIGHTS[down].mean(), rtol=1e-6)
    positive.assign(2.0), negative.assign(3.0)
    kernel, given, found = gradients(net)
    np.testing.assert_array_equal(kernel, 2.0 * up - 3.0 * down)
    np.testing.assert_allclose(found["kernel"], given * np.where(up, 2, np.where(down, 3, 1)))
    np.testing.assert_allclose(found["kernel_positive"], given[up].sum(), rtol=1e-5)
    np.testing.assert_allclose(found["kernel_negative"], -given[down].sum(), rtol=1e-5)


@pytest.mark.parametrize("method", [pytest.param("twn", marks=pytest.mark.slow), "ttq"])
def test_training_lowers_the_loss_and_ends_with_three_values(method, tmp_path):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).uniform(0, 255, (10, 10, 10, 1)).astype("float32")
    keras.config.set_dtype_policy("mixed_bfloat16" if method == "ttq" else "float32")
    try:
        net = ternarize(five_kernels(), method)
    finally:
        keras.config.set_dtype_policy("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(0.01), loss)
    labels = np.arange(10)
    before = float(loss(labels, net(images)))
    many = np.tile(images, (20, 1, 1, 1)), np.tile(labels, 20)
    net.fit(*many, batch_size=10, shuffle=False, verbose=0)
    assert float(loss(labels, net(images))) < 0.6 * before
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    logits = np.array(net(images))
    np.testing.assert_array_equal(again(images), logits)
    plain = bake(again)
    np.testing.assert_array_equal(plain(images), logits)
    kinds = [type(layer) for layer in plain.layers if "Input" not in type(layer).__name__]
    assert kinds == [type(layer) for layer in five_kernels().layers]
    for layer in plain.layers:
        if hasattr(layer, "kernel"):
            count = len(np.unique(layer.kernel))
            assert count == 3 if layer.name in CHANGED else count > 60
    twice = bake(ternarize(plain, method))
    for new, old in zip(twice.weights, plain.weights, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5)


def test_kept_layers_and_what_is_refused(capsys):
    net = five_kernels()
    chosen = ternarize(net, keep=("last", "c5"))
    assert "ternarize: unchanged: c5 (Dense), logits (Dense)" in capsys.readouterr().err
    np.testing.assert_array_equal(chosen.get_layer("c5").kernel, net.get_layer("c5").kernel)
    assert np.isfinite(np.array(ternarize(dense(0 * WEIGHTS), keep=())(np.eye(20)))).all()
    with pytest.raises(ValueError, match="unknown method 'twm': did you mean 'twn'"):
        ternarize(net, "twm")
    with pytest.raises(ValueError, match="unknown layer 'c33': did you mean 'c3'"):
        ternarize(net, keep=("c33",))
    with pytest.raises(ValueError, match=r"no kernel of at least 100 weights .* keep=first"):
        ternarize(dense(), keep=("first",))
