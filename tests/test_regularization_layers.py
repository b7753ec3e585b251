"""Layers that regularize, augment and prepare, against NumPy, in training and at test time."""

import decimal
import fractions
import itertools
import json
import math

import keras
import numpy as np
import pytest
import scipy.stats

from cvcourse.layers import (
    Cutout,
    DropConnect,
    DropPath,
    FractionalMaxPooling2D,
    Maxout,
    MeanImage,
    PCAColor,
    Whitening,
    moments,
)
from cvcourse.layers.fractional_max_pooling import index_sequence

array = keras.ops.convert_to_numpy


def maps(*shape, seed=0):
    return np.random.default_rng(seed).normal(3, 2, shape).astype("float32")


def pixels(n, side=6, channels=3, seed=0):
    """Images 0..255 whose channels depend on each other."""
    rng = np.random.default_rng(seed)
    gray = rng.integers(0, 200, (n, side, side, 1))
    return (gray + rng.integers(0, 56, (n, side, side, channels))).astype("uint8")


# --- all of them ---

LAYERS = {
    "maxout": lambda: Maxout(2),
    "drop_connect": lambda: DropConnect(5, activation="relu", samples=50),
    "drop_connect_mean": lambda: DropConnect(5, rate=0.3, activation="tanh", inference="mean"),
    "pooling": lambda: FractionalMaxPooling2D(1.4),
    "pooling_to_a_size": lambda: FractionalMaxPooling2D(
        output_size=(4, 5), kind="pseudorandom", overlapping=False
    ),
    "stochastic_depth": lambda: DropPath(0.2, per="batch", scale_at="test"),
    "drop_path": lambda: DropPath(0.2),
    "cutout": lambda: Cutout(3, fill=[1.0, 2.0, 3.0, 4.0]),
    "pca_color": lambda: PCAColor(0.2, value_range=(0, 1)),
    "mean_image": lambda: MeanImage(),
    "pca": lambda: Whitening("pca", components=7),
    "pca_whitening": lambda: Whitening("pca_whitening", epsilon=0.1),
    "zca": lambda: Whitening(components=20),
}
FLAT = ("drop_connect", "drop_connect_mean")


def one_layer(name):
    """A model that is one layer of the table, adapted, with weights in it."""
    keras.utils.set_random_seed(0)
    layer, x = LAYERS[name](), maps(50, 6, 6, 4)
    if hasattr(layer, "adapt"):
        layer.adapt(x)
    image = keras.Input((6, 6, 4))
    inputs = keras.layers.Flatten()(image) if name in FLAT else image
    return keras.Model(image, layer(inputs))


@pytest.mark.parametrize("name", LAYERS)
def test_saves_and_loads_to_the_bit(name, tmp_path):
    model, x = one_layer(name), maps(3, 6, 6, 4, seed=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    configs = [json.dumps(m.layers[-1].get_config()) for m in (loaded, model)]
    assert configs[0] == configs[1]
    before, after = (array(m(x, training=False)) for m in (model, loaded))
    np.testing.assert_array_equal(after, before)
    assert before.shape[1:] == model.output_shape[1:] == loaded.output_shape[1:]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_close_and_pixels_stay_exact(name, policy):
    x = maps(3, 6, 6, 4, seed=1)
    exact = array(one_layer(name)(x, training=False))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        half = one_layer(name)(x, training=False)
    finally:
        keras.config.set_dtype_policy(before)
    sees_pixels = name in ("cutout", "pca_color", "mean_image", "pca", "pca_whitening", "zca")
    expected = "float32" if sees_pixels else policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(half.dtype) == expected
    tolerance = 0 if sees_pixels else 2e-2
    np.testing.assert_allclose(
        array(keras.ops.cast(half, "float32")), exact, rtol=tolerance, atol=3 * tolerance
    )


# --- maxout ---


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_maxout_is_the_largest_of_neighboring_channels(pieces):
    for x in (maps(2, 6), maps(2, 3, 4, 6)):
        expected = [x[..., i : i + pieces].max(-1) for i in range(0, 6, pieces)]
        np.testing.assert_array_equal(array(Maxout(pieces)(x)), np.stack(expected, -1))


def test_maxout_wants_a_multiple_of_its_pieces():
    with pytest.raises(ValueError, match="4 pieces cannot divide 6 channels"):
        Maxout(4)(maps(2, 6))


# --- DropConnect ---


def test_each_example_has_a_bernoulli_mask_of_its_own():
    """With powers of two as weights the sum is the mask, bias included, as a binary number."""
    n, examples = 5, 3000
    kernel = np.repeat(2.0 ** np.arange(n)[:, None], 2, axis=1)
    layer = DropConnect(2, rate=0.3, seed=0)
    layer.build((None, n))
    layer.kernel.assign(kernel)
    layer.bias.assign([2.0**n] * 2)
    sums = array(layer(np.ones((examples, n), "float32"), training=True)).astype(int)
    masks = sums[..., None] >> np.arange(n + 1) & 1
    np.testing.assert_allclose(masks.mean(0), np.full((2, n + 1), 0.7), atol=0.04)
    together = np.corrcoef(masks.reshape(examples, -1).T) - np.eye(2 * (n + 1))
    assert np.abs(together).max() < 0.09  # 5 / sqrt(3000): weights drop out by themselves
    assert len(np.unique(masks[:100].reshape(100, -1), axis=0)) > 80


def drop_connect_example(**settings):
    x = maps(1, 60, seed=1) / 10
    layer = DropConnect(4, **settings)
    layer.build(x.shape)
    kernel, bias = (maps(60, 4, seed=2) - 3) / 5, np.array([0.5, -1, 0, 2], "float32")
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)
    return layer, x, kernel, bias


def test_the_mean_of_training_is_mean_inference():
    layer, x, kernel, bias = drop_connect_example(rate=0.4, inference="mean", seed=3)
    expected = 0.6 * (x @ kernel + bias)
    np.testing.assert_allclose(array(layer(x)), expected, rtol=1e-5)
    trained = array(layer(np.repeat(x, 4000, axis=0), training=True))
    error = trained.std(0) / 4000**0.5
    assert (np.abs(trained.mean(0) - expected[0]) < 4 * error).all()


def test_gaussian_inference_is_the_mean_over_masks_of_the_activation():
    """Against true masks, and the exact mean of relu(u): m P(m / s) + s p(m / s)."""
    layer, x, kernel, bias = drop_connect_example(rate=0.5, activation="relu", seed=3)
    v, weights = np.append(x[0], 1), np.vstack([kernel, bias])
    m, s = 0.5 * v @ weights, np.sqrt(0.25 * v**2 @ weights**2)
    exact = m * scipy.stats.norm.cdf(m / s) + s * scipy.stats.norm.pdf(m / s)
    found = array(layer(x))[0]
    np.testing.assert_allclose(found, exact, atol=4 * s.max() / 1000**0.5)
    masks = array(layer(np.repeat(x, 4000, axis=0), training=True)).mean(0)
    np.testing.assert_allclose(found, masks, atol=5 * s.max() / 1000**0.5)
    assert np.abs(found - np.maximum(m, 0)).max() > 6 * s.max() / 1000**0.5  # mean inference


def test_gaussian_inference_is_a_function_of_one_example():
    layer, x, *_ = drop_connect_example(activation="relu", samples=20)
    batch = np.concatenate([maps(3, 60), x])
    np.testing.assert_allclose(array(layer(batch))[3:], array(layer(x)), rtol=1e-5)
    np.testing.assert_array_equal(array(layer(x)), array(layer(x)))


def test_a_linear_unit_gives_the_mean_either_way():
    gaussian, x, kernel, bias = drop_connect_example(samples=20)
    np.testing.assert_allclose(array(gaussian(x)), 0.5 * (x @ kernel + bias), rtol=1e-4)


@pytest.mark.parametrize("settings", [{"rate": 1.0}, {"rate": -0.1}, {"inference": "median"}])
def test_drop_connect_refuses_what_it_cannot_do(settings):
    with pytest.raises(ValueError, match=r"received rate="):
        DropConnect(3, **settings)
    with pytest.raises(ValueError, match="flatten"):
        DropConnect(3)(maps(2, 4, 4, 3))


# --- fractional max pooling ---

SIZES = [(25, 18), (36, 25), (7, 5), (9, 9), (10, 5), (11, 10), (20, 6), (3, 1)]


@pytest.mark.parametrize("kind", ["random", "pseudorandom"])
@pytest.mark.parametrize(("side", "size"), SIZES)
def test_index_sequences_run_from_0_to_the_side_in_steps_around_alpha(kind, side, size):
    draws = np.random.default_rng(0).random((30, size)).astype("float32")
    draws[0], draws[1] = 0, 1 - 2.0**-24
    for draw in draws:
        edges = array(index_sequence(kind, draw, side, size))
        steps = np.diff(edges)
        assert (edges[0], edges[-1], len(edges)) == (0, side, size + 1)
        assert set(steps) <= {side // size, -(-side // size)}  # 1 and 2 for a ratio between


@pytest.mark.parametrize(("side", "size"), SIZES)
def test_pseudorandom_sequences_are_the_paper_s_formula(side, size):
    alpha = fractions.Fraction(side, size)
    for draw in np.random.default_rng(1).random((30, size)).astype("float32"):
        u = fractions.Fraction(float(draw[0]))
        a = np.array([math.ceil(alpha * (i + u)) for i in range(size + 1)])
        np.testing.assert_array_equal(
            array(index_sequence("pseudorandom", draw, side, size)), a - a[0]
        )


def test_random_sequences_are_all_orders_alike():
    draws = np.random.default_rng(2).random((600, 5)).astype("float32")
    found = [tuple(np.diff(array(index_sequence("random", draw, 7, 5)))) for draw in draws]
    orders = set(itertools.permutations((1, 1, 1, 2, 2)))
    assert set(found) == orders
    shares = [found.count(order) / 600 for order in orders]
    np.testing.assert_allclose(shares, [0.1] * 10, atol=0.05)


def regions(layer, shape, **training):
    """Where the layer's regions begin and end, read off a map of pixel numbers; and the map."""
    rows, columns = np.meshgrid(*map(np.arange, shape), indexing="ij")
    noise = np.random.default_rng(0).permutation(rows.size).reshape(shape)
    x = np.stack([rows, -rows, columns, -columns, noise], -1)[None].astype("float32")
    y = array(layer(np.concatenate([x, x]), **training))
    np.testing.assert_array_equal(y[0], y[1])  # one set of regions a batch
    bottom, top, right, left, largest = y[0].transpose(2, 0, 1).astype(int)
    return (-top[:, 0], bottom[:, 0]), (-left[0], right[0]), noise, largest


@pytest.mark.parametrize("kind", ["random", "pseudorandom"])
@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize(
    ("size", "output"),
    [({"ratio": 1.45}, (9, 6)), ({"output_size": (9, 8)}, (9, 8)), ({"ratio": (1, 2.6)}, (14, 3))],
)
def test_pooling_takes_the_maximum_over_regions_that_cover_the_map(kind, overlapping, size, output):
    layer = FractionalMaxPooling2D(kind=kind, overlapping=overlapping, seed=0, **size)
    for training in (True, True, False):
        *axes, noise, largest = regions(layer, (14, 9), training=training)
        assert largest.shape == output == layer.compute_output_shape((2, 14, 9, 5))[1:3]
        for (first, last), side in zip(axes, (14, 9), strict=True):
            assert (first[0], last[-1]) == (0, side - 1)
            np.testing.assert_array_equal(first[1:], last[:-1] + (not overlapping))
        for i, j in np.ndindex(output):
            rows, columns = (
                slice(first[k], last[k] + 1) for (first, last), k in zip(axes, (i, j), strict=True)
            )
            assert largest[i, j] == noise[rows, columns].max()


@pytest.mark.parametrize("ratio", [1, 1.1, 1.2, 1.25, 1.4142135623730951, 1.5, 1.9, 2])
def test_pooling_rounds_down_in_decimal_arithmetic(ratio):
    layer = FractionalMaxPooling2D(ratio)
    for side in range(2, 201):
        exact = int(decimal.Decimal(side) / decimal.Decimal(str(ratio)))
        assert layer.compute_output_shape((1, side, side, 3)) == (1, exact, exact, 3)
    assert FractionalMaxPooling2D(1.1).compute_output_shape((1, 33, 11, 3)) == (1, 30, 10, 3)


def test_regions_change_with_the_training_batch_and_the_test_pass_alone():
    layer = FractionalMaxPooling2D(1.4, seed=0)
    shape = (1, 28, 28, 2)
    x = maps(*shape)
    training = [array(layer(x, training=True)) for _ in range(4)]
    assert len({y.tobytes() for y in training}) == 4
    passes = []
    for number in (0, 1, 2, 500, 0):
        layer.test_pass.assign(number)
        passes.append(array(layer(x)))
        np.testing.assert_array_equal(array(layer(x)), passes[-1])
    assert len({y.tobytes() for y in passes}) == 4
    np.testing.assert_array_equal(passes[0], passes[-1])
    other = FractionalMaxPooling2D(1.4, seed=7)
    np.testing.assert_array_equal(array(other(x)), passes[0])


def test_the_draws_of_the_passes_are_uniform_and_unlike_each_other():
    layer = FractionalMaxPooling2D(1.2)
    layer.build((None, 600, 600, 1))
    draws = []
    for number in range(8):
        layer.test_pass.assign(number)
        draws.append(array(layer._draws((2, 500), (600, 600), False)).ravel())
    for draw in draws:
        assert scipy.stats.kstest(draw, "uniform").pvalue > 1e-3
    correlation = np.corrcoef(draws) - np.eye(8)
    assert np.abs(correlation).max() < 0.15  # 4.7 / sqrt(1000)


def test_a_net_with_fractional_pooling_learns():
    keras.utils.set_random_seed(0)
    x, y = maps(64, 9, 9, 1) / 2 - 1.5, np.arange(64) % 2
    x[y == 1, 3:6, 3:6] += 2
    image = keras.Input((9, 9, 1))
    h = keras.layers.Conv2D(8, 3, activation="relu")(image)
    h = FractionalMaxPooling2D(1.4)(h)
    h = FractionalMaxPooling2D(output_size=3, kind="pseudorandom")(h)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(h)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss)
    model.fit(x, y, epochs=8, batch_size=16, verbose=0)
    assert (array(model(x)).argmax(1) == y).mean() > 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "a ratio or an output_size"),
        ({"ratio": 1.5, "output_size": 3}, "a ratio or an output_size"),
        ({"ratio": 1.5, "kind": "fixed"}, "kind='fixed'"),
        ({"output_size": 9}, "cannot pool"),
        ({"ratio": 0.5}, "cannot pool"),
        ({"ratio": 0}, "above 0; received ratio=0"),
        ({"ratio": float("nan")}, "above 0; received ratio=nan"),
        ({"output_size": (3, -1)}, r"above 0; received ratio=None, output_size=\(3, -1\)"),
    ],
)
def test_pooling_refuses_what_it_cannot_do(settings, message):
    with pytest.raises(ValueError, match=message):
        FractionalMaxPooling2D(**settings)(maps(1, 8, 8, 1))
    with pytest.raises(ValueError, match="must know the size"):
        FractionalMaxPooling2D(1.5)(keras.Input((None, 8, 1)))


# --- stochastic depth and drop-path ---


def test_stochastic_depth_drops_a_batch_and_scales_in_inference():
    """Equation 5 of Huang et al. in inference, equation 2 with one gate for all images before."""
    layer, x = DropPath(0.3, per="batch", scale_at="test", seed=0), maps(4, 3, 3, 2)
    factors = []
    for _ in range(200):
        y = array(layer(x, training=True))
        factors.append(float(y[0, 0, 0, 0] != 0))
        np.testing.assert_array_equal(y, x * np.float32(factors[-1]))
    assert abs(np.mean(factors) - 0.7) < 0.1
    np.testing.assert_allclose(array(layer(x)), 0.7 * x, rtol=1e-6)


def test_drop_path_drops_images_and_scales_in_training():
    layer, x = DropPath(0.3, seed=0), np.ones((4000, 2, 3), "float32")
    y = array(layer(x, training=True))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], x.shape))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)
    assert abs(y.mean() - 1) < 0.04
    np.testing.assert_array_equal(array(layer(x)), x)


@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("scale_at", ["train", "test"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_form_of_drop_path_has_the_mean_of_inference(per, scale_at, dtype):
    layer = DropPath(0.25, per=per, scale_at=scale_at, seed=0, dtype=dtype)
    x = np.full((500, 2), 3, "float32")
    draws = np.array(
        [array(keras.ops.cast(layer(x, training=True), "float32")) for _ in range(200)]
    )
    kept = {"train": 4, "test": 3}[scale_at]
    assert set(np.unique(draws)) == {0, kept}
    assert len(np.unique(draws[0])) == {"image": 2, "batch": 1}[per]
    share = (draws != 0).mean()
    assert abs(share - 0.75) < {"image": 0.01, "batch": 0.1}[per]
    test = {"train": 3, "test": 2.25}[scale_at]
    np.testing.assert_array_equal(array(keras.ops.cast(layer(x), "float32")), np.full_like(x, test))
    assert kept * 0.75 == test


def test_drop_path_is_keras_dropout_of_whole_images():
    """The form that nets were saved with before: the same draws, to the bit."""
    x = maps(64, 3, 3, 2)
    ours = DropPath(0.3, seed=5)
    theirs = keras.layers.Dropout(0.3, noise_shape=(None, 1, 1, 1), seed=5)
    for _ in range(3):
        y = array(ours(x, training=True))
        np.testing.assert_array_equal(y, array(theirs(x, training=True)))
    assert 0 < (y == 0).mean() < 1


@pytest.mark.parametrize("per", ["image", "batch"])
def test_a_dropped_path_may_overflow_and_a_batch_be_empty(per):
    layer = DropPath(0.5, per=per, seed=0, dtype="float16")
    y = np.array([array(layer(np.full((4, 2), np.inf), training=True)) for _ in range(20)])
    assert set(np.unique(y)) == {0, np.inf}
    assert array(layer(np.zeros((0, 2, 3)), training=True)).shape == (0, 2, 3)


@pytest.mark.parametrize(
    "wrong", [{"rate": -0.1}, {"rate": 1.0}, {"per": "channel"}, {"scale_at": "training"}]
)
def test_drop_path_refuses_what_it_cannot_do(wrong):
    with pytest.raises(ValueError, match="received rate=") as error:
        DropPath(**{"rate": 0.5, **wrong})
    assert repr(next(iter(wrong.values()))) in str(error.value)


# --- Cutout ---


def test_cutout_covers_a_square_around_the_drawn_pixel():
    """The authors' loop: the square from center - size / 2 on, clipped to the image."""
    x, layer = maps(40, 9, 12, 3), Cutout(6, fill=[7, 8, 9])
    draws = np.random.default_rng(0).random((40, 2)).astype("float32")
    draws[0], draws[1] = 0, 1 - 2.0**-24
    expected = x.copy()
    for image, (y_draw, x_draw) in zip(expected, draws, strict=True):
        row, column = int(y_draw * 9), int(x_draw * 12)
        image[max(row - 3, 0) : row + 3, max(column - 3, 0) : column + 3] = [7, 8, 9]
    np.testing.assert_array_equal(array(layer.transform_images(x, draws)), expected)
    y = array(layer.transform_images(x.astype("uint8"), draws))
    np.testing.assert_array_equal(y, np.where(expected == x, x.astype("uint8"), expected))


def covered(layer, images=4000, side=32):
    """Which pixels a call covers: (images, side, side)."""
    return array(layer(np.ones((images, side, side, 1), "float32")))[..., 0] == 0


def test_cutout_crosses_the_border_and_random_erasing_does_not():
    """16 of 32 pixels: Cutout leaves 64 to 256 covered, a corner in (9 / 32)^2 of the images."""
    ours = covered(Cutout(16, seed=0))
    side = np.array([min(c + 8, 32) - max(c - 8, 0) for c in range(32)])
    areas = ours.sum((1, 2))
    assert (areas.min(), areas.max()) == (64, 256)
    assert abs(areas.mean() - side.mean() ** 2) < 4  # 4 standard errors are 3.9
    assert abs(ours[:, 0, 0].mean() - (9 / 32) ** 2) < 0.02
    erasing = keras.layers.RandomErasing((1.0, 1.0), scale=(0.25, 0.25), fill_value=0, seed=0)
    theirs = covered(erasing)
    assert set(theirs.sum((1, 2))) == {256}
    assert theirs[:, 0, 0].mean() == 0
    assert theirs[:, 16, 16].mean() > 0.85 > 0.3 > ours[:, 16, 16].mean()


@pytest.mark.parametrize("layer", [Cutout(4, fill=3), PCAColor()])
def test_augmentations_are_for_training(layer):
    x = pixels(8)
    if hasattr(layer, "adapt"):
        layer.adapt(x)
    np.testing.assert_array_equal(array(layer(x, training=False)), x)
    assert np.abs(array(layer(x, training=True)) - x).max(axis=(1, 2, 3)).min() > 0
    image = keras.Input((6, 6, 3))
    np.testing.assert_array_equal(keras.Model(image, layer(image)).predict(x, verbose=0), x)
    draws = array(layer.get_random_transformation(np.repeat(x, 500, axis=0)))
    assert scipy.stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    assert layer.get_random_transformation(x, training=False) is None


@pytest.mark.parametrize("layer", [Cutout(4), PCAColor()])
def test_augmentations_take_draws_inside_a_stream(layer):
    import tensorflow as tf

    x, draws = pixels(8), np.random.default_rng(0).random((8, 3)).astype("float32")
    if hasattr(layer, "adapt"):
        layer.adapt(x)
    stream = tf.data.Dataset.from_tensor_slices((x, draws)).batch(4).map(layer.transform_images)
    found = np.concatenate([batch.numpy() for batch in stream])
    np.testing.assert_allclose(found, array(layer.transform_images(x, draws)), rtol=1e-6)


def test_cutout_refuses_an_empty_square():
    with pytest.raises(ValueError, match="size=0"):
        Cutout(0)


# --- PCA color ---


def test_pca_color_adds_components_times_eigenvalues_times_normal_draws():
    """Krizhevsky et al., section 4.1, for pixels in 0..1; the signs of eigenvectors are free."""
    x, layer = pixels(30), PCAColor(std=0.3)
    layer.adapt(x)
    colors = x.reshape(-1, 3) / 255
    values, vectors = np.linalg.eigh(np.cov(colors.T, bias=True))
    draws = np.random.default_rng(0).random((30, 3)).astype("float32")
    shift = array(layer.transform_images(x, draws)) - x.astype("float32")
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1, :1], shift.shape), atol=1e-4)
    alphas = 0.3 * scipy.stats.norm.ppf(draws)[:, ::-1]  # the first draw: the largest eigenvalue
    along = shift[:, 0, 0] @ vectors / 255
    np.testing.assert_allclose(np.abs(along), np.abs(alphas * values), rtol=1e-3, atol=1e-6)


def test_pca_color_s_shifts_have_no_mean_and_the_covariance_squared():
    x = pixels(50)
    layer = PCAColor(seed=0)
    layer.adapt(x)
    covariance = np.cov(x.reshape(-1, 3).T / 255, bias=True)
    shifts = array(layer(np.zeros((20_000, 1, 1, 3), "float32")))[:, 0, 0] / 255
    expected = 0.1**2 * covariance @ covariance
    assert np.abs(np.cov(shifts.T) - expected).max() < 0.05 * expected.max()
    assert np.abs(shifts.mean(0)).max() < 5 * expected.max() ** 0.5 / 20_000**0.5


def test_pca_color_means_the_same_in_any_range():
    x, draws = pixels(20), np.random.default_rng(0).random((20, 3)).astype("float32")
    shifts = []
    for scale, value_range in ((1, (0, 255)), (1 / 255, (0, 1)), (2 / 255, (-1, 1))):
        layer = PCAColor(value_range=value_range)
        layer.adapt(x * scale - (value_range[0] == -1))
        y = array(layer.transform_images(np.zeros_like(x), draws))[:, 0, 0]
        shifts.append(np.abs(y @ array(layer.shifts).T) / scale**2)
    np.testing.assert_allclose(shifts[1], shifts[0], rtol=1e-3)
    np.testing.assert_allclose(shifts[2], shifts[0], rtol=1e-3)


# --- mean image and whitening ---


class Lazy:
    """Images that exist once they are sliced, as encoded ones do."""

    def __init__(self, images):
        self.images, self.shape = images, images.shape

    def __len__(self):
        return len(self.images)

    def __getitem__(self, part):
        return self.images[part]


def test_mean_image_is_numpy_s():
    x, layer = pixels(40), MeanImage()
    np.testing.assert_array_equal(array(layer(x)), x)  # not adapted yet
    layer.adapt(x)
    np.testing.assert_allclose(array(layer(x)), x - x.mean(0), atol=1e-4)
    np.testing.assert_allclose(array(layer.mean), x.mean(0), rtol=1e-6)


def course(x, kind, components, epsilon):
    """The lines of the course's notes."""
    flat = x.reshape(len(x), -1).astype("float64")
    flat -= np.mean(flat, axis=0)
    u, s, _ = np.linalg.svd(np.dot(flat.T, flat) / flat.shape[0])
    rotated = np.dot(flat, u[:, :components])
    white = rotated / np.sqrt(s[:components] + epsilon)
    return {"pca": rotated, "pca_whitening": white, "zca": white @ u[:, :components].T}[kind]


@pytest.mark.parametrize("kind", ["pca", "pca_whitening", "zca"])
@pytest.mark.parametrize("components", [None, 5])
def test_whitening_is_the_course_s(kind, components):
    x, layer = pixels(300, side=3), Whitening(kind, components, epsilon=50)
    layer.adapt(x)
    found, expected = array(layer(x)), course(x, kind, components, epsilon=50)
    assert found.shape == (x.shape if kind == "zca" else (300, components or 27))
    found = found.reshape(300, -1)
    if kind != "zca":  # where the sign of a component is free
        found, expected = np.abs(found), np.abs(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["pca_whitening", "zca"])
def test_whitened_numbers_are_uncorrelated_and_of_variance_1(kind):
    x, layer = pixels(300, side=3), Whitening(kind)
    layer.adapt(x)
    white = array(layer(x)).reshape(300, -1).astype("float64")
    np.testing.assert_allclose(white.T @ white / 300, np.eye(27), atol=1e-3)
    np.testing.assert_allclose(white.mean(0), np.zeros(27), atol=1e-3)


def test_pca_s_variances_are_the_eigenvalues_largest_first():
    x, layer = pixels(300, side=3), Whitening("pca", 6)
    layer.adapt(x)
    rotated = array(layer(x)).astype("float64")
    values = np.linalg.eigvalsh(np.cov(x.reshape(300, -1).T, bias=True))[::-1][:6]
    np.testing.assert_allclose(rotated.T @ rotated / 300, np.diag(values), atol=1e-3 * values[0])


def test_zca_is_symmetric_and_stays_near_the_images():
    x, layer = pixels(300, side=3), Whitening("zca")
    layer.adapt(x)
    matrix = array(layer.projection)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    assert np.linalg.eigvalsh(matrix).min() > 0


@pytest.mark.parametrize("make", [MeanImage, Whitening, PCAColor])
def test_statistics_are_those_of_the_images_given_to_adapt(make):
    """Neither calls in training nor other images move them; a second adapt starts anew."""
    layer, x, other = make(), pixels(40, side=3), pixels(30, side=3, seed=9)
    layer.adapt(x)
    before = layer.get_weights()
    layer(other, training=True) if make is PCAColor else layer(other)
    assert layer.trainable_weights == []
    for now, then in zip(layer.get_weights(), before, strict=True):
        if now.dtype == "float32":
            np.testing.assert_array_equal(now, then)
    layer.adapt(other)
    fresh = make()
    fresh.adapt(other)
    np.testing.assert_array_equal(layer.get_weights()[0], fresh.get_weights()[0])
    assert np.abs(layer.get_weights()[0] - before[0]).max() > 0


def test_moments_are_exact_by_parts_and_far_from_zero(monkeypatch):
    """float32 sums would lose a variance of 1 beside a mean of 1e5."""
    x = np.random.default_rng(0).normal(1e5, 1, (1000, 2, 2, 3))
    monkeypatch.setattr(moments, "AT_ONCE", 7 * 12)  # of 1000 images, so the last part is short
    for width in (3, 12):
        rows = x.reshape(-1, width)
        center = moments.mean(Lazy(x), width)
        np.testing.assert_allclose(center, rows.mean(0), rtol=1e-14)
        found = moments.covariance(Lazy(x), center)
        np.testing.assert_allclose(found, np.cov(rows.T, bias=True), atol=1e-8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"kind": "zac"}, "did you mean 'zca'"), ({"components": 28}, "27 numbers has no 28")],
)
def test_whitening_refuses_what_it_cannot_do(settings, message):
    with pytest.raises(ValueError, match=message):
        Whitening(**settings)(pixels(2, side=3))
