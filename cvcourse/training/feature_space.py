"""How images lie to each other in a network's eyes: nearest neighbors, and a map in the plane.

t-SNE: van der Maaten & Hinton, "Visualizing Data using t-SNE", JMLR 2008.
"""

import numpy as np

from cvcourse.figures import feature_map
from cvcourse.training.probe import unit

MAX_POINTS = 1_500  # points at most: t-SNE's time grows faster than their number
ASKED, NEIGHBORS = 8, 6  # images whose nearest neighbors a gallery shows, and how many


def nearest(known, asked, count):
    """The `count` most similar of the vectors `known` (n, c) to each of `asked` (m, c), by cosine.

    Returns (indices (m, count), similarities (m, count)), nearest first.
    """
    similarity = unit(asked) @ unit(known).T
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(similarity, order, axis=1)


def neighbors_gallery(known, train, asked, validation, class_names):
    """Show some validation images with their nearest neighbors in the training split.

    Args:
        known: Features (n, c) of the training images.
        train: Split of the n images.
        asked: Features (m, c) of the validation images.
        validation: Split of the m images.
        class_names: Names of the classes.

    Returns:
        Rows of (image, caption) for `write_results`: an image and its neighbors, nearest first.
    """
    few = _evenly(len(asked), ASKED)
    order, similarity = nearest(known, asked[few], NEIGHBORS)
    return [
        [
            (validation.images[int(i)], f"{class_names[validation.labels[i]]}: whose neighbors?"),
            *(
                (train.images[int(j)], f"{class_names[train.labels[j]]}, {cosine:.2f}")
                for j, cosine in zip(neighbors, cosines, strict=True)
            ),
        ]
        for i, neighbors, cosines in zip(few, order, similarity, strict=True)
    ]


def map_of_split(features, split, class_names, seed=0):
    """Draw the map of a split's images in feature space: a figure.

    Args:
        features: Array (n, c); of more than MAX_POINTS, as many evenly spaced ones are shown.
        split: Split of the n images.
        class_names: Names of the classes.
        seed: Seed of the map.

    Returns:
        A matplotlib figure, as `feature_map` draws it.
    """
    shown = _evenly(len(features), MAX_POINTS)
    points = tsne(features[shown], seed)
    return feature_map(points, split.labels[shown], split.take(shown).images, class_names)


def _evenly(count, most):
    """Indices of `most` of `count` things, or of all, evenly spaced."""
    return np.linspace(0, count - 1, min(most, count)).astype(int)


def tsne(features, seed=0):
    """Feature vectors as points (n, 2) whose neighbors are those in the high dimension: t-SNE.

    Begins from the first two principal components, so that the map is the same each time; for
    fewer than 10 vectors it is those.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    whitened = unit(features) - unit(features).mean(axis=0)
    few = min(50, *whitened.shape)
    reduced = PCA(few, random_state=seed).fit_transform(whitened)
    if len(features) < 10 or few < 2:
        return np.pad(reduced, ((0, 0), (0, 2)))[:, :2]
    perplexity = min(30.0, (len(features) - 1) / 3)
    with threadpool_limits(1):  # as in `fit_probe`
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
