"""The notes' spiral, which no linear classifier separates.

CS231n notes, "Generating some data", https://cs231n.github.io/neural-networks-case-study.
"""

import numpy as np


def spiral(
    rng: np.random.Generator, points: int = 100, arms: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Draw points on the arms of a spiral, with noise in their angles.

    Args:
        rng: Generator of the noise, which has a standard deviation of 0.2 radians.
        points: Number of points of an arm.
        arms: Number of arms, the classes.

    Returns:
        The points, (arms * points, 2), and their class numbers.

    >>> X, y = spiral(np.random.default_rng(0), points=2)
    >>> X.shape, y
    ((6, 2), array([0, 0, 1, 1, 2, 2]))
    """
    radius = np.tile(np.linspace(0, 1, points), arms)
    y = np.repeat(np.arange(arms), points)
    angle = 4 * (y + radius) + rng.normal(0, 0.2, y.size)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1), y
