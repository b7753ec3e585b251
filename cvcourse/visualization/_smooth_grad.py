"""SmoothGrad: the mean of the gradients at noisy copies of an image.

Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017,
https://arxiv.org/abs/1706.03825.
"""

import functools
from typing import Any

import keras
import numpy as np

from cvcourse.visualization._saliency import weighted_gradients
from cvcourse.visualization.network import Network, check_count, check_number, warn_of_zeros


def smooth_grad(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    *,
    contrast: Any = None,
    samples: int = 16,
    noise: float = 0.15,
    seed: int = 0,
    noises: Any = None,
    output: str | None = None,
) -> np.ndarray:
    """Compute the mean gradient of a logit at noisy copies of the image.

    Args:
        model: As in `saliency`.
        images: As in `saliency`.
        classes: As in `saliency`; None is the likeliest class of the image without noise.
        contrast: As in `saliency`.
        samples: Number of noisy copies.
        noise: Standard deviation of the noise, in units of max - min of each image. The paper
            takes 0.1 to 0.2.
        seed: Seed of the noise, which all images share: an image has the same map in any batch.
        noises: Standard normal numbers (samples, n, h, w, c), instead of drawing them.
        output: As in `saliency`.

    Returns:
        Gradients (n, h, w, c) float32, signed.

    Raises:
        ValueError: As `saliency`, or if there is no sample, or `noises` has another shape.

    >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    >>> smooth_grad(model, np.ones((1, 2, 2, 1)), 3, samples=4)[0, :, :, 0]
    array([[0., 0.],
           [0., 1.]], dtype=float32)
    """
    network = Network.of(model, output)
    images = network.images(images)
    if noises is not None:
        noises = np.asarray(noises, "float32")
        if noises.shape[1:] != images.shape:
            raise ValueError(
                f"noises has the shape (samples, {', '.join(map(str, images.shape))}); "
                f"received {noises.shape}"
            )
        if not np.isfinite(noises).all():
            raise ValueError("noises contains NaN or infinite values")
        samples = len(noises)
    check_count("samples", samples)
    check_count("seed", seed, least=0)
    check_number("noise", noise, least=0)
    directions = network.directions(images, classes, contrast)
    sides = tuple(range(1, images.ndim))
    deviations = noise * (images.max(sides, keepdims=True) - images.min(sides, keepdims=True))

    @functools.lru_cache(1)  # images take the same sample one after another
    def drawn(k):
        return np.random.default_rng([seed, k]).standard_normal(images.shape[1:], "float32")

    def point(k, i):
        return images[i] + deviations[i] * (drawn(k) if noises is None else noises[k, i])

    found = weighted_gradients(network, directions, point, np.full(samples, 1 / samples))
    return warn_of_zeros(found, "SmoothGrad")
