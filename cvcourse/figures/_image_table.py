"""Small images in rows and columns with titles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import new_figure, require_data, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def image_table(rows: Mapping[str, np.ndarray], columns: Sequence[str]) -> Figure:
    """Draw a row of images for each name, such as the templates of several classifiers.

    Args:
        rows: {name: images (columns, h, w, 1 or 3) of 0..255}, all of one size.
        columns: Titles of the columns.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = image_table({"svm": np.zeros((2, 4, 4, 1))}, ("cat", "dog"))
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['cat', 'dog']
    """
    require_data(rows=rows, columns=columns)
    height, width = next(iter(rows.values())).shape[1:3]
    gap = max(1, width // 10)
    table = np.full((len(rows) * (height + gap), len(columns) * (width + gap), 3), 255, "uint8")
    for y, images in enumerate(rows.values()):
        for x, image in enumerate(images):
            top, left = y * (height + gap), x * (width + gap)
            table[top : top + height, left : left + width] = image
    side = min(0.85, 40 / len(columns))  # inches
    figure, (ax,) = new_figure(width=side * len(columns) + 2, height=side * len(rows) + 0.6)
    ax.imshow(table)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    longest = max(map(len, columns))
    ax.set_xticks(
        np.arange(len(columns)) * (width + gap) + width / 2,
        shortened(columns),
        rotation=45 if longest > 4 else 0,
        ha="left" if longest > 4 else "center",
    )
    ax.set_yticks(np.arange(len(rows)) * (height + gap) + height / 2, shortened([*rows]))
    return figure
