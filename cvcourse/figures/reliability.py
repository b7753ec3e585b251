"""Reliability: accuracy by confidence. Guo et al. 2017, https://arxiv.org/abs/1706.04599."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import BLUE, GRAY, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability_diagram(panels: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Draw accuracy by confidence: one bar per bin, a dot at its mean confidence.

    Args:
        panels: {title: (counts, mean confidences, accuracies)}, three arrays (bins,) as
            `calibration.reliability` returns them.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> bins = np.array([1, 3]), np.array([0.4, 0.8]), np.array([0.0, 0.7])
    >>> reliability_diagram({"test": bins}).axes[0].get_xlabel()
    'confidence'
    """
    figure, axes = new_figure(width=5 if len(panels) == 1 else 11, height=4, columns=len(panels))
    for ax, (title, (counts, confidences, accuracies)) in zip(axes, panels.items(), strict=True):
        edges = np.linspace(0, 1, len(counts) + 1)
        ax.bar(edges[:-1], accuracies, 1 / len(counts), align="edge", color=BLUE, alpha=0.6)
        there = counts > 0
        ax.plot(confidences[there], accuracies[there], "o", color=ORANGE, markersize=4)
        ax.plot([0, 1], [0, 1], color=GRAY, linestyle="--", linewidth=0.8)
        ax.set_xlabel("confidence")
        ax.set_title(title, loc="left")
    axes[0].set_ylabel("accuracy")
    return figure
