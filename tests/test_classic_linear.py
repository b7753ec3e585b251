"""Linear classifiers: gradients, training against scikit-learn, penalties, searches, templates."""

import functools

import classic_cases
import numpy as np
import pytest
import tensorflow as tf
from classic_cases import Pair, normal

from cvcourse import optimization
from cvcourse.classic import linear_classifiers, random_search, regularization
from cvcourse.classic.linear_classifiers import LinearSVM, Softmax

pytestmark = pytest.mark.usefixtures("double_precision")

X = linear_classifiers.bias_trick(normal(12, 4))
Y = np.arange(12) % 3
W = normal(5, 3)


def loss_of(classifier, reg):
    """A classifier's loss as a function of its weights W; examples have their dtype."""

    def forward(W):
        classifier.W = W
        return classifier.loss(X.astype(W.dtype), Y, reg)

    return functools.partial(Pair, forward, None, {"W": W})


def by_keras(loss, l1, l2):
    def function(W):
        penalty = l1 * tf.reduce_sum(tf.abs(W)) + l2 * tf.reduce_sum(W**2)
        return optimization.LOSSES[loss]()(Y, tf.constant(X) @ W) + penalty

    return function


GRADIENTS = {
    "softmax": loss_of(Softmax(), 0.7)(by_keras("softmax", 0, 0.7)),
    "svm": loss_of(LinearSVM(), 0.7)(by_keras("hinge", 0, 0.7)),
    "l1": loss_of(Softmax(penalty="l1"), 0.7)(by_keras("softmax", 0.7, 0)),
    "elastic_net": loss_of(Softmax(penalty="elastic_net"), (0.3, 0.7))(
        by_keras("softmax", 0.3, 0.7)
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    classic_cases.check_slopes(GRADIENTS[name])
    classic_cases.check_against_keras(GRADIENTS[name])
    classic_cases.check_types(GRADIENTS[name])


def steps(classifier, rate=0.1, reg=0.01, count=3000):
    """Steps on all examples at once: minibatches of all rows instead of drawn ones."""

    class EveryRow:
        def integers(self, end, size):
            return np.arange(end)

        def standard_normal(self, shape):
            return np.random.default_rng(0).standard_normal(shape)

    classifier.rng = EveryRow()
    return classifier.train(X, Y, rate, reg, count)


def test_softmax_reaches_the_optimum_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    classifier = Softmax()
    history = steps(classifier)
    assert history[-1] < history[0] == pytest.approx(np.log(3), abs=0.01)
    # C multiplies the sum of the losses, and its penalty has a factor 1/2.
    reference = linear_model.LogisticRegression(
        C=1 / (2 * 0.01 * len(X)), fit_intercept=False, tol=1e-9, max_iter=1000
    ).fit(X, Y)
    np.testing.assert_allclose(classifier.W.T, reference.coef_, atol=1e-4)
    np.testing.assert_array_equal(classifier.predict(X), reference.predict(X))


@pytest.mark.parametrize(("form", "theirs"), [("one_vs_all", "ovr"), ("crammer_singer",) * 2])
def test_svm_reaches_the_optimum_of_scikit_learn(form, theirs):
    svm = pytest.importorskip("sklearn.svm")
    classifier = LinearSVM(form=form)
    steps(classifier, rate=0.005, reg=0.1, count=5000)
    reference = svm.LinearSVC(
        C=1 / (2 * 0.1 * len(X)),
        loss="hinge",
        multi_class=theirs,
        fit_intercept=False,
        tol=1e-8,
        max_iter=10**5,
    ).fit(X, Y)
    np.testing.assert_allclose(classifier.W.T, reference.coef_, atol=0.01)


def test_a_step_is_that_of_the_minibatch_drawn():
    classifier = Softmax(seed=4)
    rng = np.random.default_rng(4)
    start = 1e-3 * rng.standard_normal((5, 3))
    rows = rng.integers(12, size=6)
    other = Softmax()
    other.W = start
    loss, gradient = other.loss(X[rows], Y[rows], 0.2)
    assert classifier.train(X, Y, 0.5, 0.2, num_iters=1, batch_size=6) == [loss]
    np.testing.assert_array_equal(classifier.W, start - 0.5 * gradient)
    kept = start.copy()
    other.train(X, Y, num_iters=1)
    np.testing.assert_array_equal(start, kept)  # not changed in place
    again = Softmax(seed=4)
    history = classifier.train(X, Y, 0.5, 0.2, num_iters=3, batch_size=6)
    assert again.train(X, Y, 0.5, 0.2, num_iters=4, batch_size=6)[1:] == history  # goes on


def test_float32_is_kept():
    classifier = LinearSVM(norm=0.5)
    classifier.train(X.astype("float32"), Y)
    assert classifier.W.dtype == np.float32
    assert linear_classifiers.bias_trick(np.ones((1, 1), "float32")).dtype == np.float32


def test_penalties_make_small_and_sparse_weights():
    found = {}
    for name, settings, reg in (
        ("none", {}, 0.0),
        ("l2", {}, 0.1),
        ("l1", {"penalty": "l1"}, 0.1),
        ("norm", {"norm": 0.3}, 0.0),
    ):
        classifier = Softmax(**settings)
        steps(classifier, rate=0.01, reg=reg)
        found[name] = classifier.W
    sizes = {name: np.linalg.norm(W, axis=0).max() for name, W in found.items()}
    assert sizes["l2"] < 0.5 * sizes["none"]
    assert sizes["norm"] == pytest.approx(0.3)
    tiny = {name: np.mean(np.abs(W) < 2e-3) for name, W in found.items()}  # a step of L1 is 1e-3
    assert tiny["l1"] >= 0.4 > 0.1 >= tiny["l2"]


def test_max_norm_leaves_short_columns_and_zeros():
    weights = np.array([[0.0, 3, 0.3], [0, 4, 0.4]])
    expected = [[0, 1.2, 0.3], [0, 1.6, 0.4]]
    np.testing.assert_allclose(regularization.max_norm(weights, 2.0), expected, rtol=1e-15)


def distance(W):
    return float(np.sum((W - 3) ** 2))


def test_searches():
    """The first keeps the best of independent draws, the second goes on from the best."""
    found, history = random_search.random_search(distance, (4, 2), tries=50, scale=2.0, seed=1)
    rng = np.random.default_rng(1)
    draws = [2.0 * rng.standard_normal((4, 2)) for _ in range(50)]
    np.testing.assert_array_equal(found, min(draws, key=distance))
    assert history == [min(map(distance, draws[: i + 1])) for i in range(50)]
    start = np.zeros((4, 2))
    local, history = random_search.random_local_search(distance, start, tries=500, step=0.3)
    assert history[-1] == distance(local) < 1 < distance(found)
    assert not start.any()
    assert history == sorted(history, reverse=True)


def test_templates():
    images = np.arange(12.0).reshape(2, 2, 3)
    weights = np.stack([images.ravel(), -5 * images.ravel() + 2, np.ones(12)], axis=1)
    found = linear_classifiers.templates(weights, (2, 2, 3))
    expected = np.round(images / 11 * 255)
    np.testing.assert_array_equal(found, [expected, 255 - expected, 0 * images])
    assert found.dtype == np.uint8


def trained():
    classifier = Softmax()
    classifier.train(X, Y, num_iters=1)
    return classifier


WRONG = {
    "penalty": (
        lambda: Softmax(penalty="l3"),
        "penalty is 'l3'; it is one of l2, l1, elastic_net",
    ),
    "form": (lambda: LinearSVM(form="hinge").train(X, Y), "form is 'hinge'"),
    "labels missing": (
        lambda: Softmax().train(X, Y[:5]),
        "X (12, 5), y (5,); expected X (N, D), y (N)",
    ),
    "not trained": (lambda: Softmax().predict(X), "call train first"),
    "without the bias": (
        lambda: trained().predict(X[:, :4]),
        "X (12, 4), W (5, 3); expected X (N, D), W (D, C)",
    ),
    "templates with the bias": (
        lambda: linear_classifiers.templates(W, (2, 2)),
        "W (5, 3) has not a row for each pixel of an image (2, 2)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name):
    function, message = WRONG[name]
    with pytest.raises(ValueError) as error:
        function()
    assert message in str(error.value)
