"""Builders in a user's file: `build("nets/net.py:tiny", …)` calls the function `tiny` in that file.

It takes the keyword arguments `input_shape` and `num_classes`, and others with defaults, and
returns a functional keras.Model whose one output is the logits, as the registry's builders do.
"""

import inspect
import math

import keras

from cvcourse import source_file
from cvcourse.errors import reason
from cvcourse.saved_model import count_values

SHAPES = ("input_shape", "num_classes")
USUAL = {"input_shape": None, "num_classes": 10, "name": None}  # if a builder has no default
NO_LOGITS = ("softmax", "sigmoid")  # activations that the loss applies
ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def builder_args(name):
    """Return the arguments of the builder FILE.py:FUNCTION and their defaults.

    Args:
        name: FILE.py:FUNCTION.

    Returns:
        {argument: default}; input_shape is None if it has no default.

    Raises:
        ValueError: If the function is not a builder, or as `source_file.load`.
    """
    parameters = inspect.signature(source_file.load(name)).parameters
    positional = inspect.Parameter.POSITIONAL_ONLY
    found = {}
    for key, parameter in parameters.items():
        if parameter.kind in (positional, *ANY):
            continue
        default = parameter.default
        if default is parameter.empty:
            if key not in USUAL:
                raise ValueError(f"{name}: its argument {key} needs a default")
            default = USUAL[key]
        found[key] = tuple(default) if isinstance(default, list) else default
    for key, parameter in parameters.items():
        if parameter.kind is positional and parameter.default is parameter.empty:
            raise ValueError(f"{name}: its argument {key} is positional-only; {_form(name)}")
    if missing := [key for key in SHAPES if key not in found]:
        raise ValueError(f"{name} takes no {' and no '.join(missing)}; {_form(name)}")
    return found


def build(name, model_name, settings):
    """Build the network of FILE.py:FUNCTION.

    Args:
        name: FILE.py:FUNCTION.
        model_name: Name of the model.
        settings: Arguments of the builder, including input_shape and num_classes.

    Returns:
        An uncompiled keras.Model (batch, *input_shape) -> logits (batch, num_classes); for
        num_classes=None, -> the output of the builder's model.

    Raises:
        ValueError: If the function raises any error, or does not return such a model.
    """
    function = source_file.load(name)
    if "name" in inspect.signature(function).parameters:
        settings = {**settings, "name": model_name}
    with source_file.naming_line(source_file.split(name)[0]):
        net = function(**settings)
    if misfit := _misfit(net, tuple(settings["input_shape"]), settings["num_classes"]):
        raise ValueError(f"{name} {misfit}")
    # A new model of the same layers: functional also for a Sequential, and not compiled.
    return keras.Model(net.inputs[0], net.outputs[0], name=model_name)


def require_savable(net: keras.Model, name: str) -> None:
    """Check that a network of a user's file can be loaded again from a .keras file.

    Args:
        net: The keras.Model.
        name: Name that `build` took. Networks of the registry always pass.

    Raises:
        ValueError: If one of its layers is not registered, or its get_config lacks arguments.

    >>> require_savable(keras.Sequential([keras.Input((4,))]), "resnet18")
    """
    if not source_file.split(name):
        return
    remedy = (
        "write a layer as a class under @keras.saving.register_keras_serializable() whose "
        "get_config has all its arguments, instead of a Lambda"
    )
    weights = sum(math.prod(variable.shape) for variable in net.variables)
    try:
        found = count_values(keras.saving.serialize_keras_object(net))
        if found != weights:
            raise ValueError(f"it has {found:,} weights when read, and {weights:,} here")
    except Exception as error:  # whatever a layer's own methods raise
        raise ValueError(
            f"the net of {name} cannot be read from a .keras file: {reason(error)}; {remedy}"
        ) from error


def _form(name):
    return f"a builder is {source_file.split(name)[1]}(*, input_shape, num_classes)"


def _misfit(net, input_shape, num_classes):
    """Describe what is wrong with a builder's model, in words that follow its name; else None."""
    if not isinstance(net, keras.Model):
        return f"returns {type(net).__name__}, not a keras.Model"
    try:
        inputs, outputs = net.inputs, net.outputs
    except (AttributeError, ValueError):  # a subclassed model; a Sequential that has no input yet
        inputs = outputs = None
    if not inputs or not outputs:
        return (
            "returns a model without a graph: build it as keras.Model(inputs, outputs), or as "
            "keras.Sequential that begins with keras.Input(input_shape)"
        )
    if len(inputs) > 1 or len(outputs) > 1:
        return f"has {len(inputs)} inputs and {len(outputs)} outputs, but one of each is needed"
    if inputs[0].shape[1:] != input_shape:
        return f"takes images {inputs[0].shape[1:]}, but was built with input_shape={input_shape}"
    if num_classes is None:
        return None
    if outputs[0].shape != (None, num_classes):
        return f"outputs {outputs[0].shape}, but logits (None, {num_classes}) are needed"
    if activation := _last_activation(outputs[0]):
        return f"ends in a {activation}, which belongs to the loss: leave it out, logits are needed"
    if outputs[0].dtype not in ("float32", "float64"):
        return f'outputs {outputs[0].dtype} logits: its last layer needs dtype="float32"'
    return None


def _last_activation(output):
    """Return the activation in NO_LOGITS that computes an output, else None."""
    operation = output._keras_history.operation
    while isinstance(operation, keras.Model):
        operation = operation.outputs[0]._keras_history.operation
    activation = getattr(operation, "activation", None)
    names = (type(operation).__name__, getattr(activation, "__name__", ""))
    return next((name.lower() for name in names if name.lower() in NO_LOGITS), None)
