"""Paths of optimizers over a surface, drawn by its contour lines."""

import numpy as np

from cvcourse.figures.figure import PALE, require_data

COLUMNS = 5  # panels beside each other


def surface_paths(height, paths, styles, *, x, y):
    """Draw paths over the contour lines of a surface, a panel a path.

    Args:
        height: Function of arrays (x, y) -> z.
        paths: {optimizer: {"x": values, "y": values}}.
        styles: {optimizer: {"color": …, "label": …}}.
        x: Lowest and highest x drawn.
        y: Lowest and highest y drawn.

    Returns:
        A matplotlib figure.
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
