"""A functional model as a graph: its operations in order, nested models opened."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor of a graph; `shape` contains the batch, and None for sides of any length."""

    shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A call of an operation.

    Attributes:
        name: Name of the operation, within nested models "model/operation".
        operation: keras.Operation, such as a layer.
        args: Positional arguments, with a `Value` for each tensor.
        kwargs: Keyword arguments, likewise.
        inputs: The values among the arguments.
        outputs: The values of the result.
    """

    name: str
    operation: keras.Operation
    args: tuple
    kwargs: dict
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """Calls of a model's operations, each after those that it depends on.

    Attributes:
        inputs: {name of the input: value}.
        steps: Calls, without the inputs.
        outputs: {name of the output: value}.
    """

    inputs: dict[str, Value]
    steps: tuple[Step, ...]
    outputs: dict[str, Value]


def operations(model):
    """Return the operations of a model in an order that depends on its mathematics only.

    Each operation comes after the operations that it depends on; of several inputs, the operations
    of the first come first. Two models with the same sums and concatenations therefore have their
    weights in the same order, whatever other layers they have.

    Args:
        model: A functional keras.Model.

    Returns:
        [(operation, input tensors, output tensors)]; an operation that is called several times
        occurs once.
    """
    first = {}
    for node in nodes(model):
        first.setdefault(
            id(node.operation), (node.operation, node.input_tensors, node.output_tensors)
        )
    return [*first.values()]


def has_graph(model: Any) -> bool:
    """Check whether a model is functional or sequential, with known inputs and outputs."""
    classes: list[Any] = [*type(model).__mro__]
    known = [base for base in classes if base.__name__ in ("Functional", "Sequential")]
    if not known or classes[0].call is not known[0].call:
        return False
    try:
        return bool(model.inputs and model.outputs)
    except (AttributeError, ValueError):  # a Sequential that has no input yet
        return False


def require_graph(model: Any) -> None:
    """Raise ValueError for a model whose graph is not known."""
    if not has_graph(model):
        raise ValueError(
            "needs a functional or Sequential model with known inputs, not a subclassed one or a "
            f"Sequential without keras.Input; received {getattr(model, 'name', model)!r} of the "
            f"class {type(model).__name__}"
        )


def opened(model: keras.Model) -> Graph:
    """Return the graph of a model with the operations of models within it.

    Args:
        model: keras.Model for which `has_graph`. Nested models without a graph stay single steps.

    Returns:
        A Graph.
    """
    steps: list[Step] = []
    inputs = [Value(tuple(tensor.shape)) for tensor in model.inputs]
    outputs = _open(model, inputs, "", steps)
    input_names = [tensor._keras_history.operation.name for tensor in model.inputs]
    return Graph(
        dict(zip(input_names, inputs, strict=True)),
        tuple(steps),
        dict(zip(_output_names(model), outputs, strict=True)),
    )


def output_structure(model: keras.Model) -> Any:
    """Return the symbolic outputs of a model for which `has_graph`, as the model returns them."""
    return getattr(model, "_functional", model).output  # Sequential.output needs a call


def _output_names(model) -> list[str]:
    """Return the keys of a dict of outputs, else the names of their operations, made unique."""
    names: list[str] = []
    for path, tensor in keras.tree.flatten_with_path(output_structure(model)):
        keys = [key for key in path if isinstance(key, str)]
        name = "/".join(keys) or tensor._keras_history.operation.name
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names


def nodes(model) -> Iterator[Any]:
    """Yield the calls of a model's operations, inputs included; see `operations`."""
    inputs = {id(tensor) for tensor in model.inputs}
    seen = set()
    waiting = [(tensor, False) for tensor in reversed(model.outputs)]
    while waiting:
        tensor, ready = waiting.pop()
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            waiting.append((tensor, True))
            if id(tensor) not in inputs:
                waiting += [(need, False) for need in reversed(node.input_tensors)]


def _open(model, inputs: Sequence[Value], prefix: str, steps: list[Step]) -> list[Value]:
    """Append the steps of a model, called on `inputs`, to `steps`; return its outputs."""
    values = {id(tensor): value for tensor, value in zip(model.inputs, inputs, strict=True)}

    def value_of(argument):
        return values[id(argument)] if isinstance(argument, keras.KerasTensor) else argument

    for node in nodes(model):
        if all(id(tensor) in values for tensor in node.output_tensors):  # an input
            continue
        operation, arguments = node.operation, node.arguments
        before = tuple(map(value_of, node.input_tensors))
        name = f"{prefix}{operation.name}"
        if isinstance(operation, keras.Model) and has_graph(operation):
            after = _open(operation, before, f"{name}/", steps)
        else:
            args, kwargs = keras.tree.map_structure(value_of, (arguments.args, arguments.kwargs))
            after = [Value(tuple(tensor.shape)) for tensor in node.output_tensors]
            steps.append(Step(name, operation, args, kwargs, before, tuple(after)))
        values |= {id(tensor): v for tensor, v in zip(node.output_tensors, after, strict=True)}
    return [values[id(tensor)] for tensor in model.outputs]
