"""Receptive fields: the pixels that a value of a map depends on.

Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
https://distill.pub/2019/computing-receptive-fields, eq. 2 and 3.
"""

from typing import NamedTuple

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
        image_size: Height and width of the images, for a model of any size that resizes them.

    Returns:
        {value: its Field}; None for values without a place in the image.
    """
    pixel = Field((1, 1), (1, 1), (0, 0))
    found: dict[Value, Field | None] = {
        value: pixel if len(value.shape) == 4 else None for value in graph.inputs.values()
    }
    sides: tuple[int | None, ...]
    resized = False
    for step in graph.steps:
        kind = type(step.operation).__name__
        if kind in ("Resize", "Resizing") and image_size and not resized:
            sides, resized = tuple(image_size), True
        else:
            sides = step.inputs[0].shape[1:3] if step.inputs else ()
        known = [field for value in step.inputs if (field := found[value]) is not None]
        found |= dict.fromkeys(step.outputs, _after(step, known, sides))
    return found


def _after(step: Step, known: list[Field], sides) -> Field | None:
    """Return the field of a step's outputs; `known` are those of its inputs, of `sides`."""
    output = step.outputs[0]
    if not known or len(output.shape) != 4 or isinstance(step.operation, SEES_ALL):
        return None
    joined = _union(known, whole=len(known) < len(step.inputs))
    moved = _window(step, sides, output.shape[1:3])
    if moved is None:
        return None
    size, start = [], []
    for n, s, first, (kernel, _, shift) in zip(
        joined.size, joined.step, joined.start, moved, strict=True
    ):
        size.append(n + (kernel - 1) * s)
        start.append(first + shift * s)
    steps = tuple(s * stride for s, (_, stride, _) in zip(joined.step, moved, strict=True))
    return Field(tuple(size), steps, tuple(start), joined.whole)


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
    if kind == "Pad":
        return [(1, 1, -operation.pad_width[axis][0]) for axis in (1, 2)]
    if kind == "ZeroPadding2D":
        return [(1, 1, -first) for first, _ in operation.padding]
    if kind == "Cropping2D":
        return [(1, 1, first) for first, _ in operation.cropping]
    if kind == "GetItem":
        return _slices(step.args[1])
    if kind in ("Resize", "Resizing", "UpSampling2D"):
        return _resized(operation, sides)
    kernel = getattr(operation, "kernel_size", getattr(operation, "pool_size", None))
    if kernel is None:  # element by element, or a mean of all
        return [(1, 1, 0)] * 2 if all(n == m for n, m in sides) else None
    strides = getattr(operation, "strides", (1, 1))
    dilations = getattr(operation, "dilation_rate", (1, 1))
    dilations = (dilations,) * 2 if isinstance(dilations, int) else dilations
    if "Transpose" in kind:
        return [_transposed(k, s) for k, s in zip(kernel, strides, strict=True)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    first = [0, 0]
    if hasattr(operation, "pad"):
        first = [widths[0] for widths in operation.pad]
    elif getattr(operation, "padding", "valid") == "same":
        first = [_same(k, s, *pair) for k, s, pair in zip(reach, strides, sides, strict=True)]
    return [(k, s, -n) for k, s, n in zip(reach, strides, first, strict=True)]


def _same(kernel, stride, before, after):
    """Return the padding before the first value of "same"; a side of any length is a multiple."""
    total = kernel - stride if before is None else (after - 1) * stride + kernel - before
    return max(total, 0) // 2


def _slices(key):
    """Return the windows of x[key], for a key of slices along rows and columns."""
    key = key if isinstance(key, tuple) else (key,)
    if Ellipsis in key:
        place = key.index(Ellipsis)
        key = (*key[:place], *(slice(None),) * (5 - len(key)), *key[place + 1 :])
    rows, columns = (*key, *(slice(None),) * 3)[1:3]
    if not isinstance(rows, slice) or not isinstance(columns, slice):
        return None
    if any((s.start or 0) < 0 or (s.step or 1) < 0 for s in (rows, columns)):
        return None
    return [(1, s.step or 1, s.start or 0) for s in (rows, columns)]


def _resized(operation, sides):
    """Return the windows of a resizing, whose pixels have their coordinates at their centers."""
    if type(operation).__name__ == "UpSampling2D":
        scales = [1 / n for n in operation.size]
    elif None in (n for pair in sides for n in pair):
        scales = [1, 1]
    else:
        scales = [before / after for before, after in sides]
    cut = [0.0, 0.0]
    if getattr(operation, "crop_to_aspect_ratio", False):
        scales = [min(scales)] * 2
        cut = [(n - m * s) / 2 for (n, m), s in zip(sides, scales, strict=True)]
    smooth = getattr(operation, "interpolation", "nearest") != "nearest"
    antialias = getattr(operation, "antialias", False)
    windows = []
    for scale, first in zip(scales, cut, strict=True):
        size = max(2, 2 * scale if antialias else 2) if smooth else 1
        windows.append((size, scale, first + (scale - size) / 2))
    return windows


def _transposed(kernel, stride):
    """Return the window of a transposed convolution."""
    size = -(-kernel // stride)
    return (size, 1 / stride, (1 / stride - size) / 2)
