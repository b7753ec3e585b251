"""Networks on hardware: energy by layer, and the roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cvcourse.figures.figure import (
    BLUE,
    GRAY,
    ORANGE,
    new_figure,
    palette,
    require_data,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELED = 8  # layers of a roofline that have a label


def energy_by_layer(names: Sequence[str], parts: Mapping[str, ArrayLike]) -> Figure:
    """Draw the energy of each layer as a stacked bar.

    Args:
        names: Names of the layers, from the input on.
        parts: {kind of energy: joules (layers,)}.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = energy_by_layer(["conv1", "fc2"], {"add": [1e-6, 2e-6], "weights": [0, 4e-6]})
    >>> figure.axes[0].get_xlabel()
    'energy (µJ)'
    """
    require_data(names=names, parts=parts)
    figure, (ax,) = new_figure(width=9, height=1.2 + 0.24 * len(names))
    ends = np.zeros(len(names))
    for color, (label, joules) in zip(palette(len(parts)), parts.items(), strict=True):
        microjoules = 1e6 * np.asarray(joules, float)
        ax.barh(range(len(names)), microjoules, left=ends, color=color, label=label)
        ends += microjoules
    ax.set_yticks(range(len(names)), shortened(names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("energy (µJ)")
    ax.legend(frameon=False)
    return figure


def roofline_diagram(
    names: Sequence[str],
    intensities: ArrayLike,
    seconds: ArrayLike,
    *,
    peak: float,
    bandwidth: float,
) -> Figure:
    """Draw the roof of some hardware and the layers below it, each with an area by its seconds.

    Williams et al. 2009, https://doi.org/10.1145/1498765.1498785, figure 1. The slowest layers have
    their names beside them.

    Args:
        names: Names of the layers.
        intensities: Operations per byte (layers,), above 0.
        seconds: Least seconds of each layer (layers,).
        peak: Operations per second.
        bandwidth: Bytes per second.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = roofline_diagram(["conv1"], [100.0], [0.01], peak=1e12, bandwidth=1e11)
    >>> figure.axes[0].get_xscale()
    'log'
    """
    require_data(names=names)
    x, share = np.asarray(intensities, float), np.asarray(seconds, float)
    ridge = peak / bandwidth
    reached = np.minimum(peak, bandwidth * x)
    figure, (ax,) = new_figure(width=9, height=4.6)
    ends = np.array([min(x.min(), ridge) / 2, ridge, max(x.max(), ridge) * 2])
    ax.plot(ends, np.minimum(peak, bandwidth * ends) / 1e9, color=GRAY)
    ax.axvline(ridge, color=GRAY, linewidth=0.8, linestyle=":")
    for color, label, chosen in (
        (ORANGE, "memory-bound", x < ridge),
        (BLUE, "compute-bound", x >= ridge),
    ):
        area = 20 + 400 * share[chosen] / share.max()
        ax.scatter(x[chosen], reached[chosen] / 1e9, area, color=color, alpha=0.5, label=label)
    groups: list[list[int]] = []  # of layers too near each other for a label each
    apart = (ends[2] / ends[0]) ** 0.13
    for i in sorted(np.argsort(-share)[:LABELED], key=lambda i: x[i]):
        if not groups or x[i] > apart * x[groups[-1][0]]:
            groups.append([])
        groups[-1].append(i)
    for group in groups:
        place = np.exp(np.log(x[group]).mean()), reached[group].min() / 1e9
        text = "\n".join(shortened([names[i] for i in group]))
        ax.annotate(
            text, place, (0, -14), textcoords="offset points", ha="center", va="top", fontsize=8
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(bottom=min(reached.min() / 1e9 / 4, peak / 1e9 / 20))
    ax.set_xlabel("operations per byte")
    ax.set_ylabel("attainable GFLOP/s")
    legend = ax.legend(frameon=False, loc="lower right")
    for handle in legend.legend_handles:
        handle.set_sizes([40])
    return figure
