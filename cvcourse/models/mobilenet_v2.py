"""MobileNetV2: expand a thin map, filter it, project it back, add the input: inverted residuals.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
https://arxiv.org/abs/1801.04381.
"""

import math
from functools import partial

import keras
from keras import layers

from cvcourse.layers import DropPath
from cvcourse.models.convolution import HE_FAN_OUT, conv_bn, pooled_logits, round_channels
from cvcourse.models.sources import Sources

MINIMUM_SIZE = 32  # halved five times
STAGES = (  # table 2: expansion t, kernel, filters c, repeats n, stride s
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 3, 32, 3, 2),
    (6, 3, 64, 4, 2),
    (6, 3, 96, 3, 1),
    (6, 3, 160, 3, 2),
    (6, 3, 320, 1, 1),
)


def inverted_residual_block(
    x, expansion, kernel_size, filters, stride, *, unit, activation, attend=None, drop=0.0, name
):
    """1x1 up by `expansion`, depthwise, 1x1 down without activation, plus the input.

    Shapes: (h, w, c) -> (h/stride, w/stride, filters). The input is added if it has the same shape;
    the residual path is then dropped at the rate `drop`. `attend`, a function (y, name) -> y, is
    applied to the expanded map.
    """
    y, width = x, round_channels(expansion * x.shape[-1])
    if width != x.shape[-1]:
        y = unit(y, width, activation=activation, name=f"{name}_expand")
    y = unit(
        y, width, kernel_size, stride, groups=width, activation=activation, name=f"{name}_depthwise"
    )
    if attend:
        y = attend(y, name=f"{name}_se")
    y = unit(y, filters, name=f"{name}_project")
    if stride > 1 or filters != x.shape[-1]:
        return y
    if drop:
        y = DropPath(drop, name=f"{name}_drop_path")(y)
    return layers.Add(name=name)([x, y])


def inverted_residual_stages(x, stages, *, width, depth, fixed_ends, survival=1.0, block):
    """Blocks of a table such as STAGES, with filters times `width` and repeats times `depth`.

    `fixed_ends` keeps the repeats of the first and the last stage. `block` has the arguments of
    inverted_residual_block; for `survival` see efficientnet.
    """
    ends = (1, len(stages)) if fixed_ends else ()
    repeats = [
        n if stage in ends else math.ceil(n * depth)
        for stage, (_, _, _, n, _) in enumerate(stages, start=1)
    ]
    done = 0
    for stage, (expansion, kernel_size, filters, _, stride) in enumerate(stages, start=1):
        for i in range(1, repeats[stage - 1] + 1):
            x = block(
                x,
                expansion,
                kernel_size,
                round_channels(filters * width),
                stride if i == 1 else 1,
                drop=done / sum(repeats) * (1 - survival),
                name=f"stage{stage}_block{i}",
            )
            done += 1
        x = layers.Identity(name=f"stage{stage}")(x)
    return x


def mobilenet_v2(
    *,
    width=1.0,
    depth=1.0,
    fixed_ends=False,
    stages=STAGES,
    padding="symmetric",
    epsilon=1e-5,
    dropout=0.2,  # torchvision's and slim's
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="mobilenet_v2",
):
    """A 3x3 stem, stages of inverted residual blocks and a wide 1x1 convolution.

    Args:
        width: Factor for the filters.
        depth: Factor for the repeats of the stages.
        fixed_ends: Whether the factors do not apply to the stem, the last convolution and the
            repeats of the first and the last stage.
        stages: A row for each stage, as in STAGES.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 1280), wider for `width` above 1.
    """
    ends = 1.0 if fixed_ends else width
    unit = partial(
        conv_bn, padding=padding, norm={"epsilon": epsilon}, kernel_initializer=HE_FAN_OUT
    )
    inputs = keras.Input(input_shape, name="image")
    x = unit(inputs, round_channels(32 * ends), 3, 2, activation="relu6", name="stem")
    block = partial(inverted_residual_block, unit=unit, activation="relu6")
    x = inverted_residual_stages(
        x, stages, width=width, depth=depth, fixed_ends=fixed_ends, block=block
    )
    x = unit(x, round_channels(1280 * max(1.0, ends)), activation="relu6", name="features")
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {
    "mobilenet_v2": mobilenet_v2,
}
TIMM_BLOCK_NAMES = {  # of all nets with these blocks; the first stage does not expand
    r"(stage1)_block(\d+)_depthwise_bn": r"blocks.#\1.#\2.bn1",
    r"(stage1)_block(\d+)_project_conv": r"blocks.#\1.#\2.conv_pw",
    r"(stage1)_block(\d+)_project_bn": r"blocks.#\1.#\2.bn2",
    r"(stage\d)_block(\d+)_expand_conv": r"blocks.#\1.#\2.conv_pw",
    r"(stage\d)_block(\d+)_expand_bn": r"blocks.#\1.#\2.bn1",
    r"(stage\d)_block(\d+)_depthwise_conv": r"blocks.#\1.#\2.conv_dw",
    r"(stage\d)_block(\d+)_depthwise_bn": r"blocks.#\1.#\2.bn2",
    r"(stage\d)_block(\d+)_se_squeeze": r"blocks.#\1.#\2.se.conv_reduce",
    r"(stage\d)_block(\d+)_se_excite": r"blocks.#\1.#\2.se.conv_expand",
    r"(stage\d)_block(\d+)_project_conv": r"blocks.#\1.#\2.conv_pwl",
    r"(stage\d)_block(\d+)_project_bn": r"blocks.#\1.#\2.bn3",
    "stem_conv": "conv_stem",
    "stem_bn": "bn1",
    "logits": "classifier",
}
PUBLISHED_NAMES = {
    "torchvision": {
        r"(stem|features)_conv": r"features.#\1.0",
        r"(stem|features)_bn": r"features.#\1.1",
        r"(\w+)_(expand|depthwise)_conv": r"features.#\1.conv.#\2.0",
        r"(\w+)_(expand|depthwise)_bn": r"features.#\1.conv.#\2.1",
        r"(\w+)_(project_conv|project_bn)": r"features.#\1.conv.#\2",
        "logits": "classifier.1",
    },
    "timm": TIMM_BLOCK_NAMES | {"features_conv": "conv_head", "features_bn": "bn2"},
}
SOURCES: Sources = {
    "torchvision.mobilenet_v2": ("mobilenet_v2", {}),
    **{
        f"timm.mobilenetv2_{100 * width:03.0f}": ("mobilenet_v2", dict(width=width))
        for width in (0.35, 0.5, 0.75, 1.0, 1.4)
    },
    "timm.mobilenetv2_110d": ("mobilenet_v2", dict(width=1.1, depth=1.2, fixed_ends=True)),
    "timm.mobilenetv2_120d": ("mobilenet_v2", dict(width=1.2, depth=1.4, fixed_ends=True)),
    "keras.mobilenet_v2": ("mobilenet_v2", dict(padding="same", epsilon=1e-3)),
}
