"""Codes of images, their neighbors, maps of the plane, and the grid of thumbnails."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from cvcourse import models, training, visualization

IMAGES = np.random.default_rng(0).normal(size=(5, 8, 6, 3)).astype("float32")
CODES = np.random.default_rng(1).normal(size=(40, 7))


# Codes


@pytest.fixture(scope="module")
def net():
    """Convolution, a pool, a dense layer of 4 codes with ReLU, dropout, logits."""
    x = keras.Input((8, 6, 3))
    y = layers.MaxPooling2D()(layers.Conv2D(5, 3, activation="relu", name="conv")(x))
    y = layers.Dense(4, activation="relu", name="fc")(layers.Flatten()(y))
    y = layers.Dense(3, activation="softmax", name="logits")(layers.Dropout(0.5)(y))
    return keras.Model(x, y)


def outputs(model, layer, images=IMAGES):
    return np.array(keras.Model(model.input, model.get_layer(layer).output)(images))


def test_codes_are_the_input_of_the_classifier_after_its_relu(net):
    found = visualization.codes(net, IMAGES)
    np.testing.assert_allclose(found, outputs(net, "fc"), atol=1e-6)
    np.testing.assert_array_equal(visualization.codes(net, IMAGES.astype("float64")), found)
    assert found.dtype == "float32" and (found >= 0).all()


def test_codes_of_a_map_are_its_mean(net):
    found = visualization.codes(net, IMAGES, "conv")
    np.testing.assert_allclose(found, outputs(net, "conv").mean(axis=(1, 2)), atol=1e-6)


def test_codes_of_tokens_are_their_mean():
    form = dict(hidden_dim=8, depth=1, num_heads=2, mlp_dim=8, input_shape=(32, 32, 3))
    model = models.build("vit_b_16", num_classes=2, **form)
    image = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    tokens = outputs(model, "features", image)
    assert tokens.shape == (2, 5, 8)
    found = visualization.codes(model, image, "features")
    np.testing.assert_allclose(found, tokens.mean(axis=1), atol=1e-5)
    found = visualization.codes(model, image)  # the class token
    np.testing.assert_allclose(found, tokens[:, 0], atol=1e-5)


def test_codes_of_a_convolutional_classifier():
    """SqueezeNet's logits are means of maps: the classifier is a convolution."""
    x = keras.Input((8, 6, 3))
    y = layers.Conv2D(5, 3, activation="relu", name="features")(x)
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1, activation="relu", name="conv10")(y))
    model = keras.Model(x, y)
    expected = outputs(model, "features").mean(axis=(1, 2))
    np.testing.assert_allclose(visualization.codes(model, IMAGES), expected, atol=1e-6)


def test_codes_of_a_network_without_weights():
    model = keras.Sequential([keras.Input((8, 6, 3)), layers.GlobalAveragePooling2D(name="mean")])
    with pytest.raises(ValueError, match="no layer with weights"):
        visualization.codes(model, IMAGES)
    found = visualization.codes(model, IMAGES, "mean")
    np.testing.assert_allclose(found, IMAGES.mean(axis=(1, 2)), atol=1e-6)


# Neighbors


def test_neighbors_by_numpy():
    query = CODES[:6] + 0.1
    distances = np.linalg.norm(query[:, None] - CODES, axis=2)
    expected = np.argsort(distances, axis=1)[:, :5]
    np.testing.assert_array_equal(visualization.neighbors(CODES, query, count=5), expected)


def test_neighbors_of_integers_far_from_zero_and_of_duplicates():
    """Distances of 1 between vectors of length 1e4, where squares cancel in float32."""
    codes = (10_000 + np.arange(6)[:, None] * np.ones((1, 2))).astype("float32")
    found = visualization.neighbors(codes, codes, count=2)
    np.testing.assert_array_equal(found, [[0, 1], [1, 0], [2, 1], [3, 2], [4, 3], [5, 4]])
    same = np.uint8([[7, 7], [0, 0], [7, 7], [7, 7]])
    np.testing.assert_array_equal(visualization.neighbors(same, same[3:], count=3), [[0, 2, 3]])


@pytest.mark.parametrize(
    ("query", "count", "message"),
    [
        (CODES, 41, "between 1 and the 40 codes; received 41"),
        (CODES, 0, "received 0"),
        (CODES[:, :3], 1, "vectors of 7 and 3 numbers"),
        (CODES[0], 1, r"query: an array of n vectors \(n, c\) is needed; received \(7,\)"),
        (CODES * np.nan, 1, "query: there are NaN"),
    ],
)
def test_wrong_neighbors(query, count, message):
    with pytest.raises(ValueError, match=message):
        visualization.neighbors(CODES, query, count=count)


# Maps


def test_pca_map_by_singular_values():
    left, scales, _ = np.linalg.svd(CODES - CODES.mean(axis=0), full_matrices=False)
    found = visualization.pca_map(CODES)
    np.testing.assert_allclose(np.abs(found), np.abs(left * scales)[:, :2], atol=1e-5)
    assert found.dtype == "float32"


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (12, 1), (12, 2)])
@pytest.mark.parametrize("method", [visualization.pca_map, visualization.tsne_map])
def test_maps_of_few_vectors_or_numbers(method, shape):
    found = method(np.random.default_rng(0).normal(size=shape))
    assert found.shape == (shape[0], 2) and np.isfinite(found).all()


def test_tsne_keeps_clusters_together():
    centers = 5 * np.random.default_rng(2).normal(size=(3, 7))
    labels = np.arange(36) % 3
    points = visualization.tsne_map(centers[labels] + 0.1 * CODES[:36])
    order = visualization.neighbors(points, points, count=12)
    assert (labels[order] == labels[:, None]).all()
    lengths = 2.0 ** (np.arange(36) % 4)[:, None]
    scaled = visualization.tsne_map(lengths * (centers[labels] + 0.1 * CODES[:36]))
    np.testing.assert_array_equal(scaled, points)
    with pytest.warns(FutureWarning, match="codes"):
        assert training.tsne(features=CODES[:4]).shape == (4, 2)


# Grid


def colored(count, side=6, channels=3):
    """Images of one color each: image i has the value i."""
    return np.ones((count, side, side, channels)) * np.arange(count)[:, None, None, None]


def test_a_grid_moved_and_stretched_is_found_again():
    """Points on a grid of 3 columns, in any order and scale, are the cells; y points up."""
    row, column = np.divmod(np.arange(9), 3)
    shuffled = np.random.default_rng(0).permutation(9)
    points = np.stack([column * 7.0 - 3, -row * 0.1], axis=1)[shuffled]
    picture = visualization.grid_of_thumbnails(points, colored(9)[shuffled], 4)
    assert picture.shape == (12, 12, 3) and picture.dtype == "uint8"
    expected = np.arange(9).reshape(3, 3).repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(picture[..., 0], expected)


def test_the_sum_of_squared_distances_is_minimal():
    points = np.random.default_rng(3).uniform(size=(5, 2))
    points = (points - points.min(0)) / (points.max(0) - points.min(0))
    picture = visualization.grid_of_thumbnails(points, colored(5, channels=1), 2)
    assert picture.shape == (4, 6, 1)
    cells = np.array([(x / 2, 1 - y) for y in range(2) for x in range(3)])
    cost = ((points[:, None] - cells) ** 2).sum(2)
    best = min(itertools.permutations(range(6), 5), key=lambda p: cost[range(5), p].sum())
    expected = np.full(6, 255)
    expected[[*best]] = range(5)
    np.testing.assert_array_equal(picture[::2, ::2, 0].ravel(), expected)


def test_a_thumbnail_is_the_center_and_small_images_keep_their_pixels():
    image = np.full((4, 8, 1), 250)
    image[:, 2:6] = 8
    small = visualization.grid_of_thumbnails([[0, 0]], [image], 2)
    assert small[..., 0].tolist() == [[8, 8], [8, 8]]
    pixels = np.uint8([[8, 24], [40, 200]])
    large = visualization.grid_of_thumbnails([[0, 0]], [pixels[..., None]], 4)
    np.testing.assert_array_equal(large[..., 0], pixels.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(
    ("points", "side", "message"),
    [
        ([[0, 0]], 0, "side is 1 pixel or more; received 0"),
        ([[0, 0], [1, 1]], 8, r"points \(2, 2\) and 1 images"),
        ([[0, 0, 0]], 8, r"points \(1, 3\)"),
        ([[0, np.nan]], 8, "points: there are NaN"),
    ],
)
def test_wrong_grids(points, side, message):
    with pytest.raises(ValueError, match=message):
        visualization.grid_of_thumbnails(points, colored(1), side)
    with pytest.raises(ValueError, match=r"images .* are needed; received \(8, 8\)"):
        visualization.grid_of_thumbnails([[0, 0]], np.zeros((1, 8, 8)), 8)
