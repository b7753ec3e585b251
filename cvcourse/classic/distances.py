"""L1 and L2 distances between queries and rows.

CS231n notes, "Nearest Neighbor Classifier", https://cs231n.github.io/classification. The functions
`compute_distances_*` are the assignment's, with two, one and no loops; `row_distances` and
`fill_distances` compute in float64 for the search of `neighbor_search`.
"""

from concurrent.futures import Executor

import numpy as np
from scipy.spatial.distance import cdist

from cvcourse.classic.shapes import sizes

METRICS = {"l1": "cityblock", "l2": "euclidean"}  # names in SciPy
CACHE = 2**19  # bytes of the float64 rows that a thread compares with all queries


def compute_distances_two_loops(
    x: np.ndarray, x_train: np.ndarray, metric: str = "l2"
) -> np.ndarray:
    """Compute distances one by one.

    Args:
        x: Queries, (Q, D).
        x_train: Training examples, (N, D).
        metric: "l1", the sum of absolute differences, or "l2", the root of the sum of squares.

    Returns:
        Distances, (Q, N).

    >>> compute_distances_two_loops(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]), "l1")
    array([[7.]])
    """
    x, x_train, out = _check(x, x_train, metric)
    for i, a in enumerate(x):
        for j, b in enumerate(x_train):
            out[i, j] = abs(a - b).sum() if metric == "l1" else np.sqrt(((a - b) ** 2).sum())
    return out


def compute_distances_one_loop(
    x: np.ndarray, x_train: np.ndarray, metric: str = "l2"
) -> np.ndarray:
    """Compute `compute_distances_two_loops` with a loop over the queries.

    Args:
        x: Queries, (Q, D).
        x_train: Training examples, (N, D).
        metric: "l1" or "l2".

    Returns:
        Distances, (Q, N).

    >>> compute_distances_one_loop(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
    array([[5.]])
    """
    x, x_train, out = _check(x, x_train, metric)
    for i, a in enumerate(x):
        difference = a - x_train
        l1 = metric == "l1"
        out[i] = abs(difference).sum(axis=1) if l1 else np.sqrt((difference**2).sum(axis=1))
    return out


def compute_distances_no_loops(
    x: np.ndarray, x_train: np.ndarray, metric: str = "l2"
) -> np.ndarray:
    """Compute `compute_distances_two_loops` without loops.

    L2 is the root of |a|^2 - 2 a b + |b|^2, a matrix product; L1 needs an array (Q, N, D).

    Args:
        x: Queries, (Q, D).
        x_train: Training examples, (N, D).
        metric: "l1" or "l2".

    Returns:
        Distances, (Q, N).

    >>> compute_distances_no_loops(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
    array([[5.]])
    """
    x, x_train, _ = _check(x, x_train, metric)
    if metric == "l1":
        return abs(x[:, None] - x_train).sum(axis=2)
    squares = (x**2).sum(axis=1)[:, None] - 2 * x @ x_train.T + (x_train**2).sum(axis=1)
    return np.sqrt(np.maximum(squares, 0))  # rounding may make a square negative


def row_distances(query: np.ndarray, rows: np.ndarray, metric: str) -> np.ndarray:
    """Compute the distances of a query from some rows in float64.

    Args:
        query: Query, (D,), float64.
        rows: Rows, (N, D).
        metric: "l1" or "l2".

    Returns:
        Distances, (N,).

    >>> row_distances(np.zeros(2), np.array([[3, 4]]), "l2")
    array([5.])
    """
    return cdist(query[None], rows.astype(np.float64, copy=False), METRICS[metric])[0]


def fill_distances(
    out: np.ndarray, queries: np.ndarray, rows: np.ndarray, metric: str, pool: Executor
) -> None:
    """Compute the distances of all queries from all rows in float64, on several threads.

    Args:
        out: Array (Q, N) for the distances.
        queries: Queries, (Q, D), float64.
        rows: Rows, (N, D).
        metric: "l1" or "l2".
        pool: Threads.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> out = np.empty((1, 1))
    >>> fill_distances(out, np.zeros((1, 2)), np.array([[3, 4]]), "l1", ThreadPoolExecutor(1))
    >>> out
    array([[7.]])
    """

    def fill(part):
        block = rows[part].astype(np.float64, copy=False)
        out[:, part] = cdist(queries, block, METRICS[metric])

    list(pool.map(fill, row_parts(rows)))


def check_metric(metric: str) -> None:
    """Refuse the name of an unknown metric.

    Args:
        metric: Name.

    Raises:
        ValueError: If it is not one of METRICS.

    >>> check_metric("l1")
    """
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; it is one of {', '.join(METRICS)}")


def row_parts(rows: np.ndarray) -> list[slice]:
    """Divide rows into parts that fit in a core's cache in float64.

    Args:
        rows: Rows, (N, D).

    Returns:
        Slices of the rows.

    >>> row_parts(np.zeros((5, 2**15)))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    step = max(1, CACHE // (8 * rows.shape[1]))
    return [slice(start, start + step) for start in range(0, len(rows), step)]


def _check(x, x_train, metric):
    """Return both arrays as floats, and an array for their distances."""
    check_metric(metric)
    found = sizes("x Q D, x_train N D", x, x_train)
    dtype = np.result_type(x, x_train, np.float32)  # differences of unsigned integers wrap around
    return x.astype(dtype), x_train.astype(dtype), np.empty((found["Q"], found["N"]), dtype)
