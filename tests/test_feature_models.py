"""Networks without their classifiers: features, num_classes=None, and backbones."""

import functools
import math

import keras
import numpy as np
import pytest
from networks import SMALL, small

from cvcourse import models


@pytest.fixture(scope="module")
def shared():
    """`small`, built once for the tests of this file."""
    return functools.cache(small)


def image(net, count=2):
    shape = [side or 37 for side in net.input_shape[1:]]
    return np.random.default_rng(0).normal(size=(count, *shape)).astype("float32")


@pytest.mark.parametrize("name", SMALL)
def test_none_for_the_classes_ends_at_the_features(name, shared):
    """The same layers and weights as in the net with its head, without those of the head."""
    full, net = shared(name), small(name, num_classes=None)
    assert net.name == name
    assert net.output._keras_history.operation.name == "features"
    below = keras.Model(full.input, full.get_layer("features").output)
    assert [w.path for w in net.weights] == [w.path for w in below.weights]
    assert net.count_params() < full.count_params() or name == "linear"
    net.set_weights(below.get_weights())
    np.testing.assert_allclose(net(image(net)), below(image(net)), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("linear", 0),
        ("mlp", 3072 * 512 + 512 + 512 * 256 + 256),
        ("lenet5", 156 + 2_416),  # C1 and C3
        ("vgg16", 14_714_688),  # keras.applications.VGG16(include_top=False)
        ("resnet50", 23_508_032 + 53_120),  # torchvision's less fc, and 2 statistics a norm
        ("squeezenet1_1", 1_235_496 - 513_000),
        ("vit_b_16", 86_567_656 - 769_000),
    ],
)
def test_a_headless_network_costs_its_layers_only(name, parameters):
    assert models.cost(name, num_classes=None).parameters == parameters


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_a_headless_network_has_no_auxiliary_heads(name):
    net = small(name, num_classes=None, aux=True)
    assert net.output_shape == small(name, num_classes=None).output_shape
    assert not [layer.name for layer in net.layers if layer.name.startswith("aux")]


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "vgg11", "alexnet", "nin_cifar"])
def test_a_headless_network_takes_images_of_any_size(name):
    channels = SMALL[name]["input_shape"][-1]
    net = small(name, num_classes=None, input_shape=(None, None, channels))
    sides = [net(np.zeros((1, side, side, channels), "float32")).shape[1] for side in (96, 192)]
    assert sides[0] < sides[1]


def test_an_mlp_flattens_images_of_one_size():
    with pytest.raises(ValueError, match="a height and a width are needed"):
        models.build("linear", num_classes=None, input_shape=(None, None, 1))


@pytest.mark.parametrize("name", SMALL)
def test_features_share_the_weights_and_pool(name, shared):
    net = shared(name)
    x = image(net)
    plain = models.features(net)
    values = np.array(plain(x))
    assert plain.name == name
    assert all(any(w is v for v in net.weights) for w in plain.weights)
    axes = {4: (1, 2), 3: 1, 2: ()}[values.ndim]
    patches = values[:, 1:] if values.ndim == 3 else values  # a ViT's without its class token
    for pooling, pool in {"avg": np.mean, "max": np.max}.items():
        pooled = models.features(net, pooling=pooling)
        assert pooled.output_shape == (None, values.shape[-1])
        np.testing.assert_allclose(pooled(x), pool(patches, axis=axes), rtol=1e-4, atol=1e-5)


def test_the_class_token_is_what_the_logits_are_made_of(shared):
    net = shared("vit_b_16")
    logits = net.get_layer("logits")
    logits.kernel.assign(np.random.default_rng(1).normal(size=logits.kernel.shape))
    token = models.features(net, pooling="token")(image(net))
    np.testing.assert_allclose(logits(token), net(image(net)), atol=1e-5)


def test_features_of_raw_photos_and_of_a_file(shared, tmp_path):
    net = shared("resnet18")
    raw = models.with_preprocessing(net, (24, 24, 3), mean=[120.0] * 3, variance=[900.0] * 3)
    x = np.random.default_rng(0).uniform(0, 255, (2, 24, 24, 3)).astype("float32")
    resized = keras.ops.image.resize((x - 120) / 30, (32, 32))
    expected = np.array(models.features(net)(resized)).mean((1, 2))
    pooled = models.features(raw, pooling="avg")
    np.testing.assert_allclose(pooled(x), expected, atol=1e-4)
    raw.save(tmp_path / "model.keras")
    loaded = models.features(keras.models.load_model(tmp_path / "model.keras"), pooling="avg")
    np.testing.assert_allclose(loaded(x), expected, atol=1e-4)
    loaded.save(tmp_path / "features.keras")
    again = keras.models.load_model(tmp_path / "features.keras")
    np.testing.assert_array_equal(again(x), loaded(x))


def test_a_net_of_ones_own_with_such_layers():
    conv = keras.layers.Conv2D(3, 1, strides=2, name="stage1")
    last = keras.layers.Conv2D(5, 1, strides=2, name="features")
    net = keras.Sequential([keras.Input((16, 16, 1)), conv, last])
    assert models.features(net, pooling="avg").output_shape == (None, 5)
    backbone = models.backbone(net)
    assert list(backbone.output) == ["stage1", "features"]
    assert (backbone.channels, backbone.strides) == ((3, 5), (2, 4))


def test_the_features_of_no_such_layer(shared):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="scores")], name="own")
    with pytest.raises(ValueError, match="own has no layer 'features'; its last layers are scores"):
        models.features(other)
    with pytest.raises(ValueError, match=r"unknown pooling 'mean'.*choose from avg, max, token"):
        models.features(shared("resnet18"), pooling="mean")
    with pytest.raises(ValueError, match=r'models.build\("resnet18", num_classes=None\)'):
        models.features("resnet18")
    with pytest.raises(ValueError, match="resnet18 has no class token"):
        models.features(shared("resnet18"), pooling="token")


@pytest.mark.parametrize("name", [name for name in SMALL if name not in ("linear", "mlp")])
def test_a_backbone_gives_maps_of_its_channels_and_strides(name, shared):
    net = shared(name)
    backbone = models.backbone(net)
    x = image(net, 1)
    maps = backbone(x)
    assert list(maps) == list(backbone.output)
    assert backbone.strides == tuple(sorted({*backbone.strides}))
    for found, channels, stride in zip(
        maps.values(), backbone.channels, backbone.strides, strict=True
    ):
        assert found.shape[-1] == channels
        least = x.shape[1] / stride - found.shape[1]  # what convolutions without padding take away
        assert -1 < least <= 6
    last = np.array(models.features(net)(x))
    assert [*maps.values()][-1].shape[1] == (last.shape[1] if last.ndim == 4 else 2)


FEATURE_INFO = {  # timm 1.0: create_model(name, features_only=True).feature_info
    "resnet50": ((64, 256, 512, 1024, 2048), (2, 4, 8, 16, 32)),
    "vgg16": ((64, 128, 256, 512, 512, 512), (1, 2, 4, 8, 16, 32)),
    "mobilenet_v2": ((16, 24, 32, 96, 320), (2, 4, 8, 16, 32)),
    "efficientnet_b0": ((16, 24, 40, 112, 320), (2, 4, 8, 16, 32)),
    "convnext_tiny": ((96, 192, 384, 768), (4, 8, 16, 32)),
    "densenet121": ((64, 256, 512, 1024, 1024), (2, 4, 8, 16, 32)),
    "inception_v3": ((64, 192, 288, 768, 2048), (2, 4, 8, 16, 32)),
    "nasnet_large": ((96, 168, 1008, 2016, 4032), (2, 4, 8, 16, 32)),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow if n in ("nasnet_large", "inception_v3") else ())
        for n in FEATURE_INFO
    ],
)
def test_backbones_are_timms(name):
    channels, strides = FEATURE_INFO[name]
    with keras.StatelessScope(initialize_variables=False):  # no memory for weights
        backbone = models.backbone(name)
    assert (backbone.channels, backbone.strides) == (channels, strides)


def test_the_step_of_a_receptive_field_is_the_stride():
    """Where the gradient of one row of a map is not zero, and of the next one."""
    import tensorflow as tf

    backbone = models.backbone("resnet18", depths=(1, 1), input_shape=(129, 129, 3))
    x = tf.constant(image(backbone, 1))
    for name, stride in zip(backbone.output, backbone.strides, strict=True):
        seen = []
        for offset in (0, 1):
            with tf.GradientTape() as tape:
                tape.watch(x)
                row = backbone(x)[name][0, backbone.output[name].shape[1] // 2 + offset]
                value = tf.reduce_sum(row)
            rows = np.flatnonzero(np.abs(tape.gradient(value, x)[0]).sum((1, 2)))
            seen.append(rows[[0, -1]])
        assert 0 < seen[0][0] < seen[1][-1] < 128
        np.testing.assert_array_equal(seen[1] - seen[0], stride)


def test_stages_are_chosen_by_number_or_name():
    settings = {"input_shape": (None, None, 3), "depths": (1, 1, 1)}
    backbone = models.backbone("resnet18", stages=(2, 3), **settings)
    assert list(backbone.output) == ["stage2", "stage3"]
    assert (backbone.channels, backbone.strides) == ((128, 256), (8, 16))
    shapes = {k: m.shape for k, m in backbone(np.zeros((1, 40, 72, 3), "float32")).items()}
    assert shapes == {
        "stage2": (1, math.ceil(40 / 8), math.ceil(72 / 8), 128),
        "stage3": (1, math.ceil(40 / 16), math.ceil(72 / 16), 256),
    }
    assert list(models.backbone("resnet18", stages="stem", **settings).output) == ["stem"]
    assert models.backbone("efficientnet_b0", stages=4).channels == (80,)  # not the last at 16


def test_a_backbone_shares_weights_and_trains(shared):
    net = shared("resnet18")
    backbone = models.backbone(net, stages=(1, 2))
    assert all(any(w is v for v in net.weights) for w in backbone.weights)
    x = image(net, 1)
    np.testing.assert_allclose(backbone(x)["stage2"], models.features(net)(x), atol=1e-6)


def test_a_vits_tokens_are_a_map(shared):
    net = shared("vit_b_16")
    backbone = models.backbone(net)
    tokens = np.array(models.features(net)(image(net)))
    assert (list(backbone.output), backbone.channels, backbone.strides) == (
        ["features"],
        (32,),
        (16,),
    )
    expected = tokens[:, 1:].reshape(2, 2, 2, 32)  # rows of patches, from the top
    np.testing.assert_array_equal(backbone(image(net))["features"], expected)


@pytest.mark.parametrize(
    ("net", "settings", "message"),
    [
        ("linear", {}, r"linear has no maps: its features are a vector, \(None, 3072\)"),
        ("mlp", {}, r"mlp has no maps: its features are a vector, \(None, 256\)"),
        ("resnet18", {"stages": (2, 7)}, "unknown map of resnet18 'stage7': did you mean 'stage"),
        (
            "vit_b_16",
            {"stages": (2,), "depth": 1, "hidden_dim": 12},
            "'stage2': choose from features",
        ),
        ("alexnet", {"stages": (2,)}, "choose from conv1, pool1, conv2"),
        ("alexnet", {"stages": ()}, "choose from conv1, pool1, conv2"),
        ("resnet", {}, "unknown model 'resnet': did you mean 'resnet"),
    ],
)
def test_maps_that_a_network_does_not_have(net, settings, message):
    with pytest.raises(ValueError, match=message):
        models.backbone(net, **settings)


def test_a_built_network_takes_no_settings(shared):
    with pytest.raises(ValueError, match="resnet18 is built already: input_shape cannot be set"):
        models.backbone(shared("resnet18"), input_shape=(64, 64, 3))
