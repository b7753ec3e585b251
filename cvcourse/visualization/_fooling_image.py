"""Images that a model takes for another class, although the changes can hardly be seen.

Szegedy et al., "Intriguing properties of neural networks", ICLR 2014,
https://arxiv.org/abs/1312.6199; by the normalized gradient ascent of CS231n's assignment on network
visualization, https://cs231n.github.io/assignments2020/assignment3/.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.errors import warn_caller
from cvcourse.visualization.ascent import (
    Bounds,
    Callback,
    pixel_range,
    require_positive,
    root_mean_square,
)
from cvcourse.visualization.gradients import value_and_gradient
from cvcourse.visualization.network import Network


def fooling_image(
    model: keras.Model,
    images: Any,
    classes: Any,
    *,
    probability: float = 0.5,
    steps: int = 100,
    step_size: float = 6e-4,
    bounds: Bounds = (0.0, 255.0),
    seed: int | None = None,
    output: str | None = None,
    callback: Callback | None = None,
) -> np.ndarray:
    """Change images in small steps until the model takes them for another class.

    Each step goes along the gradient of the logit of that class. An image whose class has the
    probability is not changed further. The step size is that of the assignment at 224 pixels, in
    units of the range.

    Args:
        model: keras.Model from images to logits or probabilities, which it does not change.
        images: Array (n, h, w, c), in the range of `bounds`.
        classes: Class number to reach, or one for each image.
        probability: Probability of the class at which to stop.
        steps: Largest number of steps; a warning names the images that need more.
        step_size: Root mean square change of a pixel in a step, as a share of the range.
        bounds: Lowest and highest pixel, as numbers or one a channel.
        seed: Random seed of a first step in a random direction, for several answers. If None,
            images are changed along the gradient only.
        output: Name of the output, for a model with several. If None, `logits`.
        callback: Called after each step with its number, from 1, and the images.

    Returns:
        Images (n, h, w, c) float32.

    Raises:
        ValueError: If the images do not fit the model, there is no such class, or a number is out
            of range.

    >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten()])
    >>> fooled = fooling_image(model, np.array([[[[9.0], [7.0]]]]), 1, step_size=0.01)
    >>> fooled.ravel().round(1)
    array([ 9. , 10.6], dtype=float32)
    """
    require_positive(steps=steps, step_size=step_size)
    if not 0 < probability < 1:
        raise ValueError(f"probability is between 0 and 1; received {probability!r}")
    network = Network.of(model, output)
    low, high = pixel_range(bounds)
    images = network.images(images)
    if classes is None:
        raise ValueError("classes is the class to reach, or one for each image; received None")
    if seed is not None:
        direction = np.random.default_rng(seed).standard_normal(images.shape)
        images = np.clip(images + step_size * (high - low) * direction, low, high)
        images = images.astype("float32")
    chosen = network.targets(images, classes)
    directions = network.directions(images, classes)

    def gradient(x, weights):
        def objective(x):
            logits = network.call(x)[0]
            return ops.sum(logits * weights, axis=1), network.probabilities(logits)

        return value_and_gradient(objective, x)[1:]

    key, shape = ("fooling_image",), (None, directions.shape[1])
    function = network.compiled(key, gradient, shape)
    for step in range(1, steps + 2):
        probabilities, found = function(images, directions)
        reached = probabilities[np.arange(len(images)), chosen] >= probability
        if reached.all() or step > steps:
            break
        moved = images + step_size * (high - low) * found / root_mean_square(found)
        moved = np.clip(moved, low, high).astype("float32")
        images = np.where(reached[:, None, None, None], images, moved)
        if callback is not None:
            callback(step, images)
    if not reached.all():
        left = ", ".join(map(str, np.flatnonzero(~reached)[:5]))
        warn_caller(
            f"fooling_image: after {steps} steps the class of image {left} has a probability below "
            f"{probability:g}: raise steps or step_size",
            UserWarning,
        )
    return images
