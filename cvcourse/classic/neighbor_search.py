"""Exact search for the nearest rows, which computes few of the distances.

Every row has a lower bound of its distance, from `lower_bounds`. Rows are compared in the order of
their bounds, until a bound exceeds the k-th smallest distance: no later row can be nearer. Bounds
include their rounding errors, and distances are in float64, so the rows are those of a full search
in float64.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cvcourse.classic.distances import fill_distances, row_distances
from cvcourse.classic.lower_bounds import BlockSums, Products

BOUNDS = {"l1": BlockSums, "l2": Products}
BATCH = 2**20  # bytes of the float64 rows that are compared with a query together
MANY = 0.25  # share of the rows above which computing all distances together is faster
PER_PAIR = 16  # bytes of working memory for a query and a row: bound, product or distance
PER_ROW = 64  # bytes of working memory of a thread for a row
FIXED = 4 * BATCH  # bytes of working memory of a thread


class Search:
    """Search for the nearest of some rows.

    Args:
        rows: Rows, (N, D).
        metric: "l1" or "l2".

    >>> search = Search(np.array([[0.0], [3.0], [1.0]]), "l1")
    >>> search(np.array([[0.9]]), k=2)
    (array([[0.1, 0.9]]), array([[2, 0]]))
    """

    def __init__(self, rows: np.ndarray, metric: str):
        self.rows, self.metric = rows, metric
        self._bounds = BOUNDS[metric](rows)

    def __call__(
        self, queries: np.ndarray, k: int, memory: int = 2**28, jobs: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the distances (Q, k) and positions (Q, k) of the nearest rows of (Q, D) queries.

        Of rows at the same distance, the first one is nearer.
        """
        jobs = jobs or os.cpu_count() or 1
        pair = PER_PAIR * len(self.rows) + 32 * self.rows.shape[1]
        thread = PER_ROW * len(self.rows) + FIXED
        jobs = min(jobs, (memory - pair) // thread)
        if jobs < 1:
            raise ValueError(
                f"memory is {memory} bytes; rows {self.rows.shape} need {pair + thread} or more"
            )
        step = (memory - jobs * thread) // pair
        found = []
        with ThreadPoolExecutor(jobs) as pool:
            for start in range(0, len(queries), step):
                found += self._chunk(queries[start : start + step].astype(np.float64), k, pool)
        distances, positions = map(np.array, zip(*found, strict=True))
        return distances, positions

    def _chunk(self, queries, k, pool):
        low = self._bounds(queries, pool)
        found = [*pool.map(lambda *one: self._few(*one, k), queries, low)]
        rest = [i for i, result in enumerate(found) if result is None]
        if rest:
            low = low[: len(rest)]
            fill_distances(low, queries[rest], self.rows, self.metric, pool)
            for i, result in zip(rest, pool.map(lambda row: _all(row, k), low), strict=True):
                found[i] = result
        return found

    def _few(self, query, low, k):
        """Compare a query with few rows; return None if too many rows may be near."""
        nearest = np.argpartition(low, k - 1)[:k]
        limit = max(self._distances(query, part).max() for part in _batches(nearest, query))
        near = np.flatnonzero(low <= limit)
        if len(near) > MANY * len(low):
            return None
        near = near[np.argsort(low[near])]
        distances, positions = np.empty(0), np.empty(0, int)
        for part in _batches(near, query):
            if low[part[0]] > limit:
                break
            distances = np.append(distances, self._distances(query, part))
            distances, positions = _sorted(distances, np.append(positions, part), k)
            if len(distances) == k:
                limit = min(limit, distances[-1])
        return distances, positions

    def _distances(self, query, positions):
        return row_distances(query, self.rows[positions], self.metric)


def _batches(positions, query):
    """Divide positions into parts whose rows have BATCH bytes."""
    step = max(1, BATCH // (8 * len(query)))
    return (positions[start : start + step] for start in range(0, len(positions), step))


def _all(distances, k):
    """Return the k smallest of all distances, and their positions."""
    near = np.flatnonzero(distances <= np.partition(distances, k - 1)[k - 1])
    return _sorted(distances[near], near, k)


def _sorted(distances, positions, k):
    order = np.lexsort((positions, distances))[:k]
    return distances[order], positions[order]
