"""Accuracy of networks by computational work. Canziani et al. 2016, figure 2."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cvcourse.figures.figure import new_figure, require_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AREA = 6.0  # points^2 per million parameters


def accuracy_by_work(
    points: Mapping[str, tuple[float, float, float]], families: Mapping[str, str]
) -> Figure:
    """Draw networks as discs with an area proportional to their parameters, colored by family.

    Args:
        points: {network: (multiply-accumulates, parameters, top-1 accuracy in percent)}.
        families: {network: family}; after 20 families, colors repeat.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> points = {"resnet50": (4.1e9, 25.6e6, 76.1)}
    >>> [text.get_text() for text in accuracy_by_work(points, {"resnet50": "ResNet"}).axes[0].texts]
    ['resnet50']
    """
    from matplotlib import color_sequences

    require_data(points=points)
    figure, (ax,) = new_figure(width=12, height=7.5)
    tab20 = itertools.cycle(color_sequences["tab20"])
    colors = dict(zip(dict.fromkeys(families.values()), tab20, strict=False))
    for name, (macs, parameters, top1) in points.items():
        ax.scatter(
            macs / 1e9,
            top1,
            s=AREA * parameters / 1e6,
            color=colors[families[name]],
            alpha=0.55,
            linewidth=0.5,
            edgecolor="black",
        )
    for millions in (1, 10, 100):
        ax.scatter([], [], s=AREA * millions, color="lightgray", label=f"{millions} M parameters")
    ax.legend(frameon=False, loc="lower right", labelspacing=1.6, borderpad=1.5)
    ax.set_xscale("log")
    ax.set_xlabel("multiply-accumulates of one image (billions)")
    ax.set_ylabel("top-1 accuracy on ImageNet (%)")
    _label(ax, {name: (macs / 1e9, top1) for name, (macs, _, top1) in points.items()})
    return figure


def _label(ax, points):
    """Write each name at its point, or above or below it so that names do not overlap."""
    ax.figure.draw_without_rendering()  # so that positions on the page are known
    taken = []
    for name, point in points.items():
        text = ax.annotate(
            name, point, (0, 0), textcoords="offset points", fontsize=7, ha="center", va="center"
        )
        for offset in (0, 8, -8, 16, -16, 24, -24, 32, -32):
            text.set_position((0, offset))
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
