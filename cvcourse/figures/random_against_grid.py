"""Random and grid search side by side. Bergstra & Bengio, JMLR 2012, figure 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cvcourse.figures.figure import PALE, require_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def search_planes(searches: Mapping[str, Sequence[tuple[float, float, float]]]) -> Figure:
    """Draw the trials of each search in a plane, and above it their projection on the first axis.

    Args:
        searches: {search: trials}, two searches; a trial is a tuple of learning rate, weight decay
            and validation accuracy.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> trials = [(0.1, 1e-3, 0.5), (0.2, 1e-4, 0.6)]
    >>> search_planes({"grid": trials, "random": trials}).axes[0].get_title()
    'grid search: 2 learning rates in 2 trials'
    """
    from matplotlib.figure import Figure

    require_data(searches=searches, **searches)
    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(1, 2))
    scores = [score for trials in searches.values() for *_, score in trials]
    shades = {"cmap": "viridis", "vmin": min(scores), "vmax": max(scores)}
    for (above, plane), (name, trials) in zip(axes.T, searches.items(), strict=True):
        rates, decays, reached = zip(*trials, strict=True)
        above.vlines(rates, min(scores), reached, color=PALE, linewidth=0.8, zorder=0)
        above.scatter(rates, reached, c=reached, s=30, **shades)
        above.set_title(f"{name} search: {len(set(rates))} learning rates in {len(trials)} trials")
        dots = plane.scatter(rates, decays, c=reached, s=60, **shades)
        for value in set(rates):
            plane.axvline(value, color=PALE, linewidth=0.8, zorder=0)
        plane.set(xscale="log", yscale="log", xlabel="learning rate")
        for ax in (above, plane):
            ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("validation accuracy")
    axes[1, 0].set_ylabel("weight decay")
    figure.colorbar(dots, ax=axes[1], label="validation accuracy")
    return figure
