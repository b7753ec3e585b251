"""ShuffleNet V2: half of the channels pass unchanged, half are convolved, then all are shuffled.

Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018,
https://arxiv.org/abs/1807.11164.
"""

from functools import partial

import keras
from keras import layers, ops

from cvcourse.layers import ChannelShuffle
from cvcourse.models.convolution import conv_bn, max_pool, pooled_logits
from cvcourse.models.sources import Sources

MINIMUM_SIZE = 32  # halved five times
DEPTHS = (4, 8, 4)  # table 5


def shuffle_unit(x, filters, stride, *, name):
    """Figure 3 (c), and (d) with a stride: (h, w, c) -> (h/stride, w/stride, filters)."""
    half = filters // 2
    if stride > 1:
        y = x
        x = conv_bn(x, x.shape[-1], 3, stride, groups=x.shape[-1], name=f"{name}_shortcut_1")
        x = conv_bn(x, half, activation="relu", name=f"{name}_shortcut_2")
    else:
        x, y = ops.split(x, 2, axis=-1)
    y = conv_bn(y, half, activation="relu", name=f"{name}_1")
    y = conv_bn(y, half, 3, stride, groups=half, name=f"{name}_2")
    y = conv_bn(y, half, activation="relu", name=f"{name}_3")
    x = layers.Concatenate(name=f"{name}_concat")([x, y])
    return ChannelShuffle(2, name=name)(x)


def shufflenet_v2(
    *,
    filters,
    depths=DEPTHS,
    dropout=0.0,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="shufflenet_v2",
):
    """A stem, stages 2 to 4, each of which halves the map, and a 1x1 convolution.

    Args:
        filters: Filters of the three stages and of the last convolution.
        depths: Number of units of each stage.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, filters[-1]).
    """
    inputs = keras.Input(input_shape, name="image")
    x = conv_bn(inputs, 24, 3, 2, activation="relu", name="stem_unit")
    x = max_pool(x, 3, 2, padding="symmetric", name="stem")
    for stage, (depth, width) in enumerate(zip(depths, filters[:-1], strict=True), start=2):
        for i in range(1, depth + 1):
            x = shuffle_unit(x, width, 2 if i == 1 else 1, name=f"stage{stage}_block{i}")
        x = layers.Identity(name=f"stage{stage}")(x)
    x = conv_bn(x, filters[-1], activation="relu", name="features")
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {  # table 5; at 2.0 the paper has 244, 488 and 976 filters
    "shufflenet_v2_x0_5": partial(shufflenet_v2, filters=(48, 96, 192, 1024)),
    "shufflenet_v2_x1_0": partial(shufflenet_v2, filters=(116, 232, 464, 1024)),
    "shufflenet_v2_x1_5": partial(shufflenet_v2, filters=(176, 352, 704, 1024)),
    "shufflenet_v2_x2_0": partial(shufflenet_v2, filters=(244, 488, 976, 2048)),
}
PUBLISHED_NAMES = {
    "torchvision": {
        r"stem_unit_(conv|bn)": r"conv1.#\1",
        r"features_(conv|bn)": r"conv5.#\1",
        r"(stage\d)_block(\d+)_shortcut_(\d(?:_conv|_bn)?)": r"\1.#\2.branch1.#\3",
        r"(stage\d)_block(\d+)_(\d(?:_conv|_bn)?)": r"\1.#\2.branch2.#\3",
        "logits": "fc",
    }
}
SOURCES: Sources = {f"torchvision.{name}": (name, {}) for name in VARIANTS}
