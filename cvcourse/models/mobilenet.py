"""MobileNet: filter each channel, then mix the channels, at about a ninth of a convolution's cost.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
2017, https://arxiv.org/abs/1704.04861.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.models.convolution import HE_FAN_OUT, conv_bn, pooled_logits
from cvcourse.models.sources import Sources

MINIMUM_SIZE = 32  # halved five times
STAGES = (  # table 1: filters of the blocks, by size of the map
    (64,),
    (128, 128),
    (256, 256),
    (512, 512, 512, 512, 512, 512),
    (1024, 1024),
)


def separable_block(x, filters, stride, *, unit, padding, name):
    """3x3 depthwise and 1x1 convolution: (h, w, c) -> (h/stride, w/stride, filters)."""
    groups = x.shape[-1]
    x = unit(x, groups, 3, stride, groups=groups, padding=padding, name=f"{name}_depthwise")
    return unit(x, filters, name=f"{name}_pointwise")


def mobilenet(
    *,
    width=1.0,
    stages=STAGES,
    padding="symmetric",
    epsilon=1e-5,
    dropout=1e-3,  # slim's and Keras'; the paper: "little regularization"
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="mobilenet",
):
    """A 3x3 stem and stages of separable blocks; each stage but the first halves the map.

    Args:
        width: Factor for all filters (section 3.3).
        stages: Filters of each stage's blocks.
        padding: Padding of convolutions with stride 2: "symmetric", "same" or "far"
            (keras.applications).
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1024 * width).
    """
    unit = partial(
        conv_bn, activation="relu6", norm={"epsilon": epsilon}, kernel_initializer=HE_FAN_OUT
    )
    # keras.applications pads only the far side of depthwise convolutions, also for odd sides; its
    # stem has padding "same".
    stem_padding = "same" if padding == "far" else padding
    inputs = keras.Input(input_shape, name="image")
    x = unit(inputs, int(32 * width), 3, 2, padding=stem_padding, name="stem")
    for stage, blocks in enumerate(stages, start=1):
        for i, filters in enumerate(blocks, start=1):
            x = separable_block(
                x,
                int(filters * width),
                2 if stage > 1 and i == 1 else 1,
                unit=unit,
                padding=padding,
                name=f"stage{stage}_block{i}",
            )
        x = layers.Identity(name=f"stage{stage}")(x)
    x = layers.Identity(name="features")(x)
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {
    "mobilenet": mobilenet,
}
PUBLISHED_NAMES = {
    "timm": {
        "stem_conv": "conv_stem",
        "stem_bn": "bn1",
        r"(stage\d)_block(\d+)_depthwise_conv": r"blocks.#\1.#\2.conv_dw",
        r"(stage\d)_block(\d+)_depthwise_bn": r"blocks.#\1.#\2.bn1",
        r"(stage\d)_block(\d+)_pointwise_conv": r"blocks.#\1.#\2.conv_pw",
        r"(stage\d)_block(\d+)_pointwise_bn": r"blocks.#\1.#\2.bn2",
        "logits": "classifier",
    }
}
SOURCES: Sources = {
    "timm.mobilenetv1_100": ("mobilenet", {}),
    "timm.mobilenetv1_125": ("mobilenet", dict(width=1.25)),
    "keras.mobilenet": ("mobilenet", dict(padding="far", epsilon=1e-3)),
}
