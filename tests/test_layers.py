"""Layers against NumPy and against Keras' own."""

import keras
import numpy as np
import pytest

from cvcourse.layers import (
    AdaptiveAveragePooling2D,
    AveragePooling2D,
    BatchNormalization,
    ChannelShuffle,
    ClassToken,
    ColumnDraw,
    FractalJoin,
    LayerScale,
    LocalResponseNorm,
    PadTo,
    PositionEmbedding,
    RadialBasis,
    ScheduledDropPath,
    SparseConv2D,
    scaled_tanh,
)
from cvcourse.layers.transformer import self_attention


def maps(*shape, seed=0):
    return np.random.default_rng(seed).normal(3, 2, shape).astype("float32")


def assert_close(ours, theirs, tolerance=5e-6):
    for a, b in zip(ours, theirs, strict=True):
        a, b = map(keras.ops.convert_to_numpy, (a, b))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_batch_normalization_is_its_formula():
    """y = gamma (x - mean) / sqrt(var + eps) + beta, and averages that move by 1 - momentum."""
    x = maps(4, 5, 6, 3)
    layer = BatchNormalization(momentum=0.9, epsilon=1e-5)
    layer.build(x.shape)
    gamma, beta = maps(3, seed=1), maps(3, seed=2)
    layer.set_weights([gamma, beta, np.zeros(3), np.ones(3)])
    y = layer(x, training=True)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    expected = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
    assert_close([y], [expected], 1e-5)
    assert_close([layer.moving_mean, layer.moving_variance], [0.1 * mean, 0.9 + 0.1 * variance])


def test_epsilon_below_the_wrapper_s_minimum_counts():
    """tf.nn's wrapper would raise an epsilon of 1e-5 to 1.001e-5, and 1e-7 with it."""
    x = maps(2, 2, 2, 1) * 1e-4
    y = np.array(BatchNormalization(epsilon=1e-9)(x, training=True))
    np.testing.assert_allclose(y, (x - x.mean()) / np.sqrt(x.var() + 1e-9), rtol=1e-3)


@pytest.mark.parametrize("settings", [{}, {"scale": False}, {"center": False}, {"epsilon": 1e-5}])
def test_training_equals_keras(settings):
    """Weights, statistics and outputs after 16 steps of momentum, to 5e-6."""

    def trained(normalization):
        keras.utils.set_random_seed(0)
        image = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3, use_bias=False)(image)
        x = normalization(momentum=0.9, **settings)(x)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
        model = keras.Model(image, keras.layers.Dense(2)(x))
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
        model.optimizer.build(model.trainable_variables)  # or else the step is traced twice
        x, y = maps(64, 8, 8, 3) - 3, maps(64, 2, seed=1) - 3
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)  # 16 steps
        return [*model.get_weights(), model.predict(x[:4], verbose=0)]

    assert_close(trained(BatchNormalization), trained(keras.layers.BatchNormalization))


@pytest.mark.parametrize(
    ("shape", "settings", "dtype"),
    [
        ((6, 5), {}, "float32"),  # rank 2
        ((6, 4, 4, 3), {"axis": 1}, "float32"),
        ((6, 4, 4, 3), {}, "float64"),
        ((6, 4, 4, 3), {"synchronized": True}, "float32"),
    ],
)
def test_what_the_kernel_cannot_do_is_keras_own(shape, settings, dtype):
    x = maps(*shape).astype(dtype)
    ours = BatchNormalization(dtype=dtype, **settings)
    theirs = keras.layers.BatchNormalization(dtype=dtype, **settings)
    outputs = [layer(x, training=True) for layer in (ours, theirs)]
    assert keras.backend.standardize_dtype(outputs[0].dtype) == dtype
    assert_close([outputs[0], *ours.weights], [outputs[1], *theirs.weights], 1e-7)


def test_mask_is_respected():
    x, mask = maps(4, 3, 3, 2), np.random.default_rng(3).random((4, 3, 3)) < 0.5
    ours, theirs = BatchNormalization(), keras.layers.BatchNormalization()
    assert_close([ours(x, training=True, mask=mask)], [theirs(x, training=True, mask=mask)], 1e-7)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_float32_statistics(policy):
    x = maps(16, 4, 4, 3)
    layer = BatchNormalization(dtype=policy, momentum=0.0)
    y = layer(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    assert {v.dtype for v in layer.weights} == {"float32"}
    np.testing.assert_allclose(layer.moving_mean, x.mean((0, 1, 2)), rtol=1e-2)
    np.testing.assert_allclose(layer.moving_variance, x.var((0, 1, 2)), rtol=2e-2)


def test_frozen_statistics_stay():
    layer = BatchNormalization()
    layer.build((None, 4, 4, 3))
    layer.trainable = False
    before = layer.get_weights()
    x = maps(8, 4, 4, 3)
    assert_close([layer(x, training=True)], [x / np.sqrt(1 + 1e-3)])
    assert_close(layer.get_weights(), before, 0)


def test_saves_and_loads_to_the_bit(tmp_path):
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, BatchNormalization(momentum=0.8, name="bn")(image))
    model(maps(8, 4, 4, 3), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("bn").momentum == 0.8
    x = maps(2, 4, 4, 3)
    np.testing.assert_array_equal(loaded(x), model(x))


def joined(paths, column, **training):
    """What a join makes of `paths` paths, of which path i is 1 in channel i: (draws, paths)."""
    keras.utils.set_random_seed(0)
    layer, column = FractalJoin(rate=0.3), np.array(column, "float32")
    units = [np.eye(paths, dtype="float32")[i].reshape(1, 1, 1, -1) for i in range(paths)]
    draws = 200 if training else 1
    return np.array([layer([*units, column], **training) for _ in range(draws)]).reshape(draws, -1)


def test_fractal_join_is_the_mean_in_inference():
    np.testing.assert_allclose(joined(3, [0, 0, 0]), [[1 / 3] * 3])


@pytest.mark.parametrize("column", [[0, 0, 0], [1, 0, 0]])  # none drawn, and one that is not here
def test_local_drop_path_averages_survivors_of_which_there_is_one(column):
    shares = joined(2, column, training=True)
    kept = shares > 0
    assert kept.any(1).all()
    np.testing.assert_allclose(shares, kept / kept.sum(1, keepdims=True))
    # lost at 0.3, but for half of the 0.09 in which both would be
    np.testing.assert_allclose(1 - kept.mean(0), [0.255, 0.255], atol=0.08)


@pytest.mark.parametrize(("paths", "path"), [(3, 1), (2, 0)])
def test_global_drop_path_leaves_the_drawn_column(paths, path):
    shares = joined(paths, [0, 1, 0], training=True)
    np.testing.assert_array_equal(shares, np.tile(np.eye(paths)[path], (200, 1)))


def test_column_draw_is_one_column_or_none():
    keras.utils.set_random_seed(0)
    layer, x = ColumnDraw(4, share=0.6), np.zeros((2, 8, 8, 3))
    draws = np.array([layer(x, training=True) for _ in range(200)])
    np.testing.assert_allclose(draws.mean(0), [0.15] * 4, atol=0.08)
    assert set(draws.sum(1)) == {0, 1}
    np.testing.assert_array_equal(layer(x), [0, 0, 0, 0])


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_channel_shuffle_deals_each_group_s_channels_out(groups):
    x = maps(2, 3, 4, 6)
    expected, size = np.empty_like(x), 6 // groups
    for group in range(groups):
        for i in range(size):
            expected[..., i * groups + group] = x[..., group * size + i]
    np.testing.assert_array_equal(ChannelShuffle(groups)(x), expected)


def test_scheduled_drop_path_drops_whole_images_and_more_of_them_with_each_step():
    """Inputs times 0 or 1 / keep, where 1 - keep = rate * step / steps, and at most rate."""
    x, layer = np.ones((4000, 2, 3), "float32"), ScheduledDropPath(0.5, steps=4, seed=0)
    for step, dropped in enumerate([0, 0.125, 0.25, 0.375, 0.5, 0.5]):
        assert int(layer.step if layer.built else 0) == step
        y = keras.ops.convert_to_numpy(layer(x, training=True))
        factors = y[:, 0, 0]
        np.testing.assert_array_equal(y, np.broadcast_to(factors[:, None, None], x.shape))
        np.testing.assert_allclose(np.unique(factors)[-1], 1 / (1 - dropped), rtol=1e-6)
        assert abs(np.mean(factors == 0) - dropped) < 0.03
    assert_close([layer(x)], [x], 0)
    assert int(layer.step) == 6  # inference does not count


def test_scheduled_drop_path_goes_on_where_it_was_saved(tmp_path):
    image = keras.Input((4,))
    model = keras.Model(image, ScheduledDropPath(0.5, steps=3, name="drop")(image))
    model.compile("sgd", "mse")
    model.fit(np.ones((6, 4)), np.ones((6, 4)), batch_size=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").get_layer("drop")
    assert (int(loaded.step), loaded.rate, loaded.steps) == (3, 0.5, 3)
    assert model.count_params() == 0
    y = np.array(loaded(np.ones((500, 4)), training=True))
    assert set(np.unique(y)) == {0, 2}  # at the full rate


@pytest.mark.parametrize("settings", [{"rate": 1.0, "steps": 9}, {"rate": 0.5, "steps": 0}])
def test_scheduled_drop_path_refuses_what_it_cannot_do(settings):
    with pytest.raises(ValueError, match=r"received (rate=1\.0|steps=0)"):
        ScheduledDropPath(**settings)


def test_layer_scale_is_a_factor_a_channel():
    x, layer = maps(2, 3, 4, 5), LayerScale(1e-6)
    assert_close([layer(x)], [x * np.float32(1e-6)], 0)
    layer.set_weights([np.arange(5)])
    assert_close([layer(x)], [x * np.arange(5, dtype="float32")], 0)


def test_class_token_comes_first_and_positions_are_added():
    x = maps(2, 3, 4)
    token, positions = ClassToken(), PositionEmbedding()
    token.build(x.shape)
    token.set_weights([maps(1, 1, 4, seed=1)])
    y = np.concatenate([np.repeat(maps(1, 1, 4, seed=1), 2, 0), x], 1)
    assert_close([token(x)], [y], 0)
    positions.build(y.shape)
    positions.set_weights([maps(1, 4, 4, seed=2)])
    assert_close([positions(y)], [y + maps(1, 4, 4, seed=2)], 0)


def test_self_attention_is_its_formula():
    """softmax(q k' / sqrt(d)) v for each head, in loops."""
    tokens = keras.Input((5, 6))
    model = keras.Model(tokens, self_attention(tokens, 2, name="block"))
    x, weights = maps(2, 5, 6) - 3, [(maps(*w.shape, seed=9) - 3) / 3 for w in model.weights]
    model.set_weights(weights)
    kernel, bias, out_kernel, out_bias = weights
    y = np.zeros_like(x)
    for image in range(2):
        q, k, v = np.split(x[image] @ kernel + bias, 3, axis=1)
        for head in (slice(0, 3), slice(3, 6)):
            scores = np.exp(q[:, head] @ k[:, head].T / np.sqrt(3))
            y[image, :, head] = scores / scores.sum(1, keepdims=True) @ v[:, head]
    assert_close([model(x)], [y @ out_kernel + out_bias], 1e-4)


@pytest.mark.parametrize("shape", [(2, 6, 7, 3), (1, 5, 4, 2)])
def test_average_pooling_leaves_out_what_is_around_the_map(shape):
    """At stride 2 an even side lacks a pixel at the far end, an odd one a pixel at both."""
    x = maps(*shape)
    y = keras.ops.convert_to_numpy(AveragePooling2D(3, 2, padding="same")(x))
    first = [-(side % 2) for side in shape[1:3]]
    for i, j in np.ndindex(y.shape[1:3]):
        top, left = first[0] + 2 * i, first[1] + 2 * j
        window = x[:, max(top, 0) : top + 3, max(left, 0) : left + 3]
        np.testing.assert_allclose(y[:, i, j], window.mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(("size", "channels"), [(5, 7), (3, 2), (4, 6)])
def test_local_response_norm_is_its_formula(size, channels):
    """x / (k + alpha * sum of squares) ** beta over the channels that there are around each."""
    x = maps(2, 3, 4, channels)
    y = np.zeros_like(x)
    for c in range(channels):
        around = x[..., max(c - size // 2, 0) : c + (size - 1) // 2 + 1]
        y[..., c] = x[..., c] / (2 + 0.1 * (around**2).sum(-1)) ** 0.75
    assert_close([LocalResponseNorm(size, alpha=0.1)(x)], [y])
    assert_close([LocalResponseNorm(size, alpha=0.1)(x.astype("float16"))], [y], 2e-3)


@pytest.mark.parametrize("sides", [(9, 7), (6, 6), (4, 13), (12, 1)])
def test_adaptive_average_pooling_is_the_mean_of_torch_s_bins(sides):
    x, n = maps(2, *sides, 3), 6
    y = np.zeros((2, n, n, 3), "float32")
    for i, j in np.ndindex(n, n):
        (top, bottom), (left, right) = [
            (b * s // n, -(-(b + 1) * s // n)) for b, s in zip((i, j), sides, strict=True)
        ]
        y[:, i, j] = x[:, top:bottom, left:right].mean((1, 2))
    assert_close([AdaptiveAveragePooling2D(n)(x)], [y])
    assert_close([keras.layers.AdaptiveAveragePooling2D(n)(x)], [y])


def test_adaptive_average_pooling_takes_one_size_after_another():
    image = keras.Input((None, None, 3))
    model = keras.Model(image, AdaptiveAveragePooling2D((2, 3))(image))
    for sides in [(9, 7), (2, 3), (5, 8)]:
        assert model.predict(maps(1, *sides, 3), verbose=0).shape == (1, 2, 3, 3)


def test_sparse_convolution_is_a_dense_one_with_zeros():
    x, connections = maps(2, 6, 7, 4), ((0, 1), (3,), (2, 0, 1))
    layer = SparseConv2D(connections, 3)
    layer.build(x.shape)
    assert not np.array(layer.bias).any()  # as a dense convolution's begins
    kernel, bias = maps(3, 3, 6), maps(3, seed=1)
    layer.set_weights([kernel, bias])
    dense = np.zeros((3, 3, 4, 3), "float32")
    links = [(c, j) for j, seen in enumerate(connections) for c in seen]
    for link, (c, j) in enumerate(links):
        dense[..., c, j] = kernel[..., link]
    assert_close([layer(x)], [keras.ops.conv(x, dense) + bias], 1e-5)
    assert layer.compute_output_shape(x.shape) == (2, 4, 5, 3)


def test_radial_basis_is_minus_the_squared_distance():
    x, codes = maps(4, 3), [[1, -1, 1], [-1, -1, 1]]
    y = [
        [-sum((a - b) ** 2 for a, b in zip(row, code, strict=True)) for code in codes] for row in x
    ]
    assert_close([RadialBasis(codes)(x)], [np.array(y)])


def test_scaled_tanh_leaves_one_where_it_is():
    x = np.array([-1, 0, 1, 100], "float32")
    np.testing.assert_allclose(scaled_tanh(x), [-1, 0, 1, 1.7159], atol=2e-5)


@pytest.mark.parametrize("open_size", [False, True])
def test_small_maps_are_padded_on_both_sides(open_size):
    for sides, widths in [((2, 7), [(1, 2), (0, 0)]), ((5, 6), [(0, 0)] * 2)]:
        x = maps(2, *sides, 3)
        image = keras.Input((None, None, 3) if open_size else x.shape[1:])
        model = keras.Model(image, PadTo(5)(image))
        assert_close([model.predict(x, verbose=0)], [np.pad(x, [(0, 0), *widths, (0, 0)])], 0)
