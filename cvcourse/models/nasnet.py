"""NASNet: search for a cell on small images, then stack it for large ones.

Zoph, Vasudevan, Shlens & Le, "Learning Transferable Architectures for Scalable Image Recognition",
CVPR 2018, https://arxiv.org/abs/1707.07012. Details that the paper leaves open are those of its
release: https://github.com/tensorflow/models/tree/master/research/slim/nets/nasnet.
"""

from functools import cache, partial

import keras
from keras import layers

from cvcourse.errors import pick
from cvcourse.layers import AveragePooling2D, ScheduledDropPath
from cvcourse.models.convolution import activate, batch_norm, conv, conv_bn, pooled_logits
from cvcourse.models.sources import Sources

MINIMUM_SIZE = {"nasnet_mobile": 32, "nasnet_large": 32, "nasnet_cifar": 4}  # halved 5 or 2 times

# A cell is five sums of two operations. An operand is "h", the output of the previous cell, "p",
# the output of the cell before that, or the number of an earlier sum. NASNet-A, figure 4.
NORMAL = (
    (("h", "sep5"), ("p", "sep3")),
    (("p", "sep5"), ("p", "sep3")),
    (("h", "avg3"), ("p", "skip")),
    (("p", "avg3"), ("p", "avg3")),
    (("h", "sep3"), ("h", "skip")),
)
REDUCTION = (
    (("h", "sep5"), ("p", "sep7")),
    (("h", "max3"), ("p", "sep7")),
    (("h", "avg3"), ("p", "sep5")),
    ((1, "skip"), (0, "avg3")),
    ((0, "sep3"), ("h", "max3")),
)
CELLS = {  # kind: sums, stride of the operations on h and p, operands that are concatenated
    "stem": (REDUCTION, 2, (1, 2, 3, 4)),
    "normal": (NORMAL, 1, ("p", 0, 1, 2, 3, 4)),
    "reduction": (REDUCTION, 2, (1, 2, 3, 4)),
}
STEMS = {"imagenet": dict(stride=2, padding="valid"), "cifar": {}}  # of the first convolution
# The release's variance, but uniform, which is drawn four times as fast as truncated normal. A
# dict, so that each layer makes its own initializer: one instance would return equal numbers.
FAN_OUT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"},
}


def layout(repeats, filters, stem):
    """Yield the cells in order: (kind, filters, name, name of the tap after it or None)."""
    if stem == "imagenet":
        yield "stem", filters // 4, "stem_cell1", None
        yield "stem", filters // 2, "stem_cell2", "stem"
    for stage in (1, 2, 3):
        width = filters * 2 ** (stage - 1)
        if stage > 1:
            yield "reduction", width, f"stage{stage}_reduction", None
        for i in range(1, repeats + 1):
            tap = f"stage{stage}" if i == repeats else None
            yield "normal", width, f"stage{stage}_cell{i}", tap


def cell(x, before, filters, kind, *, halve, norm, operate, name):
    """One cell of CELLS: (h, w, c) -> (h/stride, w/stride, filters times the number of outputs).

    `before` is the input of the cell that computed `x`, None for the first cell; `halve` is True if
    `before` is twice as large as `x`. `operate` is the function below with its other settings.
    """

    @cache
    def relu(operand):
        return activate(operands[operand], "relu", name=f"{name}_relu_{operand}")

    sums, stride, outputs = CELLS[kind]
    operands = {"p": x}
    if before is not None:
        resize = halved if halve else relu_conv_bn
        operands["p"] = resize(before, filters, norm=norm, name=f"{name}_p")
    operands["h"] = relu_conv_bn(x, filters, norm=norm, name=f"{name}_h")
    for i, pair in enumerate(sums):
        paths = [
            operate(
                relu(operand) if operation.startswith("sep") else operands[operand],
                operation,
                filters,
                stride if operand in ("h", "p") else 1,
                norm=norm,
                name=f"{name}_sum{i}_{side}",
            )
            for side, (operand, operation) in zip(("left", "right"), pair, strict=True)
        ]
        operands[i] = layers.Add(name=f"{name}_sum{i}")(paths)
    if "p" in outputs:
        operands["p"] = fit(operands["p"], filters, norm=norm, name=f"{name}_p_fit")
    return layers.Concatenate(name=name)([operands[output] for output in outputs])


def operate(x, operation, filters, stride, *, norm, zero_padded_pools, drop_path, steps, name):
    """One operation of a cell, "sep5", "avg3", …: (h, w, c) -> (h/stride, w/stride, filters).

    Separable convolutions need `x` after a ReLU.
    """
    if operation == "skip":
        return x if x.shape[-1] == filters else relu_conv_bn(x, filters, norm=norm, name=name)
    kind, size = operation[:-1], int(operation[-1])
    if kind == "sep":
        x = separable(x, filters, size, stride, norm=norm, name=name)
    else:
        zero_padded = stride > 1 and kind in zero_padded_pools
        x = pool(x, kind, size, stride, zero_padded=zero_padded, name=name)
        x = fit(x, filters, norm=norm, name=f"{name}_fit")
    return ScheduledDropPath(drop_path, steps, name=f"{name}_drop_path")(x) if drop_path else x


def separable(x, filters, size, stride, *, norm, name):
    """Depthwise and 1x1 convolution and batch norm, twice, with a ReLU between (appendix A.4)."""
    for i, step in enumerate((stride, 1), start=1):
        x = activate(x, "relu" if i > 1 else None, name=f"{name}_relu")
        x = layers.SeparableConv2D(
            filters,
            size,
            step,
            padding="same",
            use_bias=False,
            depthwise_initializer=FAN_OUT,
            pointwise_initializer=FAN_OUT,
            name=f"{name}_sep{i}",
        )(x)
        x = batch_norm(x, name=f"{name}_bn{i}", **norm)
    return x


def pool(x, kind, size, stride, *, zero_padded, name):
    """Pool by "avg" or "max". Zero padding counts as pixels, the padding of "same" does not."""
    padding = "same"
    if zero_padded:
        if None in x.shape[1:3]:
            raise ValueError("zero_padded_pools needs an input_shape with height and width")
        widths = [(size // 2 - 1 + side % 2, size // 2) for side in x.shape[1:3]]
        x, padding = layers.ZeroPadding2D(widths, name=f"{name}_pad")(x), "valid"
    kinds = {"avg": AveragePooling2D, "max": layers.MaxPooling2D}
    return kinds[kind](size, stride, padding=padding, name=f"{name}_pool")(x)


def fit(x, filters, *, norm, name):
    """Return `x` if it has `filters` channels, else its 1x1 convolution."""
    if x.shape[-1] == filters:
        return x
    return conv_bn(x, filters, kernel_initializer=FAN_OUT, norm=norm, name=name)


def relu_conv_bn(x, filters, *, norm, name):
    """ReLU, 1x1 convolution, batch norm: (h, w, c) -> (h, w, filters)."""
    x = activate(x, "relu", name=f"{name}_relu")
    return conv_bn(x, filters, kernel_initializer=FAN_OUT, norm=norm, name=name)


def halved(x, filters, *, norm, name):
    """1x1 convolutions of even and of odd pixels, half the filters each: -> (h/2, w/2, filters)."""
    x = activate(x, "relu", name=f"{name}_relu")
    shifted = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    shifted = layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}_shifted")(shifted)
    paths = [
        conv(
            path,
            filters // 2,
            1,
            2,
            use_bias=False,
            kernel_initializer=FAN_OUT,
            name=f"{name}_path{i}",
        )
        for i, path in enumerate((x, shifted), start=1)
    ]
    x = layers.Concatenate(name=f"{name}_paths")(paths)
    return batch_norm(x, name=f"{name}_paths_bn", **norm)


def nasnet(
    *,
    repeats,
    penultimate_filters,
    stem="imagenet",
    stem_filters=32,
    skip_reduction_input=False,
    zero_padded_pools=(),
    drop_path=0.0,
    drop_path_steps=250_000,
    momentum=0.9997,
    epsilon=1e-3,
    dropout=0.5,
    input_shape=(224, 224, 3),
    num_classes=1000,
    name="nasnet",
):
    """NASNet-A (`repeats` @ `penultimate_filters`), the paper's N @ P: three stages of N cells.

    Args:
        repeats: Number of normal cells of each stage, the paper's N.
        penultimate_filters: Channels of the last map, the paper's P, a multiple of 24.
        stem: "imagenet", with two reduction cells, or "cifar".
        stem_filters: Filters of the first convolution.
        skip_reduction_input: Whether the cell after a reduction takes, as its second input, the map
            before the reduction's input instead of that input.
        zero_padded_pools: Strided pools ("avg", "max") that count zeros around the map, as in Keras
            and timm; none do in the release.
        drop_path: Rate at which the last cell's operations are dropped in training, for each image.
            It grows linearly with the cell's depth and over `drop_path_steps` (ScheduledDropPath:
            section 4 and appendix A.5).
        drop_path_steps: Training steps over which `drop_path` grows from 0; the whole training in
            the release.
        momentum: Momentum of batch norm.
        epsilon: Epsilon of batch norm.
        dropout: Dropout rate before the logits.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes; None ends the net at `features`.
        name: Name of the model.

    Returns:
        An uncompiled keras.Model (batch, h, w, c) -> logits (batch, num_classes). `features` is
        (h/32, w/32, P), or (h/4, w/4, P) with the "cifar" stem.

    Raises:
        ValueError: If P is not a multiple of 24, for an unknown stem, or for `zero_padded_pools`
            without a height and a width.
    """
    stem_form = pick("stem", stem, STEMS)
    if penultimate_filters % 24:
        raise ValueError(
            f"the last cell concatenates six maps of four times the filters of the first: "
            f"penultimate_filters is a multiple of 24; received {penultimate_filters}"
        )
    norm = dict(momentum=momentum, epsilon=epsilon)
    settings = dict(zero_padded_pools=zero_padded_pools, steps=drop_path_steps)
    inputs = keras.Input(input_shape, name="image")
    stem_form = dict(kernel_initializer=FAN_OUT, norm=norm, **stem_form)
    x = conv_bn(inputs, stem_filters, 3, name="stem", **stem_form)
    if stem == "cifar":
        x = layers.Identity(name="stem")(x)
    before, halve = None, False
    cells = list(layout(repeats, penultimate_filters // 24, stem))
    for i, (kind, filters, cell_name, tap) in enumerate(cells, start=1):
        y = cell(
            x,
            before,
            filters,
            kind,
            halve=halve,
            norm=norm,
            operate=partial(operate, drop_path=drop_path * i / len(cells), **settings),
            name=cell_name,
        )
        if not (kind == "reduction" and skip_reduction_input):
            before = x
        x = layers.Identity(name=tap)(y) if tap else y
        halve = kind != "normal"
    x = activate(x, "relu", name="features")
    logits = pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(inputs, logits, name=name)


VARIANTS = {  # table 2, section 4.1; the rest is from the release, which keeps 0.6 and 0.7 of paths
    "nasnet_mobile": partial(nasnet, repeats=4, penultimate_filters=1056),
    "nasnet_large": partial(
        nasnet,
        repeats=6,
        penultimate_filters=4032,
        stem_filters=96,
        skip_reduction_input=True,
        drop_path=0.3,
        input_shape=(331, 331, 3),
    ),
    "nasnet_cifar": partial(
        nasnet,
        repeats=6,
        penultimate_filters=768,
        stem="cifar",
        stem_filters=96,
        drop_path=0.4,
        drop_path_steps=937_500,
        momentum=0.9,
        epsilon=1e-5,
        dropout=0.0,
        input_shape=(32, 32, 3),
        num_classes=10,
    ),
}
TIMM_CELLS = {
    r"stem_(cell\d)": r"cell_stem_#\1",
    r"stage(\d)_reduction": r"reduction_cell_#\1",
    r"stage(\d_cell\d+)": r"cell_#\1",
}
TIMM_PARTS = {
    r"h_(conv|bn)": r"conv_1x1.\2",
    r"p_(conv|bn)": r"conv_prev_1x1.\2",
    r"p_path(\d)": r"path_\2.conv",
    r"p_paths_bn": r"final_path_bn",
    r"sum(\d)_(\w+)_sep(\d)\.(depth|point)wise_kernel": (
        r"comb_iter_\2_\3.separable_\4.\5wise_conv2d.weight"
    ),
    r"sum(\d)_(\w+)_bn(\d)": r"comb_iter_\2_\3.bn_sep_\4",
}
PUBLISHED_NAMES = {
    "timm": {r"stem_(conv|bn)": r"conv0.\1", "logits": "last_linear"}
    | {
        f"{cell}_{part}": f"{TIMM_CELLS[cell]}.{TIMM_PARTS[part]}"
        for cell in TIMM_CELLS
        for part in TIMM_PARTS
    }
}
SOURCES: Sources = {
    "timm.nasnetalarge": ("nasnet_large", dict(zero_padded_pools=("avg",))),
    "keras.nasnet_mobile": ("nasnet_mobile", dict(zero_padded_pools=("avg", "max"))),
    "keras.nasnet_large": ("nasnet_large", dict(zero_padded_pools=("avg", "max"))),
}
