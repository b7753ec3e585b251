"""Nearest neighbors by L1 and L2 distance.

CS231n notes, "Nearest Neighbor Classifier", https://cs231n.github.io/classification. The
neighbors are those that the functions of `distances` give in float64; `neighbor_search` finds them
without computing every distance.
"""

from collections.abc import Sequence

import numpy as np

from cvcourse.classic.distances import check_metric
from cvcourse.classic.neighbor_search import Search
from cvcourse.classic.shapes import sizes

LARGEST = 1e140  # absolute value: squares and sums of 1e20 columns are finite


class KNearestNeighbors:
    """Classifier by the k nearest training examples.

    Of two examples at the same distance, the one with the smaller label is nearer, then the one
    that comes first. `majority` is the vote.

    Args:
        k: Number of neighbors.
        metric: "l1" or "l2".
        memory: Bytes of working memory of `neighbors` and `predict`.
        jobs: Number of threads; none: one for each core.

    Raises:
        ValueError: If an argument is not valid.

    >>> model = KNearestNeighbors(k=1).fit(np.array([[0.0], [3.0]]), np.array([5, 7]))
    >>> model.predict(np.array([[1.0], [2.0]]))
    array([5, 7])
    """

    def __init__(
        self, k: int = 1, metric: str = "l2", memory: int = 2**28, jobs: int | None = None
    ):
        check_metric(metric)
        if k < 1 or (jobs is not None and jobs < 1):
            raise ValueError(f"k is {k} and jobs is {jobs}; they are 1 or more")
        self.k, self.metric, self.memory, self.jobs = k, metric, memory, jobs

    def fit(self, x: np.ndarray, y: np.ndarray) -> "KNearestNeighbors":
        """Store the training examples in the order of their labels, and prepare the search.

        Args:
            x: Examples, (N, d1, ..., dk), of floats or integers.
            y: Labels, (N,).

        Returns:
            The classifier.

        Raises:
            ValueError: If there are fewer than k examples, or x or y is not valid.
        """
        rows, y = _flat(x), np.array(y)
        sizes("x N D, y N", rows, y)
        if self.k > len(rows):
            raise ValueError(f"k is {self.k}, but x {np.shape(x)} has {len(rows)} examples")
        self._order = np.argsort(y, kind="stable")
        self._labels = y
        self._search = Search(rows[self._order], self.metric)
        return self

    def neighbors(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest training examples of each query.

        Args:
            x: Queries, (Q, d1, ..., dk).

        Returns:
            Distances, (Q, k), in float64 and ascending, and row numbers of the examples, (Q, k).

        Raises:
            ValueError: If `fit` was not called, or x is not valid.
        """
        if not hasattr(self, "_search"):
            raise ValueError("no training examples: call fit(x, y) first")
        queries = _flat(x)
        sizes("x Q D, x_train N D", queries, self._search.rows)
        distances, positions = self._search(queries, self.k, self.memory, self.jobs)
        return distances, self._order[positions]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predict the label of each query.

        Args:
            x: Queries, (Q, d1, ..., dk).

        Returns:
            Labels, (Q,).
        """
        _, examples = self.neighbors(x)
        return majority(self._labels[examples])


def majority(labels: np.ndarray) -> np.ndarray:
    """Return the most frequent label of each row; of equally frequent ones, the first in the row.

    With the neighbors in ascending order, a tie goes to the label with the nearest neighbor.

    Args:
        labels: Labels of the neighbors, (Q, k), nearest first.

    Returns:
        Labels, (Q,).

    >>> majority(np.array([[3, 1, 1], [2, 0, 1]]))
    array([1, 2])
    """
    votes = np.zeros(labels.shape, int)
    for column in labels.T:
        votes += labels == column[:, None]
    return labels[np.arange(len(labels)), votes.argmax(axis=1)]


def cross_validate(
    x: np.ndarray, y: np.ndarray, ks: Sequence[int], folds: int = 5, metric: str = "l2"
) -> dict[int, list[float]]:
    """Compute the accuracy of each k on each fold; distances are computed once for all k.

    Args:
        x: Examples in random order, (N, d1, ..., dk). Folds are consecutive.
        y: Labels, (N,).
        ks: Numbers of neighbors.
        folds: Number of folds.
        metric: "l1" or "l2".

    Returns:
        {k: accuracies of the folds}.

    Raises:
        ValueError: If there are no ks, or not enough examples.

    >>> x = np.array([[0.0], [9.0], [1.0], [8.0]])
    >>> cross_validate(x, np.array([0, 1, 0, 1]), ks=[1], folds=2)
    {1: [1.0, 1.0]}
    """
    x, y, ks = np.asarray(x), np.asarray(y), list(dict.fromkeys(ks))
    sizes("x N D, y N", _flat(x), y)
    if not ks or min(ks) < 1 or not 2 <= folds <= len(x):
        raise ValueError(
            f"ks is {ks} and folds is {folds} for {len(x)} examples; ks are 1 or more, and there "
            "are 2 folds or more"
        )
    found: dict[int, list[float]] = {k: [] for k in ks}
    for fold in np.array_split(np.arange(len(x)), folds):
        train = np.delete(np.arange(len(x)), fold)
        model = KNearestNeighbors(max(ks), metric).fit(x[train], y[train])
        labels = y[train][model.neighbors(x[fold])[1]]
        for k in ks:
            found[k].append(float(np.mean(majority(labels[:, :k]) == y[fold])))
    return found


def _flat(x):
    """Return examples as (N, D), after checking that their distances are finite."""
    x = np.asarray(x)
    if x.ndim < 2 or not x.size or x.dtype.kind not in "biuf":
        raise ValueError(f"x {x.shape} of {x.dtype}; it has one or more rows of numbers")
    low, high = float(x.min()), float(x.max())
    if not -LARGEST <= low <= high <= LARGEST:  # also false for NaN
        raise ValueError(f"x {x.shape} has values from {low} to {high}; {LARGEST} is the limit")
    return x.reshape(len(x), -1)
