"""DeepDream: images changed so that they excite a layer more.

Mordvintsev et al., "Inceptionism: Going Deeper into Neural Networks", 2015, and the authors' code,
https://github.com/google/deepdream/blob/master/dream.ipynb.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.layers.graph import Value
from cvcourse.visualization.ascent import (
    Bounds,
    Callback,
    draw_shift,
    pixel_range,
    require_positive,
    tap_of,
)
from cvcourse.visualization.gradients import value_and_gradient
from cvcourse.visualization.network import Network, in_batches, warn_of_zeros

SMALLEST = 32  # least side of an octave, for a model of any size


def dream_objective(model: keras.Model, images: Any, layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Compute half the sum of squares of a layer's values, and its gradient.

    Args:
        model: keras.Model of images, which it does not change.
        images: Array (n, h, w, c), in the range that the model takes.
        layer: Name of a layer, "model/layer" in a nested model, or the layer.

    Returns:
        (objective (n,), gradient with respect to the images (n, h, w, c)), float32.

    Raises:
        ValueError: If the images do not fit the model, or there is no such layer.

    >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(name="flat")])
    >>> objective, gradient = dream_objective(model, np.full((1, 2, 2, 1), 3.0), "flat")
    >>> objective.tolist(), gradient[0, :, :, 0].tolist()
    ([18.0], [[3.0, 3.0], [3.0, 3.0]])
    """
    network = Network.of(model)
    return in_batches(_objective(network, network.tap(layer)), network.images(images))


def dream_step(model: keras.Model, images: Any, layer: Any) -> np.ndarray:
    """Compute a step of DeepDream: the gradient of half the sum of squares of a layer's values.

    Args:
        model: As in `dream_objective`.
        images: As in `dream_objective`.
        layer: As in `dream_objective`.

    Returns:
        Gradients (n, h, w, c) float32, each over its mean absolute value.

    Raises:
        ValueError: As `dream_objective`.

    >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten(name="flat")])
    >>> dream_step(model, np.array([[[[1.0], [3.0]]]]), "flat").ravel().tolist()
    [0.5, 1.5]
    """
    return warn_of_zeros(_normalized(dream_objective(model, images, layer)[1]), "dream_step")


def dream(
    model: keras.Model,
    images: Any,
    layer: Any = None,
    *,
    steps: int = 10,
    octaves: int = 4,
    octave_scale: float = 1.4,
    step_size: float = 1.5 / 255,
    jitter: float = 32 / 224,
    bounds: Bounds = (0.0, 255.0),
    seed: int = 0,
    callback: Callback | None = None,
) -> np.ndarray:
    """Change images so that they excite a layer more, from coarse to fine structures.

    The images are made smaller, changed by steps of gradient ascent, and enlarged; details found at
    one size are added to the next. The defaults are those of the authors' code at 224 pixels.

    Images may be larger than a model of a fixed size: it then sees tiles of its size, at random
    places in each step. Images of exactly its size have one octave.

    Args:
        model: keras.Model of images, which it does not change.
        images: Array (n, h, w, c), in the range of `bounds`.
        layer: Name of a layer, "model/layer" in a nested model, or the layer. If None, the last map
            before the classifier.
        steps: Number of steps for each octave.
        octaves: Number of sizes; sizes smaller than the input of a model of a fixed size, or than
            32 pixels, are left out.
        octave_scale: Ratio of successive sizes.
        step_size: Mean absolute change of a pixel in a step, as a share of the range.
        jitter: Largest random shift of the images, as a share of their sides.
        bounds: Lowest and highest pixel, as numbers or one a channel.
        seed: Random seed of the shifts.
        callback: Called after each step with its number, from 1, and the images at the octave's
            size.

    Returns:
        Images (n, h, w, c) float32.

    Raises:
        ValueError: If the images do not fit the model, there is no such layer, or a number is out
            of range.

    >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.ReLU(name="map"),
    ...                           keras.layers.Flatten()])
    >>> gray = np.full((1, 8, 8, 1), 100.0)
    >>> float(dream(model, gray, "map", steps=2, step_size=0.1).mean())
    151.0
    """
    require_positive(steps=steps, octaves=octaves, step_size=step_size)
    if not octave_scale > 1:
        raise ValueError(f"octave_scale is above 1; received {octave_scale!r}")
    low, high = pixel_range(bounds)
    network = Network.of(model)
    tap = tap_of(network, layer, "dream")
    base = _at_least_model_size(network, images)
    rng = np.random.default_rng(seed)
    detail, number = np.zeros_like(base), 0
    sizes = _sizes(base.shape[1:3], network.image_shape[:2], octaves, octave_scale)
    for size in sizes:
        octave = _resized(base, size)
        pixels = octave + _resized(detail, size)
        for _ in range(steps):
            gradient = _tiled_gradient(network, tap, pixels, jitter, rng)
            pixels = pixels + step_size * (high - low) * _normalized(gradient)
            pixels = np.clip(pixels, low, high).astype("float32")
            number += 1
            if callback is not None:
                callback(number, pixels)
        detail = pixels - octave
    return pixels


def _objective(network: Network, tap: Value):
    """Return the compiled function images -> (objective, gradient)."""

    def gradient(x):
        def objective(x):
            values = ops.cast(network.call(x, [tap])[1], "float32")
            values = ops.reshape(values, (ops.shape(x)[0], -1))
            return ops.sum(ops.square(values), axis=1) / 2, ()

        found, _, slope = value_and_gradient(objective, x)
        return found, slope

    return network.compiled(("dream", tap), gradient)


def _normalized(gradient):
    """Divide the gradient of each image by its mean absolute value."""
    mean = np.abs(gradient).mean(axis=(1, 2, 3), keepdims=True)
    return gradient / np.maximum(mean, np.finfo("float32").tiny)


def _at_least_model_size(network: Network, images) -> np.ndarray:
    """Check images of at least the model's size, and return them as float32."""
    images = network.images(images, any_size=True)
    least = [side or 1 for side in network.image_shape[:2]]
    if any(a < b for a, b in zip(images.shape[1:3], least, strict=True)):
        return network.images(images)  # raises
    return images


def _sizes(size: Sequence[int], tile, octaves: int, scale: float) -> list[list[int]]:
    """Return the sizes of the octaves, the smallest first."""
    sizes = [[round(side / scale**i) for side in size] for i in range(octaves)]
    least = [side or SMALLEST for side in tile]
    smaller = [s for s in sizes[1:] if all(a >= b for a, b in zip(s, least, strict=True))]
    return [*smaller[::-1], sizes[0]]


def _resized(images, size):
    """Scale images (n, h, w, c) to a size."""
    if images.shape[1:3] == tuple(size):
        return images
    scaled = ops.image.resize(images, size, antialias=True, data_format="channels_last")
    return ops.convert_to_numpy(scaled)


def _tiled_gradient(network: Network, tap: Value, images, jitter, rng) -> np.ndarray:
    """Compute the gradient of images that are at least as large as the model's input.

    After a random shift, tiles cover the images; the last ones go on at the other side.
    """
    function = _objective(network, tap)
    sides = images.shape[1:3]
    tile = [fixed or side for fixed, side in zip(network.image_shape[:2], sides, strict=True)]
    counts = [-(-side // length) for side, length in zip(sides, tile, strict=True)]
    # One tile sees all of the image: a small shift. Several tiles have borders: any shift.
    shift = draw_shift(rng, images, jitter if counts == [1, 1] else 0.5)
    rows, columns = (
        (offset + np.arange(count * length)) % side
        for offset, count, length, side in zip(shift, counts, tile, sides, strict=True)
    )
    gradient = np.zeros_like(images)
    for top in range(0, len(rows), tile[0]):
        for left in range(0, len(columns), tile[1]):
            place = np.ix_(
                range(len(images)), rows[top : top + tile[0]], columns[left : left + tile[1]]
            )
            gradient[place] = in_batches(function, images[place])[1]
    return gradient
