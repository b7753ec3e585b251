"""Binary weights: each filter becomes two values, of the same size and opposite signs.

BinaryConnect: Courbariaux, Bengio & David, NIPS 2015, https://arxiv.org/abs/1511.00363.
BWN and XNOR: Rastegari, Ordonez, Redmon & Farhadi, "XNOR-Net: ImageNet classification using binary
convolutional neural networks", ECCV 2016, https://arxiv.org/abs/1603.05279.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from cvcourse.compression.kernel_wrapper import KernelWrapper, plain, straight_through, wrapped
from cvcourse.compression.kernels import Kernel, kernels_between, tell_untouched
from cvcourse.compression.surgery import build_like
from cvcourse.errors import pick
from cvcourse.layers import BatchNormalization


@keras.saving.register_keras_serializable("cvcourse")
class BinaryWeights(KernelWrapper):
    """Layer whose filters are alpha * sign(w) with alpha = mean |w| of the filter (BWN)."""

    def kernel_value(self, kernel: Kernel, variables: Any) -> Any:
        weights = kernel.variable.value
        size = ops.abs(weights)
        axes = [i for i in range(len(weights.shape)) if i not in kernel.filter_axes]
        alpha = ops.stop_gradient(ops.mean(size, axis=axes, keepdims=True))  # eq. 6
        count = math.prod(weights.shape[i] for i in axes)
        slope = 1 / count + alpha * ops.cast(size < 1, weights.dtype)  # section 3.1, training
        return straight_through(ops.where(weights >= 0, alpha, -alpha), weights, slope)


@keras.saving.register_keras_serializable("cvcourse")
class BinaryConnect(KernelWrapper):
    """Layer whose kernels are h * sign(w), with w clipped to -h … h after each update.

    The authors' code has h = sqrt(1.5 / (inputs + outputs)) instead of the paper's 1
    (https://github.com/MatthieuCourbariaux/BinaryConnect, binary_connect.py), so that activations
    keep their size without batch normalization. Weights are binarized deterministically, eq. 1.
    """

    def add_variables(self, kernel: Kernel) -> float:
        shape = kernel.variable.shape
        field = math.prod(shape[:-2])  # pixels of a filter; 1 for dense layers
        limit = math.sqrt(1.5 / (field * (shape[-2] + shape[-1])))
        kernel.variable.constraint = Clip(limit)
        return limit

    def kernel_value(self, kernel: Kernel, variables: float) -> Any:
        weights = kernel.variable.value
        return straight_through(ops.where(weights >= 0, variables, -variables), weights)


@keras.saving.register_keras_serializable("cvcourse")
class Clip(keras.constraints.Constraint):
    """Constraint that clips weights to -limit … limit after each update.

    Args:
        limit: Largest absolute value.
    """

    def __init__(self, limit: float):
        self.limit = limit

    def __call__(self, w: Any) -> Any:
        return ops.clip(w, -self.limit, self.limit)

    def get_config(self) -> dict:
        return {"limit": self.limit}


@keras.saving.register_keras_serializable("cvcourse")
class BinaryInput(keras.layers.Wrapper):
    """Convolution or dense layer of binary inputs: batch normalization, signs, product.

    The product with the signs of the normalized inputs is multiplied by K, the mean absolute input
    of each window (eq. 11), before the layer's bias and activation. If the kernel is alpha times
    signs, all multiplications within the product are of signs.

    Args:
        layer: Conv1D, Conv2D, Conv3D or Dense.
        **kwargs: See keras.layers.Layer.
    """

    def __init__(self, layer: Any, **kwargs: Any):
        super().__init__(layer, **{"name": layer.name, "dtype": layer.dtype_policy, **kwargs})
        self.norm = BatchNormalization(  # settings of the authors' models/alexnetxnor.lua
            epsilon=1e-4,
            momentum=0.9,
            center=False,
            scale=False,
            dtype=self.dtype_policy,
            name="norm",
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
        self.norm.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        layer, kernel = self.layer, ops.convert_to_tensor(self.layer.kernel)
        inputs = self.norm(inputs, training=training)
        size = ops.abs(inputs)
        signs = ops.where(inputs >= 0, ops.ones_like(inputs), -ops.ones_like(inputs))
        signs = straight_through(signs, inputs, ops.cast(size < 1, inputs.dtype))
        groups = getattr(layer, "groups", 1)
        box = ops.ones_like(kernel[..., :groups]) / math.prod(kernel.shape[:-1])
        scale = self._product(size, box)
        if groups > 1:
            scale = ops.repeat(scale, kernel.shape[-1] // groups, axis=-1)
        outputs = self._product(signs, kernel) * scale
        if layer.bias is not None:
            outputs = outputs + layer.bias
        return layer.activation(outputs) if layer.activation is not None else outputs

    def _product(self, inputs, kernel):
        if isinstance(self.layer, keras.layers.Dense):
            return ops.matmul(inputs, kernel)
        return self.layer.convolution_op(inputs, kernel)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return self.layer.compute_output_shape(input_shape)


METHODS = {"bwn": BinaryWeights, "binaryconnect": BinaryConnect, "xnor": BinaryWeights}


def binarize(
    model: keras.Model, method: str = "bwn", keep: Sequence[str] = ("first", "last")
) -> keras.Model:
    """Give the convolutions and dense layers of a model filters of two values.

    The values are computed from float weights, which are trained further: their gradients pass
    straight through. `bake` ends with plain layers. Biases, normalization and depthwise kernels
    remain.

    With "xnor", the inputs are binary, too. The order of a block matters (section 3.2 and table 3
    of the paper): batch normalization must come directly before the signs, or inputs after a ReLU
    would all be +1, and pooling after the convolution, or most windows would have the maximum +1.
    The layers therefore normalize their inputs themselves (`BinaryInput`, which `bake` keeps);
    pools and activations of the model stay where they are.

    Args:
        model: Functional or Sequential keras.Model, usually trained. It is not changed.
        method: "bwn" (Rastegari et al. 2016, section 3.1), "binaryconnect" (Courbariaux et al.
            2015) or "xnor" (Rastegari et al. 2016, section 3.2), which leaves attention and
            separable convolutions unchanged.
        keep: Names of layers that keep their kernels; "first" and "last" are the first and the last
            layer with a kernel, as in the authors' code.

    Returns:
        An uncompiled functional keras.Model with the same names of layers, to be trained.

    Raises:
        ValueError: For an unknown method or layer, for a model without a known graph, and if no
            kernel of at least 100 weights is left.

    >>> from cvcourse.compression import bake
    >>> net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, name="dense")])
    >>> kernel = bake(binarize(net, keep=())).get_layer("dense").kernel
    >>> len({*ops.convert_to_numpy(kernel[:, 0])})  # of a filter
    2
    """
    wrapper = pick("method", method, METHODS)
    model = plain(model)
    chosen = kernels_between(model, keep, only=_takes_signs if method == "xnor" else None)
    tell_untouched("binarize", model, chosen)

    def wrap(layer, names, _):
        if method != "xnor":
            return wrapper(layer, names)
        inputs = BinaryInput(type(layer).from_config(layer.get_config()))
        build_like(inputs, layer)
        for new, old in zip(inputs.layer.variables, layer.variables, strict=True):
            new.assign(old)
        return wrapper(inputs, [f"{layer.name}/{name}" for name in names])

    return wrapped(model, chosen, wrap)


def _takes_signs(kernel):
    """Return whether the inputs of a kernel are those of its layer."""
    return kernel.layer is kernel.owner and (
        isinstance(kernel.layer, keras.layers.Dense)
        or (hasattr(kernel.layer, "convolution_op") and kernel.layer.data_format == "channels_last")
    )
