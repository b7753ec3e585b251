"""Statistics of each layer's outputs and of their gradients.

Activations that shrink, grow, saturate or die from layer to layer show a wrong initialization
before any training: Glorot & Bengio, "Understanding the difficulty of training deep feedforward
neural networks", AISTATS 2010, https://proceedings.mlr.press/v9/glorot10a.html.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

FLAT = 0.05  # a unit saturates if its slope is below this share of the steepest: |tanh| > 0.975

SLOPES = {  # activation: its slope at the value a, as a share of the steepest
    "tanh": lambda a: 1 - a**2,
    "scaled_tanh": lambda a: 1 - (a / 1.7159) ** 2,
    "sigmoid": lambda a: 4 * a * (1 - a),
}
RECTIFIED = ("relu", "relu6")


@dataclasses.dataclass(frozen=True)
class LayerStatistics:
    """Statistics of one layer's outputs for a batch; None if undefined or not computed.

    Args:
        name: Name of the layer; "model/layer" for a layer inside another model.
        kind: Class of the layer.
        shape: Shape of the outputs of one example.
        mean: Mean of the outputs.
        std: Standard deviation of the outputs.
        saturated: Share of the outputs of a tanh or sigmoid where its slope is below FLAT of the
            steepest.
        dead: Share of a ReLU's units or feature maps that are 0 for the whole batch.
        gradient_mean: Mean of the gradient of the loss with respect to the outputs.
        gradient_std: Its standard deviation.
        gradient_norm: Its norm, over all outputs of the batch.

    >>> LayerStatistics("hidden", "Dense", (500,), mean=0.00123456, std=0.98765)
    LayerStatistics(name='hidden', kind='Dense', shape=(500,), mean=0.00123, std=0.988)
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    mean: float
    std: float
    saturated: float | None = None
    dead: float | None = None
    gradient_mean: float | None = None
    gradient_std: float | None = None
    gradient_norm: float | None = None

    def __repr__(self):
        shown = (
            f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value!r}"
            for name, value in vars(self).items()
            if value is not None
        )
        return f"LayerStatistics({', '.join(shown)})"


def layer_statistics(
    model: keras.Model,
    images: Any,
    labels: Any = None,
    *,
    loss: Callable | None = None,
    training: bool = False,
) -> list[LayerStatistics]:
    """Measure the outputs of each layer of a model, and their gradients. TensorFlow only.

    Args:
        model: keras.Model with one output; layers of models inside it are included.
        images: Array (n, h, w, c), inputs of the model.
        labels: Array (n,) of class numbers. If None, no gradients are computed.
        loss: Function (labels, outputs) -> scalar. If None, the cross-entropy of logits.
        training: `training` in the call of the model. If True, running averages are updated.

    Returns:
        A list with a LayerStatistics for each call of a layer, in the order of the calls.

    >>> import keras
    >>> import numpy as np
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.ReLU(name="relu"), keras.layers.Flatten(name="flat")]
    ... )
    >>> rows = layer_statistics(model, np.array([[-1.0, 3.0], [-2.0, 1.0]]))
    >>> [(row.name, row.mean, row.dead) for row in rows]
    [('relu', 1.0, 0.5), ('flat', 1.0, None)]
    """
    import tensorflow as tf

    if loss is None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    images = tf.convert_to_tensor(images, "float32")
    with calls_noted(model) as calls, tf.GradientTape() as tape:
        tape.watch(images)  # a model whose layers are all frozen has nothing else to watch
        outputs = model(images, training=training)
        value = None if labels is None else loss(labels, outputs)
    gradients = [None] * len(calls)
    if labels is not None:
        outputs = [call.output for call in calls]
        gradients = tape.gradient(value, outputs, unconnected_gradients="zero")
    return [_row(call, gradient) for call, gradient in zip(calls, gradients, strict=True)]


@dataclasses.dataclass(frozen=True)
class Call:
    """A layer, and the first input and output of one of its calls."""

    name: str
    layer: keras.Layer
    input: object
    output: object


@contextlib.contextmanager
def calls_noted(model):
    """Context manager: append a Call to the list that it yields for each call of a layer."""
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
            del layer.call  # the instance's attribute; the class' method remains


def named_layers(model, prefix=""):
    """Yield (name, layer) for the layers of a model and of the models inside it."""
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
    """Return the name of the activation whose values a layer outputs: "tanh", "relu", …; or None.

    The output of a gated layer is not that of its activation: an LSTM outputs o tanh(c).
    """
    if hasattr(layer, "recurrent_activation"):
        return None
    if isinstance(layer, keras.layers.ReLU):
        return None if layer.negative_slope else "relu"
    return getattr(getattr(layer, "activation", None), "__name__", None)


def _array(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")).astype("float64")
