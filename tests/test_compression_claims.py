"""Complaints about other compression tools that must not hold here; each names its source."""

import configparser
import lzma
import pathlib

import keras
import numpy as np
import pytest
from keras import layers
from networks import SMALL, small

from cvcourse.compression import (
    bake,
    compressed_file,
    prune,
    quantization_aware,
    share_weights,
)
from cvcourse.models.registry import FAMILIES

NAMES = [next(name for name in family.VARIANTS if name in SMALL) for family in FAMILIES]
EACH_FAMILY = [
    pytest.param(name, marks=() if name == "lenet5" else pytest.mark.slow) for name in NAMES
]
TECHNIQUES = {
    "prune": lambda net: prune(net, 0.3),
    "share_weights": lambda net: share_weights(net, 4),
    "quantization_aware": lambda net: quantization_aware(net, 4),
}


def images(net, count=2):
    shape = (count, *net.input_shape[1:])
    return np.random.default_rng(0).uniform(0, 1, shape).astype("float32")


def flat(outputs):
    return [np.array(output) for output in keras.tree.flatten(outputs)]


def assert_saved(net, x, path):
    """The model saves to .keras, and the loaded one has its outputs."""
    net.save(path)
    for found, expected in zip(flat(keras.saving.load_model(path)(x)), flat(net(x)), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", EACH_FAMILY)
def test_each_family_is_taken(name, tmp_path):
    """TFMOT refuses Keras 3 models: tensorflow/model-optimization#1141, #1167, #1172."""
    net = small(name)
    before = net.get_weights()
    for technique, function in TECHNIQUES.items():
        changed = function(net)
        names = {layer.name for layer in changed.layers}
        assert names >= {layer.name for layer in net.layers}, technique
        assert_saved(changed, images(net), tmp_path / "net.keras")
    for value, old in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_sequential_model_is_taken(technique, tmp_path):
    net = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    assert_saved(TECHNIQUES[technique](net), images(net), tmp_path / "net.keras")


@pytest.fixture(scope="module")
def pruned_and_shared():
    """A net of 61,706 weights at 8 % density and 4 bits."""
    keras.utils.set_random_seed(0)
    dense = small("lenet5")
    pruned = prune(dense, 0.08)
    return dense, pruned, share_weights(pruned, 4)


def test_the_file_of_a_pruned_net_is_small(pruned_and_shared, tmp_path):
    """Pruned files as big as before: tensorflow/model-optimization#760, tensorflow#47838."""
    dense, pruned, shared = pruned_and_shared
    assert pruned.count_params() == dense.count_params()  # no masks
    pruned.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    assert len(loaded.variables) == len(dense.variables)
    size = compressed_file.write(shared, tmp_path / "net.cvz")
    assert size == (tmp_path / "net.cvz").stat().st_size
    assert size < 4 * dense.count_params() / 20
    np.savez(tmp_path / "net.npz", *pruned.get_weights())
    assert 4 * size < len(lzma.compress((tmp_path / "net.npz").read_bytes()))


def test_the_file_is_run_after_one_call_and_predicts_the_same(pruned_and_shared, tmp_path):
    """CaffeModelCompression#10, #12, #13: unpacked by hand, and other predictions."""
    *_, shared = pruned_and_shared
    compressed_file.write(shared, tmp_path / "net.cvz")
    net = compressed_file.read(tmp_path / "net.cvz")
    plain = bake(shared)
    for found, expected in zip(net.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    x = images(net, 8)
    np.testing.assert_array_equal(net(x), plain(x))
    assert (
        compressed_file.write(net, tmp_path / "again.cvz") == (tmp_path / "net.cvz").stat().st_size
    )


def test_depthwise_kernels_batch_norm_and_biases_are_not_shared(capsys):
    """Few centroids ruin depthwise convolutions: tensorflow/model-optimization#920."""
    net = small("mobilenet")
    shared = bake(share_weights(net, 2))
    assert "share_weights: unchanged: stage" in (told := capsys.readouterr().err)
    assert "(DepthwiseConv2D)" in told
    changed = 0
    for layer in net.layers:
        for old, new in zip(layer.weights, shared.get_layer(layer.name).weights, strict=True):
            is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            if new.name == "kernel" and not is_depthwise:
                assert len(np.unique(new)) <= 4
                changed += 1
            else:
                np.testing.assert_array_equal(new, old)
    assert changed == 5  # convolutions, and the dense layer


def test_no_dependency_on_tfmot():
    """It downgrades absl-py, and adds tf_keras beside Keras 3."""
    root = pathlib.Path(__file__).parents[1]
    settings = configparser.ConfigParser()
    settings.read(root / "setup.cfg", "utf-8")
    needed = settings["options"]["install_requires"]
    assert "keras" in needed
    assert not {"tensorflow-model-optimization", "tf_keras", "tf-keras"} & {*needed.split()}
    for path in (root / "cvcourse" / "compression").glob("*.py"):
        assert "tensorflow_model_optimization" not in path.read_text("utf-8")
