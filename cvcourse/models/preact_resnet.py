"""Pre-activation ResNet: norm and ReLU before the convolutions, and nothing on the shortcut.

He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016,
https://arxiv.org/abs/1603.05027.
"""

from functools import partial
from typing import Any

import keras
from keras import layers

from cvcourse.errors import unknown
from cvcourse.models.cifar_resnet import subsample_and_pad
from cvcourse.models.convolution import bn_relu, he_conv, max_pool, pooled_logits
from cvcourse.models.sources import Sources


def basic(filters, stride):
    """Return the convolutions of a block: (size, filters, stride) each."""
    return (3, filters, stride), (3, filters, 1)


def bottleneck(filters, stride, *, stride_in):
    """Return the convolutions of a block, 1x1 down, 3x3, 1x1 up: (size, filters, stride) each.

    `stride_in` names the convolution that has the stride.
    """
    first, second = {"1x1": (stride, 1), "3x3": (1, stride)}[stride_in]
    return (1, filters, first), (3, filters, second), (1, 4 * filters, 1)


def preact_block(x, convolutions, stride, *, activated, widen, dropout, use_bias, bn_relu, name):
    """x + convolutions after norm and ReLU: (h, w, c) -> (h/stride, w/stride, filters).

    Where the width changes, and where `x` is `activated` already, the shortcut also starts after
    the first ReLU (appendix). Where only the size changes, it takes every stride-th pixel.
    """
    y = active = x if activated else bn_relu(x, name=f"{name}_1")
    for i, (size, filters, step) in enumerate(convolutions, start=1):
        last = i == len(convolutions)
        if i > 1:
            y = bn_relu(y, name=f"{name}_{i}")
        if dropout and last:
            y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
        y = he_conv(y, filters, size, step, use_bias=use_bias and last, name=f"{name}_{i}_conv")
    if x.shape[-1] != filters:
        x = widen(active, filters, stride=stride, name=f"{name}_shortcut")
    elif stride > 1:
        x = max_pool(x, 1, stride, name=f"{name}_shortcut")
    return layers.Add(name=name)([x, y])


def preact_resnet(
    *,
    depths,
    block="bottleneck",
    stem="7x7",
    width=64,
    shortcut="B",
    stride_in="3x3",
    strided_block="first",
    use_bias=False,
    zero_padded_pool=False,
    epsilon=1e-5,
    block_dropout=0.0,
    dropout=0.0,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="preact_resnet",
):
    """A stem and stages of pre-activation blocks; the width doubles where the map is halved.

    The form of keras.applications has `strided_block="last"`, `use_bias` and `zero_padded_pool`.

    Args:
        depths: Number of blocks of each stage.
        block: "basic" or "bottleneck".
        stem: "7x7" with a max pool, or the "3x3" of CIFAR nets, with norm and ReLU before the first
            block.
        width: Filters of the first stage.
        shortcut: "B" (1x1 projection) or "A" (no parameters) where a stage widens.
        stride_in: Convolution of a bottleneck that has the stride: "3x3" (timm, Keras) or "1x1"
            (the paper's code).
        strided_block: Block of a stage that has the stride: "first", or "last" in all stages but
            the last.
        use_bias: Whether convolutions that no norm follows have biases.
        zero_padded_pool: Whether the stem's pool pads with zeros.
        epsilon: Epsilon of batch norm.
        block_dropout: Dropout rate before the last convolution of each block.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). With a 7x7 stem,
        four stages and a width of 64, `features` is (h/32, w/32, 512), or (h/32, w/32, 2048) with
        bottlenecks.

    Raises:
        ValueError: For an unknown block, stem, shortcut, stride_in or strided_block.
    """
    for argument, value, choices in (
        ("block", block, ("basic", "bottleneck")),
        ("stem", stem, ("7x7", "3x3")),
        ("shortcut", shortcut, ("A", "B")),
        ("stride_in", stride_in, ("1x1", "3x3")),
        ("strided_block", strided_block, ("first", "last")),
    ):
        if value not in choices:
            raise ValueError(unknown(argument, value, choices))
    blocks = {"basic": basic, "bottleneck": partial(bottleneck, stride_in=stride_in)}
    widen = {"A": subsample_and_pad, "B": partial(he_conv, kernel_size=1, use_bias=use_bias)}
    norm_relu = partial(bn_relu, epsilon=epsilon)
    inputs = keras.Input(input_shape, name="image")
    if stem == "3x3":
        x = norm_relu(he_conv(inputs, 16, 3, name="stem_conv"), name="stem")
    else:
        x = he_conv(inputs, 64, 7, 2, use_bias=use_bias, name="stem_conv")
        if zero_padded_pool:
            x = layers.ZeroPadding2D(1, name="stem_pad")(x)
        x = max_pool(x, 3, 2, padding="valid" if zero_padded_pool else "symmetric", name="stem")
    for stage, depth in enumerate(depths, start=1):
        filters = width * 2 ** (stage - 1)
        for i in range(1, depth + 1):
            first = i == 1 and stage > 1
            last = i == depth and stage < len(depths)
            stride = 2 if {"first": first, "last": last}[strided_block] else 1
            x = preact_block(
                x,
                blocks[block](filters, stride),
                stride,
                activated=stem == "3x3" and stage == i == 1,
                widen=widen[shortcut],
                dropout=block_dropout,
                use_bias=use_bias,
                bn_relu=norm_relu,
                name=f"stage{stage}_block{i}",
            )
        x = layers.Identity(name=f"stage{stage}")(x)
    x = norm_relu(x, name="features")
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, logits, name=name)


DEPTHS: dict[str, dict[str, Any]] = {
    "18": dict(depths=(2, 2, 2, 2), block="basic"),
    "34": dict(depths=(3, 4, 6, 3), block="basic"),
    "50": dict(depths=(3, 4, 6, 3)),
    "101": dict(depths=(3, 4, 23, 3)),
    "152": dict(depths=(3, 8, 36, 3)),
}
CIFAR = dict(stem="3x3", width=16, stride_in="1x1", input_shape=(32, 32, 3), num_classes=10)
VARIANTS = {
    **{f"resnet{depth}_v2": partial(preact_resnet, **form) for depth, form in DEPTHS.items()},
    "preact_resnet110": partial(
        preact_resnet, depths=(18,) * 3, block="basic", shortcut="A", **CIFAR
    ),
    "preact_resnet164": partial(preact_resnet, depths=(18,) * 3, **CIFAR),
    "preact_resnet1001": partial(preact_resnet, depths=(111,) * 3, **CIFAR),
}
# Stages and the 7x7 stem halve the map: five times, twice on CIFAR.
MINIMUM_SIZE = {name: 4 if name.startswith("preact") else 32 for name in VARIANTS}
PUBLISHED_NAMES = {
    "timm": {
        "stem_conv": "stem.conv",
        r"stage(\d)_block(\d+)_(\d)_conv": r"stages.#\1.blocks.#\2.conv\3",
        r"stage(\d)_block(\d+)_(\d)_bn": r"stages.#\1.blocks.#\2.norm\3",
        r"stage(\d)_block(\d+)_shortcut": r"stages.#\1.blocks.#\2.downsample.conv",
        "features_bn": "norm",
        "logits": "head.fc",
    }
}
SOURCES: Sources = {f"timm.resnetv2_{depth}": (f"resnet{depth}_v2", {}) for depth in DEPTHS} | {
    f"keras.resnet{depth}v2": (
        f"resnet{depth}_v2",
        dict(strided_block="last", use_bias=True, zero_padded_pool=True, epsilon=1.001e-5),
    )
    for depth in (50, 101, 152)
}
