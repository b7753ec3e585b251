"""Deletion and insertion: how fast a class's probability changes in the order of a map.

Petsiuk, Das & Saenko, "RISE", BMVC 2018, https://arxiv.org/abs/1806.07421; the authors' code is
https://github.com/eclique/RISE/blob/master/evaluation.py.
"""

from typing import Any

import keras
import numpy as np

from cvcourse.visualization.network import Network, check_count

STEPS = 32  # RISE changes 224 pixels at once, in 224 steps
BLUR = (11, 5.0)  # length and standard deviation in pixels: RISE's Evaluation.ipynb


def deletion(
    model: keras.Model,
    images: Any,
    maps: Any,
    classes: Any = None,
    *,
    steps: int = STEPS,
    fill: Any = "mean",
    output: str | None = None,
) -> np.ndarray:
    """Measure how long a class stays likely while pixels are deleted, those of high value first.

    Args:
        model: keras.Model from images to logits or probabilities.
        images: Array (n, h, w, c), in the range that the model takes.
        maps: Attributions (n, h, w), or (n, h, w, c), which are summed over the channels with their
            sign. Pixels of equal value are taken from the top left.
        classes: Class number for all images, or one an image. If None, the likeliest class of each.
        steps: Number of steps in which all pixels are deleted, equally many in each.
        fill: What replaces a pixel: "mean", the image's mean color; "blur", the image blurred by a
            Gaussian of 11 pixels and standard deviation 5; or values that broadcast to the images.
        output: Name of the output, for a model with several. If None, `logits`.

    Returns:
        Areas (n,) float32 of 0 to 1 under the probability over the share of deleted pixels, by the
        trapezoid rule. The better the map, the smaller.

    Raises:
        ValueError: If images or maps do not fit, there is no such class, or steps is below 1.

    >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    >>> image = np.array([4.0, 0.0, 0.0, 0.0]).reshape(1, 2, 2, 1)
    >>> best, worst = deletion(model, np.repeat(image, 2, 0), [image[0], -image[0]], 0, fill=0)
    >>> bool(best < worst)
    True
    """
    return _areas(model, images, maps, classes, steps, fill, output, insert=False)


def insertion(
    model: keras.Model,
    images: Any,
    maps: Any,
    classes: Any = None,
    *,
    steps: int = STEPS,
    fill: Any = "blur",
    output: str | None = None,
) -> np.ndarray:
    """Measure how soon a class becomes likely while pixels are inserted, those of high value first.

    Args:
        model: As in `deletion`.
        images: As in `deletion`.
        maps: As in `deletion`.
        classes: As in `deletion`.
        steps: As in `deletion`.
        fill: What the pixels are inserted into, as in `deletion`.
        output: As in `deletion`.

    Returns:
        Areas (n,) float32 of 0 to 1 under the probability over the share of inserted pixels, by the
        trapezoid rule. The better the map, the larger.

    Raises:
        ValueError: As `deletion`.

    >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    >>> image = np.array([4.0, 0.0, 0.0, 0.0]).reshape(1, 2, 2, 1)
    >>> best, worst = insertion(model, np.repeat(image, 2, 0), [image[0], -image[0]], 0, fill=0)
    >>> bool(best > worst)
    True
    """
    return _areas(model, images, maps, classes, steps, fill, output, insert=True)


def _areas(model, images, maps, classes, steps, fill, output, *, insert):
    """Return the areas under the probability of a class over the share of changed pixels."""
    network = Network.of(model, output)
    network.require_maps("deletion" if not insert else "insertion")
    images = network.images(images)
    classes = network.targets(images, classes)
    maps = of_pixels(maps, images)
    check_count("steps", steps)
    filled = _filled(images, fill)
    before, after = (filled, images) if insert else (images, filled)
    changed = np.linspace(0, maps[0].size, steps + 1).round()[:, None, None, None]
    areas = []
    for one, other, values, chosen in zip(before, after, maps, classes, strict=True):
        order = np.empty(values.size, int)
        order[np.argsort(-values, axis=None, kind="stable")] = np.arange(values.size)
        path = np.where(order.reshape(*values.shape, 1) < changed, other, one)
        curve = network.class_probabilities(path, np.full(len(path), chosen))
        areas.append((curve[1:] + curve[:-1]).mean() / 2)
    return np.array(areas, "float32")


def of_pixels(maps: Any, images: np.ndarray) -> np.ndarray:
    """Check maps of images, and return them as (n, h, w), the sum over the channels.

    Raises:
        ValueError: If the maps have another shape than the images, with or without channels, or
            contain NaN or infinite values.
    """
    maps = np.asarray(maps, "float32")
    if maps.shape not in (images.shape, images.shape[:3]):
        raise ValueError(
            f"maps of images {images.shape} have the shape {images.shape[:3]}, or that of the "
            f"images; received {maps.shape}"
        )
    if not np.isfinite(maps).all():
        raise ValueError("a map contains NaN or infinite values")
    return maps.sum(axis=3) if maps.ndim == 4 else maps


def _filled(images, fill):
    """Return images without information about the class; see `deletion`."""
    if isinstance(fill, str):
        if fill == "mean":
            fill = images.mean(axis=(1, 2), keepdims=True)
        elif fill == "blur":
            return _blurred(images)
        else:
            raise ValueError(f"fill is 'mean', 'blur' or a number; received {fill!r}")
    try:
        found = np.broadcast_to(np.asarray(fill, "float32"), images.shape)
    except ValueError:
        raise ValueError(f"fill does not broadcast to {images.shape}: {np.shape(fill)}") from None
    if not np.isfinite(found).all():
        raise ValueError("fill contains NaN or infinite values")
    return found


def _blurred(images):
    """Blur images by a Gaussian; edge pixels are repeated."""
    length, deviation = BLUR
    kernel = np.exp(-((np.arange(length) - length // 2) ** 2) / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).astype("float32")
    for axis in (1, 2):
        widths = [(length // 2,) * 2 if i == axis else (0, 0) for i in range(4)]
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(images, widths, mode="edge"), length, axis=axis
        )
        images = windows @ kernel
    return images
