"""Integrated gradients: the mean gradient on the way from a baseline to the image, times that way.

Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017,
https://arxiv.org/abs/1703.01365.
"""

from typing import Any

import keras
import numpy as np

from cvcourse.errors import unknown
from cvcourse.visualization._saliency import weighted_gradients
from cvcourse.visualization.network import Network, check_count, warn_of_zeros

RULES = ("midpoint", "left", "right", "trapezoid", "gauss-legendre")


def integrated_gradients(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    contrast: Any = None,
    baseline: Any = 0.0,
    steps: int = 64,
    rule: str = "midpoint",
    output: str | None = None,
) -> np.ndarray:
    """Compute integrated gradients (eq. 1 and 3), whose sum is nearly logit(x) - logit(baseline).

    The memory is that of one batch, whatever the number of steps.

    Args:
        model: As in `saliency`.
        images: As in `saliency`.
        classes: As in `saliency`; None is the likeliest class of the image.
        contrast: As in `saliency`.
        baseline: Image without content: a number, an image (h, w, c), or one an image
            (n, h, w, c), in the range that the model takes.
        steps: Number of intervals.
        rule: Quadrature: "midpoint", "left" or "right" of each interval, "trapezoid" (steps + 1
            points) or "gauss-legendre" (steps points of the whole path).
        output: As in `saliency`.

    Returns:
        Attributions (n, h, w, c) float32, signed.

    Raises:
        ValueError: As `saliency`, or if there is no step, no such rule, or the baseline has another
            shape.

    >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten()])
    >>> integrated_gradients(model, [[[[3.0], [4.0]]]], 1, baseline=1.0)[0, 0, :, 0]
    array([0., 3.], dtype=float32)
    """
    network = Network.of(model, output)
    images = network.images(images)
    start = _baselines(baseline, images)
    places, weights = _quadrature(rule, steps)
    directions = network.directions(images, classes, contrast)
    path = images - start
    found = weighted_gradients(
        network, directions, lambda k, i: start[i] + places[k] * path[i], weights
    )
    return warn_of_zeros(path * found, "integrated gradients")


def completeness_delta(
    model: keras.Model,
    images: Any,
    maps: Any,
    classes: Any = None,
    *,
    contrast: Any = None,
    baseline: Any = 0.0,
    output: str | None = None,
) -> np.ndarray:
    """Compute how far the sum of a map is from the difference that it is to explain.

    Proposition 1 of the paper: the sum of exact integrated gradients is logit(x) - logit(baseline).

    Args:
        model: As in `saliency`.
        images: As in `saliency`.
        maps: Attributions (n, h, w, c), as `integrated_gradients` returns them.
        classes: As in `saliency`.
        contrast: As in `saliency`.
        baseline: As in `integrated_gradients`.
        output: As in `saliency`.

    Returns:
        sum(map) - (logit(x) - logit(baseline)), (n,) float32.

    Raises:
        ValueError: As `integrated_gradients`, or if there are not as many maps as images.

    >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten()])
    >>> x = np.array([[[[3.0], [4.0]]]])
    >>> completeness_delta(model, x, integrated_gradients(model, x, 1), 1)
    array([0.], dtype=float32)
    """
    network = Network.of(model, output)
    images = network.images(images)
    maps = np.asarray(maps, "float64")
    if maps.shape[:1] != images.shape[:1]:
        raise ValueError(f"maps of the shape {maps.shape} for {len(images)} images: one an image")
    directions = network.directions(images, classes, contrast)
    start = _baselines(baseline, images)
    difference = network.predict(images) - network.predict(start)
    explained = (directions * difference).sum(axis=1)
    return (maps.reshape(len(maps), -1).sum(axis=1) - explained).astype("float32")


def _baselines(baseline, images):
    """Return a baseline for each image, as a view."""
    try:
        found = np.broadcast_to(np.asarray(baseline, "float32"), images.shape)
    except (TypeError, ValueError):
        raise ValueError(
            f"baseline is a number, an image {images.shape[1:]} or images {images.shape}; received "
            + (f"the shape {np.shape(baseline)}" if np.ndim(baseline) else repr(baseline))
        ) from None
    if not np.isfinite(found).all():
        raise ValueError("baseline contains NaN or infinite values")
    return found


def _quadrature(rule, steps):
    """Return points in 0..1 and their weights."""
    if rule not in RULES:
        raise ValueError(unknown("rule", rule, RULES))
    check_count("steps", steps)
    if rule == "gauss-legendre":
        points, weights = np.polynomial.legendre.leggauss(steps)  # on -1..1
        return (points + 1) / 2, weights / 2
    if rule == "trapezoid":
        weights = np.full(steps + 1, 1 / steps)
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, steps + 1), weights
    shift = {"midpoint": 0.5, "left": 0.0, "right": 1.0}[rule]
    return (np.arange(steps) + shift) / steps, np.full(steps, 1 / steps)
