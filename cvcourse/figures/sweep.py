"""Trials of a sweep: parallel coordinates (Inselberg, The Visual Computer 1985), values, curves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cvcourse.figures.figure import BLUE, GRAY, ORANGE, new_figure, require_data, whole_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def parallel_coordinates(
    axes: Mapping[str, tuple[np.ndarray, str, str]], scores: Sequence[float]
) -> Figure:
    """Draw each trial as a line through its values, from dark (worst) to bright (best).

    Args:
        axes: {name: (numbers (trials,), text at the bottom, text at the top)}, from left to right.
            NaN, for a trial without the value, is drawn below all numbers.
        scores: Scores (trials,); the highest is the best.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> axes = {"rate": (np.array([0.1, 0.2]), "0.1", "0.2")}
    >>> [text.get_text() for text in parallel_coordinates(axes, [0.5, 0.6]).axes[0].texts]
    ['0.1', '0.2']
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    require_data(axes=axes, scores=scores)
    figure, (ax,) = new_figure(width=1.5 + 1.6 * len(axes), height=4.5)
    columns = []
    for i, (numbers, foot, head) in enumerate(axes.values()):
        if np.isnan(numbers).all():
            numbers = np.zeros(len(numbers))
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        place = (numbers - low) / (high - low) if high > low else 0.5 + 0 * numbers
        columns.append(np.nan_to_num(place, nan=-0.1))  # below all numbers
        ax.axvline(i, color=GRAY, linewidth=0.8)
        ax.text(i, -0.03, foot, ha="center", va="top", fontsize=8)
        ax.text(i, 1.03, head, ha="center", va="bottom", fontsize=8)
    lines = np.stack([np.stack([np.arange(len(axes)), y], axis=1) for y in np.stack(columns, 1)])
    colors = colormaps["viridis"](np.argsort(np.argsort(scores)) / max(1, len(scores) - 1))
    ax.add_collection(LineCollection(list(lines), colors=colors, linewidths=1.2, alpha=0.8))
    ax.set_xticks(range(len(axes)), axes)
    ax.tick_params(axis="x", pad=16, length=0)
    ax.set_yticks([])
    ax.set_xlim(-0.3, len(axes) - 0.7)
    ax.set_ylim(-0.02, 1.02)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return figure


def objective_by_value(
    columns: Mapping[str, tuple[ArrayLike, Sequence[str] | None]],
    scores: Sequence[float],
    objective: str,
    logarithmic: Collection[str] = (),
) -> Figure:
    """Draw the objective against each hyperparameter, one dot per trial.

    Args:
        columns: {hyperparameter: (numbers (trials,), names of the numbers 0, 1, … or None)}.
        scores: Values of the objective (trials,).
        objective: Name of the objective.
        logarithmic: Names of the hyperparameters on a logarithmic scale.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = objective_by_value({"rate": ([0.1, 0.2], None)}, [0.5, 0.6], "val_accuracy")
    >>> figure.axes[0].get_ylabel()
    'val_accuracy'
    """
    figure, axes = new_figure(width=3.2 * len(columns), height=3.2, columns=len(columns))
    for ax, (name, (numbers, texts)) in zip(axes, columns.items(), strict=True):
        ax.scatter(numbers, scores, s=22, color=BLUE, alpha=0.8, linewidths=0)
        if texts:
            ax.set_xticks(range(len(texts)), texts, rotation=20)
        elif name in logarithmic:
            ax.set_xscale("log")
            ax.tick_params(axis="x", which="both", labelrotation=40, labelsize=7)
        ax.set_xlabel(name)
    axes[0].set_ylabel(objective)
    return figure


def trial_curves(curves: Mapping[str, Sequence[float]], best: str, objective: str) -> Figure:
    """Draw the objective of all trials by epoch, with the best trial in front.

    Args:
        curves: {trial: values (epochs,)}.
        best: Name of the best trial.
        objective: Name of the values.

    Returns:
        A matplotlib figure.

    >>> trial_curves({"0": [0.1, 0.2], "1": [0.5]}, "1", "val_accuracy").axes[0].get_ylabel()
    'val_accuracy'
    """
    figure, (ax,) = new_figure(width=9, height=4)
    for trial, values in curves.items():
        won = trial == best
        ax.plot(
            range(1, len(values) + 1),
            values,
            color=ORANGE if won else BLUE,
            linewidth=2 if won else 1,
            alpha=1 if won else 0.45,
            marker="o" if len(values) == 1 else None,
            markersize=3,
            zorder=3 if won else 2,
            label=f"trial {trial}, the best" if won else None,
        )
    ax.set_xlabel("epoch")
    ax.set_ylabel(objective)
    whole_numbers(ax)
    ax.legend(frameon=False)
    return figure


def importance_bars(shares: Mapping[str, float]) -> Figure:
    """Draw the importance of each hyperparameter, the most important at the top.

    Args:
        shares: {hyperparameter: share}.

    Returns:
        A matplotlib figure.

    >>> importance_bars({"rate": 0.7, "dropout": 0.3}).axes[0].get_xlabel()
    'share'
    """
    figure, (ax,) = new_figure(width=7, height=0.6 + 0.4 * len(shares))
    names = sorted(shares, key=lambda name: shares[name])
    ax.barh(names, [shares[name] for name in names], color=BLUE)
    ax.set_xlabel("share")
    return figure
