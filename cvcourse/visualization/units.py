"""Units of a network: filters, activations, dead filters, and the patches that excite a channel."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from cvcourse.layers.receptive_field import fields
from cvcourse.visualization._receptive_field import boxes_of
from cvcourse.visualization._rectifiers import rectifiers
from cvcourse.visualization.gradients import to_numpy
from cvcourse.visualization.network import Network, check_channel, check_count, in_batches


class Patch(NamedTuple):
    """Place of an image where a channel is strong.

    Attributes:
        image: Index of the image.
        value: Activation of the channel.
        box: Pixels that it depends on: top, left, bottom, right (exclusive), not clipped to the
            image.
    """

    image: int
    value: float
    box: tuple[int, int, int, int]


def first_layer_filters(model: keras.Model) -> np.ndarray:
    """Return the filters of the first convolution, which are small images.

    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012,
    https://papers.nips.cc/paper/4824, figure 3.

    Args:
        model: A functional keras.Model. Layers without a convolution, such as preprocessing, may
            precede it; the patch embedding of a ViT is a convolution, too.

    Returns:
        Array (count, height, width, c) float32. c is the number of the image's channels, divided by
        the number of groups of a grouped convolution; 1 for a depthwise one.

    Raises:
        ValueError: If the model has no two-dimensional convolution.

    >>> model = keras.Sequential(
    ...     [keras.Input((9, 9, 3)), layers.Conv2D(8, 5), layers.Flatten(), layers.Dense(2)]
    ... )
    >>> first_layer_filters(model).shape
    (8, 5, 5, 3)
    """
    network = Network.of(model)
    network.require_graph("its first convolution is unknown")
    for step in network.between():
        layer = step.operation
        depthwise = isinstance(layer, (layers.DepthwiseConv2D, layers.SeparableConv2D))
        if depthwise or isinstance(layer, layers.Conv2D):
            kernel = getattr(layer, "depthwise_kernel", None)
            kernel = layer.kernel if kernel is None else kernel
            filters = to_numpy(ops.convert_to_tensor(kernel))  # (height, width, c, count)
            if depthwise:
                filters = filters.reshape(*filters.shape[:2], 1, -1)
            return filters.transpose(3, 0, 1, 2)
    raise ValueError(f"{network.name} has no convolution, whose filters could be shown")


def activations(model: keras.Model, images: Any, layer: Any) -> np.ndarray:
    """Compute the output of a layer, in inference mode.

    Args:
        model: A functional keras.Model.
        images: Array (n, h, w, c), in the range that the model takes.
        layer: Name of the layer, "model/layer" in a nested model, or the layer itself. A softmax
            or sigmoid of the last layer is left out.

    Returns:
        Array (n, …) float32.

    Raises:
        ValueError: If the images do not fit the model, or there is no such layer between the images
            and the logits.

    >>> x = keras.Input((4, 4, 1))
    >>> pool = layers.MaxPooling2D(name="pool")
    >>> model = keras.Model(x, layers.Flatten()(pool(x)))
    >>> activations(model, np.arange(16).reshape(1, 4, 4, 1), "pool")[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """
    network = Network.of(model)
    value = network.tap(layer)
    function = network.compiled(("activations", value), lambda x: network.call(x, [value])[1])
    return in_batches(function, network.images(images)).astype("float32")


def dead_filters(model: keras.Model, images: Any) -> dict[str, np.ndarray]:
    """Find the channels of ReLUs that are not positive anywhere in any of the images.

    No gradient reaches the weights of such a channel. The course's notes,
    https://cs231n.github.io/neural-networks-1/, section "Commonly used activation functions".

    Args:
        model: A functional keras.Model.
        images: Array (n, h, w, c), in the range that the model takes.

    Returns:
        {name of a layer with a ReLU: indices of its dead channels}, in the order of computation,
        as `rectifiers` lists the layers.

    Raises:
        ValueError: If the images do not fit the model, or the model has no graph of operations.

    >>> x = keras.Input((4, 4, 1))
    >>> relu = layers.Conv2D(2, 1, activation="relu", name="conv")
    >>> model = keras.Model(x, layers.Dense(2)(layers.Flatten()(relu(x))))
    >>> relu.set_weights([np.array([1.0, -1.0]).reshape(1, 1, 1, 2), np.zeros(2)])
    >>> dead_filters(model, np.ones((1, 4, 4, 1)))
    {'conv': array([1])}
    """
    network = Network.of(model)
    names = dict.fromkeys(rectifiers(model))
    images = network.images(images)
    steps = [step for step in network.graph.steps if step.name in names]
    if not steps:
        return {}

    def alive(x):
        found = network.call(x, [step.outputs[0] for step in steps])[1:]
        return ops.concatenate([ops.any(_by_place(y) > 0, axis=1) for y in found], axis=1)

    function = network.compiled("dead_filters", alive)
    found = in_batches(function, images).any(axis=0)
    ends = np.cumsum([step.outputs[0].shape[-1] for step in steps])
    dead: dict[str, np.ndarray] = {}
    for step, part in zip(steps, np.split(~found, ends[:-1]), strict=True):
        dead[step.name] = dead.get(step.name, True) & part  # calls of a shared layer
    return {name: np.flatnonzero(part) for name, part in dead.items()}


def strongest_patches(
    model: keras.Model, images: Any, layer: Any, channels: Sequence[int], *, count: int = 9
) -> list[list[Patch]]:
    """Find the image patches that excite channels of a layer most, at most one of each image.

    Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
    https://arxiv.org/abs/1311.2901, section 4, show 9 patches of a channel, and the image's
    strongest activation projected back: `deconvnet`.

    Args:
        model: A functional keras.Model.
        images: Array (n, h, w, c), in the range that the model takes.
        layer: As in `activations`, usually after a ReLU.
        channels: Indices of the layer's channels.
        count: Number of patches of a channel.

    Returns:
        For each channel a list of `count` Patches (n, if n is smaller), strongest first: index of
        the image, activation, and box of pixels. The box is the receptive field, apart from means
        of the whole image such as in squeeze-excite, and the whole image if values of the layer
        have no place in the image.

    Raises:
        ValueError: If the images do not fit the model, there is no such layer or channel, or
            `count` is below 1.

    >>> x = keras.Input((4, 4, 1))
    >>> pool = layers.MaxPooling2D(name="pool")
    >>> model = keras.Model(x, layers.Flatten()(pool(x)))
    >>> images = np.stack([np.eye(4), 2 * np.eye(4, k=2)])[..., None]
    >>> [patches] = strongest_patches(model, images, "pool", [0])
    >>> patches[0]
    Patch(image=1, value=2.0, box=(0, 2, 2, 4))
    """
    network = Network.of(model)
    value = network.tap(layer)
    images = network.images(images)
    network.require_maps("strongest_patches")
    if not np.iterable(channels):
        raise ValueError(f"channels are several numbers; received {channels!r}")
    for channel in channels:
        check_channel(layer, value, channel)
    check_count("count", count)

    def strongest(x):
        y = network.call(x, [value])[1]
        places = ops.cast(_by_place(y), "float32")
        place = ops.argmax(places, axis=1)
        width = ops.cast(ops.shape(y)[2] if len(y.shape) == 4 else 1, place.dtype)
        row, column = (ops.cast(i, "float32") for i in (place // width, place % width))
        return ops.stack([ops.max(places, axis=1), row, column], axis=1)

    found = in_batches(network.compiled(("strongest_patches", value), strongest), images)
    field = fields(network.graph, images.shape[1:3])[value]
    chosen = []
    for channel in channels:
        strength = found[:, 0, channel]
        order = np.argsort(-strength, kind="stable")[:count]
        places = found[order, 1:, channel]
        whole = np.array([[0, 0, *images.shape[1:3]]] * len(order))
        boxes = whole if field is None else boxes_of(field, places)
        chosen.append(
            [
                Patch(int(image), float(strength[image]), tuple(box))
                for image, box in zip(order, boxes.tolist(), strict=True)
            ]
        )
    return chosen


def _by_place(y):
    """Flatten the places of an activation: (batch, …, c) -> (batch, places, c)."""
    return ops.reshape(y, (ops.shape(y)[0], -1, y.shape[-1]))
