"""A frozen network on a dataset: features, classifiers on them, and their evaluation.

Sharif Razavian et al., "CNN Features off-the-shelf", 2014, https://arxiv.org/abs/1403.6382.
"""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np

from cvcourse.training._features import LAST, depths, features, vector, with_classifier
from cvcourse.training.evaluation import Evaluation
from cvcourse.training.feature_space import (
    ASKED,
    NEIGHBORS,
    evenly_spaced,
    map_of_split,
    nearest,
    neighbors_gallery,
)
from cvcourse.training.probe import fit_probe

TRIED_ON = 300  # minimum number of training images by which a scaling is chosen


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network with its preprocessing, and its features of a dataset.

    Attributes:
        model: keras.Model from raw images of the dataset's size to any output.
        name: Name of the network.
        weights: Name of its weights.
        dataset: Dataset with images of the size that `model` takes.
        stream: Function (split, *, batch_size, shuffle) that returns a split's batches.
        devices: Strategy of `distribution.of`, in whose scope models are built.
        batch_size: Images in a batch; at most the size of the training split.
        seed: Seed of folds and of random weights.
        cache_dir: As in `features`.
        notes: Sentences for the user.
    """

    model: keras.Model
    name: str
    weights: str
    dataset: object
    stream: Callable
    devices: object
    batch_size: int
    seed: int = 0
    cache_dir: str | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, config, network, model, dataset, stream, devices):
        """Create a Backbone from a config and a network.

        Args:
            config: Config of a recipe, with batch_size, seed and cache_dir.
            network: Network of `models.pretrained.load_trained`, with name, weights and notes.
            model: keras.Model of the network with its preprocessing.
            dataset: As in the class.
            stream: As in the class.
            devices: As in the class.

        Returns:
            A Backbone.
        """
        named = network.name, network.weights, dataset, stream, devices
        settings = config.batch_size, config.seed, config.cache_dir, network.notes
        return cls(model, *named, *settings)

    def feature_space_sections(self, depth):
        """Create a report's sections on feature space: a map of the validation images, neighbors.

        Args:
            depth: Key of `depths`.

        Returns:
            Dicts for `sections` of `write_report`.
        """
        train, validation = self.dataset.train, self.dataset.validation
        names = self.dataset.class_names
        known, asked = (self.features(name)[depth] for name in ("train", "validation"))
        few = evenly_spaced(len(asked), ASKED)
        order, similarity = nearest(known, asked[few], NEIGHBORS)
        queries = validation.take(few)
        return [
            {
                "caption": "The validation images in feature space (t-SNE)",
                "figure": map_of_split(asked, validation, names, self.seed),
            },
            {
                "caption": "Nearest neighbors in the training split, by cosine similarity",
                "gallery": neighbors_gallery(
                    queries, train, order, names, "validation", similarity
                ),
            },
        ]

    def with_random_weights(self):
        """Return an untrained copy of the network, with random weights given by the seed."""
        keras.utils.set_random_seed(self.seed)
        with self.devices.scope():
            model = keras.models.clone_model(self.model)
        model.trainable = True  # fine-tuning may have frozen layers
        return dataclasses.replace(self, model=model)

    @functools.cached_property
    def depths(self):
        """{name: tensor} that a classifier can be attached to."""
        return depths(self.model)

    def batches(self, split):
        """Return the evaluation stream of a split."""
        return self.stream(split, batch_size=self._batch_size, shuffle=False)

    @property
    def _batch_size(self):
        return min(self.batch_size, len(self.dataset.train))

    @functools.cached_property
    def _kept(self):
        return {}

    def features(self, name):
        """Return {depth: (n, c)} of the split called `name`, computed once and cached on disk."""
        if name not in self._kept:
            outputs = {depth: vector(x) for depth, x in self.depths.items()}
            extractor = keras.Model(self.model.input, outputs)
            split = getattr(self.dataset, name)
            self._kept[name] = features(extractor, split, self.batches, cache_dir=self.cache_dir)
        return self._kept[name]

    def probe(self, depth, classifier):
        """Fit a probe to the features of the training split at a depth; see `fit_probe`."""
        return fit_probe(
            classifier,
            self.features("train")[depth],
            self.dataset.train.labels,
            num_classes=self.dataset.num_classes,
            seed=self.seed,
        )

    def with_classifier(self, depth, probe=None):
        """Return a model from raw images to logits, with a probe's or an untrained classifier."""
        with self.devices.scope():
            return with_classifier(self.model, self.depths[depth], self.dataset.num_classes, probe)

    def evaluation(self, name, depth, model):
        """Evaluate the classifier of a model on the cached features of a split.

        Args:
            name: "validation" or "test".
            depth: Depth that the model's classifier is attached to.
            model: Model as `with_classifier` returns it.

        Returns:
            An Evaluation, equal bit for bit to that of the whole model; None if there is no such
            split.
        """
        split = getattr(self.dataset, name)
        if split is None:
            return None
        known = self.features(name)[depth]
        inputs = keras.Input(known.shape[1:])
        head = keras.Model(inputs, model.get_layer("logits")(inputs))
        size = self._batch_size
        padded = np.concatenate([known, np.zeros((-len(known) % size, known.shape[1]))])
        logits = head.predict(padded, batch_size=size, verbose=0)[: len(split)]
        return Evaluation(logits, split.labels)


def best_scaling(with_scaling, scalings, classifier):
    """Choose the pixel scaling for a network by a probe within the training split.

    Args:
        with_scaling: Function (scaling) -> `Backbone`.
        scalings: Names to choose from.
        classifier: As in `fit_probe`.

    Returns:
        The Backbone of the scaling with the highest cross-validation accuracy (the first of equal
        ones), with a note that lists all accuracies.
    """
    found = {}
    for scaling in scalings:
        backbone = with_scaling(scaling)
        classes = backbone.dataset.num_classes
        few = backbone.dataset.limit(max(TRIED_ON, 10 * classes))
        if np.bincount(few.train.labels, minlength=classes).min() < 2:
            few = backbone.dataset
        found[scaling] = dataclasses.replace(backbone, dataset=few).probe(LAST, classifier).accuracy
    best = max(found, key=found.get)
    shares = ", ".join(f"{scaling} {accuracy:.1%}" for scaling, accuracy in found.items())
    why = (
        f"The model in the file does not scale its input. With --scaling={best}, a probe has the "
        f"highest accuracy by cross-validation on {len(few.train):,} training images: {shares}."
    )
    chosen = with_scaling(best)
    return dataclasses.replace(chosen, notes=(*chosen.notes, why))
