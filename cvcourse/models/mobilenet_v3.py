"""MobileNetV3: inverted residual blocks, each chosen by an architecture search.

Howard et al., "Searching for MobileNetV3", ICCV 2019, https://arxiv.org/abs/1905.02244.
"""

from functools import partial

import keras
from keras import layers

from cvcourse.models.convolution import HE_FAN_OUT, conv_bn, pooled_logits, round_channels
from cvcourse.models.mobilenet_v2 import TIMM_BLOCK_NAMES, inverted_residual_block
from cvcourse.models.senet import squeeze_excite
from cvcourse.models.sources import Sources

MINIMUM_SIZE = 32  # halved five times
# One line for each stage, one entry for each block: kernel, expanded width, filters,
# squeeze-excite, activation, stride. `width` keeps the expansion relative to the input.
LARGE = (  # table 1
    ((3, 16, 16, False, "relu", 1),),
    ((3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1)),
    ((5, 72, 40, True, "relu", 2), *2 * ((5, 120, 40, True, "relu", 1),)),
    (
        (3, 240, 80, False, "hard_swish", 2),
        (3, 200, 80, False, "hard_swish", 1),
        *2 * ((3, 184, 80, False, "hard_swish", 1),),
    ),
    ((3, 480, 112, True, "hard_swish", 1), (3, 672, 112, True, "hard_swish", 1)),
    ((5, 672, 160, True, "hard_swish", 2), *2 * ((5, 960, 160, True, "hard_swish", 1),)),
)
SMALL = (  # table 2
    ((3, 16, 16, True, "relu", 2),),
    ((3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1)),
    ((5, 96, 40, True, "hard_swish", 2), *2 * ((5, 240, 40, True, "hard_swish", 1),)),
    ((5, 120, 48, True, "hard_swish", 1), (5, 144, 48, True, "hard_swish", 1)),
    ((5, 288, 96, True, "hard_swish", 2), *2 * ((5, 576, 96, True, "hard_swish", 1),)),
)


def quarter_excite(x, *, name):
    """Squeeze-excite with a quarter of the channels and a hard-sigmoid gate (section 5.3)."""
    return squeeze_excite(x, round_channels(x.shape[-1] / 4), gate="hard_sigmoid", name=name)


def mobilenet_v3(
    *,
    stages,
    hidden,
    width=1.0,
    minimal=False,
    padding="symmetric",
    epsilon=1e-3,
    dropout=0.2,  # section 6.1.1
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="mobilenet_v3",
):
    """A 3x3 stem, stages of inverted residual blocks, a 1x1 convolution and a dense layer.

    Args:
        stages: Rows of blocks, as in LARGE and SMALL.
        hidden: Units of the dense layer before the logits.
        width: Factor for the filters, but not for `hidden`.
        minimal: Whether to leave out squeeze-excite, 5x5 kernels and hard-swish.
        padding: Padding of convolutions with stride 2: "symmetric" or "same".
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, 6 times the last stage's filters).
    """
    norm = {"epsilon": epsilon, "momentum": 0.99}  # section 6.1.1, and torchvision's
    unit = partial(conv_bn, padding=padding, norm=norm, kernel_initializer=HE_FAN_OUT)
    last_activation = "relu" if minimal else "hard_swish"
    inputs = keras.Input(input_shape, name="image")
    planned = 16
    # Published nets of smaller width keep the stem's 16 filters.
    x = unit(
        inputs,
        round_channels(planned * max(1.0, width)),
        3,
        2,
        activation=last_activation,
        name="stem",
    )
    for stage, blocks in enumerate(stages, start=1):
        for i, (kernel_size, expanded, filters, excite, activation, stride) in enumerate(blocks, 1):
            x = inverted_residual_block(
                x,
                expanded / planned,
                3 if minimal else kernel_size,
                round_channels(filters * width),
                stride,
                unit=unit,
                activation="relu" if minimal else activation,
                attend=quarter_excite if excite and not minimal else None,
                name=f"stage{stage}_block{i}",
            )
            planned = filters
        x = layers.Identity(name=f"stage{stage}")(x)
    x = unit(x, 6 * x.shape[-1], activation=last_activation, name="features")
    dense = layers.Dense(hidden, activation=last_activation, name="hidden")
    logits = pooled_logits(x, num_classes, pooled_layer=dense, dropout=dropout)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {
    "mobilenet_v3_large": partial(mobilenet_v3, stages=LARGE, hidden=1280),
    "mobilenet_v3_small": partial(mobilenet_v3, stages=SMALL, hidden=1024),
}
PUBLISHED_NAMES = {
    "torchvision": {
        r"(stem|features)_conv": r"features.#\1.0",
        r"(stem|features)_bn": r"features.#\1.1",
        r"(\w+)_(expand|depthwise|project)_conv": r"features.#\1.block.#\2.0",
        r"(\w+)_(expand|depthwise|project)_bn": r"features.#\1.block.#\2.1",
        r"(\w+_block\d+)_se_squeeze": r"features.#\1.block.#se.fc1",
        r"(\w+_block\d+)_se_excite": r"features.#\1.block.#se.fc2",
        "hidden": "classifier.0",
        "logits": "classifier.3",
    },
    "timm": TIMM_BLOCK_NAMES
    | {
        "(features)_conv": r"blocks.#\1.0.conv",
        "(features)_bn": r"blocks.#\1.0.bn1",
        "hidden": "conv_head",
    },
}
SAME = dict(padding="same", epsilon=1e-3)
SOURCES: Sources = {}
for size, widths in (("large", (0.75, 1.0)), ("small", (0.5, 0.75, 1.0))):
    ours = f"mobilenet_v3_{size}"
    SOURCES |= {
        f"torchvision.mobilenet_v3_{size}": (ours, {}),
        f"keras.MobileNetV3{size.title()}": (ours, SAME),
        f"timm.tf_mobilenetv3_{size}_minimal_100": (ours, dict(minimal=True, **SAME)),
    }
    for width in widths:
        timm = f"mobilenetv3_{size}_{100 * width:03.0f}"
        SOURCES[f"timm.{timm}"] = (ours, dict(width=width, epsilon=1e-5))
        SOURCES[f"timm.tf_{timm}"] = (ours, dict(width=width, **SAME))
