"""Surfaces over a plane, a ravine and a saddle, and the path of an optimizer on them.

A point of the plane is the two weights of a net, so that an optimizer runs as in training.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from cvcourse.optimization._flat_weights import flat_weights
from cvcourse.optimization.learning_rate_grid import lowest_run, runs_by_rate


@dataclasses.dataclass(frozen=True)
class Surface:
    """A surface, the start of the paths on it, and the ranges of x and y that are drawn."""

    formula: str
    height: Callable  # (x, y) -> z
    start: tuple[float, float]
    x: tuple[float, float]
    y: tuple[float, float]


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
    """Compute the path of an optimizer on a surface, at the rate with the smallest mean height.

    Args:
        name: A key of OPTIMIZERS, or "lbfgs" or "newton".
        surface: A `Surface`.
        rates: Learning rates to choose from; L-BFGS and Newton have none.
        steps: Maximum number of steps.
        weight_decay: Decoupled weight decay of "adamw".

    Returns:
        A dict: `learning_rate`, or None; `passes`, a list of the number of evaluations; `x`, `y`
        and `height`, lists of the points from the start on.

    Raises:
        RunError: If no rate has a path of finite heights.
    """
    # A net whose output for the input 1 is its two weights, so that its loss is their height.
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
