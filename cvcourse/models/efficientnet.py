"""EfficientNet: a network found by search, scaled in depth, width and resolution together.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
https://arxiv.org/abs/1905.11946. EfficientNet-Lite is Google's variant for integer arithmetic on
phones, 2020, https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
"""

from functools import partial

import keras

from cvcourse.models.convolution import HE_FAN_OUT, conv_bn, pooled_logits, round_channels
from cvcourse.models.mobilenet_v2 import (
    TIMM_BLOCK_NAMES,
    inverted_residual_block,
    inverted_residual_stages,
)
from cvcourse.models.senet import squeeze_excite
from cvcourse.models.sources import Sources

MINIMUM_SIZE = 32  # halved five times
STAGES = (  # table 1: expansion, kernel, filters, repeats, stride
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)


def mbconv_block(x, *shape, activation, se_ratio, **settings):
    """Inverted residual block with squeeze-excite; `se_ratio` is relative to its input."""
    channels = int(x.shape[-1] * se_ratio)
    attend = partial(squeeze_excite, channels=channels, activation=activation) if channels else None
    return inverted_residual_block(x, *shape, activation=activation, attend=attend, **settings)


def efficientnet(
    *,
    width=1.0,
    depth=1.0,
    fixed_ends=False,
    stages=STAGES,
    se_ratio=0.25,
    activation="silu",
    survival=0.8,  # section 5.2
    padding="symmetric",
    epsilon=1e-5,
    momentum=0.9,
    dropout=0.2,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="efficientnet",
):
    """A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        se_ratio: Channels inside squeeze-excite, as a fraction of the block's input channels; 0 for
            no squeeze-excite.
        activation: Activation of the convolutions.
        survival: Probability that a residual path after the last block would be kept in training;
            it falls linearly from 1 at the first block.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        momentum: Momentum of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280 * width), or (h/32, w/32, 1280) with `fixed_ends`.
    """
    ends = 1.0 if fixed_ends else width
    norm = {"epsilon": epsilon, "momentum": momentum}
    unit = partial(conv_bn, padding=padding, norm=norm, kernel_initializer=HE_FAN_OUT)
    inputs = keras.Input(input_shape, name="image")
    x = unit(inputs, round_channels(32 * ends), 3, 2, activation=activation, name="stem")
    block = partial(mbconv_block, unit=unit, activation=activation, se_ratio=se_ratio)
    x = inverted_residual_stages(
        x,
        stages,
        width=width,
        depth=depth,
        fixed_ends=fixed_ends,
        survival=survival,
        block=block,
    )
    x = unit(x, round_channels(1280 * ends), activation=activation, name="features")
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, logits, name=name)


def compound(width, depth, size, dropout, **form):
    """Return a builder scaled by eq. 3, with the coefficients as Google's code rounds them."""
    scales = dict(width=width, depth=depth, dropout=dropout, input_shape=(size, size, 3))
    return partial(efficientnet, **scales, **form)


TORCHVISION_5_TO_7 = dict(epsilon=1e-3, momentum=0.99)
LITE = dict(fixed_ends=True, se_ratio=0.0, activation="relu6")
VARIANTS = {
    "efficientnet_b0": compound(1.0, 1.0, 224, 0.2),
    "efficientnet_b1": compound(1.0, 1.1, 240, 0.2),
    "efficientnet_b2": compound(1.1, 1.2, 260, 0.3),
    "efficientnet_b3": compound(1.2, 1.4, 300, 0.3),
    "efficientnet_b4": compound(1.4, 1.8, 380, 0.4),
    "efficientnet_b5": compound(1.6, 2.2, 456, 0.4, **TORCHVISION_5_TO_7),
    "efficientnet_b6": compound(1.8, 2.6, 528, 0.5, **TORCHVISION_5_TO_7),
    "efficientnet_b7": compound(2.0, 3.1, 600, 0.5, **TORCHVISION_5_TO_7),
    "efficientnet_lite0": compound(1.0, 1.0, 224, 0.2, **LITE),
    "efficientnet_lite1": compound(1.0, 1.1, 240, 0.2, **LITE),
    "efficientnet_lite2": compound(1.1, 1.2, 260, 0.3, **LITE),
    "efficientnet_lite3": compound(1.2, 1.4, 280, 0.3, **LITE),
    "efficientnet_lite4": compound(1.4, 1.8, 300, 0.3, **LITE),
}
PUBLISHED_NAMES = {
    "torchvision": {
        r"(stem|features)_conv": r"features.#\1.0",
        r"(stem|features)_bn": r"features.#\1.1",
        r"(stage\d)_block(\d+)_(expand|depthwise|project)_conv": r"features.#\1.#\2.block.#\3.0",
        r"(stage\d)_block(\d+)_(expand|depthwise|project)_bn": r"features.#\1.#\2.block.#\3.1",
        r"(stage\d)_block(\d+)_se_squeeze": r"features.#\1.#\2.block.#se.fc1",
        r"(stage\d)_block(\d+)_se_excite": r"features.#\1.#\2.block.#se.fc2",
        "logits": "classifier.1",
    },
    "timm": TIMM_BLOCK_NAMES | {"features_conv": "conv_head", "features_bn": "bn2"},
    "efficientnet_pytorch": {  # Melas-Kyriazi's, the first conversion to torch
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        r"(\w+)_(expand|depthwise|project)_conv": r"_blocks.#\1._\2_conv",
        r"(\w+)_expand_bn": r"_blocks.#\1._bn0",
        r"(\w+)_depthwise_bn": r"_blocks.#\1._bn1",
        r"(\w+)_project_bn": r"_blocks.#\1._bn2",
        r"(\w+_block\d+)_se_squeeze": r"_blocks.#\1._se_reduce",
        r"(\w+_block\d+)_se_excite": r"_blocks.#\1._se_expand",
        "features_conv": "_conv_head",
        "features_bn": "_bn1",
        "logits": "_fc",
    },
}
SAME = dict(padding="same", epsilon=1e-3)  # for TensorFlow's weights
TIMM = {
    **{name: (name, {}) for name in VARIANTS},
    "efficientnet_b8": ("efficientnet_b7", compound(2.2, 3.6, 672, 0.5).keywords),
    "efficientnet_l2": ("efficientnet_b7", compound(4.3, 5.3, 800, 0.5).keywords),
}
SOURCES: Sources = {
    **{f"torchvision.{name}": (name, {}) for name in VARIANTS if "lite" not in name},
    **{f"keras.EfficientNetB{i}": (f"efficientnet_b{i}", SAME) for i in range(8)},
    "efficientnet_pytorch.efficientnet_lite0": ("efficientnet_lite0", SAME),
}
for timm, (ours, form) in TIMM.items():
    SOURCES[f"timm.{timm}"] = (ours, form | dict(epsilon=1e-5))
    SOURCES[f"timm.tf_{timm}"] = (ours, form | SAME)
