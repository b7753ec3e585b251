"""FGSM: the image moved by one step of the same size for all pixels, against its class.

Goodfellow et al., "Explaining and Harnessing Adversarial Examples", ICLR 2015,
https://arxiv.org/abs/1412.6572, section 4. With a target: Kurakin et al., "Adversarial Machine
Learning at Scale", ICLR 2017, https://arxiv.org/abs/1611.01236.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.visualization._saliency import directions_of, inputs
from cvcourse.visualization.gradients import value_and_gradient
from cvcourse.visualization.network import check_number, in_batches, require_numbers

LOWEST = -1e30  # exactly 0 after the exponential


def fgsm(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    epsilon: float,
    targeted: bool = False,
    output: str | None = None,
) -> np.ndarray:
    """Compute adversarial images: images + epsilon * sign(d cross-entropy / d images).

    They are not clipped to the range of pixels.

    Args:
        model: As in `saliency`.
        images: As in `saliency`.
        classes: Class of the images, or with `targeted` the class that they shall get: a class
            number, or one an image. If None, the likeliest class of each.
        epsilon: Size of the step, in units of pixel values.
        targeted: Whether to decrease the cross-entropy with `classes` instead of increasing it.
        output: As in `saliency`.

    Returns:
        Images (n, h, w, c) float32.

    Raises:
        ValueError: As `saliency`, or if epsilon is negative or not finite, or a targeted step has
            no class.

    >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten()])
    >>> fgsm(model, [[[[2.0], [3.0]]]], 1, epsilon=0.5)[0, 0, :, 0]
    array([2.5, 2.5], dtype=float32)
    """
    check_number("epsilon", epsilon, least=0)
    if targeted and classes is None:
        raise ValueError("a targeted step needs classes, the class that the images shall get")
    network, images, directions = inputs(model, images, classes, None, output)

    def gradient(x, weights):
        def objective(x):
            # The cross-entropy is softplus(margin), or logsumexp(margin, 0). Its gradient has the
            # sign of the margin's, which does not vanish where the probability is 1.
            logits = network.call(x)[0]
            chosen = directions_of(logits, weights)
            margin = -ops.sum(logits * chosen, axis=1)
            if network.probability == "softmax":
                margin += ops.logsumexp(ops.where(chosen > 0, LOWEST, logits), axis=1)
            return margin, ()

        return value_and_gradient(objective, x)[2]

    function = network.compiled("fgsm", gradient, (None, directions.shape[1]))
    step = -epsilon if targeted else epsilon
    found = require_numbers(in_batches(function, images, directions), "FGSM: the gradient")
    return images + np.float32(step) * np.sign(found)
