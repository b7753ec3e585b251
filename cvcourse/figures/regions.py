"""Decision regions of classifiers of points in the plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import new_figure, palette, require_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 300  # positions along each axis at which a classifier is asked
MARGIN = 0.1  # around the points, as a share of their range


def decision_regions(
    classifiers: Mapping[str, Callable], points: np.ndarray, labels: np.ndarray
) -> Figure:
    """Draw points over the regions that classifiers assign to the classes, a panel for each.

    Args:
        classifiers: {title: function of points (n, 2) -> class numbers (n,)}.
        points: Array (n, 2).
        labels: Class numbers (n,) of the points.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> points, labels = np.array([[-1.0, 0.0], [1.0, 1.0]]), np.array([0, 1])
    >>> figure = decision_regions({"sign": lambda p: (p[:, 0] > 0).astype(int)}, points, labels)
    >>> figure.axes[0].get_title(loc="left")
    'sign'
    """
    from matplotlib.colors import ListedColormap

    require_data(points=points)
    figure, axes = new_figure(width=5 * len(classifiers), height=5, columns=len(classifiers))
    colors = ListedColormap(palette(int(labels.max()) + 1))
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    x, y = (np.linspace(*ends, STEPS) for ends in zip(low, high, strict=True))
    plane = np.stack(np.meshgrid(x, y), axis=-1)
    for ax, (title, classify) in zip(axes, classifiers.items(), strict=True):
        regions = classify(plane.reshape(-1, 2)).reshape(plane.shape[:2])
        shown = {"cmap": colors, "vmin": 0, "vmax": colors.N - 1}
        extent = (low[0], high[0], low[1], high[1])
        ax.imshow(regions, origin="lower", extent=extent, alpha=0.3, aspect="equal", **shown)
        ax.scatter(*points.T, c=labels, s=16, edgecolors="white", linewidths=0.4, **shown)
        ax.set_title(title, loc="left")
        ax.grid(visible=False)
    return figure
