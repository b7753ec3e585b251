"""Weight sharing: the weights of a kernel are entries of a small codebook, which is trained.

Han et al., "Deep Compression", ICLR 2016, https://arxiv.org/abs/1510.00149, section 3: k-means
finds the codebook, each weight stores the index of its centroid, and the gradient of a centroid is
the sum of the gradients of its weights (equation 3, figure 3).
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.compression.kernel_wrapper import KernelWrapper, plain, wrapped
from cvcourse.compression.kernels import Kernel, kernels, tell_untouched
from cvcourse.errors import pick, unknown

KINDS = ("conv", "dense")


def kmeans(
    values: Any, k: int, *, init: str = "linear", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster numbers: Lloyd's algorithm in one dimension, until no number changes its cluster.

    In one dimension, clusters are ranges of the sorted numbers, and their means are differences of
    prefix sums: an iteration takes O(k log n) steps.

    Args:
        values: Finite numbers, an array of any shape.
        k: Number of clusters. With at most k different values, each is a centroid.
        init: First centroids, Han et al. 2016, section 3.2: "linear", from the minimum to the
            maximum at equal distances; "density", at equal distances of the cumulative
            distribution; "random", k of the numbers (Forgy).
        seed: Seed of "random".

    Returns:
        centroids, float32 (k,) in ascending order, and labels, the index of the nearest centroid of
        each number, uint8 for k <= 256. A cluster that becomes empty keeps its centroid.

    Raises:
        ValueError: For no numbers, NaN or infinity, k below 1, or an unknown init.

    >>> centroids, labels = kmeans([2.09, -0.98, 1.48, 0.09, 0.05, -0.14, -1.08, 2.12], 4)
    >>> [round(float(value), 3) for value in centroids], labels.tolist()
    ([-1.03, 0.0, 1.48, 2.105], [3, 0, 2, 1, 1, 1, 0, 3])
    """
    values = np.asarray(values, "float32")
    start = pick("init", init, INITS)
    if k < 1:
        raise ValueError(f"k must be at least 1; received {k}")
    ordered = np.sort(values, axis=None)
    if not ordered.size:
        raise ValueError("needs at least one number; received none")
    if not np.isfinite(ordered[[0, -1]]).all():  # NaN is sorted to the end
        raise ValueError("needs finite numbers; received NaN or infinity")
    distinct = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    if distinct.size <= k:
        centroids = np.append(distinct, np.full(k - distinct.size, distinct[-1]))
    else:
        centroids = _lloyd(ordered, start(ordered, k, np.random.default_rng(seed)))
    labels = np.searchsorted(_middles(centroids), values)
    return centroids, labels.astype("uint8" if k <= 256 else "int32")


def _lloyd(ordered, centroids):
    """Return the centroids, float32 (k,), of sorted numbers."""
    centroids = np.sort(centroids.astype("float64"))
    sums = np.append(0.0, np.cumsum(ordered, dtype="float64"))
    ends = None
    while True:
        before, ends = ends, np.searchsorted(ordered, _middles(centroids), side="right")
        if before is not None and np.array_equal(before, ends):
            return centroids.astype("float32")
        bounds = np.concatenate([[0], ends, [ordered.size]])
        counts = np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(counts, 1)
        centroids = np.sort(np.where(counts, means, centroids))


def _middles(centroids):
    """Return the borders between clusters; a number on a border belongs to the smaller centroid."""
    centroids = centroids.astype("float64")
    middles = (centroids[1:] + centroids[:-1]) / 2
    # Rounded down, float32 like the numbers: a search would convert all of them to float64.
    rounded = middles.astype("float32")
    return np.where(rounded > middles, np.nextafter(rounded, np.float32(-np.inf)), rounded)


INITS = {
    "linear": lambda ordered, k, rng: np.linspace(ordered[0], ordered[-1], k),
    "density": lambda ordered, k, rng: ordered[
        ((np.arange(k) + 0.5) * ordered.size / k).astype(int)
    ],
    "random": lambda ordered, k, rng: rng.choice(ordered, k, replace=False, shuffle=False),
}


@keras.saving.register_keras_serializable("cvcourse")
class SharedWeights(KernelWrapper):
    """Layer whose kernels are entries of codebooks; zeros stay zero. See `share_weights`.

    Args:
        layer: Layer that is built. Its own kernels are not trained.
        codebook_sizes: {name of a kernel, relative to the layer: number of its centroids}.
        **kwargs: See keras.layers.Layer.
    """

    def __init__(self, layer: Any, codebook_sizes: Mapping[str, int], **kwargs: Any):
        kwargs.pop("kernel_names", None)
        super().__init__(layer, list(codebook_sizes), **kwargs)
        self.codebook_sizes = dict(codebook_sizes)

    def add_variables(self, kernel):
        name = self.kernel_names[self._kernels.index(kernel)]
        size = self.codebook_sizes[name]
        name = name.replace("/", "_")
        kernel.variable.trainable = False
        codebook = self.add_weight(
            shape=(size,),
            initializer="zeros",
            dtype=kernel.variable.dtype,
            name=f"{name}_codebook",
        )
        indices = self.add_weight(
            shape=kernel.variable.shape,
            initializer="zeros",
            dtype="uint8" if size < 256 else "uint16",
            trainable=False,
            name=f"{name}_indices",  # 0 for zero, else 1 + that of the centroid
        )
        return codebook, indices

    def kernel_value(self, kernel, variables):
        codebook, indices = variables
        table = ops.concatenate([ops.zeros((1,), codebook.dtype), codebook.value])
        return ops.take(table, ops.cast(indices.value, "int32"), axis=0)

    def codes(self) -> dict[str, tuple[Any, Any]]:
        """Return {name of a kernel: (codebook, indices)}; index 0 is zero."""
        return dict(zip(self.kernel_names, self._computed, strict=True))

    def get_config(self):
        return {**super().get_config(), "codebook_sizes": self.codebook_sizes}


def share_weights(
    model: keras.Model,
    bits: int | Mapping[str, int],
    *,
    init: str = "linear",
    layers: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    seed: int = 0,
) -> keras.Model:
    """Replace each kernel by a codebook and indices, found by k-means.

    Training changes the codebooks; the indices are fixed. Weights that are zero stay zero, and need
    no centroid. A kernel with at most 2^bits different values keeps them exactly; centroids that
    k-means leaves without weights are dropped.

    Args:
        model: Functional or Sequential keras.Model. It is not changed.
        bits: Size of an index, 1..8, for codebooks of 2^bits centroids; or {"conv": bits of
            convolutions, "dense": bits of dense layers}, where a kind that is absent is left alone.
        init: First centroids of `kmeans`: "linear", "density" or "random".
        layers: Names of the layers whose kernels to share, which may be depthwise convolutions. If
            None, all convolutions and dense layers with at least 100 weights.
        skip: Names of layers to leave out.
        seed: Seed of "random".

    Returns:
        An uncompiled functional keras.Model with the layer names of `model`. Only `bake` returns
        plain layers; the model itself has more variables than before.

    Raises:
        ValueError: For bits outside 1..8, an unknown name, a kernel with NaN or infinity, or a
            model without kernels or without a known graph.

    >>> from cvcourse.compression import bake
    >>> net = keras.Sequential([keras.Input((50,)), keras.layers.Dense(4, name="logits")])
    >>> len(np.unique(bake(share_weights(net, 3)).get_layer("logits").kernel))
    8
    """
    bits_of = _bits_by_kind(bits)
    model = plain(model)
    found = [
        kernel for kernel in kernels(model, layers=layers, skip=skip) if _kind(kernel) in bits_of
    ]
    if not found:
        raise ValueError(f"{model.name} has no kernels of the kinds {', '.join(bits_of)} to share")
    coded: list[tuple[SharedWeights, list]] = []

    def wrapper(layer, names, own):
        codes = [_coded(kernel, 2 ** bits_of[_kind(kernel)], init, seed) for kernel in own]
        sizes = {name: len(codebook) for name, (codebook, _) in zip(names, codes, strict=True)}
        coded.append((SharedWeights(layer, sizes), codes))
        return coded[-1][0]

    shared = wrapped(model, found, wrapper)
    for layer, codes in coded:
        for variables, values in zip(layer._computed, codes, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
    tell_untouched("share_weights", model, found)
    return shared


def _kind(kernel: Kernel) -> str:
    return "conv" if kernel.is_convolution else "dense"


def _bits_by_kind(bits) -> dict[str, int]:
    """Return {kind of layer: bits}."""
    if not isinstance(bits, Mapping):
        bits = dict.fromkeys(KINDS, bits)
    for kind, value in bits.items():
        if kind not in KINDS:
            raise ValueError(unknown("kind of layer", kind, KINDS))
        if isinstance(value, bool) or not hasattr(value, "__index__") or not 1 <= value <= 8:
            raise ValueError(f"bits must be a whole number from 1 to 8; received {value!r}")
    return {kind: operator.index(value) for kind, value in bits.items()}


def _coded(kernel, size, init, seed):
    """Return the codebook and the indices of a kernel; index 0 is zero."""
    weights = ops.convert_to_numpy(kernel.variable).astype("float32")
    there = weights != 0
    indices = np.zeros(weights.shape, "uint16")
    if not there.any():
        return np.zeros(1, "float32"), indices
    try:
        centroids, labels = kmeans(weights[there], size, init=init, seed=seed)
    except ValueError as error:
        raise ValueError(f"{kernel.name}: {error}") from error
    used = np.bincount(labels, minlength=size) > 0
    indices[there] = np.cumsum(used)[labels]
    return centroids[used], indices
