"""L-BFGS: a full-batch quasi-Newton method that learns the curvature from its last gradients.

Liu & Nocedal 1989, https://doi.org/10.1007/BF01589116, in SciPy's implementation; CS231n notes,
https://cs231n.github.io/neural-networks-3/#second: it wants all examples at once. TensorFlow is
imported inside Objective, for the gradient.
"""

import numpy as np

from cvcourse.optimization._flat_weights import at_start, set_flat_weights


def lbfgs(
    model, images, labels, *, steps=100, memory=10, tolerance=1e-5, on_step=None, **objective
):
    """Train `model` on all images at once, for at most `steps` steps; nothing in it is random.

    `memory` is the number of gradients that the curvature is taken from, `tolerance` the largest
    component of the gradient at which it stops. After each step `on_step()` is called, with the
    model there. `objective` are settings of Objective: loss, batch_size (examples in memory at
    once), training. Batch norm is in inference mode, or with training=True in training mode; its
    moving averages stay as they are.

    Returns lists, from before the first step on: "loss", and "passes" over the images until then.
    Raises ValueError where the loss is no number to begin with, and as Objective does.
    """
    from scipy.optimize import minimize

    objective, start, value, _ = at_start(model, images, labels, **objective)
    history = {"loss": [value], "passes": [objective.passes]}

    def note(intermediate_result):
        history["loss"].append(float(intermediate_result.fun))
        history["passes"].append(objective.passes)
        set_flat_weights(model, intermediate_result.x)
        if on_step:
            on_step()

    minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        callback=note,
        options=dict(maxiter=steps, maxfun=np.inf, maxcor=memory, gtol=tolerance, ftol=0),
    )
    return history
