"""Comparisons of ensembles and regularizers over several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from cvcourse.figures.figure import BLUE, GRAY, ORANGE, new_figure, require_data, whole_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {  # kind of ensemble: color
    "snapshot": BLUE,
    "checkpoint": ORANGE,
    "independent": "#2da44e",
}


def ensemble_errors(cycles: Sequence[int], splits: Mapping[str, dict]) -> Figure:
    """Draw errors by M, one panel per split; a band shows the error of a single net.

    Args:
        cycles: Values of M.
        splits: {split: {row: {"accuracy": {"mean": …, "std": … or None}}}}; the rows are single
            and, for each M, snapshot_mM, checkpoint_mM and independent_mM.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> row = {"accuracy": {"mean": 0.9, "std": None}}
    >>> rows = ("single", "snapshot_m2", "checkpoint_m2", "independent_m2")
    >>> figure = ensemble_errors([2], {"test": dict.fromkeys(rows, row)})
    >>> figure.axes[0].get_title(loc="left")
    'test error (%)'
    """
    figure, axes = new_figure(width=11, height=3.8, columns=len(splits))
    for ax, (split, rows) in zip(axes, splits.items(), strict=True):
        for offset, (kind, color) in zip((-0.06, 0, 0.06), KINDS.items(), strict=True):
            found = [rows[f"{kind}_m{m}"]["accuracy"] for m in cycles]
            ax.errorbar(
                [m + offset for m in cycles],
                [100 - 100 * row["mean"] for row in found],
                [100 * (row["std"] or 0) for row in found],
                color=color,
                label=kind,
                marker="o",
                capsize=3,
            )
        single = rows["single"]["accuracy"]
        error, std = 100 - 100 * single["mean"], 100 * (single["std"] or 0)
        ax.axhline(error, color=GRAY, linestyle="--", label="single")
        ax.axhspan(error - std, error + std, color=GRAY, alpha=0.12, linewidth=0)
        ax.set_title(f"{split} error (%)", loc="left")
        ax.set_xlabel("M")
        ax.set_xticks(cycles)
    axes[0].legend(frameon=False)
    return figure


def first_snapshots(errors: Mapping[Any, Sequence[float]]) -> Figure:
    """Draw the validation error of the first k snapshots, one line for each M.

    Args:
        errors: {M: errors of the first 1, 2, … M}.

    Returns:
        A matplotlib figure.

    >>> first_snapshots({2: [0.5, 0.4]}).axes[0].lines[0].get_ydata()
    array([50., 40.])
    """
    from matplotlib import colormaps

    figure, (ax,) = new_figure(width=6, height=3.8)
    for place, (m, values) in enumerate(errors.items(), start=1):
        ax.plot(
            range(1, len(values) + 1),
            [100 * value for value in values],
            color=colormaps["Blues"](0.3 + 0.7 * place / len(errors)),
            label=f"M = {m}",
            marker="o",
        )
    ax.set_title("validation error (%)", loc="left")
    ax.set_xlabel("k, snapshots averaged from the first on")
    whole_numbers(ax)
    ax.legend(frameon=False)
    return figure


def cyclic_runs(
    rates: Mapping[str, tuple[ArrayLike, ArrayLike]],
    histories: Mapping[str, Sequence[dict]],
    ends: Sequence[float],
) -> Figure:
    """Draw the learning rate and the loss of a cyclic and a single run by epoch.

    Args:
        rates: {run: (epochs, learning rates)}, arrays of the same length.
        histories: {run: rows of history.csv}; the same runs in the same order.
        ends: Epochs at which a cycle ends.

    Returns:
        A matplotlib figure.

    >>> history = [{"epoch": 1, "loss": 2.0, "val_loss": 1.0}]
    >>> figure = cyclic_runs({"single": ([0, 1], [0.1, 0.2])}, {"single": history}, [1])
    >>> [ax.get_xlabel() for ax in figure.axes]
    ['epoch', 'epoch']
    """
    figure, axes = new_figure(width=11, height=3.8, columns=2)
    for color, (run, (places, values)) in zip(KINDS.values(), rates.items(), strict=False):
        axes[0].plot(places, values, color=color)
        epochs = [row["epoch"] for row in histories[run]]
        for key, style, label in (("loss", ":", None), ("val_loss", "-", run)):
            values = [row[key] for row in histories[run]]
            axes[1].plot(epochs, values, style, color=color, label=label)
    for end in ends:
        axes[1].axvline(end, color=GRAY, linewidth=0.6, alpha=0.5)
    axes[0].set_title("learning rate", loc="left")
    axes[1].legend(frameon=False)
    axes[1].set_title("loss (nats): training dotted, validation solid", loc="left")
    axes[1].set_yscale("log")
    for ax in axes:
        ax.set_xlabel("epoch")
    return figure


def accuracy_gains(splits: Mapping[str, dict]) -> Figure:
    """Draw the gain of each row over the row none, with its standard deviation.

    Args:
        splits: {split: {row: {"gain": {"mean": …, "std": … or None}}}}, two splits at most.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> rows = {"none": {}, "dropout": {"gain": {"mean": 0.01, "std": None}}}
    >>> [text.get_text() for text in accuracy_gains({"test": rows}).axes[0].get_yticklabels()]
    ['dropout']
    """
    require_data(splits=splits)
    names = [row for row in next(iter(splits.values())) if row != "none"]
    figure, (ax,) = new_figure(width=9, height=1 + 0.42 * len(names))
    for (split, rows), color, offset in zip(
        splits.items(), (ORANGE, BLUE), (-0.12, 0.12), strict=False
    ):
        ax.errorbar(
            [100 * rows[row]["gain"]["mean"] for row in names],
            [place + offset for place in range(len(names))],
            xerr=[100 * (rows[row]["gain"]["std"] or 0) for row in names],
            fmt="o",
            color=color,
            capsize=3,
            label=split,
        )
    ax.axvline(0, color=GRAY, linewidth=0.8)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel("gain (points of accuracy)")
    ax.legend(frameon=False)
    return figure


def accuracy_by_seed(splits: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draw the accuracy of each row and seed as a dot, with the mean as a line.

    Args:
        splits: {split: {row: accuracies of the seeds}}, one panel for each split.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = accuracy_by_seed({"test": {"dense": [0.9, 0.92], "scratch": [0.88, 0.9]}})
    >>> figure.axes[0].get_title(loc="left")
    'test accuracy (%)'
    """
    require_data(splits=splits)
    count = len(next(iter(splits.values())))
    figure, axes = new_figure(width=11, height=1.2 + 0.5 * count, columns=len(splits))
    for ax, (split, rows) in zip(axes, splits.items(), strict=True):
        for place, values in enumerate(rows.values()):
            percent = [100 * value for value in values]
            ax.plot(percent, [place] * len(percent), "o", color=BLUE, alpha=0.6)
            mean = sum(percent) / len(percent)
            ax.plot([mean] * 2, [place - 0.3, place + 0.3], color=ORANGE, linewidth=2)
        ax.set_yticks(range(count), [*rows])
        ax.invert_yaxis()
        ax.set_title(f"{split} accuracy (%)", loc="left")
    return figure
