"""Trust panel: the tests of attribution methods on one photo or several, side by side."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from cvcourse.visualization._deletion import STEPS, deletion, insertion
from cvcourse.visualization._integrated_gradients import completeness_delta
from cvcourse.visualization._randomization_test import kernels, randomization_test
from cvcourse.visualization.network import Network

COMPLETE = ("integrated_gradients",)  # methods whose maps sum to the difference of two logits


@dataclasses.dataclass(frozen=True)
class TrustRow:
    """Results of a method, means over the images.

    Attributes:
        method: Name of the method.
        randomized_logits: Rank correlation of the maps with those after the kernel of the logits is
            shuffled; high for a method that hardly depends on the class.
        randomized_all: Rank correlation after all kernels are shuffled; high for a method that
            hardly depends on the model.
        deletion: Area under the probability while pixels are deleted; small for a good map.
        insertion: Area while pixels are inserted; large for a good map.
        deletion_random: `deletion` of random maps.
        insertion_random: `insertion` of random maps.
        completeness: Deviation of the maps' sum from logit(image) - logit(0), in units of that
            difference; None for methods that are not complete.
    """

    method: str
    randomized_logits: float
    randomized_all: float
    deletion: float
    insertion: float
    deletion_random: float
    insertion_random: float
    completeness: float | None


def trust_panel(
    model: keras.Model,
    images: Any,
    classes: Any = None,
    methods: Mapping[str, Callable] | None = None,
    *,
    steps: int = STEPS,
    seed: int = 0,
    output: str | None = None,
) -> list[TrustRow]:
    """Test attribution methods on images.

    Args:
        model: keras.Model from images to logits or probabilities, with a graph of layers.
        images: Array (n, h, w, c), in the range that the model takes.
        classes: Class number for all images, or one an image. If None, the likeliest class of each.
        methods: {name: function (model, images, classes) -> maps (n, h, w) or (n, h, w, c)}, high
            where the image speaks for the class. If None, `saliency`.
        steps: Steps of deletion and insertion.
        seed: Seed of the permutations of kernels and of the random maps.
        output: Name of the output, for a model with several. If None, `logits`.

    Returns:
        A TrustRow for each method.

    Raises:
        ValueError: As `randomization_test` and `deletion`.

    >>> layer = keras.layers.Dense(10)
    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), layer])
    >>> [row.method for row in trust_panel(model, np.ones((1, 4, 4, 1)))]
    ['saliency']
    """
    if methods is None:
        from cvcourse.visualization import saliency

        methods = {"saliency": saliency}
    network = Network.of(model, output)
    images = network.images(images)
    classes = network.targets(images, classes)
    logits, *others = kernels(network)
    last = others[-1] if others else logits
    same: dict[str, Any] = {"classes": classes, "steps": steps, "output": output}
    random = np.random.default_rng(seed).random(images.shape[:3], "float32")
    deletion_random = float(deletion(model, images, random, **same).mean())
    insertion_random = float(insertion(model, images, random, **same).mean())
    rows = []
    for name, method in methods.items():
        maps = method(model, images, classes)
        correlations = randomization_test(
            model,
            method,
            images,
            classes,
            maps=maps,
            layers=(logits, last),
            seed=seed,
            output=output,
        )
        incompleteness = None
        if name in COMPLETE:
            delta = completeness_delta(model, images, maps, classes, output=output)
            incompleteness = _incompleteness(delta, maps)
        rows.append(
            TrustRow(
                name,
                correlations[logits],
                correlations[last],
                float(deletion(model, images, maps, **same).mean()),
                float(insertion(model, images, maps, **same).mean()),
                deletion_random,
                insertion_random,
                incompleteness,
            )
        )
    return rows


def _incompleteness(delta, maps):
    """Return the mean of `completeness_delta` in units of the difference of the logits."""
    differences = np.asarray(maps, "float64").reshape(len(maps), -1).sum(axis=1) - delta
    zeros = np.zeros(len(maps))  # of a black image
    return float(np.divide(abs(delta), abs(differences), out=zeros, where=differences != 0).mean())
