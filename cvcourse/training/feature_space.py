"""Images in feature space: nearest neighbors and a t-SNE map.

t-SNE: van der Maaten & Hinton, "Visualizing Data using t-SNE", JMLR 2008.
"""

import numpy as np

from cvcourse.figures import feature_map
from cvcourse.training.probe import unit

MAX_POINTS = 1_500  # in a map: the time of t-SNE grows faster than the number of points
ASKED, NEIGHBORS = 8, 6  # images whose nearest neighbors a gallery shows, and how many


def nearest(known: np.ndarray, asked: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest neighbors of vectors by cosine similarity.

    Args:
        known: Array (n, c) of the vectors to search.
        asked: Array (m, c) of the vectors whose neighbors are wanted.
        count: Number of neighbors per vector.

    Returns:
        A pair of arrays (m, count), nearest first: indices in `known`, and cosine similarities.

    >>> import numpy as np
    >>> indices, similarities = nearest(np.array([[1, 0], [0, 1], [1, 1]]), np.array([[2, 0]]), 2)
    >>> indices, similarities.round(3)
    (array([[0, 2]]), array([[1.   , 0.707]]))
    """
    similarity = unit(asked) @ unit(known).T
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(similarity, order, axis=1)


def neighbors_gallery(known, train, asked, validation, class_names):
    """Create a gallery of validation images with their nearest neighbors in the training split.

    Args:
        known: Features (n, c) of the training images.
        train: Split of the n images.
        asked: Features (m, c) of the validation images.
        validation: Split of the m images.
        class_names: Names of the classes.

    Returns:
        Rows of pairs (image, caption) for `write_results`: an image, then its neighbors, nearest
        first.
    """
    few = _evenly(len(asked), ASKED)
    order, similarity = nearest(known, asked[few], NEIGHBORS)
    return [
        [
            (validation.images[int(i)], f"{class_names[validation.labels[i]]} (validation)"),
            *(
                (train.images[int(j)], f"{class_names[train.labels[j]]}, {cosine:.2f}")
                for j, cosine in zip(neighbors, cosines, strict=True)
            ),
        ]
        for i, neighbors, cosines in zip(few, order, similarity, strict=True)
    ]


def map_of_split(features, split, class_names, seed=0):
    """Draw the t-SNE map of a split's images.

    Args:
        features: Array (n, c). If n exceeds MAX_POINTS, that many evenly spaced images are shown.
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
    """Return at most `most` evenly spaced indices below `count`."""
    return np.linspace(0, count - 1, min(most, count)).astype(int)


def tsne(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Map vectors to points of the plane that tend to have the same neighbors: t-SNE.

    It starts from the first two principal components, so that the map is reproducible. Fewer than
    10 vectors are mapped to these components.

    Args:
        features: Array (n, c).
        seed: Seed of the PCA and of t-SNE.

    Returns:
        Array (n, 2).

    >>> import numpy as np
    >>> tsne(np.eye(12)).shape
    (12, 2)
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
