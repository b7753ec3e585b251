"""Validation accuracy on a grid of two hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import ORANGE, new_figure, require_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPAN = 0.1  # accuracies so far below the best are white, as are those of diverged runs


def accuracy_grids(
    grids: Mapping[str, np.ndarray],
    rows: Sequence[float],
    columns: Sequence[float],
    *,
    labels: tuple[str, str],
) -> Figure:
    """Draw accuracies as colored cells, one panel per method; a frame marks the best cell.

    Args:
        grids: {method: accuracies (rows, columns), from 0 to 1}.
        rows: Values of the hyperparameter of the rows.
        columns: Values of that of the columns.
        labels: Names of the two hyperparameters.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = accuracy_grids({"svm": np.array([[0.1, 0.3]])}, [1], [2, 4], labels=("a", "b"))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['10.0', '30.0']
    """
    from matplotlib.patches import Rectangle

    require_data(grids=grids, rows=rows, columns=columns)
    size = max(0.6 * len(rows) + 1.2, 2.4)
    width = max(2.4, 0.75 * len(columns)) * len(grids) + 1.2
    figure, axes = new_figure(width=width, height=size, columns=len(grids))
    values = np.array([*grids.values()])
    high = values.max()
    low = max(values.min(), high - SPAN)
    for ax, (title, grid) in zip(axes, grids.items(), strict=True):
        ax.imshow(grid, cmap="Blues", vmin=low, vmax=high, aspect="auto")
        for (row, column), value in np.ndenumerate(grid):
            dark = value - low > 0.6 * (high - low)
            text = f"{100 * value:.1f}"
            ax.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
        row, column = np.unravel_index(grid.argmax(), grid.shape)
        frame = Rectangle(
            (float(column) - 0.5, float(row) - 0.5), 1, 1, fill=False, edgecolor=ORANGE, lw=2.5
        )
        ax.add_patch(frame)
        ax.grid(False)
        ax.set_title(title, loc="left", fontsize=10)
        ax.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
        ax.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])
        ax.set_xlabel(labels[1])
    axes[0].set_ylabel(labels[0])
    return figure
