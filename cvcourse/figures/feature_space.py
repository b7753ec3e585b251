"""Map of images in the feature space of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvcourse.figures.figure import new_figure, palette, require_data, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THUMBNAILS = 60  # images on a map


def feature_map(
    points: np.ndarray, labels: np.ndarray, images: Sequence, class_names: Sequence[str]
) -> Figure:
    """Draw points in the plane, colored by label, with some of their images.

    Args:
        points: Array (n, 2).
        labels: Array (n,) of class numbers.
        images: Sequence of n images (h, w, c) of 0..255.
        class_names: Names of the classes.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is nothing to draw.

    >>> points, images = np.eye(2), np.zeros((2, 8, 8, 3))
    >>> figure = feature_map(points, np.array([0, 1]), images, ("cat", "dog"))
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['cat', 'dog']
    """
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    require_data(points=points)
    figure, (ax,) = new_figure(width=11, height=8)
    colors = palette(len(class_names))
    for label in range(len(class_names)):
        x, y = points[labels == label].T
        ax.scatter(x, y, s=18, color=colors[label], label=str(label), alpha=0.8, linewidths=0)
    for i in _spread_out(points, THUMBNAILS):
        picture = OffsetImage(_thumbnail(images[int(i)]), zoom=0.5, cmap="gray")
        frame = {"edgecolor": colors[labels[i]], "linewidth": 1.5, "boxstyle": "square,pad=0.05"}
        ax.add_artist(AnnotationBbox(picture, points[i], bboxprops=frame, pad=0))
    ax.set_axis_off()  # only distances have a meaning
    if len(class_names) <= 20:
        legend = ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        # matplotlib leaves out labels that begin with an underscore.
        for text, name in zip(legend.get_texts(), shortened(class_names), strict=True):
            text.set_text(name)
    return figure


def _spread_out(points, count):
    """Select indices of points, each the farthest from all selected before."""
    chosen, distance = [0], np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def _thumbnail(image, side=64):
    from PIL import Image

    image = np.clip(np.asarray(image), 0, 255).astype("uint8")
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return np.asarray(picture.resize((side, side)))
