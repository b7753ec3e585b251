"""Cost of a network: parameters, multiply-accumulates, activations, and receptive fields."""

import dataclasses
import html
import math
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
from keras import layers

from cvcourse.layers import SparseConv2D
from cvcourse.models.graph import operations
from cvcourse.models.registry import build, known_arguments
from cvcourse.settings import chosen_dtype_policy

WEIGHTED = (
    *(layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, SparseConv2D),
    layers.Dense,
)
GLOBAL_POOLS = (
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.AdaptiveAveragePooling2D,
)
POOLS = (layers.AveragePooling2D, layers.MaxPooling2D, *GLOBAL_POOLS)
KEPT = (layers.InputLayer, *WEIGHTED, *POOLS)
SEES_ALL = (layers.Flatten, *GLOBAL_POOLS)


MAX_ROWS = 40  # of a printed table
NUMBER = re.compile(r"[\d,.]+")
GROUP = re.compile(r"mixed_[^_]*|[^_]*")  # of a layer's name: its stage or block
HEADER = ("layer", "kind", "output", "trainable", "MACs", "activations", "receptive field")
COUNTS = ("parameters", "trainable", "macs", "activations")


@dataclasses.dataclass(frozen=True)
class Row:
    """Cost of one layer; shapes without the batch, counts for one image.

    Attributes:
        name: Name of the layer.
        kind: Class of the layer.
        output_shape: Shape of the output.
        parameters: Number of weights.
        trainable: Number of trainable weights.
        macs: Multiply-accumulates.
        activations: Number of output values kept in memory: of the input, convolutions, dense
            layers and pools; 0 for other layers, which can work in place.
        receptive_field: (height, width) in pixels of the part of the image that one output value
            depends on; None for the whole image.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int
    macs: int
    activations: int
    receptive_field: tuple[int, int] | None

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table row as text, in the order of `HEADER`."""
        field = "all" if self.receptive_field is None else shape_text(self.receptive_field)
        counts = (f"{n:,}" for n in (self.trainable, self.macs, self.activations))
        return (self.name, self.kind, shape_text(self.output_shape), *counts, field)


class Cost(tuple[Row, ...]):
    """Costs of a network's layers, input first, and their sums; prints as a table.

    Attributes:
        parameters: Number of weights.
        trainable: Number of trainable weights.
        macs: Multiply-accumulates for one image.
        activations: Number of values in memory for one image.
    """

    parameters = property(lambda self: sum(row.parameters for row in self))
    trainable = property(lambda self: sum(row.trainable for row in self))
    macs = property(lambda self: sum(row.macs for row in self))
    activations = property(lambda self: sum(row.activations for row in self))

    def __repr__(self):
        return "\n".join([*aligned(self._totals()), "", *aligned(self._table())])

    def _repr_html_(self):
        rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in self._table()]
        totals = ", ".join(f"{name} {n} ({short})" for name, n, short in self._totals())
        return f"<p>{totals}</p><table><tr>{'</tr><tr>'.join(rows)}</tr></table>"

    def _totals(self):
        names = ("parameters", "trainable", "multiply-accumulates", "activations")
        counts = [getattr(self, count) for count in COUNTS]
        return [(name, f"{n:,}", rounded(n)) for name, n in zip(names, counts, strict=True)]

    def _table(self):
        """Return the table's rows as text; a long network has a row per stage."""
        rows = list(self) if len(self) <= MAX_ROWS else _stages(self)
        cells = [row.cells() for row in rows]
        if len(cells) > MAX_ROWS:
            half = MAX_ROWS // 2
            cells = [*cells[:half], ("…",) * len(HEADER), *cells[-half:]]
        return [HEADER, *cells]


def cost(model: str | keras.Model, /, **settings: Any) -> Cost:
    """Count the parameters, multiply-accumulates and activations of a network, layer by layer.

    Args:
        model: Name that `build` takes, or a functional keras.Model; the layers of models within it
            are counted one by one. For a name, no weights are allocated.
        **settings: Arguments of the builder, if `model` is a name.

    Returns:
        A Cost: a tuple of `Row`, input first, with the totals `parameters`, `trainable`, `macs` (of
        convolutions and matrix products) and `activations`. It prints as a table.

    Raises:
        ValueError: For what `build` refuses, for a model of images of any size, for a subclassed
            model, and for `settings` if `model` is built already.

    >>> cost("vgg16").macs, cost("vgg16").activations
    (15470264320, 15237608)
    """
    if isinstance(model, str):
        settings = known_arguments(model, settings)  # here: it warns of old names at this line
        # Keras keeps a list of uninitialized variables per thread, so this thread ends afterwards.
        # The dtype policy is also kept per thread, and is passed on.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(keras.config.set_dtype_policy, chosen_dtype_policy()).result()
            return thread.submit(_outlined, model, settings).result()
    if not isinstance(model, keras.Model):
        raise ValueError(f"cost takes the name of a network or a keras.Model; received {model!r}")
    if settings:
        raise ValueError(f"{model.name} is built already: {', '.join(settings)} cannot be set")
    rows: list[Row] = []
    _count(model, rows)
    return Cost(rows)


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table's lines: columns as wide as their widest cell, numbers right-aligned."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if NUMBER.fullmatch(text) else text.ljust(width)
            for text, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def shape_text(sides: Sequence[int]) -> str:
    """Return a shape as text, such as 7x7x512."""
    return "x".join(map(str, sides))


def rounded(count: int) -> str:
    """Format a count with three digits and a unit: k, M or G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _stages(rows):
    """Return a row for each stage or block of a network, found by the names of the layers."""
    keys = [_group(row) for row in rows]
    last = {key: i for i, key in enumerate(keys)}
    found, start = [], 0
    while start < len(rows):
        end = start if keys[start] is None else last[keys[start]]
        row, layers_ = rows[end], rows[start : end + 1]
        if end > start:
            counts = {count: sum(getattr(one, count) for one in layers_) for count in COUNTS}
            kind = f"{len(layers_)} layers"
            row = dataclasses.replace(row, name=keys[start], kind=kind, **counts)
        found.append(row)
        start = end + 1
    return found


def _group(row):
    """Return the stage or block of a layer; None if Keras chose its name, such as matmul_3."""
    given = row.name.rstrip("_0123456789").replace("_", "") == row.kind.lower()
    return None if given else GROUP.match(row.name)[0]


def _count(model, rows, given=()):
    """Append the rows of a model's layers; return the receptive fields of its outputs.

    `given` are those of the inputs of a model within another, whose input layers have no row.
    """
    try:
        inputs, outputs = model.inputs, model.outputs
    except (AttributeError, ValueError):  # a Sequential that has no input yet
        inputs = outputs = None
    if not inputs or not outputs:
        raise ValueError(
            f"cost takes the name of a network or a functional keras.Model; {model.name} has no "
            "graph of layers: it is a subclassed model, or a keras.Sequential without keras.Input"
        )
    if any(None in tensor.shape[1:] for tensor in inputs):
        raise ValueError(
            f"{model.name} takes images of any size, on which its cost depends: build it with "
            "input_shape, or load it with preprocessing=False"
        )
    fields = {id(tensor): field for tensor, field in zip(inputs, given, strict=False)}
    for operation, before, after in operations(model):
        if after and id(after[0]) in fields:  # an input of a model within another
            continue
        known = [fields[id(tensor)] for tensor in before]
        if isinstance(operation, keras.Model):
            found = []
            each = _count(operation, found, known)
            rows += [dataclasses.replace(r, name=f"{operation.name}/{r.name}") for r in found]
        else:
            each = [_field(operation, known)] * len(after)
            if isinstance(operation, keras.Layer) or _macs(operation, before, after):
                rows.append(_row(operation, before, after, each[0]))
        fields |= {id(tensor): field for tensor, field in zip(after, each, strict=True)}
    return [fields[id(tensor)] for tensor in outputs]


def _outlined(name, settings):
    with keras.StatelessScope(initialize_variables=False):
        return cost(build(name, **settings))


def _row(operation, inputs, outputs, field):
    shape = tuple(outputs[0].shape[1:])
    weights, trained = (getattr(operation, w, ()) for w in ("weights", "trainable_weights"))
    return Row(
        name=operation.name,
        kind=type(operation).__name__,
        output_shape=shape,
        parameters=sum(math.prod(weight.shape) for weight in weights),
        trainable=sum(math.prod(weight.shape) for weight in trained),
        macs=_macs(operation, inputs, outputs),
        activations=math.prod(shape) if isinstance(operation, KEPT) else 0,
        receptive_field=field and field[0],
    )


def _macs(operation, inputs, outputs):
    """Return the multiply-accumulates of one operation for one image."""
    if isinstance(operation, WEIGHTED):  # each kernel value is used once for each output pixel
        kernels = [v for v in operation.weights if v.name.endswith("kernel")]
        return sum(math.prod(k.shape) for k in kernels) * math.prod(outputs[0].shape[1:-1])
    if type(operation).__name__ == "Matmul":
        return math.prod(outputs[0].shape[1:]) * inputs[0].shape[-1]
    return 0


def _field(operation, fields):
    """Return receptive field and stride, ((height, width), (rows, columns)); None for the image."""
    if isinstance(operation, layers.InputLayer):
        return ((1, 1), (1, 1)) if len(operation.output.shape) == 4 else None
    if None in fields or isinstance(operation, SEES_ALL) or type(operation).__name__ == "Matmul":
        return None
    sizes, steps = zip(*fields, strict=True)
    size, step = [tuple(map(max, zip(*pairs, strict=True))) for pairs in (sizes, steps)]
    window = getattr(operation, "kernel_size", getattr(operation, "pool_size", (1, 1)))
    strides = getattr(operation, "strides", (1, 1))
    size = tuple(n + (k - 1) * s for n, k, s in zip(size, window, step, strict=True))
    return size, tuple(map(math.prod, zip(step, strides, strict=True)))
