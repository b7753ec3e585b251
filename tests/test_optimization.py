"""Schedules against their formulas, weight decay against its gradient."""

import keras
import numpy as np
import pytest

from cvcourse import optimization

PEAK, STEPS, WARM = 0.4, 110, 10
FORMULAS = {  # of t in [0, 1], the share of the run after the warm-up that is done
    "constant": lambda t: PEAK,
    "step": lambda t: PEAK if t <= 0.5 else PEAK / 10 if t <= 0.75 else PEAK / 100,
    "linear": lambda t: PEAK * (1 - t),
    "cosine": lambda t: PEAK * (1 + np.cos(np.pi * t)) / 2,
}


def test_formulas_are_the_schedules():
    assert set(FORMULAS) == set(optimization.SCHEDULES)


@pytest.mark.parametrize("warm", [0, WARM])
@pytest.mark.parametrize("name", FORMULAS)
def test_schedules(name, warm):
    schedule = optimization.schedule(name, PEAK, steps=STEPS, warmup_steps=warm)
    if not callable(schedule):
        schedule = lambda step: PEAK  # noqa: E731
    for step in range(STEPS):
        expected = (
            PEAK * (step + 1) / warm
            if step < warm
            else FORMULAS[name]((step - warm) / (STEPS - warm))
        )
        assert float(schedule(step)) == pytest.approx(expected, abs=1e-6), step


def test_extendable_schedules_do_not_depend_on_the_length():
    def rates(name, steps):
        schedule = optimization.schedule(name, PEAK, steps=steps, warmup_steps=WARM)
        return [float(schedule(step)) for step in range(50)]

    same = {name for name in optimization.SCHEDULES if rates(name, 60) == rates(name, 600)}
    assert same == set(optimization.EXTENDABLE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: optimization.schedule("cosin", 1, steps=9),
            "unknown schedule 'cosin': did you mean 'cosine'",
        ),
        (
            lambda: optimization.schedule("step", 1, steps=9, warmup_steps=9),
            "warm-up of 9 steps leaves nothing of 9",
        ),
        (lambda: optimization.optimizer("adm", None, 1), "unknown optimizer 'adm'"),
    ],
)
def test_wrong_names_and_values(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def small_model():
    keras.utils.set_random_seed(1)
    image = keras.Input((4, 4, 2))
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(image)
    x = keras.layers.BatchNormalization(name="bn")(keras.layers.Conv2D(3, 2, name="conv")(x))
    return keras.Model(image, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(x)))


def stepped(name, decay, rate=0.1):
    """Weights before and after a step on a batch whose loss has no gradient: only decay moves."""
    model = small_model()
    model.compile(optimization.optimizer(name, model, rate, weight_decay=decay), lambda y, p: 0 * p)
    before = {v.path: keras.ops.convert_to_numpy(v) for v in model.trainable_variables}
    model.fit(np.ones((2, 4, 4, 2)), np.zeros((2, 2)), verbose=0)
    return before, {v.path: keras.ops.convert_to_numpy(v) for v in model.trainable_variables}


@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw"])
def test_weight_decay_shrinks_kernels_and_nothing_else(name):
    """The first step of SGD and momentum with a gradient of decay * w, and AdamW's: the same."""
    before, after = stepped(name, decay=0.5)
    for path, old in before.items():
        kernel = path.endswith("kernel")
        np.testing.assert_allclose(
            after[path], old * (1 - 0.1 * 0.5 if kernel else 1), rtol=1e-6, err_msg=path
        )
    assert sum(path.endswith("kernel") for path in before) == 3


def test_nesterov_looks_ahead():
    """Its first step is (1 + momentum) times the gradient."""
    before, after = stepped("nesterov", decay=0.5)
    np.testing.assert_allclose(
        after["conv/kernel"], before["conv/kernel"] * (1 - 1.9 * 0.05), rtol=1e-6
    )


def test_no_decay_leaves_the_loss_alone():
    model = small_model()
    optimization.optimizer("momentum", model, 0.1, weight_decay=0.3)
    assert float(sum(model.losses)) == pytest.approx(
        0.15
        * sum(
            float((keras.ops.convert_to_numpy(v) ** 2).sum())
            for v in model.weights
            if "kernel" in v.path
        ),
        rel=1e-5,
    )
    optimization.optimizer("momentum", model, 0.1)
    assert model.losses == []


@pytest.mark.parametrize("name", optimization.OPTIMIZERS)
def test_every_optimizer_trains(name):
    model = small_model()
    rate = {"sgd": 0.1, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.1}.get(name, 0.01)
    model.compile(optimization.optimizer(name, model, rate, weight_decay=1e-4), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 4, 4, 2)), rng.normal(size=(16, 2))
    losses = model.fit(x, y, batch_size=16, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] * 0.7
