"""Wide ResNet: fewer layers, each with many times the channels.

Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016, https://arxiv.org/abs/1605.07146.
The CIFAR nets have pre-activation blocks with dropout between their convolutions. The ImageNet
nets have ResNet's bottlenecks with a 3x3 convolution twice as wide.
"""

from functools import partial

from cvcourse.models.preact_resnet import preact_resnet
from cvcourse.models.resnet import resnet
from cvcourse.models.sources import Sources


def wide_resnet(
    *,
    depth,
    width,
    dropout=0.0,
    input_shape=(32, 32, 3),
    num_classes=10,
    name="wide_resnet",
):
    """WRN-`depth`-`width`: three stages of (depth - 4) / 6 blocks, 16, 32 and 64 times `width`.

    Args:
        depth: Number of layers: 6n + 4.
        width: Factor for the filters.
        dropout: Dropout rate inside the blocks; 0.3 in the paper, where it is used.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/4, w/4, 64 * width).

    Raises:
        ValueError: If depth is not 6n + 4.
    """
    blocks, rest = divmod(depth - 4, 6)
    if rest or blocks < 1:
        raise ValueError(f"a wide ResNet has 6n + 4 layers: 10, 16, 22, …; received depth={depth}")
    return preact_resnet(
        depths=(blocks,) * 3,
        block="basic",
        stem="3x3",
        width=16 * width,
        block_dropout=dropout,
        input_shape=input_shape,
        num_classes=num_classes,
        name=name,
    )


VARIANTS = {
    "wide_resnet50_2": partial(resnet, depths=(3, 4, 6, 3), width_per_group=128),  # table 8
    "wide_resnet101_2": partial(resnet, depths=(3, 4, 23, 3), width_per_group=128),
    **{  # tables 4 and 5
        f"wrn_{depth}_{width}": partial(wide_resnet, depth=depth, width=width)
        for depth, width in ((16, 8), (28, 10), (40, 4))
    },
}
# Stages and the ImageNet stem halve the map: five times, twice on CIFAR.
MINIMUM_SIZE = {name: 4 if name.startswith("wrn") else 32 for name in VARIANTS}
SOURCES: Sources = {  # with resnet's names
    f"{source}.wide_resnet{depth}_2": (f"wide_resnet{depth}_2", {})
    for source in ("torchvision", "timm")
    for depth in (50, 101)
}
