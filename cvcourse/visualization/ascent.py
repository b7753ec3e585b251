"""Optimization of images: start, range of the pixels, random shifts, Adam."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from cvcourse.layers.graph import Value
from cvcourse.visualization.network import Network, check_count, in_batches, tell_once

CONTRAST = 0.225  # standard deviation of ImageNet's pixels, as a share of their range
USUAL_SIZE = (224, 224)

Bounds = tuple[Any, Any]
Callback = Callable[[int, np.ndarray], Any]


def pixel_range(bounds: Bounds) -> tuple[np.ndarray, np.ndarray]:
    """Check bounds, (low, high) as numbers or one a channel, and return them as arrays.

    Raises:
        ValueError: If low is not below high.
    """
    try:
        low, high = (np.asarray(bound, "float32") for bound in bounds)
        ascending = bool(np.all(low < high) and np.isfinite(high - low).all())
    except (TypeError, ValueError):
        ascending = False
    if not ascending:
        raise ValueError(f"bounds are the lowest and the highest pixel; received {bounds!r}")
    return low, high


def require_positive(*, step_size: float, blur: float = 1.0, **counts: int) -> None:
    """Raise ValueError for a count below 1, or another number that is not positive."""
    for name, count in counts.items():
        check_count(name, count)
    for name, number in (("step_size", step_size), ("blur", blur)):
        if not isinstance(number, (int, float, np.number)) or not 0 < number < np.inf:
            raise ValueError(f"{name} is a positive number; received {number!r}")


def require_weights(**weights: Any) -> None:
    """Raise ValueError for a weight that is not a finite number of at least 0."""
    for name, weight in weights.items():
        values = np.asarray(weight)
        if values.dtype.kind not in "fiu" or not ((values >= 0) & (values < np.inf)).all():
            raise ValueError(f"{name} is at least 0; received {weight!r}")


def tap_of(network: Network, layer: Any, technique: str) -> Value:
    """Return the Value of a layer; without one, of the last map, which is told once."""
    if layer is not None:
        return network.tap(layer)
    name, tap = network.default_map()
    tell_once(network, f"{technique}: layer {name}")
    return tap


def noise(
    network: Network, count: int, size: Sequence[int] | None, bounds: Bounds, seed: int
) -> np.ndarray:
    """Draw images of Gaussian noise around the middle of the range of pixels.

    Args:
        network: Network that takes the images.
        count: Number of images.
        size: Height and width; None is the size of the model, or 224 x 224 if it takes any size.
        bounds: (low, high).
        seed: Random seed.

    Returns:
        Array (count, h, w, c) float32.

    Raises:
        ValueError: If the model takes images of another size.
    """
    low, high = pixel_range(bounds)
    *sides, channels = network.image_shape
    if size is None:
        size = [side or usual for side, usual in zip(sides, USUAL_SIZE, strict=True)]
    if np.shape(size) != (2,) or min(size) < 1:
        raise ValueError(f"size is (height, width); received {size!r}")
    drawn = np.random.default_rng(seed).standard_normal((count, *size, channels or 3))
    images = (low + high) / 2 + CONTRAST * (high - low) * drawn
    return network.images(np.clip(images, low, high))


def features(network: Network, tap: Value, images: np.ndarray) -> np.ndarray:
    """Compute the values of a layer for images, (n, …) float32."""
    function = network.compiled(("features", tap), lambda x: network.call(x, [tap])[1])
    return in_batches(function, images)


def total_variation(images: Any) -> Any:
    """Sum the squared differences of vertical and of horizontal neighbors: (n, h, w, c) -> (n,)."""
    down = images[:, 1:] - images[:, :-1]
    across = images[:, :, 1:] - images[:, :, :-1]
    return sum(ops.sum(ops.square(d), axis=(1, 2, 3)) for d in (down, across))


def draw_shift(rng: np.random.Generator, images: np.ndarray, jitter: float) -> np.ndarray:
    """Draw a shift of (rows, columns) of at most the share `jitter` of the sides."""
    if not isinstance(jitter, (int, float, np.number)) or not 0 <= jitter <= 1:
        raise ValueError(f"jitter is a share of the sides, from 0 to 1; received {jitter!r}")
    reach = np.floor(jitter * np.array(images.shape[1:3])).astype(int)
    return rng.integers(-reach, reach + 1)


def shifted(images: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Shift images by (rows, columns); what leaves on one side comes back on the other."""
    return np.roll(images, shift, axis=(1, 2))


def root_mean_square(arrays: np.ndarray) -> np.ndarray:
    """Return the root mean square of each array, (n, h, w, c) -> (n, 1, 1, 1), positive."""
    square = np.square(arrays, dtype="float64").mean(axis=(1, 2, 3), keepdims=True)
    return np.maximum(np.sqrt(square), np.finfo("float32").tiny).astype("float32")


def adam(
    gradient: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    *,
    steps: int,
    step_size: float,
    bounds: Bounds,
    callback: Callback | None,
) -> np.ndarray:
    """Minimize a function of images with Adam, within the range of the pixels.

    Kingma & Ba, "Adam", ICLR 2015, https://arxiv.org/abs/1412.6980, algorithm 1. In the last tenth
    of the steps the step size is 1/30, as in the course's assignment on style transfer.

    Args:
        gradient: Function of images (n, h, w, c) that returns the gradient.
        images: Images to start from.
        steps: Number of steps.
        step_size: Step size, as a share of the range of the pixels.
        bounds: (low, high).
        callback: Called with the number of the step, from 1, and the images.

    Returns:
        Images (n, h, w, c) float32.
    """
    require_positive(steps=steps, step_size=step_size)
    low, high = pixel_range(bounds)
    mean, square = np.zeros_like(images), np.zeros_like(images)
    for step in range(1, steps + 1):
        found = gradient(images)
        mean = 0.9 * mean + 0.1 * found
        square = 0.999 * square + 0.001 * np.square(found)
        move = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-12)
        rate = step_size * (high - low) / (30 if step > 0.9 * steps else 1)
        images = np.clip(images - rate * move, low, high).astype("float32")
        if callback is not None:
            callback(step, images)
    return images
