"""Inception-v3: large kernels factored into small ones, and into rows and columns.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
https://arxiv.org/abs/1512.00567. Names and widths are those of TF-slim's release, which departs
from the paper's table 1.
"""

import keras
from keras import layers

from cvcourse.errors import pick
from cvcourse.layers import PadTo
from cvcourse.models.convolution import bn_relu, conv, conv_relu, max_pool, pooled_logits
from cvcourse.models.sources import Sources

MINIMUM_SIZE = 75  # leaves mixed_7a 3x3 pixels for its strided kernel

STEM = {  # filters, kernel, stride, padding; () is a max pool
    "conv2d_1a_3x3": (32, 3, 2, "valid"),
    "conv2d_2a_3x3": (32, 3, 1, "valid"),
    "conv2d_2b_3x3": (64, 3, 1, "same"),
    "maxpool_3a_3x3": (),
    "conv2d_3b_1x1": (80, 1, 1, "valid"),
    "conv2d_4a_3x3": (192, 3, 1, "valid"),
    "stem": (),
}

# A module is a dict of branches, each a sequence of convolutions: (filters, kernel), or (filters,
# kernel, 2) with stride 2 and no padding; a tuple of two convolutions is a fork. "pool" is a mean
# pool and a convolution, or, if empty, a strided max pool.


def figure_5(pooled):
    """A 5x5 kernel as two 3x3s, on 35x35 maps; the released nets keep one 5x5."""
    return {
        "1x1": ((64, 1),),
        "5x5": ((48, 1), (64, 5)),
        "3x3dbl": ((64, 1), (96, 3), (96, 3)),
        "pool": ((pooled, 1),),
    }


def figure_6(inner):
    """A 7x7 kernel as a row and a column, once and twice, on 17x17 maps."""
    row, column = (1, 7), (7, 1)
    return {
        "1x1": ((192, 1),),
        "7x7": ((inner, 1), (inner, row), (192, column)),
        "7x7dbl": ((inner, 1), (inner, column), (inner, row), (inner, column), (192, row)),
        "pool": ((192, 1),),
    }


def figure_7():
    """A 3x3 kernel as a row beside a column, on 8x8 maps."""
    fork = ((384, (1, 3)), (384, (3, 1)))
    return {
        "1x1": ((320, 1),),
        "3x3": ((384, 1), fork),
        "3x3dbl": ((448, 1), (384, 3), fork),
        "pool": ((192, 1),),
    }


MODULES = {
    "mixed_5b": figure_5(32),
    "mixed_5c": figure_5(64),
    "mixed_5d": figure_5(64),
    "mixed_6a": {  # figure 10
        "3x3": ((384, 3, 2),),
        "3x3dbl": ((64, 1), (96, 3), (96, 3, 2)),
        "pool": (),
    },
    "mixed_6b": figure_6(128),
    "mixed_6c": figure_6(160),
    "mixed_6d": figure_6(160),
    "mixed_6e": figure_6(192),
    "mixed_7a": {
        "3x3": ((192, 1), (320, 3, 2)),
        "7x7x3": ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)),
        "pool": (),
    },
    "mixed_7b": figure_7(),
    "mixed_7c": figure_7(),
}


def module(x, branches, *, unit, mean, name):
    """Branches in parallel: (h, w, c) -> (h, w, sum of their filters), or half the size."""
    ends = []
    for branch, steps in branches.items():
        y, prefix = x, f"{name}_{branch}"
        if branch == "pool":
            y = mean(y, *steps[0], name=prefix) if steps else max_pool(y, 3, 2, name=prefix)
            steps = ()
        for i, step in enumerate(steps, start=1):
            y = convolve(y, step, unit=unit, name=f"{prefix}_{i}" if len(steps) > 1 else prefix)
        ends.append(y)
    return layers.Concatenate(name=name)(ends)


def convolve(x, step, *, unit, name):
    """One step of a branch: a convolution, or two side by side."""
    if isinstance(step[0], tuple):
        ends = [unit(x, *fork, name=name + side) for fork, side in zip(step, "ab", strict=True)]
        return layers.Concatenate(name=name)(ends)
    return unit(x, *step, padding="valid" if len(step) > 2 else "symmetric", name=name)


def mean_unit(x, filters, size, *, norm, count_include_pad, name):
    """3x3 mean pool, convolution, batch norm and ReLU: (h, w, c) -> (h, w, filters).

    The 1x1 convolution comes first: convolution and mean commute, and fewer channels are left to
    average. With gradients, 16 maps of 8x8x2048 took 55 ms instead of 72 on 2 CPU cores, and 16
    maps of 35x35x288 took 28 ms instead of 39.
    """
    settings = dict(use_bias=False, kernel_initializer="he_uniform")
    x = conv(x, filters, size, **settings, name=f"{name}_conv")
    if count_include_pad:
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    padding = "valid" if count_include_pad else "same"
    x = layers.AveragePooling2D(3, 1, padding=padding, name=f"{name}_mean")(x)
    return bn_relu(x, name=name, **norm)


def auxiliary_head(x, num_classes, *, unit):
    """Auxiliary classifier on the last 17x17 map, for stronger gradients: -> `aux_logits`.

    For small images, maps smaller than a kernel are padded with zeros.
    """
    x = PadTo(5, name="aux_mean_pad")(x)
    x = layers.AveragePooling2D(5, 3, name="aux_mean")(x)
    x = unit(x, 128, name="aux_conv0")
    x = PadTo(5, name="aux_conv1_pad")(x)
    x = unit(x, 768, 5, padding="valid", name="aux_conv1")
    x = layers.GlobalAveragePooling2D(name="aux_pool")(x)
    return layers.Dense(num_classes, dtype="float32", name="aux_logits")(x)


def inception_v3(
    *,
    modules=tuple(MODULES),
    aux=False,
    width=1.0,
    scale=True,
    count_include_pad=True,
    dropout=0.5,
    input_shape=(299, 299, 3),
    num_classes=1000,
    name="inception_v3",
):
    """A stem and Inception modules with factored kernels.

    Args:
        modules: Names of the modules, in order.
        aux: Whether the net has an auxiliary classifier, after mixed_6e.
        width: Factor for the filters.
        scale: Whether batch norm has a scale; sources of weights differ.
        count_include_pad: Whether mean pools at the border count the zeros around the map; sources
            of weights differ.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes), or with `aux` ->
        a dict of logits and aux_logits. `features` is (8, 8, 2048) at the usual size.

    Raises:
        ValueError: For an unknown module.
    """
    norm = dict(epsilon=1e-3, scale=scale)

    def unit(x, filters, *kernel, **settings):
        settings |= dict(use_bias=False, norm=norm)
        return conv_relu(x, int(filters * width), *kernel, **settings)

    def mean(x, filters, *kernel, **settings):
        settings |= dict(norm=norm, count_include_pad=count_include_pad)
        return mean_unit(x, int(filters * width), *kernel, **settings)

    inputs = x = keras.Input(input_shape, name="image")
    for name_, step in STEM.items():
        if step:
            x = unit(x, *step[:3], padding=step[3], name=name_)
        else:
            x = max_pool(x, 3, 2, name=name_)
    aux = aux and num_classes is not None
    outputs = {}
    for name_ in modules:
        x = module(x, pick("module", name_, MODULES), unit=unit, mean=mean, name=name_)
        if aux and name_ == "mixed_6e":
            outputs["aux_logits"] = auxiliary_head(x, num_classes, unit=unit)
    x = layers.Identity(name="features")(x)
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, {"logits": logits, **outputs} if aux else logits, name=name)


VARIANTS = {"inception_v3": inception_v3}
PUBLISHED_NAMES = {
    "torchvision timm": {
        r"conv2d_(\w+)_(conv|bn)": r"Conv2d_\1.\2",
        r"mixed_(\d\w)_pool_(conv|bn)": r"Mixed_\1.branch_pool.\2",
        r"mixed_(\d\w)_(\w+)_(conv|bn)": r"Mixed_\1.branch\2.\3",
        r"aux_(conv\d)_(conv|bn)": r"AuxLogits.\1.\2",
        "aux_logits": "AuxLogits.fc",
        "logits": "fc",
    }
}
SOURCES: Sources = {
    "torchvision.inception_v3": ("inception_v3", {"aux": True}),
    "torchvision.inception_v3_noaux": ("inception_v3", {}),
    "timm.inception_v3": ("inception_v3", {}),
    "keras.inception_v3": ("inception_v3", {"scale": False, "count_include_pad": False}),
}
