"""Figures of the training doctor: one for each check that has curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cvcourse.figures.figure import BLUE, GRAY, GREEN, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_ERROR = 1e-12  # drawn for smaller ones: 0 has no logarithm


def memorized_examples(losses: Mapping[float, Sequence[float]], bound: float) -> Figure:
    """Draw the losses of the same few examples by step.

    Args:
        losses: {learning rate of Adam: losses (steps,)}.
        bound: Loss below which the examples count as memorized.

    Returns:
        A matplotlib figure.

    >>> memorized_examples({0.01: [2.3, 0.1, 0.01]}, 0.05).axes[0].get_yscale()
    'log'
    """
    figure, (ax,) = new_figure(width=7, height=3)
    for (rate, values), alpha in zip(losses.items(), (1, 0.6, 0.3), strict=False):
        ax.plot(values, color=BLUE, alpha=alpha, label=f"Adam, rate {rate:g}")
    _line(ax, bound, "memorized")
    ax.set_title("loss of the same few examples", loc="left")
    _log(ax, "step")
    return figure


def range_test(
    rates: ArrayLike,
    losses: ArrayLike,
    smoothed: ArrayLike,
    *,
    rate: float,
    suggested: tuple[float, float] | None,
    at_rate: ArrayLike,
    chance: float,
    top: float,
) -> Figure:
    """Draw the loss at a rising learning rate, and the loss of training at one rate.

    Args:
        rates: Learning rates (n,) of the range test.
        losses: Its losses (n,).
        smoothed: Its losses, smoothed (n,).
        rate: Learning rate of the run.
        suggested: Lowest and highest suggested rate, or None.
        at_rate: Losses (steps,) at `rate`.
        chance: Loss of a random guess.
        top: Highest loss drawn.

    Returns:
        A matplotlib figure.

    >>> rates, losses = [0.01, 0.1, 1.0], [2.0, 1.0, 9.0]
    >>> options = {"rate": 0.1, "suggested": None, "at_rate": losses, "chance": 2.3, "top": 5}
    >>> len(range_test(rates, losses, losses, **options).axes)
    2
    """
    figure, axes = new_figure(width=11, height=3.2, columns=2)
    axes[0].plot(rates, losses, color=GRAY, alpha=0.4, linewidth=0.8)
    axes[0].plot(rates, smoothed, color=BLUE, label="smoothed")
    if suggested:
        axes[0].axvspan(*suggested, color=GREEN, alpha=0.12, label="suggested")
    axes[0].axvline(rate, color=ORANGE, linestyle="--", label="this run's")
    axes[0].set_xscale("log")
    axes[0].set_xlabel("learning rate")
    axes[0].set_title("range test: loss at a rising rate", loc="left")
    axes[1].plot(at_rate, color=ORANGE)
    axes[1].set_xlabel("step")
    axes[1].set_title(f"loss at {rate:g}", loc="left")
    for ax in axes:
        ax.set_ylim(0, min(ax.get_ylim()[1], top))
        _line(ax, chance, "a guess")
        ax.legend(frameon=False)
    return figure


def updates_and_signals(
    shares: ArrayLike,
    outputs: Sequence[float],
    gradients: Sequence[float],
    *,
    usual: float,
    modest: tuple[float, float],
    later: int,
    **counts: Sequence[float | None],
) -> Figure:
    """Draw the sizes of updates by kernel, and of outputs and gradients by layer.

    Args:
        shares: Ratios (kernels,) of the update to the weights.
        outputs: Standard deviations (layers,) of the layers' outputs.
        gradients: Standard deviations (layers,) of the gradients, `later` steps later.
        usual: Usual ratio.
        modest: Lowest and highest ratio that is not suspicious.
        later: Number of steps.
        **counts: For each of two defects, such as dead, the shares (layers,) of units that have it;
            None for a layer that cannot have it.

    Returns:
        A matplotlib figure.

    >>> options = {"usual": 1e-3, "modest": (1e-4, 1e-2), "later": 10}
    >>> counts = {"dead": [0.1], "saturated": [None]}
    >>> len(updates_and_signals([1e-3], [1.0], [0.5], **options, **counts).axes)
    3
    """
    figure, axes = new_figure(width=11, height=3.2, columns=3)
    axes[0].plot(shares, "o-", color=BLUE, markersize=3)
    axes[0].axhspan(*modest, color=GREEN, alpha=0.12)
    _line(axes[0], usual, "usual")
    axes[0].set_title("update / weights, by kernel", loc="left")
    axes[1].plot(outputs, color=BLUE, label="outputs")
    axes[1].plot(gradients, color=ORANGE, label=f"gradients, {later} steps later")
    axes[1].set_title("standard deviation, by layer", loc="left")
    for (name, values), color in zip(counts.items(), (GRAY, ORANGE), strict=True):
        there = [(i, value) for i, value in enumerate(values) if value is not None]
        if there:
            axes[2].plot(*zip(*there, strict=True), "o", color=color, label=name, markersize=4)
    axes[2].set_title("dead ReLUs, saturated values, by layer", loc="left")
    axes[2].set_ylim(-0.02, 1.02)
    axes[2].set_xlim(-0.5, len(outputs) - 0.5)
    axes[2].set_xlabel("layer")
    if axes[2].lines:
        axes[2].legend(frameon=False)
    _log(axes[0], "kernel")
    _log(axes[1], "layer")
    return figure


def gradient_errors(errors: Sequence[float], kinks: Sequence[bool], bound: float) -> Figure:
    """Draw the relative errors of a gradient check.

    Args:
        errors: Relative error of each checked parameter.
        kinks: Whether the loss has a kink there, so that the error does not count.
        bound: Largest error of a correct gradient.

    Returns:
        A matplotlib figure.

    >>> figure = gradient_errors([1e-9, 0.5], [False, True], 1e-4)
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['checked', 'a kink, left out', 'bound']
    """
    figure, (ax,) = new_figure(width=7, height=3)
    for kink, color, label in ((False, BLUE, "checked"), (True, GRAY, "a kink, left out")):
        places = [i for i, bent in enumerate(kinks) if bent == kink]
        if places:
            values = [max(errors[i], LEAST_ERROR) for i in places]
            ax.plot(places, values, "o", color=color, label=label, markersize=4)
    _line(ax, bound, "bound")
    ax.set_title("relative error of the gradient", loc="left")
    _log(ax, "parameter, from the input to the scores")
    return figure


def step_times(works: ArrayLike, waits: ArrayLike) -> Figure:
    """Draw the times that steps spend on training, and on waiting for data.

    Args:
        works: Seconds (steps,) of training.
        waits: Seconds (steps,) of waiting.

    Returns:
        A matplotlib figure.

    >>> step_times([0.1, 0.2], [0.0, 0.01]).axes[0].lines[0].get_ydata()
    array([100., 200.])
    """
    figure, (ax,) = new_figure(width=7, height=3)
    for seconds, color, label in ((works, BLUE, "training"), (waits, ORANGE, "waiting")):
        ax.plot(1e3 * np.array(seconds), color=color, label=label)
    ax.set_title("time of a step (ms)", loc="left")
    _log(ax, "step")
    return figure


def _line(ax, value, label):
    ax.axhline(value, color=GREEN, linewidth=0.9, linestyle=":", label=label)


def _log(ax, label):
    """Make the y axis logarithmic if any value is positive, label the x axis, add a legend."""
    if any((np.asarray(line.get_ydata(), float) > 0).any() for line in ax.lines):
        ax.set_yscale("log")
    ax.set_xlabel(label)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False)
