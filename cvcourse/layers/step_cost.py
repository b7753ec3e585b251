"""Cost of one step of a graph: multiply-accumulates, and values kept in memory."""

import math
from typing import Any, cast

import keras
from keras import layers

from cvcourse.layers.graph import Graph, Step, Value, opened, require_graph
from cvcourse.layers.receptive_field import GLOBAL_POOLS
from cvcourse.layers.sparse_conv import SparseConv2D

WEIGHTED = (
    *(layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, SparseConv2D),
    layers.Dense,
)
KEPT = (*WEIGHTED, layers.AveragePooling2D, layers.MaxPooling2D, *GLOBAL_POOLS)


def fixed_graph(model: keras.Model) -> Graph:
    """Return the graph of a model whose inputs have known sizes.

    Args:
        model: Functional or Sequential keras.Model.

    Returns:
        A Graph.

    Raises:
        ValueError: For a model without a known graph, or of images of any size.
    """
    require_graph(model)
    graph = opened(model)
    if any(None in value.shape[1:] for value in graph.inputs.values()):
        raise ValueError(
            f"{model.name} takes images of any size, on which its cost depends: build it with "
            "input_shape, or load it with preprocessing=False"
        )
    return graph


def macs(step: Step) -> int:
    """Count the multiply-accumulates of a step for one image.

    Args:
        step: Step of a graph.

    Returns:
        The number of convolutions, dense layers and matrix products; 0 for others.
    """
    operation = _without_wrapper(step.operation)
    if isinstance(operation, WEIGHTED):  # each kernel value is used once for each output pixel
        kernels = [v for v in operation.weights if v.name.endswith("kernel")]
        *pixels, _ = _sides(step.outputs[0])
        return sum(math.prod(k.shape) for k in kernels) * math.prod(pixels)
    if type(operation).__name__ == "Matmul":
        return size(step.outputs[0]) * _sides(step.inputs[0])[-1]
    return 0


def activations(step: Step) -> int:
    """Count the output values of a step that are kept in memory, for one image.

    Args:
        step: Step of a graph.

    Returns:
        The number of convolutions, dense layers and pools; 0 for others, which can work in place.
    """
    kept = isinstance(_without_wrapper(step.operation), KEPT)
    return size(step.outputs[0]) if kept else 0


def size(value: Value) -> int:
    """Count the numbers of a value for one image."""
    return math.prod(_sides(value))


def _sides(value: Value) -> tuple[int, ...]:
    return cast(tuple[int, ...], value.shape[1:])  # known in a `fixed_graph`


def _without_wrapper(operation: Any) -> Any:
    """Return the layer in a wrapper, such as one with quantized kernels."""
    return operation.layer if isinstance(operation, layers.Wrapper) else operation
