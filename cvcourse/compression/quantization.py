"""Quantization: weights and activations as integers of few bits, simulated in training.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, https://arxiv.org/abs/1712.05877; Krishnamoorthi, "Quantizing deep
convolutional networks for efficient inference: A whitepaper", 2018,
https://arxiv.org/abs/1806.08342. The grids are those of LiteRT's int8 files,
https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec.
"""

import collections
import math
import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers as keras_layers
from keras import ops
from numpy.typing import ArrayLike

from cvcourse.compression.kernel_wrapper import KernelWrapper, plain, straight_through, wrapped
from cvcourse.compression.kernels import kernels, of_layer, tell_untouched
from cvcourse.compression.surgery import build_like, copied, replaced
from cvcourse.layers.graph import Graph, Step, opened, require_graph

BITS = range(2, 9)  # of weights
ACTIVATION_BITS = range(2, 17)  # of keras.quantizers.fake_quant_with_min_max_vars
LEAST_IMAGES = 10
TINY = 1e-30  # a range above 0
BATCH = 32  # images of a calibration step
SCALING = (keras_layers.Normalization, keras_layers.Rescaling)
SPREAD = (0.02, 50)  # standard deviations of scaled images that are possible

# Layers that batch norm can be folded into: a linear map, then a bias for each channel.
FOLDABLE = (
    *(keras_layers.Conv1D, keras_layers.Conv2D, keras_layers.Conv3D, keras_layers.Dense),
    *(keras_layers.Conv1DTranspose, keras_layers.Conv2DTranspose, keras_layers.Conv3DTranspose),
    *(keras_layers.DepthwiseConv1D, keras_layers.DepthwiseConv2D),
    *(keras_layers.SeparableConv1D, keras_layers.SeparableConv2D),
)

# Operations whose outputs LiteRT has on the grid of their inputs. All but pools and resizing
# only move values.
MOVING = (
    *("Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "Flatten", "Reshape"),
    *("Permute", "RepeatVector", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D"),
    *("MaxPooling1D", "MaxPooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "DropPath"),
    *("AveragePooling1D", "AveragePooling2D", "Resize", "Resizing", "UpSampling2D"),
    *("ChannelShuffle", "Pad", "Transpose", "GetItem", "Split", "Squeeze", "ExpandDims"),
)
FUSED = ("relu", "relu6")  # LiteRT applies them to the sums, before these are rounded


@keras.saving.register_keras_serializable("cvcourse")
class FakeQuant(keras.layers.Layer):
    """Round activations to 2^bits values between the lowest and the highest seen, and to 0.

    In training the range is a moving average of the batches' ranges (Jacob et al. 2018, section
    3.1); `calibrate` sets it otherwise. The gradient is that of the clipping. Until it has a range,
    the layer returns its inputs.

    Args:
        bits: Number of bits, 2 to 16.
        momentum: Momentum of the moving average.
        **kwargs: See keras.layers.Layer.

    Shapes:
        (batch, …) -> (batch, …)

    >>> layer = FakeQuant(2)
    >>> layer(ops.array([0.0, 0.9, 2.0, 6.0]), training=True).numpy().tolist()
    [0.0, 0.0, 2.0, 6.0]
    """

    def __init__(self, bits: int = 8, momentum: float = 0.99, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        _check_bits("activation_bits", bits, ACTIVATION_BITS)
        self.bits, self.momentum = bits, momentum
        self.supports_masking = True
        self.calibrating = False

    def build(self, *args, **kwargs):
        self.low, self.high = (
            self.add_weight(
                shape=(), initializer="zeros", dtype="float32", trainable=False, name=name
            )
            for name in ("low", "high")
        )

    def call(self, inputs, training=None):
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(inputs.dtype)):
            return inputs  # such as tokens
        if training or self.calibrating:
            # 0 must be a value of the grid, for padding: section 2.1
            low = ops.cast(ops.minimum(ops.min(inputs), 0), "float32")
            high = ops.cast(ops.maximum(ops.max(inputs), 0), "float32")
            if self.calibrating:
                self.low.assign(ops.minimum(self.low, low))
                self.high.assign(ops.maximum(self.high, high))
                return inputs
            keep = ops.where(self.low < self.high, self.momentum, 0.0)
            self.low.assign(keep * self.low + (1 - keep) * low)
            self.high.assign(keep * self.high + (1 - keep) * high)
            # Without `where`, a third of the time of a step; only zeros have an empty range.
            return fake_quant(inputs, self.low, ops.maximum(self.high, TINY), self.bits)
        rounded = fake_quant(inputs, self.low, self.high, self.bits)
        return ops.where(self.low < self.high, rounded, inputs)

    def compute_output_spec(self, inputs, training=None):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "bits": self.bits, "momentum": self.momentum}


def fake_quant(x, low, high, bits):
    """Round `x` to 2^bits evenly spaced values from `low` to `high`, moved so that 0 is one."""
    return keras.quantizers.fake_quant_with_min_max_vars(x, low, high, num_bits=bits)


@keras.saving.register_keras_serializable("cvcourse")
class QuantizedKernel(KernelWrapper):
    """Layer whose kernels are rounded to -(2^(bits-1) - 1) … 2^(bits-1) - 1 times a scale.

    The scale of an output channel is its largest weight over the largest integer. The gradient of
    the rounding is 1, the straight-through estimator.

    Args:
        layer: Layer whose kernels are rounded.
        kernel_names: Names of the kernels.
        bits: Number of bits.
        per_channel: Whether each output channel has its own scale, or the kernel has one.
        **kwargs: See keras.layers.Layer.
    """

    def __init__(self, layer, kernel_names, bits=8, per_channel=True, **kwargs):
        super().__init__(layer, kernel_names, **kwargs)
        self.bits, self.per_channel = bits, per_channel

    def kernel_value(self, kernel, variables):
        weights, scale = ops.convert_to_tensor(kernel.variable), self.scale(kernel)
        rounded = ops.round(ops.cast(weights, "float32") / scale) * scale
        return straight_through(ops.stop_gradient(rounded), weights)

    def scale(self, kernel):
        """Return the scale of each channel, with the rank of the kernel."""
        weights = ops.cast(kernel.variable, "float32")
        axes = kernel.filter_axes if self.per_channel else ()
        others = [axis for axis in range(len(weights.shape)) if axis not in axes]
        largest = ops.max(ops.abs(weights), axis=others, keepdims=True)
        return ops.maximum(largest, TINY) / (2 ** (self.bits - 1) - 1)

    def get_config(self):
        return {**super().get_config(), "bits": self.bits, "per_channel": self.per_channel}


def quantization_aware(
    model: keras.Model,
    bits: int = 8,
    *,
    activation_bits: int = 8,
    per_channel: bool = True,
    layers: Sequence[str] | None = None,
    skip: Sequence[str] = (),
) -> keras.Model:
    """Fold batch norm, round kernels, and put a `FakeQuant` after the input and each sum.

    Kernels, depthwise ones too, are rounded in each forward pass; the trained variables stay
    float32. Biases and normalization are not rounded. With `calibrate` and no training, this is
    post-training quantization; with training, quantization-aware training. `bake` makes plain
    layers of the rounded ones.

    Args:
        model: Functional or Sequential keras.Model.
        bits: Number of bits of a weight, 2 to 8.
        activation_bits: Number of bits of an activation, 2 to 16.
        per_channel: Whether each output channel has its own scale.
        layers: Names of the layers whose kernels are rounded. If None, all.
        skip: Names of layers to leave out.

    Returns:
        An uncompiled functional keras.Model with the layers' names of `model`.

    Raises:
        ValueError: For other numbers of bits, an unknown layer, and a model without a known graph
            or without kernels.

    >>> net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> net.set_weights([np.array([[-0.9], [2.0]])])
    >>> quantization_aware(net, bits=2)(np.ones((1, 2))).numpy().tolist()  # weights 0 and 2
    [[2.0]]
    """
    _check_bits("bits", bits, BITS)
    _check_bits("activation_bits", activation_bits, ACTIVATION_BITS)
    folded = fold_batch_norm(model)
    if layers is None:  # by name, which takes depthwise and small kernels too
        layers = [
            step.name
            for step in opened(folded).steps
            if step.name not in skip and any(of_layer(step.operation, "", depthwise=True))
        ]
    chosen = kernels(folded, layers=layers or None, skip=skip)
    tell_untouched("quantization_aware", folded, chosen)

    def quantized(layer, names, _):
        return QuantizedKernel(layer, names, bits, per_channel)

    return _with_fake_quants(wrapped(folded, chosen, quantized), activation_bits)


def calibrate(model: keras.Model, images: ArrayLike) -> keras.Model:
    """Set the range of each `FakeQuant` to the lowest and highest activation of some images.

    Activations are those of a net in which nothing but the kernels is rounded.

    Args:
        model: keras.Model of `quantization_aware`.
        images: Images (n, h, w, c), at least 10, in the range of pixels that the model takes.

    Returns:
        A copy of the model with these ranges.

    Raises:
        ValueError: If the model has no FakeQuant, or for images that are too few, all equal, not
            finite, of another shape, or 0..1 for a model of raw images, which begins with a
            Normalization of larger pixels.

    >>> net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="logits")])
    >>> net = calibrate(quantization_aware(net), np.arange(10.0)[:, None])
    >>> float(net.get_layer("logits_input_fake_quant").high)
    9.0
    """
    require_graph(model)
    images = calibration_images(model, images)
    copy = replaced(model)
    quantizers = fake_quants(copy).values()
    if not quantizers:
        raise ValueError(
            f"{model.name} has no FakeQuant layer: calibrate takes a model of quantization_aware"
        )
    for layer in quantizers:
        layer.low.assign(0), layer.high.assign(0)
        layer.calibrating = True
    for start in range(0, len(images), BATCH):
        copy(images[start : start + BATCH], training=False)
    for layer in quantizers:
        layer.calibrating = False
    return copy


def fake_quants(model: keras.Model) -> dict[str, FakeQuant]:
    """Return the FakeQuant layers of a model by the names of their steps."""
    steps = [(step.name, step.operation) for step in opened(model).steps]
    return {name: layer for name, layer in steps if isinstance(layer, FakeQuant)}


def calibration_images(model: Any, images: ArrayLike) -> np.ndarray:
    """Return images for calibration as float32; raise ValueError for unfit ones."""
    images = np.asarray(images, "float32")
    graph = opened(model)
    inputs = [*graph.inputs.values()]
    if len(inputs) != 1:
        raise ValueError(f"{model.name} has {len(inputs)} inputs; only one is supported")
    wanted = inputs[0].shape[1:]
    sides = zip(images.shape[1:], wanted, strict=False)
    if images.ndim != len(wanted) + 1 or any(b not in (None, a) for a, b in sides):
        raise ValueError(
            f"calibration images have the shape {images.shape}; {model.name} takes (n, "
            f"{', '.join(map(str, wanted))})"
        )
    if len(images) < LEAST_IMAGES:
        raise ValueError(
            f"calibration needs at least {LEAST_IMAGES} images, better 100; received {len(images)}"
        )
    low, high = float(images.min()), float(images.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("calibration images contain NaN or infinite pixels")
    if low == high or (images == images[:1]).all():
        raise ValueError(
            "all calibration images are equal: pass images drawn from the training split"
        )
    for step in graph.steps:
        if not step.inputs or step.inputs[0] not in inputs:
            continue
        if isinstance(step.operation, FakeQuant):
            inputs += step.outputs
        if isinstance(step.operation, SCALING):
            spread = float(np.std(step.operation(images)))
            if not SPREAD[0] < spread < SPREAD[1]:
                raise ValueError(
                    f"calibration images span {low:g}..{high:g}, which {step.name} of {model.name} "
                    f"scales to a standard deviation of {spread:.2g}: pass raw images in the range "
                    "of pixels that the model was trained on, such as 0..255"
                )
    return images


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Fold batch norm into the convolution or dense layer before it, by its moving averages.

    With gamma, beta, mean, variance of a channel, its weights are multiplied by
    gamma / sqrt(variance + epsilon), and its bias becomes beta + (bias - mean) * that factor: Jacob
    et al. 2018, section 3.2. An Identity takes the place and name of the batch norm. One line tells
    which batch norms stay, since there is no such layer before them, or it has other uses.

    Args:
        model: Functional or Sequential keras.Model.

    Returns:
        An uncompiled functional keras.Model with the outputs of `model` in inference.

    Raises:
        ValueError: For a model without a known graph.

    >>> net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    >>> net.add(keras.layers.BatchNormalization())
    >>> net.count_params(), fold_batch_norm(net).count_params()
    (14, 8)
    """
    model = plain(model)
    graph = opened(model)
    replacements: dict[str, list[keras.Operation]] = {}
    left = []
    for step in graph.steps:
        norm = step.operation
        if isinstance(norm, keras.layers.BatchNormalization):
            before = _linear_before(graph, step)
            if before is None:
                left.append(step.name)
                continue
            replacements[before.name] = [_folded(before.operation, norm)]
            replacements[step.name] = [
                keras.layers.Identity(name=norm.name, dtype=norm.dtype_policy.name)
            ]
    if left:
        print(f"fold_batch_norm: unchanged: {', '.join(left)}", file=sys.stderr, flush=True)
    return replaced(model, replacements)


def quantized_bytes(model: keras.Model) -> int:
    """Count the bytes of a model's weights, with rounded kernels packed into their bits.

    Args:
        model: keras.Model of `quantization_aware`.

    Returns:
        Bytes of the integers, of their float32 scales, and of all other weights in float32, without
        the ranges of activations.

    Raises:
        ValueError: For a model without a known graph.

    >>> net = keras.Sequential([keras.Input((16,)), keras.layers.Dense(3)])
    >>> quantized_bytes(quantization_aware(net, bits=4))  # 48 / 2, 3 scales and 3 biases
    48
    """
    require_graph(model)
    total = 0
    for layer in {id(step.operation): step.operation for step in opened(model).steps}.values():
        others = [] if isinstance(layer, FakeQuant) else [*getattr(layer, "weights", ())]
        if isinstance(layer, QuantizedKernel):
            for kernel in layer._kernels:
                others = [weight for weight in others if weight is not kernel.variable]
                total += -(-kernel.size * layer.bits // 8)
                total += 4 * math.prod(layer.scale(kernel).shape)
        total += sum(4 * math.prod(weight.shape) for weight in others)
    return total


def _check_bits(name, bits, known):
    if bits == 1 and known is BITS:
        raise ValueError("weights of 1 bit have other methods: use binarize")
    if bits not in known:
        raise ValueError(f"{name} must be {known[0]} to {known[-1]}; received {bits}")


def _with_fake_quants(model: keras.Model, bits: int) -> keras.Model:
    """Copy a model with a FakeQuant after each value that LiteRT would round."""
    graph = opened(model)
    if found := fake_quants(model):  # of `quantization_aware` before
        new = {name: [FakeQuant(bits, name=layer.name)] for name, layer in found.items()}
        return replaced(model, new)
    inputs = {id(value) for value in graph.inputs.values()}
    uses = _uses(graph)
    calls = collections.Counter(step.name for step in graph.steps)
    replacements: dict[str, list[keras.Operation]] = {}
    for step in graph.steps:
        chain = replacements.get(step.name) or [copied(step.operation)]
        name, after = step.operation.name, isinstance(chain[-1], FakeQuant)
        takes_one = len(step.inputs) == len(step.args) == 1 and isinstance(
            step.operation, keras.Layer
        )
        if takes_one and id(step.inputs[0]) in inputs and calls[step.name] == 1:
            chain.insert(0, FakeQuant(bits, name=f"{name}_input_fake_quant"))
        moves = type(step.operation).__name__ in MOVING or _is_linear(step.operation)
        if not after and len(step.outputs) == 1 and not moves and not _fuses(step, uses):
            chain.append(FakeQuant(bits, name=f"{name}_fake_quant"))
        if len(chain) > 1:
            replacements[step.name] = chain
    return replaced(model, replacements)


def _uses(graph: Graph) -> dict[int, list[Step | None]]:
    """Return the steps that use each value, with None for the model's outputs."""
    uses: dict[int, list[Step | None]] = {}
    for step in graph.steps:
        for value in step.inputs:
            uses.setdefault(id(value), []).append(step)
    for value in graph.outputs.values():
        uses.setdefault(id(value), []).append(None)
    return uses


def _fuses(step, uses) -> bool:
    """Check whether all uses of a step's output, after linear activations, are ReLU or ReLU6."""
    for use in uses.get(id(step.outputs[0]), []):
        if use is None:
            return False
        if not (_fuses(use, uses) if _is_linear(use.operation) else _activation(use) in FUSED):
            return False
    return True


def _activation(step) -> str | None:
    """Return the name of the activation function of an activation layer or operation."""
    function = getattr(step.operation, "activation", None)
    if type(step.operation).__name__ == "Activation":
        return getattr(function, "__name__", None)
    return type(step.operation).__name__.lower().replace("_", "")


def _is_linear(operation) -> bool:
    """Check whether an operation returns its input, in training too."""
    return isinstance(operation, keras.layers.Identity) or (
        type(operation) is keras.layers.Activation
        and operation.activation is keras.activations.linear
    )


def _linear_before(graph: Graph, norm: Step) -> Step | None:
    """Return the step of a foldable layer whose output only a batch norm uses."""
    uses = _uses(graph)
    makers = {id(value): step for step in graph.steps for value in step.outputs}
    calls = collections.Counter(id(step.operation) for step in graph.steps)
    step = norm
    while calls[id(step.operation)] == 1 and len(step.inputs) == 1:
        value = step.inputs[0]
        before = makers.get(id(value))
        if before is None or len(uses[id(value)]) > 1:
            return None
        if not _is_linear(before.operation):
            once = calls[id(before.operation)] == 1
            return before if once and _can_fold(before, norm) else None
        step = before
    return None


def _can_fold(step, norm) -> bool:
    layer, rank = step.operation, len(step.outputs[0].shape)
    first = getattr(layer, "data_format", None) == "channels_first"
    return (
        isinstance(layer, FOLDABLE)
        and type(layer).__module__.split(".")[0] in ("keras", "cvcourse")  # others may compute more
        and layer.activation is keras.activations.linear
        and not getattr(layer, "lora_enabled", False)
        and not getattr(layer, "quantization_mode", None)
        and norm.operation.axis % rank == (1 if first else rank - 1)
    )


def _folded(layer, norm):
    """Return a copy of a layer that computes it and then a batch norm, with a bias."""

    def array(variable, default):
        return default if variable is None else np.array(variable, "float64")

    factor = array(norm.gamma if norm.scale else None, 1.0) / np.sqrt(
        array(norm.moving_variance, None) + norm.epsilon
    )
    shift = array(norm.beta if norm.center else None, 0.0)
    bias = array(layer.bias if layer.use_bias else None, 0.0)
    copy = type(layer).from_config({**layer.get_config(), "use_bias": True})
    build_like(copy, layer)
    kernels_of = (of_layer(each, "", depthwise=True) for each in (copy, layer))
    for new, old in zip(*kernels_of, strict=True):
        new.variable.assign(old.variable)
    sides = [n if i in old.filter_axes else 1 for i, n in enumerate(old.variable.shape)]
    new.variable.assign(np.array(old.variable, "float64") * factor.reshape(sides))
    copy.bias.assign(shift + (bias - array(norm.moving_mean, None)) * factor)
    return copy
