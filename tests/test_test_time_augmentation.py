"""Averages over views of an image and over passes, against the same by hand."""

import keras
import numpy as np
import pytest

from cvcourse.layers import FractionalMaxPooling2D
from cvcourse.regularization import averaged_passes, flip_averaged, ten_crop

array = keras.ops.convert_to_numpy


def net(shape, *hidden, outputs=lambda logits: logits):
    """A net that sees left from right and top from bottom."""
    keras.utils.set_random_seed(0)
    image = keras.Input(shape)
    x = image
    for layer in hidden:
        x = layer(x)
    logits = keras.layers.Dense(4, kernel_initializer="he_normal")(keras.layers.Flatten()(x))
    return keras.Model(image, outputs(logits), name="net")


def images(*shape):
    return np.random.default_rng(0).normal(0, 1, shape).astype("float32")


def softmax(logits):
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def says(model, x):
    return softmax(array(model(x)))


def ten_crops(x, height, width):
    """Krizhevsky et al., section 4.1."""
    bottom, right = x.shape[1] - height, x.shape[2] - width
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = [x[:, i : i + height, j : j + width] for i, j in places]
    return [*crops, *(crop[:, :, ::-1] for crop in crops)]


def test_flip_averaged_is_the_mean_of_the_image_and_its_mirror():
    model, x = net((5, 6, 3)), images(7, 5, 6, 3)
    expected = (says(model, x) + says(model, x[:, :, ::-1])) / 2
    found = array(flip_averaged(model)(x))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.abs(found - says(model, x)).max() > 0.05


@pytest.mark.parametrize("shape", [(9, 8, 3), (6, 5, 3), (5, 6, 3)])
def test_ten_crop_is_the_mean_of_corners_center_and_mirrors(shape):
    model, x = net((5, 5, 3)), images(7, *shape)
    expected = np.mean([says(model, crop) for crop in ten_crops(x, 5, 5)], axis=0)
    np.testing.assert_allclose(array(ten_crop(model, shape)(x)), expected, rtol=1e-5)


@pytest.mark.parametrize("averaged", [flip_averaged, lambda model: ten_crop(model, (5, 6, 3))])
def test_averages_save_load_and_follow_the_model_s_weights(averaged, tmp_path):
    model, x = net((5, 6, 3)), images(7, 5, 6, 3)
    average = averaged(model)
    before = array(average(x))
    average.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.output_shape == (None, 4)
    np.testing.assert_array_equal(array(loaded(x)), before)
    model.set_weights([-weight for weight in model.get_weights()])
    assert np.abs(array(average(x)) - before).max() > 0.05


def test_the_logits_of_a_net_with_several_outputs_count():
    plain = net((5, 6, 3))
    both = net((5, 6, 3), outputs=lambda logits: {"logits": logits, "aux": -logits})
    x = images(7, 5, 6, 3)
    for averaged in (flip_averaged, lambda model: ten_crop(model, (5, 6, 3))):
        found, expected = (array(averaged(model)(x)) for model in (both, plain))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 9, 3), (9, 4, 3), (9, 9, 1)])
def test_ten_crop_wants_images_that_hold_a_crop(shape):
    with pytest.raises(ValueError, match=r"ten crops of \(5, 6, 3\) do not fit"):
        ten_crop(net((5, 6, 3)), shape)


@keras.saving.register_keras_serializable("cvcourse_tests")
class Traces(keras.layers.Layer):
    """Counts how often its Python is run."""

    count = 0

    def call(self, inputs):
        self.count += 1
        return inputs


def pooling_net():
    traces = Traces()
    pools = FractionalMaxPooling2D(1.4), FractionalMaxPooling2D(1.5, kind="pseudorandom")
    inner = net((14, 14, 2), pools[0], traces, pools[1])
    image = keras.Input((14, 14, 2))
    return keras.Model(image, inner(image)), pools, traces


def test_passes_average_over_regions_without_tracing_anew():
    model, pools, traces = pooling_net()
    x, alone = images(40, 14, 14, 2), []  # more than one of predict's batches
    for number in range(3):
        for pool in pools:
            pool.test_pass.assign(number)
        alone.append(says(model, x))
    for pool in pools:
        pool.test_pass.assign(0)
    one = averaged_passes(model, x, 1)
    np.testing.assert_allclose(one, alone[0], rtol=1e-4)
    count = traces.count
    three = averaged_passes(model, x, 3)
    np.testing.assert_allclose(three, np.mean(alone, axis=0), rtol=1e-4)
    np.testing.assert_array_equal(averaged_passes(model, x, 3), three)
    assert traces.count == count
    assert min(np.abs(alone[i] - alone[i - 1]).max() for i in range(3)) > 0.01
    np.testing.assert_array_equal(says(model, x), alone[0])


def test_a_failed_pass_leaves_the_model_as_it_was():
    model, pools, _ = pooling_net()
    with pytest.raises(ValueError):
        averaged_passes(model, images(2, 9, 9, 2), 3)
    assert [int(pool.test_pass) for pool in pools] == [0, 0]


def test_passes_want_a_layer_that_has_them():
    with pytest.raises(ValueError, match="passes=3 and net with 0 such layers"):
        averaged_passes(net((5, 6, 3)), images(2, 5, 6, 3), 3)
    with pytest.raises(ValueError, match="passes=0"):
        averaged_passes(pooling_net()[0], images(2, 14, 14, 2), 0)
