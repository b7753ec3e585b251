"""Saliency maps: the gradient of a class's logit with respect to the image.

Simonyan et al., "Deep Inside Convolutional Networks", ICLR workshop 2014,
https://arxiv.org/abs/1312.6034, section 3.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.visualization.gradients import value_and_gradient
from cvcourse.visualization.network import Network, in_batches, warn_of_zeros
from cvcourse.visualization.rectifiers import rule_of


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
        ValueError: If the images do not fit the model, or there is no such class.

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
    >>> gradient_times_image(model, np.full((1, 2, 2, 1), 5.0), 3)[0, 1, 1, 0]
    5.0
    """
    network, images, directions = inputs(model, images, classes, contrast, output)
    found = image_gradient(network, images, directions) * images
    return warn_of_zeros(found, "gradient times image")


def inputs(model, images, classes, contrast, output):
    """Return (network, checked images, directions); see `Network.directions`."""
    network = Network.of(model, output)
    images = network.images(images)
    return network, images, network.directions(images, classes, contrast)


def image_gradient(
    network: Network, images: np.ndarray, directions: np.ndarray, rule: str | None = None
) -> np.ndarray:
    """Compute the gradient of a weighted sum of logits with respect to the image.

    Args:
        network: Network of the model.
        images: Array (n, h, w, c).
        directions: Weights of the logits (n, classes).
        rule: Rule of the ReLUs, "guided" or "deconvnet"; None for the gradient.

    Returns:
        Gradients (n, h, w, c) float32.
    """
    rules = rule and rule_of(network, rule)

    def gradient(x, weights):
        def objective(x):
            return ops.sum(network.call(x, rules=rules)[0] * weights, axis=1), ()

        return value_and_gradient(objective, x)[2]

    function = network.compiled(("image_gradient", rule), gradient, (None, directions.shape[1]))
    return in_batches(function, images, directions)
