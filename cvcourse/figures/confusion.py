"""Figure of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import new_figure, require_data, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USUAL = 12  # letters of a name that need no extra room
ANNOTATED = 20  # maximum number of classes with counts
LABELED = 100  # maximum number of names at a side


def confusion_matrix(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw a confusion matrix, colored by the shares of each true class.

    If there are more than LABELED classes, only every k-th one is labeled.

    Args:
        counts: Integer array (classes, classes): row the true class, column the predicted one.
        names: Names of the classes.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = confusion_matrix(np.array([[3, 1], [0, 4]]), ("cat", "dog"))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['3', '1', '4']
    """
    from matplotlib.colors import PowerNorm

    require_data(names=names)
    side = min(11, 3.5 + 0.5 * len(names)) if len(names) <= ANNOTATED else 11
    names = shortened(names)
    room = 0.07 * max(0, max(map(len, names)) - USUAL)
    figure, (ax,) = new_figure(width=side + room, height=side * 0.9 + room)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The square root makes a share of 1 % visible beside the diagonal.
    image = ax.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    size = 9 if len(names) <= ANNOTATED else 5
    every = -(-len(names) // LABELED)
    labels = dict(ticks=range(0, len(names), every), labels=names[::every], fontsize=size)
    ax.set_xticks(rotation=90 if max(map(len, names)) > 2 else 0, **labels)
    ax.set_yticks(**labels)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.grid(False)
    if len(names) <= ANNOTATED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.4 else "black"
                ax.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
    figure.colorbar(image, ax=ax, fraction=0.046, label="share of the true class")
    return figure
