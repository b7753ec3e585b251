"""Magnitude pruning: weights with small absolute values become zero, and the others are trained.

Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NIPS 2015,
https://arxiv.org/abs/1506.02626; gradually during training: Zhu & Gupta, "To prune, or not to
prune", 2017, https://arxiv.org/abs/1710.01878. Biases are kept. A pruned network is smaller only in
a file that codes its zeros, such as `compressed_file` writes; it is not faster.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.compression.kernel_wrapper import bake, plain
from cvcourse.compression.kernels import Kernel, kernels, tell_untouched
from cvcourse.errors import pick

Schedule = Callable[[float], float]


@dataclasses.dataclass(frozen=True)
class Density:
    """Nonzero weights of a kernel.

    Attributes:
        name: Name of the kernel, such as "conv1/kernel".
        weights: Number of weights.
        kept: Number of weights that are not zero.
    """

    name: str
    weights: int
    kept: int

    @property
    def density(self) -> float:
        """Share of the weights that are not zero, 0..1."""
        return self.kept / self.weights


def cubic_density(start: float, end: float) -> Schedule:
    """Create a schedule that prunes fast at first and slowly at the end.

    Args:
        start: Density at the beginning, in (0, 1].
        end: Density at the end, in (0, 1].

    Returns:
        A function progress 0..1 -> density: Zhu & Gupta 2017, equation 1, for the density, which is
        1 minus the sparsity.

    Raises:
        ValueError: For a density outside (0, 1].

    >>> [round(cubic_density(1.0, 0.2)(progress), 3) for progress in (0, 0.25, 0.5, 1)]
    [1.0, 0.538, 0.3, 0.2]
    """
    _require_density(start), _require_density(end)
    return lambda progress: end + (start - end) * (1 - progress) ** 3


def magnitude_masks(
    model: keras.Model,
    density: float,
    *,
    scope: str = "global",
    layers: Sequence[str] | None = None,
    skip: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Select the weights with the largest absolute values.

    Args:
        model: Functional or Sequential keras.Model.
        density: Share of the weights to select, in (0, 1]. Of equal values, the first are selected,
            so that the number is exact.
        scope: "global" compares the weights of all kernels, so that their densities differ; "layer"
            selects the same share of each kernel.
        layers: Names of the layers whose kernels to prune, which may be depthwise convolutions. If
            None, all convolutions and dense layers with at least 100 weights.
        skip: Names of layers to leave out.

    Returns:
        {name of the kernel: boolean array of its shape, True for weights to keep}.

    Raises:
        ValueError: For a density outside (0, 1], an unknown name, or a model without kernels or
            without a known graph.

    >>> net = keras.Sequential([keras.Input((50,)), keras.layers.Dense(4, name="logits")])
    >>> {name: int(mask.sum()) for name, mask in magnitude_masks(net, 0.1).items()}
    {'logits/kernel': 20}
    """
    return _masks(kernels(plain(model), layers=layers, skip=skip), density, scope)


def prune(
    model: keras.Model,
    density: float,
    *,
    scope: str = "global",
    layers: Sequence[str] | None = None,
    skip: Sequence[str] = (),
) -> keras.Model:
    """Set the weights with the smallest absolute values to zero, at once and without training.

    Args:
        model: Functional or Sequential keras.Model. It is not changed.
        density: Share of the weights to keep, in (0, 1].
        scope: "global" or "layer"; see `magnitude_masks`.
        layers: Names of the layers to prune; see `magnitude_masks`.
        skip: Names of layers to leave out.

    Returns:
        An uncompiled functional keras.Model. Layers with computed kernels, such as those of
        `share_weights`, are plain layers in it.

    Raises:
        ValueError: As `magnitude_masks`.

    >>> net = keras.Sequential([keras.Input((50,)), keras.layers.Dense(4, name="logits")])
    >>> [row.density for row in density(prune(net, 0.1))]
    [0.1]
    """
    pruned = bake(model)
    found = kernels(pruned, layers=layers, skip=skip)
    for kernel, mask in zip(found, _masks(found, density, scope).values(), strict=True):
        kernel.variable.assign(ops.where(mask, kernel.variable.value, 0))
    tell_untouched("prune", model, found)
    return pruned


def density(model: keras.Model) -> list[Density]:
    """Count the nonzero weights of each kernel, also of small ones, without biases.

    Args:
        model: Functional or Sequential keras.Model.

    Returns:
        A Density for each kernel of convolutions and dense layers, in order. That of the network is
        the sum of `kept` over the sum of `weights`.

    Raises:
        ValueError: For a model without kernels or without a known graph.

    >>> net = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, name="logits")])
    >>> density(net)
    [Density(name='logits/kernel', weights=20, kept=20)]
    """
    return [
        Density(kernel.name, kernel.size, int(np.count_nonzero(_array(kernel))))
        for kernel in kernels(plain(model), minimum=1)
    ]


class MagnitudePruning(keras.callbacks.Callback):
    """Callback: prune gradually during training; pruned weights are zero after each batch.

    The optimizer's variables for pruned weights, such as momenta and moving averages, are set to
    zero as well. A weight that is zero after a batch counts as pruned from then on: it does not
    come back, and a network that was pruned before keeps its zeros. The state is therefore in the
    weights and in the optimizer's step, and training that is resumed from both continues exactly.
    With `steps_per_execution`, weights are set to zero after each execution.

    Args:
        density: Density at `end`, in (0, 1], which is reached by `cubic_density(1, density)`; or a
            schedule, a function progress 0..1 -> density.
        begin: Number of batches after which weights are pruned first, counted from the optimizer's
            first, also if gradients are accumulated. 0 prunes before the first batch.
        end: Number of batches after which weights are pruned for the last time; they stay zero.
            If it is `begin`, weights are pruned once.
        every: Number of batches between two times.
        scope: "global" or "layer"; see `magnitude_masks`.
        layers: Names of the layers to prune; see `magnitude_masks`.
        skip: Names of layers to leave out.

    Raises:
        ValueError: For bad values; in `fit`, as `magnitude_masks`.

    >>> net = keras.Sequential([keras.Input((50,)), keras.layers.Dense(4, name="logits")])
    >>> net.compile("adam", "mse")
    >>> callback = MagnitudePruning(0.1, begin=0, end=10, every=2)
    >>> x, y = np.ones((32, 50)), np.ones((32, 4))
    >>> fitted = net.fit(x, y, batch_size=2, callbacks=[callback], verbose=0)
    >>> [row.kept for row in density(net)]
    [20]
    """

    def __init__(
        self,
        density: float | Schedule,
        *,
        begin: int,
        end: int,
        every: int = 100,
        scope: str = "global",
        layers: Sequence[str] | None = None,
        skip: Sequence[str] = (),
    ):
        super().__init__()
        if not 0 <= begin <= end or every < 1:
            raise ValueError(
                "needs 0 <= begin <= end and every >= 1; received "
                f"begin={begin}, end={end}, every={every}"
            )
        pick("scope", scope, SCOPES)
        self.schedule = density if callable(density) else cubic_density(1.0, density)
        self.begin, self.end, self.every = begin, end, every
        self.scope, self.layers, self.skip = scope, layers, skip
        self._told = False

    def on_train_begin(self, logs=None):
        self._kernels = kernels(self.model, layers=self.layers, skip=self.skip)
        self._kept = [
            keras.Variable(np.ones(kernel.variable.shape, "bool"), dtype="bool", trainable=False)
            for kernel in self._kernels
        ]
        self._apply = None  # the optimizer may have no variables yet
        self._pruned_at = None
        if not self._told:
            tell_untouched("prune", self.model, self._kernels)
            self._told = True
        self._sparsify(self._step(), self._mask)

    def on_train_batch_end(self, batch, logs=None):
        if self._apply is None:
            self._apply = self._mask if self.model.run_eagerly else _compiled(self._mask)
        self._sparsify(self._step(), self._apply)

    def is_sparse(self, step: int) -> bool:
        """Check whether pruned weights are zero after a number of batches."""
        return step >= self.begin

    def _step(self):
        """Return the number of batches that the optimizer has seen."""
        if hasattr(self.model, "jax_state_sync"):  # JAX updates variables late within an epoch
            self.model.jax_state_sync()
        return int(ops.convert_to_numpy(inner_optimizer(self.model.optimizer)._iterations))

    def _sparsify(self, step, mask):
        """Prune if it is due after a number of batches, and call `mask`."""
        if not self.is_sparse(step):
            return
        mask()  # before weights are selected: none comes back by its last update
        due = self.end if step >= self.end else step - (step - self.begin) % self.every
        if due != self._pruned_at:  # several batches may have passed: steps_per_execution
            self._prune(due)
            mask()

    def _prune(self, step):
        """Select the weights to keep after a number of batches."""
        self._pruned_at = step
        progress = 1.0 if step == self.end else (step - self.begin) / (self.end - self.begin)
        masks = _masks(self._kernels, self.schedule(progress), self.scope)
        for kernel, kept, mask in zip(self._kernels, self._kept, masks.values(), strict=True):
            kept.assign(mask & (_array(kernel) != 0))

    def _mask(self):
        """Set what belongs to pruned weights to zero, on the device."""
        for kernel, kept in zip(self._kernels, self._kept, strict=True):
            weight = kernel.variable
            for variable in (weight, *_slots(inner_optimizer(self.model.optimizer), weight)):
                # Not a product: some optimizers make NaN of a weight without gradients.
                variable.assign(ops.where(kept.value, variable.value, 0))
            kept.assign(ops.not_equal(weight.value, 0))


def _require_density(density):
    if not (isinstance(density, numbers.Real) and 0 < density <= 1):
        raise ValueError(f"density must be above 0 and at most 1; received {density!r}")


def _masks(found: Sequence[Kernel], density: float, scope: str) -> dict[str, np.ndarray]:
    """Select weights of kernels; see `magnitude_masks`."""
    _require_density(density)
    select = pick("scope", scope, SCOPES)
    arrays = (np.abs(_array(kernel)) for kernel in found)
    # NaN counts as large: a network that diverges keeps it, and training notices.
    masks = select([np.where(np.isnan(array), np.inf, array) for array in arrays], density)
    return {kernel.name: mask for kernel, mask in zip(found, masks, strict=True)}


def _largest(magnitudes, density):
    """Return a mask of the largest numbers of an array, the first ones of equal numbers."""
    flat = magnitudes.ravel()
    count = max(1, math.floor(density * flat.size + 0.5))
    threshold = np.partition(flat, flat.size - count)[flat.size - count]
    mask = flat > threshold
    mask[np.flatnonzero(flat == threshold)[: count - np.count_nonzero(mask)]] = True
    return mask.reshape(magnitudes.shape)


def _largest_of_all(magnitudes, density):
    """Return masks of the largest numbers of several arrays together."""
    mask = _largest(np.concatenate([array.ravel() for array in magnitudes]), density)
    ends = np.cumsum([array.size for array in magnitudes])[:-1]
    parts = zip(np.split(mask, ends), magnitudes, strict=True)
    return [part.reshape(array.shape) for part, array in parts]


SCOPES = {
    "global": _largest_of_all,
    "layer": lambda magnitudes, density: [_largest(array, density) for array in magnitudes],
}


def _array(kernel: Kernel) -> np.ndarray:
    return ops.convert_to_numpy(kernel.variable).astype("float32")


def inner_optimizer(optimizer):
    """Return the optimizer within a LossScaleOptimizer."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _slots(optimizer: Any, weight: Any) -> list[Any]:
    """List the optimizer's variables with a number for each number of a weight."""
    index = optimizer._trainable_variables_indices.get(optimizer._var_key(weight))
    if index is None:  # of a frozen layer
        return []
    found = _entries([*vars(optimizer).values()], index, len(optimizer._trainable_variables))
    return [slot for slot in found if slot.shape == weight.shape and slot is not weight]


def _entries(values, index, count):
    """Yield the variables at an index of lists, in lists, that have one entry for each weight."""
    for value in values:
        if isinstance(value, list) and len(value) == count and _is_variable(value[index]):
            yield value[index]
        elif isinstance(value, list):
            yield from _entries(value, index, count)


def _is_variable(value):
    return isinstance(value, keras.Variable)


def _compiled(function):
    """Compile a function without arguments, where that is faster."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function)
