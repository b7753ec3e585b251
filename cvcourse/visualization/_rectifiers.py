"""ReLUs with the backward rule of guided backpropagation or of the deconvnet.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
https://arxiv.org/abs/1311.2901; Springenberg et al., "Striving for Simplicity: The All
Convolutional Net", 2015, https://arxiv.org/abs/1412.6806, figure 1.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

from cvcourse.errors import unknown, warn_caller
from cvcourse.layers.graph import Step, has_graph, opened, output_structure
from cvcourse.visualization.network import OURS, Network, activation_of, applied, run, twin

RULES = {"guided": "guided backpropagation", "deconvnet": "the deconvnet"}
PROBE = np.array([-1e4, -1.0, -1e-3, 0.0, 1e-3, 1.0, 1e4], "float32")
ZERO = 3  # PROBE[ZERO] is 0


def with_rectifiers(model: keras.Model, rule: str) -> keras.Model:
    """Return a model whose ReLUs have another gradient.

    Its outputs are those of `model`, also the probabilities of a softmax. Models within the model
    are opened. ReLUs inside other layers, such as a Lambda, keep their gradient.

    Args:
        model: A functional keras.Model with ReLUs: layers ReLU and Activation, `activation=` of a
            layer, keras.ops.relu and relu6, or any other function that has their values.
        rule: "guided" lets positive gradients pass where the ReLU's input is positive (and below
            the upper limit of a ReLU6), "deconvnet" everywhere.

    Returns:
        A keras.Model that shares the weights of `model`.

    Raises:
        ValueError: If there is no ReLU (the message has the activations found), or the rule is
            unknown.

    >>> model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu")])
    >>> guided = with_rectifiers(model, "guided")
    >>> guided.layers[-1].kernel is model.layers[0].kernel
    True
    """
    network = _network(model)
    rules = rule_of(network, rule)
    graph, image = network.graph, keras.Input(network.image_shape, name=network.input_name)
    wanted = [*graph.outputs.values()]
    found = run(graph.steps, {network.input: image}, wanted, replaced=rules, copies=True)
    outputs = keras.tree.pack_sequence_as(output_structure(model), found)
    return keras.Model(image, outputs, name=model.name)


def rectifiers(model: keras.Model) -> list[str]:
    """List the ReLUs of a model, whose gradient `with_rectifiers` changes.

    Args:
        model: A functional keras.Model.

    Returns:
        Names of the layers or operations, "model/layer" within nested models, in the order of
        computation.

    Raises:
        ValueError: If the model has no graph of operations.

    >>> x = keras.Input((4,))
    >>> rectifiers(keras.Model(x, ops.relu(layers.Dense(3, activation="relu", name="fc")(x))))
    ['fc', 'relu']
    """
    network = _network(model)
    network.require_graph("its ReLUs cannot be listed")
    return [step.name for step in network.graph.steps if _ceiling(step) is not None]


def _network(model):
    """Return the Network of any output of a model."""
    several = isinstance(model, keras.Model) and has_graph(model) and len(model.outputs) > 1
    return Network.of(model, next(iter(opened(model).outputs)) if several else None)


def rule_of(network: Network, rule: str) -> dict[Step, Callable]:
    """Return the calls that `run` replaces to apply a rule; see `with_rectifiers`.

    Args:
        network: Network of the model.
        rule: "guided" or "deconvnet".

    Returns:
        {step: function (operation) -> function of the step's arguments}.

    Raises:
        ValueError: As `with_rectifiers`.
    """
    if rule not in RULES:
        raise ValueError(unknown("rule", rule, RULES))
    network.require_graph("a rule for ReLUs needs the operations of the model")
    replaced, remarks = network.once(("rule", rule), lambda: _replaced_and_remarks(network, rule))
    for remark in remarks:
        warn_caller(remark, UserWarning)
    return replaced


def _replaced_and_remarks(network, rule):
    steps = network.graph.steps
    found = {step: ceiling for step in steps if (ceiling := _ceiling(step)) is not None}
    others = _other_activations(network, found)
    hidden = [step.name for step in steps if step not in found and _may_hide_a_relu(step)]
    if not found:
        listed = ", ".join(others) or "no activation"
        inside = f"; ReLUs inside the layers {', '.join(hidden)} are not seen" if hidden else ""
        raise ValueError(
            f"{network.name} has no ReLU, which {RULES[rule]} needs; it has {listed}"
            f"{inside}: use saliency, smooth_grad, integrated_gradients, grad_cam or occlusion"
        )
    remarks = []
    if hidden:
        remarks.append(f"ReLUs inside the layers {', '.join(hidden)}, if any, keep their gradient")
    if others:
        remarks.append(
            f"{len(found)} ReLUs of {network.name} have the rule of {RULES[rule]}; "
            f"{', '.join(others)} keep their gradient"
        )
    return {step: _replacement(step, rule, ceiling) for step, ceiling in found.items()}, remarks


def _replacement(step, rule, ceiling):
    rectify = _rectifier(rule, ceiling)
    if getattr(step.operation, "weights", ()):
        return lambda operation: twin(operation, activation=rectify)
    return lambda operation: Rectifier(rectify, operation.name)


class Rectifier(keras.Operation):
    """A function as an operation of the same name, with symbolic tensors, too."""

    def __init__(self, function, name):
        super().__init__(name=name)
        self.function = function

    def call(self, x):
        return self.function(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def _rectifier(rule, ceiling):
    """Return a ReLU with an upper limit (infinite for none) and a backward rule."""

    @ops.custom_gradient
    def rectify(x):
        def grad(*gradients, upstream=None):
            upstream = gradients[0] if upstream is None else upstream
            passed = upstream > 0
            if rule == "guided":
                passed = ops.logical_and(passed, ops.logical_and(x > 0, x < ceiling))
            return ops.where(passed, upstream, ops.zeros_like(upstream))

        y = ops.relu(x)
        return (ops.minimum(y, ops.cast(ceiling, y.dtype)) if np.isfinite(ceiling) else y), grad

    return rectify


def _ceiling(step) -> float | None:
    """Return the upper limit of a step's ReLU, infinite if it has none; None if it is no ReLU."""
    return _limit(_values(step, PROBE))


def _values(step, x) -> np.ndarray | None:
    """Return a step's function of each element of `x`; None for a Lambda, and other operations."""
    return None if isinstance(step.operation, layers.Lambda) else applied(activation_of(step), x)


def _limit(y) -> float | None:
    """Return the upper limit of the ReLU that has the values `y` at `PROBE`, None for another."""
    if y is None or not y[-1] >= 1 or not np.allclose(y, np.clip(PROBE, 0, y[-1]), rtol=1e-2):
        return None
    return float("inf") if y[-1] > 1e3 else float(y[-1])


def _other_activations(network: Network, found) -> list[str]:
    """Return the names of functions of each element that are neither ReLUs nor linear."""
    names: dict[str, None] = {}
    for step in network.between():
        y, half = _values(step, PROBE), _values(step, PROBE[: ZERO + 1])
        if isinstance(step.operation, layers.PReLU):  # has weights
            names["prelu"] = None
        if step in found or step in network._replaced or y is None or half is None:
            continue
        with np.errstate(invalid="ignore"):
            line = y[ZERO] + PROBE * (y[ZERO + 2] - y[ZERO])
        if np.allclose(y[: ZERO + 1], half) and not np.allclose(y, line, rtol=1e-2, atol=1e-4):
            activation = getattr(step.operation, "activation", step.operation)
            names[getattr(activation, "__name__", type(activation).__name__.lower())] = None
    return [*names]


def _may_hide_a_relu(step) -> bool:
    """Check whether a ReLU may be inside a step: in a layer within a layer, or in own code."""
    operation = step.operation
    if not isinstance(operation, layers.Layer) or _values(step, PROBE) is not None:
        return False
    return isinstance(operation, layers.Lambda) or any(
        not type(layer).__module__.startswith(OURS)
        or _limit(applied(_function_of(layer, operation), PROBE)) is not None
        for layer in operation._flatten_layers()
    )


def _function_of(layer, operation):
    """Return the activation of a layer within an operation, or the layer itself."""
    return getattr(layer, "activation", None if layer is operation else layer.call)
