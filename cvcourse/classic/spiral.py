"""The notes' spiral, which no linear classifier separates.

CS231n notes, "Generating some data", https://cs231n.github.io/neural-networks-case-study.
"""

import numpy as np


def spiral(seed: int = 0, points: int = 100, arms: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Draw points on the arms of a spiral, with noise of 0.2 radians in their angles.

    Args:
        seed: Seed of `numpy.random.RandomState`; 0 gives the points of the notes.
        points: Number of points of an arm.
        arms: Number of arms, the classes.

    Returns:
        The points, (arms * points, 2), and their class numbers.

    >>> X, y = spiral(points=2)
    >>> X.shape, y
    ((6, 2), array([0, 0, 1, 1, 2, 2]))
    """
    radius = np.tile(np.linspace(0, 1, points), arms)
    y = np.repeat(np.arange(arms), points)
    angle = 4 * (y + radius) + np.random.RandomState(seed).normal(0, 0.2, y.size)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1), y
