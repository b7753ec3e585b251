"""Copies of a model in which some layers are replaced by others: the graph stays as it is."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from cvcourse.errors import unknown
from cvcourse.layers.graph import has_graph, nodes, opened, output_structure, require_graph


def replaced(
    model: keras.Model, replacements: Mapping[str, Sequence[keras.Operation]] | None = None
) -> keras.Model:
    """Copy a model, with its weights, and replace layers by chains of others.

    Args:
        model: Functional or Sequential keras.Model. It is not changed.
        replacements: {name: operations to call one after another}. Names are those of
            `cvcourse.layers.graph.Step`: "layer", within nested models "model/layer". The first
            operation takes the arguments of the layer. Operations that are built keep their
            weights.

    Returns:
        An uncompiled functional keras.Model with the names, the nested models and the
        non-trainable layers of `model`, which shares no variable with it.

    Raises:
        ValueError: For a model without a known graph, or an unknown name.

    >>> net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="logits")])
    >>> replaced(net, {"logits": [keras.layers.Dense(5), keras.layers.Dense(2)]}).count_params()
    32
    """
    require_graph(model)
    operations = {step.name: step.operation for step in opened(model).steps}
    chains = {}
    for name, chain in (replacements or {}).items():
        if name not in operations:
            raise ValueError(unknown("layer", name, sorted(operations)))
        chains[id(operations[name])] = [*chain]
    return _copy(model, chains)


def copied(operation: Any) -> Any:
    """Copy an operation; the copy of a layer has weights of its own with the same values.

    Raises:
        ValueError: If a layer with variables cannot be created from its config.
    """
    try:
        copy = type(operation).from_config(operation.get_config())
    except Exception as error:
        if getattr(operation, "variables", ()):
            raise ValueError(
                f"the layer {operation.name!r} of the class {type(operation).__name__} cannot be "
                "copied: its get_config does not return all arguments"
            ) from error
        return operation  # without state, such as a Lambda: it can be shared
    if isinstance(operation, keras.Layer) and operation.built:
        build_like(copy, operation)
        if len(copy.variables) != len(operation.variables):
            raise ValueError(
                f"the layer {operation.name!r} of the class {type(operation).__name__} cannot be "
                "copied: its copy has other variables"
            )
        for new, old in zip(copy.variables, operation.variables, strict=True):
            new.assign(np.array(old))  # on JAX, they would share an array, which training deletes
    return copy


def build_like(layer: keras.Layer, other: keras.Layer) -> None:
    """Build a layer for inputs of the shape of another's."""
    if layer.built:
        return
    if builds_itself(other):
        layer.build_from_config(other.get_build_config() or {})
    elif other._inbound_nodes:
        arguments = other._inbound_nodes[0].arguments
        layer.compute_output_spec(*arguments.args, **arguments.kwargs)
        layer.built = True


def builds_itself(layer: keras.Layer) -> bool:
    """Whether the shape of the input is enough to build a layer; others are built by a call."""
    inner = layer._flatten_layers(recursive=False, include_self=False)
    return type(layer).build is not keras.Layer.build or not [*inner]


def _taken(operation, kwargs):
    """Leave out arguments that a replacement lacks, such as the `mask` of batch norm."""
    parameters = inspect.signature(operation.call).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return kwargs
    return {name: value for name, value in kwargs.items() if name in parameters}


def _copy(model, chains) -> keras.Model:
    """Copy a model; `chains` has what replaces an operation, also its copy if it occurs again."""
    tensors: dict[int, Any] = {}

    def chain_of(operation):
        if id(operation) not in chains:
            nested = isinstance(operation, keras.Model) and has_graph(operation)
            chains[id(operation)] = [_copy(operation, chains) if nested else copied(operation)]
        return chains[id(operation)]

    def tensor_of(argument):
        return tensors[id(argument)] if isinstance(argument, keras.KerasTensor) else argument

    for tensor in model.inputs:
        name = tensor._keras_history.operation.name
        new = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
        tensors[id(tensor)] = new
    for node in nodes(model):
        if all(id(tensor) in tensors for tensor in node.output_tensors):  # an input
            continue
        first, *others = chain_of(node.operation)
        args, kwargs = keras.tree.map_structure(
            tensor_of, (node.arguments.args, node.arguments.kwargs)
        )
        outputs = first(*args, **_taken(first, kwargs))
        for operation in others:
            outputs = operation(outputs)
        made = keras.tree.flatten(outputs)
        tensors |= {id(t): new for t, new in zip(node.output_tensors, made, strict=True)}
    copy = keras.Model(
        keras.tree.map_structure(tensor_of, getattr(model, "_functional", model).input),
        keras.tree.map_structure(tensor_of, output_structure(model)),
        name=model.name,
    )
    copy._trainable = model._trainable  # its setter would change the layers within
    return copy
