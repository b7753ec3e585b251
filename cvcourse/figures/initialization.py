"""Histograms of the outputs of initialized layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cvcourse.figures.figure import BLUE, require_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def activation_histograms(
    activations: Mapping[str, Sequence], deviations: Mapping[str, Sequence[float]]
) -> Figure:
    """Draw histograms: one row per network, one column per layer.

    Args:
        activations: {network: values (n,) of each layer}. Values of a network with "tanh" in its
            name are in -1..1, of others 0 and above.
        deviations: {network: standard deviation of each layer}, written above.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = activation_histograms({"tanh": [[-0.5, 0.5]]}, {"tanh": [0.5]})
    >>> figure.axes[0].get_title()
    'std 5.0e-01'
    """
    from matplotlib.figure import Figure

    require_data(activations=activations)
    columns = max(map(len, activations.values()))
    figure = Figure(figsize=(1.6 * columns, 1.5 * len(activations)), layout="constrained")
    grid = figure.subplots(len(activations), columns, squeeze=False)
    for axes, (name, layers) in zip(grid, activations.items(), strict=True):
        low, high = (-1.05, 1.05) if "tanh" in name else (0, 3)
        for ax, values, deviation in zip(axes, layers, deviations[name], strict=True):
            ax.hist(values, bins=41, range=(low, high), color=BLUE)
            ax.set_title(f"std {deviation:.1e}", fontsize=8)
            ax.set_yticks([])
            ax.tick_params(labelsize=7)
            ax.spines[["top", "right", "left"]].set_visible(False)
        axes[0].set_ylabel(name, fontsize=9)
    for number, ax in enumerate(grid[-1], start=1):
        ax.set_xlabel(f"layer {number}", fontsize=9)
    return figure
