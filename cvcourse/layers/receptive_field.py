"""Receptive fields: the pixels that a value of a map depends on.

Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
https://distill.pub/2019/computing-receptive-fields, eq. 2 and 3.
"""

import sys
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from cvcourse.layers.adaptive_average_pooling import AdaptiveAveragePooling2D
from cvcourse.layers.graph import Graph, Step, Value

GLOBAL_POOLS = (
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.AdaptiveAveragePooling2D,
    layers.AdaptiveMaxPooling2D,
    AdaptiveAveragePooling2D,
)
NORMALIZATIONS = ("LayerNormalization", "RMSNormalization", "Softmax", "UnitNormalization")
MOVES = ("Flip", "Roll", "Cumsum", "Cumprod", "Sort")  # along an axis
CONVOLUTIONS = ("Conv", "ConvTranspose", "DepthwiseConv", "SeparableConv")  # keras.ops
WIDTHS = {"nearest": 1, "bilinear": 2, "bicubic": 4, "lanczos3": 6, "lanczos5": 10}
SEES_ALL = (layers.Flatten, *GLOBAL_POOLS)
Pair = tuple[float, float]


class Field(NamedTuple):
    """Value (i, j) of a map depends on pixels `start + step * (i, j)`, and `size - 1` after these.

    Attributes:
        size: Height and width in pixels.
        step: Rows and columns of pixels from a value to the next.
        start: First row and column of the pixels of value (0, 0), negative in the padding.
        whole: Whether a value also depends on the whole image, for example by squeeze-excite. The
            other attributes are then those of the path without these global means.
    """

    size: Pair
    step: Pair
    start: Pair
    whole: bool = False


def fields(graph: Graph, image_size: tuple[int, int] | None = None) -> dict[Value, Field | None]:
    """Compute the receptive field of each value of a graph.

    Args:
        graph: Graph whose inputs of rank 4 are images (batch, h, w, c).
        image_size: Height and width of the images, for a model of images of any size. If None,
            its sides are multiples of all strides.

    Returns:
        {value: its Field}; None for values without a place in the image.
    """
    pixel = Field((1, 1), (1, 1), (0, 0))
    found: dict[Value, Field | None] = {
        value: pixel if len(value.shape) == 4 else None for value in graph.inputs.values()
    }
    shapes = _shapes(graph, image_size)
    for step in graph.steps:
        before = shapes[step.inputs[0]][1:3] if step.inputs else ()
        known = [field for value in step.inputs if (field := found[value]) is not None]
        field = _after(step, known, before, shapes[step.outputs[0]][1:3])
        found |= dict.fromkeys(step.outputs, field)
    return found


def _shapes(graph: Graph, image_size) -> dict[Value, tuple[int | None, ...]]:
    """Return the shape of each value, for images of a size if it is given."""
    values = graph.inputs.values()
    image = next(iter(values))
    shapes = {value: value.shape for value in values}
    shapes |= {value: value.shape for step in graph.steps for value in step.outputs}
    if image_size is None or len(image.shape) != 4 or None not in image.shape[1:3]:
        return shapes
    shapes[image] = (image.shape[0], *image_size, image.shape[3])
    tensors = {value: keras.KerasTensor(shapes[value]) for value in values}

    def tensor_of(argument):
        return tensors[argument] if isinstance(argument, Value) else argument

    for step in graph.steps:
        args, kwargs = keras.tree.map_structure(tensor_of, (step.args, step.kwargs))
        outputs = keras.tree.flatten(step.operation.compute_output_spec(*args, **kwargs))
        tensors |= dict(zip(step.outputs, outputs, strict=True))
    return {value: tuple(tensor.shape) for value, tensor in tensors.items()}


def _after(step: Step, known: list[Field], before, after) -> Field | None:
    """Return the field of a step's outputs; `known` are those of its inputs."""
    operation = step.operation
    if getattr(operation, "data_format", None) == "channels_first":
        raise ValueError(
            f"{step.name} has data_format='channels_first': receptive fields are of maps (n, h, w, "
            "c), keras.config.set_image_data_format('channels_last')"
        )
    if not known or len(step.outputs[0].shape) < 4 or isinstance(operation, SEES_ALL):
        return None
    moved = _window(step, before, after)
    if moved is None:
        return None
    joined = _union(known, whole=len(known) < len(step.inputs) or _mixes_places(operation))
    size, start = [], []
    for n, s, first, (kernel, _, shift) in zip(
        joined.size, joined.step, joined.start, moved, strict=True
    ):
        size.append(n + (kernel - 1) * s)
        start.append(first + shift * s)
    steps = tuple(s * stride for s, (_, stride, _) in zip(joined.step, moved, strict=True))
    return Field(tuple(size), steps, tuple(start), joined.whole)


def _mixes_places(operation) -> bool:
    """Check whether an operation joins all places of a map and keeps their order."""
    kind = type(operation).__name__
    normalizes = kind in NORMALIZATIONS and {1, 2} & _axes(operation)
    return bool(normalizes) or kind == "GroupNormalization" or "Attention" in kind


def _axes(operation) -> set[int]:
    """Return the axes of an operation on maps (n, h, w, c), also those counted from the end."""
    axis = getattr(operation, "axis", getattr(operation, "axes", -1))
    axes = range(4) if axis is None else np.ravel(axis)
    return {int(n) % 4 for n in axes}


def _union(several: list[Field], whole: bool) -> Field:
    starts = [min(pair) for pair in zip(*(field.start for field in several), strict=True)]
    ends = [
        max(first + n for first, n in pair)
        for pair in zip(*(zip(f.start, f.size, strict=True) for f in several), strict=True)
    ]
    return Field(
        tuple(end - first for first, end in zip(starts, ends, strict=True)),
        tuple(map(max, zip(*(field.step for field in several), strict=True))),
        tuple(starts),
        whole or any(field.whole for field in several),
    )


def _window(step: Step, before, after):
    """Return, for rows and columns, the window of an operation: (size, stride, first value).

    The first value may be negative, in the padding. None if values have no place in the input.
    """
    operation = step.operation
    kind = type(operation).__name__
    sides = [*zip(before, after, strict=True)]
    if kind in MOVES and {1, 2} & _axes(operation):
        return None
    if kind in ("Permute", "Transpose"):
        order = operation.dims if kind == "Permute" else (operation.axes or (0,))[1:]
        return [(1, 1, 0)] * 2 if tuple(order[:2]) == (1, 2) else None
    if kind == "CenterCrop":
        sizes = (operation.height, operation.width)
        if None in before or any(n < m for n, m in zip(before, sizes, strict=True)):
            return None
        return [(1, 1, (n - m) // 2) for n, m in zip(before, sizes, strict=True)]
    if kind == "Pad":
        widths = np.broadcast_to(operation.pad_width, (len(step.outputs[0].shape), 2))
        return [(1, 1, -int(first)) for first, _ in widths[1:3]]
    if kind == "ZeroPadding2D":
        return [(1, 1, -first) for first, _ in operation.padding]
    if kind == "Cropping2D":
        return [(1, 1, first) for first, _ in operation.cropping]
    if kind == "GetItem":
        return _slices(step.args[1], before)
    if kind in ("Resize", "Resizing", "UpSampling2D"):
        return _resized(operation, sides)
    kernel = getattr(operation, "kernel_size", getattr(operation, "pool_size", None))
    if kind in CONVOLUTIONS:
        kernel = step.args[1].shape[:2]
    if kernel is None:  # element by element, or a mean of all
        return [(1, 1, 0)] * 2 if all(n == m for n, m in sides) else None
    kernel = _pair(kernel)
    strides = _pair(getattr(operation, "strides", 1) or kernel)
    dilations = _pair(getattr(operation, "dilation_rate", 1))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    padding = getattr(operation, "padding", "valid")
    if "Transpose" in kind:
        return [_transposed(k, s, padding) for k, s in zip(reach, strides, strict=True)]
    first = [0, 0]
    if hasattr(operation, "pad"):
        first = [widths[0] for widths in operation.pad]
    elif padding == "same":
        first = [_same(k, s, *pair) for k, s, pair in zip(reach, strides, sides, strict=True)]
    return [(k, s, -n) for k, s, n in zip(reach, strides, first, strict=True)]


def _same(kernel, stride, before, after):
    """Return the padding before the first value of "same"; a side of any length is a multiple."""
    total = kernel - stride if before is None else (after - 1) * stride + kernel - before
    return max(total, 0) // 2


def _slices(key, sides):
    """Return the windows of x[key], for a key of slices along rows and columns of `sides`."""
    key = key if isinstance(key, tuple) else (key,)
    if Ellipsis in key:
        place = key.index(Ellipsis)
        key = (*key[:place], *(slice(None),) * (5 - len(key)), *key[place + 1 :])
    rows_and_columns = (*key, *(slice(None),) * 3)[1:3]
    windows = []
    for part, side in zip(rows_and_columns, sides, strict=True):
        if not isinstance(part, slice) or (part.step or 1) < 0:
            return None
        if side is None and (part.start or 0) < 0:
            return None
        first, _, step = part.indices(sys.maxsize if side is None else side)
        windows.append((1, step, first))
    return windows


def _resized(operation, sides):
    """Return the windows of a resizing, whose pixels have their coordinates at their centers."""
    cut = [0.0, 0.0]
    if type(operation).__name__ == "UpSampling2D":
        scales = [1 / n for n in operation.size]
    elif None in (n for pair in sides for n in pair):
        sides, scales = [(0, 0)] * 2, [1.0, 1.0]
    else:
        scales = [before / after for before, after in sides]
    choose = {"crop_to_aspect_ratio": min, "pad_to_aspect_ratio": max}
    for choice in [name for name in choose if getattr(operation, name, False)]:
        scales = [choose[choice](scales)] * 2
        cut = [(n - m * s) / 2 for (n, m), s in zip(sides, scales, strict=True)]
    width = WIDTHS[getattr(operation, "interpolation", "nearest")]
    antialias = getattr(operation, "antialias", False)
    windows = []
    for scale, first in zip(scales, cut, strict=True):
        size = width * max(1, scale) if antialias and width > 1 else width
        windows.append((size, scale, first + (scale - size) / 2))
    return windows


def _transposed(reach, stride, padding):
    """Return the window of a transposed convolution: the middle of those of `stride` values."""
    size = -(-reach // stride)
    cut = max(reach - stride, 0) // 2 if padding == "same" else 0
    return size, 1 / stride, (cut - (reach - 1) / 2) / stride - (size - 1) / 2


def _pair(n):
    return (n, n) if isinstance(n, int) else tuple(n)
