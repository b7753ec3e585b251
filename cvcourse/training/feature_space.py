"""How images lie to each other in a network's eyes: nearest neighbors, and a map in the plane.

t-SNE: van der Maaten & Hinton, "Visualizing Data using t-SNE", JMLR 2008.
"""

import numpy as np

from cvcourse.training.probe import unit

MAPPED = 1_500  # points at most: t-SNE's time grows faster than their number


def nearest(known, asked, count):
    """The `count` most similar of the vectors `known` (n, c) to each of `asked` (m, c), by cosine.

    Returns (indices (m, count), similarities (m, count)), nearest first.
    """
    similarity = unit(asked) @ unit(known).T
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(similarity, order, axis=1)


def in_the_plane(features, seed=0):
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
