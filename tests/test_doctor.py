"""The training doctor on tiny nets: what is healthy passes, each seeded fault fails its step."""

import dataclasses
import itertools
import math
import time

import keras
import numpy as np
import pytest
from cvcourse.recipes import check, train
from keras import layers

from cvcourse import data, models, optimization
from cvcourse.optimization._learning_rate_range import (
    LearningRateRange,
    learning_rate_range,
    restored,
)
from cvcourse.training import doctor

DIGITS = data.load("digits")
MEAN, VARIANCE = data.channel_statistics(DIGITS.train)


@keras.saving.register_keras_serializable("cvcourse_tests")
class WrongGradient(keras.layers.Layer):
    """Passes its inputs on, and a tenth too much of their gradient back."""

    def call(self, inputs):
        return 1.1 * inputs - keras.ops.stop_gradient(0.1 * inputs)


@keras.saving.register_keras_serializable("cvcourse_tests")
class Severed(keras.layers.Layer):
    """Passes its inputs on, and no gradient back."""

    def call(self, inputs):
        return keras.ops.stop_gradient(inputs)


def net(*stack, normalize=True):
    """A function that chains layers, behind a normalization, into a model of the digits."""

    def build():
        keras.utils.set_random_seed(0)
        x = image = keras.Input((8, 8, 1))
        if normalize:
            x = layers.Normalization(mean=MEAN, variance=VARIANCE)(x)
        for kind, *arguments, settings in stack:
            x = kind(*arguments, **settings)(x)
        return keras.Model(image, x)

    return build


def hidden(**settings):
    return (layers.Dense, 32, {"activation": "relu", **settings})


FLATTEN = (layers.Flatten, {})
LOGITS = (layers.Dense, 10, {})
DEEP_TANH = [(layers.Dense, 32, {"activation": "tanh", "name": f"t{i}"}) for i in range(9)]


def normal(stddev):
    return {"class_name": "RandomNormal", "config": {"stddev": stddev}}


def registered(name, **knobs):
    """A network of the registry, as train builds it."""

    def build():
        keras.utils.set_random_seed(0)
        return train.build(train.Config(model=name, model_args=knobs), DIGITS)

    return build


def shuffled(seed):
    """The digits with labels that belong to other images."""
    rng = np.random.default_rng(seed)
    splits = {
        name: data.Split(split.images, rng.permutation(split.labels))
        for name, split in {"train": DIGITS.train, "validation": DIGITS.validation}.items()
    }
    return dataclasses.replace(DIGITS, **splits)


def examine(build, steps=check.STEPS, dataset=DIGITS, seed=0, **settings):
    """{step: Finding} of a model under train's settings."""
    model = build()
    config = train.Config(seed=seed, augment=(), **{"schedule": "constant", **settings})
    compiled = lambda: train.compiled(config, model, 40)  # noqa: E731
    batches = lambda: data.stream(dataset.train, batch_size=32, seed=seed)  # noqa: E731
    few = [np.array(part) for part in next(iter(batches()))]
    loss = optimization.LOSSES[config.loss]()
    chance = {"softmax": math.log(10), "hinge": 9.0}[config.loss]
    held_out = dataset.validation.images.astype("float32"), dataset.validation.labels
    compiled()
    examination = {
        "initial_loss": lambda: doctor.initial_loss(model, *few, loss=loss, chance=chance),
        "memorize": lambda: doctor.memorize(model, *few, loss=loss, chance=chance),
        "learning_rate": lambda: doctor.learning_rate(
            model, batches, held_out, chance=chance, monitor="data_loss"
        ),
        "updates": lambda: doctor.updates(model, batches(), *few, loss=loss),
        "gradients": lambda: doctor.gradients(model, few[0][:8], few[1][:8], loss=loss),
        "pipeline": lambda: doctor.pipeline(model, batches()),
    }
    findings = {}
    before = model.get_weights()
    for step in steps:
        findings[step] = examination[step]()
        if step == "memorize":
            compiled()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return findings


def failed(findings):
    return [name for name, finding in findings.items() if finding.verdict == doctor.FAIL]


HEALTHY = {  # and the default one, in test_check.py
    "mlp": (registered("mlp", hidden=(32, 16)), {"optimizer": "adam", "learning_rate": 1e-3}),
    "linear, hinge": (registered("linear"), {"loss": "hinge", "learning_rate": 0.01}),
}
HEALTHY_AT_LENGTH = {
    "lenet5, adam": (registered("lenet5"), {"optimizer": "adam", "learning_rate": 1e-3}),
    "lenet5": (registered("lenet5"), {}),
    "lenet5, hinge": (registered("lenet5"), {"loss": "hinge"}),
    "mlp": (registered("mlp"), {}),
    "mlp, hinge": (registered("mlp"), {"loss": "hinge"}),
    "linear": (registered("linear"), {}),
    "linear, hinge": (registered("linear"), {"loss": "hinge"}),
    "resnet20": (registered("resnet20", depth=8), {}),
    "resnet20, hinge": (registered("resnet20", depth=8), {"loss": "hinge"}),
}


def assert_healthy(build, settings, seed=0):
    findings = examine(build, seed=seed, **settings)
    assert failed(findings) == [], [findings[name].advice for name in failed(findings)]
    assert {finding.verdict for finding in findings.values()} == {doctor.PASS}
    return findings


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_setups_pass_all_steps(name):
    findings = assert_healthy(*HEALTHY[name])
    chance = 9.0 if "hinge" in name else math.log(10)
    assert findings["initial_loss"].expected == chance
    assert findings["initial_loss"].value == pytest.approx(chance, rel=0.01)
    assert findings["memorize"].value < 0.02 * chance
    low, high = findings["learning_rate"].expected
    assert 1e-6 < low < high < 10
    assert findings["gradients"].value < 1e-4
    assert findings["gradients"].details["checked"] >= 30


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", HEALTHY_AT_LENGTH)
def test_no_false_alarm_whatever_the_seed(name, seed):
    assert_healthy(*HEALTHY_AT_LENGTH[name], seed=seed)


HEALTHY_STACK = (FLATTEN, hidden(), hidden(), LOGITS)
# fault: (model, settings, the step that finds it, a word of its advice, steps that do not mind)
FAULTS = {
    "labels shuffled": (
        net(*HEALTHY_STACK),
        {"dataset": shuffled(0)},
        *("learning_rate", "do not belong to the images"),
        ("initial_loss", "memorize", "updates"),
    ),
    "rate 1000 times too high": (
        net(*HEALTHY_STACK),
        {"learning_rate": 50.0},
        *("learning_rate", "far too high"),
        ("initial_loss",),
    ),
    "rate 1000 times too low": (
        net(*HEALTHY_STACK),
        {"learning_rate": 5e-5},
        *("learning_rate", "far too low"),
        ("initial_loss",),
    ),
    "softmax twice": (
        net(FLATTEN, hidden(), (layers.Dense, 10, {"activation": "softmax"})),
        {},
        *("initial_loss", "applies a softmax again"),
        ("updates",),
    ),
    "softmax twice, by heart": (
        net(FLATTEN, hidden(), (layers.Dense, 10, {"activation": "softmax"})),
        {},
        *("memorize", "stays at 1.461"),  # ln(e + 9) - 1
        (),
    ),
    "no normalization": (
        net(*HEALTHY_STACK, normalize=False),
        {},
        *("initial_loss", ": normalization is missing"),
        (),
    ),
    "normalized twice": (
        net((layers.Rescaling, 1 / 255, {}), (layers.Rescaling, 1 / 255, {}), *HEALTHY_STACK),
        {},
        *("initial_loss", "applied twice"),
        (),
    ),
    "all zero": (
        net(
            FLATTEN,
            hidden(kernel_initializer="zeros"),
            (layers.Dense, 10, {"kernel_initializer": "zeros"}),
        ),
        {},
        *("updates", "initialize them randomly"),
        (),
    ),
    "a frozen layer": (
        net(FLATTEN, hidden(), hidden(trainable=False, name="ice"), LOGITS),
        {},
        *("updates", "ice: frozen"),
        ("initial_loss", "learning_rate"),
    ),
    "a severed layer": (
        net(FLATTEN, hidden(name="lost"), (Severed, {}), hidden(), LOGITS),
        {},
        *("updates", "lost: no gradient"),
        ("initial_loss",),
    ),
    "dead ReLUs": (
        net(FLATTEN, hidden(bias_initializer={"class_name": "Constant", "config": {"value": -50}},
                            name="late"), LOGITS),
        {},
        *("updates", "late: more than 90% of the ReLUs"),
        ("initial_loss",),
    ),
    "saturated": (
        net(FLATTEN, (layers.Dense, 32, {"activation": "tanh", "kernel_initializer": normal(2),
                                         "name": "flat"}), LOGITS),
        {},
        *("updates", "flat: more than 80% of the values saturate"),
        ("initial_loss",),
    ),
    "vanishing": (
        net(FLATTEN, *((k, n, {**s, "kernel_initializer": normal(0.02)}) for k, n, s in DEEP_TANH),
            LOGITS),
        {},
        *("updates", "vanishes"),
        ("initial_loss",),
    ),
    "exploding": (
        net(FLATTEN, *(hidden(kernel_initializer=normal(3)) for _ in range(7)), LOGITS),
        {"learning_rate": 1e-12},
        *("updates", "explodes"),
        (),
    ),
    "a wrong gradient": (
        net(FLATTEN, hidden(name="wrong"), (WrongGradient, {}), hidden(name="right"), LOGITS),
        {},
        *("gradients", "wrong/"),
        ("updates",),
    ),
    "too many scores": (
        net(FLATTEN, hidden(), (layers.Dense, 1000, {})),
        {},
        *("initial_loss", "do not fit the classes"),
        (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_fails_its_step(fault):
    build, settings, step, word, unmoved = FAULTS[fault]
    findings = examine(build, steps=(*unmoved, step), **settings)
    assert failed(findings) == [step]
    assert word in findings[step].advice


def test_a_slow_pipeline_keeps_the_model_waiting():
    model = net(*HEALTHY_STACK)()
    train.compiled(train.Config(), model, 40)

    def slow():
        for batch in data.stream(DIGITS.train, batch_size=32, seed=0):
            time.sleep(0.03)
            yield batch

    finding = doctor.pipeline(model, slow(), steps=10)
    assert finding.verdict == doctor.FAIL
    assert finding.value > 0.3
    assert finding.details["wait_seconds"] > 0.03
    assert "waiting for data" in finding.advice


def test_initial_loss_reports_the_unscaled_loss_and_the_l2_term():
    build = net(FLATTEN, (layers.Dense, 10, {"kernel_initializer": normal(3), "name": "logits"}))
    finding = examine(build, ("initial_loss",), weight_decay=0.1)["initial_loss"]
    assert finding.verdict == doctor.PASS
    assert finding.details["unscaled"] > 3 * math.log(10)
    assert "more than 3 times" in finding.advice
    kernel = build().get_layer("logits").kernel
    assert finding.details["l2_term"] == pytest.approx(0.05 * np.sum(np.square(kernel)), rel=1e-4)
    free = examine(build, ("initial_loss",), weight_decay=0.0)["initial_loss"]
    assert free.details["l2_term"] is None
    assert free.verdict == doctor.PASS


def test_quiet_drops_nothing_and_puts_everything_back():
    model = net(FLATTEN, (layers.Dropout, 0.5, {}), (layers.GaussianNoise, 1.0, {}), LOGITS)()
    optimization.l2_on_kernels(model, 0.1)
    x = DIGITS.train.images[:4].astype("float32")
    with doctor.quiet(model):
        np.testing.assert_array_equal(model(x, training=True), model(x))
        assert model.losses == []
    assert len(model.losses) == 1
    assert np.abs(model(x, training=True) - model(x)).max() > 0.1


def test_memorizing_knows_no_dropout():
    build = net(FLATTEN, hidden(), (layers.Dropout, 0.9, {}), LOGITS)
    assert failed(examine(build, ("memorize",), weight_decay=1.0)) == []


def test_training_leaves_no_trace():
    model = net(FLATTEN, (layers.Dropout, 0.5, {}), (layers.BatchNormalization, {}), LOGITS)()
    train.compiled(train.Config(schedule="constant"), model, 40)
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(variable) for variable in variables]
    batches = data.stream(DIGITS.train, batch_size=32, seed=0)
    tested = learning_rate_range(model, batches, steps=12)
    assert len(tested.losses) == 12
    for variable, old in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, old, err_msg=variable.path)
    with pytest.raises(KeyError), restored(model):
        model.fit(batches.take(2), verbose=0)
        raise KeyError
    for variable, old in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, old, err_msg=variable.path)


def test_the_interval_of_a_range_test():
    rates = np.geomspace(1e-6, 10, 100)
    fall = np.interp(np.log10(rates), [-6, -3, -1, 1], [2.0, 2.0, 0.5, 8.0])
    tested = LearningRateRange(rates, fall)
    assert tested.level == pytest.approx(2, abs=1e-6)
    low, high = tested.interval
    assert 1e-3 < low < 5e-3  # the running mean is late by ten steps, a factor of 5
    assert 0.02 < high < 0.1  # the loss is smallest at 0.1
    weights = 0.9 ** np.arange(60)[::-1]
    assert tested.smoothed[59] == pytest.approx((weights * fall[:60]).sum() / weights.sum())
    assert LearningRateRange(rates, np.full(100, 2.3)).interval is None
    assert LearningRateRange(rates, np.linspace(2, 3, 100)).interval is None


def test_a_range_test_stops_where_the_loss_leaves_the_numbers():
    model = net(*HEALTHY_STACK)()
    train.compiled(train.Config(schedule="constant"), model, 40)
    batches = data.stream(DIGITS.train, batch_size=32, seed=0)
    tested = learning_rate_range(model, batches, steps=30, lowest=1.0, highest=1e9)
    assert len(tested.rates) == len(tested.losses) < 30
    assert np.isfinite(tested.losses).all()


def test_relation_is_that_to_all_permutations():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(6, 3)), np.array([0, 0, 0, 1, 1, 2])
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    own = [p[range(6), permuted].mean() for permuted in itertools.permutations(labels)]
    z = (p[range(6), labels].mean() - np.mean(own)) / np.std(own)
    assert doctor.relation(scores, labels) == pytest.approx(z)
    assert doctor.relation(np.zeros((6, 3)), labels) == 0
    assert doctor.relation(np.full((6, 3), np.nan), labels) == 0


def test_relation_is_not_fooled_by_unequal_classes():
    """A guess of the most frequent class is right nine times of ten, and knows nothing."""
    rng = np.random.default_rng(1)
    labels = (rng.random(500) < 0.1).astype("int32")
    guess = np.array([3.0, 0.0]) + 0.1 * rng.normal(size=(500, 2))
    assert abs(doctor.relation(guess, labels)) < 3
    assert doctor.relation(guess + np.eye(2)[labels], labels) > 10


def test_too_few_held_out_examples_are_not_judged():
    few = dataclasses.replace(shuffled(0), validation=DIGITS.validation.take(slice(5)))
    finding = examine(registered("linear"), ("learning_rate",), dataset=few)["learning_rate"]
    assert finding.details["relation"] == math.inf
    assert finding.as_json()["details"]["relation"] is None


def test_a_double_gives_the_same_scores():
    inner = models.build("resnet20", depth=8, input_shape=(8, 8, 1), num_classes=10)
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, inner(layers.Rescaling(1 / 255)(image)))
    double = doctor.in_float64(model)
    x = DIGITS.train.images[:4].astype("float32")
    scores = double(x, training=True)
    assert scores.dtype == "float64"
    np.testing.assert_allclose(scores, model(x, training=True), rtol=1e-4, atol=1e-5)
    assert {v.dtype for v in double.trainable_variables} == {"float64"}


def test_a_model_that_cannot_be_rebuilt_is_skipped():
    model = net(FLATTEN, (layers.Lambda, lambda x: 2 * x, {}), LOGITS)()
    model.layers[2].get_config = lambda: {"function": "gone", "name": "lost"}
    finding = doctor.gradients(
        model, DIGITS.train.images[:4], DIGITS.train.labels[:4], loss=optimization.LOSSES["hinge"]()
    )
    assert finding.verdict == doctor.SKIP
    assert "cannot be rebuilt" in finding.advice


def test_a_loss_that_is_no_number_fails_and_breaks_nothing():
    build = net(FLATTEN, (layers.Rescaling, math.inf, {}), LOGITS)
    findings = examine(build, ("initial_loss", "memorize", "learning_rate", "updates"))
    assert len(failed(findings)) == 4
    assert findings["learning_rate"].as_json()["details"]["loss_after"] is None


def test_dropout_is_drawn_alike_for_each_slope():
    build = net(FLATTEN, hidden(), (layers.Dropout, 0.5, {}), LOGITS)
    assert examine(build, ("gradients",))["gradients"].value < 1e-4
