"""Cost of a network: parameters, multiply-accumulates, activations, and receptive fields."""

import dataclasses
import html
import math
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras

from cvcourse.layers.receptive_field import fields
from cvcourse.layers.step_cost import activations, fixed_graph, macs
from cvcourse.models.registry import build, known_arguments
from cvcourse.settings import chosen_dtype_policy

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
        return without_weights(cost, model, settings)
    if not isinstance(model, keras.Model):
        raise ValueError(f"cost takes the name of a network or a keras.Model; received {model!r}")
    if settings:
        raise ValueError(f"{model.name} is built already: {', '.join(settings)} cannot be set")
    return Cost(_rows(model))


def without_weights(count: Callable[[keras.Model], Any], name: str, settings: dict) -> Any:
    """Call a function with a network of the registry whose weights are not allocated.

    Args:
        count: Function (keras.Model) -> result, which reads no weights.
        name: Name that `build` takes.
        settings: Arguments of the builder.

    Returns:
        The function's result.
    """

    def call():
        with keras.StatelessScope(initialize_variables=False):
            return count(build(name, **settings))

    # Keras keeps a list of uninitialized variables per thread, so this thread ends afterwards.
    # The dtype policy is also kept per thread, and is passed on.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(keras.config.set_dtype_policy, chosen_dtype_policy()).result()
        return thread.submit(call).result()


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


def _rows(model):
    """Yield the rows of a model's layers, input first; within a model in it, "model/layer"."""
    graph = fixed_graph(model)
    field = fields(graph)
    for name, value in graph.inputs.items():
        yield _row(name, "InputLayer", value, field[value], activations=math.prod(value.shape[1:]))
    counted = set()
    for step in graph.steps:
        operation, output = step.operation, step.outputs[0]
        count = macs(step)
        if not isinstance(operation, keras.Layer) and not count:
            continue
        weights, trained = (
            sum(math.prod(weight.shape) for weight in getattr(operation, kind, ()))
            for kind in ("weights", "trainable_weights")
        )
        again = id(operation) in counted  # a shared layer
        counted.add(id(operation))
        yield _row(
            step.name,
            type(operation).__name__,
            output,
            field[output],
            parameters=0 if again else weights,
            trainable=0 if again else trained,
            macs=count,
            activations=activations(step),
        )


def _row(name, kind, output, field, *, parameters=0, trainable=0, macs=0, activations=0):
    seen = None if field is None or field.whole else tuple(math.ceil(n) for n in field.size)
    shape = tuple(output.shape[1:])
    return Row(name, kind, shape, parameters, trainable, macs, activations, seen)
