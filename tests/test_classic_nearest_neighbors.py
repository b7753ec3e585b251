"""Nearest neighbors: distances, search with lower bounds, vote and cross-validation."""

import collections
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from classic_cases import normal
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from cvcourse.classic import distances, lower_bounds, neighbor_search
from cvcourse.classic.nearest_neighbors import KNearestNeighbors, cross_validate, majority

METRICS = ("l1", "l2")
SMOOTH = np.cumsum(normal(300, 97), axis=1)  # neighboring columns have similar values, as pixels
DATA = {
    "smooth": SMOOTH,
    "float32": SMOOTH.astype("float32"),
    "independent columns": normal(300, 200),
    "bytes with many ties": np.random.default_rng(0).integers(0, 3, (300, 7), "uint8"),
    "bytes of images": np.random.default_rng(1).integers(0, 256, (300, 4, 4, 3), "uint8"),
    "integers": np.random.default_rng(2).integers(-5, 6, (300, 19)),
    "every row twice": np.tile(normal(150, 20), (2, 1)),
    "one value": np.ones((300, 20)),
    "one column": np.arange(300.0)[:, None] ** 2,
    "far from 0": 1e8 + np.round(4 * SMOOTH),
    "one row far away": np.vstack([SMOOTH, 1e9 * SMOOTH[:1]]),
    "products too small for float32": 1e-22 * SMOOTH,
    "tiny": 1e-130 * SMOOTH,
    "large": 1e130 * SMOOTH,
    "some columns constant": np.hstack([np.zeros((300, 33)), SMOOTH]),
}


def full_search(x, y, queries, k, metric):
    """Distances and rows by (distance, label, row), in float64; rounding does not break ties."""
    x, queries = (np.reshape(a, (len(a), -1)).astype("float64") for a in (x, queries))
    true = np.linalg.norm(queries[:, None] - x, int(metric[1]), axis=2)
    rounded = np.vectorize(lambda distance: float(f"{distance:.12g}"))(true)
    rows = np.array([np.lexsort((np.arange(len(x)), y, row))[:k] for row in rounded])
    return np.take_along_axis(true, rows, axis=1), rows


def labels(count, classes=5):
    return np.random.default_rng(count).integers(classes, size=count)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["float64", "float32", "uint8"])
def test_loops_and_arrays_give_one_distance(metric, kind):
    x, x_train = (100 + 30 * normal(*shape) for shape in ((5, 40), (7, 40)))
    x, x_train = np.round(x).astype(kind), x_train.astype(kind)
    two, one, none = (
        getattr(distances, f"compute_distances_{name}")(x, x_train, metric)
        for name in ("two_loops", "one_loop", "no_loops")
    )
    expected = np.linalg.norm(x[:, None] - x_train.astype("float64"), int(metric[1]), axis=2)
    for found in (two, one, none):
        assert found.dtype == ("float64" if kind == "float64" else "float32")
        tolerance = 1e-12 if kind == "float64" else 1e-4
        np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_a_distance_by_rounding_below_0():
    x = 1e4 + normal(20, 30)
    found = distances.compute_distances_no_loops(x, x)
    assert np.isfinite(found).all() and np.diag(found).max() < 1e-2


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", DATA)
def test_neighbors_are_those_of_a_full_search(name, metric, monkeypatch):
    x = DATA[name]
    y, queries = labels(len(x)), np.concatenate([x[:25], x[40:45] + x.dtype.type(1)])
    distances, rows = full_search(x, y, queries, 7, metric)
    for many, k in ((1, 7), (1, 1), (-1, 7)):  # by the bounds, and by all distances
        monkeypatch.setattr(neighbor_search, "MANY", many)
        found, found_rows = KNearestNeighbors(k, metric, jobs=3).fit(x, y).neighbors(queries)
        np.testing.assert_allclose(found, distances[:, :k], rtol=1e-12)
        np.testing.assert_array_equal(found_rows, rows[:, :k])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", DATA)
def test_bounds_are_below_the_distances(name, metric):
    x = np.reshape(DATA[name], (300 + (name == "one row far away"), -1))
    queries = np.concatenate([x[:25], x[40:45] + x.dtype.type(1)]).astype("float64")
    with ThreadPoolExecutor(2) as pool:
        low = neighbor_search.BOUNDS[metric](x)(queries, pool)
    true = np.linalg.norm(queries[:, None] - x.astype("float64"), int(metric[1]), axis=2)
    assert (low <= true).all()


def test_bounds_of_queries_too_large_for_float32():
    """Their products are infinite or NaN; a full search is left."""
    x = SMOOTH
    queries = np.array([[1e60] * 97, [-1e100] * 97])
    found, rows = KNearestNeighbors(3).fit(x, labels(300)).neighbors(queries)
    expected, expected_rows = full_search(x, labels(300), queries, 3, "l2")
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(rows, expected_rows)


@pytest.mark.parametrize("metric", METRICS)
def test_few_rows_are_compared(metric, monkeypatch):
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(2000, 128)), axis=1)[:, rng.permutation(128)]
    compared = []

    def counting(query, rows, metric):
        compared.append(len(rows))
        return distances.row_distances(query, rows, metric)

    monkeypatch.setattr(neighbor_search, "row_distances", counting)
    monkeypatch.setattr(neighbor_search, "fill_distances", None)  # of all rows
    KNearestNeighbors(1, metric).fit(x[100:], labels(1900)).neighbors(x[:100])
    assert sum(compared) < 0.02 * 100 * 1900


def test_columns_that_correlate_share_a_block(monkeypatch):
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.arange(64) // 16)
    x = normal(400, 4)[:, groups] + 0.3 * normal(400, 64)
    blocks = lower_bounds.column_blocks(x)
    assert {len({*blocks[groups == group]}) for group in range(4)} == {1}
    assert lower_bounds.column_blocks(normal(50, 37)).max() + 1 == 3  # 37, 19, 10, 5, 3
    monkeypatch.setattr(lower_bounds, "COLUMNS", 63)
    np.testing.assert_array_equal(lower_bounds.column_blocks(x), np.arange(64) // 16)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("many", [0.25, -1])
def test_memory_is_bounded_and_changes_nothing(metric, many, monkeypatch):
    monkeypatch.setattr(neighbor_search, "MANY", many)
    x, y, queries = normal(8000, 64), labels(8000), normal(300, 64, seed=1)
    memory = 24 * 2**20
    tight = KNearestNeighbors(3, metric, memory=memory, jobs=2).fit(x, y)
    tracemalloc.start()
    try:
        found = tight.neighbors(queries)
        assert memory / 4 < tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    for a, b in zip(found, KNearestNeighbors(3, metric).fit(x, y).neighbors(queries), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("metric", METRICS)
def test_digits_as_scikit_learn(metric):
    x, y = load_digits(return_X_y=True)
    found, rows = KNearestNeighbors(8, metric).fit(x[300:], y[300:]).neighbors(x[:300])
    other = NearestNeighbors(n_neighbors=8, algorithm="brute", p=int(metric[1])).fit(x[300:])
    np.testing.assert_allclose(found, other.kneighbors(x[:300])[0], rtol=1e-6)
    assert np.mean(y[300:][rows[:, 0]] == y[:300]) > 0.94


def test_ties():
    x = np.array([[1.0], [-1.0], [1.0], [5.0], [-5.0], [9.0]])
    y = np.array(["d", "b", "a", "c", "c", "a"])
    model = KNearestNeighbors(3, "l1").fit(x, y)
    np.testing.assert_array_equal(model.neighbors([[0.0]])[1], [[2, 1, 0]])  # a, b, d
    assert model.predict([[0.0]]) == ["a"]  # one vote each
    assert KNearestNeighbors(5, "l1").fit(x, y).predict([[0.0]]) == ["c"]  # two votes
    assert KNearestNeighbors(6, "l1").fit(x, y).predict([[0.0]]) == ["a"]  # before c, at 1


VOTES = {
    "one": ([[4]], 4),
    "most": ([[1, 2, 2, 3, 3, 3]], 3),
    "equal: the nearest": ([[2, 1, 1, 2]], 2),
    "equal, and none of them nearest": ([[5, 1, 0, 0, 1]], 1),
}


@pytest.mark.parametrize("name", VOTES)
def test_votes(name):
    given, label = VOTES[name]
    assert majority(np.array(given)) == [label]


@pytest.mark.parametrize("metric", METRICS)
def test_cross_validation_as_with_a_full_search_for_each_k(metric):
    x, y = normal(43, 6), labels(43, 3)
    found = cross_validate(x, y, ks=[4, 1, 9], folds=4, metric=metric)
    assert [*found] == [4, 1, 9]
    for k, accuracies in found.items():
        for fold, accuracy in zip(np.array_split(np.arange(43), 4), accuracies, strict=True):
            rest = np.setdiff1d(np.arange(43), fold)
            _, rows = full_search(x[rest], y[rest], x[fold], k, metric)
            votes = [collections.Counter(y[rest][row].tolist()) for row in rows]
            guesses = [max(vote, key=vote.get) for vote in votes]  # of equal counts the first
            assert accuracy == pytest.approx(np.mean(guesses == y[fold]))


X, Y = np.ones((4, 3)), np.arange(4)
WRONG = {
    "k": (lambda: KNearestNeighbors(5).fit(X, Y), "k is 5, but x (4, 3) has 4 examples"),
    "no neighbors": (lambda: KNearestNeighbors(0), "k is 0"),
    "no threads": (lambda: KNearestNeighbors(jobs=0), "jobs is 0"),
    "metric": (lambda: KNearestNeighbors(1, "l3"), "metric is 'l3'; it is one of l1, l2"),
    "metric of loops": (
        lambda: distances.compute_distances_no_loops(X, X, "cosine"),
        "metric is 'cosine'",
    ),
    "a label missing": (
        lambda: KNearestNeighbors().fit(X, Y[1:]),
        "x (4, 3), y (3,); expected x (N, D), y (N)",
    ),
    "columns": (
        lambda: KNearestNeighbors().fit(X, Y).predict(np.ones((2, 5))),
        "x (2, 5), x_train (4, 3); expected x (Q, D), x_train (N, D)",
    ),
    "columns of loops": (
        lambda: distances.compute_distances_one_loop(X, np.ones((2, 5))),
        "x (4, 3), x_train (2, 5)",
    ),
    "one row": (lambda: KNearestNeighbors().fit(X, Y).predict(X[0]), "x (3,) of float64"),
    "no rows": (lambda: KNearestNeighbors().fit(X[:0], Y[:0]), "x (0, 3) of float64"),
    "texts": (lambda: KNearestNeighbors().fit(X.astype(str), Y), "x (4, 3) of <U"),
    "NaN": (lambda: KNearestNeighbors().fit(X * np.nan, Y), "values from nan to nan"),
    "infinite": (lambda: KNearestNeighbors().fit(X, Y).predict(X * np.inf), "from inf to inf"),
    "no fit": (lambda: KNearestNeighbors().predict(X), "call fit(x, y) first"),
    "memory": (
        lambda: KNearestNeighbors(memory=1000).fit(X, Y).predict(X),
        "memory is 1000 bytes; rows (4, 3) need 4",
    ),
    "folds": (lambda: cross_validate(X, Y, [1], folds=5), "folds is 5 for 4 examples"),
    "no ks": (lambda: cross_validate(X, Y, []), "ks is []"),
    "k above a fold": (lambda: cross_validate(X, Y, [3], folds=2), "k is 3, but x (2, 3) has 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name):
    function, message = WRONG[name]
    with pytest.raises(ValueError) as error:
        function()
    assert message in str(error.value)
