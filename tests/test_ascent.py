"""DeepDream, class images, fooling images, inversion and style transfer.

Their gradients are compared with torch's in test_visualization_goldens.py.
"""

import keras
import numpy as np
import pytest
import scipy.ndimage
from keras import layers

from cvcourse import models
from cvcourse import visualization as see
from cvcourse.visualization import ascent
from cvcourse.visualization._class_image import blurred
from cvcourse.visualization.network import Network

SIDE, CLASSES = 32, 10
BOUNDS = (-2.0, 2.0)  # of pixels in the range that the network of the tests takes


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(0)
    model = models.build(
        "resnet18", depths=(1, 1), input_shape=(SIDE, SIDE, 3), num_classes=CLASSES
    )
    model.compile("sgd", "mse")
    return model


def pictures(count=1, side=SIDE, channels=3, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(count, side, side, channels))
    return np.clip(drawn, *BOUNDS).astype("float32")


def flat(*shape):
    """Model whose logits are the pixels, after a layer `map`."""
    return keras.Sequential([keras.Input(shape), layers.ReLU(name="map"), layers.Flatten()])


def pointwise(*sides):
    """Model with a map whose values depend on one pixel each."""
    image = keras.Input((*sides, 1))
    maps = layers.Conv2D(2, 1, activation="relu", name="map")(image)
    logits = layers.Dense(2)(layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(image, logits)
    model.set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 100.0]), np.eye(2), np.zeros(2)])
    return model


class Record(list):
    """Callback that keeps the steps and pictures."""

    def __call__(self, step, images):
        self.append((step, images.copy()))


RUNS = {
    "dream": lambda model, x, **how: see.dream(model, x, "stage2", octaves=2, **how),
    "class_image": lambda model, x, **how: see.class_image(model, 3, **how),
    "fooling_image": lambda model, x, **how: see.fooling_image(
        model, x, 3, probability=0.999, step_size=1e-4, **how
    ),
    "invert": lambda model, x, **how: see.invert(model, x, "stage1", **how),
    "style_transfer": lambda model, x, **how: see.style_transfer(
        model, x, x[:, ::-1], content_layer="stage2", style_layers=["stage1"], **how
    ),
}


@pytest.mark.filterwarnings("ignore:fooling_image")
@pytest.mark.parametrize("name", RUNS)
def test_steps_pictures_and_an_unchanged_model(name, net):
    x = pictures(2)
    weights, rate = net.get_weights(), net.optimizer.learning_rate.numpy()
    seen = Record()
    seed = {} if name == "fooling_image" else {"seed": 5}
    found = RUNS[name](net, x, steps=3, bounds=BOUNDS, callback=seen, **seed)
    assert [step for step, _ in seen] == [1, 2, 3]
    np.testing.assert_array_equal(seen[-1][1], found)
    assert found.dtype == "float32"
    assert found.shape == (1 if name == "class_image" else 2, SIDE, SIDE, 3)
    assert BOUNDS[0] <= found.min() < found.max() <= BOUNDS[1]
    assert not np.array_equal(found, x[: len(found)])
    np.testing.assert_array_equal(x, pictures(2))
    np.testing.assert_array_equal(RUNS[name](net, x, steps=3, bounds=BOUNDS, **seed), found)
    if name in ("class_image", "invert", "dream"):
        other = RUNS[name](net, x, steps=3, bounds=BOUNDS, seed=6)
        assert not np.array_equal(other, found)
    for before, after in zip(weights, net.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert net.optimizer.learning_rate.numpy() == rate


@pytest.mark.parametrize("steps", [0, -1, 2.5, None])
@pytest.mark.parametrize("name", RUNS)
def test_steps_are_at_least_one(name, steps, net):
    with pytest.raises(ValueError, match="steps is a whole number of at least 1; received"):
        RUNS[name](net, pictures(), steps=steps)


@pytest.mark.parametrize(
    "bounds", [(1, 1), (5, 0), (0,), "ab", (0, np.inf), ([0, 9, 0], [1, 1, 1])]
)
@pytest.mark.parametrize("name", RUNS)
def test_bounds_ascend(name, bounds, net):
    with pytest.raises(ValueError, match="bounds are the lowest and the highest pixel"):
        RUNS[name](net, pictures(), steps=1, bounds=bounds)


def test_bad_input(net):
    x, style = pictures(), dict(content_layer="stage2", style_layers=["stage1"])
    cases = [
        (lambda: see.dream(net, x, "stage9"), "stage9 is no layer .* nearest names are stage"),
        (lambda: see.dream(net, x[:, :20], "stage2"), r"takes images \(n, 32, 32, 3\); received"),
        (lambda: see.dream(net, x, "stage2", octaves=0), "octaves is a whole number"),
        (lambda: see.dream(net, x, "stage2", octave_scale=1.0), "octave_scale is above 1"),
        (lambda: see.dream(net, x, "stage2", step_size=-1.0), "step_size is a positive number"),
        (lambda: see.dream(net, x * np.nan, "stage2"), "image 0 contains NaN"),
        (lambda: see.class_image(net, 10), "classes 0 to 9; received 10"),
        (lambda: see.class_image(net, None), "classes is a class number"),
        (lambda: see.class_image(net, 1, size=(16, 16)), r"takes images \(n, 32, 32, 3\)"),
        (lambda: see.class_image(net, 1, size=32), r"size is \(height, width\); received 32"),
        (lambda: see.class_image(net, 1, jitter=-0.1), "jitter is a share of the sides"),
        (lambda: see.class_image(net, 1, l2=-1.0), "l2 is at least 0"),
        (lambda: see.invert(net, x, variation_weight=np.nan), "variation_weight is at least 0"),
        (lambda: see.style_loss(net, x, x, x, **style, style_weights="a"), "style_weights is at"),
        (lambda: see.fooling_image(net, x, -1), "classes 0 to 9; received -1"),
        (lambda: see.fooling_image(net, x, None), "the class to reach"),
        (lambda: see.fooling_image(net, x, 1, probability=1.0), "between 0 and 1"),
        (lambda: see.inversion_loss(net, x, pictures(3), "stage1"), "3 targets for 1 images"),
        (lambda: see.invert(flat(4, 4, 1), -np.ones((1, 4, 4, 1)), "map"), "are all zero"),
        (lambda: see.gram(net, x, "logits"), "no channels at several places"),
        (lambda: see.style_transfer(net, x, x, **style, start="top"), "start is content or noise"),
        (
            lambda: see.style_loss(net, x, x, x, **style, style_weights=[1, 2]),
            "2 style_weights for 1 style_layers",
        ),
        (
            lambda: see.style_loss(net, x, x, x, content_layer="stage2", style_layers="stage1"),
            "style_layers is a list",
        ),
        (lambda: see.style_loss(net, x, x, pictures(3), **style), "3 style images for 1 images"),
    ]
    for function, message in cases:
        with pytest.raises(ValueError, match=message):
            function()


def test_a_dream_of_the_definition():
    """One octave, no jitter, a map that is the image itself: x -> x + step * x / mean(|x|)."""
    x = np.array([[1.0, 2.0], [3.0, 6.0]], "float32").reshape(1, 2, 2, 1)
    found = see.dream(flat(2, 2, 1), x, "map", steps=2, step_size=0.25, bounds=(0, 4), jitter=0.0)
    first = np.clip(x + x / x.mean(), 0, 4)
    np.testing.assert_allclose(found, np.clip(first + first / first.mean(), 0, 4), rtol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (20, 13), (8, 30)])
def test_tiles_cover_images_larger_than_the_model(size):
    """Where each value depends on one pixel, tiles do not matter."""
    x = np.random.default_rng(0).uniform(0, 255, (2, *size, 1))
    seen = Record()
    found = see.dream(pointwise(8, 8), x, "map", steps=3, octaves=1, callback=seen)
    whole = see.dream(pointwise(None, None), x, "map", steps=3, octaves=1)
    np.testing.assert_allclose(found, whole, rtol=1e-5)


def test_octaves_of_a_dream():
    """Sizes of the octaves; details found in small images are in the large one."""
    x, seen = pictures(side=90, channels=1), Record()
    found = see.dream(pointwise(None, None), x, "map", steps=1, callback=seen, bounds=BOUNDS)
    assert [images.shape[1] for _, images in seen] == [33, 46, 64, 90]
    once = see.dream(pointwise(None, None), x, "map", steps=1, octaves=1, bounds=BOUNDS)
    assert np.abs(found - x).mean() > 1.5 * np.abs(once - x).mean()
    fixed = Record()
    see.dream(pointwise(50, 50), x, "map", steps=1, callback=fixed, bounds=BOUNDS)
    assert [images.shape[1] for _, images in fixed] == [64, 90]


def test_a_dream_excites_the_layer(net):
    x = pictures(2)
    before, _ = see.dream_objective(net, x, "stage2")
    after, _ = see.dream_objective(net, see.dream(net, x, "stage2", bounds=BOUNDS), "stage2")
    assert (after > 1.4 * before).all()


def test_the_default_layer_is_told_once(capsys, net):
    x = pictures()
    see.dream(net, x, steps=1, bounds=BOUNDS)
    assert capsys.readouterr().err == "dream: layer features\n"
    found = see.dream(net, x, steps=1, bounds=BOUNDS)
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(found, see.dream(net, x, "features", steps=1, bounds=BOUNDS))


def test_class_images_have_their_class(net):
    found = see.class_image(net, [3, 7], steps=30, bounds=BOUNDS)
    np.testing.assert_array_equal(Network.of(net).predict(found).argmax(axis=1), [3, 7])
    large = see.class_image(pointwise(None, None), 0, steps=1, size=(9, 7))
    assert large.shape == (1, 9, 7, 1)
    assert see.class_image(pointwise(None, None), 0, steps=1).shape == (1, 224, 224, 1)


def test_a_class_image_is_the_assignments_step():
    """Without jitter and blur: x + step * g / rms(g), g the gradient minus that of the L2 term."""
    model, how = flat(3, 4, 1), dict(l2=0.5, jitter=0.0, blur=1e-3, bounds=(-1.0, 3.0))
    start = ascent.noise(Network.of(model), 1, None, (-1.0, 3.0), seed=2)
    gradient = 4 * np.eye(12)[5].reshape(1, 3, 4, 1) * (start > 0) - 2 * 0.5 * (start - 1) / 4
    moved = start + 0.1 * 4 * gradient / np.sqrt(np.mean(gradient**2))
    found = see.class_image(model, 5, steps=1, step_size=0.1, seed=2, **how)
    np.testing.assert_allclose(found, np.clip(moved, -1, 3), rtol=1e-5)
    soft = see.class_image(model, 5, steps=1, step_size=0.1, seed=2, **how | {"blur": 0.5})
    expected = scipy.ndimage.gaussian_filter(found, (0, 1.5, 1.5, 0), radius=2)  # of 3 rows
    np.testing.assert_allclose(soft, expected, rtol=1e-5)


@pytest.mark.parametrize("deviation", [0.01, 0.5, 1.0])
def test_blur(deviation):
    x = pictures(2, side=12)
    expected = x
    for axis in (1, 2):
        expected = scipy.ndimage.gaussian_filter1d(expected, deviation, axis=axis)
    np.testing.assert_allclose(blurred(x, deviation), expected, atol=1e-5)
    assert blurred(x[:, :1, :2], 1.0).shape == (2, 1, 2, 3)


def test_fooling_images(net):
    """Each image stops when it has the class; changes are small; one that has it stays."""
    x = pictures(3)
    best = Network.of(net).predict(x).argmax(axis=1)
    wanted, how = (best + 1) % CLASSES, dict(step_size=4e-3, bounds=BOUNDS)
    x[0] = see.fooling_image(net, x[:1], wanted[0], probability=0.7, **how)[0]
    seen = Record()
    found = see.fooling_image(net, x, wanted, probability=0.6, callback=seen, **how)
    chances = np.array(keras.ops.softmax(Network.of(net).predict(found)))
    assert (chances[range(3), wanted] >= 0.6).all()
    assert (chances[[1, 2], wanted[1:]] < 0.7).all()  # they stop
    assert np.sqrt(np.mean((found - x) ** 2)) < 0.2 * 4
    np.testing.assert_array_equal(found[0], x[0])
    with pytest.warns(UserWarning, match="after 1 steps the class of image 0"):
        see.fooling_image(net, x[2:], wanted[2], probability=0.99, steps=1, **how)


def test_fooling_a_model_of_one_probability():
    image = keras.Input((2, 2, 1))
    chance = layers.Dense(1, activation="sigmoid")(layers.Flatten()(image))
    model = keras.Model(image, chance)
    model.set_weights([np.array([[1.0], [0.0], [0.0], [0.0]]), np.array([-3.0])])
    found = see.fooling_image(model, np.zeros((1, 2, 2, 1)), 0, bounds=(0, 10), step_size=0.01)
    assert 3.0 <= found[0, 0, 0, 0] < 3.3
    assert not found.ravel()[1:].any()


def test_inversion_finds_the_features(net):
    x = np.repeat([-1.5, 1.0], SIDE // 2).astype("float32")  # a dark and a light half
    x = np.broadcast_to(x[:, None], (2, SIDE, SIDE, 3))
    path, how = Record(), dict(steps=60, bounds=BOUNDS)
    found = see.invert(net, x, "stage1", variation_weight=0.0, callback=path, **how)
    first, last = (see.inversion_loss(net, images, x, "stage1")[0] for _, images in path[::59])
    assert (last < 0.1 * first).all()
    smooth = see.invert(net, x, "stage1", variation_weight=0.1, **how)
    rough, less = (np.array(ascent.total_variation(images)) for images in (found, smooth))
    assert (less < 0.5 * rough).all()


def test_losses_of_many_images_are_those_of_each(net):
    x, t = pictures(40), pictures(40, seed=1)
    loss, gradient = see.inversion_loss(net, x, t, "stage1", variation_weight=0.1)
    for i in (0, 39):
        one, slope = see.inversion_loss(net, x[[i]], t[[i]], "stage1", variation_weight=0.1)
        np.testing.assert_allclose(loss[i], one[0], rtol=1e-5)
        np.testing.assert_allclose(gradient[i], slope[0], rtol=1e-3, atol=1e-6)


def test_gram_and_style_loss(net):
    """Against NumPy, from the values of the layers."""
    x, content, style = pictures(2), pictures(2, seed=1), pictures(1, seed=2)

    def values(images, layer):
        return np.array(keras.Model(net.input, net.get_layer(layer).output)(images), "float64")

    def gram(images, layer):
        found = values(images, layer)
        return np.einsum("nijc,nijd->ncd", found, found) / found[0].size

    np.testing.assert_allclose(see.gram(net, x, "stage2"), gram(x, "stage2"), rtol=1e-4, atol=1e-6)
    loss, _ = see.style_loss(
        net, x, content, style,
        content_layer="stage2", style_layers=["stage1", "stage2"],
        content_weight=2.0, style_weights=[3.0, 5.0], variation_weight=0.25,
    )  # fmt: skip
    expected = 2 * np.square(values(x, "stage2") - values(content, "stage2")).sum(axis=(1, 2, 3))
    for weight, layer in ((3, "stage1"), (5, "stage2")):
        expected += weight * np.square(gram(x, layer) - gram(style, layer)).sum(axis=(1, 2))
    for axis in (1, 2):
        expected += 0.25 * np.square(np.diff(x, axis=axis)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_style_transfer(net):
    """Closer to the style, with the content kept; a texture does not see the content."""
    content, style = pictures(), pictures(seed=1) * 0.2 + 1
    how = dict(content_layer="stage2", style_layers=["stage1"], bounds=BOUNDS, steps=40)

    def distance(images):
        wanted, found = (see.gram(net, one, "stage1") for one in (style, images))
        return np.square(found - wanted).sum() / np.square(wanted).sum()

    found = see.style_transfer(net, content, style, content_weight=0.1, **how)
    assert distance(found) < 0.1 * distance(content)
    free = see.style_transfer(net, content, style, content_weight=0.0, **how)
    kept = [see.inversion_loss(net, x, content, "stage2")[0][0] for x in (found, free)]
    assert kept[0] < kept[1]
    texture = dict(content_weight=0.0, start="noise", **how)
    first = see.style_transfer(net, content, style, **texture)
    np.testing.assert_array_equal(first, see.style_transfer(net, -content, style, **texture))
    assert distance(first) < 0.1
    larger = np.repeat(np.repeat(style, 2, axis=1), 2, axis=2)  # scaled to the model's size
    again = see.style_transfer(net, content, larger, content_weight=0.1, **how)
    assert np.abs(again - found).mean() < 0.2


def test_adam_is_that_of_keras():
    start = np.array([1.0, -3.0, 0.5]).reshape(1, 1, 3, 1).astype("float32")
    found = ascent.adam(
        lambda x: 2 * x, start, steps=9, step_size=0.1 / 20, bounds=(-10, 10), callback=None
    )
    variable = keras.Variable(start)
    optimizer = keras.optimizers.Adam(0.1, epsilon=1e-12)
    for step in range(9):
        if step == 8:  # the last tenth
            optimizer.learning_rate = 0.1 / 30
        optimizer.apply([2 * variable], [variable])
    np.testing.assert_allclose(found, np.array(variable), rtol=1e-4)


def test_the_unit_of_the_pixels_changes_nothing():
    """The weight of the total variation is of pixels in units of the range."""
    unit = flat(4, 4, 1)
    scaled = keras.Sequential([keras.Input((4, 4, 1)), layers.Rescaling(1 / 255), *unit.layers])
    x = np.random.default_rng(0).random((2, 1, 4, 4, 1))
    how = dict(steps=5, variation_weight=0.1)
    style = how | dict(content_layer="map", style_layers=["map"])
    for technique in (
        lambda model, x, bounds: see.invert(model, x[0], "map", bounds=bounds, **how),
        lambda model, x, bounds: see.style_transfer(model, *x, bounds=bounds, **style),
    ):
        found = technique(scaled, 255 * x, (0.0, 255.0))
        np.testing.assert_allclose(found / 255, technique(unit, x, (0.0, 1.0)), atol=1e-4)


def test_nested_models(net):
    image = keras.Input((SIDE, SIDE, 3))
    nested = keras.Model(image, layers.Softmax()(net(image)))
    x = pictures(2)
    expected = see.dream_step(net, x, "stage2")
    for layer in ("stage2", f"{net.name}/stage2"):
        np.testing.assert_allclose(see.dream_step(nested, x, layer), expected, rtol=1e-4, atol=1e-5)
    found, expected = (see.class_image(model, 3, steps=2, bounds=BOUNDS) for model in (nested, net))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_half_precision(policy):
    def build():
        keras.utils.set_random_seed(0)
        image = keras.Input((8, 8, 3))
        x = layers.Conv2D(8, 3, activation="relu", name="map")(image)
        return keras.Model(image, layers.Dense(4)(layers.Flatten()(x)))

    full = build()
    keras.config.set_dtype_policy(policy)
    try:
        half = build()
    finally:
        keras.config.set_dtype_policy("float32")
    x, other = pictures(2, side=8), pictures(2, side=8, seed=1)
    how = dict(content_layer="map", style_layers=["map"])
    for technique in (
        lambda model: see.dream_step(model, x, "map"),
        lambda model: see.inversion_loss(model, x, other, "map")[1],
        lambda model: see.style_loss(model, x, other, other, **how)[1],
        lambda model: see.class_image(model, 1, steps=1, bounds=BOUNDS),
    ):
        got, expected = technique(half), technique(full)
        assert got.dtype == "float32"
        assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.99


def test_style_layers_are_the_ends_of_stages_by_default(net):
    ends = see.stages(net)
    content, style = pictures(2)[:1], pictures(2)[1:]
    settings = {"steps": 2, "bounds": BOUNDS}
    chosen = {"content_layer": ends[-2], "style_layers": ends[:-1]}
    found = see.style_transfer(net, content, style, **settings)
    expected = see.style_transfer(net, content, style, **settings, **chosen)
    np.testing.assert_array_equal(found, expected)
    assert np.abs(found - content).max() > 0


def test_seeds_give_several_fooling_images(net):
    wanted = (Network.of(net).predict(pictures(1)).argmax() + 1) % CLASSES
    settings = {"probability": 0.6, "step_size": 4e-3, "bounds": BOUNDS}
    first, again, other = (
        see.fooling_image(net, pictures(1), wanted, seed=seed, **settings) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0
