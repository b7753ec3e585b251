"""Surfaces over a plane, and an optimizer's path on them: a ravine and a saddle.

A net's two weights are the place in the plane, so that an optimizer runs as it does in training.
"""

import dataclasses

import keras
import numpy as np

from cvcourse.optimization._flat_weights import flat_weights
from cvcourse.optimization.learning_rate_grid import lowest_run, runs_by_rate


@dataclasses.dataclass(frozen=True)
class Surface:
    """The height over a plane, where paths on it begin, and what of it is drawn."""

    formula: str
    height: object  # (x, y) -> z
    start: tuple
    x: tuple
    y: tuple


SURFACE_STEPS = 60
SURFACES = {
    "ravine": Surface(
        "x²/40 + y²", lambda x, y: x**2 / 40 + y**2, (-8.0, 1.6), (-9, 4), (-2.2, 2.2)
    ),
    "saddle": Surface(
        "x²/2 − y²/2 + y⁴/8",
        lambda x, y: x**2 / 2 - y**2 / 2 + y**4 / 8,
        (-1.8, 0.01),
        (-2.2, 2.2),
        (-2.2, 2.2),
    ),
}


def surface_path(name, surface, rates, *, steps=SURFACE_STEPS, weight_decay=0.0):
    """Compute an optimizer's path over a surface, at the rate with the least mean height.

    Args:
        name: A key of OPTIMIZERS, or "lbfgs" or "newton".
        surface: A `Surface`.
        rates: Learning rates to choose from; L-BFGS and Newton have none.
        steps: Number of steps, at most.
        weight_decay: Decoupled decay of "adamw".

    Returns:
        A dict: `learning_rate`, or None; `passes`, a list of the loss' evaluations; `x`, `y` and
        `height`, lists of the points from the start on.

    Raises:
        RunError: If no rate has a path of finite heights.
    """
    # A net whose answer to 1 is its two weights, so that its loss is the height at them.
    point = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False)])
    point.set_weights([np.array([surface.start])])
    examples = np.ones((1, 1), "float32"), np.zeros((1, 2), "float32")

    def fit(on_step):
        for _ in range(steps):
            point.train_on_batch(*examples)
            on_step()

    def note():
        x, y = flat_weights(point).tolist()
        return {"x": x, "y": y, "height": surface.height(x, y)}

    def height(_, points):
        return surface.height(points[:, 0], points[:, 1])

    options = {"rates": rates, "steps": steps, "weight_decay": weight_decay}
    found = runs_by_rate(name, point, *examples, height, fit=fit, note=note, **options)
    return lowest_run(name, found, lambda run: sum(run["height"]))
