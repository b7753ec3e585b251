"""Grid pointing game: whether the map of a class lies on its photo among four.

Böhle, Fritz & Schiele, "Convolutional Dynamic Alignment Networks for Interpretable
Classifications", CVPR 2021, https://arxiv.org/abs/2104.00032; Rao, Böhle & Schiele, "Towards Better
Understanding Attribution Methods", CVPR 2022, https://arxiv.org/abs/2205.10435. The authors' code:
https://github.com/moboehle/CoDA-Nets/blob/main/interpretability/analyses/localisation.py.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from cvcourse.visualization._deletion import of_pixels
from cvcourse.visualization.network import Network


@dataclasses.dataclass(frozen=True)
class GridPointing:
    """Result of the grid pointing game.

    Attributes:
        shares: Share of the positive attribution that is on the class's photo, (n,); 0 if there is
            no positive attribution. A map that ignores the class has a mean of 1/4.
        hits: Whether the strongest pixel is on the class's photo, (n,).
    """

    shares: np.ndarray
    hits: np.ndarray


def grid_pointing(
    model: keras.Model,
    method: Callable,
    images: Any,
    classes: Any,
    *,
    output: str | None = None,
) -> GridPointing:
    """Compute maps of images that are composed of four photos, for the class of each photo.

    The first four photos are the quarters of the first image, in the order of reading, and so on.
    They are reduced to half their size, so that the image has the size that the model takes; the
    papers compose photos of that size. As in the papers, choose photos that the model classifies
    correctly with a high probability.

    Args:
        model: keras.Model from images to logits or probabilities.
        method: Function (model, images, classes) -> maps (n, h, w) or (n, h, w, c), which are
            summed over the channels with their sign.
        images: Photos (n, h, w, c), in the range that the model takes; n is a multiple of 4.
        classes: Class number of each photo, different ones within four.
        output: Name of the output, for a model with several. If None, `logits`.

    Returns:
        A GridPointing.

    Raises:
        ValueError: If the photos do not fit the model, or are not four by four of different
            classes.

    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.AveragePooling2D(2)])
    >>> model.add(keras.layers.Flatten())
    >>> from cvcourse.visualization import saliency
    >>> grid_pointing(model, saliency, np.ones((4, 4, 4, 1)), [0, 1, 2, 3]).shares
    array([1., 1., 1., 1.], dtype=float32)
    """
    network = Network.of(model, output)
    network.require_maps("the grid pointing game")
    images = network.images(images)
    classes = network.targets(images, classes)
    if len(images) % 4:
        raise ValueError(f"four photos make an image; received {len(images)} photos")
    shares, hits = [], []
    for i in range(0, len(images), 4):
        four = classes[i : i + 4]
        if len({*four}) < 4:
            raise ValueError(f"four photos in an image have different classes; received {four}")
        grid = compose(images[i : i + 4])[None].repeat(4, axis=0)
        maps = of_pixels(method(model, grid, four), grid)
        for quarter, values in zip(np.ndindex(2, 2), maps, strict=True):
            positive = values.clip(min=0)
            total = positive.sum()
            shares.append(quarters(positive)[quarter].sum() / total if total else 0.0)
            row, column = np.unravel_index(values.argmax(), values.shape)
            height, width = values.shape
            hits.append(total > 0 and quarter == (row >= height // 2, column >= width // 2))
    return GridPointing(np.array(shares, "float32"), np.array(hits))


def compose(photos: np.ndarray) -> np.ndarray:
    """Compose four photos (4, h, w, c), reduced to half their size, to an image (h, w, c)."""
    image = np.empty_like(photos[0])
    for photo, quarter in zip(photos, quarters(image).values(), strict=True):
        resized = keras.ops.image.resize(photo, quarter.shape[:2], antialias=True)
        quarter[...] = keras.ops.convert_to_numpy(resized)
    return image


def quarters(image: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """Return views of an array's quarters: {(row, column): array}."""
    row, column = (side // 2 for side in image.shape[:2])
    return {
        (i, j): image[(slice(row), slice(row, None))[i], (slice(column), slice(column, None))[j]]
        for i, j in np.ndindex(2, 2)
    }
