"""CIFAR ResNet: adding a block's input to its output makes a hundred thin layers trainable.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385, section 4.2. With stochastic depth: Huang et al., "Deep Networks
with Stochastic Depth", ECCV 2016, https://arxiv.org/abs/1603.09382.
"""

from functools import partial

import keras
from keras import layers, ops

from cvcourse.layers import DropPath
from cvcourse.models import convolution
from cvcourse.models.convolution import pooled_logits

MINIMUM_SIZE = 4  # two stages halve the map


conv_bn = partial(convolution.conv_bn, kernel_initializer="he_normal")  # section 3.4


def subsample_and_pad(x, filters, stride, *, name):
    """Option A: every `stride`-th pixel, zeros for the new channels; no parameters."""
    x = layers.AveragePooling2D(1, stride, name=f"{name}_subsample")(x)
    new = filters - x.shape[-1]
    return ops.pad(x, [[0, 0], [0, 0], [0, 0], [new // 2, new - new // 2]])


def basic_block(x, filters, stride, *, padding, shortcut, drop, name):
    """Two 3x3 convolutions and a shortcut: (h, w, c) -> (h/stride, w/stride, filters)."""
    y = conv_bn(x, filters, 3, stride, padding=padding, activation="relu", name=f"{name}_1")
    y = conv_bn(y, filters, 3, name=f"{name}_2")
    if drop:
        y = DropPath(drop, per="batch", scale_at="test", name=f"{name}_drop_path")(y)
    if x.shape[-1] != filters:
        around = {"A": subsample_and_pad, "B": conv_bn}[shortcut]
        x = around(x, filters, stride=stride, name=f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=name)(x)


def cifar_resnet(
    *,
    depth,
    padding="symmetric",
    shortcut="A",
    survival=1.0,
    dropout=0.0,
    input_shape=(32, 32, 3),
    num_classes=10,
    name="cifar_resnet",
):
    """A stem and three stages of (depth - 2) / 6 basic blocks, 16, 32 and 64 channels wide.

    Args:
        depth: Number of layers: 6n + 2.
        padding: Padding of convolutions with stride 2: "symmetric", which published weights need,
            or "same". The pixel that the shortcut takes is then the center of the 3x3 window, or
            its first pixel.
        shortcut: "A" (no parameters, the paper's choice on CIFAR) or "B" (1x1 projection) where a
            stage widens.
        survival: Probability that the last block's residual path is kept for a training batch; it
            falls linearly from 1 at the stem (stochastic depth: Huang et al. 2016, eq. 4 and 5).
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64).

    Raises:
        ValueError: If depth is not 6n + 2, or for an unknown shortcut.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"a CIFAR ResNet has 6n + 2 layers: 8, 14, 20, …; received depth={depth}")
    if shortcut not in ("A", "B"):
        raise ValueError(f'shortcut is "A" or "B"; received {shortcut!r}')
    inputs = keras.Input(input_shape, name="image")
    x = conv_bn(inputs, 16, 3, activation="relu", name="stem")
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in range(1, blocks + 1):
            x = basic_block(
                x,
                filters,
                stride=2 if stage > 1 and block == 1 else 1,
                padding=padding,
                shortcut=shortcut,
                drop=((stage - 1) * blocks + block) / (3 * blocks) * (1 - survival),
                name=f"stage{stage}_block{block}",
            )
        x = layers.Identity(name=f"stage{stage}")(x)
    x = layers.Identity(name="features")(x)
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {
    **{  # table 6
        f"resnet{depth}": partial(cifar_resnet, depth=depth)
        for depth in (20, 32, 44, 56, 110, 1202)
    },
    "resnet110_stochastic_depth": partial(cifar_resnet, depth=110, survival=0.5),
}
