"""Gradient check: compare gradients of backpropagation with central differences.

CS231n notes, "Gradient checks", https://cs231n.github.io/neural-networks-3: central differences in
float64, relative errors, and kinks, such as a ReLU's, where a difference is the slope of neither
side.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

STEPS = (1e-5, 1e-6)  # the notes' step, and a tenth: at a kink their slopes differ
RIGHT = 1e-4  # maximum relative error of a right gradient; the notes' bound for nets with kinks
UNSEEN = 1e-6  # slopes below this share of the loss are lost in its rounding


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """Result of a gradient check for one parameter.

    Args:
        index: Index of the parameter in its array.
        analytic: Slope by backpropagation.
        numeric: Slope by central differences.
        error: Relative error |difference| / max(|one|, |other|), at the better of the two steps.
        kink: Whether the loss has a kink here, so that the comparison is meaningless.

    >>> GradientCheck((0,), analytic=4.0, numeric=3.0, error=0.25, kink=False).right
    False
    """

    index: tuple[int, ...]
    analytic: float
    numeric: float
    error: float
    kink: bool

    @property
    def right(self) -> bool:
        """Whether the slopes agree."""
        return self.error <= RIGHT


def gradient_check(
    f: Callable[[np.ndarray], float],
    x: np.ndarray,
    gradient: np.ndarray,
    indices: Iterable[tuple[int, ...]],
) -> list[GradientCheck]:
    """Compare a gradient with central differences.

    A kink is recognized if the slopes disagree, and in addition the numerical slopes of the two
    steps differ, or the slopes on the two sides of a step do.

    Args:
        f: Function of `x` that returns the loss.
        x: float64 array; it is changed in place for each call of `f`, and restored.
        gradient: Gradient of the loss by backpropagation, of the shape of `x`.
        indices: Indices of the parameters to check.

    Returns:
        A GradientCheck for each index.

    >>> x = np.array([3.0, -1.0])
    >>> checks = gradient_check(lambda x: float((x**2).sum()), x, 2 * x, [(0,), (1,)])
    >>> [check.right for check in checks]
    [True, True]
    """
    here = f(x)
    floor = UNSEEN * max(1.0, abs(here))
    return [_check(f, x, here, float(gradient[index]), index, floor) for index in indices]


def _check(f, x, here, analytic, index, floor):
    value, slopes, bends = x[index], [], []
    for step in STEPS:
        x[index] = value + step
        above = f(x)
        x[index] = value - step
        below = f(x)
        x[index] = value
        slopes.append((above - below) / (2 * step))
        bends.append(abs(above - 2 * here + below) / step)
    sizes = [max(abs(analytic), abs(slope), floor) for slope in slopes]
    errors = [abs(analytic - slope) / size for slope, size in zip(slopes, sizes, strict=True)]
    best = min(range(len(STEPS)), key=errors.__getitem__)
    bent = max(abs(slopes[0] - slopes[1]), min(bends)) > RIGHT * sizes[0]
    error = errors[best] if errors[best] == errors[best] else float("inf")
    kink = error > RIGHT and bent
    return GradientCheck(tuple(index), analytic, slopes[best], error, kink)
