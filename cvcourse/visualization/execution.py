"""Steps of a graph, computed in inference mode."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.layers.graph import Step, Value
from cvcourse.visualization.gradients import to_numpy


def needed_steps(
    steps: Iterable[Step], wanted: Iterable[Value], known: Iterable[Value] = ()
) -> set[Step]:
    """Return the steps that values depend on, if others are known."""
    known, needed = set(known), set()
    values = set(wanted) - known
    for step in reversed([*steps]):
        if values & set(step.outputs):
            needed.add(step)
            values |= set(step.inputs) - known
    return needed


def run(
    steps: Sequence[Step],
    values: Mapping[Value, Any],
    wanted: Sequence[Value],
    *,
    replaced: Mapping[Step, Callable] | None = None,
    copies: bool = False,
) -> list[Any]:
    """Compute values of a graph in inference mode, from tensors or symbolic tensors.

    Args:
        steps: Steps of the graph.
        values: {value: tensor} of the inputs, and of other values that are known.
        wanted: Values to compute.
        replaced: {step: function (operation) -> function of the step's inputs, called instead}.
        copies: Whether to call copies of the layers, which share the weights: Keras then does not
            record the calls in the layers.

    Returns:
        The tensors of `wanted`.
    """
    replaced, found = replaced or {}, dict(values)
    needed = needed_steps(steps, wanted, values)
    names = {tensor.name for tensor in values.values()} if copies else set()
    made: dict[tuple[int, bool], Any] = {}  # shared layers stay shared
    for step in steps:
        if step not in needed:
            continue
        called, is_replaced = step.operation, step in replaced
        key = id(called), is_replaced
        if key not in made:
            if copies:
                name = called.name if called.name not in names else step.name.replace("/", "_")
                while name in names:
                    name += "_"
                names.add(name)
                called = twin(called, name=name)
            made[key] = replaced[step](called) if is_replaced else called
        called = made[key]
        args, kwargs = _arguments(step, found.__getitem__)
        if is_replaced:
            args, kwargs = tuple(found[value] for value in step.inputs), {}
        outputs = keras.tree.flatten(called(*args, **{**kwargs, **_inference(called)}))
        found |= dict(zip(step.outputs, outputs, strict=True))
    return [found[value] for value in wanted]


def twin(layer: Any, **attributes: Any) -> Any:
    """Return a copy of a layer that shares its weights, with other attributes.

    Calls of the copy are not recorded in the layer, and the layer is not changed.
    """
    copy = object.__new__(type(layer))
    copy.__dict__.update(layer.__dict__)
    copy.__dict__.update(_inbound_nodes=[], _outbound_nodes=[], **attributes)
    return copy


def activation_of(step: Step) -> Callable | None:
    """Return the function that a step applies to one tensor, in inference mode.

    It is the `activation` of a layer with weights, and any other operation itself. None for an
    operation of several tensors or to another shape, and an activation that cannot be replaced,
    such as that of an LSTM.
    """
    operation = step.operation
    if len(step.inputs) != 1:
        return None
    if getattr(operation, "weights", ()):
        of_cell = isinstance(getattr(type(operation), "activation", None), property)
        return None if of_cell else getattr(operation, "activation", None)
    if step.inputs[0].shape != step.outputs[0].shape:  # TensorFlow would log what fails
        return None

    def function(x):
        args, kwargs = _arguments(step, lambda _: x)
        return operation.call(*args, **{**kwargs, **_inference(operation)})

    return function


def applied(function: Callable | None, x: np.ndarray) -> np.ndarray | None:
    """Return function(x) of the shape of `x`; None if the function takes other arguments."""
    if not callable(function):
        return None
    try:
        y = to_numpy(function(ops.convert_to_tensor(x)))
    except Exception:  # any operation, of tensors of any rank
        return None
    return y if y.shape == x.shape and y.dtype == "float32" else None


def _arguments(step: Step, tensor_of: Callable) -> tuple[tuple, dict]:
    """Return the arguments of a step with a tensor for each value."""
    return keras.tree.map_structure(
        lambda argument: tensor_of(argument) if isinstance(argument, Value) else argument,
        (step.args, step.kwargs),
    )


def _inference(operation) -> dict[str, bool]:
    """Return the keyword argument that lets an operation infer."""
    return {"training": False} if getattr(operation, "_call_has_training_arg", False) else {}
