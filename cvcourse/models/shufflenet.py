"""ShuffleNet: 1x1 convolutions in groups, and a channel shuffle that mixes the groups.

Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
CVPR 2018, https://arxiv.org/abs/1707.01083.
"""

import keras
from keras import layers

from cvcourse.errors import pick
from cvcourse.layers import ChannelShuffle
from cvcourse.models.convolution import activate, conv_bn, max_pool, pooled_logits

MINIMUM_SIZE = 32  # halved five times
DEPTHS = (4, 8, 4)  # table 1
STAGE2_FILTERS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}  # table 1, by number of groups


def shuffle_unit(x, filters, stride, *, groups, first_groups, name):
    """Figure 2 (b), and (c) with a stride: (h, w, c) -> (h/stride, w/stride, filters).

    1x1 convolution in groups, shuffle, 3x3 depthwise, 1x1 in groups. The input is added; with a
    stride, its average is concatenated.
    """
    width = filters // 4  # section 3.2
    if stride > 1:
        filters -= x.shape[-1]
    y = conv_bn(x, width, groups=first_groups, activation="relu", name=f"{name}_1")
    if first_groups > 1:
        y = ChannelShuffle(groups, name=f"{name}_shuffle")(y)
    y = conv_bn(y, width, 3, stride, groups=width, name=f"{name}_2")
    y = conv_bn(y, filters, groups=groups, name=f"{name}_3")
    if stride > 1:
        x = layers.ZeroPadding2D(1, name=f"{name}_shortcut_pad")(x)  # the authors count these zeros
        x = layers.AveragePooling2D(3, stride, name=f"{name}_shortcut")(x)
        y = layers.Concatenate(name=f"{name}_concat")([x, y])
    else:
        y = layers.Add(name=f"{name}_add")([x, y])
    return activate(y, "relu", name=name)


def shufflenet_v1(
    *,
    groups=3,
    width=1.0,
    stem=24,
    depths=DEPTHS,
    dropout=0.0,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="shufflenet_v1",
):
    """A stem and stages 2 to 4; each stage halves the map and doubles the width.

    Args:
        groups: Groups of the 1x1 convolutions: 1, 2, 3, 4 or 8; more groups allow more channels at
            the same cost.
        width: Factor for the stages' filters.
        stem: Filters of the stem; the authors' code has 12 at width 0.5, and 48 at 2.
        depths: Number of units of each stage.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 960) with three groups.

    Raises:
        ValueError: If `groups` is not one of these numbers.
    """
    filters = int(pick("number of groups", groups, STAGE2_FILTERS) * width)
    inputs = keras.Input(input_shape, name="image")
    x = conv_bn(inputs, stem, 3, 2, activation="relu", name="stem_unit")
    x = max_pool(x, 3, 2, padding="symmetric", name="stem")
    for stage, depth in enumerate(depths, start=2):
        for i in range(1, depth + 1):
            x = shuffle_unit(
                x,
                filters * 2 ** (stage - 2),
                2 if i == 1 else 1,
                groups=groups,
                first_groups=1 if stage == 2 and i == 1 else groups,  # too few channels
                name=f"stage{stage}_block{i}",
            )
        x = layers.Identity(name=f"stage{stage}")(x)
    x = layers.Identity(name="features")(x)
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {
    "shufflenet_v1": shufflenet_v1,
}
