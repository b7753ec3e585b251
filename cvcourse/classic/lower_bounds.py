"""Lower bounds of the distances between queries and rows, which cost less than the distances.

L1: |sum of (a - b)| over a block of columns is at most the sum of |a - b|, so distances of the sums
over blocks are lower bounds. They are tight where the columns of a block have similar values, as
neighboring pixels do: blocks are found by repeatedly joining the pairs that correlate most.

L2: |a|^2 - 2 a b + |b|^2, where a b for all pairs is one matrix product in float32, less a bound of
the rounding error, D 2^-24 |a| |b| for a b: Jeannerod & Rump, Improved error bounds for inner
products in floating-point arithmetic, SIAM Journal on Matrix Analysis and Applications 34, 2013.
"""

from concurrent.futures import Executor

import numpy as np

from cvcourse.classic.distances import fill_distances, row_parts

JOINS = 4  # a block has 2**JOINS columns
SAMPLE = 1000  # rows whose correlations determine the blocks
TINY = 1e-30  # above the error of products that are too small for float32
COLUMNS = 4096  # up to which columns are compared with each other; above, blocks are runs


class BlockSums:
    """Lower bounds of L1 distances, by sums over blocks of columns.

    Args:
        rows: Training examples, (N, D).

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> bounds = BlockSums(np.array([[0.0, 0.0], [1.0, -1.0]]))
    >>> bounds(np.ones((1, 2)), ThreadPoolExecutor(1)).round(6)
    array([[2., 2.]])
    """

    def __init__(self, rows: np.ndarray):
        blocks = column_blocks(rows[:: -(-len(rows) // SAMPLE)].astype(np.float64))
        self._columns = np.argsort(blocks, kind="stable")
        self._starts = np.flatnonzero(np.diff(blocks[self._columns], prepend=-1))
        self._sums, norms = _map_rows(lambda part: (self._sums_of(part), _norms(part, 1)), rows)
        # Sums of D terms, and of their sums: each rounding error is at most eps times the norms.
        self._error = 4 * (rows.shape[1] + 8) * np.finfo(np.float64).eps
        self._norm = norms.max()

    def _sums_of(self, x):
        return np.add.reduceat(x.take(self._columns, axis=1), self._starts, axis=1, dtype="float64")

    def __call__(self, queries: np.ndarray, pool: Executor) -> np.ndarray:
        """Return lower bounds (Q, N) of the distances of queries (Q, D)."""
        low = np.empty((len(queries), len(self._sums)))
        fill_distances(low, self._sums_of(queries), self._sums, "l1", pool)
        low -= self._error * (_norms(queries, 1)[:, None] + self._norm)
        return low


class Products:
    """Lower bounds of L2 distances, by a matrix product in float32.

    Args:
        rows: Training examples, (N, D).

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> bounds = Products(np.array([[0.0, 0.0], [3.0, 4.0]]))
    >>> bounds(np.zeros((1, 2)), ThreadPoolExecutor(1)).round(3) + 0
    array([[0., 5.]])
    """

    def __init__(self, rows: np.ndarray):
        self._mean = rows.mean(axis=0, dtype=np.float64)
        self._rows, self._norms = _map_rows(self._centered, rows)

    def _centered(self, x):
        """Return rows around the mean in float32, and their norms; too large numbers become inf."""
        with np.errstate(over="ignore"):
            centered = (x - self._mean).astype(np.float32)
        return centered, _norms(centered, 2)

    def __call__(self, queries: np.ndarray, pool: Executor) -> np.ndarray:
        """Return lower bounds (Q, N) of the distances of queries (Q, D)."""
        centered, norms = self._centered(queries)
        with np.errstate(over="ignore", invalid="ignore"):
            products = centered @ self._rows.T
        low = np.empty(products.shape)
        # The error of 2 a b is at most D 2^-24 (2 |a| |b|), which is at most D 2^-25 (|a| + |b|)^2.
        # 16 2^-25 of it more lower the root by 2^-22 (|a| + |b|): a and b were rounded to float32.
        error = (queries.shape[1] + 16) * 2.0**-25

        def fill(i):
            with np.errstate(over="ignore", invalid="ignore"):
                squares = norms[i] ** 2 + self._norms**2 - 2 * products[i]
                squares -= error * (norms[i] + self._norms) ** 2 + TINY
                low[i] = np.sqrt(np.maximum(squares, 0))
            low[i][~np.isfinite(low[i])] = 0  # numbers too large for float32

        list(pool.map(fill, range(len(queries))))
        return low


def column_blocks(x: np.ndarray) -> np.ndarray:
    """Divide columns into blocks of correlated ones: join the best pairs, JOINS times.

    Args:
        x: Examples, (N, D), float64.

    Returns:
        Numbers of the blocks, (D,).

    >>> column_blocks(np.repeat(np.eye(2), 16, axis=1)).tolist() == [0] * 16 + [1] * 16
    True
    """
    blocks = np.arange(x.shape[1])
    if len(blocks) > COLUMNS:
        return blocks >> JOINS
    for _ in range(JOINS):
        centered = x - x.mean(axis=0)
        centered /= np.maximum(_norms(centered.T, 2), 1e-150)
        pairs = _pairs((centered.T @ centered).astype(np.float32))
        blocks = pairs[blocks]
        x = np.array([x[:, pairs == pair].sum(axis=1) for pair in range(pairs.max() + 1)]).T
    return blocks


def _pairs(similarity):
    """Pair each element with the most similar one that is free; return the pairs' numbers."""
    np.fill_diagonal(similarity, -np.inf)
    pairs, count, free = np.full(len(similarity), -1), 0, np.arange(len(similarity))
    while len(free) > 1:
        best = similarity[np.ix_(free, free)].argmax(axis=1)
        first = np.flatnonzero(best[best] == np.arange(len(free)))  # mutual
        first = first[first < best[first]]
        pairs[free[first]] = pairs[free[best[first]]] = count + np.arange(len(first))
        count += len(first)
        free = free[pairs[free] < 0]
    pairs[free] = count
    return pairs


def _norms(x, order):
    return np.linalg.norm(x.astype(np.float64, copy=False), order, axis=1)


def _map_rows(function, rows):
    """Concatenate each result of a function of some rows, without a float64 copy of all."""
    parts = zip(*(function(rows[part]) for part in row_parts(rows)), strict=True)
    return [np.concatenate(part) for part in parts]
