"""Figure of gradients that vanish or explode through time, and of clipping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cvcourse.figures.figure import require_data, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACTIVATIONS = {"linear": "-", "tanh": "--"}  # name: line style


def gradients_through_time(
    vanilla: Mapping[tuple[str, str], Sequence[float]],
    cells: Mapping[str, Sequence[float]],
    training: Mapping[str, dict],
    *,
    titles: tuple[str, str],
    chance: float,
) -> Figure:
    """Draw norms of gradients by steps back in time, and training with and without clipping.

    Args:
        vanilla: {(largest singular value, activation): norms (steps,)}, six values in ascending
            order.
        cells: {cell: norms (steps,)}.
        training: {clipping: {"loss": values, "gradient_norm": values}} by update.
        titles: Titles of the panels of `vanilla` and `cells`.
        chance: Loss of a random guess, in nats.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> values = ("0.5", "0.9", "1", "1.1", "1.5", "2")
    >>> vanilla = {(value, "tanh"): [1.0, float(value)] for value in values}
    >>> training = {"clipped": {"loss": [2.0, 1.0], "gradient_norm": [9.0, 1.0]}}
    >>> figure = gradients_through_time(
    ...     vanilla, {"LSTM": [1.0, 0.5]}, training, titles=("vanilla", "cells"), chance=2.1
    ... )
    >>> figure.axes[1].get_title()
    'cells'
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    require_data(vanilla=vanilla, cells=cells)
    figure = Figure(figsize=(16, 6), layout="constrained")
    axes = figure.subplot_mosaic([["vanilla", "cells", "loss"], ["vanilla", "cells", "norm"]])
    blue_to_red = colormaps["coolwarm"]([0, 0.15, 0.5, 0.78, 0.9, 1])
    colors = dict(zip(dict.fromkeys(value for value, _ in vanilla), blue_to_red, strict=True))
    colors["1"] = "black"  # neither vanishes nor explodes
    for (value, activation), row in vanilla.items():
        axes["vanilla"].plot(row, ACTIVATIONS[activation], color=colors[value])
        axes["vanilla"].annotate(
            value,
            (len(row) - 1, row[-1]),
            xytext=(5 if activation == "linear" else 25, -3),
            textcoords="offset points",
            color=colors[value],
        )
    for activation, line in ACTIVATIONS.items():
        axes["vanilla"].plot([], [], line, color="black", label=activation)
    for name, row in cells.items():
        axes["cells"].plot(row, label=name)
    for name, history in training.items():
        axes["loss"].plot(history["loss"], label=name)
        axes["norm"].plot(history["gradient_norm"], label=name)
    axes["loss"].axhline(chance, color="gray", linestyle=":", label="chance")
    axes["norm"].axhline(1, color="gray", linestyle=":")
    for name, title in zip(("vanilla", "cells"), titles, strict=True):
        of_gradient = "norm of the gradient, 1 at the last step"
        axes[name].set(title=title, xlabel="steps back in time", ylabel=of_gradient)
    steps = len(next(iter(cells.values())))
    axes["loss"].set(title=f"Training an RNN to remember {steps} steps", ylabel="loss (nats)")
    axes["norm"].set(xlabel="updates", ylabel="norm before clipping")
    for name, ax in axes.items():
        tidy(ax)
        if name != "loss":
            ax.set_yscale("log", nonpositive="mask")
        if name != "norm":
            ax.legend(frameon=False)
    return figure
