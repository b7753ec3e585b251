"""SENet: squeeze a map to one value a channel, and let those values say how much each counts.

Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, https://arxiv.org/abs/1709.01507.
"""

from functools import partial

from keras import layers

from cvcourse.models.convolution import round_channels
from cvcourse.models.resnet import DEPTHS, resnet

MINIMUM_SIZE = 32  # that of the ResNet around the blocks


def squeeze_excite(x, channels=None, *, activation="relu", gate="sigmoid", name):
    """Each channel of `x` times a gate that all channels' means decide: (h, w, c) -> the same.

    `channels` is the width between the two dense layers, a sixteenth of c if not given (table 10).
    """
    channels = channels or round_channels(x.shape[-1] / 16)
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    y = layers.Dense(channels, activation=activation, name=f"{name}_squeeze")(y)
    y = layers.Dense(x.shape[-1], activation=gate, name=f"{name}_excite")(y)
    return layers.Multiply(name=name)([x, y])


VARIANTS = {
    "se_resnet50": partial(resnet, **DEPTHS["50"], attend=squeeze_excite),  # table 1
}
SOURCES = {  # with resnet's names
    f"timm.seresnet{depth}": ("se_resnet50", settings) for depth, settings in DEPTHS.items()
} | {
    f"timm.seresnext{depth}_{groups}x{width}d": (
        "se_resnet50",
        dict(**DEPTHS[depth], groups=groups, width_per_group=width),
    )
    for depth, groups, width in (("50", 32, 4), ("101", 32, 4), ("101", 32, 8), ("101", 64, 4))
}
