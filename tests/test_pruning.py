"""Magnitude pruning and dense-sparse-dense training: counts, zeros, exact resume."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cvcourse import training
from cvcourse.compression import (
    DenseSparseDense,
    MagnitudePruning,
    cubic_density,
    density,
    magnitude_masks,
    prune,
)
from cvcourse.optimization import CourseAdamW, CourseSGD

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 6, 6, 1)).astype("float32"), np.arange(48) % 3
PRUNED = {"conv/kernel": (3, 3, 1, 12), "logits/kernel": (192, 3)}
WEIGHTS = 684


def net():
    """Two kernels of at least 100 weights, and depthwise and small ones that are left alone."""
    keras.utils.set_random_seed(5)
    image = keras.Input((6, 6, 1), name="image")
    x = layers.Conv2D(12, 3, activation="relu", name="conv")(image)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(3, name="logits")(x), name="net")


def kernels_of(model):
    return {name: np.array(model.get_layer(name.split("/")[0]).kernel) for name in PRUNED}


def compiled(model, optimizer, **options):
    options = {"run_eagerly": True, **options}  # a few steps are faster without tracing
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **options)
    return model


def fit(model, *callbacks, steps=range(12)):
    """Train with batches of 8, those of the given steps."""
    batches = np.concatenate([np.arange(8) + 8 * (step % 6) for step in steps])
    options = dict(batch_size=8, shuffle=False, verbose=0)
    model.fit(X[batches], Y[batches], callbacks=callbacks, **options)


def values(model):
    return [np.array(v) for v in (*model.variables, *model.optimizer.variables)]


def test_the_schedule_is_equation_1():
    """Zhu & Gupta write it for the sparsity: s_f + (s_i - s_f)(1 - progress)^3."""
    progress = np.linspace(0, 1, 9)
    sparsity = 0.9 + (0.2 - 0.9) * (1 - progress) ** 3
    np.testing.assert_allclose(cubic_density(0.8, 0.1)(progress), 1 - sparsity)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0811, 1e-6])
def test_masks_are_a_stable_sort(share):
    model = net()
    values = np.concatenate([np.abs(kernel).ravel() for kernel in kernels_of(model).values()])
    count = max(1, round(share * WEIGHTS))
    expected = np.zeros(WEIGHTS, bool)
    expected[np.argsort(-values, kind="stable")[:count]] = True
    masks = magnitude_masks(model, share)
    assert {name: mask.shape for name, mask in masks.items()} == PRUNED
    np.testing.assert_array_equal(np.concatenate([m.ravel() for m in masks.values()]), expected)
    of_layers = magnitude_masks(model, share, scope="layer")
    assert [mask.sum() for mask in of_layers.values()] == [
        max(1, round(share * mask.size)) for mask in masks.values()
    ]


def test_of_equal_weights_the_first_are_kept():
    model = net()
    model.get_layer("conv").kernel.assign(np.full((3, 3, 1, 12), -0.5))
    model.get_layer("logits").kernel.assign(np.full((192, 3), 0.5))
    masks = magnitude_masks(model, 0.2)  # 137 of 684
    assert masks["conv/kernel"].all() and masks["logits/kernel"].sum() == 137 - 108
    np.testing.assert_array_equal(np.flatnonzero(masks["logits/kernel"]), np.arange(29))


def test_prune_leaves_the_rest_alone(capsys):
    model = net()
    before = [np.array(v) for v in model.variables]
    pruned = prune(model, 0.1)
    assert capsys.readouterr().err == "prune: unchanged: depthwise (DepthwiseConv2D)\n"
    masks = magnitude_masks(model, 0.1)
    for layer in model.layers:
        copy = pruned.get_layer(layer.name)
        for ours, theirs in zip(copy.weights, layer.weights, strict=True):
            mask = masks.get(f"{layer.name}/{ours.name}", True)
            np.testing.assert_array_equal(ours, np.where(mask, theirs, 0))
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    rows = {row.name: row for row in density(pruned)}
    assert sum(row.kept for row in rows.values()) == 68  # a tenth of 684
    assert rows["logits/kernel"].weights == 576
    assert rows["conv/kernel"].density == masks["conv/kernel"].mean()


def test_layers_are_selected_by_name(capsys):
    model = net()
    rows = {row.name: row.density for row in density(prune(model, 0.5, skip=["conv"]))}
    assert rows == {"conv/kernel": 1.0, "logits/kernel": 0.5}
    pruned = prune(model, 0.5, layers=["depthwise"])
    assert "unchanged: conv (Conv2D), logits (Dense)" in capsys.readouterr().err
    assert np.count_nonzero(pruned.get_layer("depthwise").kernel) == 54


def test_a_shared_layer_in_a_nested_sequential_model():
    inner = keras.Sequential([keras.Input((12,)), layers.Dense(12, name="dense")], name="inner")
    image = keras.Input((12,), name="image")
    model = keras.Model(image, inner(inner(image)), name="outer")
    pruned = prune(model, 0.25)
    assert [(row.name, row.kept) for row in density(pruned)] == [("inner/dense/kernel", 36)]
    kernel, bias = pruned.get_layer("inner").get_layer("dense").get_weights()
    x = RNG.normal(size=(2, 12)).astype("float32")
    np.testing.assert_allclose(pruned(x), (x @ kernel + bias) @ kernel + bias, atol=1e-5)


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: CourseAdamW(0.01, weight_decay=0.1),
    "ema": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3),
    "accumulation": lambda: CourseSGD(0.1, momentum=0.9, gradient_accumulation_steps=2),
    "ftrl": lambda: keras.optimizers.Ftrl(0.1),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.RMSprop(0.01)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "adam" else n for n in OPTIMIZERS]
)
def test_pruned_weights_are_zero_after_each_batch(name):
    """Also in what the optimizer keeps for them; the counts are those of the schedule."""
    model = compiled(net(), OPTIMIZERS[name]())
    kept, slots = [], []

    def look(batch, logs=None):
        arrays = kernels_of(model)
        kept.append(sum(np.count_nonzero(array) for array in arrays.values()))
        for variable in model.optimizer.variables:
            for array in arrays.values():
                if variable.shape == array.shape:
                    slots.append(np.count_nonzero(np.array(variable)[array == 0]))

    pruning = MagnitudePruning(0.1, begin=3, end=9, every=2)
    fit(model, pruning, keras.callbacks.LambdaCallback(on_train_batch_end=look))
    densities = [0.1 + 0.9 * (1 - progress) ** 3 for progress in (0, 1 / 3, 2 / 3, 1)]
    at_3, at_5, at_7, at_9 = (round(WEIGHTS * share) for share in densities)
    assert kept == [at_3] * 4 + [at_5] * 2 + [at_7] * 2 + [at_9] * 4
    assert slots and not any(slots)
    assert np.count_nonzero(model.get_layer("depthwise").kernel) == 108
    assert sum(np.count_nonzero(kernel) for kernel in kernels_of(model).values()) == at_9


def test_a_pruned_network_stays_pruned():
    """The callback keeps the zeros that it finds, also in a second fit and with a frozen layer."""
    model = compiled(prune(net(), 0.3), "adam")
    model.get_layer("conv").trainable = False
    model = compiled(model, "adam")
    zeros = {name: array == 0 for name, array in kernels_of(model).items()}
    callback = MagnitudePruning(1.0, begin=0, end=0)
    for _ in range(2):
        fit(model, callback, steps=range(3))
        for name, array in kernels_of(model).items():
            np.testing.assert_array_equal(array == 0, zeros[name])


@pytest.mark.parametrize("end", [0, 3])
def test_weights_that_are_zero_do_not_come_back(end):
    """Neither by a large step before weights are selected again, nor after a step to zero."""
    model = keras.Sequential([keras.Input((100,)), layers.Dense(1, use_bias=False)])
    model.set_weights([np.arange(1.0, 101)[:, None]])
    steps = np.zeros((1, 100))
    steps[0, [0, 99]] = 500, 100  # of the smallest weight and, to zero, of the largest
    model.compile(keras.optimizers.SGD(1.0), lambda y, outputs: outputs, run_eagerly=True)
    pruning = MagnitudePruning(lambda progress: 0.5, begin=0, end=end, every=1)
    model.fit(np.repeat(steps, 3, 0), np.zeros(3), batch_size=1, callbacks=[pruning], verbose=0)
    np.testing.assert_array_equal(np.flatnonzero(model.get_weights()[0]), np.arange(50, 99))


def test_a_callback_that_comes_late_prunes_at_once():
    model = compiled(net(), "adam")
    fit(model, steps=range(3))
    fit(model, MagnitudePruning(0.5, begin=0, end=2, scope="layer"), steps=[0])
    assert [row.density for row in density(model)] == [0.5, 0.5]


def test_several_steps_per_execution_reach_the_density():
    """The callback sees batches 3, 6, 9 and 12 only; it is due after 2, 4, 6 and 7."""
    model = keras.Sequential([keras.Input((50,)), layers.Dense(4, name="logits")])
    model.compile(keras.optimizers.SGD(0.1), "mse", steps_per_execution=3)
    kept, rates = [], []

    def look(batch, logs=None):
        kept.append(np.count_nonzero(model.get_layer("logits").kernel))
        rates.append(float(model.optimizer.learning_rate))

    pruning = MagnitudePruning(0.1, begin=2, end=7, every=2)
    dsd = DenseSparseDense(0.0, sparse=(1, 8))
    look = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    x = np.ones((12, 50)), np.ones((12, 4))
    model.fit(*x, batch_size=1, verbose=0, callbacks=[pruning, dsd, look])
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01])
    cubic = [round(200 * (0.1 + 0.9 * (1 - p) ** 3)) for p in (0, 0.8, 1, 1)]
    assert kept == cubic == [200, 21, 20, 20]


OF_RESUME = {
    "pruning": (
        lambda: MagnitudePruning(0.1, begin=3, end=11, every=4),
        lambda: keras.optimizers.Adam(0.01),
        (5, 7),  # between two updates, and at one
    ),
    "dense_sparse_dense": (
        lambda: DenseSparseDense(0.5, sparse=(3, 8)),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        (5, 8),  # in the sparse phase, and at its end
    ),
}


@pytest.mark.parametrize("name", OF_RESUME)
def test_training_continues_exactly_from_all_variables(name):
    """As training.fit saves them: weights, optimizer, nothing of the callback."""
    callback, optimizer, stops = OF_RESUME[name]
    whole = compiled(net(), optimizer())
    saved = {}
    keep = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: saved.update({batch + 1: values(whole)})
    )
    fit(whole, callback(), keep)
    for stop in stops:
        again = compiled(net(), optimizer())
        again.optimizer.build(again.trainable_variables)
        for variable, value in zip(
            (*again.variables, *again.optimizer.variables), saved[stop], strict=True
        ):
            variable.assign(value)
        fit(again, callback(), steps=range(stop, 12))
        for ours, expected in zip(values(again), values(whole), strict=True):
            np.testing.assert_array_equal(ours, expected)


class Crash(BaseException):
    """A kill within training."""


def resumable(folder, callback, optimizer, *, crash=None):
    """Train for 2 epochs of 6 batches in a folder, or continue; return all values."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = ["accuracy", keras.metrics.MeanMetricWrapper(loss, name="data_loss")]
    model = compiled(net(), optimizer, metrics=metrics, run_eagerly=False)
    early_stopping = keras.callbacks.EarlyStopping("val_loss", patience=9)
    options = dict(steps_per_epoch=6, minutes=1e-9, command="", data="")
    resume = training.ExactResume(model, folder, early_stopping=early_stopping, **options)

    def crashing(*_, **__):
        if resume.step == crash:
            raise Crash

    end = keras.callbacks.LambdaCallback(on_train_batch_end=crashing)
    log = training.LogUnregularizedLoss()
    for span in resume.spans(2):
        batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8).repeat().skip(resume.step)
        callbacks = [log, early_stopping, callback, resume, end]
        options = dict(validation_data=(X, Y), callbacks=callbacks, shuffle=False, verbose=0)
        model.fit(batches, **options, **span)
    return values(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_RESUME)
def test_a_killed_run_ends_with_the_same_bits(name, tmp_path):
    callback, optimizer, stops = OF_RESUME[name]
    whole = resumable(tmp_path / "whole", callback(), optimizer())
    for stop in stops:
        with pytest.raises(Crash):
            resumable(tmp_path / str(stop), callback(), optimizer(), crash=stop)
        again = resumable(tmp_path / str(stop), callback(), optimizer())
        for ours, expected in zip(again, whole, strict=True):
            np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("rate", [0.1, keras.optimizers.schedules.CosineDecay(0.1, 100)])
def test_dense_sparse_dense_by_hand(rate):
    model = compiled(net(), keras.optimizers.SGD(rate, momentum=0.9))
    seen, rates = [], []

    def look(batch, logs=None):
        seen.append(kernels_of(model))
        rates.append(float(model.optimizer.learning_rate))

    dsd = DenseSparseDense(0.25, sparse=(4, 8))
    fit(model, dsd, keras.callbacks.LambdaCallback(on_train_batch_end=look))
    kept = [[np.count_nonzero(array) for array in step.values()] for step in seen]
    assert kept == [[108, 576]] * 3 + [[81, 432]] * 5 + [[108, 576]] * 4
    masks = [array != 0 for array in seen[3].values()]
    for step in seen[4:8]:
        for array, mask in zip(step.values(), masks, strict=True):
            np.testing.assert_array_equal(array != 0, mask)
    if rate == 0.1:
        np.testing.assert_allclose(rates, [0.1] * 7 + [0.01] * 5)
    else:
        np.testing.assert_allclose(rates, [rate(step) for step in range(1, 13)])


def test_bad_values_are_refused_in_one_line():
    model = net()
    for share in (0, -0.1, 1.5, float("nan"), "half"):
        with pytest.raises(ValueError, match="density must be above 0 and at most 1; received"):
            prune(model, share)
    with pytest.raises(ValueError, match="density must be above 0"):
        MagnitudePruning(0.0, begin=0, end=1)
    with pytest.raises(ValueError, match="unknown scope 'globl': did you mean 'global'"):
        magnitude_masks(model, 0.5, scope="globl")
    with pytest.raises(ValueError, match="unknown layer 'con': did you mean 'conv'"):
        prune(model, 0.5, skip=["con"])
    with pytest.raises(ValueError, match="received begin=5, end=4, every=1"):
        MagnitudePruning(0.5, begin=5, end=4, every=1)
    with pytest.raises(ValueError, match=r"0 <= begin < end; received \(4, 4\)"):
        DenseSparseDense(sparse=(4, 4))
    with pytest.raises(ValueError, match=r"sparsity must be at least 0 and below 1; received 1"):
        DenseSparseDense(1.0, sparse=(4, 5))


def test_nan_is_kept_so_that_divergence_is_noticed():
    net = keras.Sequential([keras.Input((50,)), keras.layers.Dense(4, name="logits")])
    kernel = np.arange(200, dtype="float32").reshape(50, 4)
    kernel[0] = np.nan
    net.get_layer("logits").kernel.assign(kernel)
    mask = magnitude_masks(net, np.float32(0.1))["logits/kernel"]
    assert mask.sum() == 20 and mask[0].all() and mask[-4:].all()
