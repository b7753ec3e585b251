"""L-BFGS: a full-batch quasi-Newton method that estimates curvature from its last gradients.

Liu & Nocedal 1989, https://doi.org/10.1007/BF01589116, in SciPy's implementation; CS231n notes,
https://cs231n.github.io/neural-networks-3/#second: it needs all examples at each step. TensorFlow
is imported inside Objective, for the gradient.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from cvcourse.optimization._flat_weights import at_start, set_flat_weights


def lbfgs(
    model: keras.Model,
    images: Any,
    labels: Any,
    *,
    steps: int = 100,
    memory: int = 10,
    tolerance: float = 1e-5,
    on_step: Callable[[], Any] | None = None,
    **objective: Any,
) -> dict[str, list]:
    """Train a model on all examples at once by L-BFGS, which is deterministic.

    Batch norm is in inference mode, or with training=True in training mode; its moving averages do
    not change.

    Args:
        model: A built model.
        images: Inputs (m, …), as in `Objective`.
        labels: Labels (m, …).
        steps: Maximum number of steps.
        memory: Number of past steps from which the curvature is estimated.
        tolerance: Stop when no component of the gradient is larger.
        on_step: Function called after each step, when the model has the step's weights.
        **objective: Arguments of `Objective`: loss, batch_size, training.

    Returns:
        Lists of values, before the first step and after each: "loss", and "passes" over the images
        so far.

    Raises:
        ValueError: If the loss is not finite before the first step; also as `Objective`.

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> x = np.linspace(-1, 1, 9)[:, None]
    >>> history = lbfgs(model, x, 3 * x + 2, loss=keras.losses.MeanSquaredError())
    >>> model.get_weights()[0].round(3)
    array([[3.]], dtype=float32)
    """
    from scipy.optimize import minimize

    loss, start, value, _ = at_start(model, images, labels, **objective)
    history = {"loss": [value], "passes": [loss.passes]}

    def note(intermediate_result):
        history["loss"].append(float(intermediate_result.fun))
        history["passes"].append(loss.passes)
        set_flat_weights(model, intermediate_result.x)
        if on_step:
            on_step()

    minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        callback=note,
        options=dict(maxiter=steps, maxfun=np.inf, maxcor=memory, gtol=tolerance, ftol=0),
    )
    return history
