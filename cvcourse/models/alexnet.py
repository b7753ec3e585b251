"""AlexNet: five convolutions and three dense layers, learned from a million images.

Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
NIPS 2012, https://papers.nips.cc/paper/4824; in one tower: Krizhevsky, "One weird trick for
parallelizing convolutional neural networks", 2014, https://arxiv.org/abs/1404.5997.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.errors import pick
from cvcourse.layers import AdaptiveAveragePooling2D, LocalResponseNorm
from cvcourse.models.convolution import conv_relu, max_pool
from cvcourse.models.sources import Sources

# The smallest side that leaves the third pool 3x3 pixels.
MINIMUM_SIZE = {"alexnet": 63, "alexnet_2012": 67}

TOWERS = {  # filters, kernel, stride, padding, groups, layers that follow
    1: (  # torchvision
        (64, 11, 4, 2, 1, ("pool",)),
        (192, 5, 1, 2, 1, ("pool",)),
        (384, 3, 1, 1, 1, ()),
        (256, 3, 1, 1, 1, ()),
        (256, 3, 1, 1, 1, ("pool",)),
    ),
    2: (  # figure 2 and section 3.5; a layer that takes the maps of both towers has one group
        (96, 11, 4, 0, 1, ("norm", "pool")),
        (256, 5, 1, 2, 2, ("norm", "pool")),
        (384, 3, 1, 1, 1, ()),
        (384, 3, 1, 1, 2, ()),
        (256, 3, 1, 1, 2, ("pool",)),
    ),
}


def convolutions(x, rows, width, *, pool_padding="valid"):
    """Build the layers of `rows`: `conv1`, `norm1`, `pool1`, …, with `features` at the end."""
    followers = {
        "norm": lambda x, name: LocalResponseNorm(name=name)(x),
        "pool": partial(max_pool, size=3, stride=2, padding=pool_padding),
    }
    for i, (filters, size, stride, padding, groups, follow) in enumerate(rows, start=1):
        settings = dict(stride=stride, padding=padding, groups=groups)
        x = conv_relu(x, int(filters * width), size, **settings, name=f"conv{i}")
        for follower in follow:
            x = followers[follower](x, name=f"{follower}{i}")
    return layers.Identity(name="features")(x)


def dense_head(x, side, hidden, dropout, num_classes, *, first):
    """Dense layers `fc{first}`, …, on the map, averaged to (side, side) if it has another size.

    Shapes: (h, w, c) -> logits (num_classes,); num_classes=None builds no layer and returns `x`.
    Dropout is on the outputs of the hidden layers, as in the paper; torchvision's AlexNet has it on
    their inputs. Initialization: He et al. 2015; the paper's N(0, 0.01) suits only its widths.
    """
    if num_classes is None:
        return x
    if x.shape[1:3] != (side, side):
        x = AdaptiveAveragePooling2D(side, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for i, units in enumerate(hidden, start=first):
        settings = dict(activation="relu", kernel_initializer="he_uniform")
        x = layers.Dense(units, **settings, name=f"fc{i}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{i}")(x)
    return layers.Dense(num_classes, dtype="float32", name="logits")(x)


def alexnet(
    *,
    towers=1,
    width=1.0,
    hidden=(4096, 4096),
    dropout=0.5,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="alexnet",
):
    """Five convolutions and three dense layers.

    Args:
        towers: 1 (torchvision) or 2 (the paper) groups of convolutions.
        width: Factor for the filters.
        hidden: Units of each hidden dense layer.
        dropout: Dropout rate after each hidden dense layer.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is (6,
        6, 256) at the usual size; the dense layers average other sizes to 6x6.

    Raises:
        ValueError: If `towers` is not 1 or 2.
    """
    inputs = keras.Input(input_shape, name="image")
    x = convolutions(inputs, pick("towers", towers, TOWERS), width)
    logits = dense_head(x, 6, hidden, dropout, num_classes, first=6)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {
    "alexnet": alexnet,
    # figure 2 has 224, which does not give its maps of 55x55
    "alexnet_2012": partial(alexnet, towers=2, input_shape=(227, 227, 3)),
}
PUBLISHED_NAMES = {
    "torchvision": {
        r"((conv|pool)\d(_conv)?)": r"features.#\1",
        "fc6": "classifier.1",
        "fc7": "classifier.4",
        "logits": "classifier.6",
    }
}
SOURCES: Sources = {"torchvision.alexnet": ("alexnet", {})}
