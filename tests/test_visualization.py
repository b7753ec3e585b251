"""Attribution maps of any keras.Model: its structure, precision, outputs and input; bad input."""

import gc
import os
import weakref
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from networks import SMALL, lively, small

from cvcourse import models
from cvcourse import visualization as see
from cvcourse.layers.receptive_field import fields
from cvcourse.visualization.network import Network

SHAPE = (24, 16, 3)
METHODS = {
    "saliency": {},
    "gradient_times_image": {},
    "smooth_grad": {"samples": 2},
    "integrated_gradients": {"steps": 2},
    "guided_backprop": {},
    "deconvnet": {},
    "grad_cam": {},
    "cam": {},
    "guided_grad_cam": {},
    "fgsm": {"epsilon": 0.1},
    "occlusion": {"patch": 8, "stride": 8},
}
WITHOUT_GRAPH = ("saliency", "smooth_grad", "integrated_gradients", "fgsm", "occlusion")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(3, *SHAPE)).astype("float32")


def head(y, classes=5, **settings):
    y = layers.GlobalAveragePooling2D(name="pool")(y)
    return layers.Dense(classes, name="logits", **settings)(y)


def backbone(shape=SHAPE):
    """A convolution, batch norm with statistics and two ReLUs; the last is at stride 2."""
    x = keras.Input(shape)
    y = layers.Conv2D(6, 3, padding="same", name="conv1")(x)
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.ReLU(name="relu1")(y)
    y = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="conv2")(y)
    model = keras.Model(x, y, name="backbone")
    lively(model)
    return model


def classifier(shape=SHAPE, **settings):
    base = backbone(shape)
    return keras.Model(base.input, head(base.output, **settings), name="net")


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(1)
    return classifier()


def maps(method, model, images, classes=2, **settings):
    return getattr(see, method)(model, images, classes, **METHODS[method], **settings)


def tape(model, images, index):
    """The gradient of an output of a model as it stands."""
    x = tf.constant(images, "float32")
    with tf.GradientTape() as recorded:
        recorded.watch(x)
        outputs = model(x, training=False)[:, index]
    return recorded.gradient(outputs, x).numpy()


def error(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


# The model's structure


@pytest.mark.parametrize("method", METHODS)
def test_nested_is_flat(method, net, nested, images):
    found, expected = maps(method, nested, images), maps(method, net, images)
    assert found.dtype == np.float32
    assert error(found, expected) < 1e-6


@pytest.fixture(scope="module")
def nested(net):
    """A Sequential within a functional model within a Sequential, with the layers of `net`."""
    layer = net.get_layer
    inner = keras.Sequential(
        [keras.Input(SHAPE), *map(layer, ("conv1", "norm", "relu1"))], name="inner"
    )
    x = keras.Input(SHAPE)
    middle = keras.Model(x, layer("conv2")(inner(x)), name="middle")
    return keras.Sequential([keras.Input(SHAPE), middle, layer("pool"), layer("logits")])


@pytest.mark.parametrize("name", ["relu1", "middle/inner/relu1", "inner", "middle/inner", "layer"])
def test_taps_inside_nested_models(name, net, nested, images):
    found = see.grad_cam(
        nested, images, 2, layer=net.get_layer("relu1") if name == "layer" else name
    )
    assert error(found, see.grad_cam(net, images, 2, layer="relu1")) < 1e-6


def test_nested_models_of_one_name(images):
    x = keras.Input(SHAPE)
    inner = [
        keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3, name="conv")], name="inner")
        for _ in range(2)
    ]
    first, second = (keras.Model(x, y(x), name=f"{i}") for i, y in enumerate(inner))
    network = Network.of(keras.Model(x, head(first(x) + second(x))))
    for i, model in enumerate(inner):
        value = network.tap(f"{i}/inner/conv")
        assert value is network.tap(model) is network.tap(model.layers[0])
        assert value is network.tap(f"{i}/inner") is network.tap(f"{i}")
    for name in ("inner", "inner/conv"):
        with pytest.raises(ValueError, match=f"several layers are named {name}: 0/{name}, 1/"):
            network.tap(name)


def test_rectifiers_inside_nested_models(nested, images):
    assert see.rectifiers(nested) == ["middle/inner/relu1", "middle/conv2"]
    guided = see.with_rectifiers(nested, "guided")
    assert error(tape(guided, images, 2), see.guided_backprop(nested, images, 2)) < 1e-6
    assert error(guided(images), np.array(nested(images))) < 1e-6


def shared_layer():
    layer = layers.Conv2D(3, 3, padding="same", activation="relu", name="twice")
    x = keras.Input(SHAPE)
    return keras.Model(x, head(layer(layer(x))))


def shared_model():
    x = keras.Input(SHAPE)
    inner = keras.Sequential(
        [keras.Input(SHAPE), layers.Conv2D(3, 3, padding="same", name="twice"), layers.ReLU()]
    )
    return keras.Model(x, head(inner(inner(x))))


def of_an_intermediate_tensor():
    base = backbone((24, 16, 4))
    start = base.get_layer("conv1").output[..., :3]
    return keras.Model(start, head(layers.Conv2D(4, 3, name="twice")(start)))


def with_a_model_without_graph():
    @keras.saving.register_keras_serializable("test")
    class Block(keras.Model):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.conv = layers.Conv2D(4, 3, activation="relu")

        def call(self, x):
            return self.conv(x)

    x = keras.Input(SHAPE)
    return keras.Model(x, head(layers.ReLU()(Block(name="twice")(x))))


@pytest.mark.parametrize(
    "build", [shared_layer, shared_model, of_an_intermediate_tensor, with_a_model_without_graph]
)
def test_other_structures(build, images):
    model = build()
    for _ in range(2):  # the second call reuses what the first compiled
        assert error(see.saliency(model, images, 1), tape(model, images, 1)) < 1e-6
    assert see.grad_cam(model, images, 1, layer="twice").any()


def test_a_convolution_of_ones_own_is_not_taken_for_linear(images):
    class Squared(layers.Conv2D):
        def call(self, x):
            return super().call(x) ** 2

    x = keras.Input(SHAPE)
    model = keras.Model(x, head(layers.Conv2D(3, 1)(Squared(3, 3)(layers.Rescaling(0.5)(x)))))
    expected = images * np.mean([tape(model, images * k, 1) for k in (0.25, 0.75)], axis=0)
    assert error(see.integrated_gradients(model, images, 1, steps=2), expected) < 1e-5


def test_a_model_loaded_from_a_file(net, images, tmp_path):
    see.saliency(net, images, 2)
    net.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    for method in ("saliency", "grad_cam", "guided_backprop"):
        assert error(maps(method, loaded, images), maps(method, net, images)) < 1e-6


def test_a_sequential_model_that_changes(images):
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(4)])
    assert error(see.saliency(model, images, 3), tape(model, images, 3)) < 1e-6
    model.add(layers.Dense(2))
    assert error(see.saliency(model, images, 1), tape(model, images, 1)) < 1e-6
    with pytest.raises(ValueError, match="has the classes 0 to 1; received 3"):
        see.saliency(model, images, 3)
    model.pop()
    assert error(see.saliency(model, images, 3), tape(model, images, 3)) < 1e-6
    with pytest.raises(ValueError, match="has no weights yet: call it on images first"):
        see.saliency(keras.Sequential([layers.Flatten(), layers.Dense(4)]), images)


def test_weights_trained_after_the_first_call(images):
    model = classifier()
    before = see.saliency(model, images, 2)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, np.array([0, 1, 2]), epochs=2, verbose=0)
    after = see.saliency(model, images, 2)
    assert error(after, before) > 1e-3
    assert error(after, tape(model, images, 2)) < 1e-6


def state(model):
    return [
        *(np.array(weight) for weight in model.weights),
        *(np.array(weight) for weight in model.optimizer.variables),
        *(np.array([layer.trainable, len(layer._inbound_nodes)]) for layer in model.layers),
    ]


def test_the_model_stays_as_it_is(images):
    class Counter(layers.Layer):
        def build(self, _):
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.calls.assign_add(1)
            return x

    base = backbone()
    x = keras.Input(SHAPE)
    y = layers.Conv2D(6, 3, activity_regularizer="l2")(Counter()(base(x)))
    model = keras.Model(x, head(layers.Dropout(0.5)(y)))
    base.get_layer("conv1").trainable = False
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, np.array([0, 1, 2]), verbose=0)
    before, calls = state(model), model.get_layer(index=2).calls.numpy()
    with pytest.warns(UserWarning, match="inside the layers counter, if any"):
        see.with_rectifiers(model, "deconvnet")
        for method in ("saliency", "guided_backprop", "grad_cam", "occlusion"):
            maps(method, model, images)
    assert model.get_layer(index=2).calls.numpy() == calls
    for a, b in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(images, np.array([0, 1, 2]), verbose=0)
    clone = keras.models.clone_model(base)
    clone.set_weights(base.get_weights())
    np.testing.assert_array_equal(clone(images), base(images))


# The end of the model

ENDS = {
    "Activation": layers.Activation("softmax"),
    "Softmax": layers.Softmax(),
    "ops.softmax": ops.softmax,
    "activations.softmax": keras.activations.softmax,
    "float32": lambda z: layers.Activation("linear", dtype="float32")(ops.softmax(z)),
    "cast": lambda z: ops.cast(ops.softmax(z), "float32"),
    "Identity": lambda z: layers.Identity()(layers.Dropout(0.1)(layers.Softmax()(z))),
    "Flatten": lambda z: layers.Flatten()(ops.softmax(layers.Reshape((1, 1, 3))(z))),
    "Lambda": layers.Lambda(lambda z: ops.softmax(z)),
    "log_softmax": ops.log_softmax,
    "sigmoid": layers.Activation("sigmoid"),
    "ops.sigmoid": ops.sigmoid,
    "nothing": lambda z: z,
    "ReLU": None,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_softmax_or_sigmoid_at_the_end_is_taken_off(end):
    x = keras.Input((4, 4, 1))
    z = layers.Dense(3, name="z")(layers.Flatten()(x))
    network = Network.of(keras.Model(x, ENDS[end](z) if ENDS[end] else layers.ReLU()(z)))
    images = np.random.default_rng(0).normal(size=(9, 4, 4, 1))
    is_z = np.allclose(network.predict(images), keras.Model(x, z)(images), atol=1e-5)
    assert is_z == (end != "ReLU")
    assert network.probability == ("sigmoid" if "sigmoid" in end else "softmax")


class Scaled(layers.Dense):
    """A dense layer that is not Keras'."""


@pytest.mark.parametrize(
    "layer, activation",
    [
        (layers.Dense, "softmax"),
        (layers.Dense, tf.nn.softmax),
        (Scaled, "softmax"),
        (layers.Dense, lambda z: ops.softmax(z)),
        (layers.Dense, "log_softmax"),
    ],
)
def test_a_saturated_softmax_has_a_map(layer, activation):
    """A probability of 1 - 1e-9 has no gradient; its logit has."""
    x = keras.Input((4, 4, 1))
    model = keras.Model(x, layer(2, activation=activation)(layers.Flatten()(x)))
    kernel = np.zeros((16, 2), "float32")
    kernel[:, 0] = np.arange(16) / 120 * 20.7
    model.set_weights([kernel, np.zeros(2)])
    ones = np.ones((1, 4, 4, 1))
    assert np.array(model(ones))[0, 0] in (0, 1)  # log(1) and 1, to float32
    np.testing.assert_allclose(see.saliency(model, ones, 0).ravel(), kernel[:, 0], rtol=1e-6)
    np.testing.assert_allclose(see.saliency(model, ones).ravel(), kernel[:, 0], rtol=1e-6)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_one_output(activation, images):
    x = keras.Input(SHAPE)
    model = keras.Model(x, layers.Dense(1, activation=activation)(layers.Flatten()(x)))
    kernel = np.array(model.layers[-1].kernel).reshape(SHAPE)
    np.testing.assert_allclose(see.saliency(model, images), [kernel] * 3, rtol=1e-6)
    found = see.occlusion(model, images * 0.1, patch=(24, 16), stride=24)
    np.testing.assert_allclose(found, 0.5)  # the sigmoid of the bias
    with pytest.raises(ValueError, match="classes 0 to 0; received 1"):
        see.saliency(model, images, 1)


def test_several_outputs(images):
    x = keras.Input(SHAPE)
    y = layers.Flatten()(x)
    logits, aux = layers.Dense(4, name="first")(y), layers.Dense(3, name="second")(y)
    for outputs in ({"logits": logits, "aux": aux}, {"z": {"aux": aux}, "logits": logits}):
        model = keras.Model(x, outputs)
        name = "aux" if "aux" in outputs else "z/aux"
        expected = tape(keras.Model(x, logits), images, 2)
        assert error(see.saliency(model, images, 2), expected) < 1e-6
        expected = tape(keras.Model(x, aux), images, 2)
        assert error(see.saliency(model, images, 2, output=name), expected) < 1e-6
    named = keras.Model(x, [aux, layers.Activation("softmax", name="logits")(logits)])
    assert Network.of(named).classes == 4
    model = keras.Model(x, [logits, aux])
    assert Network.of(model, "second").classes == 3
    with pytest.raises(ValueError, match="several outputs: choose output= from first, second"):
        see.saliency(model, images)
    assert see.activations(model, images, "first").shape == (3, 4)  # no logits are needed
    assert see.activations(model, images, "second").shape == (3, 3)
    with pytest.raises(ValueError, match="several outputs: choose layer="):
        see.codes(model, images)
    with pytest.raises(ValueError, match=r"unknown output.*did you mean 'second'"):
        see.saliency(model, images, output="secnd")


def test_several_inputs_are_refused_by_name(images):
    photo, meta = keras.Input(SHAPE, name="photo"), keras.Input((4,), name="meta")
    y = layers.Concatenate()([layers.Flatten()(photo), meta])
    with pytest.raises(ValueError, match="has the inputs photo, meta"):
        see.saliency(keras.Model([photo, meta], layers.Dense(2)(y)), images)


# Precision and preprocessing


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
@pytest.mark.slow
def test_half_precision_at_the_usual_depth(name, policy):
    assert_half_precision(lambda: models.build(name, input_shape=(64, 48, 3)), policy)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16"])
def test_half_precision(policy):
    assert_half_precision(classifier, policy, ("saliency",))


def test_half_precision_in_threads(images):
    """Layers compute in float32 while one thread traces, not while another does."""
    try:
        keras.config.set_dtype_policy("mixed_float16")
        blocks = [layers.Conv2D(4, 3, padding="same", activation="relu") for _ in range(8)]
        model = keras.Sequential([keras.Input(SHAPE), *blocks, layers.Flatten(), layers.Dense(3)])
    finally:
        keras.config.set_dtype_policy("float32")
    work = ("saliency", "gradient_times_image", "guided_backprop", "grad_cam", "fgsm")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    with ThreadPoolExecutor(len(work)) as pool:
        found = [*pool.map(lambda method: maps(method, model, images), work)]
    for method, values in zip(work, found, strict=True):
        np.testing.assert_array_equal(values, maps(method, copy, images))
    assert model.layers[0].compute_dtype == "float16"


def assert_half_precision(build, policy, methods=("saliency", "guided_backprop", "grad_cam")):
    """Maps are those of the model in float32 with the same weights."""
    keras.utils.set_random_seed(0)
    full = lively(build())
    try:
        keras.config.set_dtype_policy(policy)
        half = build()
    finally:
        keras.config.set_dtype_policy("float32")
    half.set_weights(full.get_weights())
    full.set_weights([np.array(weight, "float32") for weight in half.get_weights()])
    images = np.random.default_rng(0).normal(size=(2, *full.input_shape[1:]))
    for method in methods:
        found, expected = maps(method, half, images), maps(method, full, images)
        assert found.dtype == np.float32
        assert error(found, expected) < 1e-3  # in half precision, 0.05 and more
    assert half.layers[1].compute_dtype == policy.removeprefix("mixed_")


def test_preprocessing_inside(net):
    """The chain rule: a rescaling by 1/64 divides gradients with respect to pixels by 64."""
    photos = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), "uint8")
    expected = see.saliency(net, photos / 64 - 2.0, 2) / 64
    for dtype, prepare in {
        "float32": layers.Rescaling(1 / 64, -2.0),
        "uint8": lambda x: ops.cast(x, "float32") / 64 - 2,
        "int32": layers.Normalization(mean=[128.0] * 3, variance=[4096.0] * 3),
    }.items():
        x = keras.Input(SHAPE, dtype=dtype)
        found = see.saliency(keras.Model(x, net(prepare(x))), photos, 2)
        assert error(found, expected) < 1e-4
    prepared = models.with_preprocessing(net, (48, 32, 3), mean=[128.0] * 3, variance=[4096.0] * 3)
    larger = photos.repeat(2, axis=1).repeat(2, axis=2)
    assert error(see.saliency(prepared, larger, 2), tape(prepared, larger, 2)) < 1e-5
    assert see.grad_cam(prepared, larger, 2).shape == (2, 48, 32)
    x = keras.Input((None, None, 3))  # photos of any size
    any_size = keras.Model(x, net(layers.Resizing(*SHAPE[:2], crop_to_aspect_ratio=True)(x)))
    assert see.grad_cam(any_size, larger[:, :40], 2).shape == (2, 40, 32)


# ReLUs and other activations


def test_guided_backpropagation_of_a_two_layer_net():
    """Against the backward pass by hand: ReLU6, then ReLU."""
    rng = np.random.default_rng(0)
    w1, w2, w3 = (rng.normal(size=size) * 2 for size in ((12, 8), (8, 7), (7, 3)))
    x = keras.Input((2, 2, 3))
    y = ops.relu6(layers.Dense(8, use_bias=False)(layers.Flatten()(x)))
    y = layers.Dense(7, use_bias=False, activation="relu")(y)
    model = keras.Model(x, layers.Dense(3, use_bias=False, activation="softmax")(y))
    model.set_weights([w1, w2, w3])
    images = rng.normal(size=(4, 12))
    a1 = images @ w1
    a2 = np.clip(a1, 0, 6) @ w2
    assert (a1 > 6).any()
    for method, passed1, passed2 in (
        ("saliency", (a1 > 0) & (a1 < 6), a2 > 0),
        ("guided_backprop", (a1 > 0) & (a1 < 6), a2 > 0),
        ("deconvnet", True, True),
    ):
        floor = -np.inf if method == "saliency" else 0
        g2 = np.maximum(np.broadcast_to(w3[:, 1], a2.shape), floor) * passed2
        g1 = np.maximum(g2 @ w2.T, floor) * passed1
        found = maps(method, model, images.reshape(4, 2, 2, 3), 1)
        np.testing.assert_allclose(found.reshape(4, 12), g1 @ w1.T, rtol=1e-4, atol=1e-4)


def test_every_spelling_of_a_relu():
    relus = {
        "ReLU": layers.ReLU(),
        "ReLU(6)": layers.ReLU(max_value=6),
        "Activation": layers.Activation("relu"),
        "Activation relu6": layers.Activation("relu6"),
        "tf.nn.relu": layers.Activation(tf.nn.relu),
        "a function": layers.Activation(lambda x: ops.relu(x)),
        "fused": layers.Dense(3, activation="relu"),
        "a layer as activation": layers.Dense(3, activation=layers.ReLU()),
        "ops.relu": ops.relu,
        "ops.relu6": ops.relu6,
        "activations.relu": keras.activations.relu,
        "maximum": lambda x: ops.maximum(x, 0),
        "maximum of a constant": lambda x: ops.maximum(0.0, x),
        "clip": lambda x: ops.clip(x, 0, 6),
    }
    others = {
        "LeakyReLU": layers.LeakyReLU(),
        "PReLU": layers.PReLU(),
        "negative_slope": layers.ReLU(negative_slope=0.1),
        "threshold": layers.ReLU(threshold=1.0),
        "tanh": ops.tanh,
        "GELU": layers.Activation("gelu"),
        "LSTM": layers.LSTM(3, activation="relu", return_sequences=True),
    }
    x = y = keras.Input((8, 3))
    for spelling in relus.values():
        before, y = y, spelling(y)
        assert len(see.rectifiers(keras.Model(before, y))) == 1
    for spelling in others.values():
        before, y = y, spelling(y)
        assert see.rectifiers(keras.Model(before, y)) == []
    model = keras.Model(x, head(layers.Reshape((8, 3, 1))(y)))
    inputs = np.random.default_rng(0).normal(size=(2, 8, 3))
    with pytest.warns(UserWarning) as caught:
        guided = see.with_rectifiers(model, "guided")
    hidden, mixed = (str(warning.message) for warning in caught)
    assert "ReLUs inside the layers lstm" in hidden
    assert mixed.startswith(f"{len(relus)} ReLUs of")
    assert "leakyrelu, prelu, relu, tanh, gelu keep" in mixed
    np.testing.assert_allclose(guided(inputs), model(inputs), atol=1e-5)


def test_a_relu_inside_other_code_is_named():
    class Own(layers.Layer):
        def build(self, _):
            self.scale = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            return ops.relu(x) * self.scale

    x = keras.Input(SHAPE)
    y = layers.Lambda(lambda x: ops.relu(x), name="lambda")(layers.ReLU()(x))
    y = layers.TimeDistributed(layers.Dense(3, activation="relu"), name="timed")(y)
    model = keras.Model(x, head(Own(name="own")(y)))
    with pytest.warns(UserWarning, match="inside the layers lambda, timed, own, if any, keep"):
        see.with_rectifiers(model, "guided")


@pytest.mark.parametrize(
    "name, activations",
    [("efficientnet_b0", "silu, sigmoid"), ("convnext_tiny", "gelu"), ("vit_b_16", "gelu")],
)
def test_nets_without_relu_are_refused(name, activations):
    model = small(name)
    images = np.zeros((1, *model.input_shape[1:]))
    for method in ("guided_backprop", "deconvnet"):
        message = f"{name} has no ReLU.* it has {activations}: use saliency, .* or occlusion"
        with pytest.raises(ValueError, match=message):
            maps(method, model, images)


def test_a_map_of_zeros_is_told(images):
    x = keras.Input(SHAPE)
    y = layers.Conv2D(4, 3, activation="relu", bias_initializer=keras.initializers.Constant(-99))
    model = keras.Model(x, head(y(x)))
    for method in set(METHODS) - {"fgsm", "deconvnet", "occlusion"}:
        with pytest.warns(UserWarning, match="of image 0, 1, 2 is zero everywhere"):
            found = maps(method, model, images)
        np.testing.assert_array_equal(found, 0)


# Layers and places

LAST_MAPS = {
    **dict.fromkeys(("alexnet", "alexnet_2012", "zfnet"), "conv5"),
    **{"vgg11": "stage5_2", "vgg16_cifar": "stage5_3"},  # later maps have one place
    **{"inception_v3": "mixed_6e", "nasnet_mobile": "stem_bn"},  # later ones are in branches
}
FAST = ("lenet5", "alexnet", "vgg11", "resnet18", "squeezenet1_1", "mobilenet_v2")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
)
def test_the_default_layer_is_the_last_map(name):
    network = Network.of(small(name))
    if name in ("linear", "mlp"):
        with pytest.raises(ValueError, match="has no map"):
            network.default_map()
    elif name == "vit_b_16":
        assert len(network.default_map()[1].shape) == 3  # tokens
    else:
        layer, value = network.default_map()
        assert layer == LAST_MAPS.get(name, "features")
        assert value is network.tap(layer)


@pytest.mark.parametrize(
    "layer, message",
    [
        ("relu11", "relu11 is no layer of net; the nearest names are relu1, "),
        ("logit", "logit is no layer of net; the nearest names are logits, "),
        (7, "7 is no layer of net; the nearest names are "),
    ],
)
def test_a_wrong_layer_gets_the_five_nearest_names(layer, message, net, images):
    with pytest.raises(ValueError, match=message) as caught:
        see.grad_cam(net, images, layer=layer)
    assert str(caught.value).count(", ") == 4


def test_a_layer_that_is_not_between_image_and_logits(images):
    x = keras.Input(SHAPE)
    y = layers.Conv2D(2, 3, name="a")(x)
    outputs = {"logits": head(y), "aux": layers.Conv2D(2, 3, name="aside")(y)}
    with pytest.raises(ValueError, match="aside is not between the image and the logits"):
        see.grad_cam(keras.Model(x, outputs), images, layer="aside")


PADDINGS = {
    "same": [layers.Conv2D(1, 3, strides=2, padding="same") for _ in range(3)],
    "valid": [layers.Conv2D(1, 3, strides=2) for _ in range(3)],
    "symmetric": [
        layer
        for _ in range(3)
        for layer in (layers.ZeroPadding2D(1), layers.Conv2D(1, 3, strides=2))
    ],
    "dilated": [layers.Conv2D(1, 3, dilation_rate=4), layers.AveragePooling2D(4)],
    "transposed": [
        layers.Conv2D(1, 3, strides=2, padding="same"),
        layers.Conv2D(1, 3, strides=2),
        layers.Conv2DTranspose(1, 4, strides=2, padding="same"),
    ],
}
TRIANGLES = {3: [1, 2, 1], 4: [1, 3, 3, 1]}  # they move no center of mass


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_map_is_where_the_object_is(padding):
    """An object 32 pixels down and right moves the map by 32 pixels; no side is turned."""
    x = y = keras.Input((None, None, 1))
    for layer in PADDINGS[padding]:
        y = layer(y)
    model = keras.Model(x, layers.GlobalAveragePooling2D()(y))
    model.set_weights(
        [
            np.outer(*[TRIANGLES[len(w)]] * 2)[:, :, None, None] if w.ndim == 4 else np.zeros(1)
            for w in model.get_weights()
        ]
    )
    for size in ((128, 104), (133, 107)):  # multiples of the strides, and not
        images = np.zeros((2, *size, 1))
        images[0, 40:48, 32:40] = images[1, 72:80, 64:72] = 1
        found = see.grad_cam(model, images, 0, layer=PADDINGS[padding][-1])
        assert found.shape == (2, *size)
        for image, top, left in zip(found, (43.5, 75.5), (35.5, 67.5), strict=True):
            for sums, place in ((image.sum(axis=1), top), (image.sum(axis=0), left)):
                assert abs(np.average(np.arange(len(sums)), weights=sums) - place) < 0.5


FIELDS = {
    "convolutions": [layers.Conv2D(2, 3, strides=2, padding="same"), layers.Conv2D(2, 4)],
    "even": [layers.Conv2D(2, 4, strides=2, padding="same")],
    "dilated": [layers.DepthwiseConv2D(3, dilation_rate=2), layers.SeparableConv2D(2, 3)],
    "padded": [layers.ZeroPadding2D(((1, 0), (0, 2))), layers.AveragePooling2D(3, 2)],
    "ops": [
        lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 1), (0, 0))),
        lambda x: ops.max_pool(x, 3, 2),
    ],
    "slices": [lambda x: x[:, -30:, 3::2], layers.Cropping2D(((1, 2), (3, 0)))],
    "shuffled": [
        layers.Conv2D(4, 3),
        layers.Reshape((39, 35, 2, 2)),
        layers.Permute((1, 2, 4, 3)),
        layers.Reshape((39, 35, 4)),
    ],
    "cropped": [layers.CenterCrop(20, 21), layers.Conv2D(2, (3, 1))],
    "transposed": [layers.Conv2DTranspose(2, 3)],
}


@pytest.mark.parametrize("name", FIELDS)
def test_receptive_fields_are_where_the_gradient_is_not_zero(name):
    x = y = keras.Input((41, 37, 2))
    for layer in FIELDS[name]:
        y = layer(y)
    model = keras.Model(x, y)
    network_fields = fields(Network.of(keras.Model(x, head(y))).graph)
    size, step, start, whole = [f for f in network_fields.values() if f][-1]
    assert not whole
    noise = tf.constant(np.random.default_rng(0).normal(size=(8, 41, 37, 2)), "float32")
    places = (0, 0), tuple(n // 2 for n in y.shape[1:3]), tuple(n - 1 for n in y.shape[1:3])
    for place in places:
        with tf.GradientTape() as recorded:
            recorded.watch(noise)
            value = tf.reduce_sum(model(noise)[(slice(None), *place)])
        touched = np.abs(recorded.gradient(value, noise)).max(axis=(0, 3)) > 0
        for axis in (0, 1):
            reached = np.flatnonzero(touched.any(axis=1 - axis))
            first = start[axis] + step[axis] * place[axis]
            last = first + size[axis] - 1
            assert reached[0] == max(first, 0)
            assert reached[-1] == min(last, touched.shape[axis] - 1)


def test_values_without_a_place():
    x = keras.Input((8, 8, 2))
    for move in (
        layers.Permute((2, 1, 3)),
        lambda x: ops.flip(x, 1),
        lambda x: ops.roll(x, 3, -3),
        lambda x: x[:, ::-1],
        lambda x: ops.cumsum(x, 2),
    ):
        model = keras.Model(x, head(move(x)))
        assert [f for f in fields(Network.of(model).graph).values() if f][1:] == []
    model = keras.Model(x, head(layers.GroupNormalization(1)(x)))
    assert [f.whole for f in fields(Network.of(model).graph).values() if f] == [False, True]
    with pytest.raises(ValueError, match="data_format='channels_first'"):
        y = layers.ZeroPadding2D(1, data_format="channels_first")(x)
        fields(Network.of(keras.Model(x, head(y))).graph)


# Batches, memory, colors


@pytest.mark.parametrize("method", METHODS)
def test_n_images_are_n_calls(method, net, images):
    classes = np.array([2, 0, 4])
    found = maps(method, net, images, classes)
    single = [maps(method, net, images[i : i + 1], classes[i])[0] for i in range(3)]
    if method == "smooth_grad":  # the same noise for each image
        assert error(found, np.array(single)) < 1e-4
    assert error(found, np.array(single)) < 1e-5


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("method", ["guided_backprop", "grad_cam"])
def test_many_calls_are_traced_once_and_use_no_memory(method, images, monkeypatch):
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("memory is measured on Linux")
    traced = []
    monkeypatch.setattr(
        Network, "call", lambda *a, _call=Network.call, **k: traced.append(1) or _call(*a, **k)
    )
    model = classifier()
    maps(method, model, images)
    before = resident()
    for i in range(200):
        maps(method, model, images[: 1 + i % 3], i % 5)
    assert len(traced) <= 2
    assert resident() - before < 50 * 2**20


def test_models_are_freed(images):
    references = []
    for _ in range(2):
        model = classifier()
        maps("guided_grad_cam", model, images)
        references.append(weakref.ref(model))
        del model
    gc.collect()
    assert [reference() for reference in references] == [None, None]


@pytest.mark.parametrize("channels", [1, 5])
def test_gray_and_multispectral_images(channels):
    model = classifier((24, 16, channels))
    images = np.random.default_rng(0).normal(size=(2, 24, 16, channels))
    assert error(see.saliency(model, images, 1), tape(model, images, 1)) < 1e-6
    assert see.occlusion(model, images, 1, patch=8).shape[0] == 2


# Models without a graph, and bad input


class Subclassed(keras.Model):
    def __init__(self, activation=None):
        super().__init__(name="subclassed")
        self.conv = layers.Conv2D(3, 3, activation="relu")
        self.pool, self.dense = (
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation=activation),
        )

    def call(self, x):
        return self.dense(self.pool(self.conv(x)))


def test_a_subclassed_model(images):
    model = Subclassed()
    with pytest.raises(ValueError, match="has no weights yet: call it on images first"):
        see.saliency(model, images)
    model(images)
    assert error(see.saliency(model, images, 1), tape(model, images, 1)) < 1e-6
    assert see.saliency(model, np.ones((1, 30, 20, 3)), 1).shape == (1, 30, 20, 3)
    for method in WITHOUT_GRAPH:
        assert maps(method, model, images).any()
    expected = np.array(ops.softmax(model(images)))[:, 2]
    found = see.occlusion(model, images, 2, patch=1, stride=40, fill=images[0, 0, 0])
    np.testing.assert_allclose(found[0, 0, 0], expected[0], rtol=1e-5)
    for method in ("grad_cam", "guided_backprop", "cam"):
        with pytest.raises(ValueError, match=r"without a graph.*saliency and occlusion work"):
            maps(method, model, images)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_subclassed_model_that_ends_in_probabilities(activation, images):
    model = Subclassed(activation)
    expected = np.array(model(images))[:, 2]
    with pytest.warns(UserWarning, match="gradients are of the probabilities"):
        found = see.occlusion(model, images, 2, patch=1, stride=40, fill=images[0, 0, 0])
    np.testing.assert_allclose(found[0, 0, 0], expected[0], rtol=1e-5)


NONE = np.zeros((2, *SHAPE))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((NONE, 5), "net has the classes 0 to 4; received 5"),
        ((NONE, -1), "net has the classes 0 to 4; received -1"),
        ((NONE, [1, 9]), "net has the classes 0 to 4; received 9"),
        ((NONE, [1]), "1 classes for 2 images: one an image"),
        ((NONE, 1.5), "classes is a class number, or one an image; received 1.5"),
        ((NONE, "cat"), "classes is a class number, or one an image; received 'cat'"),
        ((NONE[0],), r"\(n, 24, 16, 3\); received \(24, 16, 3\): images\[None\] adds the missing"),
        ((NONE[..., :1],), r"net takes images \(n, 24, 16, 3\); received \(2, 24, 16, 1\)"),
        ((NONE.transpose(0, 2, 1, 3),), r"images \(n, 24, 16, 3\); received \(2, 16, 24, 3\)"),
        ((NONE * np.nan,), "image 0 contains NaN or infinite values"),
        ((NONE[:0],), "there are no images"),
        (("photo.jpg",), r"net takes images .*; received \(\)"),
        (([NONE[0], NONE[0, :5]],), "images are one array; received list"),
    ],
)
def test_bad_input_is_one_line(arguments, message, net):
    for method in ("saliency", "grad_cam", "occlusion"):
        with pytest.raises(ValueError, match=message) as caught:
            maps(method, net, *arguments)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_nan_are_told(method, images):
    model = classifier()
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    with pytest.raises(ValueError, match="of image 0 contains NaN: the model's weights"):
        maps(method, model, images, 1)


def test_images_without_channels():
    x = keras.Input((8, 6))
    model = keras.Model(x, head(layers.Conv2D(2, 3)(layers.Reshape((8, 6, 1))(x))), name="net")
    images = np.ones((1, 8, 6))
    assert error(see.saliency(model, images, 1), tape(model, images, 1)) < 1e-6
    for method in ("grad_cam", "cam", "guided_grad_cam", "occlusion"):
        message = r"images \(n, h, w, c\); net takes others, of the shape \(None, 8, 6\)"
        with pytest.raises(ValueError, match=message):
            maps(method, model, images)


def test_gray_images_without_their_channel():
    model = classifier((24, 16, 1))
    with pytest.raises(ValueError, match=r"images\[\.\.\., None\] adds the missing axis"):
        see.saliency(model, np.zeros((5, 24, 16)))


def test_what_is_no_classifier(net, images):
    with pytest.raises(ValueError, match=r"not end in one number for each class.*\(None, 12, 8, 6"):
        see.saliency(keras.Model(net.input, net.get_layer("conv2").output), images)
    with pytest.raises(ValueError, match=r"a keras.Model is needed; received 'resnet18'"):
        see.saliency("resnet18", images)
