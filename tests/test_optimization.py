"""Schedules and optimizers against their formulas, weight decay against its gradient."""

import functools
import json
import pathlib

import cvcourse.recipes
import keras
import numpy as np
import pytest

from cvcourse import optimization
from cvcourse.optimization import course_optimizers

PEAK, STEPS, WARM, CYCLES = 0.4, 110, 10, 3
FORMULAS = {  # of the step after the warm-up, how many steps there are then, and the warm-up's
    "constant": lambda s, left, warm: PEAK,
    "step": lambda s, left, warm: PEAK * (1 if s < left / 2 else 0.1 if s < 3 * left / 4 else 0.01),
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


def test_restarts_are_not_a_step_late():
    """Whole steps that float32 would round into the cycle before: 14 cycles in 16 steps."""
    rate = optimization.schedule("cosine_restarts", PEAK, steps=16, cycles=14)
    assert float(rate(8)) == pytest.approx(PEAK)


def test_steps_drop_where_they_are_reached():
    rate = optimization.schedule("step", 0.1, steps=4)
    np.testing.assert_allclose([rate(s) for s in range(4)], [0.1, 0.1, 0.01, 0.001], rtol=1e-6)


@pytest.mark.parametrize(
    ("steps", "milestones", "warm"),
    [
        (64_000, (32_000, 48_000), 400),  # He et al. 2016, section 4.2
        (900, (300, 600, 800), 50),  # Goyal et al. 2017, section 5.1, of 10 steps an epoch
        (10, (0.7 * 10,), 0),  # 7.000000000000001
        (10, (6.5,), 3),
    ],
)
def test_milestones_are_counted_from_the_start(steps, milestones, warm):
    rate = optimization.schedule(
        "step", 0.1, steps=steps, milestones=milestones, factor=0.2, warmup_steps=warm
    )
    around = {int(m) + d for m in milestones for d in (-1, 0, 1)} | {warm, steps - 1}
    for step in sorted(around):
        reached = sum(step >= m - 1e-6 for m in milestones)
        assert float(rate(step)) == pytest.approx(0.1 * 0.2**reached), step


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
            "warm-up of 9 steps must be shorter than the run of 9",
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
            "cycles must be 1 to 9, the number of steps after the warm-up; received 10",
        ),
        (
            lambda: optimization.schedule("cosine", 1, steps=9, milestones=(3,)),
            "only the schedule step has milestones and a factor; received cosine with "
            "milestones=(3,)",
        ),
        (
            lambda: optimization.schedule("step", 1, steps=9, milestones=(6, 3)),
            "milestones must ascend between the 0 steps of the warm-up and the 9 of the run; "
            "received "
            "6, 3",
        ),
        (
            lambda: optimization.schedule("step", 1, steps=9, milestones=(9,)),
            "and the 9 of the run; received 9",
        ),
        (
            lambda: optimization.schedule("step", 1, steps=9, warmup_steps=3, milestones=(2, 4)),
            "between the 3 steps of the warm-up",
        ),
        (
            lambda: optimization.schedule("step", 1, steps=9, factor=1.5),
            "factor must lie between 0 and 1; received 1.5",
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


NAMES = {  # class and default name of before they were called Course…
    "SGD": "sgd",
    "Adagrad": "adagrad",
    "RMSprop": "rm_sprop",
    "AlmostAdam": "almost_adam",
    "Adam": "adam",
    "AdamW": "adam_w",
}


@pytest.mark.parametrize("old", NAMES)
def test_optimizers_of_old_files_load_and_variables_keep_their_paths(old):
    stored = {  # as version 0.4.0 wrote it
        "module": "cvcourse.optimization.course_optimizers",
        "class_name": old,
        "config": {"name": NAMES[old], "learning_rate": 0.5},
        "registered_name": f"cvcourse>{old}",
    }
    loaded = keras.saving.deserialize_keras_object(stored)
    now = getattr(optimization, old if old == "AlmostAdam" else f"Course{old}")
    for optimizer in (loaded, now(0.5), now(0.5)):
        optimizer.build([keras.Variable(np.ones(2), name="w")])
        assert (type(optimizer), optimizer.name) == (now, NAMES[old])
        assert {v.path.split("/")[0] for v in optimizer.variables} == {NAMES[old]}
        assert float(optimizer.learning_rate) == 0.5
    assert now.from_config(now(name="mine").get_config()).name == "mine"


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
    "adamw": (adam, 2),  # without decay
}
OURS = ("adagrad", "rmsprop", "adam", "almost_adam", "adamw")


def test_the_course_has_a_rule_for_every_optimizer():
    assert set(optimization.OPTIMIZERS) == set(COURSE)


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


@pytest.mark.parametrize("every", [1, 2])
def test_adamw_is_torch_s(every):
    """Decay by rate * weight_decay, of kernels alone, then Adam with 1e-8 beside the root.

    torch.optim.AdamW's documentation; gradients are accumulated over `every` batches.
    """
    model, decay = dense(), 0.3
    kernel, bias = model.trainable_variables
    rate = optimization.schedule("linear", RATE, steps=10)
    settings = {"gradient_accumulation_steps": every} if every > 1 else {}
    optimizer = optimization.optimizer("adamw", model, rate, weight_decay=decay, **settings)
    weights = [keras.ops.convert_to_numpy(v).astype("float64") for v in (kernel, bias)]
    moments = [[np.zeros_like(w)] * 2 for w in weights]
    rng = np.random.default_rng(0)
    for t in range(1, 11):
        batches = [
            [rng.normal(size=w.shape) * 10 ** rng.uniform(-7, 1, w.shape) for w in weights]
            for _ in range(every)
        ]
        for gradients in batches:
            optimizer.apply(
                [keras.ops.convert_to_tensor(g.astype("float32")) for g in gradients],
                [kernel, bias],
            )
        lr = RATE * (1 - (t - 1) / 10)
        for i, shrinks in enumerate([1 - lr * decay, 1]):
            g, (m, v) = np.mean([gradients[i] for gradients in batches], axis=0), moments[i]
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            moments[i] = [m, v]
            step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            weights[i] = weights[i] * shrinks - lr * step
    for variable, expected in zip((kernel, bias), weights, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=1e-4)


def test_adamw_s_first_step_for_a_small_gradient():
    assert first_step(optimization.CourseAdamW(0.01)) == pytest.approx(9.90e-3, rel=1e-3)
    assert first_step(keras.optimizers.AdamW(0.01)) == pytest.approx(2.40e-3, rel=2e-3)


def test_adam_is_the_course_s_everywhere():
    roots = [pathlib.Path(package.__path__[0]) for package in (cvcourse, cvcourse.recipes)]
    files = [file for root in roots for file in root.rglob("*.py")]
    assert len(files) > 100
    assert [file for file in files if "keras.optimizers.Adam" in file.read_text()] == []


# ---- accumulated gradients: all goes by updates of the weights ----


def descend(weight, optimizer, batches):
    """Apply the gradients 2 * weight * share of some batches: (weight, learning rate) after each.

    The loss of a batch is share * weight**2.
    """
    variable, found = keras.Variable([weight]), []
    for share in batches:
        optimizer.apply([2 * share * variable.value], [variable])
        found.append((float(variable.value[0]), float(optimizer.learning_rate)))
    return found


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("every", [1, 2, 4])
def test_rates_at_the_ends_of_epochs_for_any_accumulation(name, every):
    """Four epochs of four batches, in a straight line from 0.05 to 0."""
    rate = optimization.schedule("linear", 0.05, steps=16 // every)
    settings = {"gradient_accumulation_steps": every} if every > 1 else {}
    optimizer = optimization.optimizer(name, keras.Model(), rate, **settings)
    rates = [rate for _, rate in descend(3.0, optimizer, np.ones(16))]
    np.testing.assert_allclose(rates[3::4], [0.0375, 0.025, 0.0125, 0], atol=1e-8)


@pytest.mark.parametrize("warm", [0, 2])
@pytest.mark.parametrize("every", [2, 3])
def test_accumulated_steps_by_hand(every, warm):
    """Fourteen batches, of which three by three leave two that move nothing."""
    shares, steps = np.random.default_rng(0).uniform(0.5, 2, 14), 14 // every
    schedule = optimization.schedule("linear", 0.1, steps=steps, warmup_steps=warm)
    optimizer = optimization.optimizer(
        "sgd", keras.Model(), schedule, gradient_accumulation_steps=every
    )
    found = descend(3.0, optimizer, shares)
    weight, kept = 3.0, []
    for i, share in enumerate(shares):
        kept.append(2 * share * weight)
        if len(kept) == every:
            step = i // every
            rate = 0.1 * min((step + 1) / (warm or 1), 1 - (step - warm) / (steps - warm))
            weight, kept = weight - rate * np.mean(kept), []
        assert found[i][0] == pytest.approx(weight, rel=1e-5), i


@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_exponential_moving_average_decays_once_an_update(every):
    """Of 3 * 0.8, 3 * 0.8**2, …: the average begins with the first."""
    settings = {"gradient_accumulation_steps": every} if every > 1 else {}
    optimizer = optimization.optimizer(
        "sgd", keras.Model(), 0.1, use_ema=True, ema_momentum=0.99, **settings
    )
    found = descend(3.0, optimizer, np.ones(4 * every))
    mean = weight = 3 * 0.8
    for _ in range(3):
        weight *= 0.8
        mean = 0.99 * mean + 0.01 * weight
    assert found[-1][0] == pytest.approx(weight)
    average = float(optimizer._model_variables_moving_average[0].value[0])
    assert average == pytest.approx(mean)
    assert average == pytest.approx(2.37503, abs=5e-6)


def test_before_the_first_update_the_average_is_the_weights():
    optimizer = optimization.optimizer(
        "sgd", keras.Model(), 0.1, use_ema=True, gradient_accumulation_steps=3
    )
    descend(3.0, optimizer, np.ones(2))
    assert float(optimizer._model_variables_moving_average[0].value[0]) == 3.0


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_accumulation_is_saved_with_its_optimizer(name):
    rate = optimization.Shifted(optimization.schedule("linear", 0.1, steps=8), -1)
    optimizer = optimization.optimizer(name, keras.Model(), rate, gradient_accumulation_steps=2)
    loaded = keras.optimizers.deserialize(
        json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    )
    assert descend(3.0, loaded, np.ones(8)) == descend(3.0, optimizer, np.ones(8))
    assert float(loaded.learning_rate) == pytest.approx(0.1 * (1 - 3 / 8))


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
            theirs = first_step(
                getattr(keras.optimizers, optimizer.__name__.removeprefix("Course"))(0.01)
            )
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
