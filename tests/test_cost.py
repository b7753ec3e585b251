"""Costs against published tables, and receptive fields against the gradient's reach."""

import keras
import numpy as np
import pytest

from cvcourse import models


def test_vgg16_is_the_lectures_table():
    """Activations as the course counts them, its sum corrected: 15.2 million values, not 24."""
    cost = models.cost("vgg16")
    assert cost.macs == 15_470_264_320
    assert cost.activations == 15_237_608
    assert cost.parameters == cost.trainable == 138_357_544
    assert cost[0].activations == 224 * 224 * 3
    first = cost[1]
    assert (first.parameters, first.macs) == (1_792, 27 * 64 * 224 * 224)
    assert first.output_shape == (224, 224, 64)


def test_resnet50_counts_statistics_apart():
    cost = models.cost("resnet50")
    assert (cost.trainable, cost.parameters) == (25_557_032, 25_610_152)
    assert cost.macs == 4_089_184_256


@pytest.mark.parametrize(
    ("name", "settings"),
    [("lenet5", {}), ("resnet20", {"depth": 14}), ("resnet18", {"depths": (1, 1)})],
)
def test_receptive_fields_are_where_the_gradient_is_not_zero(name, settings):
    """One value in the middle of the map, its gradient with respect to the image."""
    import tensorflow as tf

    side = 129
    shape = (side, side, models.builder_args(name)["input_shape"][-1])
    model = models.build(name, input_shape=shape, **settings)
    field = next(row for row in models.cost(model) if row.name == "features").receptive_field
    tap = keras.Model(model.input, model.get_layer("features").output)
    image = tf.constant(np.random.default_rng(0).normal(size=(1, *shape)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(image)
        features = tap(image)
        middle = features.shape[1] // 2
        value = tf.reduce_sum(features[0, middle, middle])
    touched = np.abs(tape.gradient(value, image)[0]).sum(-1) > 0
    reach = tuple(int(np.ptp(np.flatnonzero(touched.any(axis)))) + 1 for axis in (1, 0))
    assert reach == field


def test_what_follows_a_flattening_sees_all():
    rows = {row.name: row.receptive_field for row in models.cost("lenet5")}
    assert rows["c1"] == (5, 5)
    assert rows["features"] == (16, 16)
    assert rows["f6"] is None


def test_a_name_costs_no_memory_and_leaves_nothing_behind():
    models.cost("vgg16")
    net = models.build("lenet5")
    assert all(np.isfinite(weight).all() for weight in net.get_weights())
    assert net.count_params() == models.cost(net).parameters == 61_706


def test_refusals():
    with pytest.raises(ValueError, match="did you mean 'vgg1"):
        models.cost("vgg61")
    with pytest.raises(ValueError, match="images of any size"):
        models.cost(models.build("resnet20", input_shape=(None, None, 3)))
