"""Numbers that each layer of a network reads, computes and writes for one image."""

import dataclasses
import math

import keras

from cvcourse.layers.step_cost import activations, fixed_graph, macs, size


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Work and traffic of one layer for one image.

    Attributes:
        name: Name of the layer.
        kind: Class of the layer.
        macs: Multiply-accumulates.
        weights: Number of weights.
        activations: Number of input values that are read and output values that are written.
    """

    name: str
    kind: str
    macs: int
    weights: int
    activations: int


def traffic(model: keras.Model) -> list[Traffic]:
    """List the traffic of the layers with weights, multiply-accumulates or a pool, in order.

    Convolutions, dense layers, matrix products and pools read their inputs and write their outputs.
    Other layers, such as batch normalization, work on these values in place.

    Args:
        model: Functional or Sequential keras.Model of inputs of known size.

    Returns:
        A Traffic for each call of such a layer.

    Raises:
        ValueError: For a model without a known graph, or of inputs of any size.
    """
    rows = []
    for step in fixed_graph(model).steps:
        count = macs(step)
        weights = sum(math.prod(w.shape) for w in getattr(step.operation, "weights", ()))
        moves = bool(count or activations(step))
        if moves or weights:
            moved = sum(map(size, (*step.inputs, *step.outputs))) if moves else 0
            kind = type(step.operation).__name__
            rows.append(Traffic(step.name, kind, count, weights, moved))
    return rows
