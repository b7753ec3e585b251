"""Weight sharing: k-means against scikit-learn, the paper's worked example, zeros that stay."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from sklearn.cluster import KMeans

from cvcourse.compression import bake, density, kmeans, prune, share_weights
from cvcourse.compression.weight_sharing import SharedWeights

RNG = np.random.default_rng(0)

# Han et al. 2016, figure 3: weights, indices, gradient, and the centroids after a step at rate 1.
WEIGHTS = [[2.09, -0.98, 1.48, 0.09], [0.05, -0.14, -1.08, 2.12]]
WEIGHTS += [[-0.91, 1.92, 0, -1.03], [1.87, 0, 1.53, 1.49]]
INDICES = [[3, 0, 2, 1], [1, 1, 0, 3], [0, 3, 1, 0], [3, 1, 2, 2]]
GRADIENT = [[-0.03, -0.01, 0.03, 0.02], [-0.01, 0.01, -0.02, 0.12]]
GRADIENT += [[-0.01, 0.02, 0.04, 0.01], [-0.07, -0.02, 0.01, -0.02]]
CENTROIDS, FINE_TUNED = [-1.0, 0.0, 1.5, 2.0], [-0.97, -0.04, 1.48, 1.96]


@pytest.mark.parametrize("init", ["linear", "density", "random"])
def test_clusters_are_those_of_scikit_learn(init):
    values = np.random.default_rng(1).normal(size=2000).astype("float32")
    values = values[np.abs(values) > 0.5][:1000].reshape(2, -1)
    flat = np.sort(values, axis=None)
    start = {
        "linear": np.linspace(flat[0], flat[-1], 8),
        "density": flat[((np.arange(8) + 0.5) / 8 * flat.size).astype(int)],
        "random": np.random.default_rng(3).choice(flat, 8, replace=False, shuffle=False),
    }[init]
    expected = KMeans(8, init=start[:, None], n_init=1, tol=0, max_iter=1000)
    expected.fit(flat[:, None].astype("float64"))
    centroids, labels = kmeans(values, 8, init=init, seed=3)
    np.testing.assert_allclose(centroids, np.sort(expected.cluster_centers_[:, 0]), atol=1e-6)
    assert centroids.dtype == "float32" and labels.dtype == "uint8"
    distances = np.abs(values[..., None] - centroids)
    np.testing.assert_array_equal(labels, distances.argmin(-1))


def test_few_different_values_are_kept_exactly():
    values = RNG.choice(np.float32([0.1, -0.3, 0.7]), 1000)
    for k in (3, 4, 200, 300):
        centroids, labels = kmeans(values, k)
        assert centroids.shape == (k,)
        np.testing.assert_array_equal(centroids[labels], values)


def test_ties_empty_clusters_and_numbers_that_float32_rounds():
    """A number between two centroids belongs to the smaller one; empty clusters keep theirs."""
    centroids, labels = kmeans([0, 4, 5, 5, 8], 2)
    assert (centroids.tolist(), labels.tolist()) == ([2, 6], [0, 0, 1, 1, 1])
    centroids, _ = kmeans([0, 0.1, 0.2, 10], 3)
    np.testing.assert_allclose(centroids, [0.1, 5, 10], rtol=1e-6)
    last = 2.0**-23  # the middle of 1 and 1 + 3 * last is 1 + 1.5 * last
    values = np.repeat([1, 1 + 2 * last, 1 + 3 * last], [100, 1, 100])
    assert kmeans(values, 2)[1][100] == 1


def test_centroids_without_weights_are_dropped():
    model = keras.Sequential([keras.Input((50,)), layers.Dense(4, name="logits")])
    model.layers[0].kernel.assign(np.resize([1, 1.1, 1.2, 1.3, 10], (50, 4)))
    shared = share_weights(model, 2).get_layer("logits")
    np.testing.assert_allclose(shared.codes()["kernel"][0], [1.15, 10], rtol=1e-6)
    found = np.unique(shared.kernel_values()[0])
    np.testing.assert_allclose(found, [1.15, 10], rtol=1e-6)


def test_bad_values_are_refused_in_one_line():
    model = flat_net()
    for bits in (0, 9, 2.5, True, "4", {"conv": 0}):
        with pytest.raises(ValueError, match="bits must be a whole number from 1 to 8; received"):
            share_weights(model, bits)
    with pytest.raises(ValueError, match="unknown kind of layer 'convs': did you mean 'conv'"):
        share_weights(model, {"convs": 8})
    dense = keras.Sequential([keras.Input((50,)), layers.Dense(4)], name="dense")
    with pytest.raises(ValueError, match="dense has no kernels of the kinds conv to share"):
        share_weights(dense, {"conv": 8})
    with pytest.raises(ValueError, match="unknown init 'liner': did you mean 'linear'"):
        share_weights(model, 4, init="liner")
    with pytest.raises(ValueError, match="k must be at least 1; received 0"):
        kmeans([1.0], 0)
    with pytest.raises(ValueError, match="at least one number; received none"):
        kmeans([], 2)
    model.get_layer("logits").kernel.assign(np.full((192, 3), np.nan))
    with pytest.raises(ValueError, match="logits/kernel: needs finite numbers; received NaN"):
        share_weights(model, 4)


def test_the_worked_example_of_the_paper():
    weights = np.where(np.equal(WEIGHTS, 0), 1e-7, WEIGHTS)  # a pruned weight has no centroid
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, use_bias=False, name="dense")])
    model.get_layer("dense").kernel.assign(weights)
    shared = share_weights(model, 2, layers=["dense"])
    codebook, indices = shared.get_layer("dense").codes()["kernel"]
    np.testing.assert_allclose(codebook, CENTROIDS, atol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(indices) - 1, INDICES)
    # The gradient of sum(x @ w * g) is g for x = identity.
    shared.compile(keras.optimizers.SGD(1.0), lambda g, y: ops.sum(y * g))
    shared.fit(np.eye(4), np.array(GRADIENT), batch_size=4, verbose=0)
    np.testing.assert_allclose(codebook, FINE_TUNED, atol=1e-6)


def flat_net():
    keras.utils.set_random_seed(5)
    image = keras.Input((6, 6, 1), name="image")
    x = layers.Conv2D(12, 3, activation="relu", name="conv")(image)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(3, name="logits")(x), name="net")


@pytest.fixture(scope="module")
def tuned():
    """A pruned net, its kernels, the shared net after training, and its kernels before."""
    model = prune(flat_net(), 0.3)
    shared = share_weights(model, {"conv": 3, "dense": 2}, init="density")
    before = bake(shared)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    shared.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), loss, run_eagerly=True)
    x = RNG.normal(size=(32, 6, 6, 1)).astype("float32")
    shared.fit(x, np.arange(32) % 3, batch_size=8, verbose=0)
    return model, before, shared


def test_zeros_stay_zero_and_indices_fixed(tuned):
    model, before, shared = tuned
    after = bake(shared)
    assert density(before) == density(model) == density(after) == density(shared)
    for name, size in {"conv": 8, "logits": 4}.items():
        old, first, new = (np.array(m.get_layer(name).kernel) for m in (model, before, after))
        assert len(np.unique(first[first != 0])) == size
        np.testing.assert_array_equal(new == 0, old == 0)
        assert np.abs(new - first).max() > 1e-3
        # Weights that were equal are equal.
        pairs = np.unique(np.stack([first.ravel(), new.ravel()]), axis=1)
        assert pairs.shape[1] == size + 1
        clusters = [old[first == value] for value in np.unique(first[first != 0])]
        np.testing.assert_allclose(
            np.unique(first[first != 0]), [c.mean(dtype="float64") for c in clusters], atol=1e-6
        )


def test_only_codebooks_and_the_other_weights_are_trained(tuned):
    model, before, shared = tuned
    assert [layer.name for layer in shared.layers] == [layer.name for layer in model.layers]
    names = sorted(f"{v.path.split('/')[0]}/{v.name}" for v in shared.trainable_variables)
    assert names == sorted(
        [
            *("conv/bias", "conv/kernel_codebook", "logits/bias", "logits/kernel_codebook"),
            *("depthwise/bias", "depthwise/kernel", "norm/beta", "norm/gamma"),
        ]
    )
    plain = [layer.name for layer in shared.layers if not isinstance(layer, SharedWeights)]
    assert plain == ["image", "depthwise", "norm", "flatten"]
    for layer in ("depthwise", "norm"):
        for ours, theirs in zip(
            before.get_layer(layer).weights, model.get_layer(layer).weights, strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_saved_and_baked_nets_compute_the_same(tuned, tmp_path):
    _, _, shared = tuned
    x = RNG.normal(size=(4, 6, 6, 1)).astype("float32")
    shared.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again(x), shared(x))
    np.testing.assert_array_equal(bake(again)(x), shared(x))
    assert not any(v.trainable for v in again.variables if v.name in ("kernel_indices",))
    once_more = share_weights(shared, {"conv": 3, "dense": 2})
    np.testing.assert_array_equal(once_more(x), shared(x))


def test_the_gradient_of_a_centroid_is_the_sum_of_those_of_its_weights(tuned):
    import tensorflow as tf

    _, _, shared = tuned
    plain = bake(shared)
    x = RNG.normal(size=(4, 6, 6, 1)).astype("float32")

    def gradients(model, variables):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(model(x, training=True)))
        return tape.gradient(loss, [v.value for v in variables])

    for name in ("conv", "logits"):
        codebook, indices = shared.get_layer(name).codes()["kernel"]
        (ours,) = gradients(shared, [codebook])
        (dense,) = gradients(plain, [plain.get_layer(name).kernel])
        indices = ops.convert_to_numpy(indices).ravel()
        sums = np.bincount(indices, weights=np.array(dense).ravel())[1:]
        np.testing.assert_allclose(tf.convert_to_tensor(ours), sums, rtol=1e-4, atol=1e-5)


def test_kinds_that_are_absent_are_left_alone(capsys):
    shared = share_weights(flat_net(), {"dense": 8}, init="random")
    told = capsys.readouterr().err
    assert told == "share_weights: unchanged: conv (Conv2D), depthwise (DepthwiseConv2D)\n"
    assert not isinstance(shared.get_layer("conv"), SharedWeights)
    codebook, indices = shared.get_layer("logits").codes()["kernel"]
    assert codebook.shape == (256,) and indices.dtype == "uint16"  # and zero
    depthwise = share_weights(flat_net(), 2, layers=["depthwise"]).get_layer("depthwise")
    assert len(np.unique(bake_kernel(depthwise))) == 4


def bake_kernel(layer):
    return ops.convert_to_numpy(layer.kernel_values()[0])


def test_attention_in_mixed_precision_and_a_kernel_of_zeros():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rows = keras.Input((5, 8), name="rows")
        x = layers.MultiHeadAttention(2, 8, name="attention")(rows, rows)
        model = keras.Model(rows, layers.Dense(16, name="zero", dtype="float32")(x))
        model.get_layer("zero").kernel.assign(np.zeros((8, 16)))
        shared = share_weights(model, 4)
    finally:
        keras.config.set_dtype_policy("float32")
    attention = shared.get_layer("attention")
    assert [len(np.unique(value)) for value in attention.kernel_values()] == [16] * 4
    assert sorted(attention.codes()) == sorted(
        f"{name}/kernel" for name in ("query", "key", "value", "attention_output")
    )
    shared.compile("sgd", "mse", run_eagerly=True)
    shared.fit(np.ones((4, 5, 8)), np.ones((4, 5, 16)), verbose=0)
    np.testing.assert_array_equal(bake(shared).get_layer("zero").kernel, np.zeros((8, 16)))
