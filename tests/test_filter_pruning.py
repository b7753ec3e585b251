"""Filter pruning: smaller models compute what models with zeroed filters compute."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import SMALL, small

from cvcourse import models
from cvcourse.compression import filter_groups, prune_filters, zero_filters
from cvcourse.layers import (
    ChannelShuffle,
    ClassToken,
    DepthwiseConv2D,
    GroupedConv2D,
    LayerScale,
    LocalResponseNorm,
    Maxout,
    PadTo,
    PositionEmbedding,
)
from cvcourse.models.registry import FAMILIES

FAST = ("resnet20", "vit_b_16")
LESS = {  # share of the parameters that is gone, for what loses less than 20 %
    "vit_b_16": 0.19,  # 24,608 of 42,282 are the stem, which a layer normalization reads
}
NETS = [name for name in SMALL if name != "linear"]  # a linear classifier has no filters


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


def randomized(model):
    """The model with weights as after training: no zeros, and variances near 1."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        value = ops.convert_to_numpy(weight)
        if "variance" in weight.name:
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        elif len(weight.shape) < 2 or not value.any():
            weight.assign(value + rng.normal(0, 0.3, weight.shape))
    return model


def outputs(model):
    """Outputs for two images."""
    shape = [side or 8 for side in model.input_shape[1:]]
    images = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype("float32")
    flat = keras.tree.flatten(model(images))
    return np.concatenate([ops.convert_to_numpy(x).astype("float32").ravel() for x in flat])


def pair(model, *args, **kwargs):
    """The smaller model, after a comparison with the zeroed one."""
    before = [ops.convert_to_numpy(weight) for weight in model.weights]
    smaller = prune_filters(model, *args, **kwargs)
    zeroed = zero_filters(model, *args, **kwargs)
    assert zeroed.count_params() == model.count_params()
    expected = outputs(zeroed)
    tolerance = 1e-5 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(outputs(smaller), expected, rtol=0, atol=tolerance)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, weight)
    return smaller


def net(shape, function):
    inputs = keras.Input(shape)
    return randomized(keras.Model(inputs, function(inputs)))


def end(x):
    return layers.Dense(3, name="logits")(layers.Flatten()(x))


def test_the_filters_of_the_smallest_norms_go():
    model = net((4, 4, 2), lambda x: end(layers.Conv2D(4, 3, activation="relu", name="conv")(x)))
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[:] = np.sign(kernel) * np.array([0.3, 0.1, 0.4, 0.2])
    kernel[0, 0, 0, 1] = 2.0  # filter 1: l1 norm 3.7, l2 norm 2.05; filter 2: 7.2 and 1.7
    model.get_layer("conv").set_weights([kernel, bias])
    dense, offset = model.get_layer("logits").get_weights()
    for criterion, kept in (("l1", [0, 2]), ("l2", [1, 2])):
        smaller = pair(model, 0.5, criterion=criterion)
        np.testing.assert_array_equal(smaller.get_layer("conv").kernel, kernel[..., kept])
        np.testing.assert_array_equal(smaller.get_layer("conv").bias, bias[kept])
        rows = dense.reshape(2, 2, 4, 3)[:, :, kept].reshape(8, 3)
        np.testing.assert_array_equal(smaller.get_layer("logits").kernel, rows)
        np.testing.assert_array_equal(smaller.get_layer("logits").bias, offset)
    assert pair(model, 0.01).get_layer("conv").filters == 1
    assert pair(model, 1).count_params() == model.count_params()
    kernels = [
        pair(model, criterion="random", seed=seed).get_layer("conv").kernel for seed in range(4)
    ]
    assert {kernel.shape[-1] for kernel in kernels} == {2}
    assert len({np.array(kernel).tobytes() for kernel in kernels}) > 1


@pytest.mark.parametrize(
    "name",
    [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NETS],
)
def test_a_small_form_of_each_family(name):
    """Channel mismatch in residual nets: Torch-Pruning#3, #8, #64, nncf#851, filter-pruning#23."""
    model = randomized(small(name))
    smaller = pair(model, 0.5)
    assert 1 - smaller.count_params() / model.count_params() > LESS.get(name, 0.2)
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]
    assert np.abs(outputs(smaller) - outputs(model)).max() > 1e-3  # what was removed mattered
    assert all(0 not in weight.shape for weight in pair(model, 0.01).weights)


def test_each_family_is_among_them():
    assert all(set(family.VARIANTS) & set(NETS) for family in FAMILIES)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("name", ["resnext50_32x4d", "shufflenet_v1", "shufflenet_v2_x0_5"])
def test_groups_stay_of_equal_size(name, keep):
    model = randomized(small(name))
    assert pair(model, keep).count_params() < model.count_params()


def test_lenet_loses_what_its_layers_say():
    # 1 -> 3 -> 8 maps, 8 * 25 -> 60 -> 42 -> 10 units
    count = (25 * 3 + 3) + (25 * 3 * 8 + 8) + (200 * 60 + 60) + (60 * 42 + 42) + (42 * 10 + 10)
    assert prune_filters(small("lenet5")).count_params() == count


def test_a_residual_net_with_smaller_blocks_only(capsys):
    model = randomized(small("resnet20"))
    groups = filter_groups(model)
    shared = {name for group in groups if len(group.layers) > 1 for name in group.layers}
    assert [(group.layers, group.filters) for group in groups if len(group.layers) > 1] == [
        (("stem_conv", "stage1_block1_2_conv", "stage2_block1_2_conv", "stage3_block1_2_conv"), 16),
        (("stage2_block1_2_conv", "stage3_block1_2_conv"), 16),  # the zeros of shortcut A
    ]
    smaller = pair(model, 0.5, skip=[*shared])
    convolutions = 3 * 16 + 2 * (16 * 8) + 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64
    norms = 16 + (8 + 16) + (16 + 32) + (32 + 64)
    assert smaller.count_params() == 9 * convolutions + 4 * norms + 650
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith("prune_filters: all filters kept: stem_conv (skipped), stage1_block1_2_")
    assert "logits (output of the model)" in line and "stage1_block1_1_conv" not in line


def test_groups_say_why_filters_stay():
    reasons = {
        name: (group.prunable, group.reason)
        for group in filter_groups(small("vit_b_16"), skip=["block2_hidden"])
        for name in group.layers
    }
    assert reasons["block1_hidden"] == reasons["block1_qkv"] == (True, "")
    assert reasons["block2_hidden"] == (False, "skipped")
    assert reasons["stem"] == (False, "used by block1_1_norm (LayerNormalization)")
    assert reasons["logits"] == (False, "output of the model")


def conv(filters, size=1, **settings):
    return layers.Conv2D(filters, size, **settings)


def shared_layers(x):
    convolution, relu, dense = conv(8, 3, padding="same"), layers.ReLU(), layers.Dense(8)
    x = relu(convolution(conv(3)(relu(convolution(x)))))
    x = layers.Reshape((-1, 8))(x)
    return end(relu(layers.Conv1D(6, 3)(dense(dense(x)))))


def nested(x):
    image = keras.Input((8, 8, 3))
    inner = layers.BatchNormalization()(conv(8, 3, padding="same", name="conv")(image))
    inner = keras.Model(image, inner, name="inner")
    y = inner(x)
    return end(inner(conv(3)(conv(8)(ops.relu(y)))) + y)


def halves(x):
    left, right = ops.split(conv(8)(x), 2, axis=-1)
    return end(layers.Concatenate()([right, conv(6)(left), right]))


def spatial_attention(x):
    x = conv(8)(x)
    return end(x * conv(1, activation="sigmoid")(x))


def padded_channels(x):
    around = [[0, 0], [1, 1], [0, 0]]
    return end(ops.pad(conv(6)(x), [*around, [2, 3]]) + ops.pad(conv(11)(x), [*around, [0, 0]]))


def shuffled(x):
    x = GroupedConv2D(12, 3, groups=3)(conv(9, activation="relu")(x))
    return end(GroupedConv2D(6, 1, groups=3)(ChannelShuffle(3)(x)))


def tokens(x):
    x = layers.Dense(8)(layers.Reshape((64, 3))(x))
    x = x + LayerScale(0.5)(layers.Dense(8)(PositionEmbedding()(x)))
    return layers.Dense(3)(ClassToken()(x)[:, 0])


def attention(x):
    """Four heads of two channels."""
    x = layers.Reshape((64, 3))(x)
    q, k, v = (ops.reshape(layers.Dense(8)(x), (-1, 64, 4, 2)) for _ in range(3))
    q, k, v = ops.transpose(q, (0, 2, 1, 3)), ops.transpose(k, (0, 2, 3, 1)), ops.swapaxes(v, 1, 2)
    x = ops.transpose(ops.matmul(ops.softmax(ops.matmul(q, k) * 0.7), v), (0, 2, 1, 3))
    return end(ops.reshape(x, (-1, 64, 8)))


# Graphs, and the number of parameters with half the filters.
GRAPHS = {
    "two calls of a layer": (shared_layers, None),
    "a nested model": (nested, None),
    "depth multiplier": (
        lambda x: end(
            conv(6)(
                layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")(
                    layers.SeparableConv2D(8, 3, depth_multiplier=2)(conv(4)(x))
                )
            )
        ),
        # conv 2, separable 4, depthwise 8, conv 3 on 4x4, logits
        (3 * 2 + 2) + (9 * 4 + 4 * 4 + 4) + (9 * 8 + 8) + (8 * 3 + 3) + (48 * 3 + 3),
    ),
    "a group for each channel": (
        lambda x: end(GroupedConv2D(16, 3, groups=8)(conv(8, activation="relu")(x))),
        (3 * 4 + 4) + (9 * 8 + 8) + (36 * 8 * 3 + 3),
    ),
    "shuffled groups": (shuffled, None),
    "explicit padding": (
        lambda x: end(DepthwiseConv2D(3, pad=((1, 1), (1, 1)))(conv(8)(x))),
        (3 * 4 + 4) + (9 * 4 + 4) + (64 * 4 * 3 + 3),
    ),
    "transposed": (
        lambda x: end(layers.Conv2DTranspose(6, 2, strides=2)(conv(8)(x))),
        (3 * 4 + 4) + (4 * 4 * 3 + 3) + (256 * 3 * 3 + 3),
    ),
    "tokens": (
        tokens,
        (3 * 4 + 4) + 64 * 4 + (4 * 4 + 4) + 4 + 4 + (4 * 3 + 3),
    ),
    "attention": (attention, 3 * (3 * 4 + 4) + (64 * 4 * 3 + 3)),
    "parts of a split": (halves, (3 * 4 + 4) + (2 * 3 + 3) + (64 * 7 * 3 + 3)),
    "a map for all channels": (spatial_attention, (3 * 4 + 4) + (4 + 1) + (64 * 4 * 3 + 3)),
    "padded channels": (padded_channels, None),
    "PReLU": (
        lambda x: end(layers.PReLU(shared_axes=[1, 2])(conv(8)(x))),
        (3 * 4 + 4) + 4 + (64 * 4 * 3 + 3),
    ),
    "a norm without factors": (
        lambda x: end(layers.BatchNormalization(scale=False)(conv(8)(x))),
        (3 * 4 + 4) + 3 * 4 + (64 * 4 * 3 + 3),
    ),
    "channels first after a transposition": (
        lambda x: end(layers.Permute((3, 1, 2))(conv(8)(x))),
        (3 * 4 + 4) + (64 * 4 * 3 + 3),
    ),
    "reshape": (
        lambda x: end(layers.Conv1D(6, 3)(ops.reshape(conv(8)(x), (-1, 64, 8)))),
        (3 * 4 + 4) + (3 * 4 * 3 + 3) + (62 * 3 * 3 + 3),
    ),
    "a max pool's border": (
        lambda x: end(
            layers.MaxPooling2D(3, 2)(
                ops.pad(conv(6)(x), [[0, 0], [1, 1], [0, 0], [0, 0]], constant_values=-3.0)
            )
        ),
        (3 * 3 + 3) + (12 * 3 * 3 + 3),
    ),
    # Filters that stay: 8 that a sigmoid, a softmax, a sum or another layer makes nonzero or mixes.
    "sigmoid": (
        lambda x: end(conv(6)(conv(8, activation="sigmoid")(x))),
        (3 * 8 + 8) + (8 * 3 + 3) + (64 * 3 * 3 + 3),
    ),
    "softmax": (
        lambda x: end(conv(6)(conv(8, activation="softmax")(x))),
        (3 * 8 + 8) + (8 * 3 + 3) + (64 * 3 * 3 + 3),
    ),
    "a constant": (
        lambda x: end(conv(6)(conv(8)(x) + 1.0)),
        (3 * 8 + 8) + (8 * 3 + 3) + (64 * 3 * 3 + 3),
    ),
    "a slice": (lambda x: end(conv(6)(conv(8)(x)[..., 2:])), None),
    "an unknown layer": (
        lambda x: end(conv(6)(layers.TimeDistributed(layers.Dense(5))(conv(8)(x)))),
        (3 * 8 + 8) + (8 * 5 + 5) + (5 * 3 + 3) + (64 * 3 * 3 + 3),
    ),
    "neighboring channels": (
        lambda x: end(conv(8)(LocalResponseNorm()(conv(6)(Maxout(2)(conv(6)(x)))))),
        (3 * 6 + 6) + (3 * 6 + 6) + (6 * 4 + 4) + (64 * 4 * 3 + 3),
    ),
    "two outputs": (
        lambda x: [y := conv(8)(x), end(conv(6)(y))],
        (3 * 8 + 8) + (8 * 3 + 3) + (64 * 3 * 3 + 3),
    ),
}


FAST_GRAPHS = ("two calls of a layer", "depth multiplier", "shuffled groups", "transposed")
FAST_GRAPHS += ("parts of a split",)


@pytest.mark.parametrize(
    "graph",
    [g if g in FAST_GRAPHS else pytest.param(g, marks=pytest.mark.slow) for g in GRAPHS],
)
def test_a_graph(graph):
    function, count = GRAPHS[graph]
    model = net((8, 8, 3), function)
    smaller = pair(model, 0.5)
    assert smaller.count_params() < model.count_params()
    assert count is None or smaller.count_params() == count
    try:
        pair(smaller, 0.5)  # a second time
    except ValueError as error:
        assert "has no filters that can be removed" in str(error)


def test_maps_of_any_size():
    def function(x):
        x = PadTo(9)(conv(6)(layers.UpSampling2D()(conv(6, 3, padding="same")(x))))
        x = layers.Reshape((-1, 6))(conv(6)(x))
        return layers.Dense(3)(layers.GlobalAveragePooling1D()(x))

    smaller = pair(net((None, None, 3), function))
    assert smaller.count_params() == (9 * 3 * 3 + 3) + 2 * (3 * 3 + 3) + (3 * 3 + 3)
    assert smaller(np.zeros((1, 5, 20, 3))).shape == (1, 3)


def test_a_sequential_model_is_saved_and_trained(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            conv(6, 3, activation="relu", name="conv"),
            layers.BatchNormalization(trainable=False, name="norm"),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(10, activation="tanh", kernel_regularizer="l2"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    smaller = pair(randomized(model))
    assert not smaller.get_layer("norm").trainable and not smaller.compiled
    smaller.save(tmp_path / "smaller.keras")
    again = keras.saving.load_model(tmp_path / "smaller.keras")
    np.testing.assert_array_equal(outputs(again), outputs(smaller))
    smaller.compile("sgd", "sparse_categorical_crossentropy")
    kernel = ops.convert_to_numpy(smaller.get_layer("conv").kernel).copy()
    images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3))
    smaller.fit(images, np.arange(4) % 3, verbose=0)
    assert np.abs(kernel - smaller.get_layer("conv").kernel).max() > 0
    assert pair(smaller).get_layer("conv").filters == 2  # of 3: 1.5, rounded up


def test_raw_images_and_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        core = randomized(small("mobilenet_v3_small"))
        model = models.with_preprocessing(core, (40, 40, 1), mean=[128.0], variance=[4096.0])
        smaller = prune_filters(model)
    finally:
        keras.config.set_dtype_policy("float32")
    x, zeroed = outputs(smaller), outputs(zero_filters(model))
    np.testing.assert_allclose(x, zeroed, atol=0.02 * np.abs(zeroed).max())  # 8 bits
    assert smaller.count_params() < 0.3 * model.count_params()


def test_bad_input():
    model = small("lenet5")
    with pytest.raises(ValueError, match=r"keep is a fraction .* \(0, 1\]; received 1.5"):
        prune_filters(model, 1.5)
    for keep in (0, "0.5", None):
        with pytest.raises(ValueError, match=f"received {keep!r}"):
            zero_filters(model, keep)
    with pytest.raises(ValueError, match=r"unknown criterion 'l3'.*l1, l2, random"):
        prune_filters(model, criterion="l3")
    with pytest.raises(ValueError, match="unknown layer with filters 'c33': did you mean 'c3'"):
        prune_filters(model, skip=["c33"])
    with pytest.raises(
        ValueError, match=r"linear has no filters that can be removed \(logits: out"
    ):
        prune_filters(small("linear"))

    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="needs a functional or Sequential model"):
        filter_groups(Own())
