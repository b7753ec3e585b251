"""Averages of weights against NumPy, and training that goes on as if nobody averaged."""

import functools

import keras
import numpy as np
import pytest

from cvcourse.regularization import EMA, SWA, estimate_batch_norm

RNG = np.random.default_rng(0)
X, Y = RNG.normal(1, 2, size=(24, 4, 4, 2)).astype("float32"), np.arange(24) % 3
EPOCHS, STEPS = 4, 3
BATCHES = [X[:8], X[8:16], X[16:]]


def net(*, dropout=0.5):
    keras.utils.set_random_seed(3)
    image = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(3, 2, name="conv")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten()(keras.layers.Dropout(dropout)(x))
    return keras.Model(image, keras.layers.Dense(3, name="logits")(x))


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def average(kind, model):
    if kind == "swa":
        return [SWA(model, BATCHES, first_epoch=2)]
    return [EMA(BATCHES)] if kind == "ema" else []


@functools.cache
def fitted(kind, spans=((0, EPOCHS),)):
    """A net after training, its weights after each step, all of it after each validation."""
    model, steps, validated = net(), [], []
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, use_ema=kind == "ema", ema_momentum=0.8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: steps.append(values(model.trainable_variables)),
        on_epoch_end=lambda *_, **__: validated.append(values(model.variables)),
    )
    averages = average(kind, model)
    for begin, end in spans:
        options = dict(batch_size=8, shuffle=False, validation_data=(X, Y), verbose=0)
        callbacks = [seen, *averages]
        model.fit(X, Y, initial_epoch=begin, epochs=end, callbacks=callbacks, **options)
    for callback in averages:
        callback.on_train_begin()  # as the next fit would
    return model, steps, validated


PATHS = [variable.path for variable in net().variables]
TRAINABLE = [variable.path for variable in net().trainable_variables]


@pytest.mark.parametrize("spans", [((0, EPOCHS),), ((0, 1), (1, 3), (3, EPOCHS))], ids=len)
@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_training_is_what_it_is_without(kind, spans):
    """To the bit: weights, statistics, dropout's seeds; also when fit ends and begins again."""
    (model, steps, _), (plain, plain_steps, _) = fitted(kind, spans), fitted("none")
    for ours, expected in zip(steps, plain_steps, strict=True):
        for array, same in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(array, same)
    now, expected = values(model.variables), values(plain.variables)
    for path, array, same in zip(PATHS, now, expected, strict=False):
        np.testing.assert_array_equal(array, same, err_msg=path)


def test_ema_is_its_recursion():
    _, steps, validated = fitted("ema")
    mean = steps[0]
    for step, weights in enumerate(steps):
        mean = [0.8 * m + 0.2 * w for m, w in zip(mean, weights, strict=True)]
        if (step + 1) % STEPS == 0:
            kept = dict(zip(PATHS, validated[step // STEPS], strict=False))
            for name, expected in zip(TRAINABLE, mean, strict=True):
                np.testing.assert_allclose(kept[name], expected, rtol=1e-5, atol=1e-7)


def test_swa_is_the_mean_over_the_last_epochs_ends():
    _, steps, validated = fitted("swa")
    ends = steps[STEPS - 1 :: STEPS]
    for epoch, first in [(0, 0), (1, 1), (2, 2), (3, 2)]:  # before the third nothing is averaged
        kept = dict(zip(PATHS, validated[epoch], strict=False))
        for i, name in enumerate(TRAINABLE):
            expected = np.mean([ends[e][i] for e in range(first, epoch + 1)], axis=0)
            np.testing.assert_allclose(kept[name], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_statistics_are_those_of_the_average(kind):
    """Of what the averaged convolution gives, a mean over the batches."""
    _, _, validated = fitted(kind)
    kept = dict(zip(PATHS, validated[-1], strict=False))
    conv = net().get_layer("conv")
    conv.set_weights([kept["conv/kernel"], kept["conv/bias"]])
    maps = [keras.ops.convert_to_numpy(conv(batch)) for batch in BATCHES]
    mean, variance = (np.mean([f(m, (0, 1, 2)) for m in maps], axis=0) for f in (np.mean, np.var))
    np.testing.assert_allclose(kept["norm/moving_mean"], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(kept["norm/moving_variance"], variance, rtol=1e-4)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("labels", [False, True])
def test_estimate_batch_norm_takes_images_or_tuples_and_leaves_the_momentum(wrapped, labels):
    model = net(dropout=0.0)
    norm, conv = model.get_layer("norm"), model.get_layer("conv")
    outer = model
    if wrapped:
        image = keras.Input((4, 4, 2))
        outer = keras.Model(image, model(image))
    before = norm.momentum
    estimate_batch_norm(outer, [(batch, Y) if labels else batch for batch in BATCHES])
    means = [keras.ops.convert_to_numpy(conv(batch)).mean((0, 1, 2)) for batch in BATCHES]
    np.testing.assert_allclose(norm.moving_mean, np.mean(means, axis=0), rtol=1e-4, atol=1e-6)
    assert norm.momentum == before


def test_a_net_without_batch_norm_needs_no_batches():
    image = keras.Input((2,))
    model = keras.Model(image, keras.layers.Dense(1)(image))
    assert estimate_batch_norm(model, None) is model
