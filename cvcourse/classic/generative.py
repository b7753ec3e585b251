"""Losses of generative adversarial networks, with their gradients, and shapes of networks' weights.

Names are those of CS231n's assignment on GANs. Discriminator and generator: Goodfellow et al. 2014,
https://arxiv.org/abs/1406.2661, with the generator's non-saturating loss; least squares: Mao et al.
2017, https://arxiv.org/abs/1611.04076, eq. 9 with labels 1 for real and 0 for fake images.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cvcourse.classic.layers import sigmoid_forward
from cvcourse.classic.shapes import floating


def bce_loss(logits: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Compute the binary cross-entropy of logits, without overflow.

    Args:
        logits: Logits of any shape.
        target: Probabilities that the class is 1, of the shape of the logits.

    Returns:
        The loss, the mean over the logits, and its gradient with respect to them.

    Raises:
        ValueError: If the shapes differ.

    >>> bce_loss(np.array([0.0, 1000.0]), np.array([1.0, 1.0]))[1]
    array([-0.25,  0.  ])
    """
    if logits.shape != np.shape(target):
        raise ValueError(
            f"shapes do not fit: logits {logits.shape}, target {np.shape(target)}; they are equal"
        )
    logits = floating(logits)
    target = np.asarray(target, logits.dtype)
    # max(x, 0) - x t + log(1 + exp(-|x|)), the assignment's form.
    losses = np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits)))
    return float(losses.mean()), (sigmoid_forward(logits)[0] - target) / logits.size


def discriminator_loss(
    logits_real: np.ndarray, logits_fake: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Compute the cross-entropy of real images with 1, plus that of fake images with 0.

    Args:
        logits_real: Logits of real images, of any shape.
        logits_fake: Logits of fake images, of any shape.

    Returns:
        The loss, and its gradients with respect to the logits.

    >>> round(discriminator_loss(np.zeros((2, 1)), np.zeros((2, 1)))[0], 4)  # 2 log 2
    1.3863
    """
    real, dreal = bce_loss(logits_real, np.ones_like(logits_real))
    fake, dfake = bce_loss(logits_fake, np.zeros_like(logits_fake))
    return real + fake, dreal, dfake


def generator_loss(logits_fake: np.ndarray) -> tuple[float, np.ndarray]:
    """Compute the cross-entropy of fake images with 1.

    Args:
        logits_fake: Logits of fake images, of any shape.

    Returns:
        The loss, and its gradient with respect to the logits.

    >>> round(generator_loss(np.zeros((2, 1)))[0], 4)
    0.6931
    """
    return bce_loss(logits_fake, np.ones_like(logits_fake))


def ls_discriminator_loss(
    scores_real: np.ndarray, scores_fake: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Compute half the mean square of (score - 1) of real images, plus that of scores of fake ones.

    Args:
        scores_real: Scores of real images, of any shape.
        scores_fake: Scores of fake images, of any shape.

    Returns:
        The loss, and its gradients with respect to the scores.

    >>> ls_discriminator_loss(np.zeros((2, 1)), np.ones((2, 1)))[0]
    1.0
    """
    real, dreal = _half_square(floating(scores_real) - 1)
    fake, dfake = _half_square(floating(scores_fake))
    return real + fake, dreal, dfake


def ls_generator_loss(scores_fake: np.ndarray) -> tuple[float, np.ndarray]:
    """Compute half the mean square of (score - 1) of fake images.

    Args:
        scores_fake: Scores of fake images, of any shape.

    Returns:
        The loss, and its gradient with respect to the scores.

    >>> ls_generator_loss(np.zeros((2, 1)))[0]
    0.5
    """
    return _half_square(floating(scores_fake) - 1)


def parameter_shapes(
    layers: Sequence[tuple[Any, ...]], shape: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """List the shapes of the arrays that a chain of layers learns.

    Args:
        layers: Names with settings: ("affine", units), which flattens its inputs; ("conv", filters,
            kernel), without padding; ("conv_transpose", filters, kernel, stride), padded so that
            height and width grow by the stride; ("max_pool", size); ("batchnorm",);
            ("reshape", C, H, W).
        shape: Shape of an input, (D,) or (C, H, W).

    Returns:
        Shapes, of each layer weights and biases, or scale and shift.

    Raises:
        ValueError: If a layer has another name.

    >>> shapes = parameter_shapes([("conv", 6, 5), ("max_pool", 2), ("affine", 10)], (1, 28, 28))
    >>> shapes
    [(6, 1, 5, 5), (6,), (864, 10), (10,)]
    >>> sum(map(math.prod, shapes))
    8806
    """
    found: list[tuple[int, ...]] = []
    for kind, *settings in layers:
        if kind == "affine":
            (units,) = settings
            found += [(math.prod(shape), units), (units,)]
            shape = (units,)
        elif kind == "conv":
            filters, kernel = settings
            found += [(filters, shape[0], kernel, kernel), (filters,)]
            shape = (filters, *(size - kernel + 1 for size in shape[1:]))
        elif kind == "conv_transpose":
            filters, kernel, stride = settings
            found += [(shape[0], filters, kernel, kernel), (filters,)]
            shape = (filters, *(size * stride for size in shape[1:]))
        elif kind == "max_pool":
            shape = (shape[0], *(size // settings[0] for size in shape[1:]))
        elif kind == "batchnorm":
            found += 2 * [(shape[0],)]
        elif kind == "reshape":
            shape = tuple(settings)
        else:
            raise ValueError(
                f"layer is {kind!r}; it is one of affine, conv, conv_transpose, max_pool, "
                f"batchnorm, reshape"
            )
    return found


def _half_square(x):
    return float((x**2).mean() / 2), x / x.size
