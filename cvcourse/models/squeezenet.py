"""SqueezeNet: reduce the channels before each 3x3, for AlexNet's accuracy with 2 % of its weights.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model
size", 2016, https://arxiv.org/abs/1602.07360; 1.1 is the authors' https://github.com/forresti/SqueezeNet.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.models.convolution import conv_relu, max_pool
from cvcourse.models.nin import class_maps
from cvcourse.models.sources import Sources

# The smallest side that leaves the last pool 2x2 pixels; it rounds up.
MINIMUM_SIZE = {"squeezenet1_0": 21, "squeezenet1_1": 17}

SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)  # table 1: s1x1 of fire2 … fire9


def fire(x, squeeze, *, name):
    """1x1 down, then 1x1 and 3x3 up, side by side: (h, w, c) -> (h, w, 8 * squeeze)."""
    x = conv_relu(x, squeeze, name=f"{name}_squeeze")
    expanded = [
        conv_relu(x, 4 * squeeze, size, name=f"{name}_expand{size}x{size}") for size in (1, 3)
    ]
    return layers.Concatenate(name=name)(expanded)


def squeezenet(
    *,
    filters,
    kernel_size,
    pools,
    squeeze=SQUEEZE,
    dropout=0.5,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="squeezenet",
):
    """A convolution, fire modules, and a last 1x1 convolution to class maps.

    Args:
        filters: Filters of the first convolution.
        kernel_size: Side of its kernel.
        pools: Numbers of the fire modules that a max pool precedes; the first module has number 2.
        squeeze: Filters of each fire module's first 1x1 convolution.
        dropout: Dropout rate after the fire modules.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is the
        input of the last convolution; the logits are its maps' means after a ReLU.
    """
    inputs = keras.Input(input_shape, name="image")
    pool = partial(max_pool, size=3, stride=2, padding="ceil")
    x = conv_relu(inputs, filters, kernel_size, 2, padding="valid", name="conv1")
    x = pool(x, name="stem")
    for i, width in enumerate(squeeze, start=2):
        if i in pools:
            x = pool(x, name=f"pool{i - 1}")
        x = fire(x, width, name=f"fire{i}")
    x = layers.Identity(name="features")(x)
    logits = class_maps(x, num_classes, dropout=dropout, name="conv10")
    return keras.Model(inputs, logits, name=name)


VARIANTS = {
    "squeezenet1_0": partial(squeezenet, filters=96, kernel_size=7, pools=(5, 9)),  # table 1
    "squeezenet1_1": partial(squeezenet, filters=64, kernel_size=3, pools=(4, 6)),
}
PUBLISHED_NAMES = {
    "torchvision": {
        r"(conv1|conv1_conv|stem|pool\d)": r"features.#\1",
        r"(fire\d)_(squeeze|expand\dx\d)_conv": r"features.#\1.\2",
        "conv10_conv": "classifier.1",
    }
}
SOURCES: Sources = {f"torchvision.{name}": (name, {}) for name in VARIANTS}
