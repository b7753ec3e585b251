"""Schedules and optimizers against their formulas, weight decay against its gradient."""

import functools
import json

import keras
import numpy as np
import pytest

from cvcourse import optimization
from cvcourse.optimization import course_optimizers

PEAK, STEPS, WARM, CYCLES = 0.4, 110, 10, 3
FORMULAS = {  # of the step after the warm-up, how many steps there are then, and the warm-up's
    "constant": lambda s, left, warm: PEAK,
    "step": lambda s, left, warm: (
        PEAK * (1 if s <= left / 2 else 0.1 if s <= 3 * left / 4 else 0.01)
    ),
    "exponential": lambda s, left, warm: PEAK * np.exp(-np.log(100) * s / left),
    "inverse_time": lambda s, left, warm: PEAK / (1 + 99 * s / left),
    "linear": lambda s, left, warm: PEAK * (1 - s / left),
    "cosine": lambda s, left, warm: PEAK * (1 + np.cos(np.pi * s / left)) / 2,
    "inverse_sqrt": lambda s, left, warm: PEAK * np.sqrt(max(warm, 1) / (warm + s + 1)),
    "cosine_restarts": lambda s, left, warm: (
        PEAK * (1 + np.cos(np.pi * (s % (left / CYCLES)) / (left / CYCLES))) / 2
    ),
    "one_cycle": lambda s, left, warm: (
        PEAK * np.interp(s / left, [0, 0.45, 0.9, 1], [0.1, 1, 0.1, 0.001])
    ),
    "shifted_cosine": lambda s, left, warm: (
        PEAK * (1 + np.cos(np.pi * (s % -(-left // CYCLES)) / -(-left // CYCLES))) / 2
    ),
}
ENDS = {"constant": 1, "linear": 0, "cosine": 0, "one_cycle": 0.001}  # of the peak
ENDS |= dict.fromkeys(("step", "exponential", "inverse_time"), 0.01)


def made(name, **settings):
    """The schedule as a function step -> float."""
    cycles = CYCLES if name in optimization.CYCLIC else None
    found = optimization.schedule(name, PEAK, **{"steps": STEPS, "cycles": cycles, **settings})
    return (lambda step: float(found(step))) if callable(found) else (lambda step: found)


def test_formulas_are_the_schedules():
    assert set(FORMULAS) == set(optimization.SCHEDULES)


@pytest.mark.parametrize("warm", [0, WARM])
@pytest.mark.parametrize("name", FORMULAS)
def test_schedules(name, warm):
    schedule = made(name, warmup_steps=warm)
    for step in range(STEPS):
        expected = (
            PEAK * (step + 1) / warm
            if step < warm
            else FORMULAS[name](step - warm, STEPS - warm, warm)
        )
        assert schedule(step) == pytest.approx(expected, abs=1e-6), step


@pytest.mark.parametrize("name", ENDS)
def test_ends(name):
    assert made(name)(STEPS) == pytest.approx(ENDS[name] * PEAK, abs=1e-7)


@pytest.mark.parametrize("name", FORMULAS)
def test_rates_rise_where_a_cycle_begins_and_nowhere_else(name):
    rises = np.flatnonzero(np.diff([made(name)(step) for step in range(STEPS)]) > 1e-7) + 1
    expected = {
        "one_cycle": [*range(1, 50)],  # to 0.45 of 110
        "cosine_restarts": [37, 74],  # the first steps at or after 110/3 and 220/3
        "shifted_cosine": [37, 74],
    }
    np.testing.assert_array_equal(rises, expected.get(name, []))


def test_shifted_cosine_has_cycles_of_whole_steps():
    rate = made("shifted_cosine")
    assert [rate(step) for step in (0, 37, 74)] == pytest.approx([PEAK] * 3)
    assert made("cosine_restarts")(37) < PEAK  # a third of a step after its restart


def test_extendable_schedules_do_not_depend_on_the_length():
    def rates(name, steps):
        schedule = made(name, steps=steps, warmup_steps=WARM)
        return [schedule(step) for step in range(50)]

    same = {name for name in optimization.SCHEDULES if rates(name, 60) == rates(name, 600)}
    assert same == set(optimization.EXTENDABLE)


@pytest.mark.parametrize("warm", [0, WARM])
@pytest.mark.parametrize("name", FORMULAS)
def test_schedules_are_saved_with_their_optimizer(name, warm):
    cycles = CYCLES if name in optimization.CYCLIC else None
    schedule = optimization.schedule(name, PEAK, steps=STEPS, warmup_steps=warm, cycles=cycles)
    config = json.loads(json.dumps(keras.optimizers.serialize(keras.optimizers.SGD(schedule))))
    loaded = keras.optimizers.deserialize(config)
    for step in (0, 5, 9, 10, 60, 109):
        loaded.iterations.assign(step)
        expected = float(schedule(step)) if callable(schedule) else schedule
        assert float(loaded.learning_rate) == pytest.approx(expected, rel=1e-6)


def test_linear_scaling():
    """The paper's own: 0.1 for 256 images is 3.2 for 8192."""
    assert optimization.linear_scaling(0.1, 8192, 256) == pytest.approx(3.2)


def test_a_whole_number_is_a_rate():
    assert float(optimization.schedule("cosine", 1, steps=10)(5)) == pytest.approx(0.5)


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
        (
            lambda: optimization.schedule("cosine", 1, steps=9, cycles=3),
            "cosine has no cycles; received cycles=3",
        ),
        (
            lambda: optimization.schedule("shifted_cosine", 1, steps=9),
            "shifted_cosine needs cycles; received cycles=None",
        ),
        (
            lambda: optimization.schedule("cosine_restarts", 1, steps=9, cycles=10),
            "9 steps hold 1 to 9 cycles; received cycles=10",
        ),
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


def dense():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])


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


def test_gradients_are_clipped_by_the_norm_of_all_of_them():
    model = small_model()
    gradients = [np.full(v.shape, 2.0, "float32") for v in model.trainable_variables]
    norm = np.sqrt(sum(4 * g.size for g in gradients))
    before = model.get_weights()
    sgd = optimization.optimizer("sgd", model, 0.1, clip_norm=0.5)
    sgd.apply([keras.ops.convert_to_tensor(g) for g in gradients], model.trainable_variables)
    moved = [abs(b - a) for b, a in zip(before, model.get_weights(), strict=True)]
    np.testing.assert_allclose(moved[0], 0.1 * 2 * 0.5 / norm, rtol=1e-4)


def test_settings_reach_the_optimizer():
    optimizer = optimization.optimizer("adam", small_model(), 0.1, use_ema=True, beta_1=0.5)
    assert (optimizer.use_ema, optimizer.beta_1, optimizer.beta_2) == (True, 0.5, 0.999)
    with pytest.raises(ValueError, match="beta_3"):
        optimization.optimizer("adam", small_model(), 0.1, beta_3=0.5)


# ---- the course's update rules, neural-networks-3: (weights, gradient, moments, t) ----

RATE = 2**-7  # the same in float32


def momentum(w, g, v, t):
    v = 0.9 * v - RATE * g
    return w + v, v


def nesterov(w, g, v, t):
    old, v = v, 0.9 * v - RATE * g
    return w - 0.9 * old + 1.9 * v, v


def adagrad(w, g, cache, t):
    cache = cache + g**2
    return w - RATE * g / (np.sqrt(cache) + 1e-8), cache


def rmsprop(w, g, cache, t):
    cache = 0.9 * cache + 0.1 * g**2
    return w - RATE * g / (np.sqrt(cache) + 1e-8), cache


def almost_adam(w, g, m, v, t):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    return w - RATE * m / (np.sqrt(v) + 1e-8), m, v


def adam(w, g, m, v, t):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    mt, vt = m / (1 - 0.9**t), v / (1 - 0.999**t)
    return w - RATE * mt / (np.sqrt(vt) + 1e-8), m, v


COURSE = {  # name: (rule, how many moments)
    "sgd": (lambda w, g, t: (w - RATE * g,), 0),
    "momentum": (momentum, 1),
    "nesterov": (nesterov, 1),
    "adagrad": (adagrad, 1),
    "rmsprop": (rmsprop, 1),
    "adam": (adam, 2),
    "almost_adam": (almost_adam, 2),
}
OURS = ("adagrad", "rmsprop", "adam", "almost_adam")


def test_the_course_has_a_rule_for_every_optimizer_but_adamw():
    assert set(optimization.OPTIMIZERS) == {*COURSE, "adamw"}


@pytest.mark.parametrize("name", COURSE)
def test_updates_are_the_course_s(name):
    """Ten steps with gradients from 1e-9 to 10, in float64."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(3, 4))
    variable = keras.Variable(w, dtype="float64")
    optimizer = optimization.optimizer(name, keras.Model(), RATE)
    rule, moments = COURSE[name]
    state = [np.zeros_like(w)] * moments
    for t in range(1, 11):
        g = rng.normal(size=w.shape) * 10 ** rng.uniform(-9, 1, w.shape)
        w, *state = rule(w, g, *state, t)
        optimizer.apply([keras.ops.convert_to_tensor(g)], [variable])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable.value), w, rtol=1e-6)


def first_step(optimizer, gradient=1e-6):
    variable = keras.Variable(np.zeros(1), dtype="float64")
    optimizer.apply([keras.ops.convert_to_tensor(np.array([gradient]))], [variable])
    return -float(variable.value[0])


def test_the_table_of_first_steps_is_what_the_optimizers_do():
    lines = []
    for name in OURS:
        optimizer = optimization.OPTIMIZERS[name]
        ours, theirs, times = first_step(optimizer(0.01)), None, "-"
        if name != "almost_adam":
            theirs = first_step(getattr(keras.optimizers, optimizer.__name__)(0.01))
            times = f"{float(f'{ours / theirs:.3g}'):,g}"
        theirs = "-" if theirs is None else f"{theirs:.2e}"
        lines.append(f"    {name:11} {ours:.2e} {theirs:>9} {times:>8}")
    assert "\n".join(lines) in course_optimizers.__doc__


@pytest.mark.parametrize("name", OURS)
def test_it_goes_on_to_the_bit_where_it_was_saved(name, tmp_path):
    def fit(model):
        for _ in range(3):
            model.train_on_batch(np.eye(4), np.ones((4, 2)))
        return model.get_weights()

    model = dense()
    rate = optimization.schedule("cosine", 0.01, steps=6, warmup_steps=1)
    model.compile(optimization.optimizer(name, model, rate, epsilon=1e-7), "mse", run_eagerly=True)
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.epsilon == 1e-7
    for ours, theirs in zip(fit(model), fit(loaded), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", OURS)
def test_an_embedding_is_a_dense_layer_of_one_hot_rows(name):
    """Its gradient names only the rows that it has; the others' moments fade all the same."""
    rows, batches = 5, [[0, 1, 1, 4], [2, 2, 0, 0], [1, 1, 1, 1]]
    tokens, hot = keras.Input((), dtype="int32"), keras.Input((rows,))
    sparse = keras.Model(tokens, keras.layers.Embedding(rows, 3)(tokens))
    dense = keras.Model(hot, keras.layers.Dense(3, use_bias=False)(hot))
    dense.set_weights(sparse.get_weights())
    for model in (sparse, dense):
        model.compile(optimization.optimizer(name, model, 0.1), "mse", run_eagerly=True)
    for batch in batches:
        sparse.train_on_batch(np.array(batch), np.ones((4, 3)))
        dense.train_on_batch(np.eye(rows)[batch], np.ones((4, 3)))
    np.testing.assert_allclose(sparse.get_weights()[0], dense.get_weights()[0], rtol=1e-5)


@pytest.mark.parametrize("name", OURS)
def test_half_precision_takes_the_same_steps(name):
    """Gradients in float16, scaled so that they do not vanish; weights and moments in float32."""

    def trained(policy):
        keras.config.set_dtype_policy(policy)
        model = dense()
        model.compile(optimization.optimizer(name, model, 0.01), "mse", run_eagerly=True)
        for _ in range(3):
            model.train_on_batch(np.eye(4), np.full((4, 2), 0.5))
        return model.get_weights()

    try:
        half, full = trained("mixed_float16"), trained("float32")
    finally:
        keras.config.set_dtype_policy("float32")
    for ours, theirs in zip(half, full, strict=True):
        assert ours.dtype == "float32"
        np.testing.assert_allclose(ours, theirs, atol=2e-4)  # of steps of 1e-2 and more


@pytest.mark.parametrize("name", optimization.OPTIMIZERS)
def test_every_optimizer_trains(name):
    model = dense()
    rate = {"sgd": 0.1, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.1}.get(name, 0.01)
    model.compile(optimization.optimizer(name, model, rate, weight_decay=1e-4), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 4)), rng.normal(size=(16, 2))
    thirty_times = np.tile(x, (30, 1)), np.tile(y, (30, 1))
    fit = functools.partial(model.fit, *thirty_times, batch_size=16, shuffle=False, verbose=0)
    first, second = (fit().history["loss"][0] for _ in range(2))  # means over thirty steps
    assert second < first * 0.9
