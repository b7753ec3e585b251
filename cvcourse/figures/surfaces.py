"""Paths of optimizers over the contour lines of a surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import PALE, require_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 5  # panels side by side


def surface_paths(
    height: Callable,
    paths: Mapping[str, dict],
    styles: Mapping[str, dict],
    *,
    x: tuple[float, float],
    y: tuple[float, float],
) -> Figure:
    """Draw paths over the contour lines of a surface, one panel per path.

    Args:
        height: Function (x, y) -> z of arrays.
        paths: {optimizer: {"x": values, "y": values}}.
        styles: {optimizer: {"color": …, "label": …}}.
        x: Lowest and highest x drawn.
        y: Lowest and highest y drawn.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> path, style = {"x": [1, 0], "y": [1, 0]}, {"color": "red", "label": "SGD"}
    >>> ranges = {"x": (-1, 2), "y": (-1, 2)}
    >>> figure = surface_paths(lambda x, y: x**2 + y**2, {"sgd": path}, {"sgd": style}, **ranges)
    >>> figure.axes[0].get_title()
    'SGD'
    """
    from matplotlib.figure import Figure

    require_data(paths=paths)
    columns = min(COLUMNS, len(paths))
    rows = -(-len(paths) // columns)
    figure = Figure(figsize=(12, 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    plane = np.meshgrid(np.linspace(*x, 200), np.linspace(*y, 200))
    heights = height(*plane)
    for ax, (name, path) in zip(axes, paths.items(), strict=False):
        ax.contour(*plane, heights, 20, colors=PALE, linewidths=0.7)
        color = styles[name]["color"]
        ax.plot(path["x"], path["y"], color=color, linewidth=1.2, marker=".", markersize=4)
        ax.plot(path["x"][-1], path["y"][-1], color="black", marker="*", markersize=9)
        ax.set_title(styles[name]["label"], fontsize=10)
        ax.set_xlim(x)
        ax.set_ylim(y)
    for ax in axes[len(paths) :]:
        ax.remove()
    return figure
