"""Regularization of weights: penalties with their gradients, and a constraint on the norm.

CS231n notes, "Regularization", https://cs231n.github.io/neural-networks-2#reg. PENALTIES has the
penalties by name, for `cvcourse.classic.linear_classifiers`.
"""

from collections.abc import Callable

import numpy as np

Penalty = tuple[float, np.ndarray]


def l2(W: np.ndarray, strength: float) -> Penalty:
    """Compute strength * sum of W^2, which prefers small and spread weights.

    Args:
        W: Weights of any shape.
        strength: Factor; the notes' lambda, without their factor 1/2.

    Returns:
        The penalty, and its gradient.

    >>> l2(np.array([3.0, -4.0]), 0.1)
    (2.5, array([ 0.6, -0.8]))
    """
    return elastic_net(W, 0.0, strength)


def l1(W: np.ndarray, strength: float) -> Penalty:
    """Compute strength * sum of |W|, which makes weights exactly or nearly 0.

    Args:
        W: Weights of any shape.
        strength: Factor.

    Returns:
        The penalty, and its gradient; at the kink, for a weight of 0, it is 0.

    >>> l1(np.array([3.0, -4.0]), 0.5)
    (3.5, array([ 0.5, -0.5]))
    """
    return elastic_net(W, strength, 0.0)


def elastic_net(W: np.ndarray, first: float, second: float) -> Penalty:
    """Compute first * sum of |W| + second * sum of W^2. Zou & Hastie 2005.

    Args:
        W: Weights of any shape.
        first: Factor of the L1 penalty.
        second: Factor of the L2 penalty.

    Returns:
        The penalty, and its gradient.

    >>> elastic_net(np.array([3.0, -4.0]), 0.5, 0.1)
    (6.0, array([ 1.1, -1.3]))
    """
    penalty = first * np.abs(W).sum() + second * (W**2).sum()
    return float(penalty), first * np.sign(W) + 2 * second * W


def max_norm(W: np.ndarray, c: float) -> np.ndarray:
    """Shrink the weights of each unit whose Euclidean norm exceeds c to that norm.

    This is no penalty but a constraint: it follows each step.

    Args:
        W: Weights, (D, M), a column for each unit.
        c: Largest norm; in the notes 3 or 4.

    Returns:
        Weights, (D, M).

    >>> max_norm(np.array([[3.0, 0.3], [4.0, 0.4]]), 1.0)
    array([[0.6, 0.3],
           [0.8, 0.4]])
    """
    norms = np.linalg.norm(W, axis=0)
    return W * (c / np.maximum(norms, c))


PENALTIES: dict[str, Callable[..., Penalty]] = {"l2": l2, "l1": l1, "elastic_net": elastic_net}
