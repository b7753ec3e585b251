"""SENet: average each channel to one value, and scale the channels by gates computed from these.

Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, https://arxiv.org/abs/1709.01507.
"""

from functools import partial

from keras import layers

from cvcourse.models.convolution import round_channels
from cvcourse.models.resnet import DEPTHS, resnet
from cvcourse.models.sources import Sources

MINIMUM_SIZE = 32  # halved five times


def squeeze_excite(x, channels=None, *, activation="relu", gate="sigmoid", name):
    """Each channel of `x` times a gate computed from all channels' means: (h, w, c) -> (h, w, c).

    `channels` is the width between the two dense layers. Defaults to c / 16 (table 10).
    """
    channels = channels or round_channels(x.shape[-1] / 16)
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    y = layers.Dense(channels, activation=activation, name=f"{name}_squeeze")(y)
    y = layers.Dense(x.shape[-1], activation=gate, name=f"{name}_excite")(y)
    return layers.Multiply(name=name)([x, y])


VARIANTS = {
    "se_resnet50": partial(resnet, **DEPTHS["50"], attend=squeeze_excite),  # table 1
}
SOURCES: Sources = {  # with resnet's names
    f"timm.seresnet{depth}": ("se_resnet50", settings) for depth, settings in DEPTHS.items()
} | {
    f"timm.seresnext{depth}_{groups}x{width}d": (
        "se_resnet50",
        dict(**DEPTHS[depth], groups=groups, width_per_group=width),
    )
    for depth, groups, width in (("50", 32, 4), ("101", 32, 4), ("101", 32, 8), ("101", 64, 4))
}
