"""A layer whose kernels are computed from other variables, such as a codebook and indices."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from cvcourse.compression.kernels import Kernel, of_layer
from cvcourse.compression.surgery import build_like, builds_itself, copied, replaced
from cvcourse.layers.graph import opened, require_graph


class KernelWrapper(keras.layers.Wrapper):
    """Base class of layers that call another layer with computed kernels.

    The wrapped layer may have several kernels, as MultiHeadAttention does; every other weight of it
    is used as it is. A subclass defines `kernel_value`, and `add_variables` if it needs variables
    besides the layer's own; it is registered with Keras.

    Args:
        layer: Layer that is built.
        kernel_names: Names of the kernels that are computed, relative to the layer.
        **kwargs: See keras.layers.Layer. `name` is that of the layer unless given.
    """

    def __init__(self, layer: Any, kernel_names: Sequence[str], **kwargs: Any):
        # In the dtype of the variables: with another one, Keras 3.15 casts them despite autocast.
        own = {"name": layer.name, "dtype": layer.variable_dtype, "trainable": layer.trainable}
        super().__init__(layer, autocast=False, **{**own, **kwargs})
        self.kernel_names = [*kernel_names]
        self.supports_masking = layer.supports_masking

    def add_variables(self, kernel: Kernel) -> Any:
        """Create further variables of a kernel; return them in any structure."""
        return None

    def kernel_value(self, kernel: Kernel, variables: Any) -> Any:
        """Return the tensor of a kernel, of its variable's shape, from `add_variables`' result."""
        raise NotImplementedError

    def build(self, *args: Any, **kwargs: Any) -> None:
        if not self.layer.built:
            self.layer.build(*args, **kwargs)
        known = {
            kernel.name.partition("/")[2]: kernel
            for kernel in of_layer(self.layer, "layer", depthwise=True)
        }
        self._kernels = [known[name] for name in self.kernel_names]
        self._computed = [self.add_variables(kernel) for kernel in self._kernels]
        self.built = True

    def kernel_values(self) -> list[Any]:
        """Return the tensors of the kernels."""
        return [
            self.kernel_value(*pair) for pair in zip(self._kernels, self._computed, strict=True)
        ]

    def call(self, *args: Any, **kwargs: Any) -> Any:
        values = {id(v): (v, v.value) for v in self.layer.variables}
        for kernel, value in zip(self._kernels, self.kernel_values(), strict=True):
            values[id(kernel.variable)] = kernel.variable, value
        with keras.StatelessScope(state_mapping=[*values.values()]) as scope:
            outputs = self.layer(*args, **kwargs)
        for variable in self.layer.non_trainable_variables:  # counters, such as a dropout's
            after = scope.get_current_value(variable)
            if after is not values[id(variable)][1]:
                variable.assign(after)
        return outputs

    def compute_mask(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_mask(*args, **kwargs)

    def get_build_config(self) -> dict:
        return self.layer.get_build_config()

    def build_from_config(self, config: dict) -> None:
        if not self.layer.built:
            self.layer.build_from_config(config)
        self.build()

    def get_config(self) -> dict:
        return {**super().get_config(), "kernel_names": self.kernel_names}


def straight_through(value: Any, weights: Any, slope: Any = 1.0) -> Any:
    """Return `value`, with `slope` as its gradient by `weights` (Bengio et al. 2013).

    Args:
        value: Tensor computed from the weights by functions without a useful gradient, such as
            signs. Its gradients by other tensors remain.
        weights: Tensor of finite numbers, of the same shape.
        slope: Tensor of the same shape, or a number.

    >>> float(straight_through(1.0, keras.ops.array(0.3)))
    1.0
    """
    value, slope = (ops.convert_to_tensor(each, weights.dtype) for each in (value, slope))
    through = weights - ops.stop_gradient(weights)  # exactly 0
    return value + ops.stop_gradient(slope) * through


def wrapped(
    model: keras.Model, kernels: Sequence[Kernel], wrapper: Callable[..., KernelWrapper]
) -> keras.Model:
    """Copy a model with wrapped layers.

    Args:
        model: Functional or Sequential keras.Model.
        kernels: Kernels of the model, as `kernels` returns them.
        wrapper: Function (copy of the layer, names of its kernels, its Kernels in the model) ->
            KernelWrapper.

    Returns:
        An uncompiled functional keras.Model; the names of its layers are those of `model`.
    """
    by_step: dict[str, list[Kernel]] = {}
    for kernel in kernels:
        by_step.setdefault(kernel.step, []).append(kernel)
    replacements = {}
    for step, own in by_step.items():
        names = [kernel.name.removeprefix(f"{step}/") for kernel in own]
        if not builds_itself(own[0].layer):
            raise ValueError(
                f"the layer {step!r} of the class {type(own[0].layer).__name__} needs a method "
                f"build(input_shape) that builds its layers; or leave it out: skip=[{step!r}]"
            )
        layer = wrapper(copied(own[0].layer), names, own)
        layer.build()
        replacements[step] = [layer]
    return replaced(model, replacements)


def bake(model: keras.Model) -> keras.Model:
    """Replace wrapped layers by plain ones with the computed kernels.

    Args:
        model: keras.Model with layers of `share_weights`, `quantization_aware`, `ternarize` or
            `binarize`.

    Returns:
        An uncompiled functional keras.Model with the same outputs and the layers of the model
        before.

    Raises:
        ValueError: For a model without a known graph.

    >>> from cvcourse.compression import share_weights
    >>> net = keras.Sequential([keras.Input((50,)), keras.layers.Dense(4, name="logits")])
    >>> type(bake(share_weights(net, bits=2)).get_layer("logits")).__name__
    'Dense'
    """
    require_graph(model)
    replacements = {}
    for step in opened(model).steps:
        wrapper = step.operation
        if isinstance(wrapper, KernelWrapper):
            layer = copied(wrapper.layer)
            build_like(layer, wrapper.layer)
            own = {kernel.name: kernel for kernel in of_layer(layer, "layer", depthwise=True)}
            for kernel, value in zip(wrapper._kernels, wrapper.kernel_values(), strict=True):
                own[kernel.name].variable.assign(value)
            replacements[step.name] = [layer]
    return replaced(model, replacements)


def plain(model: keras.Model) -> keras.Model:
    """Return a model without computed kernels: `model` itself, or else `bake`'s copy of it."""
    require_graph(model)
    computed = any(isinstance(step.operation, KernelWrapper) for step in opened(model).steps)
    return bake(model) if computed else model
