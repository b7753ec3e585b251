"""Copies of models with other layers, the kernels of a model, and layers with computed kernels."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import small

import cvcourse.layers  # noqa: F401
from cvcourse.compression import (
    bake,
    binarize,
    factorize,
    filter_groups,
    fold_batch_norm,
    magnitude_masks,
    prune,
    prune_filters,
    quantization_aware,
    share_weights,
    spectrum,
    ternarize,
    zero_filters,
)
from cvcourse.compression.kernel_wrapper import KernelWrapper, wrapped
from cvcourse.compression.kernels import kernels, tell_untouched
from cvcourse.compression.surgery import replaced


@keras.saving.register_keras_serializable("test")
class Scaled(KernelWrapper):
    """Kernels times a trained number."""

    def add_variables(self, kernel):
        return self.add_weight(shape=(), initializer="ones", name=f"{kernel.owner.name}_scale")

    def kernel_value(self, kernel, scale):
        return kernel.variable.value * scale


def scaled(model, **options):
    return wrapped(model, kernels(model, **options), lambda layer, names, _: Scaled(layer, names))


def images_for(model, count=2):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def nested():
    """A net within a net: one layer is called twice, one is frozen, one is an attention."""
    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(6, 3, name="conv", trainable=False)(image)
    x = layers.BatchNormalization(name="bn")(x)
    inner = keras.Model(image, x, name="inner")
    image = keras.Input((4, 4, 2), name="image")
    x = layers.Reshape((4, 6), name="rows")(inner(layers.Rescaling(2.0)(image)))
    dense = layers.Dense(6, name="twice")
    x = dense(dense(x)) + x
    x = layers.MultiHeadAttention(2, 3, dropout=0.5, name="attention")(x, x)
    x = layers.Lambda(lambda x: x * 2)(keras.ops.relu(x))
    logits = layers.Dense(3, name="logits")(layers.Flatten()(x))
    return keras.Model(image, {"logits": logits, "rows": x}, name="outer")


@pytest.mark.parametrize("name", ["lenet5_1998", "densenet121", "shufflenet_v1", "vit_b_16"])
def test_a_copy_of_each_family(name):
    model = small(name)
    copy = replaced(model)
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
    assert [v.shape for v in copy.variables] == [v.shape for v in model.variables]
    x = images_for(model)
    np.testing.assert_array_equal(copy(x), model(x))
    assert not {id(v) for v in copy.variables} & {id(v) for v in model.variables}


def test_a_copy_of_nested_and_shared_layers():
    model = nested()
    for copy in (replaced(model), bake(scaled(model, minimum=1))):
        assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
        assert not copy.get_layer("inner").get_layer("conv").trainable
        x = images_for(model)
        for name, value in model(x).items():
            np.testing.assert_array_equal(copy(x)[name], value)
    assert len(copy.trainable_variables) == len(model.trainable_variables)


def test_a_layer_becomes_a_chain():
    model = nested()
    conv = model.get_layer("inner").get_layer("conv")
    wide = layers.Conv2D(12, 3, name="wide")
    point = layers.Conv2D(6, 1, use_bias=False, name="conv")
    wide.build((None, 4, 4, 2)), point.build((None, 2, 2, 12))
    kernel, bias = conv.get_weights()
    wide.set_weights([np.concatenate([kernel, kernel], -1), np.concatenate([bias, bias])])
    point.set_weights([np.concatenate([np.eye(6), np.eye(6)])[None, None] / 2])
    copy = replaced(model, {"inner/conv": [wide, point]})
    x = images_for(model)
    np.testing.assert_allclose(copy(x)["logits"], model(x)["logits"], atol=1e-5)
    assert copy.get_layer("inner").get_layer("conv") is point


def test_kernels_of_a_nested_model(capsys):
    model = nested()
    model.get_layer("inner").get_layer("conv").trainable = True
    names = [kernel.name for kernel in kernels(model, minimum=1)]
    attention = ["query", "key", "value", "attention_output"]
    assert names == [
        *("inner/conv/kernel", "twice/kernel"),
        *(f"attention/{name}/kernel" for name in attention),
        "logits/kernel",
    ]
    assert [k.step for k in kernels(model)] == ["inner/conv"]  # 108 weights
    assert [k.step for k in kernels(model, layers=["twice"])] == ["twice"]
    tell_untouched("prune", small("efficientnet_b0"), kernels(small("efficientnet_b0")))
    assert "prune: unchanged: stage1_block1_depthwise_conv (Depth" in capsys.readouterr().err


def test_computed_kernels_are_trained_saved_and_baked(tmp_path):
    model = nested()
    wrapper = scaled(model, minimum=1)
    assert [layer.name for layer in wrapper.layers] == [layer.name for layer in model.layers]
    wrapper.get_layer("twice")._computed[0].assign(3.0)
    x = images_for(model, 8)
    before = np.array(wrapper(x)["logits"])
    assert np.abs(before - model(x)["logits"]).max() > 1e-3
    np.testing.assert_allclose(bake(wrapper)(x)["logits"], before, atol=1e-6)
    flat = small("lenet5")
    net = scaled(flat)
    net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = images_for(net, 8)
    net.fit(x, np.arange(8), verbose=0)
    scales = [v for v in net.trainable_variables if "scale" in v.name]
    assert len(scales) == 5 and all(float(v) != 1 for v in scales)
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again(x), net(x))
    np.testing.assert_allclose(bake(again)(x), net(x), atol=1e-6)


def test_dropout_within_a_wrapped_layer_goes_on():
    net = scaled(nested(), minimum=1)
    x = images_for(net)
    first, second = (np.array(net(x, training=True)["logits"]) for _ in range(2))
    assert np.abs(first - second).max() > 1e-4


def test_what_has_no_kernels_or_no_graph_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    for function in (replaced, bake, fold_batch_norm, filter_groups, spectrum, ternarize):
        with pytest.raises(ValueError, match="needs a functional or Sequential model"):
            function(Own())
    model = small("lenet5")
    with pytest.raises(ValueError, match="unknown layer 'c33': did you mean 'c3'"):
        replaced(model, {"c33": []})
    with pytest.raises(ValueError, match="no convolution or dense layer of at least 100 weights"):
        kernels(keras.Sequential([keras.Input((3,)), layers.Dense(3)]))
    with pytest.raises(ValueError, match="the layers s2 have no kernel"):
        kernels(model, layers=["s2"])


def test_saved_networks_keep_the_names_of_their_layers(tmp_path):
    model = small("shufflenet_v1")
    model.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


@keras.saving.register_keras_serializable("test")
class Gated(layers.Layer):
    """Two dense layers with names by Keras, which differ from model to model."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units, self.gate, self.value = units, layers.Dense(units), layers.Dense(units)

    def build(self, shape):
        self.gate.build(shape), self.value.build(shape)

    def call(self, x):
        return self.gate(x) * self.value(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("test")
class BuiltByCall(Gated):
    build = layers.Layer.build


def test_recurrent_masked_and_custom_layers(tmp_path, capsys):
    tokens = keras.Input((5,), dtype="int32")
    x = layers.Embedding(9, 12, mask_zero=True, name="embedding")(tokens)
    x = layers.Dense(12, name="dense")(x)
    cells = [layers.LSTMCell(6), layers.LSTMCell(6)]
    x = layers.RNN(cells, return_sequences=True, name="rnn")(x)
    x = layers.Bidirectional(layers.GRU(5), name="both")(x)
    model = keras.Model(tokens, Gated(6, name="gated")(x))
    names = [kernel.name for kernel in kernels(model, minimum=1)]
    assert [name for name in names if name.startswith(("rnn", "gated"))] == [
        "rnn/stacked_rnn_cells/lstm_cell/kernel",
        "rnn/stacked_rnn_cells/lstm_cell/recurrent_kernel",
        "rnn/stacked_rnn_cells/lstm_cell_1/kernel",
        "rnn/stacked_rnn_cells/lstm_cell_1/recurrent_kernel",
        "gated/dense/kernel",
        "gated/dense_1/kernel",
    ]
    net = scaled(model, minimum=1)
    for left, scale in zip((1.5, 0.5), net.get_layer("gated")._computed, strict=True):
        scale.assign(left)
    x = np.array([[3, 4, 0, 0, 0], [0, 5, 6, 7, 8]], "int32")
    assert net.get_layer("dense")._inbound_nodes[0].output_tensors[0]._keras_mask is not None
    first, second = model(x), net(x)
    np.testing.assert_allclose(second, 0.75 * np.array(first), atol=1e-6)
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again(x), second)
    np.testing.assert_allclose(bake(again)(x), second, atol=1e-6)
    tell_untouched("prune", model, kernels(model, minimum=1))
    assert capsys.readouterr().err == "prune: unchanged: embedding (Embedding)\n"


def test_layers_that_a_call_builds():
    x = keras.Input((12,))
    model = keras.Model(x, BuiltByCall(6, name="gated")(x))
    x = np.random.default_rng(0).normal(size=(2, 12)).astype("float32")
    np.testing.assert_array_equal(replaced(model)(x), model(x))
    with pytest.raises(ValueError, match=r"'gated' of the class BuiltByCall needs a method build"):
        scaled(model, minimum=1)


def test_a_layer_shared_with_a_nested_model(capsys):
    dense = layers.Dense(12, name="dense")
    x = keras.Input((12,))
    inner = keras.Model(x, dense(x), name="inner")
    x = keras.Input((12,))
    model = keras.Model(x, dense(inner(x)))
    tell_untouched("prune", model, kernels(model))
    assert capsys.readouterr().err == ""
    wide = layers.Dense(12, name="dense")
    wide.build((None, 12))
    copy = replaced(model, {"dense": [wide]})  # by its second name
    assert copy.get_layer("inner").get_layer("dense") is copy.get_layer("dense") is wide


def test_a_kernel_with_lora_is_left_alone():
    x = keras.Input((12,))
    dense = layers.Dense(12, name="dense")
    model = keras.Model(x, layers.Dense(12, name="logits")(dense(x)))
    dense.enable_lora(2)
    assert [kernel.step for kernel in kernels(model)] == ["logits"]


@pytest.fixture(scope="module")
def shared():
    """A net of one bit a weight, whose variables for its kernels have other values."""
    x = keras.Input((12,))
    hidden = layers.Dense(12, activation="relu", name="hidden")(x)
    model = keras.Model(x, layers.Dense(12, name="logits")(hidden))
    net = share_weights(model, 1)
    for layer in net.layers[1:]:
        (codebook, _) = layer.codes()["kernel"]
        codebook.assign([1.0, 2.0])
    return net


@pytest.mark.parametrize(
    "technique",
    [
        lambda net: prune(net, 0.3),
        lambda net: share_weights(net, 2),
        lambda net: fold_batch_norm(net),
        lambda net: quantization_aware(net, 4),
        lambda net: ternarize(net, keep=()),
        lambda net: binarize(net, keep=()),
        lambda net: binarize(net, "xnor", keep=()),
        lambda net: factorize(net, rank=1),
        lambda net: prune_filters(net, 0.5),
        lambda net: zero_filters(net, 0.5),
    ],
)
def test_techniques_follow_one_another(shared, technique):
    plain, x = bake(shared), images_for(shared)
    found, expected = technique(shared), technique(plain)
    assert [layer.name for layer in found.layers] == [layer.name for layer in expected.layers]
    np.testing.assert_array_equal(found(x), expected(x))


def test_a_quantized_net_is_quantized_to_fewer_bits(shared):
    found = quantization_aware(quantization_aware(shared, 8), 2, activation_bits=4)
    expected = quantization_aware(shared, 2, activation_bits=4)
    assert [layer.name for layer in found.layers] == [layer.name for layer in expected.layers]
    assert {getattr(layer, "bits", 0) for layer in found.layers} == {0, 2, 4}


def test_quantization_names_what_it_leaves_alone(shared, capsys):
    quantization_aware(shared, 4, skip=["logits"])
    assert capsys.readouterr().err == "quantization_aware: unchanged: logits (Dense)\n"


def test_computed_kernels_are_those_that_are_examined(shared):
    plain = bake(shared)
    assert filter_groups(shared) == filter_groups(plain)
    assert [row.rank_99 for row in spectrum(shared)] == [row.rank_99 for row in spectrum(plain)]
    expected = magnitude_masks(plain, 0.3)
    for name, mask in magnitude_masks(shared, 0.3).items():
        np.testing.assert_array_equal(mask, expected[name])


@pytest.mark.parametrize("technique", [lambda net: share_weights(net, 2), ternarize])
def test_frozen_layers_stay_frozen(technique):
    x = keras.Input((12,))
    hidden = layers.Dense(12, name="hidden", trainable=False)(layers.Dense(12, name="first")(x))
    net = technique(keras.Model(x, layers.Dense(12, name="logits")(hidden)))
    assert not net.get_layer("hidden").trainable
    assert not [v.path for v in net.trainable_variables if "hidden" in v.path]
    assert not bake(net).get_layer("hidden").trainable


@pytest.mark.parametrize(
    "technique",
    [
        lambda net: quantization_aware(net, 4),
        lambda net: ternarize(net, "twn", keep=()),
        lambda net: binarize(net, "binaryconnect", keep=()),
    ],
)
def test_kernels_of_half_precision(technique):
    net = keras.Sequential(
        [keras.Input((12,), dtype="bfloat16"), layers.Dense(12, dtype="bfloat16", name="logits")]
    )
    found = technique(net)
    assert found(np.ones((1, 12))).dtype == "bfloat16"
    assert bake(found).get_layer("logits").kernel.dtype == "bfloat16"
