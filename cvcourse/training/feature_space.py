"""Images in feature space: nearest neighbors and a t-SNE map, for reports."""

import numpy as np

from cvcourse.deprecation import takes_old_names
from cvcourse.figures import feature_map
from cvcourse.training.probe import unit
from cvcourse.visualization import neighbors, tsne_map

MAX_POINTS = 1_500  # in a map: the time of t-SNE grows faster than the number of points
ASKED, NEIGHBORS = 8, 6  # images whose nearest neighbors a gallery shows, and how many

tsne = takes_old_names(features="codes")(tsne_map)


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
    known, asked = unit(known), unit(asked)
    order = neighbors(known, asked, count=min(count, len(known)))
    return order, np.einsum("mc,mkc->mk", asked, known[order])


def neighbors_gallery(asked, known, order, class_names, role, similarity=None):
    """Create a gallery of images with their nearest neighbors.

    Args:
        asked: Split of m images.
        known: Split of the images among which the neighbors are.
        order: Indices (m, count) of the neighbors in `known`, nearest first.
        class_names: Names of the classes.
        role: Text in brackets after the class of an asked image.
        similarity: Numbers (m, count) to show with the neighbors, or None.

    Returns:
        Rows of pairs (image, caption) for `write_report`: an image, then its neighbors, nearest
        first.
    """
    rows = []
    for i, neighbors_of_it in enumerate(order):
        texts = [class_names[known.labels[j]] for j in neighbors_of_it]
        if similarity is not None:
            texts = [f"{text}, {s:.2f}" for text, s in zip(texts, similarity[i], strict=True)]
        pictures = [known.images[int(j)] for j in neighbors_of_it]
        query = asked.images[i], f"{class_names[asked.labels[i]]} ({role})"
        rows.append([query, *zip(pictures, texts, strict=True)])
    return rows


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
    shown = evenly_spaced(len(features), MAX_POINTS)
    points = tsne_map(features[shown], seed)
    return feature_map(points, split.labels[shown], split.take(shown).images, class_names)


def evenly_spaced(count, most):
    """Return at most `most` evenly spaced indices below `count`."""
    return np.linspace(0, count - 1, min(most, count)).astype(int)
