"""Images of a class: noise changed by gradient ascent on the logit of the class.

Simonyan et al., "Deep Inside Convolutional Networks", ICLR workshop 2014,
https://arxiv.org/abs/1312.6034, section 2; with the random shifts and the blur of CS231n's
assignment on network visualization, https://cs231n.github.io/assignments2020/assignment3/.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cvcourse.visualization._saliency import image_gradient
from cvcourse.visualization.ascent import (
    Bounds,
    Callback,
    draw_shift,
    noise,
    pixel_range,
    require_positive,
    require_weights,
    root_mean_square,
    shifted,
)
from cvcourse.visualization.network import Network


def class_image(
    model: keras.Model,
    classes: Any,
    *,
    size: Sequence[int] | None = None,
    steps: int = 100,
    step_size: float = 0.0145,
    l2: float = 0.02,
    jitter: float = 16 / 224,
    blur: float = 0.5 / 224,
    blur_every: int = 10,
    bounds: Bounds = (0.0, 255.0),
    seed: int = 0,
    output: str | None = None,
    callback: Callback | None = None,
) -> np.ndarray:
    """Make images that have a large logit of a class, from noise.

    The objective is the logit minus `l2` times the sum of squares of the pixels' distances from the
    middle of their range. The defaults are those of the assignment, for the usual normalization of
    ImageNet's pixels, in units of the range, and 224 x 224 pixels.

    Args:
        model: keras.Model from images to logits or probabilities, which it does not change.
        classes: Class number, or one for each image.
        size: Height and width of the images; None is the size of the model, or 224 x 224 if it
            takes any size.
        steps: Number of steps.
        step_size: Root mean square change of a pixel in a step, as a share of the range.
        l2: Weight of the sum of squares.
        jitter: Largest random shift of the images, as a share of their sides.
        blur: Standard deviation of the blur, as a share of the height.
        blur_every: Number of steps between two blurs.
        bounds: Lowest and highest pixel, as numbers or one a channel.
        seed: Random seed of the start and the shifts.
        output: Name of the output, for a model with several. If None, `logits`.
        callback: Called after each step with its number, from 1, and the images.

    Returns:
        Images (n, h, w, c) float32, one for each class.

    Raises:
        ValueError: If there is no such class, or a number is out of range.

    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    >>> int(class_image(model, 5, blur_every=1000)[0, :, :, 0].argmax())
    5
    """
    require_positive(steps=steps, step_size=step_size, blur=blur, blur_every=blur_every)
    require_weights(l2=l2)
    network = Network.of(model, output)
    low, high = pixel_range(bounds)
    if classes is None:
        raise ValueError("classes is a class number, or one for each image; received None")
    images = noise(network, np.size(classes), size, bounds, seed)
    directions = network.directions(images, classes)
    rng = np.random.default_rng(seed)
    for step in range(1, steps + 1):
        shift = draw_shift(rng, images, jitter)
        images = shifted(images, shift)
        gradient = image_gradient(network, images, directions) * (high - low)
        gradient = gradient - 2 * l2 * (images - (low + high) / 2) / (high - low)
        images = images + step_size * (high - low) * gradient / root_mean_square(gradient)
        images = np.clip(shifted(images, -shift), low, high).astype("float32")
        if (step - 1) % blur_every == 0:
            images = blurred(images, blur * images.shape[1])
        if callback is not None:
            callback(step, images)
    return images


def blurred(images: np.ndarray, deviation: float) -> np.ndarray:
    """Blur images (n, h, w, c) by a Gaussian, its deviation in pixels, with mirrored borders."""
    reach = min(round(4 * deviation), *(side - 1 for side in images.shape[1:3]))
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    weights = (weights / weights.sum()).astype("float32")
    for axis in (1, 2):
        pads = [(reach, reach) if i == axis else (0, 0) for i in range(4)]
        padded = np.pad(images, pads, mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis=axis)
        images = windows @ weights
    return images
