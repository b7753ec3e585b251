"""CNN codes: vectors of images, whose distances show what a network takes to be similar.

Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012,
https://papers.nips.cc/paper/4824, section 6.1; the course's notes,
https://cs231n.github.io/understanding-cnn/, section "t-SNE embedding".
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from cvcourse.visualization.network import Network, in_batches


def codes(model: keras.Model, images: Any, layer: Any = None) -> np.ndarray:
    """Compute the codes of images: the input of the classifier, or the output of a layer.

    Args:
        model: A functional keras.Model.
        images: Array (n, h, w, c), in the range that the model takes.
        layer: Name of a layer, "model/layer" in a nested model, or the layer itself. If None, the
            code is the input of the last layer with weights, after its ReLU.

    Returns:
        Array (n, c) float32; a map (h, w, c) and tokens (t, c) are averaged over their places.

    Raises:
        ValueError: If the images do not fit the model, or there is no such layer between the images
            and the logits.

    >>> x = keras.Input((4, 4, 1))
    >>> y = keras.layers.GlobalMaxPooling2D()(x)
    >>> model = keras.Model(x, keras.layers.Dense(10)(y))
    >>> codes(model, np.arange(16).reshape(1, 4, 4, 1))
    array([[15.]], dtype=float32)
    """
    network = Network.of(model)
    value = _classifier_input(network) if layer is None else network.tap(layer)

    def averaged(x):
        code = ops.cast(network.call(x, [value])[1], "float32")
        places = tuple(range(1, len(code.shape) - 1))
        return ops.mean(code, axis=places) if places else code

    function = network.compiled(("codes", value), averaged)
    return in_batches(function, network.images(images))


def _classifier_input(network):
    """Return the input of the last step with weights."""
    network.require_graph("the input of its classifier is unknown")
    if network.logits is None:
        raise ValueError(f"{network.name} has several outputs: choose layer=")
    weighted = [s for s in network.between() if getattr(s.operation, "weights", ())]
    if not weighted:
        raise ValueError(f"{network.name} has no layer with weights: choose layer=")
    return weighted[-1].inputs[0]


def neighbors(codes: np.ndarray, query: np.ndarray, *, count: int) -> np.ndarray:
    """Find the nearest neighbors of vectors by Euclidean distance.

    Args:
        codes: Array (n, c) of the vectors to search.
        query: Array (m, c) of the vectors whose neighbors are wanted.
        count: Number of neighbors of each, at most n.

    Returns:
        Indices (m, count) in `codes`, nearest first; of equally near ones, the lowest.

    Raises:
        ValueError: If the arrays do not fit together, contain NaN, or there are fewer codes.

    >>> neighbors(np.array([[0.0, 0], [1, 0], [5, 5]]), np.array([[4.0, 4]]), count=2)
    array([[2, 1]])
    """
    from sklearn.metrics import pairwise_distances_chunked

    codes, query = _vectors(codes, "codes"), _vectors(query, "query")
    if codes.shape[1] != query.shape[1]:
        raise ValueError(
            f"codes and query have vectors of {codes.shape[1]} and {query.shape[1]} numbers"
        )
    if not 1 <= count <= len(codes):
        raise ValueError(f"count is between 1 and the {len(codes)} codes; received {count}")

    def nearest(distances, start):
        return np.argsort(distances, axis=1, kind="stable")[:, :count]

    return np.concatenate([*pairwise_distances_chunked(query, codes, reduce_func=nearest)])


def pca_map(codes: np.ndarray) -> np.ndarray:
    """Map vectors to their first two principal components.

    Args:
        codes: Array (n, c).

    Returns:
        Array (n, 2) float32, centered at 0; a component that does not exist is 0.

    Raises:
        ValueError: If the codes are no array (n, c) of finite numbers.

    >>> np.abs(pca_map(np.array([[3.0, 0, 0], [0, 0, 0], [0, 0, 0]]))).round(1)
    array([[2., 0.],
           [1., 0.],
           [1., 0.]], dtype=float32)
    """
    found = _principal_components(_vectors(codes, "codes"), 2)
    return np.pad(found, ((0, 0), (0, 2)))[:, :2].astype("float32")


def tsne_map(codes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Map vectors to points of the plane that tend to have the same neighbors: t-SNE.

    van der Maaten & Hinton, "Visualizing Data using t-SNE", JMLR 2008,
    https://www.jmlr.org/papers/v9/vandermaaten08a.html. Vectors are scaled to length 1, so that
    their directions decide. It starts from the first two principal components, so that the map is
    reproducible. Fewer than 10 vectors are mapped to these components.

    Args:
        codes: Array (n, c).
        seed: Seed of t-SNE.

    Returns:
        Array (n, 2) float32.

    Raises:
        ValueError: If the codes are no array (n, c) of finite numbers.

    >>> tsne_map(np.eye(12)).shape
    (12, 2)
    """
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    reduced = _principal_components(normalize(_vectors(codes, "codes")), 50)
    if len(codes) < 10 or reduced.shape[1] < 2:
        return pca_map(reduced)
    perplexity = min(30.0, (len(codes) - 1) / 3)
    with threadpool_limits(1):  # small matrices: threads that wait for each other are slower
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)


def grid_of_thumbnails(points: np.ndarray, images: Sequence, side: int) -> np.ndarray:
    """Arrange images in a grid without gaps, close to where points of the plane are.

    The sum of the squared distances between points and cells is minimal, where both fill a square.
    Compare Karpathy's grids of CNN codes, https://cs.stanford.edu/people/karpathy/cnnembed/, in
    which an image may be far from its point.

    Args:
        points: Array (n, 2), such as `tsne_map` returns.
        images: Sequence of n images of 0..255, gray (h, w, 1) or RGB (h, w, 3); their centers are
            shown if they are not square.
        side: Height and width of a thumbnail, in pixels.

    Returns:
        A picture (rows * side, columns * side, c) uint8, with ceil(sqrt(n)) columns and as few rows
        as n images need, y pointing up. Cells without an image are white.

    Raises:
        ValueError: If there is not one image (h, w, c) for each point, or `side` is below 1.

    >>> picture = grid_of_thumbnails([[0, 0], [5, 1]], np.zeros((2, 8, 8, 3)), 32)
    >>> picture.shape
    (32, 64, 3)
    """
    from scipy.optimize import linear_sum_assignment

    points = _vectors(points, "points")
    if points.shape[1] != 2 or len(points) != len(images):
        raise ValueError(
            f"one point (x, y) for each image is needed; received points {points.shape} and "
            f"{len(images)} images"
        )
    if side < 1:
        raise ValueError(f"side is 1 pixel or more; received {side}")
    columns = int(np.ceil(np.sqrt(len(points))))
    rows = -(-len(points) // columns)
    row, column = np.divmod(np.arange(rows * columns), columns)
    cells = np.stack([column, rows - 1 - row], axis=1)
    distances = ((_in_square(points)[:, None] - _in_square(cells)) ** 2).sum(axis=2)
    _, chosen = linear_sum_assignment(distances)
    thumbnails = [_thumbnail(image, side) for image in images]
    picture = np.full((rows * columns, *thumbnails[0].shape), 255, "uint8")
    picture[chosen] = thumbnails
    picture = picture.reshape(rows, columns, *picture.shape[1:]).swapaxes(1, 2)
    return picture.reshape(rows * side, columns * side, -1)


def _vectors(array, name) -> np.ndarray:
    """Return an array of vectors; raise ValueError if it is none."""
    array = np.asarray(array)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name}: an array of n vectors (n, c) is needed; received {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: there are NaN or infinite values")
    return array


def _principal_components(vectors, most):
    """Project vectors on at most `most` principal components."""
    from sklearn.decomposition import PCA

    if len(vectors) < 2:
        return np.zeros((len(vectors), 1))
    count = min(most, *vectors.shape)
    # With random_state, the same projection in each call: PCA of many vectors is randomized.
    return PCA(count, random_state=0).fit_transform(vectors - vectors.mean(axis=0))


def _in_square(points):
    """Move and scale points, so that each coordinate has the range 0..1."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - low) / np.maximum(high - low, 1e-12)


def _thumbnail(image, side):
    """Resize the center of an image: (h, w, c) of 0..255 -> (side, side, c) uint8."""
    from PIL import Image

    pixels = np.uint8(np.clip(np.round(image), 0, 255))
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise ValueError(f"images (h, w, 1) or (h, w, 3) are needed; received {pixels.shape}")
    short = min(pixels.shape[:2])
    top, left = ((n - short) // 2 for n in pixels.shape[:2])
    center = pixels[top : top + short, left : left + short]
    picture = Image.fromarray(center[..., 0] if center.shape[2] == 1 else center)
    method = Image.Resampling.NEAREST if short < side else Image.Resampling.BILINEAR
    return np.asarray(picture.resize((side, side), method)).reshape(side, side, -1)
