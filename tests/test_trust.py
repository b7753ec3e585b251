"""Tests of attribution methods: known answers for models whose best map is known."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from cvcourse import models
from cvcourse.visualization import (
    METHODS,
    deletion,
    grid_pointing,
    insertion,
    integrated_gradients,
    randomization_test,
    saliency,
    trust_panel,
)
from cvcourse.visualization._deletion import _blurred
from cvcourse.visualization._grid_pointing import compose
from cvcourse.visualization._randomization_test import rank_correlation

WEIGHTS = np.array([3.0, 1.0, -1.0, 0.0], "float32")  # of the pixels of a 2x2 image


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, "float64")))


@pytest.fixture(scope="module")
def linear():
    """A model of 2x2 images with the logits WEIGHTS * pixels and 0."""
    model = keras.Sequential([keras.Input((2, 2, 1)), layers.Flatten(), layers.Dense(2)])
    model.layers[-1].set_weights([np.stack([WEIGHTS, np.zeros(4)], axis=1), np.zeros(2)])
    return model


@pytest.fixture(scope="module")
def net():
    settings = {"depths": (1, 1), "input_shape": (32, 32, 3), "num_classes": 10}
    return models.build("resnet18", **settings)


# Deletion and insertion


def test_areas_by_hand(linear):
    image = np.ones((1, 2, 2, 1))
    best = WEIGHTS.reshape(1, 2, 2)
    lost = sigmoid([3, 0, -1, -1, 0])  # without 3, 1, 0 and -1, one after another
    gained = sigmoid([0, 3, 4, 4, 3])
    expected = [np.mean(curve[:-1] + curve[1:]) / 2 for curve in (lost, gained)]
    found = [f(linear, image, best, 0, steps=4, fill=0)[0] for f in (deletion, insertion)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    two = sigmoid([3, -1, 0])
    found = deletion(linear, image, best[..., None], 0, steps=2, fill=0)
    np.testing.assert_allclose(found, [np.mean(two[:-1] + two[1:]) / 2], rtol=1e-5)


def test_no_order_of_the_pixels_is_better_than_that_of_a_linear_models_weights(linear):
    orders = np.array([*itertools.permutations(range(4))], "float32").reshape(-1, 2, 2)
    images = np.ones((len(orders), 2, 2, 1))
    best = WEIGHTS.reshape(1, 2, 2)
    settings = {"steps": 4, "fill": 0.0}
    (inserted,) = insertion(linear, images[:1], best, 0, **settings)
    (deleted,) = deletion(linear, images[:1], best, 0, **settings)
    assert insertion(linear, images, orders, 0, **settings).max() == pytest.approx(inserted)
    assert deletion(linear, images, orders, 0, **settings).min() == pytest.approx(deleted)


def test_channels_are_summed_with_their_sign():
    model = keras.Sequential([keras.Input((2, 2, 2)), layers.Flatten()])
    image = np.random.default_rng(0).normal(size=(1, 2, 2, 2))
    maps = np.zeros((1, 2, 2, 2))
    maps[0, 0, 0], maps[0, 1, 1] = (5, -5), (1, 0)
    got = deletion(model, image, maps, 3, steps=4)
    np.testing.assert_array_equal(got, deletion(model, image, maps.sum(-1), 3, steps=4))
    assert got != deletion(model, image, np.abs(maps).sum(-1), 3, steps=4)


def test_what_replaces_the_pixels(linear):
    """All pixels at once: the curve has two points, the image and what replaces it."""
    image = np.array([1.0, 2.0, 3.0, 6.0]).reshape(1, 2, 2, 1)
    maps = np.zeros((1, 2, 2))
    before = sigmoid(WEIGHTS @ image.ravel())
    for fill, filled in (("mean", 3.0), (-1.0, -1.0), ([2.0], 2.0), (np.full((2, 2, 1), 5), 5.0)):
        expected = (before + sigmoid(WEIGHTS.sum() * filled)) / 2
        found = deletion(linear, image, maps, 0, steps=1, fill=fill)
        np.testing.assert_allclose(found, [expected], rtol=1e-5, err_msg=str(fill))


def test_the_blur_is_a_gaussian_of_eleven_pixels():
    impulse = np.zeros((1, 21, 25, 2), "float32")
    impulse[0, 10, 12, 1] = 1
    weights = np.exp(-(np.arange(-5, 6) ** 2) / 50)
    expected = np.zeros_like(impulse)
    expected[0, 5:16, 7:18, 1] = np.outer(weights, weights) / weights.sum() ** 2
    np.testing.assert_allclose(_blurred(impulse), expected, atol=1e-7)
    constant = np.full((1, 5, 4, 3), 7, "float32")  # smaller than the blur
    np.testing.assert_allclose(_blurred(constant), constant, rtol=1e-6)


@pytest.mark.parametrize(
    ("maps", "settings", "message"),
    [
        (np.ones((1, 1, 2)), {}, r"maps of images .* received \(1, 1, 2\)"),
        (np.full((1, 2, 2), np.nan), {}, "a map contains NaN"),
        (np.ones((1, 2, 2)), {"steps": 0}, "steps is a whole number of at least 1; received 0"),
        (np.ones((1, 2, 2)), {"fill": "gray"}, "received 'gray'"),
        (np.ones((1, 2, 2)), {"fill": None}, "fill contains NaN"),
        (np.ones((1, 2, 2)), {"fill": np.ones(3)}, r"does not broadcast .*\(3,\)"),
        (np.ones((1, 2, 2)), {"classes": 2}, "classes 0 to 1; received 2"),
    ],
)
def test_bad_input(linear, maps, settings, message):
    for function in (deletion, insertion):
        with pytest.raises(ValueError, match=message):
            function(linear, np.ones((1, 2, 2, 1)), maps, **settings)


# Randomization


def test_rank_correlations_by_hand():
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert rank_correlation([1, 2, 3], [9, 4, -7]) == pytest.approx(-1)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)
    assert rank_correlation([0, 7, 7, 8], [0, 1, 2, 3]) == pytest.approx(4.5 / 22.5**0.5)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0


def test_a_method_that_ignores_the_model_has_the_correlation_1(net):
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    found = randomization_test(net, lambda model, images, classes: images, images)
    assert set(found.values()) == {1.0}
    names = [*found]
    assert names[0] == "logits"
    kernels = [layer.name for layer in net.layers if any(len(w.shape) > 1 for w in layer.weights)]
    assert sorted(names) == sorted(kernels)
    assert names[-1] == kernels[0]


def test_kernels_are_permuted_from_the_logits_down_and_restored(net):
    before = net.get_weights()
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3))
    seen = []

    def method(model, images, classes):
        seen.append((model.get_weights(), classes))
        return saliency(model, images, classes)

    found = randomization_test(net, method, images)
    assert len(seen) == 1 + len(found)
    changed = [
        [not np.array_equal(a, b) for a, b in zip(weights, before, strict=True)]
        for weights, _ in seen
    ]
    assert [sum(one) for one in changed] == [*range(1 + len(found))]  # a kernel more each time
    for weights, classes in seen:
        assert classes == seen[0][1]  # the likeliest of the model as it was
        for now, then in zip(weights, before, strict=True):
            np.testing.assert_array_equal(np.sort(now, axis=None), np.sort(then, axis=None))
    assert [np.ndim(w) > 1 for w in before] == changed[-1]
    for now, then in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    last = [*found][-1]
    some = randomization_test(net, saliency, images, layers=(last,))
    assert some == {last: pytest.approx(found[last], abs=1e-6)}
    assert abs(found[last]) < 0.5


def test_the_weights_are_restored_after_an_error(net):
    before = net.get_weights()
    images, calls = np.zeros((1, 32, 32, 3)), []

    def method(model, images, classes):
        calls.append(len(calls))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return images

    with pytest.raises(KeyboardInterrupt):
        randomization_test(net, method, images, 0)
    for now, then in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_nested_model_and_a_shared_layer():
    shared = layers.Dense(6, name="shared")
    inner = keras.Sequential([keras.Input((6,)), shared, layers.ReLU(), shared], name="inner")
    image = keras.Input((3, 2, 1))
    x = inner(layers.Flatten()(image))
    model = keras.Model(image, layers.Dense(3, activation="softmax", name="last")(x))
    found = randomization_test(model, saliency, np.ones((1, 3, 2, 1)))
    assert [*found] == ["last", "inner/shared"]


def test_what_cannot_be_shuffled(net):
    class Own(keras.Model):
        def call(self, x):
            return keras.ops.mean(x, axis=(1, 2))

    own = Own()
    own(np.ones((1, 4, 4, 3)))
    images = np.ones((1, 4, 4, 3))
    with pytest.raises(ValueError, match="subclassed model without a graph"):
        randomization_test(own, saliency, images)
    plain = keras.Sequential([keras.Input((4, 4, 3)), layers.Flatten()], name="plain")
    with pytest.raises(ValueError, match="plain has no kernels to shuffle"):
        randomization_test(plain, saliency, images)
    with pytest.raises(ValueError, match=r"logit.*logits"):
        randomization_test(net, saliency, np.ones((1, 32, 32, 3)), layers=("logit",))


# Grid pointing


def quarter_of_class(model, images, classes):
    """The perfect map for classes 0 to 3 in the order of reading."""
    maps = np.full(images.shape, -1.0)
    height, width = images.shape[1] // 2, images.shape[2] // 2
    for one, label in zip(maps, classes, strict=True):
        row, column = divmod(int(label), 2)
        one[
            (slice(height), slice(height, None))[row], (slice(width), slice(width, None))[column]
        ] = 2
    return maps


def test_the_perfect_map_has_share_1_and_one_without_class_a_quarter():
    model = keras.Sequential([keras.Input((5, 7, 1)), layers.GlobalAveragePooling2D()])
    model.add(layers.Dense(4))
    photos, classes = np.zeros((8, 5, 7, 1)), [0, 1, 2, 3] * 2
    found = grid_pointing(model, quarter_of_class, photos, classes)
    assert found.shares.tolist() == [1.0] * 8
    assert found.hits.tolist() == [True] * 8
    other = grid_pointing(model, quarter_of_class, photos, [3, 2, 1, 0] * 2)
    assert other.shares.tolist() == [0.0] * 8
    assert other.hits.tolist() == [False] * 8
    sides = np.outer([2, 3], [3, 4]).ravel() / 35  # of the image's 5 x 7 pixels
    blind = grid_pointing(model, lambda m, images, c: np.ones(images.shape[:3]), photos, classes)
    np.testing.assert_allclose(blind.shares, [*sides, *sides], rtol=1e-6)
    assert blind.hits.mean() == 0.25
    none = grid_pointing(model, lambda m, images, c: -np.ones(images.shape), photos, classes)
    assert not none.shares.any()
    assert not none.hits.any()


def test_four_photos_in_the_order_of_reading():
    photos = np.arange(4, dtype="float32").reshape(4, 1, 1, 1) * np.ones((4, 4, 6, 2), "float32")
    expected = np.kron([[0, 1], [2, 3]], np.ones((2, 3)))
    np.testing.assert_allclose(compose(photos), np.stack([expected] * 2, axis=-1), atol=1e-6)
    ramp = np.broadcast_to(np.arange(8, dtype="float32")[:, None, None], (4, 8, 8, 1))
    half = compose(ramp)[:4, 0, 0]
    assert np.diff(half) == pytest.approx([2, 2, 2], abs=0.3)  # antialiased at the borders
    assert half.mean() == pytest.approx(3.5, abs=1e-5)


@pytest.mark.parametrize(
    ("count", "classes", "message"),
    [
        (3, [0, 1, 2], "four photos make an image; received 3 photos"),
        (4, [0, 1, 2, 0], "different classes"),
        (4, [0, 1], "2 classes for 4 images"),
    ],
)
def test_photos_that_make_no_grid(linear, count, classes, message):
    model = keras.Sequential([keras.Input((2, 2, 1)), layers.Flatten()])
    with pytest.raises(ValueError, match=message):
        grid_pointing(model, saliency, np.ones((count, 2, 2, 1)), classes)


# Trust panel


def test_the_panel_has_the_results_of_each_test(net):
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype("float32")
    methods = {"integrated_gradients": integrated_gradients, "saliency": METHODS["saliency"].scores}
    one, other = trust_panel(net, images, None, methods, steps=3)
    assert (one.method, other.method) == tuple(methods)
    maps = integrated_gradients(net, images)
    assert one.deletion == pytest.approx(deletion(net, images, maps, steps=3).mean(), rel=1e-4)
    assert one.insertion == pytest.approx(insertion(net, images, maps, steps=3).mean(), rel=1e-4)
    found = randomization_test(net, integrated_gradients, images)
    assert one.randomized_logits == pytest.approx(found["logits"], abs=1e-3)
    assert one.randomized_all == pytest.approx([*found.values()][-1], abs=1e-3)
    assert 0 < one.completeness < 0.2
    assert other.completeness is None
    random = np.random.default_rng(0).random(images.shape[:3], "float32")
    areas = [f(net, images, random, steps=3).mean() for f in (deletion, insertion)]
    for row in (one, other):
        assert [row.deletion_random, row.insertion_random] == pytest.approx(areas)


def test_a_linear_models_integrated_gradients_are_complete(linear):
    (row,) = trust_panel(
        linear, np.ones((1, 2, 2, 1)), 0, {"integrated_gradients": integrated_gradients}
    )
    assert row.completeness == pytest.approx(0, abs=1e-5)
