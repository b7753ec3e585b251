"""Curves: a run by epoch, several runs, and gradients by step of a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cvcourse.figures.figure import (
    BLUE,
    GRAY,
    ORANGE,
    logarithmic,
    new_figure,
    require_data,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_curves(
    history: Sequence[dict], best_epoch: int, loss: str, *, unit: float = 1.0
) -> Figure:
    """Draw loss, accuracy and learning rate by epoch.

    Args:
        history: Rows of history.csv: dicts of epoch, loss, accuracy, val_loss, val_accuracy and
            learning_rate.
        best_epoch: Epoch to mark.
        loss: Title of the panel of losses, with their unit.
        unit: Size of this unit in units of the history, such as log(2) for bits.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> row = {"epoch": 1, "loss": 2.0, "val_loss": 1.0, "accuracy": 0.5, "val_accuracy": 0.6}
    >>> figure = training_curves([row | {"learning_rate": 0.1}], 1, "loss (nats)")
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['loss (nats)', 'accuracy', "learning rate, at the epoch's end"]
    """
    require_data(history=history)
    history = [row | {key: row[key] / unit for key in ("loss", "val_loss")} for row in history]
    figure, axes = new_figure(width=11, height=3.2, columns=3)
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(history) == 1 else None
    for ax, key, title in zip(axes, ("loss", "accuracy"), (loss, "accuracy"), strict=False):
        for prefix, color, name in (("", BLUE, "training"), ("val_", ORANGE, "validation")):
            values = [row[prefix + key] for row in history]
            ax.plot(epochs, values, color=color, label=name, marker=marker)
        ax.axvline(best_epoch, color=GRAY, linewidth=0.8, linestyle=":", label="best epoch")
        ax.set_title(title, loc="left")
        ax.legend(frameon=False)
    losses = [row[key] for row in history for key in ("loss", "val_loss")]
    if 0 < 3 * min(losses) < max(losses):
        logarithmic(axes[0])
    axes[2].plot(epochs, [row["learning_rate"] for row in history], color=GRAY, marker=marker)
    axes[2].set_title("learning rate, at the epoch's end", loc="left")
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        whole_numbers(ax)
    return figure


def compared_curves(
    runs: Mapping[str, Mapping],
    titles: Mapping[str, str],
    styles: Mapping[str, dict],
    *,
    x: str = "epoch",
    xlabel: str = "epoch",
) -> Figure:
    """Draw several runs: one panel per quantity, one line per run; losses are logarithmic.

    Args:
        runs: {run: {quantity: values}}.
        titles: {quantity: title} of the panels. A quantity whose name ends with "loss" is a loss.
        styles: {run: options of matplotlib's `plot`}, with a label.
        x: Quantity along the x axis.
        xlabel: Label of the x axis.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> runs = {"sgd": {"epoch": [1, 2], "loss": [2.0, 1.0]}}
    >>> figure = compared_curves(runs, {"loss": "loss (nats)"}, {"sgd": {"label": "SGD"}})
    >>> figure.axes[0].get_yscale()
    'log'
    """
    figure, axes = new_figure(width=12, height=4.5, columns=len(titles))
    for ax, (key, title) in zip(axes, titles.items(), strict=True):
        for name, run in runs.items():
            ax.plot(run[x], run[key], **styles[name])
        if key.endswith("loss"):
            logarithmic(ax)
        ax.set_title(title, loc="left")
        ax.set_xlabel(xlabel)
        whole_numbers(ax)
    axes[-1].legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def gradient_reach(
    norms: Mapping[str, Mapping[str, Sequence[float]]], styles: Mapping[str, dict], *, xlabel: str
) -> Figure:
    """Draw norms of gradients by step of a sequence, relative to the largest of each net.

    Args:
        norms: {title of a panel: {net: norms (steps,)}}.
        styles: {net: options of matplotlib's `plot`}, with a label.
        xlabel: Label of the steps.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> norms = {"before training": {"rnn": [0.1, 0.2]}}
    >>> figure = gradient_reach(norms, {"rnn": {"label": "RNN"}}, xlabel="step")
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.5, 1. ])
    """
    figure, axes = new_figure(width=11, height=4, columns=len(norms))
    for ax, (title, nets) in zip(axes, norms.items(), strict=True):
        for name, values in nets.items():
            largest = max(values) or 1.0
            shares = [value / largest for value in values]
            ax.plot(range(1, len(values) + 1), shares, **styles[name])
        ax.set_yscale("log")
        ax.set_title(title, loc="left")
        ax.set_xlabel(xlabel)
    low = min(ax.get_ylim()[0] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, 2)
    axes[0].set_ylabel("share of the largest")
    axes[-1].legend(frameon=False)
    return figure
