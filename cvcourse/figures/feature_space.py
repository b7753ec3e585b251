"""A map of images in a network's feature space."""

import numpy as np

from cvcourse.figures.figure import new_figure, palette, require_data, shortened

THUMBNAILS = 60  # on a map


def feature_map(points, labels, images, class_names):
    """Draw points in the plane, colored by their label, with the pictures of some of them.

    Args:
        points: Array (n, 2).
        labels: Array (n,) of class numbers.
        images: Sequence of n images (h, w, c) of 0..255.
        class_names: Names of the classes.

    Returns:
        A matplotlib figure.
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
    ax.set_axis_off()  # distances count, and not what they are along
    if len(class_names) <= 20:
        legend = ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        # As a label, a name that begins with an underscore would be left out.
        for text, name in zip(legend.get_texts(), shortened(class_names), strict=True):
            text.set_text(name)
    return figure


def _spread_out(points, count):
    """Indices of points of which each is as far as can be from those before it."""
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
