"""Guided backpropagation: a gradient in which only positive signals pass an active ReLU.

Springenberg et al., "Striving for Simplicity: The All Convolutional Net", ICLR workshop 2015,
https://arxiv.org/abs/1412.6806, section 3.4 and figure 1. Its maps hardly depend on the class:
Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, https://arxiv.org/abs/1810.03292.
"""

from typing import Any

import keras
import numpy as np

from cvcourse.visualization._saliency import image_gradient, inputs
from cvcourse.visualization.network import warn_of_zeros


def guided_backprop(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    contrast: Any = None,
    output: str | None = None,
) -> np.ndarray:
    """Compute guided backpropagation from a logit to the image.

    Args:
        model: As in `saliency`, with ReLUs; see `with_rectifiers`.
        images: As in `saliency`.
        classes: As in `saliency`.
        contrast: As in `saliency`.
        output: As in `saliency`.

    Returns:
        Signals (n, h, w, c) float32, signed.

    Raises:
        ValueError: As `saliency` and `with_rectifiers`.

    >>> relu = keras.layers.ReLU()
    >>> model = keras.Sequential([keras.Input((1, 2, 1)), relu, keras.layers.Flatten()])
    >>> guided_backprop(model, [[[[2.0], [3.0]]]], 1)[0, 0, :, 0]
    array([0., 1.], dtype=float32)
    """
    network, images, directions = inputs(model, images, classes, contrast, output)
    found = image_gradient(network, images, directions, "guided")
    return warn_of_zeros(found, "guided backpropagation")
