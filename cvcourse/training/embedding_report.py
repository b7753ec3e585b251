"""Sections of a report on codes: neighbors in pixels and in codes, maps of the plane, a grid."""

import itertools

import numpy as np

from cvcourse import visualization
from cvcourse.figures import feature_map
from cvcourse.training.feature_space import ASKED, MAX_POINTS, evenly_spaced, neighbors_gallery

CELLS, SIDE = 256, 64  # images in the grid, and side of a thumbnail in pixels


def neighbors_of_each(vectors, count):
    """Find the nearest neighbors of each vector among the others.

    Args:
        vectors: Array (n, c).
        count: Number of neighbors, below n.

    Returns:
        Indices (n, count), nearest first.
    """
    order = visualization.neighbors(vectors, vectors, count=count + 1)
    itself = order == np.arange(len(order))[:, None]
    itself[~itself.any(axis=1), -1] = True  # equal vectors come before it
    return order[~itself].reshape(len(order), count)


def label_agreement(found, labels):
    """Compute the share of neighbors that have the label of the image.

    Args:
        found: {space: indices of the neighbors (n, count)}.
        labels: Class numbers (n,).

    Returns:
        A pair of dicts {space: share}, of the nearest and of all neighbors; "chance" is the share
        for random neighbors.
    """
    same = {space: labels[order] == labels[:, None] for space, order in found.items()}
    counts, n = np.bincount(labels), len(labels)
    chance = {"chance": float((counts * (counts - 1)).sum() / (n * (n - 1)))}
    nearest = {space: float(hits[:, 0].mean()) for space, hits in same.items()}
    return nearest | chance, {space: float(hits.mean()) for space, hits in same.items()} | chance


def embedding_sections(split, codes, found, class_names, seed):
    """Create the sections of a report on codes.

    Args:
        split: Split of n images.
        codes: Array (n, c). Of more than MAX_POINTS, the maps show as many, evenly spaced.
        found: As in `label_agreement`.
        class_names: Names of the classes.
        seed: Seed of the t-SNE map.

    Returns:
        Dicts for `sections` of `write_report`: shares of neighbors with the label of the image,
        neighbors of some images, maps by PCA and t-SNE, and the t-SNE map as a grid.
    """
    shown = evenly_spaced(len(split), MAX_POINTS)
    some = split.take(shown)
    maps = {
        "PCA": visualization.pca_map(codes[shown]),
        "t-SNE": visualization.tsne_map(codes[shown], seed),
    }
    cells = evenly_spaced(len(some), CELLS)
    images = some.take(cells).images[:]
    grid = visualization.grid_of_thumbnails(maps["t-SNE"][cells], images, SIDE)
    line = np.arange(grid.shape[1]) % SIDE < 2  # between images
    grid[line[: len(grid)]] = grid[:, line] = 255
    return [
        {
            "caption": "Neighbors with the label of the image",
            "table": _table(found, split.labels),
        },
        {
            "caption": "Nearest neighbors in pixels, and in codes",
            "gallery": _gallery(split, found, class_names),
        },
        *(
            {
                "caption": f"Map of the codes: {method}",
                "figure": feature_map(points, some.labels, some.images, class_names),
                "wide": True,
            }
            for method, points in maps.items()
        ),
        {
            "caption": f"The t-SNE map as a grid, {len(cells):,} images",
            "picture": grid,
            "wide": True,
        },
    ]


def _table(found, labels):
    """Return rows of shares, with bars."""
    nearest, every = label_agreement(found, labels)
    count = next(iter(found.values())).shape[1]
    shares = {space: (nearest[space], every[space]) for space in nearest}
    rows = [[space, *((s, f"{s:.1%}") for s in two)] for space, two in shares.items()]
    return [["neighbors in", "nearest", f"{count} nearest"], *rows]


def _gallery(split, found, class_names):
    """Return a row for each space, for each of some images."""
    few = evenly_spaced(len(split), ASKED)
    asked = split.take(few)
    rows = [
        neighbors_gallery(asked, split, order[few], class_names, f"neighbors in {space}")
        for space, order in found.items()
    ]
    return [*itertools.chain(*zip(*rows, strict=True))]
