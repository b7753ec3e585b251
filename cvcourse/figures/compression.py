"""Weights before and after compression, and the test error by compression ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cvcourse.figures.figure import BLUE, GRAY, ORANGE, new_figure, require_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 101  # odd, so that zero is within a bin


def weight_histograms(dense: ArrayLike, pruned: ArrayLike, shared: ArrayLike) -> Figure:
    """Draw the weights of a layer: dense, pruned and shared, with a line for each shared value.

    Han et al. 2016, https://arxiv.org/abs/1510.00149, figure 4. Zeros are left out: they are
    counted in the titles.

    Args:
        dense: Weights, an array of any shape.
        pruned: Array of as many weights after pruning.
        shared: Array of as many weights after weight sharing.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = weight_histograms([-2.0, 0.1, 1.0], [-2.0, 0.0, 1.0], [-1.5, 0.0, 1.5])
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['dense', 'pruned: 67 % left', 'shared: 2 values']
    """
    stages = [np.ravel(np.asarray(weights, "float64")) for weights in (dense, pruned, shared)]
    require_data(dense=stages[0])
    limit = max(np.abs(weights).max() for weights in stages) or 1.0
    edges = np.linspace(-limit, limit, BINS + 1)
    figure, axes = new_figure(width=11, height=3.4, columns=3)
    values, counts = np.unique(stages[2][stages[2] != 0], return_counts=True)
    left = np.count_nonzero(stages[1]) / len(stages[1])
    titles = ("dense", f"pruned: {100 * left:.2g} % left", f"shared: {len(values)} values")
    for ax, weights, title in zip(axes, stages, titles, strict=True):
        ax.set_title(title, loc="left")
        ax.set_xlabel("weight")
        ax.set_xlim(-limit, limit)
        if ax is not axes[2]:
            ax.hist(weights[weights != 0], edges, color=BLUE)
    axes[2].vlines(values, 0, counts, color=BLUE, linewidth=2)
    axes[2].plot(values, counts, "o", color=ORANGE, markersize=4)
    axes[0].set_ylabel("number of weights")
    return figure


def error_by_ratio(
    points: Mapping[str, Sequence[tuple[float, float]]],
    dense_error: float,
    published: tuple[float, float] | None = None,
) -> Figure:
    """Draw the error of compressed networks by their compression ratio.

    Args:
        points: {text of the legend: pairs (ratio, error in percent)}, each connected by a line.
        dense_error: Error of the network before, in percent.
        published: Pair (ratio, error in percent) of a paper. If None, it is not drawn.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = error_by_ratio({"seed 0": [(46.5, 1.6), (120.0, 1.9)]}, 1.7, published=(40, 1.58))
    >>> figure.axes[0].get_xscale()
    'log'
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    require_data(points=points)
    ratios = [ratio for pairs in points.values() for ratio, _ in pairs]
    is_wide = max(ratios) > 10 * min(ratios)
    figure, (ax,) = new_figure(width=7, height=4)
    ax.axhline(dense_error, color=GRAY, linestyle="--", label="dense")
    for (label, pairs), marker in zip(points.items(), "o^sDvP*X" * len(points), strict=False):
        ax.plot(*zip(*sorted(pairs), strict=True), marker=marker, label=label)
    if published:
        ax.plot(*published, "x", color="black", markersize=8, label="published")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if is_wide else MaxNLocator(8))
    ax.xaxis.set_major_formatter("{x:g}x")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("bytes of the float32 weights / bytes of the file")
    ax.set_title("error (%)", loc="left")
    ax.legend(frameon=False)
    return figure


def accuracy_by_bytes(points: Mapping[str, tuple[float, float]]) -> Figure:
    """Draw the accuracy of networks by the bytes of their files, each with its name.

    Args:
        points: {name: pair (bytes, accuracy in 0..1)}.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = accuracy_by_bytes({"none": (1.6e6, 0.88), "twn": (9e4, 0.87)})
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['none', 'twn']
    """
    require_data(points=points)
    width, height = 8.5, 5.5
    figure, (ax,) = new_figure(width=width, height=height)
    places = np.array([[np.log10(size), 100 * accuracy] for size, accuracy in points.values()])
    low, span = places.min(axis=0), np.maximum(np.ptp(places, axis=0), (0.1, 0.5))
    ax.plot(10 ** places[:, 0], places[:, 1], "o", color=BLUE, markersize=5)
    ax.set_xscale("log")
    ax.set_xlim(*10 ** (low[0] + span[0] * np.array([-0.15, 1.25])))
    ax.set_ylim(*(low[1] + span[1] * np.array([-0.1, 1.1])))
    inches = (places - low) / span * (0.6 * width, 0.7 * height)
    for name, place, offset in zip(points, places, _free_offsets(inches, [*points]), strict=True):
        ax.annotate(
            name,
            (10 ** place[0], place[1]),
            xytext=72 * offset,
            textcoords="offset points",
            va="center",
            arrowprops={"arrowstyle": "-", "color": GRAY, "linewidth": 0.6},
        )
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("bytes of the file")
    ax.set_title("accuracy (%)", loc="left")
    return figure


def _free_offsets(points, names):
    """Return an offset of each name from its point, in inches, so that nothing overlaps.

    The nearest free of some places around the point is taken, that on its right first.
    """
    taken = [(*(point - 0.06), *(point + 0.06)) for point in points]  # left, low, right, high
    offsets = []
    for point, name in zip(points, names, strict=True):
        length = 0.085 * len(name)
        for step in range(120):
            angle, radius = step * np.pi / 6, 0.12 + 0.06 * (step // 12)
            offset = radius * np.array([np.cos(angle), np.sin(angle)])
            offset[0] -= length * (1 - np.cos(angle)) / 2  # the name begins or ends at the point
            x, y = point + offset
            box = (x, y - 0.09, x + length, y + 0.09)
            if not any(
                box[0] < right and left < box[2] and box[1] < high and low < box[3]
                for left, low, right, high in taken
            ):
                break
        taken.append(box)
        offsets.append(offset)
    return offsets
