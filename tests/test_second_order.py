"""Flat weights, L-BFGS and Newton against derivatives by hand and against scikit-learn."""

import keras
import numpy as np
import pytest

from cvcourse import data, models, optimization

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
DECAY = 2e-3


@pytest.fixture(scope="module")
def digits():
    """500 of them at half their size: 4x4 pixels in 0..1."""
    split = data.load("digits").train.take(slice(500))
    images = split.images.reshape(-1, 4, 2, 4, 2, 1).mean((2, 4), dtype="float32")
    return images / 255, split.labels


def small_net(dtype="float64"):
    """The 51 weights of (3, 3, 1) -> conv, tanh -> 3 scores, smooth everywhere."""
    keras.utils.set_random_seed(0)
    image = keras.Input((3, 3, 1), dtype=dtype)
    x = keras.layers.Conv2D(3, 2, activation="tanh", dtype=dtype)(image)
    scores = keras.layers.Dense(3, use_bias=False, dtype=dtype)(
        keras.layers.Flatten(dtype=dtype)(x)
    )
    return keras.Model(image, scores)


def examples(count=10):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 3, 3, 1)), np.arange(count) % 3


def test_flat_weights_go_out_and_in_again():
    net = small_net("float32")
    vector = optimization.flat_weights(net)
    assert (vector.shape, vector.dtype) == ((4 * 3 + 3 + 12 * 3,), "float64")
    np.testing.assert_array_equal(vector[:12], net.get_weights()[0].ravel())
    optimization.set_flat_weights(net, np.arange(51))
    np.testing.assert_array_equal(net.get_weights()[2].ravel(), np.arange(15, 51))
    np.testing.assert_array_equal(optimization.flat_weights(net), np.arange(51))
    with pytest.raises(ValueError, match=r"51 weights; received a vector of shape \(50,\)"):
        optimization.set_flat_weights(net, np.zeros(50))


def test_gradient_and_hessian_are_those_of_differences():
    """In float64, with a penalty, over chunks of 4, 4 and 2 examples."""
    net = optimization.l2_on_kernels(small_net(), 0.1)
    exact = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
    objective = optimization.Objective(net, *examples(), loss=exact, batch_size=4)
    w, h = optimization.flat_weights(net), 1e-5
    value, gradient = objective(w)
    shifts = h * np.eye(len(w))
    pairs = [(objective(w + shift), objective(w - shift)) for shift in shifts]
    slopes = [(up[0] - down[0]) / (2 * h) for up, down in pairs]
    curves = [(up[1] - down[1]) / (2 * h) for up, down in pairs]
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)
    np.testing.assert_allclose(objective.hessian(w), curves, atol=1e-8)
    assert objective.passes == 1 + 2 * len(w)
    penalty = 0.05 * sum((k**2).sum() for k in (net.get_weights()[0], net.get_weights()[2]))
    images, labels = examples()
    scores = net.predict(images, verbose=0)
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(10), labels]
    assert value == pytest.approx(losses.mean() + penalty, rel=1e-6)


def test_the_compiled_loss_is_taken_with_its_penalties():
    net = optimization.l2_on_kernels(small_net("float32"), 0.1)
    net.compile("sgd", CROSS_ENTROPY)
    compiled = optimization.Objective(net, *examples())
    given = optimization.Objective(net, *examples(), loss=CROSS_ENTROPY)
    w = optimization.flat_weights(net)
    assert compiled(w)[0] == pytest.approx(given(w)[0], rel=1e-6)
    assert compiled(w)[0] == pytest.approx(net.evaluate(*examples(), verbose=0), rel=1e-6)


def with_norm_and_dropout():
    keras.utils.set_random_seed(0)
    vector = keras.Input((6,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(8)(vector))
    return keras.Model(vector, keras.layers.Dense(2)(keras.layers.Dropout(0.5)(x)))


@pytest.mark.parametrize("training", [False, True])
def test_the_objective_is_a_pure_function(training):
    """It repeats itself, and leaves moving averages and the dropout's seed alone."""
    model = with_norm_and_dropout()
    x, y = np.random.default_rng(0).normal(3, 1, (20, 6)), np.arange(20) % 2
    objective = optimization.Objective(model, x, y, loss=CROSS_ENTROPY, training=training)
    w, before = optimization.flat_weights(model), [np.array(v.value) for v in model.variables]
    first, again = objective(w), objective(w)
    np.testing.assert_array_equal(first[1], again[1])
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.value)
    expected = float(CROSS_ENTROPY(y, model(x, training=training)))
    if not training:
        assert first[0] == pytest.approx(expected, rel=1e-6)
    else:  # the next mask differs, the batch's statistics make it far from inference
        assert first[0] != pytest.approx(float(CROSS_ENTROPY(y, model(x))), rel=1e-2)


A = np.array([[5.0, 1, 0], [1, 3, 1], [0, 1, 0.1]]) @ np.diag([1.0, 2, 3])
A = A.T @ A  # positive definite, condition number about 1e4


def quadratic():
    """A model whose three weights w are its output, and the loss w'Aw/2 - sum(w)."""
    model = keras.Sequential(
        [keras.Input((1,), dtype="float64"), keras.layers.Dense(3, use_bias=False, dtype="float64")]
    )

    def loss(_, w):
        return keras.ops.sum((w @ A) * w) / 2 - keras.ops.sum(w)

    return model, np.ones((1, 1)), np.zeros((1, 3)), loss


def test_newton_solves_a_quadratic_in_one_step():
    model, x, y, loss = quadratic()
    history = optimization.newton(model, x, y, loss=loss, tolerance=1e-8)
    np.testing.assert_allclose(optimization.flat_weights(model), np.linalg.solve(A, np.ones(3)))
    assert len(history["loss"]) == 2 and history["gradient"][1] < 1e-8


def test_lbfgs_solves_a_quadratic():
    model, x, y, loss = quadratic()
    history = optimization.lbfgs(model, x, y, loss=loss, tolerance=1e-9)
    solution = np.linalg.solve(A, np.ones(3))
    np.testing.assert_allclose(optimization.flat_weights(model), solution, rtol=1e-5)
    assert history["loss"][-1] == pytest.approx(-solution.sum() / 2)
    assert (np.diff(history["loss"]) <= 0).all()


def test_steps_are_counted_and_seen():
    model, x, y, loss = quadratic()
    seen = []
    note = lambda: seen.append(optimization.flat_weights(model))  # noqa: E731
    history = optimization.lbfgs(model, x, y, loss=loss, steps=3, on_step=note)
    assert len(history["loss"]) == len(history["passes"]) == 4 == 1 + len(seen)
    objective = optimization.Objective(model, x, y, loss=loss)
    np.testing.assert_allclose([objective(w)[0] for w in seen], history["loss"][1:])


def test_damping_leads_newton_away_from_a_saddle():
    """From beside the saddle of x^2 - y^2 + y^4, where the Hessian is indefinite, to a minimum."""
    model = keras.Sequential(
        [keras.Input((1,), dtype="float64"), keras.layers.Dense(2, use_bias=False, dtype="float64")]
    )

    def loss(_, w):
        x, y = w[:, 0], w[:, 1]
        return keras.ops.sum(x**2 - y**2 + y**4)

    model.set_weights([np.array([[1.0, 1e-3]])])
    history = optimization.newton(model, np.ones((1, 1)), np.zeros((1, 2)), loss=loss, steps=40)
    np.testing.assert_allclose(optimization.flat_weights(model), [0, np.sqrt(0.5)], atol=1e-5)
    assert max(history["damping"]) > 2  # more than the curvature of -2
    assert (np.diff(history["loss"]) < 0).all()


def linear():
    keras.utils.set_random_seed(0)
    model = models.build("linear", input_shape=(4, 4, 1), num_classes=10)
    return optimization.l2_on_kernels(model, DECAY)


@pytest.fixture(scope="module")
def best_loss(digits):
    """That of scikit-learn's solution."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    images, labels = digits
    pixels = images.reshape(len(images), -1)
    fitted = LogisticRegression(C=1 / (len(labels) * DECAY), tol=1e-8, max_iter=2000)
    fitted.fit(pixels, labels)
    penalty = DECAY / 2 * (fitted.coef_**2).sum()
    return log_loss(labels, fitted.predict_proba(pixels)) + penalty


def test_lbfgs_finds_scikit_learn_s_optimum_and_is_deterministic(digits, best_loss):
    runs = []
    for _ in range(2):
        model = linear()
        runs.append(optimization.lbfgs(model, *digits, loss=CROSS_ENTROPY, steps=200)["loss"])
    assert runs[0] == runs[1]
    assert runs[0][-1] == pytest.approx(best_loss, abs=1e-4)


def test_newton_converges_quadratically(digits, best_loss):
    """Near the optimum each gradient is at most a constant times the square of the last one."""
    history = optimization.newton(linear(), *digits, loss=CROSS_ENTROPY)
    assert history["loss"][-1] == pytest.approx(best_loss, abs=1e-6)
    assert len(history["loss"]) < 10 and max(history["damping"]) <= 1e-6
    *_, before, last = history["gradient"]
    assert last < 1e-5 < before < 1e-2
    ratios = np.divide(history["gradient"][-3:], np.square(history["gradient"][-4:-1]))
    assert ratios.max() < 10 * ratios.min()


def test_lbfgs_beats_adam_at_as_many_passes(digits):
    """On softmax regression: 30 epochs of Adam against 30 passes."""
    ours, theirs = linear(), linear()
    history = optimization.lbfgs(ours, *digits, loss=CROSS_ENTROPY, steps=25)
    assert history["passes"][-1] <= 30
    theirs.compile(optimization.optimizer("adam", theirs, 0.01, weight_decay=DECAY), CROSS_ENTROPY)
    theirs.fit(*digits, batch_size=50, epochs=30, verbose=0)
    assert history["loss"][-1] < theirs.evaluate(*digits, batch_size=1024, verbose=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: optimization.newton(models.build("mlp", input_shape=(8, 8, 1)), None, None),
            "Hessian of up to 5,000 weights, but the model has 167,178: use lbfgs",
        ),
        (
            lambda: optimization.lbfgs(
                small_net(), np.full((1, 3, 3, 1), np.nan), np.zeros(1), loss=CROSS_ENTROPY
            ),
            "the loss is nan before the first step",
        ),
    ],
)
def test_what_they_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="received jax: set KERAS_BACKEND=tensorflow"):
        optimization.lbfgs(small_net(), *examples(), loss=CROSS_ENTROPY)
