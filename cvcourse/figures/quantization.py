"""Accuracy by the number of bits of a weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cvcourse.figures.figure import GRAY, new_figure, palette, require_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def accuracy_by_bits(dense: float, lines: Mapping[str, Mapping[int, float]]) -> Figure:
    """Draw a line of accuracies by bits for each method, and the accuracy before as a line.

    Args:
        dense: Accuracy of the float32 network, 0 to 1.
        lines: {method: {bits: accuracy}}.

    Returns:
        A matplotlib figure; the accuracies are in percent.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = accuracy_by_bits(0.9, {"post-training": {8: 0.9, 4: 0.7, 2: 0.1}})
    >>> figure.axes[0].lines[1].get_ydata().tolist()
    [90.0, 70.0, 10.0]
    """
    require_data(lines=lines)
    figure, (ax,) = new_figure(width=7, height=3.8)
    ax.axhline(100 * dense, color=GRAY, linewidth=1, linestyle="--", label="float32")
    for color, (name, line) in zip(palette(len(lines)), lines.items(), strict=True):
        values = [100 * value for value in line.values()]
        ax.plot([*line], values, color=color, marker="o", label=name)
    ticks = sorted({bits for line in lines.values() for bits in line})
    ax.set_xticks(ticks)
    ax.invert_xaxis()
    ax.set_xlabel("bits of a weight")
    ax.set_title("accuracy (%)", loc="left")
    ax.legend(frameon=False)
    return figure
