"""Saliency maps: the gradient of a class's logit with respect to the image.

Simonyan et al., "Deep Inside Convolutional Networks", ICLR workshop 2014,
https://arxiv.org/abs/1312.6034, section 3.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.layers.graph import Value
from cvcourse.visualization._rectifiers import rule_of
from cvcourse.visualization.gradients import value_and_gradient
from cvcourse.visualization.network import BATCH, Network, in_batches, warn_of_zeros


def saliency(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    contrast: Any = None,
    output: str | None = None,
) -> np.ndarray:
    """Compute the gradient of a logit with respect to the image.

    Args:
        model: keras.Model from images to logits or probabilities, which it does not change.
        images: Array (n, h, w, c), in the range that the model takes.
        classes: Class number for all images, or one an image. If None, the likeliest class of each.
        contrast: Second class, or one an image: the gradient is that of the difference of the two
            logits. If None, of one logit.
        output: Name of the output, for a model with several. If None, `logits`.

    Returns:
        Gradients (n, h, w, c) float32, signed.

    Raises:
        ValueError: If the images do not fit the model, there is no such class, or the gradients
            are NaN.

    >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    >>> saliency(model, np.ones((1, 2, 2, 1)), 3)[0, :, :, 0]
    array([[0., 0.],
           [0., 1.]], dtype=float32)
    """
    network, images, directions = inputs(model, images, classes, contrast, output)
    return warn_of_zeros(image_gradient(network, images, directions), "saliency")


def gradient_times_image(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    contrast: Any = None,
    output: str | None = None,
) -> np.ndarray:
    """Compute the gradient of a logit with respect to the image, times the image.

    Shrikumar et al., "Not Just a Black Box", 2016, https://arxiv.org/abs/1605.01713, eq. 3.

    Args:
        model: As in `saliency`.
        images: As in `saliency`.
        classes: As in `saliency`.
        contrast: As in `saliency`.
        output: As in `saliency`.

    Returns:
        Products (n, h, w, c) float32, signed.

    Raises:
        ValueError: As `saliency`.

    >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    >>> gradient_times_image(model, np.full((1, 2, 2, 1), 5.0), 3)[0, 1, 1]
    array([5.], dtype=float32)
    """
    network, images, directions = inputs(model, images, classes, contrast, output)
    found = image_gradient(network, images, directions) * images
    return warn_of_zeros(found, "gradient times image")


def inputs(model, images, classes, contrast, output):
    """Return (network, checked images, directions); see `Network.directions`.

    Rows of zeros stand for the likeliest class, which `directions_of` finds without another pass.
    """
    network = Network.of(model, output)
    images = network.images(images)
    if classes is None and contrast is None and network.classes:
        return network, images, np.zeros((len(images), network.classes), "float32")
    return network, images, network.directions(images, classes, contrast)


def directions_of(logits, directions):
    """Replace rows of zeros (batch, classes) by 1 for the likeliest class, of tensors."""
    likeliest = ops.one_hot(ops.argmax(logits, axis=1), directions.shape[1], dtype=logits.dtype)
    chosen = ops.any(ops.not_equal(directions, 0), axis=1, keepdims=True)
    return ops.where(chosen, directions, likeliest)


def image_gradient(
    network: Network,
    images: np.ndarray,
    directions: np.ndarray,
    rule: str | None = None,
    at: Value | None = None,
) -> np.ndarray:
    """Compute the gradient of a weighted sum of logits with respect to the image.

    Args:
        network: Network of the model.
        images: Array (n, h, w, c).
        directions: Weights of the logits (n, classes); zeros for the likeliest class.
        rule: Rule of the ReLUs, "guided" or "deconvnet"; None for the gradient.
        at: Value to which the gradient is taken, on all ways from the image; None for the image.

    Returns:
        Gradients of the shape of the images, or of `at`, float32.
    """
    rules = rule and rule_of(network, rule)
    start = at or network.input

    def gradient(x, weights):
        def objective(values):
            logits = network.call(values, rules=rules, known={start: values})[0]
            return ops.sum(logits * directions_of(logits, weights), axis=1), ()

        return value_and_gradient(objective, network.call(x, [at])[1] if at else x)[2]

    function = network.compiled(("image_gradient", rule, at), gradient, (None, directions.shape[1]))
    return in_batches(function, images, directions)


def weighted_gradients(
    network: Network,
    directions: np.ndarray,
    point: Callable[[int, int], np.ndarray],
    weights: np.ndarray,
) -> np.ndarray:
    """Sum gradients at several points of each image, with the memory of one batch.

    A first convolution is affine, so the sum of the gradients goes back through it once. This saves
    time, since convolutions to the few channels of an image are slow.

    Args:
        network: Network of the model.
        directions: Weights of the logits (n, classes).
        point: Function (index of the point, index of the image) -> image (h, w, c). All images
            have their points in the same order.
        weights: Weight of each point.

    Returns:
        Sums (n, h, w, c) float32.
    """
    pairs = [(k, i) for k in range(len(weights)) for i in range(len(directions))]
    at = network.once("affine", network.affine)
    total: Any = None
    for first in range(0, len(pairs), BATCH):
        batch = pairs[first : first + BATCH]
        points = np.stack([point(k, i) for k, i in batch]).astype("float32")
        gradients = image_gradient(network, points, directions[[i for _, i in batch]], at=at)
        if total is None:
            total = np.zeros((len(directions), *gradients.shape[1:]))
        for (k, i), gradient in zip(batch, gradients, strict=True):
            total[i] += weights[k] * gradient
    if at is None:
        return total.astype("float32")

    def back(x, upstream):
        def objective(x):
            return ops.cast(network.call(x, [at])[1], "float32") * upstream, ()

        return value_and_gradient(objective, x)[2]

    function = network.compiled("back to the image", back, (None, *at.shape[1:]))
    return in_batches(function, np.stack([point(0, i) for i in range(len(directions))]), total)
