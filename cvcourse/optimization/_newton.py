"""Newton's method: steps by the inverse Hessian, damped until they lower the loss.

w -= (H + damping I)^-1 g: Levenberg 1944, https://doi.org/10.1090/qam/10666; Marquardt 1963,
https://doi.org/10.1137/0111030; here with the exact Hessian. It has no learning rate, and stores
n x n numbers for n weights: CS231n notes, https://cs231n.github.io/neural-networks-3/#second.
TensorFlow is imported inside Objective, for the derivatives.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from cvcourse.optimization._flat_weights import at_start, set_flat_weights

MOST_WEIGHTS = 5_000  # their Hessian in float64 takes 200 MB
RISE, FALL = 2, 10  # damping is multiplied by RISE after a failed step, else divided by FALL
LEAST, MOST = 1e-6, 1e6  # damping: less has no effect in float32, with more no weight moves


def newton(
    model: keras.Model,
    images: Any,
    labels: Any,
    *,
    steps: int = 20,
    damping: float = 0.0,
    tolerance: float = 1e-5,
    on_step: Callable[[], Any] | None = None,
    **objective: Any,
) -> dict[str, list[float]]:
    """Train a small model on all examples at once by Newton steps, which are deterministic.

    Damping is doubled while H + damping I is not positive definite, as near a saddle, or the loss
    does not fall; the next step begins with a tenth of it. Training stops if no step lowers the
    loss.

    Args:
        model: A built model of up to MOST_WEIGHTS trainable weights.
        images: Inputs (m, …), as in `Objective`.
        labels: Labels (m, …).
        steps: Maximum number of steps.
        damping: Damping of the first step.
        tolerance: Stop when no component of the gradient is larger.
        on_step: Function called after each step, when the model has the step's weights.
        **objective: Arguments of `Objective`: loss, batch_size, training.

    Returns:
        Lists of values, before the first step and after each: "loss", "gradient" (its largest
        component), and "damping" of the step.

    Raises:
        ValueError: If the model has more than MOST_WEIGHTS weights, or the loss is not finite
            before the first step; also as `Objective`.

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> x = np.linspace(-1, 1, 9)[:, None]
    >>> history = newton(model, x, 3 * x + 2, loss=keras.losses.MeanSquaredError(), steps=1)
    >>> model.get_weights()[0].round(3)  # one step is exact for a quadratic loss
    array([[3.]], dtype=float32)
    """
    count = sum(math.prod(v.shape) for v in model.trainable_variables)
    if count > MOST_WEIGHTS:
        raise ValueError(
            f"Newton's method stores a Hessian of up to {MOST_WEIGHTS:,} weights, but the model "
            f"has {count:,}: use lbfgs"
        )
    loss, weights, value, gradient = at_start(model, images, labels, **objective)
    history = {"loss": [value], "gradient": [float(abs(gradient).max())], "damping": [damping]}
    while len(history["loss"]) <= steps and history["gradient"][-1] > tolerance:
        hessian = loss.hessian(weights)
        for tried in _dampings(damping):
            step = _step(hessian, gradient, tried)
            if step is None:
                continue
            lower, slope = loss(weights - step)
            if lower < value:
                break
        else:
            break  # rounding allows no lower loss
        weights, value, gradient, damping = weights - step, lower, slope, tried / FALL
        for name, number in (("loss", value), ("gradient", abs(slope).max()), ("damping", tried)):
            history[name].append(float(number))
        set_flat_weights(model, weights)
        if on_step:
            on_step()
    return history


def _dampings(first):
    """Generate the dampings to try, in order."""
    while first <= MOST:
        yield first
        first = max(RISE * first, LEAST)


def _step(hessian, gradient, damping):
    """Solve (H + damping I) step = g; None if the matrix is not positive definite."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        return cho_solve(cho_factor(hessian + damping * np.eye(len(hessian))), gradient)
    except LinAlgError:
        return None
