"""Sanity checks of a net before a long training.

CS231n notes, "Before learning: sanity checks" and "Gradient checks",
https://cs231n.github.io/neural-networks-3.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from cvcourse.classic._gradient_check import RIGHT, gradient_check
from cvcourse.classic.nets import Net
from cvcourse.classic.solver import Solver

SLOPES = 25  # parameters of each array whose gradient is checked


@dataclasses.dataclass(frozen=True)
class SanityCheck:
    """Result of a sanity check.

    Args:
        name: What was measured.
        found: Measured value.
        expected: Value with which it is compared.
        passed: Whether the net passes.

    >>> SanityCheck("loss with small weights", found=2.3026, expected=2.3026, passed=True).passed
    True
    """

    name: str
    found: float
    expected: float
    passed: bool


def sanity_checks(
    make: Callable[..., Net], X: np.ndarray, y: np.ndarray, *, epochs: int = 100
) -> list[SanityCheck]:
    """Check the loss at chance, the penalty, the gradient, and that a few examples are memorized.

    Args:
        make: Function that makes the net with these settings: weight_scale, reg, dtype, rng.
        X: A few inputs, such as 50.
        y: Their class numbers.
        epochs: Number of epochs in which they should be memorized.

    Returns:
        The results.

    >>> from cvcourse.classic.nets import TwoLayerNet
    >>> X, y = np.random.default_rng(0).normal(size=(20, 30)), np.arange(20) % 3
    >>> checks = sanity_checks(lambda **settings: TwoLayerNet(30, 50, 3, **settings), X, y)
    >>> [check.passed for check in checks]
    [True, True, True, True]
    """
    net = make(weight_scale=1e-3, reg=0.0, dtype=np.float64, rng=0)
    loss, chance = net.loss(X, y)[0], math.log(net.loss(X[:1]).shape[1])
    net.reg = 1.0
    penalized = net.loss(X, y)[0]

    net = make(weight_scale=None, reg=0.1, dtype=np.float64, rng=0)
    (_, grads), rng, slopes = net.loss(X, y), np.random.default_rng(0), []
    for name, w in net.params.items():
        places = rng.choice(w.size, min(SLOPES, w.size), replace=False)
        indices = list(zip(*np.unravel_index(places, w.shape), strict=True))
        slopes += gradient_check(lambda _: net.loss(X, y)[0], w, grads[name], indices)
    error = max((slope.error for slope in slopes if not slope.kink), default=math.inf)

    net = make(weight_scale=None, reg=0.0, dtype=np.float32, rng=0)
    solver = Solver(
        net,
        {"X_train": X, "y_train": y, "X_val": X, "y_val": y},
        update_rule="adam",
        optim_config={"learning_rate": 1e-3},
        batch_size=max(1, len(X) // 2),
        num_epochs=epochs,
    )
    solver.train()
    accuracy = solver.best_val_acc
    return [
        SanityCheck("loss with small weights", loss, chance, abs(loss - chance) <= 0.02 * chance),
        SanityCheck("loss with a penalty, which is larger", penalized, loss, penalized > loss),
        SanityCheck(
            f"largest relative error of {len(slopes)} slopes", error, RIGHT, error <= RIGHT
        ),
        SanityCheck(f"accuracy on {len(X)} examples, memorized", accuracy, 1.0, accuracy == 1),
    ]
