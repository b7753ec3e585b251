"""Deconvnet: a logit or a unit projected back to pixels, each ReLU rectifying the signal itself.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
https://arxiv.org/abs/1311.2901, section 2.1. The gradient of a max pool is the paper's switch.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.visualization._rectifiers import rule_of
from cvcourse.visualization._saliency import image_gradient, inputs
from cvcourse.visualization.gradients import value_and_gradient
from cvcourse.visualization.network import Network, check_channel, in_batches, warn_of_zeros


def deconvnet(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    contrast: Any = None,
    layer: Any = None,
    channel: int | None = None,
    output: str | None = None,
) -> np.ndarray:
    """Project a logit, or the strongest value of a channel, back to the image.

    Args:
        model: As in `saliency`, with ReLUs; see `with_rectifiers`.
        images: As in `saliency`.
        classes: As in `saliency`; not with `layer`.
        contrast: As in `saliency`; not with `layer`.
        layer: Name of a layer, or the layer: the signal starts at the strongest value of its
            `channel` in each image, with that value, and is 0 elsewhere. If None, at the logit.
        channel: Channel of the layer.
        output: As in `saliency`.

    Returns:
        Signals (n, h, w, c) float32, signed.

    Raises:
        ValueError: As `saliency` and `with_rectifiers`; or if there is no such layer or channel, or
            both a class and a layer are given.

    >>> relu = keras.layers.ReLU(name="relu")
    >>> model = keras.Sequential([keras.Input((1, 2, 1)), relu, keras.layers.Flatten()])
    >>> deconvnet(model, [[[[2.0], [3.0]]]], layer="relu", channel=0)[0, 0, :, 0]
    array([0., 3.], dtype=float32)
    """
    if (layer is None) != (channel is None):
        raise ValueError("deconvnet takes layer and channel together, or neither of them")
    if layer is None or channel is None:
        network, images, directions = inputs(model, images, classes, contrast, output)
        return warn_of_zeros(image_gradient(network, images, directions, "deconvnet"), "deconvnet")
    if classes is not None or contrast is not None:
        raise ValueError("deconvnet starts at a class or at the channel of a layer: choose one")
    network = Network.of(model, output)
    images, tap = network.images(images), network.tap(layer)
    check_channel(layer, tap, channel)
    rules, count = rule_of(network, "deconvnet"), tap.shape[-1] or 0

    def signal(x, chosen):
        def objective(x):
            values = ops.cast(network.call(x, [tap], rules=rules)[1], "float32")
            values = ops.sum(values * chosen[0], axis=-1)
            values = ops.reshape(values, (ops.shape(values)[0], -1))
            strongest = ops.max(values, axis=1)
            return strongest * ops.stop_gradient(strongest), ()

        return value_and_gradient(objective, x)[2]

    function = network.compiled(("deconvnet", tap), signal, (None, count))
    chosen = np.eye(count, dtype="float32")[[channel] * len(images)]
    return warn_of_zeros(in_batches(function, images, chosen), "deconvnet")
