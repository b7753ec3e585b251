"""Attribution maps on small nets: facts that hold for any; the numbers are in the goldens' test."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from cvcourse import models
from cvcourse import visualization as see
from cvcourse.layers.receptive_field import fields
from cvcourse.visualization._receptive_field import resize_maps
from cvcourse.visualization.network import Network

METHODS = {
    "saliency": {},
    "gradient_times_image": {},
    "smooth_grad": {"samples": 3},
    "integrated_gradients": {"steps": 3},
    "guided_backprop": {},
    "deconvnet": {},
    "grad_cam": {},
    "cam": {},
    "guided_grad_cam": {},
    "fgsm": {"epsilon": 0.1},
}
LINEAR = ("saliency", "gradient_times_image", "smooth_grad", "integrated_gradients", "cam")


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(0)
    return models.build("resnet18", depths=(1, 1), input_shape=(32, 40, 3), num_classes=4)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(3, 32, 40, 3)).astype("float32")


def call(method, *args, **kwargs):
    return getattr(see, method)(*args, **METHODS[method], **kwargs)


@pytest.mark.parametrize("method", METHODS)
def test_likeliest_class_is_the_default(method, net, images):
    likeliest = Network.of(net).predict(images).argmax(1)
    found = call(method, net, images)
    assert found.shape == images.shape[: found.ndim] and found.dtype == "float32"
    np.testing.assert_array_equal(found, call(method, net, images, likeliest))
    alone = np.concatenate([call(method, net, images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(found, alone, atol=2e-5 * np.abs(found).max())


@pytest.mark.parametrize("method", LINEAR)
def test_contrast_is_the_difference_of_two_maps(method, net, images):
    first, second = (call(method, net, images, k) for k in (1, 2))
    both = call(method, net, images, 1, contrast=2)
    np.testing.assert_allclose(both, first - second, atol=1e-5 * np.abs(first).max())


def test_cam_is_the_logit(net, images):
    maps = see.cam(net, images, 2, resize=None)
    bias = ops.convert_to_numpy(net.get_layer("logits").bias)[2]
    logits = Network.of(net).predict(images)[:, 2]
    np.testing.assert_allclose(maps.mean((1, 2)) + bias, logits, rtol=1e-4)


@pytest.mark.parametrize(
    "between",
    [
        [layers.Flatten(name="flat"), layers.Dense(3)],
        [layers.GlobalAveragePooling2D(), layers.LayerNormalization(name="norm"), layers.Dense(3)],
        [layers.GlobalAveragePooling2D(), layers.Dense(3, "relu", name="relu"), layers.Dense(3)],
        [layers.GlobalMaxPooling2D(name="max"), layers.Dense(3)],
        [layers.AveragePooling2D(2, name="some"), layers.Flatten(), layers.Dense(3)],
    ],
)
def test_cam_needs_a_mean_and_one_dense_layer(between):
    first = [keras.Input((5, 5, 3)), layers.Conv2D(4, 1, name="conv")]
    model = keras.Sequential([*first, *between], name="net")
    with pytest.raises(ValueError, match=r"^CAM needs .*; net has .*: use grad_cam$"):
        see.cam(model, np.zeros((1, 5, 5, 3)))


def test_grad_cam_differentiates_down_to_its_layer(images):
    """The image's gradient takes two forward passes more."""
    passed = []

    @ops.custom_gradient
    def watched(x):
        def grad(*gradients, upstream=None):
            passed.append("backward")
            return upstream if gradients == () else gradients[0]

        return x, grad

    x = keras.Input((32, 40, 3))
    y = layers.Lambda(watched)(layers.Conv2D(4, 3, activation="relu")(x))
    y = layers.Conv2D(4, 3, activation="relu", name="map")(y)
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))
    see.grad_cam(model, images, layer="map")
    assert not passed
    see.saliency(model, images)
    assert passed


def test_guided_grad_cam_is_the_product(net, images):
    form = {"contrast": 2}
    coarse = see.grad_cam(net, images, 1, layer="stage1", **form)
    expected = coarse[..., None] * see.guided_backprop(net, images, 1, **form)
    found = see.guided_grad_cam(net, images, 1, layer="stage1", **form)
    np.testing.assert_array_equal(found, expected)
    other = see.guided_grad_cam(net, images, 1, layer="stage1", resize="bilinear", **form)
    assert not np.allclose(other, expected)


def test_the_default_layer_is_told_once(net, images, capsys):
    model = keras.Model(net.input, net.output)
    for _ in range(2):
        see.grad_cam(model, images)
    assert capsys.readouterr().err == "Grad-CAM of the layer features\n"
    see.grad_cam(model, images, layer="stage1")
    assert not capsys.readouterr().err


def impulse_net(levels):
    """Strided convolutions with kernels [1, 2, 1] / 4, which move no center of mass."""
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 4
    x = y = keras.Input((None, None, 1))
    for i in range(levels):
        y = layers.ZeroPadding2D(1)(y)
        y = layers.Conv2D(1, 3, strides=2, use_bias=False, name=f"map{i}")(y)
    model = keras.Model(x, layers.GlobalAveragePooling2D(name="logits")(y))
    model.set_weights([kernel[:, :, None, None]] * levels)
    return model


def center(image):
    rows, columns = (image.sum(axis) for axis in (1, 0))
    return [(sums * np.arange(len(sums))).sum() / sums.sum() for sums in (rows, columns)]


@pytest.mark.parametrize("resize, off", [("receptive_field", 0.0), ("bilinear", 15.5)])
def test_the_center_of_an_impulse(resize, off):
    """Cells as equal parts of the image are (step - 1) / 2 pixels too far down and right."""
    images = np.zeros((2, 320, 256, 1))
    places = np.array([[130, 101], [162, 133]])  # 32 pixels down and right
    images[[0, 1], places[:, 0], places[:, 1]] = 1
    maps = see.grad_cam(impulse_net(5), images, 0, layer="map4", resize=resize)
    np.testing.assert_allclose([*map(center, maps)], places + off, atol=0.6)


def test_the_center_in_a_model_that_resizes():
    """The map is where the pixels are, in images of any size."""
    x = keras.Input((None, None, 1))
    model = keras.Model(x, impulse_net(3)(layers.Resizing(160, 128)(x)))
    for side in (2, 4):
        images = np.zeros((1, 160 * side, 128 * side, 1))
        images[0, 80 * side : 81 * side, 40 * side : 41 * side] = 1
        (found,) = see.grad_cam(model, images, 0, layer="map2")
        expected = [80.5 * side - 0.5, 40.5 * side - 0.5]
        np.testing.assert_allclose(center(found), expected, atol=0.6 * side)


def test_bilinear_is_the_resizing_of_keras():
    maps = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    for size in ((32, 24), (13, 31), (4, 3)):
        expected = ops.image.resize(maps[..., None], size, antialias=False)[..., 0]
        np.testing.assert_allclose(resize_maps(maps, size), expected, atol=1e-6)


def test_tokens_are_the_map_that_they_were_cut_from(capsys):
    """With one head, queries have the shape of a map, too."""
    form = dict(hidden_dim=8, depth=1, num_heads=1, mlp_dim=16, num_classes=3)
    model = models.build("vit_b_16", input_shape=(64, 48, 3), **form)
    model.get_layer("logits").kernel.assign(np.random.default_rng(0).normal(size=(8, 3)))
    images = np.random.default_rng(0).normal(size=(2, 64, 48, 3))
    tokens, patches = (
        see.grad_cam(model, images, 1, layer=layer, resize=None) for layer in ("positions", "stem")
    )
    assert tokens.shape == patches.shape == (2, 4, 3)
    assert see.grad_cam(model, images, 1).shape == (2, 64, 48)
    assert capsys.readouterr().err == "Grad-CAM of the layer block1_1_norm\n"
    with pytest.warns(UserWarning, match="zero everywhere"):  # the logits take the class token
        assert not see.grad_cam(model, images, 1, layer="features").any()


def test_default_layer_after_operations_that_move_pixels():
    x = keras.Input((8, 6, 2))
    y = layers.Conv2D(4, 3, name="map")(layers.Permute((2, 1, 3))(x))
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))
    image = np.ones((1, 8, 6, 2))
    assert Network.of(model).default_map()[0] == "map"
    for technique in (see.grad_cam, see.cam):
        with pytest.warns(UserWarning, match="the receptive field of the map is unknown"):
            technique(model, image)


def test_default_layer_of_a_small_image():
    """The map of 1x1 has no places, and those within its block are not all that it depends on."""
    x = keras.Input((2, 2, 3))
    y = layers.ReLU(name="map")(layers.Conv2D(4, 1)(x))
    branch = layers.Conv2D(4, 1, name="branch")(y)
    y = layers.Conv2D(4, 2)(y) + layers.Conv2D(4, 2)(branch)
    y = layers.GlobalAveragePooling2D()(layers.ReLU(name="features")(y))
    assert Network.of(keras.Model(x, layers.Dense(2)(y))).default_map()[0] == "map"


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("squeeze", [layers.AveragePooling2D, layers.DepthwiseConv2D])
def test_squeeze_excite_is_not_the_place(squeeze, order):
    x = keras.Input((32, 32, 3))
    y = layers.Conv2D(4, 3, strides=2, padding="same")(x)
    factors = [y, squeeze(16)(y)]
    y = layers.Multiply(name="scaled")(factors[::order])
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))
    assert Network.of(model).default_map()[0] == "scaled"
    assert see.receptive_field(model, "scaled") is None
    assert see.boxes(model, "scaled", [(1, 2)]).tolist() == [[2, 4, 5, 7]]
    assert fields(Network.of(model).graph)[Network.of(model).tap("scaled")].whole


def scaled(scale, activation="softmax"):
    """Linear classifier of two pixels."""
    x = keras.Input((1, 2, 1))
    y = layers.Dense(3 if activation == "softmax" else 1, activation=activation)
    model = keras.Model(x, y(layers.Flatten()(x)))
    kernel = scale * np.array([[1.0, -1, 0], [-2, 1, 1]])[:, : y.units]
    model.set_weights([kernel, np.zeros(y.units)])
    return model


@pytest.mark.parametrize("scale", [1, 1e3])
def test_fgsm_increases_the_cross_entropy_of_a_sure_net(scale):
    """Where the probability is 1 in float32, the gradient of its logarithm is 0."""
    image = np.array([[[[2.0], [-1.0]]]], "float32")
    step = see.fgsm(scaled(scale), image, epsilon=0.5) - image
    np.testing.assert_array_equal(step.ravel(), [-0.5, 0.5])
    step = see.fgsm(scaled(scale), image, 1, epsilon=0.5, targeted=True) - image
    np.testing.assert_array_equal(step.ravel(), [-0.5, 0.5])


def test_fgsm_of_a_sigmoid():
    image = np.array([[[[2.0], [-1.0]]]], "float32")
    step = see.fgsm(scaled(1.0, "sigmoid"), image, epsilon=0.5) - image
    np.testing.assert_array_equal(step.ravel(), [-0.5, 0.5])


def test_baselines(net, images):
    """A number, an image and one an image are the same; steps are counted in batches of 32."""
    form = dict(steps=40, rule="gauss-legendre")
    number = see.integrated_gradients(net, images, 1, baseline=0.5, **form)
    for baseline in (np.full(images.shape[1:], 0.5), np.full(images.shape, 0.5)):
        other = see.integrated_gradients(net, images, 1, baseline=baseline, **form)
        np.testing.assert_array_equal(number, other)
    delta = see.completeness_delta(net, images, number, 1, baseline=0.5)
    logits = [Network.of(net).predict(x)[:, 1] for x in (images, np.full_like(images, 0.5))]
    expected = number.sum((1, 2, 3)) - (logits[0] - logits[1])
    np.testing.assert_allclose(delta, expected, atol=1e-5)
    assert (np.abs(delta) < 0.05 * np.abs(number).sum((1, 2, 3))).all()


def test_noise_is_in_units_of_the_images_range(net, images):
    noises = np.random.default_rng(3).normal(size=(2, *images.shape))
    ranges = np.ptp(images, axis=(1, 2, 3), keepdims=True)
    expected = np.mean([see.saliency(net, images + 0.2 * ranges * n, 1) for n in noises], axis=0)
    found = see.smooth_grad(net, images, 1, noise=0.2, noises=noises)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "method, settings, message",
    [
        ("smooth_grad", {"samples": 0}, "samples is a whole number of at least 1; received 0"),
        ("smooth_grad", {"seed": None}, "seed is a whole number of at least 0; received None"),
        ("smooth_grad", {"noises": np.full((1, 3, 32, 40, 3), np.nan)}, "noises contains NaN"),
        ("smooth_grad", {"noise": -1}, "noise is a finite number of at least 0; received -1"),
        ("smooth_grad", {"noises": np.zeros((2, 3))}, "noises has the shape .samples, 3, 32, 40"),
        ("integrated_gradients", {"steps": True}, "steps is a whole number of .* received True"),
        ("integrated_gradients", {"steps": 2.5}, "steps is a whole number of .* received 2.5"),
        (
            "integrated_gradients",
            {"baseline": "black"},
            "baseline is a number, .* received 'black'",
        ),
        ("integrated_gradients", {"rule": "simpson"}, "unknown rule 'simpson'"),
        ("integrated_gradients", {"baseline": np.zeros(5)}, "baseline is a number, an image"),
        ("integrated_gradients", {"baseline": np.nan}, "baseline contains NaN"),
        ("completeness_delta", {"maps": np.zeros((1, 2))}, "maps of the shape .1, 2. for 3 images"),
        ("fgsm", {"epsilon": np.inf}, "epsilon is a finite number of at least 0; received inf"),
        ("fgsm", {"epsilon": -1.0}, "epsilon is a finite number of at least 0; received -1.0"),
        ("fgsm", {"epsilon": 1, "targeted": True}, "a targeted step needs classes"),
        ("deconvnet", {"layer": "stage1"}, "takes layer and channel together"),
        ("deconvnet", {"layer": "stage1", "channel": 64}, "has the channels 0 to 63; received 64"),
        ("deconvnet", {"layer": "stage1", "channel": True}, "channels 0 to 63; received True"),
        ("deconvnet", {"layer": "stage1", "channel": 0.5}, "channels 0 to 63; received 0.5"),
        ("deconvnet", {"layer": "stage1", "channel": 1, "classes": 1}, "choose one"),
        ("grad_cam", {"resize": "nearest"}, "unknown resize 'nearest'"),
        ("grad_cam", {"layer": "logits"}, "logits has the shape .None, 4.: a map"),
        ("guided_grad_cam", {"resize": None}, "unknown resize None"),
    ],
)
def test_bad_arguments(method, settings, message, net, images):
    with pytest.raises(ValueError, match=message):
        getattr(see, method)(net, images, **settings)


def test_boxes_of_what_sees_the_whole_image(net):
    with pytest.raises(ValueError, match="the values of logits see the whole image"):
        see.boxes(net, "logits", [(0, 0)])
    with pytest.raises(ValueError, match="places are rows and columns"):
        see.boxes(net, "stage1", [0, 1])


PREFIXES = {
    "float64": (
        lambda: [layers.Conv2D(4, 3, dtype="float64"), layers.ReLU()],
        (6, 8, 4),
    ),
    "convolution": (
        lambda: [layers.Rescaling(2.0), layers.Conv2D(4, 3, 2), layers.BatchNormalization()],
        (3, 4, 4),
    ),
    "activation": (
        lambda: [layers.ZeroPadding2D(1), layers.Conv2D(4, 3, activation="relu")],
        (10, 12, 3),
    ),
    "none": (lambda: [layers.ReLU()], None),
}


@pytest.mark.parametrize("branch", [False, True])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_gradients_at_several_points_are_means_of_saliency(prefix, branch):
    make, shape = PREFIXES[prefix]
    x = y = keras.Input((8, 10, 3))
    for layer in make():
        y = layer(y)
    y = layers.GlobalAveragePooling2D()(ops.square(y))
    if branch:  # another way from the image to the logits
        y = ops.concatenate([y, layers.GlobalAveragePooling2D()(ops.square(x))], axis=1)
    model = keras.Model(x, layers.Dense(2)(y))
    affine = Network.of(model).affine()
    assert (affine and affine.shape[1:]) == (None if branch else shape)
    images, path = np.random.default_rng(0).normal(size=(2, 2, 8, 10, 3)).astype("float32")
    found = see.integrated_gradients(model, images + path, [0, 1], baseline=images, steps=2)
    points = [see.saliency(model, images + t * path, [0, 1]) for t in (0.25, 0.75)]
    expected = path * np.mean(points, axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
