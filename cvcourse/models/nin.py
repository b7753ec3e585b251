"""Network in Network: 1x1 convolutions after each convolution, and one last map for each class.

Lin, Chen & Yan, "Network In Network", ICLR 2014, https://arxiv.org/abs/1312.4400. The paper gives
no widths; those of the authors' nets in Caffe's model zoo are used.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.errors import pick
from cvcourse.layers import AveragePooling2D
from cvcourse.models.convolution import conv_relu, max_pool

# The smallest side that leaves the last max pool 2x2 pixels; it rounds up.
MINIMUM_SIZE = {"nin": 39, "nin_cifar": 2}

STAGES = {  # kernel, stride, padding, filters of it and of the 1x1s, layers that follow
    "imagenet": (
        (11, 4, 0, (96, 96, 96), ("max",)),
        (5, 1, 2, (256, 256, 256), ("max",)),
        (3, 1, 1, (384, 384, 384), ("max", "dropout")),
        (3, 1, 1, (1024, 1024), ()),
    ),
    "cifar": (
        (5, 1, 2, (192, 160, 96), ("max", "dropout")),
        (5, 1, 2, (192, 192, 192), ("mean", "dropout")),
        (3, 1, 1, (192, 192), ()),
    ),
}


def mlpconv(x, filters, size, stride, *, padding, name):
    """A convolution, then 1x1 convolutions: (h, w, c) -> (h/stride, w/stride, filters[-1])."""
    x = conv_relu(x, filters[0], size, stride, padding=padding, name=f"{name}_1")
    for i, units in enumerate(filters[1:], start=2):
        x = conv_relu(x, units, name=f"{name}_{i}")
    return layers.Identity(name=name)(x)


def class_maps(x, num_classes, *, dropout=0.0, name):
    """One map for each class, after a ReLU, and their means: (h, w, c) -> logits (num_classes,).

    The maps start near 1, where each has a gradient; a map that starts at 0 would not learn.
    num_classes=None builds no layer and returns `x`.
    """
    if num_classes is None:
        return x
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    normal = keras.initializers.RandomNormal(stddev=0.01)  # torchvision's SqueezeNet
    x = conv_relu(x, num_classes, kernel_initializer=normal, bias_initializer="ones", name=name)
    return layers.GlobalAveragePooling2D(dtype="float32", name="logits")(x)


def nin(
    *,
    stages="imagenet",
    width=1.0,
    dropout=0.5,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="nin",
):
    """Stages of a convolution and 1x1 convolutions, and a last 1x1 convolution to class maps.

    Args:
        stages: Table of the stages: "imagenet" or "cifar".
        width: Factor for the filters.
        dropout: Dropout rate after pools.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        input of the last convolution; the logits are the means of its maps, after a ReLU.

    Raises:
        ValueError: For unknown stages.
    """
    followers = {
        "max": partial(max_pool, size=3, stride=2, padding="ceil"),  # Caffe rounds up
        "mean": lambda x, name: AveragePooling2D(3, 2, padding="same", name=name)(x),
        "dropout": lambda x, name: layers.Dropout(dropout, name=name)(x) if dropout else x,
    }
    inputs = x = keras.Input(input_shape, name="image")
    rows = pick("stages", stages, STAGES)
    for stage, (size, stride, padding, filters, follow) in enumerate(rows, start=1):
        x = mlpconv(
            x,
            [int(units * width) for units in filters],
            size,
            stride,
            padding=padding,
            name=f"stage{stage}",
        )
        for follower in follow:
            x = followers[follower](x, name=f"{follower}{stage}")
    x = layers.Identity(name="features")(x)
    logits = class_maps(x, num_classes, name="classes")
    return keras.Model(inputs, logits, name=name)


VARIANTS = {
    "nin": nin,
    "nin_cifar": partial(nin, stages="cifar", input_shape=(32, 32, 3), num_classes=10),
}
