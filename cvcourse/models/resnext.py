"""ResNeXt: the 3x3 convolution of a bottleneck is replaced by many thin ones in parallel.

Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017,
https://arxiv.org/abs/1611.05431. The 3x3 has groups ("cardinality"), as in figure 3c; the rest is
in resnet.py.
"""

from functools import partial

from cvcourse.models.resnet import resnet
from cvcourse.models.sources import Sources

VARIANTS = {  # groups x channels of each at stage 1: tables 1 and 3, section 5.3
    "resnext50_32x4d": partial(resnet, depths=(3, 4, 6, 3), groups=32, width_per_group=4),
    "resnext101_32x8d": partial(resnet, depths=(3, 4, 23, 3), groups=32, width_per_group=8),
    "resnext101_64x4d": partial(resnet, depths=(3, 4, 23, 3), groups=64, width_per_group=4),
    "resnext29_8x64d": partial(
        resnet,
        depths=(3, 3, 3),
        groups=8,
        width_per_group=64,
        stem="3x3",
        input_shape=(32, 32, 3),
        num_classes=10,
    ),
}
# Stages and the ImageNet stem halve the map: five times, twice on CIFAR.
MINIMUM_SIZE = dict.fromkeys(VARIANTS, 32) | {"resnext29_8x64d": 4}
SOURCES: Sources = {  # with resnet's names
    f"{source}.{name}": (name, {})
    for source in ("torchvision", "timm")
    for name in VARIANTS
    if name != "resnext29_8x64d"
} | {
    f"timm.resnext101_32x{width}d": ("resnext101_32x8d", {"width_per_group": width})
    for width in (4, 16, 32)
}
