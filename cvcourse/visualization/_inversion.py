"""Feature inversion: images that have given values of a layer.

Mahendran & Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015,
https://arxiv.org/abs/1412.0035, with total variation of beta = 2; the authors' code is
https://github.com/aravindhm/deep-goggle/blob/master/core/invert_nn.m.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.layers.graph import Value
from cvcourse.visualization.ascent import (
    Bounds,
    Callback,
    adam,
    features,
    noise,
    pixel_range,
    require_weights,
    tap_of,
    total_variation,
)
from cvcourse.visualization.gradients import value_and_gradient
from cvcourse.visualization.network import Network, in_batches


def inversion_loss(
    model: keras.Model,
    images: Any,
    targets: Any,
    layer: Any,
    *,
    variation_weight: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the distance of images to the features of other images, and its gradient.

    The loss is |f(x) - f(t)|^2 / |f(t)|^2 + variation_weight * total variation, where f are the
    values of a layer, and the total variation is the sum of squared differences of vertical and of
    horizontal neighbors.

    Args:
        model: keras.Model of images, which it does not change.
        images: Array (n, h, w, c), in the range that the model takes.
        targets: Images whose features are wanted, (n, h, w, c), or one for all.
        layer: Name of a layer, "model/layer" in a nested model, or the layer.
        variation_weight: Weight of the total variation.

    Returns:
        (loss (n,), gradient with respect to the images (n, h, w, c)), float32.

    Raises:
        ValueError: If the images do not fit the model, there is no such layer, or its values for a
            target are all zero.

    >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten(name="flat")])
    >>> image, target = np.array([[[[1.0], [3.0]]]]), np.array([[[[0.0], [2.0]]]])
    >>> loss, gradient = inversion_loss(model, image, target, "flat", variation_weight=1.0)
    >>> loss.tolist(), gradient.ravel().tolist()
    ([4.5], [-3.5, 4.5])
    """
    require_weights(variation_weight=variation_weight)
    network = Network.of(model)
    tap = network.tap(layer)
    images = network.images(images)
    wanted, norms = _wanted(network, tap, network.images(targets), len(images))
    weights = np.full(len(images), variation_weight, "float32")
    return in_batches(_loss(network, tap), images, wanted, norms, weights)


def invert(
    model: keras.Model,
    images: Any,
    layer: Any = None,
    *,
    steps: int = 200,
    step_size: float = 0.02,
    variation_weight: float = 3e-5,
    bounds: Bounds = (0.0, 255.0),
    seed: int = 0,
    callback: Callback | None = None,
) -> np.ndarray:
    """Reconstruct images from their features at a layer, starting from noise.

    Adam minimizes `inversion_loss`; the paper uses gradient descent with momentum, and a penalty of
    large pixels where here they stay in their range.

    Args:
        model: keras.Model of images, which it does not change.
        images: Images whose features are inverted, (n, h, w, c), in the range of `bounds`.
        layer: Name of a layer, "model/layer" in a nested model, or the layer. If None, the last map
            before the classifier.
        steps: Number of steps.
        step_size: Step size of Adam, as a share of the range.
        variation_weight: Weight of the total variation, of pixels in units of the range.
        bounds: Lowest and highest pixel, as numbers or one a channel.
        seed: Random seed of the start.
        callback: Called after each step with its number, from 1, and the images.

    Returns:
        Images (n, h, w, c) float32.

    Raises:
        ValueError: As `inversion_loss`, or if a number is out of range.

    >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(name="flat")])
    >>> photo = np.array([10.0, 20.0, 200.0, 210.0]).reshape(1, 2, 2, 1)
    >>> found = invert(model, photo, "flat", variation_weight=0.0)
    >>> found.ravel().round().tolist()
    [10.0, 20.0, 200.0, 210.0]
    """
    require_weights(variation_weight=variation_weight)
    network = Network.of(model)
    tap = tap_of(network, layer, "invert")
    images = network.images(images)
    low, high = pixel_range(bounds)
    wanted, norms = _wanted(network, tap, images, len(images))
    start = noise(network, len(images), images.shape[1:3], bounds, seed)
    function = _loss(network, tap)
    weights = np.full(len(images), variation_weight / np.mean(high - low) ** 2, "float32")
    return adam(
        lambda x: in_batches(function, x, wanted, norms, weights)[1],
        start,
        steps=steps,
        step_size=step_size,
        bounds=bounds,
        callback=callback,
    )


def _wanted(network, tap, targets, count):
    """Return the features of the targets (count, …), and their squared norms (count,)."""
    if len(targets) not in (1, count):
        raise ValueError(f"{len(targets)} targets for {count} images: one an image, or one for all")
    wanted = features(network, tap, targets)
    norms = np.square(wanted.reshape(len(wanted), -1)).sum(axis=1)
    if not norms.all():
        zero = np.flatnonzero(norms == 0)[0]
        raise ValueError(f"the layer's values for target {zero} are all zero: choose another layer")
    return np.broadcast_to(wanted, (count, *wanted.shape[1:])), np.broadcast_to(norms, count)


def _loss(network: Network, tap: Value):
    """Return the compiled function (images, features, norms, weights) -> (loss, gradient)."""

    def gradient(x, wanted, norms, weights):
        def objective(x):
            # Times |f(t)|^2: the gradient that goes through a float16 network is not too small.
            found = ops.cast(network.call(x, [tap])[1], "float32")
            difference = ops.reshape(found - wanted, (ops.shape(x)[0], -1))
            distance = ops.sum(ops.square(difference), axis=1)
            return distance + weights * norms * total_variation(x), ()

        loss, _, slope = value_and_gradient(objective, x)
        return loss / norms, slope / ops.reshape(norms, (-1, 1, 1, 1))

    return network.compiled(("inversion", tap), gradient, tap.shape, (None,), (None,))
