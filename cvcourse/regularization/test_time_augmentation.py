"""Test-time augmentation: average the predictions of a net for several views of an image.

Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
NIPS 2012, https://papers.nips.cc/paper/4824, section 4.1. Passes: Graham, "Fractional Max-Pooling",
2014, https://arxiv.org/abs/1412.6071, section 3.

Models output logits, a tensor or the entry `logits` of a dict; softmax probabilities are averaged.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops


def flip_averaged(model: keras.Model) -> keras.Model:
    """Build a model that averages over an image and its mirror image.

    Args:
        model: Model of logits; its weights are shared.

    Returns:
        A keras.Model: images (batch, h, w, c) -> probabilities (batch, classes), float32.

    >>> net = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3)])
    >>> image = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> averaged = flip_averaged(net)
    >>> np.allclose(averaged(image), averaged(image[:, :, ::-1]))
    True
    """
    image = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype, name="image")
    return _averaged(model, image, [image], "flip_averaged")


def ten_crop(model: keras.Model, image_shape: Sequence[int]) -> keras.Model:
    """Build a model that averages over crops of the corners and the center, and their mirrors.

    Args:
        model: Model of logits; a crop has the size of its inputs, and its weights are shared.
        image_shape: Shape (h, w, c) of the images to crop.

    Returns:
        A keras.Model: images (batch, h, w, c) -> probabilities (batch, classes), float32.

    Raises:
        ValueError: If images are smaller than a crop or have other channels.

    >>> net = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3)])
    >>> ten_crop(net, (6, 8, 1)).output_shape
    (None, 3)
    """
    *size, channels = model.input_shape[1:]
    image = keras.Input(image_shape, dtype=model.inputs[0].dtype, name="image")
    spare = [side - n for side, n in zip(image_shape, size, strict=False)]
    if min(spare) < 0 or image_shape[-1] != channels:
        raise ValueError(
            f"ten crops of {(*size, channels)} do not fit into images of {tuple(image_shape)}: "
            f"pass an image_shape at least as large, with {channels} channels"
        )
    height, width = spare
    corners = [(top, left) for top in (0, height) for left in (0, width)]
    crops = [
        layers.Cropping2D(((top, height - top), (left, width - left)), data_format="channels_last")(
            image
        )
        for top, left in [*corners, (height // 2, width // 2)]
    ]
    return _averaged(model, image, crops, "ten_crop")


def averaged_passes(model: keras.Model, images: Any, passes: int) -> np.ndarray:
    """Average predictions over several draws of the regions of FractionalMaxPooling2D.

    Args:
        model: Model of logits with such a layer.
        images: Images (n, …).
        passes: Number of draws; the first is that of `model.predict`.

    Returns:
        float32 array (n, classes) of probabilities.

    Raises:
        ValueError: If there are no passes, or no layer has a `test_pass`, so that all passes would
            be equal.

    >>> from cvcourse.layers import FractionalMaxPooling2D
    >>> pool = FractionalMaxPooling2D(2**0.5)
    >>> net = keras.Sequential([keras.Input((8, 8, 1)), pool, layers.Flatten(), layers.Dense(3)])
    >>> averaged_passes(net, np.ones((2, 8, 8, 1)), passes=3).shape
    (2, 3)
    """
    counters = [v for v in model.non_trainable_variables if v.name == "test_pass"]
    if not counters or passes < 1:
        raise ValueError(
            "an average needs at least 1 pass and a layer with a variable test_pass, such as "
            f"FractionalMaxPooling2D; received {passes=} and {model.name} with "
            f"{len(counters)} such layers"
        )
    total = 0
    try:
        for number in range(passes):
            for counter in counters:
                counter.assign(number)
            total = total + _probabilities(model.predict(images, verbose=0))
    finally:
        for counter in counters:
            counter.assign(0)
    return ops.convert_to_numpy(total / passes)


def _averaged(model, image, views, name):
    """Build a model of `image` that averages over views (batch, h, w, c) and their mirror images.

    The views are one large batch, so that `model` is called once in the graph.
    """
    views = [*views, *(ops.flip(view, axis=2) for view in views)]
    answers = _probabilities(model(ops.concatenate(views, axis=0)))
    answers = ops.reshape(answers, (len(views), -1, answers.shape[-1]))
    return keras.Model(image, ops.mean(answers, axis=0), name=f"{model.name}_{name}")


def _probabilities(outputs):
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs
    return ops.softmax(ops.cast(logits, "float32"))
