"""Filters, activations, dead filters and strongest patches, against NumPy."""

import keras
import numpy as np
import pytest
from golden import golden_rule as rule
from keras import layers

from cvcourse import models, visualization
from cvcourse.models import pretrained

IMAGES = np.random.default_rng(0).normal(size=(5, 9, 7, 3)).astype("float32")


def classifier(x, y, classes=2):
    return keras.Model(x, layers.Dense(classes, name="logits")(layers.Flatten()(y)))


# First-layer filters


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Conv2D(4, (3, 2)), lambda k: k.transpose(3, 0, 1, 2)),
        (layers.Conv2D(6, 3, groups=3), lambda k: k.transpose(3, 0, 1, 2)),
        (
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            lambda k: np.stack([k[..., c, m, None] for c in range(3) for m in range(2)]),
        ),
        (
            layers.SeparableConv2D(4, 3),
            lambda k: np.stack([k[..., c, 0, None] for c in range(3)]),
        ),
    ],
)
def test_filters_of_convolutions(layer, expected):
    x = keras.Input((9, 7, 3))
    prepared = layers.Normalization(mean=1.0, variance=4.0)(layers.Rescaling(1 / 255)(x))
    model = classifier(x, layers.Conv2D(2, 1, name="second")(layer(prepared)))
    found = visualization.first_layer_filters(model)
    np.testing.assert_array_equal(found, expected(np.array(layer.get_weights()[0])))
    assert found.dtype == "float32"


def test_filters_within_a_nested_model_and_of_another_precision():
    inner = keras.Sequential(
        [keras.Input((9, 7, 3)), layers.Conv2D(4, 3, dtype="bfloat16"), layers.Flatten()]
    )
    model = keras.Sequential([keras.Input((9, 7, 3)), layers.Rescaling(2.0), inner])
    kernel = np.array(inner.layers[0].kernel).astype("float32")
    found = visualization.first_layer_filters(model)
    np.testing.assert_array_equal(found, kernel.transpose(3, 0, 1, 2))


def test_filters_are_the_patch_embedding_of_a_vision_transformer():
    form = dict(hidden_dim=8, depth=1, num_heads=2, mlp_dim=8, input_shape=(32, 32, 3))
    net = models.build("vit_b_16", num_classes=2, **form)
    assert visualization.first_layer_filters(net).shape == (8, 16, 16, 3)


def test_a_network_without_a_convolution_has_no_filters():
    with pytest.raises(ValueError, match="has no convolution"):
        visualization.first_layer_filters(models.build("mlp", input_shape=(8, 8, 1)))


# Activations and dead filters


@pytest.fixture(scope="module")
def net():
    """Convolution, ReLU, a dense layer with ReLU that is called twice, logits."""
    x = keras.Input((9, 7, 3))
    y = layers.Activation("relu", name="relu")(layers.Conv2D(4, 3, strides=2, name="conv")(x))
    dense = layers.Dense(4, activation="relu", name="shared")
    y = dense(dense(layers.GlobalAveragePooling2D()(y)))
    model = keras.Model(x, layers.Dense(3, activation="softmax", name="logits")(y))
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) * 0.5 for w in model.get_weights()])
    return model


def by_numpy(model, images):
    """The outputs of conv, relu, and of both calls of the shared layer."""
    kernel, bias, dense, dense_bias, *_ = model.get_weights()
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), (1, 2))[:, ::2, ::2]
    conv = np.einsum("nyxcij,ijco->nyxo", windows, kernel) + bias
    relu = np.maximum(conv, 0)
    first = np.maximum(relu.mean((1, 2)) @ dense + dense_bias, 0)
    return conv, relu, first, np.maximum(first @ dense + dense_bias, 0)


def test_activations_of_any_rank(net):
    conv, relu, _, second = by_numpy(net, IMAGES)
    for layer, expected in (("conv", conv), ("relu", relu), ("shared", second)):
        found = visualization.activations(net, IMAGES, layer)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    many = np.concatenate([IMAGES] * 8)  # more than a batch
    found = visualization.activations(net, many, net.get_layer("conv"))
    np.testing.assert_allclose(found, np.concatenate([conv] * 8), atol=1e-5)


def test_activations_before_the_softmax_with_the_weights_of_now(net):
    logits = net.get_layer("logits")
    before = logits.get_weights()
    *_, second = by_numpy(net, IMAGES)
    logits.set_weights([np.eye(4, 3), np.full(3, 5.0)])
    found = visualization.activations(net, IMAGES, "logits")
    np.testing.assert_allclose(found, second[:, :3] + 5, atol=1e-5)
    logits.set_weights(before)


def test_an_unknown_layer_gets_the_nearest_names(net):
    with pytest.raises(ValueError, match=r"convv is no layer .* nearest names are conv,"):
        visualization.activations(net, IMAGES, "convv")


def test_dead_filters_are_dead_in_all_images_places_and_calls(net):
    before = net.get_weights()
    kernel, bias, *others = before
    net.set_weights([kernel, np.where(np.arange(4) == 1, -100, bias), *others])
    _, relu, first, second = by_numpy(net, IMAGES)
    expected = {
        "relu": np.flatnonzero((relu <= 0).all((0, 1, 2))),
        "shared": np.flatnonzero((first <= 0).all(0) & (second <= 0).all(0)),
    }
    assert 1 in expected["relu"]
    found = visualization.dead_filters(net, np.concatenate([IMAGES] * 8))
    assert {name: [*part] for name, part in found.items()} == {
        name: [*part] for name, part in expected.items()
    }
    net.set_weights([kernel, np.where(np.arange(4) == 1, 100, bias), *others])  # alive again
    assert 1 not in visualization.dead_filters(net, IMAGES)["relu"]
    net.set_weights(before)


def test_a_network_without_a_relu_has_no_dead_filters():
    x = keras.Input((9, 7, 3))
    assert visualization.dead_filters(classifier(x, layers.Conv2D(2, 3)(x)), IMAGES) == {}


# Strongest patches


def test_strongest_patches_of_each_channel_by_numpy(net):
    _, relu, *_ = by_numpy(net, IMAGES)
    found = visualization.strongest_patches(net, IMAGES, "relu", [2, 0], count=3)
    for channel, patches in zip((2, 0), found, strict=True):
        best = relu[..., channel].reshape(5, -1)
        assert [patch.image for patch in patches] == [*np.argsort(-best.max(1))[:3]]
        for image, value, (top, left, bottom, right) in patches:
            row, column = divmod(best[image].argmax(), relu.shape[2])
            assert value == pytest.approx(best[image].max(), abs=1e-5)
            assert (top, left) == (2 * row, 2 * column)
            assert (bottom - top, right - left) == (3, 3)


def test_patches_of_values_without_a_place_are_the_image(net):
    *_, second = by_numpy(net, IMAGES)
    [patches] = visualization.strongest_patches(net, IMAGES, "shared", [1])
    assert len(patches) == 5
    assert {patch.box for patch in patches} == {(0, 0, 9, 7)}
    found = [patch.value for patch in patches]
    np.testing.assert_allclose(found, np.sort(second[:, 1])[::-1], atol=1e-5)


def test_patches_of_images_of_any_size_that_the_model_resizes():
    """Three pixels of the photo are one of the network; the brightest is in row 1, column 2."""
    x = keras.Input((None, None, 1))
    y = layers.Resizing(4, 4, interpolation="nearest")(x)
    model = classifier(x, layers.ReLU(name="relu")(y))
    image = np.zeros((1, 12, 12, 1))
    image[0, 3:6, 6:9] = 1
    [[(_, value, (top, left, bottom, right))]] = visualization.strongest_patches(
        model, image, "relu", [0]
    )
    assert value == 1
    assert 3 <= top < bottom <= 6 and 6 <= left < right <= 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": [4]}, "channels 0 to 3; received 4"),
        ({"channels": [-1]}, "received -1"),
        ({"channels": [True]}, "received True"),
        ({"channels": 2}, "channels are several numbers; received 2"),
        ({"channels": [0], "count": 0}, "count is a whole number of at least 1; received 0"),
    ],
)
def test_wrong_channels_and_counts(net, settings, message):
    with pytest.raises(ValueError, match=message):
        visualization.strongest_patches(net, IMAGES, "relu", **settings)


GOLDEN = {  # torchvision in float64: size, seed, gain, tap, channel, patch of each image
    "vgg11": (
        *((96, 64), 3, 3, "stage3_2", 26),
        [(1, 9.07, (-11, 5, 15, 31)), (0, 5.92, (33, 13, 59, 39))],
    ),
    "resnet18": (
        *((112, 80), 4, 1.5, "stage2", 99),
        [(0, 14.9, (-25, -25, 74, 74)), (1, 13.3, (39, 15, 138, 114))],
    ),
    "squeezenet1_1": (
        *((96, 72), 7, 3, "fire5", 91),
        [(1, 6.12, (-24, 0, 39, 63)), (0, 5.44, (32, 16, 95, 79))],
    ),
    "mobilenet_v2": (
        *((112, 80), 11, 1.4, "stage3", 5),
        [(1, 4.86, (27, 35, 86, 94)), (0, 4.81, (3, -29, 62, 30))],
    ),
}
SLOW = ("vgg11", "resnet18", "mobilenet_v2")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in GOLDEN]
)
def test_strongest_patches_of_published_architectures(name):
    size, seed, gain, tap, channel, expected = GOLDEN[name]
    entries = rule.load_spec()["models"][name]["state_dict"]
    weights = {entry: rule.tensor(entry, shape, gain) for entry, shape in entries}
    model = pretrained.build_source(f"torchvision.{name}", input_shape=(*size, 3))
    pretrained.load_state_dict(model, weights)
    [found] = visualization.strongest_patches(model, rule.inputs(*size, seed), tap, [channel])
    assert [(image, box) for image, _, box in found] == [(image, box) for image, _, box in expected]
    values = [value for _, value, _ in expected]
    assert [patch.value for patch in found] == pytest.approx(values, rel=5e-3)
