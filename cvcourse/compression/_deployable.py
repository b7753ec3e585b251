"""The form of a network that every target of `deployment` takes, with equal outputs."""

import functools
import re
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from cvcourse.compression.kernel_wrapper import plain
from cvcourse.compression.surgery import build_like, copied, replaced
from cvcourse.layers.depthwise_conv import DepthwiseConv2D
from cvcourse.layers.graph import Step, opened, require_graph
from cvcourse.layers.resizing import resized_pixels

POSITIVE = ("relu", "relu6", "sigmoid", "hard_sigmoid", "softplus")  # never below 0
MOVING = ("identity", "dropout", "linear")


def deployable(model: keras.Model, images: ArrayLike | None = None) -> keras.Model:
    """Copy a model into the form that every target takes, with equal outputs.

    Layers that resize photos are left out: the network takes images of its own size. Keras'
    Normalization, which ONNX files would take from extra inputs, becomes a Rescaling; a padded
    depthwise convolution, which OpenVINO refuses, a padding and a convolution; GELU by erfc, which
    ONNX lacks, GELU by erf; mixed precision float32; and the lowest number around a map before max
    pooling, which would take most of the range of 8 bits, the lowest that the map can have or has.

    Args:
        model: Functional or Sequential keras.Model with one input and one output.
        images: Images (n, h, w, c). With them, maps that may be negative are padded with their
            lowest value for these images, instead of the lowest number: outputs are then equal for
            maps that are nowhere below that.

    Returns:
        An uncompiled functional keras.Model of one input size, whose layers have their names.

    Raises:
        ValueError: For a model without a known graph, with several inputs or outputs, or whose
            size of images is open.

    >>> net = keras.Sequential([keras.Input((1,)), keras.layers.Normalization(mean=2, variance=4)])
    >>> deployable(net)(np.array([[4.0]])).numpy().tolist()
    [[1.0]]
    """
    require_graph(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; only "
            "one of each is supported"
        )
    pixels = resized_pixels(model)
    if pixels is not None:
        model = keras.Model(pixels, model.output, name=model.name)
    if None in model.inputs[0].shape[1:]:
        raise ValueError(
            f"{model.name} takes images of any size, {model.inputs[0].shape[1:]}: build it for one"
        )
    model = _in_float32(plain(model))
    steps = opened(model).steps
    makers = {id(value): step for step in steps for value in step.outputs}
    chains = {step.name: _chain(model, step, makers, images) for step in steps}
    return replaced(model, {name: chain for name, chain in chains.items() if chain})


def _in_float32(model: keras.Model) -> keras.Model:
    """Return a model that computes in float32: itself, or a copy."""
    if all(getattr(layer, "compute_dtype", None) == "float32" for layer in model.layers):
        return model
    text = re.sub(r'"name": "mixed_b?float16"', '"name": "float32"', model.to_json())
    copy = keras.models.model_from_json(text)
    copy.set_weights(model.get_weights())
    return copy


def _chain(model, step: Step, makers, images) -> list | None:
    """Return what replaces a step: layers to call one after another, or None."""
    layer, policy = step.operation, getattr(step.operation, "dtype_policy", None)
    if isinstance(layer, keras.layers.Normalization) and not layer.invert:
        mean, variance = (np.array(each, "float64") for each in (layer.mean, layer.variance))
        spread = np.maximum(np.sqrt(variance), keras.backend.epsilon())
        shape = spread.shape[1:]  # without the batch
        values = ((each / spread).reshape(shape).tolist() for each in (1.0, -mean))
        return [keras.layers.Rescaling(*values, name=layer.name, dtype=policy)]
    if isinstance(layer, DepthwiseConv2D):
        config = layer.get_config()
        widths = config.pop("pad")
        pad = keras.layers.ZeroPadding2D(widths, name=f"{layer.name}_pad", dtype=policy)
        convolution = keras.layers.DepthwiseConv2D.from_config(config)
        build_like(convolution, layer)
        for new, old in zip(convolution.variables, layer.variables, strict=True):
            new.assign(np.array(old))
        return [pad, convolution]
    if getattr(layer, "activation", None) is keras.activations.gelu:
        copy = copied(layer)
        copy.activation = exact_gelu
        return [copy]
    if type(layer).__name__ == "Pad" and (step.kwargs.get("constant_values") or 0) < 0:
        lowest = 0.0
        if not _is_positive(step, makers):
            if images is None:
                return None
            before = keras.Model(model.input, layer._inbound_nodes[0].input_tensors[0])
            lowest = float(np.min(before.predict(images, verbose=0)))
        pad = functools.partial(ops.pad, pad_width=layer.pad_width, constant_values=lowest)
        return [keras.layers.Lambda(pad, name=layer.name)]
    return None


def exact_gelu(x: Any) -> Any:
    """GELU, x times the normal distribution function: Hendrycks & Gimpel 2016, by erf.

    >>> float(exact_gelu(ops.array(0.0)))
    0.0
    """
    return 0.5 * x * (1 + ops.erf(x * float(np.sqrt(0.5))))


def _is_positive(step: Step, makers) -> bool:
    """Check whether the input of a step is never below 0."""
    before = makers.get(id(step.inputs[0]))
    if before is None:
        return False
    function = getattr(before.operation, "activation", None)
    kind = getattr(function, "__name__", None) or type(before.operation).__name__.lower()
    moves = kind in MOVING and len(before.inputs) == 1
    is_cut = kind in POSITIVE and not getattr(before.operation, "negative_slope", 0)
    return is_cut or (moves and _is_positive(before, makers))
