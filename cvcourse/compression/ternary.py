"""Ternary weights: each kernel becomes three values, a negative one, 0 and a positive one.

TWN: Li, Zhang & Liu, "Ternary weight networks", 2016, https://arxiv.org/abs/1605.04711v2; version 3
of 2022 has the threshold 0.75 mean |w|.
TTQ: Zhu, Han, Mao & Dally, "Trained ternary quantization", ICLR 2017,
https://arxiv.org/abs/1612.01064.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from cvcourse.compression.kernel_wrapper import KernelWrapper, plain, straight_through, wrapped
from cvcourse.compression.kernels import Kernel, kernels_between, tell_untouched
from cvcourse.errors import pick

TWN_THRESHOLD = 0.7  # times mean |w|: eq. 6
TTQ_THRESHOLD = 0.05  # times max |w|: eq. 9, and section 5


@keras.saving.register_keras_serializable("cvcourse")
class TernaryWeights(KernelWrapper):
    """Layer whose kernels are -alpha, 0 or alpha (TWN): the nearest such kernels to its weights."""

    def kernel_value(self, kernel: Kernel, variables: Any) -> Any:
        weights = kernel.variable.value
        size = ops.abs(weights)
        large = size > TWN_THRESHOLD * ops.mean(size)
        ternary = _mean(size, large) * ops.sign(weights) * ops.cast(large, weights.dtype)
        return straight_through(ops.stop_gradient(ternary), weights)  # algorithm 1


@keras.saving.register_keras_serializable("cvcourse")
class TrainedTernary(KernelWrapper):
    """Layer whose kernels are -negative, 0 or positive (TTQ), two trained numbers per kernel."""

    def add_variables(self, kernel: Kernel) -> tuple[Any, Any]:
        weights = kernel.variable.value
        names = kernel.name.partition("/")[2].replace("/", "_")

        def add(name, sign):  # the nearest ternary kernel
            start = float(_mean(sign * weights, sign * weights > _ttq_threshold(weights)))
            initializer = keras.initializers.Constant(start)
            return self.add_weight(shape=(), initializer=initializer, name=f"{names}_{name}")

        return add("positive", 1), add("negative", -1)

    def kernel_value(self, kernel: Kernel, variables: tuple[Any, Any]) -> Any:
        weights = kernel.variable.value
        positive, negative = (ops.cast(variable.value, weights.dtype) for variable in variables)
        threshold = _ttq_threshold(weights)
        up = ops.cast(weights > threshold, weights.dtype)
        down = ops.cast(weights < -threshold, weights.dtype)
        # The gradients of the scales are sums over their weights, eq. 7; eq. 7 omits the minus sign
        # of the negative scale, which the authors' code has (https://github.com/czhu95/ternarynet).
        ternary = positive * up - negative * down
        slope = positive * up + negative * down + (1 - up - down)  # eq. 8
        return straight_through(ternary, weights, slope)


METHODS = {"ttq": TrainedTernary, "twn": TernaryWeights}


def ternarize(
    model: keras.Model, method: str = "ttq", keep: Sequence[str] = ("first", "last")
) -> keras.Model:
    """Give the convolutions and dense layers of a model kernels of three values.

    The values are computed from float weights, which are trained further: their gradients pass
    straight through. `bake` ends with plain layers. Biases, normalization and depthwise kernels
    remain.

    Args:
        model: Functional or Sequential keras.Model, usually trained. It is not changed.
        method: "ttq" (Zhu et al. 2017: values +p, 0, -n with p and n trained, threshold 0.05
            max |w|; eq. 6 to 9) or "twn" (Li et al. 2016: +a, 0, -a with a computed, threshold
            0.7 mean |w|; eq. 3 to 6).
        keep: Names of layers that keep their kernels; "first" and "last" are the first and the last
            layer with a kernel, as in TTQ's section 5.

    Returns:
        An uncompiled functional keras.Model with the same names of layers, to be trained.

    Raises:
        ValueError: For an unknown method or layer, for a model without a known graph, and if no
            kernel of at least 100 weights is left.

    >>> from cvcourse.compression import bake
    >>> net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, name="dense")])
    >>> kernel = bake(ternarize(net, keep=())).get_layer("dense").kernel
    >>> len({*ops.convert_to_numpy(kernel).flat})
    3
    """
    wrapper = pick("method", method, METHODS)
    model = plain(model)
    chosen = kernels_between(model, keep)
    tell_untouched("ternarize", model, chosen)
    return wrapped(model, chosen, lambda layer, names, _: wrapper(layer, names))


def _mean(values, where):
    """Return the mean of the values where a mask is True; 0 if it is nowhere."""
    where = ops.cast(where, values.dtype)
    return ops.sum(values * where) / ops.maximum(ops.sum(where), 1)


def _ttq_threshold(weights):
    return TTQ_THRESHOLD * ops.max(ops.abs(weights))
