"""Occlusion against NumPy, for models whose probabilities are known."""

import itertools

import keras
import numpy as np
import pytest

from cvcourse import models
from cvcourse.visualization import _occlusion as module
from cvcourse.visualization import integrated_gradients, occlusion, to_pixels, windows
from cvcourse.visualization.network import Network

SIZE, CLASSES = (7, 10, 2), 3
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, *SIZE)).astype("float32")
KERNEL = RNG.normal(size=(np.prod(SIZE), CLASSES)).astype("float32") / 4
PATCH, STRIDE = (3, 4), (2, 3)  # the last patches are cut off: rows 4 to 6, columns 6 to 9


@pytest.fixture(scope="module")
def model():
    """Linear model of KERNEL."""
    net = keras.Sequential([keras.Input(SIZE), keras.layers.Flatten(), keras.layers.Dense(CLASSES)])
    net.set_weights([KERNEL, np.zeros(CLASSES)])
    return net


class Subclassed(keras.Model):
    """The linear model without a graph; `activation` of its output."""

    def __init__(self, activation=None):
        super().__init__()
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(CLASSES, activation=activation)

    def call(self, x):
        return self.dense(self.flatten(x))


def softmax(images):
    logits = images.reshape(len(images), -1).astype("float64") @ KERNEL
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def expected(images, classes, starts, patch=PATCH, fill=0.0):
    """P(class) with a patch at each place, by loops; `starts` are those of rows and columns."""
    grid = np.empty((len(images), *map(len, starts)))
    for i, (j, row), (k, column) in itertools.product(range(len(images)), *map(enumerate, starts)):
        covered = images[i].copy()
        window = np.s_[row : row + patch[0], column : column + patch[1]]
        covered[window] = np.broadcast_to(fill, covered.shape)[window]
        grid[i, j, k] = softmax(covered[None])[0, classes[i]]
    return grid


STARTS = [0, 2, 4], [0, 3, 6]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_probabilities_of_a_linear_model(model, batch_size):
    found = occlusion(model, IMAGES, [2, 0], patch=PATCH, stride=STRIDE, batch_size=batch_size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(IMAGES, [2, 0], STARTS), rtol=1e-5)


def test_default_class_is_the_likeliest_of_each_image(model):
    likeliest = softmax(IMAGES).argmax(axis=1)
    assert likeliest[0] != likeliest[1]
    found = occlusion(model, IMAGES, patch=PATCH, stride=STRIDE)
    np.testing.assert_allclose(found, expected(IMAGES, likeliest, STARTS), rtol=1e-5)


@pytest.mark.parametrize("fill", [-1.5, [0.5, -2.0], RNG.normal(size=SIZE)])
def test_fill(model, fill):
    found = occlusion(model, IMAGES, 1, patch=PATCH, stride=STRIDE, fill=fill)
    np.testing.assert_allclose(found, expected(IMAGES, [1, 1], STARTS, fill=fill), rtol=1e-5)


@pytest.mark.parametrize(
    "patch, stride, starts",
    [
        (7, 1, ([0], [0, 1, 2, 3])),
        (4, 4, ([0, 4], [0, 4, 8])),  # ceil(3 / 4) + 1 and ceil(6 / 4) + 1
        (1, 20, ([0, 20], [0, 20])),  # the first that reaches the border is beyond it
        (3, 5, ([0, 5], [0, 5, 10])),
    ],
)
def test_places(model, patch, stride, starts):
    found = occlusion(model, IMAGES, 1, patch=patch, stride=stride)
    reference = expected(IMAGES, [1, 1], starts, patch=(patch, patch))
    np.testing.assert_allclose(found, reference, rtol=1e-5)


def test_images_stay_as_they_are(model):
    before = IMAGES.copy()
    occlusion(model, IMAGES, 1, patch=3, stride=2)
    np.testing.assert_array_equal(IMAGES, before)


@pytest.mark.filterwarnings("ignore:.*ends in a softmax")  # only gradients differ
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_subclassed_model(activation):
    net = Subclassed(activation)
    net(IMAGES)
    net.set_weights([KERNEL, np.zeros(CLASSES)])
    found = occlusion(net, IMAGES, [2, 0], patch=PATCH, stride=STRIDE)
    np.testing.assert_allclose(found, expected(IMAGES, [2, 0], STARTS), rtol=1e-5)


def test_softmax_at_the_end_is_not_applied_twice(model):
    net = keras.Sequential([keras.Input(SIZE), *model.layers, keras.layers.Softmax()])
    found = occlusion(net, IMAGES, [2, 0], patch=PATCH, stride=STRIDE)
    np.testing.assert_allclose(found, expected(IMAGES, [2, 0], STARTS), rtol=1e-5)


def test_one_sigmoid():
    x = keras.Input((4, 4, 1))
    net = keras.Model(x, keras.layers.Dense(1, "sigmoid")(keras.layers.Flatten()(x)))
    net.set_weights([np.ones((16, 1)), np.zeros(1)])
    found = occlusion(net, np.full((1, 4, 4, 1), 0.25), patch=2, stride=2)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-3.0)), rtol=1e-6)


def test_images_of_any_size_and_of_bytes():
    x = keras.Input((None, None, 1))
    y = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(x))
    net = keras.Model(x, keras.ops.concatenate([y, 1 - y], axis=1))
    for side in (4, 6):
        found = occlusion(net, np.full((1, side, side, 1), 255, "uint8"), 0, patch=2, stride=2)
        mean = 1 - 4 / side**2
        np.testing.assert_allclose(found, 1 / (1 + np.exp(1 - 2 * mean)), rtol=1e-6)


def test_mixed_precision(model):
    net = keras.Sequential(
        [
            keras.Input(SIZE),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, dtype="mixed_bfloat16"),
        ]
    )
    net.set_weights(model.get_weights())
    found = occlusion(net, IMAGES, [2, 0], patch=PATCH, stride=STRIDE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(IMAGES, [2, 0], STARTS), rtol=0.03)


def test_pixels_have_the_mean_drop_of_the_patches_that_cover_them(model):
    classes = [2, 0]
    clear = softmax(IMAGES)[[0, 1], classes]
    grid = occlusion(model, IMAGES, classes, patch=PATCH, stride=STRIDE)
    maps = to_pixels(grid, SIZE[:2], clear=clear, patch=PATCH, stride=STRIDE)
    total, count = np.zeros((2, *SIZE[:2])), np.zeros(SIZE[:2])
    for (j, row), (k, column) in itertools.product(*map(enumerate, STARTS)):
        window = np.s_[..., row : row + PATCH[0], column : column + PATCH[1]]
        total[window] += (clear - grid[:, j, k])[:, None, None]
        count[window] += 1
    assert (maps.shape, maps.dtype) == ((2, *SIZE[:2]), np.float32)
    np.testing.assert_allclose(maps, total / count, rtol=1e-4, atol=1e-7)


def test_pixels_of_one_clear_probability_and_of_no_drop():
    maps = to_pixels(np.full((1, 2, 2), 0.25), 3, clear=0.5, patch=2, stride=1)
    np.testing.assert_array_equal(maps, np.full((1, 3, 3), 0.25))
    with pytest.warns(UserWarning, match="map of image 0 is zero everywhere"):
        to_pixels(np.full((1, 2, 2), 0.25), 3, clear=0.25, patch=2, stride=1)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(patch=8), "the patch of 8 x 8 pixels is larger than the image of 7 x 10 pixels"),
        (dict(patch=(1, 11)), "1 x 11 pixels is larger than the image of 7 x 10"),
        (dict(patch=0), "patch is a number of pixels of at least 1, .* received 0"),
        (dict(patch=2.5), "patch .* received 2.5"),
        (dict(patch=(3, 3, 2)), r"patch .* received \(3, 3, 2\)"),
        (dict(stride=0), "stride is a number of pixels of at least 1, .* received 0"),
        (dict(stride=(2, -1)), r"stride .* received \(2, -1\)"),
        (dict(batch_size=0), "batch_size is a whole number of .*; received 0"),
        (dict(batch_size=2.5), "batch_size is a whole number of .*; received 2.5"),
        (dict(fill=float("nan")), "fill is a finite number, .* received nan"),
        (
            dict(fill=[1.0, 2.0, 3.0]),
            r"one for each of the 2 channels.* received \[1.0, 2.0, 3.0\]",
        ),
        (dict(fill=np.zeros((7, 9, 2))), r"image \(7, 10, 2\); received float64 \(7, 9, 2\)"),
        (dict(fill="gray"), "fill .* received 'gray'"),
        (dict(fill=None), "fill .* received None"),
        (dict(classes=3), "classes 0 to 2; received 3"),
    ],
)
def test_bad_arguments(model, settings, message):
    with pytest.raises(ValueError, match=message):
        occlusion(model, IMAGES, **{"patch": 3, "stride": 2, **settings})


@pytest.mark.parametrize(
    "grid, settings, message",
    [
        ((1, 3, 3), dict(stride=4), r"stride of 4 leave pixels out: use a stride of at most 3"),
        ((1, 2, 3), dict(stride=2), r"make a grid \(n, 3, 3\) .* received \(1, 2, 3\)"),
        ((3, 3), dict(stride=2), r"received \(3, 3\)"),
        ((2, 3, 3), dict(stride=2, clear=[0.1]), r"an array \(2,\); received \(1,\)"),
    ],
)
def test_bad_grid(grid, settings, message):
    size = (9, 9) if settings["stride"] == 4 else (7, 7)
    with pytest.raises(ValueError, match=message):
        to_pixels(np.zeros(grid), size, **{"clear": 0.5, "patch": 3, **settings})


@pytest.mark.slow
def test_200_calls_trace_once_and_do_not_grow(monkeypatch):
    resource = pytest.importorskip("resource")  # not on Windows
    shape = (32, 32, 3)
    net = models.build("resnet18", depths=(1, 1), input_shape=shape, num_classes=10)
    images = RNG.normal(size=(5, *shape)).astype("float32")
    traces = []
    call = Network.call
    monkeypatch.setattr(Network, "call", lambda *a, **k: traces.append(1) or call(*a, **k))

    def explain(i):
        occlusion(net, images[: 1 + i % 5], i % 10, patch=8 + i % 3, stride=8, batch_size=7 + i % 2)
        integrated_gradients(net, images[: 1 + i % 5], i % 10, steps=3 + i % 4)

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB on Linux

    for i in range(20):
        explain(i)
    before = peak()
    for i in range(200):
        explain(i)
    # logits; to and from a map of occlusion; to and from the first convolution, back through it
    assert len(traces) <= 6
    assert peak() - before < 50


def odd_net():
    """Every kind of padding on sides that are no multiple of the strides."""
    x = image = keras.Input((61, 54, 3))
    x = keras.layers.Rescaling(0.5, 1.0)(x)
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(x)
    y = keras.layers.Conv2D(6, 3, dilation_rate=2, padding="same")(x)
    x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    x = keras.layers.AveragePooling2D(3, 2, padding="same")(x)
    x = keras.ops.pad(x, [(0, 0), (1, 0), (0, 1), (0, 0)])
    x = keras.layers.DepthwiseConv2D(3, activation="relu")(x)
    x = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    return keras.Model(image, keras.layers.Dense(5)(keras.layers.Flatten()(x)))


@pytest.mark.parametrize(
    "build",
    [
        odd_net,
        lambda: models.build("resnet18", input_shape=(96, 72, 3), num_classes=5),
        lambda: models.build("vgg11", input_shape=(64, 48, 3), num_classes=5),
        pytest.param(
            lambda: models.build("densenet121", input_shape=(96, 96, 3), num_classes=5),
            marks=pytest.mark.slow,
        ),
        lambda: models.build("mobilenet", width=0.25, input_shape=(None, None, 3), num_classes=5),
    ],
)
@pytest.mark.parametrize("patch", [(7, 5), pytest.param((1, 11), marks=pytest.mark.slow)])
def test_parts_of_the_image_give_the_probabilities_of_the_whole(build, patch, monkeypatch):
    keras.utils.set_random_seed(0)
    model = build()
    size = [side or 70 for side in model.input_shape[1:3]]
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    fill = np.arange(3.0) - 1
    network = Network.of(model)
    monkeypatch.setattr(windows, "LEAST_SAVING", 0.0)  # the images are small
    local = module.windows(network, size, patch)
    assert np.prod(local.part) < np.prod(size)
    settings = {"patch": patch, "stride": (9, 8), "fill": fill, "batch_size": 32}
    found = occlusion(model, images, 1, **settings)
    monkeypatch.setattr(module, "windows", lambda *_: None)
    np.testing.assert_allclose(found, occlusion(model, images, 1, **settings), rtol=2e-4, atol=1e-7)
