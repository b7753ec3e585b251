"""Newton's method: steps by the inverse Hessian, damped until they lower the loss.

w -= (H + damping I)^-1 g: Levenberg 1944, https://doi.org/10.1090/qam/10666; Marquardt 1963,
https://doi.org/10.1137/0111030; here with the exact Hessian. It has no learning rate, and n x n
numbers for n weights: CS231n notes, https://cs231n.github.io/neural-networks-3/#second. TensorFlow
is imported inside Objective, for the derivatives.
"""

import math

import numpy as np

from cvcourse.optimization._flat_weights import at_start, set_flat_weights

MOST_WEIGHTS = 5_000  # their Hessian in float64 takes 200 MB
RISE, FALL = 2, 10  # of damping, after a step that failed and one that did not
LEAST, MOST = 1e-6, 1e6  # damping: float32 sees no less, and no weight moves under more


def newton(
    model, images, labels, *, steps=20, damping=0.0, tolerance=1e-5, on_step=None, **objective
):
    """Train `model` on all images at once, by at most `steps` Newton steps; nothing is random.

    `damping` is that of the first step. It doubles while H + damping I is not positive definite,
    as near a saddle, or the loss does not fall, and is a tenth for the next step. Stops
    where no component of the gradient is above `tolerance` or no step lowers the loss. `on_step`
    and `objective` are as for lbfgs.

    Returns lists, from before the first step on: "loss", "gradient" (its largest component), and
    "damping" (of the step that led there). Raises ValueError for a model of more than MOST_WEIGHTS
    weights, where the loss is no number to begin with, and as Objective does.
    """
    count = sum(math.prod(v.shape) for v in model.trainable_variables)
    if count > MOST_WEIGHTS:
        raise ValueError(
            f"Newton's method holds a Hessian of up to {MOST_WEIGHTS:,} weights, the model has "
            f"{count:,}: lbfgs takes it"
        )
    objective, weights, value, gradient = at_start(model, images, labels, **objective)
    history = {"loss": [value], "gradient": [float(abs(gradient).max())], "damping": [damping]}
    while len(history["loss"]) <= steps and history["gradient"][-1] > tolerance:
        hessian = objective.hessian(weights)
        for tried in _dampings(damping):
            step = _step(hessian, gradient, tried)
            if step is None:
                continue
            lower, slope = objective(weights - step)
            if lower < value:
                break
        else:
            break  # the loss is as low as its rounding lets it be
        weights, value, gradient, damping = weights - step, lower, slope, tried / FALL
        for name, number in (("loss", value), ("gradient", abs(slope).max()), ("damping", tried)):
            history[name].append(float(number))
        set_flat_weights(model, weights)
        if on_step:
            on_step()
    return history


def _dampings(first):
    """The dampings to try, in order."""
    while first <= MOST:
        yield first
        first = max(RISE * first, LEAST)


def _step(hessian, gradient, damping):
    """(H + damping I)^-1 g, or None where the matrix is not positive definite."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        return cho_solve(cho_factor(hessian + damping * np.eye(len(hessian))), gradient)
    except LinAlgError:
        return None
