"""Receptive fields: the pixels that a layer's values see, and maps resized to fit them.

Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
https://distill.pub/2019/computing-receptive-fields.
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from cvcourse.layers.receptive_field import Field, fields
from cvcourse.visualization.network import Network


class ReceptiveField(NamedTuple):
    """Value (i, j) sees the pixels from `start + step * (i, j)` to `size - 1` after these.

    Args:
        size: Height and width in pixels.
        step: Rows and columns of pixels from a value to the next.
        start: First row and column of the pixels of value (0, 0), negative in the padding.

    >>> ReceptiveField(size=(3, 3), step=(2, 2), start=(-1, -1)).step
    (2, 2)
    """

    size: tuple[float, float]
    step: tuple[float, float]
    start: tuple[float, float]


def receptive_field(model: keras.Model, layer: Any) -> ReceptiveField | None:
    """Compute the receptive field of a layer's values.

    Args:
        model: keras.Model from images to logits or probabilities.
        layer: Name of a layer, or the layer.

    Returns:
        A ReceptiveField; None if each value depends on the whole image.

    Raises:
        ValueError: If there is no such layer between the image and the logits.

    >>> x = keras.Input((9, 9, 3))
    >>> y = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="conv")(x)
    >>> model = keras.Model(x, keras.layers.GlobalAveragePooling2D()(y))
    >>> receptive_field(model, "conv")
    ReceptiveField(size=(3, 3), step=(2, 2), start=(-1, -1))
    """
    network = Network.of(model)
    tap = network.tap(layer)
    field = fields(network.graph)[tap]
    return None if field is None or field.whole else ReceptiveField(*field[:3])


def boxes(model: keras.Model, layer: Any, places: Any) -> np.ndarray:
    """Compute the pixels that values of a layer see.

    Args:
        model: keras.Model from images to logits or probabilities.
        layer: Name of a layer, or the layer. If its values also depend on a mean of the whole
            image, as after squeeze-excite, the boxes are those of the path without the mean.
        places: Rows and columns of the values in the map (k, 2).

    Returns:
        Top, left, bottom and right, the last two exclusive: (k, 4) int, in pixels, not clipped to
        the image.

    Raises:
        ValueError: If there is no such layer, or its values have no place in the image.

    >>> x = keras.Input((9, 9, 3))
    >>> y = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="conv")(x)
    >>> model = keras.Model(x, keras.layers.GlobalAveragePooling2D()(y))
    >>> boxes(model, "conv", [(0, 1)]).tolist()
    [[-1, 1, 2, 4]]
    """
    network = Network.of(model)
    tap = network.tap(layer)
    field = fields(network.graph)[tap]
    if field is None:
        name = getattr(layer, "name", layer)
        raise ValueError(f"the values of {name} see the whole image: they have no box")
    places = np.asarray(places)
    if places.ndim != 2 or places.shape[1] != 2:
        raise ValueError(f"places are rows and columns (k, 2); received the shape {places.shape}")
    return boxes_of(field, places)


def boxes_of(field: Field, places: np.ndarray) -> np.ndarray:
    """Return the pixels that places of a map depend on: (k, 2) -> (k, 4) int; see `boxes`."""
    first = field.start + places * field.step
    last = np.ceil(first + field.size)  # parts of a pixel if the model resizes
    return np.concatenate([np.floor(first), last], axis=1).astype("int64")


def resize_maps(maps: np.ndarray, image_size: tuple, field: Field | None = None) -> np.ndarray:
    """Interpolate maps bilinearly, constant beyond the outer cells.

    Args:
        maps: Maps (n, rows, columns).
        image_size: Height and width of the images.
        field: Receptive field of the cells, whose middle has the value of the cell. If None, cells
            are equal parts of the image, as in keras.ops.image.resize.

    Returns:
        Maps (n, h, w) float32.
    """
    matrices = []
    for axis, (cells, pixels) in enumerate(zip(maps.shape[1:], image_size, strict=True)):
        step, middle = pixels / cells, (pixels / cells - 1) / 2
        if field is not None:
            step, middle = field.step[axis], field.start[axis] + (field.size[axis] - 1) / 2
        at = np.clip((np.arange(pixels) - middle) / step, 0, cells - 1)
        matrices.append(np.maximum(1 - np.abs(at[:, None] - np.arange(cells)), 0))
    rows, columns = matrices
    return (rows @ maps @ columns.T).astype("float32")
