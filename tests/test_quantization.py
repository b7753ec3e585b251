"""Batch norm folding, rounded kernels and activations against NumPy, and int8 files."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import SMALL, lively, small

from cvcourse import data
from cvcourse.compression import (
    FakeQuant,
    bake,
    calibrate,
    fold_batch_norm,
    litert,
    quantization_aware,
    quantized_bytes,
)
from cvcourse.compression.quantization import QuantizedKernel
from cvcourse.layers import BatchNormalization, DepthwiseConv2D, GroupedConv2D


def randomized(model):
    """Set all weights of a model, also statistics, to random numbers."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        positive = "variance" in weight.name
        weight.assign(random.uniform(0.5 if positive else -1, 1, weight.shape))
    return model


def images_for(model, count=12, high=1.0):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(1).uniform(0, high, shape).astype("float32")


def one(outputs):
    """The only output, or the first of a dict."""
    return np.array(next(iter(outputs.values())) if isinstance(outputs, dict) else outputs)


def every_kind():
    """A net in which batch norm follows each layer that it can be folded into."""
    image = keras.Input((8, 8, 4), name="image")
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(scale=False, name="conv_bn")(x)
    x = layers.Activation("relu", name="relu")(x)
    x = DepthwiseConv2D(3, pad=((1, 1), (0, 1)), depth_multiplier=2, name="depthwise")(x)
    x = BatchNormalization(center=False, epsilon=0.1, name="depthwise_bn")(x)
    x = layers.SeparableConv2D(8, 3, depth_multiplier=2, name="separable")(x)
    x = layers.BatchNormalization(name="separable_bn", trainable=False)(x)
    x = layers.Conv2DTranspose(6, 3, strides=2, use_bias=False, name="transposed")(x)
    x = BatchNormalization(name="transposed_bn")(x)
    x = GroupedConv2D(4, 3, groups=2, use_bias=False, name="grouped", trainable=False)(x)
    x = layers.Identity(name="tap")(x)
    x = BatchNormalization(name="grouped_bn")(x)
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, name="dense"), layers.BatchNormalization(name="bn")],
        name="inner",
    )
    logits = inner(layers.GlobalAveragePooling2D(name="pool")(x))
    return randomized(keras.Model(image, logits, name="every_kind"))


@pytest.fixture(scope="module")
def kinds():
    return every_kind()


def norms(model):
    found = [layer for layer in model._flatten_layers() if type(layer) is not keras.Sequential]
    return [x.name for x in found if isinstance(x, keras.layers.BatchNormalization)]


def test_batch_norm_is_folded_into_each_kind_of_layer(kinds, capsys):
    folded = fold_batch_norm(kinds)
    assert norms(folded) == [] and len(norms(kinds)) == 6
    assert "unchanged" not in capsys.readouterr().err
    assert [layer.name for layer in folded.layers] == [layer.name for layer in kinds.layers]
    assert not folded.get_layer("grouped").trainable
    x = images_for(kinds)
    expected = np.array(kinds(x))
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(folded.predict(x, verbose=0), expected, atol=tolerance)
    conv, norm = kinds.get_layer("conv"), kinds.get_layer("conv_bn")
    factor = 1 / np.sqrt(np.array(norm.moving_variance) + 1e-3)
    bias = np.array(norm.beta) - np.array(norm.moving_mean) * factor
    np.testing.assert_allclose(folded.get_layer("conv").bias, bias, rtol=1e-5)
    np.testing.assert_allclose(
        folded.get_layer("conv").kernel, np.array(conv.kernel) * factor, rtol=1e-5
    )


def test_batch_norm_that_stays_is_named(capsys):
    class Standardized(layers.Conv2D):
        pass

    image = keras.Input((6, 6, 4))
    twice = layers.Conv2D(4, 1, name="twice")
    x = layers.BatchNormalization(name="first")(image)
    x = layers.BatchNormalization(name="shared")(twice(twice(x)))
    x = layers.BatchNormalization(name="activated")(layers.Conv2D(4, 1, activation="relu")(x))
    tapped = layers.Conv2D(4, 1)(x)
    x = layers.BatchNormalization(name="tapped")(tapped)
    x = layers.BatchNormalization(axis=1, name="rows")(layers.Conv2D(4, 1)(x))
    x = layers.BatchNormalization(name="own")(Standardized(4, 1)(x))
    x = layers.BatchNormalization(name="folded")(layers.Conv2D(4, 1)(x), training=False)
    model = randomized(keras.Model(image, [x, tapped]))
    folded = fold_batch_norm(model)
    left = ["first", "shared", "activated", "tapped", "rows", "own"]
    assert norms(folded) == left
    assert f"fold_batch_norm: unchanged: {', '.join(left)}\n" == capsys.readouterr().err
    x = images_for(model)
    for new, old in zip(folded(x), model(x), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-5 * np.abs(old).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_batch_norm_of_a_family(name):
    """Batch norm left as extra operations: keras-core#824, tensorflow/model-optimization#1131."""
    model = lively(small(name))
    folded = fold_batch_norm(model)
    x = images_for(model, 4)
    expected = one(model(x))
    np.testing.assert_allclose(one(folded(x)), expected, atol=1e-5 * np.abs(expected).max())
    quantized = calibrate(quantization_aware(model, activation_bits=16), images_for(model))
    # Keras orders layers by their depth, which the layers in between change.
    assert {layer.name for layer in model.layers} == {
        layer.name for layer in quantized.layers if not isinstance(layer, FakeQuant)
    }
    assert np.isfinite(one(quantized(x))).all()


def rounded(weights, bits, axes):
    """NumPy's kernel of `bits` bits; `axes` number the output channels."""
    others = tuple(axis for axis in range(weights.ndim) if axis not in axes)
    scale = np.abs(weights).max(others, keepdims=True) / (2 ** (bits - 1) - 1)
    return np.round(weights / scale) * scale


AXES = {
    "conv": (3,),
    "depthwise": (2, 3),
    "separable": (3,),
    "transposed": (2,),
    "grouped": (3,),
    "inner/dense": (1,),
}


@pytest.mark.parametrize("per_channel", [True, False])
def test_kernels_are_rounded_by_channel(kinds, per_channel):
    folded = fold_batch_norm(kinds)
    baked = bake(quantization_aware(kinds, 3, per_channel=per_channel))
    for name, axes in AXES.items():
        before, after = folded, baked
        for part in name.split("/"):
            before, after = before.get_layer(part), after.get_layer(part)
        is_separable = name == "separable"
        kernels = [
            np.array(layer.pointwise_kernel if is_separable else layer.kernel)
            for layer in (before, after)
        ]
        expected = rounded(kernels[0], 3, axes if per_channel else ())
        np.testing.assert_allclose(kernels[1], expected, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(after.bias, before.bias)
    before, after = (net.get_layer("separable").depthwise_kernel for net in (folded, baked))
    expected = rounded(np.array(before), 3, (2, 3) if per_channel else ())
    np.testing.assert_allclose(after, expected, atol=1e-6)


def test_rounded_kernels_are_integers_times_a_scale_to_the_bit():
    net = keras.Sequential([keras.Input((40,)), keras.layers.Dense(30, name="dense")])
    layer = quantization_aware(net, 4).get_layer("dense")
    (kernel,) = layer._kernels
    found, scale = np.array(layer.kernel_values()[0]), np.array(layer.scale(kernel))
    integers = np.round(found / scale)
    assert {*np.unique(integers)} == {*range(-7, 8)}
    np.testing.assert_array_equal(found, integers * scale)
    assert not np.signbit(found[found == 0]).any()


def test_gradient_passes_the_rounding():
    import tensorflow as tf

    net = keras.Sequential([keras.Input((2,)), layers.Dense(1, use_bias=False, name="dense")])
    net.set_weights([np.array([[1.0], [-0.4]])])
    net = quantization_aware(net, 2)
    kernel = net.trainable_variables[0]
    with tf.GradientTape() as tape:
        outputs = net(np.array([[2.0, 3.0]], "float32"))
    np.testing.assert_array_equal(outputs, [[2.0]])  # -0.4 is rounded to 0
    np.testing.assert_array_equal(tape.gradient(outputs, kernel.value), [[2.0], [3.0]])


def test_fake_quant_against_numpy():
    """The grid of -1 to 2 in 3 bits has the step 3/7; 0 is moved onto it: -6/7 to 15/7."""
    import tensorflow as tf

    x = np.array([-3, -1, -0.6, -0.2, 0, 0.2, 0.7, 2, 2.5], "float32")
    layer = FakeQuant(3)
    np.testing.assert_array_equal(layer(x), x)  # without a range
    layer.low.assign(-1), layer.high.assign(2)
    step = 3 / 7
    expected = np.clip(np.round(x / step), -2, 5) * step
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    inside = (x >= -2 * step) & (x <= 5 * step)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), inside)


def test_the_range_is_a_moving_average_in_training():
    layer = FakeQuant(momentum=0.9)
    layer(np.array([1.0, 2.0], "float32"), training=True)
    assert (float(layer.low), float(layer.high)) == (0, 2)  # with 0, and the first range whole
    layer(np.array([-1.0, 4.0], "float32"), training=True)
    assert float(layer.low) == pytest.approx(-0.1) and float(layer.high) == pytest.approx(2.2)
    layer(np.array([-9.0, 9.0], "float32"))
    assert float(layer.high) == pytest.approx(2.2)
    negative = FakeQuant()
    negative(np.array([-2.0, -1.0], "float32"), training=True)
    assert (float(negative.low), float(negative.high)) == (-2, 0)
    half = layer(np.array([1.0], "float16"))
    assert half.dtype == "float16" and layer(np.array([3])).dtype == "int64"


@pytest.fixture(scope="module")
def plain():
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Normalization(mean=[128.0], variance=[80.0**2], name="normalization")(image)
    x = layers.Conv2D(8, 3, use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Activation("relu", name="relu")(x)
    x = layers.MaxPooling2D(name="max_pool")(x)
    y = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.Flatten(name="flatten")(layers.Add(name="add")([x, y]))
    return keras.Model(image, layers.Dense(4, name="logits")(x), name="plain")


@pytest.fixture(scope="module")
def quantized(plain):
    return calibrate(quantization_aware(plain), images_for(plain, high=255))


def test_activations_are_rounded_where_int8_files_round_them(quantized):
    found = [layer.name for layer in quantized.layers if isinstance(layer, FakeQuant)]
    places = ["normalization_input", "normalization", "relu", "conv2", "add", "logits"]
    assert found == [f"{place}_fake_quant" for place in places]


def test_calibration_finds_the_lowest_and_highest_activations(plain, quantized):
    images = images_for(plain, high=255)
    kernels = quantization_aware(plain)  # its activations are not rounded yet
    for name in ("normalization", "relu", "add", "logits"):
        values = np.array(keras.Model(kernels.input, kernels.get_layer(name).output)(images))
        layer = quantized.get_layer(f"{name}_fake_quant")
        expected = (min(values.min(), 0), max(values.max(), 0))
        np.testing.assert_allclose((layer.low, layer.high), expected, rtol=1e-5)
    assert float(kernels.get_layer("relu_fake_quant").high) == 0  # a copy was calibrated


def test_quantized_networks_are_trained_saved_and_baked(plain, quantized, tmp_path):
    net = quantization_aware(plain, 4)
    net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, before = images_for(plain, 16, 255), [np.array(v) for v in net.trainable_variables]
    net.fit(x, np.arange(16) % 4, epochs=2, verbose=0)
    assert len(before) == 6
    assert all(
        (np.array(v) != old).any() for v, old in zip(net.trainable_variables, before, strict=True)
    )
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again(x), net(x))
    baked = bake(again)
    np.testing.assert_allclose(baked(x), net(x), atol=1e-5)
    kernel = np.array(baked.get_layer("conv2").kernel)
    assert max(len(np.unique(kernel[..., i])) for i in range(8)) <= 2**4 - 1
    assert not any(isinstance(layer, QuantizedKernel) for layer in baked.layers)
    weights, scales, biases = 9 * 8 + 9 * 64 + 4 * 72, 8 + 8 + 4, 8 + 8 + 4
    assert quantized_bytes(net) == weights // 2 + 4 * (scales + biases)


def test_int8_file_answers_as_keras(plain, quantized):
    """One step of the logits at most, as the file rounds sums in integers; in any batch size."""
    x = images_for(plain, 15, 255)
    file = litert.convert(quantized)
    logits = quantized.get_layer("logits_fake_quant")
    step = float(logits.high - logits.low) / 255
    for batch in (1, 5):
        found = litert.predict(file, x, batch_size=batch)
        assert np.abs(found - quantized(x)).max() < 2.01 * step
    assert len(file) < 4 * plain.count_params() * 2
    import tensorflow as tf

    operations = tf.lite.Interpreter(model_content=file)._get_ops_details()
    names = [operation["op_name"] for operation in operations]
    assert names.count("CONV_2D") == 2 and names.count("QUANTIZE") == 2
    assert set(names) & {"BATCH_MATMUL", "BATCH_NORM"} == set()
    assert names.count("MUL") <= 1  # of Normalization


def test_equal_biases_are_rounded_by_each_channel_in_the_file():
    """TensorFlow 2.21 rounds them by the scale of the first channel."""
    net = keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(3, 1, name="conv")])
    kernel = np.array([[1.0, 0.5, 0.1], [0.2, 0.1, 0.05]])[None, None]
    net.set_weights([kernel, np.ones(3)])
    x = images_for(net)
    found = litert.predict(litert.convert(net, x), x)
    np.testing.assert_allclose(found, net(x), atol=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet", "shufflenet_v2_x0_5", "densenet40_12"])
def test_int8_file_of_a_family(name):
    net = lively(small(name))
    x = images_for(net, 20)
    quantized = calibrate(quantization_aware(net), x)
    expected = np.array(quantized(x))
    found = litert.predict(litert.convert(quantized), x)
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.slow
def test_int8_file_is_as_accurate_as_keras():
    """Complaint 22 of the specification's section 11: at most half a point of 2,000 images."""
    digits = data.load("digits")
    net = lively(small("mobilenet", input_shape=(32, 32, 1)))
    image = keras.Input((8, 8, 1))
    x = layers.UpSampling2D(4)(layers.Rescaling(1 / 255)(image))
    net = keras.Model(image, net(x))
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = digits.train.images[:], digits.train.labels
    net.fit(images, labels, epochs=6, verbose=0)
    net = calibrate(quantization_aware(net), images[:100])
    images, labels = (
        np.concatenate([getattr(split, name)[:] for split in (digits.train, digits.test)])
        for name in ("images", "labels")
    )
    keras_accuracy = (net.predict(images, verbose=0).argmax(1) == labels).mean()
    file_accuracy = (litert.predict(litert.convert(net), images).argmax(1) == labels).mean()
    assert keras_accuracy > 0.5 and abs(keras_accuracy - file_accuracy) <= 0.005


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((9, 8, 8, 1)), "at least 10 images, better 100; received 9"),
        (np.ones((12, 8, 8, 1)), "all calibration images are equal"),
        (np.ones((12, 8, 8, 3)), r"have the shape \(12, 8, 8, 3\); plain takes \(n, 8, 8, 1\)"),
        (np.full((12, 8, 8, 1), np.nan), "NaN"),
        (np.random.default_rng(0).uniform(0, 1, (12, 8, 8, 1)), "pass raw images"),
    ],
)
def test_calibration_images_that_are_refused(quantized, images, message):
    with pytest.raises(ValueError, match=message):
        calibrate(quantized, images)


def test_wrong_arguments(plain, quantized):
    with pytest.raises(ValueError, match="1 bit have other methods: use binarize"):
        quantization_aware(plain, 1)
    with pytest.raises(ValueError, match="bits must be 2 to 8; received 9"):
        quantization_aware(plain, 9)
    with pytest.raises(ValueError, match="activation_bits must be 2 to 16; received 1"):
        quantization_aware(plain, activation_bits=1)
    with pytest.raises(ValueError, match="unknown layer 'conv3': did you mean"):
        quantization_aware(plain, skip=["conv3"])
    with pytest.raises(ValueError, match="plain has no FakeQuant layer"):
        calibrate(plain, images_for(plain, high=255))
    with pytest.raises(ValueError, match="no ranges of activations: pass images"):
        litert.convert(quantization_aware(plain))
    with pytest.raises(ValueError, match="no ranges of activations: pass images"):
        litert.convert(plain)
    with pytest.raises(ValueError, match=r"LiteRT needs 8-bit activations; .* has 4 bits"):
        litert.convert(quantization_aware(plain, activation_bits=4), images_for(plain, high=255))
    only = quantization_aware(plain, layers=["conv2"])
    assert [x.name for x in only.layers if isinstance(x, QuantizedKernel)] == ["conv2"]
