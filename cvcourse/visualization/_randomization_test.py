"""Randomization test: whether maps depend on what the model has learned.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, https://arxiv.org/abs/1810.03292,
cascading randomization; their code initializes the weights again:
https://github.com/adebayoj/sanity_checks_saliency.
"""

import warnings
from collections.abc import Callable, Collection
from typing import Any

import keras
import numpy as np

from cvcourse.errors import pick
from cvcourse.visualization.network import Network, check_count


def randomization_test(
    model: keras.Model,
    method: Callable,
    images: Any,
    classes: Any = None,
    *,
    maps: Any = None,
    layers: Collection[str] | None = None,
    seed: int = 0,
    output: str | None = None,
) -> dict[str, float]:
    """Compare maps with those of the model after its kernels are shuffled, from the logits down.

    A method whose maps stay correlated shows the image rather than what the model has learned.
    Kernels are weights of two or more dimensions. Their values are permuted, which keeps their
    distribution; biases and the weights of normalizations stay. Afterwards the model has its
    weights again.

    Args:
        model: keras.Model from images to logits or probabilities, with a graph of layers.
        method: Function (model, images, classes) -> maps (n, …).
        images: Array (n, h, w, c), in the range that the model takes.
        classes: Class number for all images, or one an image. If None, the likeliest class of each
            before the model is changed.
        maps: Maps of the unchanged model. If None, they are computed.
        layers: Names of the layers after which maps are compared. If None, all with kernels.
        seed: Seed of the permutations.
        output: Name of the output, for a model with several. If None, `logits`.

    Returns:
        {layer: rank correlation}, from the logits down: Spearman's, mean over the images, after the
        kernels of the layer and of all layers above it are shuffled. 0 where a map is constant.

    Raises:
        ValueError: If the images do not fit the model, there is no such class or layer, or the
            model has no kernels or no graph of layers.

    >>> from cvcourse.visualization import saliency
    >>> layer = keras.layers.Dense(10, name="logits")
    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), layer])
    >>> found = randomization_test(model, saliency, np.ones((1, 4, 4, 1)))
    >>> abs(found["logits"]) < 0.9
    True
    """
    network = Network.of(model, output)
    images = network.images(images)
    classes = network.targets(images, classes)
    found = kernels(network)
    check_count("seed", seed, least=0)
    for name in layers or ():
        pick(f"layer with kernels in {network.name}", name, found)
    before = np.asarray(method(model, images, classes) if maps is None else maps)
    random = np.random.default_rng(seed)
    values = {
        id(kernel): (kernel, keras.ops.convert_to_numpy(kernel))
        for shuffled in found.values()
        for kernel in shuffled
    }
    correlations = {}
    try:
        for name, shuffled in found.items():
            for kernel in shuffled:
                value = values[id(kernel)][1]
                kernel.assign(random.permutation(value.ravel()).reshape(value.shape))
            if layers is None or name in layers:
                with warnings.catch_warnings():  # about maps that are zero everywhere
                    warnings.simplefilter("ignore")
                    after = np.asarray(method(model, images, classes))
                correlations[name] = float(np.mean([*map(rank_correlation, before, after)]))
    finally:
        for kernel, value in values.values():
            kernel.assign(value)
    return correlations


def kernels(network: Network) -> dict[str, list[Any]]:
    """Return the kernels between the image and the logits: {layer: variables}, logits first."""
    network.require_graph("the order of its layers is not known")
    found: dict[str, list[Any]] = {}
    known: set[int] = set()
    for step in reversed(network.between()):
        for variable in getattr(step.operation, "weights", ()):
            if len(variable.shape) > 1 and id(variable) not in known:
                known.add(id(variable))
                found.setdefault(step.name, []).append(variable)
    if not found:
        raise ValueError(f"{network.name} has no kernels to shuffle")
    return found


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Compute Spearman's rank correlation of two arrays; 0 if one of them is constant."""
    ranks = [_ranks(np.ravel(array)) for array in (one, other)]
    one, other = (rank - rank.mean() for rank in ranks)
    scale = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / scale) if scale else 0.0


def _ranks(values):
    """Return ranks, equal ones for equal values: the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
