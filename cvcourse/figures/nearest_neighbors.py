"""Figures of nearest neighbors: cross-validation of k, and matrices of distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import BLUE, GREEN, ORANGE, new_figure, require_data, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cross_validated_accuracy(
    accuracies: Mapping[str, Mapping[int, Sequence[float]]], *, xlabel: str = "k"
) -> Figure:
    """Draw the accuracy of each fold as a dot, and a line of means with standard deviations.

    CS231n, assignment 1, k-nearest neighbors.

    Args:
        accuracies: {title: {value of the hyperparameter: accuracies of the folds}}; each title has
            a panel.
        xlabel: Name of the hyperparameter.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> figure = cross_validated_accuracy({"l2": {1: [0.25, 0.35], 5: [0.3, 0.5]}})
    >>> figure.axes[0].get_title(loc="left")
    'l2: accuracy of the folds (%)'
    """
    require_data(accuracies=accuracies)
    figure, axes = new_figure(width=5.5 * len(accuracies), height=3.8, columns=len(accuracies))
    for ax in axes[1:]:
        ax.sharey(axes[0])
    for ax, (title, folds) in zip(axes, accuracies.items(), strict=True):
        values = sorted(folds)
        percent = [100 * np.asarray(folds[value]) for value in values]
        for value, dots in zip(values, percent, strict=True):
            ax.plot([value] * len(dots), dots, "o", color=BLUE, alpha=0.5, markersize=4)
        means, deviations = [row.mean() for row in percent], [row.std() for row in percent]
        ax.errorbar(values, means, deviations, color=ORANGE, capsize=3)
        ax.set_xscale("symlog", linthresh=20)  # small values apart, as on a linear axis
        ax.set_xticks(values, values, fontsize=8)
        ax.minorticks_off()
        ax.set_title(f"{title}: accuracy of the folds (%)", loc="left")
        ax.set_xlabel(xlabel)
    return figure


def distance_matrix(
    distances: np.ndarray, *, xlabel: str = "training images", ylabel: str = "test images"
) -> Figure:
    """Draw distances as shades: the nearest are black, the farthest white.

    Args:
        distances: Distances, (Q, N).
        xlabel: Name of the columns.
        ylabel: Name of the rows.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> distance_matrix(np.eye(3)).axes[0].get_xlabel()
    'training images'
    """
    require_data(distances=distances)
    rows, columns = distances.shape
    figure, (ax,) = new_figure(width=10, height=1.2 + min(8.8, 9 * rows / columns))
    ax.grid(visible=False)
    ax.imshow(distances, cmap="gray", interpolation="none", aspect="auto")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return figure


def image_neighbors(
    images: np.ndarray, neighbors: np.ndarray, names: Sequence[str], labels: Sequence[Sequence[str]]
) -> Figure:
    """Draw images, each with its neighbors in a row; a neighbor of the same class has a green name.

    Args:
        images: Images of 0..255, (n, h, w, c).
        neighbors: Neighbors of each, nearest first, (n, k, h, w, c).
        names: Classes of the images.
        labels: Classes of the neighbors, k for each image.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> pixels = np.zeros((1, 2, 2, 1), "uint8")
    >>> figure = image_neighbors(pixels, pixels[None], ["cat"], [["dog"]])
    >>> [ax.get_title() for ax in figure.axes]
    ['cat', 'dog']
    """
    from matplotlib.figure import Figure

    require_data(images=images)
    rows, columns = np.shape(neighbors)[:2]
    figure = Figure(figsize=(1.2 * (columns + 1), 1.4 * rows), layout="constrained")
    for axes, image, near, name, texts in zip(
        figure.subplots(rows, columns + 1, squeeze=False),
        *(images, neighbors, names, labels),
        strict=True,
    ):
        titles = shortened([name, *texts])
        for ax, picture, title in zip(axes, [image, *near], titles, strict=True):
            picture = np.asarray(picture) / 255
            ax.imshow(
                picture if picture.shape[-1] == 3 else picture[..., 0], "gray", vmin=0, vmax=1
            )
            color = GREEN if title == titles[0] else ORANGE
            ax.set_title(title, fontsize=9, color="black" if ax is axes[0] else color)
            ax.axis("off")
    return figure
