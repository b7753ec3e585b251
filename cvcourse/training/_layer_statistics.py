"""What flows through a network: each layer's outputs and their gradients, in a few numbers.

Activations that shrink, grow, saturate or die from layer to layer show a wrong initialization
before any training: Glorot & Bengio, "Understanding the difficulty of training deep feedforward
neural networks", AISTATS 2010, https://proceedings.mlr.press/v9/glorot10a.html.
"""

import contextlib
import dataclasses

import keras
import numpy as np

FLAT = 0.05  # a unit saturates where its slope is below this share of the steepest: |tanh| > 0.975

SLOPES = {  # activation: its slope, as a share of the steepest, where its value is a
    "tanh": lambda a: 1 - a**2,
    "scaled_tanh": lambda a: 1 - (a / 1.7159) ** 2,
    "sigmoid": lambda a: 4 * a * (1 - a),
}
RECTIFIED = ("relu", "relu6")


@dataclasses.dataclass(frozen=True)
class LayerStatistics:
    """One layer's outputs for a batch; None is what has no meaning for it, or was not asked for."""

    name: str  # of a layer inside another model: "model/layer"
    kind: str
    shape: tuple  # of one example
    mean: float
    std: float
    saturated: float | None = None  # share of the values of a tanh or sigmoid
    dead: float | None = None  # share of a ReLU's units or feature maps that are 0 everywhere
    gradient_mean: float | None = None  # of the loss, with respect to the outputs
    gradient_std: float | None = None
    gradient_norm: float | None = None  # of all the batch's outputs together


def layer_statistics(model, images, labels=None, *, loss=None, training=False):
    """A LayerStatistics for each layer of `model`, in the order in which they run.

    Takes any keras.Model with one output, models inside it included. images (n, h, w, c) are what
    it takes; with labels (n,) the gradients of `loss` are followed too, a function (labels,
    outputs) -> (), by default the cross-entropy of logits. `training` is as in a call of the model,
    which then moves its running averages. TensorFlow alone.
    """
    import tensorflow as tf

    if loss is None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    images = tf.convert_to_tensor(images, "float32")
    with calls_noted(model) as calls, tf.GradientTape() as tape:
        tape.watch(images)  # that something is, in a model whose layers are all frozen
        outputs = model(images, training=training)
        value = None if labels is None else loss(labels, outputs)
    gradients = [None] * len(calls)
    if labels is not None:
        outputs = [call.output for call in calls]
        gradients = tape.gradient(value, outputs, unconnected_gradients="zero")
    return [_row(call, gradient) for call, gradient in zip(calls, gradients, strict=True)]


@dataclasses.dataclass(frozen=True)
class Call:
    """A layer, and what went through it."""

    name: str
    layer: keras.Layer
    input: object
    output: object


@contextlib.contextmanager
def calls_noted(model):
    """Inside, each call of a layer is appended to the list it gives, as a Call."""
    calls, layers = [], dict(named_layers(model))

    def noting(name, layer, call):
        def noted(*args, **kwargs):
            output = call(*args, **kwargs)
            first = keras.tree.flatten((args, kwargs))[0]
            calls.append(Call(name, layer, first, keras.tree.flatten(output)[0]))
            return output

        return noted

    for name, layer in layers.items():
        layer.call = noting(name, layer, layer.call)
    try:
        yield calls
    finally:
        for layer in layers.values():
            del layer.call  # the instance's: the class' own comes to light again


def named_layers(model, prefix=""):
    """The layers of a model and of the models inside it: (name, layer)."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from named_layers(layer, f"{prefix}{layer.name}/")
        elif not isinstance(layer, keras.layers.InputLayer):
            yield prefix + layer.name, layer


def _row(call, gradient):
    values = _array(call.output)
    found = dict(mean=values.mean(), std=values.std())
    activation = activation_of(call.layer)
    if activation in SLOPES:
        found["saturated"] = (SLOPES[activation](values) < FLAT).mean()
    if activation in RECTIFIED:
        found["dead"] = (values.reshape(-1, values.shape[-1]) == 0).all(axis=0).mean()
    if gradient is not None:
        gradient = _array(gradient)
        found["gradient_mean"] = gradient.mean()
        found["gradient_std"] = gradient.std()
        found["gradient_norm"] = np.linalg.norm(gradient)
    found = {key: float(value) for key, value in found.items()}
    return LayerStatistics(call.name, type(call.layer).__name__, values.shape[1:], **found)


def activation_of(layer):
    """The name of the function whose values a layer gives: "tanh", "relu", …; None for none.

    A gated layer has an activation whose values it does not give: an LSTM's output is o tanh(c).
    """
    if hasattr(layer, "recurrent_activation"):
        return None
    if isinstance(layer, keras.layers.ReLU):
        return None if layer.negative_slope else "relu"
    return getattr(getattr(layer, "activation", None), "__name__", None)


def _array(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")).astype("float64")
