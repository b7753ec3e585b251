"""ResNet: adding a block's input to its output makes networks of a hundred layers trainable.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385. The stride of a bottleneck is in its 3x3 convolution, as in
torchvision's "v1.5"; in the paper it is in the first 1x1.
"""

from functools import partial
from typing import Any

import keras
from keras import layers

from cvcourse.errors import pick
from cvcourse.models.convolution import activate, conv_bn, max_pool, pooled_logits
from cvcourse.models.sources import Sources

MINIMUM_SIZE = 32  # halved five times


def basic_block(x, filters, stride, *, conv_bn, name, **around):
    """Two 3x3 convolutions and a shortcut: (h, w, c) -> (h/stride, w/stride, filters)."""
    y = conv_bn(x, filters, 3, stride, activation="relu", name=f"{name}_1")
    y = conv_bn(y, filters, 3, name=f"{name}_2")
    return add_input(x, y, stride, conv_bn=conv_bn, name=name, **around)


def bottleneck_block(
    x, filters, stride, *, stride_in, groups, width_per_group, conv_bn, name, **around
):
    """1x1 down, 3x3, 1x1 up: (h, w, c) -> (h/stride, w/stride, 4 * filters)."""
    width = filters * width_per_group // 64 * groups
    strides = {"1x1": (stride, 1), "3x3": (1, stride)}[stride_in]
    y = conv_bn(x, width, 1, strides[0], activation="relu", name=f"{name}_1")
    y = conv_bn(y, width, 3, strides[1], groups=groups, activation="relu", name=f"{name}_2")
    y = conv_bn(y, 4 * filters, 1, name=f"{name}_3")
    return add_input(x, y, stride, conv_bn=conv_bn, name=name, **around)


def add_input(x, y, stride, *, conv_bn, attend, shortcut, name):
    """relu(x + y), with `x` projected if the shapes differ (option B, section 3.3)."""
    if attend:
        y = attend(y, name=f"{name}_se")
    if shortcut:
        if stride > 1 or x.shape[-1] != y.shape[-1]:
            x = conv_bn(x, y.shape[-1], 1, stride, name=f"{name}_shortcut")
        y = layers.Add(name=f"{name}_add")([x, y])
    return activate(y, "relu", name=name)


def resnet(
    *,
    depths,
    block="bottleneck",
    stem="7x7",
    stride_in="3x3",
    groups=1,
    width_per_group=64,
    attend=None,
    shortcut=True,
    use_bias=False,
    epsilon=1e-5,
    dropout=0.0,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="resnet",
):
    """A stem and stages of residual blocks; each but the first halves the map, doubles the width.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets, with stride 1.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" or "1x1".
        groups: Groups of a bottleneck's 3x3 convolution.
        width_per_group: Channels of each group at stage 1.
        attend: Function (y, name) -> y on a block's residual path, before the sum.
        shortcut: Whether blocks have shortcuts; False builds the paper's plain nets.
        use_bias: Whether convolutions have biases.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem
        and four stages, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with bottlenecks.

    Raises:
        ValueError: For an unknown block, stem or stride_in.
    """
    if stem not in ("7x7", "3x3"):
        raise ValueError(f'stem is "7x7" or "3x3"; received {stem!r}')
    if stride_in not in ("1x1", "3x3"):
        raise ValueError(f'stride_in is "1x1" or "3x3"; received {stride_in!r}')
    inner = dict(stride_in=stride_in, groups=groups, width_per_group=width_per_group)
    blocks = {"basic": basic_block, "bottleneck": partial(bottleneck_block, **inner)}
    block = pick("block", block, blocks)
    unit = partial(conv_bn, use_bias=use_bias, norm={"epsilon": epsilon})
    inputs = keras.Input(input_shape, name="image")
    if stem == "3x3":
        x = unit(inputs, 64, 3, activation="relu", name="stem")
    else:
        x = unit(inputs, 64, 7, 2, activation="relu", name="stem_unit")
        x = max_pool(x, 3, 2, padding="symmetric", name="stem")
    for stage, depth in enumerate(depths, start=1):
        for i in range(1, depth + 1):
            x = block(
                x,
                64 * 2 ** (stage - 1),
                2 if stage > 1 and i == 1 else 1,
                conv_bn=unit,
                attend=attend,
                shortcut=shortcut,
                name=f"stage{stage}_block{i}",
            )
        x = layers.Identity(name=f"stage{stage}")(x)
    x = layers.Identity(name="features")(x)
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, logits, name=name)


DEPTHS: dict[str, dict[str, Any]] = {  # table 1
    "18": dict(depths=(2, 2, 2, 2), block="basic"),
    "34": dict(depths=(3, 4, 6, 3), block="basic"),
    "50": dict(depths=(3, 4, 6, 3)),
    "101": dict(depths=(3, 4, 23, 3)),
    "152": dict(depths=(3, 8, 36, 3)),
}
VARIANTS = {
    **{f"resnet{depth}": partial(resnet, **settings) for depth, settings in DEPTHS.items()},
    "plain18": partial(resnet, **DEPTHS["18"], shortcut=False),
    "plain34": partial(resnet, **DEPTHS["34"], shortcut=False),
}
PUBLISHED_NAMES = {
    "torchvision timm": {
        r"stem_unit_(conv|bn)": r"\g<1>1",
        r"stage(\d)_block(\d+)_(\d)_(conv|bn)": r"layer\1.#\2.\4\3",
        r"stage(\d)_block(\d+)_shortcut_(conv|bn)": r"layer\1.#\2.downsample.#\3",
        r"stage(\d)_block(\d+)_se_squeeze": r"layer\1.#\2.se.fc1",
        r"stage(\d)_block(\d+)_se_excite": r"layer\1.#\2.se.fc2",
        "logits": "fc",
    }
}
SOURCES: Sources = {
    **{f"torchvision.resnet{depth}": (f"resnet{depth}", {}) for depth in DEPTHS},
    **{f"timm.resnet{depth}": (f"resnet{depth}", {}) for depth in DEPTHS},
    "timm.resnet26": ("resnet50", {"depths": (2, 2, 2, 2)}),
    "timm.resnet200": ("resnet50", {"depths": (3, 24, 36, 3)}),
    **{
        f"keras.resnet{depth}": (
            f"resnet{depth}",
            dict(stride_in="1x1", use_bias=True, epsilon=1.001e-5),
        )
        for depth in (50, 101, 152)
    },
}
