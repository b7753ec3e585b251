"""DenseNet: each layer takes the outputs of all layers before it, and adds a few channels to them.

Huang, Liu, van der Maaten & Weinberger, "Densely Connected Convolutional Networks", CVPR 2017,
https://arxiv.org/abs/1608.06993.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.errors import unknown
from cvcourse.models.convolution import bn_relu, conv_bn, he_conv, max_pool, pooled_logits
from cvcourse.models.sources import Sources


def dense_layer(x, growth_rate, *, bottleneck, dropout, bn_relu, name):
    """Append `growth_rate` channels to `x`: (h, w, c) -> (h, w, c + growth_rate).

    Concatenating all outputs again for each layer, as torchvision does, took 1.03 times as long on
    a CPU for a training step of DenseNet-121, and 1.10 times for DenseNet-BC-100-12.
    """
    y = x
    for i, (size, filters) in enumerate(
        [(1, 4 * growth_rate)] * bottleneck + [(3, growth_rate)], start=1
    ):
        y = bn_relu(y, name=f"{name}_{i}")
        y = he_conv(y, filters, size, name=f"{name}_{i}_conv")
        if dropout:
            y = layers.Dropout(dropout, name=f"{name}_{i}_dropout")(y)
    return layers.Concatenate(name=name)([x, y])


def transition(x, compression, *, dropout, bn_relu, name):
    """Reduce channels and pixels: (h, w, c) -> (h/2, w/2, compression * c)."""
    x = bn_relu(x, name=f"{name}_1")
    x = he_conv(x, int(compression * x.shape[-1]), 1, name=f"{name}_1_conv")
    if dropout:
        x = layers.Dropout(dropout, name=f"{name}_1_dropout")(x)
    return layers.AveragePooling2D(2, name=name)(x)


def densenet(
    *,
    depths,
    growth_rate=32,
    bottleneck=True,
    compression=0.5,
    stem="7x7",
    stem_width=None,
    epsilon=1e-5,
    dropout=0.0,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="densenet",
):
    """A stem and dense blocks ("stages"), with a transition between two of them.

    Args:
        depths: Number of layers of each block.
        growth_rate: Channels that each layer adds, the paper's k.
        bottleneck: Whether a layer has a 1x1 convolution to 4k channels before its 3x3.
        compression: Fraction of the channels that a transition keeps.
        stem: "7x7" with stride 2 and a max pool, or the "3x3" of CIFAR nets.
        stem_width: Filters of the stem. Defaults to 2k.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate after each convolution but the stem's; 0.2 in the paper for images
            without augmentation.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1024) in DenseNet-121.

    Raises:
        ValueError: For an unknown stem.
    """
    if stem not in ("7x7", "3x3"):
        raise ValueError(unknown("stem", stem, ("7x7", "3x3")))
    norm_relu = partial(bn_relu, epsilon=epsilon)
    inner = dict(dropout=dropout, bn_relu=norm_relu)
    width = stem_width or 2 * growth_rate
    inputs = keras.Input(input_shape, name="image")
    if stem == "3x3":
        x = he_conv(inputs, width, 3, name="stem")
    else:
        norm = {"epsilon": epsilon}
        x = conv_bn(inputs, width, 7, 2, activation="relu", norm=norm, name="stem_unit")
        x = max_pool(x, 3, 2, padding="symmetric", name="stem")
    for stage, depth in enumerate(depths, start=1):
        if stage > 1:
            x = transition(x, compression, name=f"transition{stage - 1}", **inner)
        for i in range(1, depth + 1):
            block = f"stage{stage}_block{i}"
            x = dense_layer(x, growth_rate, bottleneck=bottleneck, name=block, **inner)
        x = layers.Identity(name=f"stage{stage}")(x)
    x = norm_relu(x, name="features")
    logits = pooled_logits(x, num_classes)
    return keras.Model(inputs, logits, name=name)


IMAGENET = {  # table 1
    "densenet121": partial(densenet, depths=(6, 12, 24, 16)),
    "densenet161": partial(densenet, depths=(6, 12, 36, 24), growth_rate=48),
    "densenet169": partial(densenet, depths=(6, 12, 32, 32)),
    "densenet201": partial(densenet, depths=(6, 12, 48, 32)),
}
CIFAR = dict(stem="3x3", input_shape=(32, 32, 3), num_classes=10)
VARIANTS = {
    **IMAGENET,
    "densenet40_12": partial(  # table 2, in its first version: 16 channels from the stem
        densenet,
        depths=(12,) * 3,
        growth_rate=12,
        bottleneck=False,
        compression=1.0,
        stem_width=16,
        **CIFAR,
    ),
    "densenet_bc100_12": partial(densenet, depths=(16,) * 3, growth_rate=12, **CIFAR),
    "densenet_bc190_40": partial(densenet, depths=(31,) * 3, growth_rate=40, **CIFAR),
}
# The stem and three transitions halve the map, and the transitions round down; CIFAR nets have two.
MINIMUM_SIZE = {name: 29 if name in IMAGENET else 4 for name in VARIANTS}
PUBLISHED_NAMES = {
    sources: {
        "stem_unit_conv": "features.conv0",
        "stem_unit_bn": "features.norm0",
        r"stage(\d)_block(\d+)_(\d)_conv": rf"features.denseblock\1.denselayer\2.conv{dot}\3",
        r"stage(\d)_block(\d+)_(\d)_bn": rf"features.denseblock\1.denselayer\2.norm{dot}\3",
        r"transition(\d)_1_conv": r"features.transition\1.conv",
        r"transition(\d)_1_bn": r"features.transition\1.norm",
        "features_bn": "features.norm5",
        "logits": "classifier",
    }
    for sources, dot in {"torchvision timm": "", "torchvision, first files": "."}.items()
}
SOURCES: Sources = {
    f"{source}.{name}": (name, {}) for source in ("torchvision", "timm") for name in IMAGENET
} | {
    f"keras.densenet{depth}": (f"densenet{depth}", {"epsilon": 1.001e-5})
    for depth in (121, 169, 201)
}
