"""The kernels of a model: the weights of convolutions and dense layers, which techniques change."""

import dataclasses
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras

from cvcourse.errors import unknown
from cvcourse.layers.graph import opened, require_graph

MINIMUM = 100  # weights; smaller kernels are not worth a codebook


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel of a model.

    Attributes:
        name: Unique name, "layer/kernel"; within nested models "model/layer/kernel".
        step: Name of the layer in the graph, as in `cvcourse.layers.graph.Step`.
        layer: The layer, a step of the graph.
        owner: The layer that has the variable: `layer`, or a layer within it.
        variable: The variable.
    """

    name: str
    step: str
    layer: keras.Layer
    owner: keras.Layer
    variable: Any

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.variable.shape)

    @property
    def is_convolution(self) -> bool:
        """Whether it belongs to a convolution."""
        return hasattr(self.owner, "kernel_size")

    @property
    def filter_axes(self) -> tuple[int, ...]:
        """Axes of the variable that number the filters (outputs): the last, with exceptions."""
        last = len(self.variable.shape) - 1
        if is_depthwise(self.owner, self.variable.name):  # (…, channels, multiplier)
            return last - 1, last
        return (last - 1 if is_transposed(self.owner) else last,)


def is_depthwise(layer: Any, name: str) -> bool:
    """Whether a weight of a layer is a depthwise kernel."""
    return hasattr(layer, "depth_multiplier") and name in ("kernel", "depthwise_kernel")


def is_transposed(layer: Any) -> bool:
    """Whether the kernel of a layer is (…, filters, channels)."""
    return any(base.__name__ == "BaseConvTranspose" for base in type(layer).__mro__)


def kernels(
    model: keras.Model,
    *,
    layers: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    minimum: int = MINIMUM,
) -> list[Kernel]:
    """List the kernels of convolutions and dense layers, also within attention, in order.

    Depthwise kernels, embeddings, normalization and biases are left out.

    Args:
        model: Functional or Sequential keras.Model.
        layers: Names of the layers to use, which may be depthwise convolutions. If None, all.
        skip: Names of layers to leave out.
        minimum: Least number of weights of a kernel, unless `layers` names its layer.

    Returns:
        The kernels; a shared layer occurs once.

    Raises:
        ValueError: For a model without a known graph, an unknown name, and if no kernel is left.
    """
    require_graph(model)
    found: dict[int, Kernel] = {}
    names: dict[str, Any] = {step.name: step.operation for step in opened(model).steps}
    for name in (*(layers or ()), *skip):
        if name not in names:
            raise ValueError(unknown("layer", name, names))
    for step, layer in names.items():
        if step in skip or (layers is not None and step not in layers):
            continue
        for kernel in of_layer(layer, step, depthwise=layers is not None):
            if layers is not None or kernel.size >= minimum:
                found.setdefault(id(kernel.variable), kernel)
    if not found:
        raise ValueError(
            f"{model.name} has no convolution or dense layer"
            f"{f' of at least {minimum} weights' if minimum > 1 else ''}"
            if layers is None
            else f"the layers {', '.join(layers) or '()'} have no kernel"
        )
    return [*found.values()]


def kernels_between(
    model: keras.Model, keep: Sequence[str], only: Callable[[Kernel], bool] | None = None
) -> list[Kernel]:
    """List the kernels of at least `MINIMUM` weights except those of some layers.

    Args:
        model: Functional or Sequential keras.Model.
        keep: Names of layers to leave out; "first" and "last" are the first and the last layer with
            a kernel of any size.
        only: Function of a Kernel: whether the technique applies to it. If None, to all.

    Returns:
        The kernels.

    Raises:
        ValueError: As `kernels` does, and if no kernel is left.
    """
    every = kernels(model, minimum=1)
    ends = {"first": every[0].step, "last": every[-1].step}
    kept = {ends.get(name, name) for name in keep}
    found = [
        kernel
        for kernel in kernels(model, skip=[name for name in keep if name not in ends], minimum=1)
        if kernel.step not in kept and kernel.size >= MINIMUM and (only is None or only(kernel))
    ]
    if not found:
        raise ValueError(
            f"{model.name} has no kernel of at least {MINIMUM} weights that could be changed "
            f"besides keep={', '.join(keep) or 'none'}"
        )
    return found


def of_layer(layer: Any, step: str, *, depthwise: bool = False) -> Iterator[Kernel]:
    """Yield the kernels of a layer, of any size; depthwise ones only if asked."""
    if not isinstance(layer, keras.Layer):
        return

    def of_owner(owner, name):  # not by variable.path, which depends on how a layer was built
        if getattr(owner, "lora_enabled", False):  # its kernel is a sum, which saving changes
            return
        for variable in owner._trainable_variables:
            of_depth = is_depthwise(owner, variable.name)
            if variable.name.endswith("kernel") and (depthwise or not of_depth):
                yield Kernel(f"{name}/{variable.name}", step, layer, owner, variable)
        for inner, within in _stable_names(owner):
            yield from of_owner(inner, f"{name}/{within}")

    yield from of_owner(layer, step)


def _stable_names(owner) -> Iterator[tuple[Any, str]]:
    """Yield the layers in a layer with names that a copy has, too: Keras numbers unnamed layers."""
    taken: set[str] = set()
    for inner in owner._flatten_layers(recursive=False, include_self=False):
        name, number = inner.name, 0
        unnumbered = name.rstrip("0123456789").rstrip("_")
        if unnumbered.replace("_", "") == type(inner).__name__.lower():
            name = unnumbered
        while (unique := f"{name}_{number}" if number else name) in taken:
            number += 1
        taken.add(unique)
        yield inner, unique


def tell_untouched(technique: str, model: keras.Model, touched: Iterable[Kernel]) -> None:
    """Print one line with the layers that keep all their weights, unless they have few.

    Args:
        technique: Name of the technique.
        model: The model.
        touched: The kernels that the technique changes.
    """
    names = {kernel.step for kernel in touched}
    steps = opened(model).steps
    changed = {id(step.operation) for step in steps if step.name in names}  # by any of its names
    left = {
        step.name: type(step.operation).__name__
        for step in steps
        if id(step.operation) not in changed
        and any(
            math.prod(weight.shape) >= MINIMUM and len(weight.shape) > 1
            for weight in getattr(step.operation, "weights", ())
        )
    }
    if left:
        listed = ", ".join(f"{name} ({kind})" for name, kind in left.items())
        print(f"{technique}: unchanged: {listed}", file=sys.stderr, flush=True)
