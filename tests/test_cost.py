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


def test_a_cost_prints_its_totals_and_a_row_for_each_stage():
    text = repr(models.cost("resnet50"))
    lines = text.splitlines()
    assert lines[0].split() == ["parameters", "25,610,152", "25.6", "M"]
    assert lines[1].split() == ["trainable", "25,557,032", "25.6", "M"]
    assert lines[2].split() == ["multiply-accumulates", "4,089,184,256", "4.09", "G"]
    assert lines[3].split()[0] == "activations"
    rows = [line.split()[0] for line in lines[6:]]
    stages = ["stem", "stage1", "stage2", "stage3", "stage4"]
    assert rows == ["image", *stages, "features", "pool", "logits"]
    assert str(models.cost("resnet50")) == text
    # 64 layers; He et al., table 1: 14x14
    assert lines[10].split()[:5] == ["stage3", "64", "layers", "14x14x1024", "7,098,368"]


def test_the_rows_of_a_printed_cost_add_up():
    for name in ("vit_b_16", "inception_v3"):
        cost = models.cost(name)
        rows = cost._table()[1:]
        assert len(rows) <= 40
        for column, total in ((3, cost.trainable), (4, cost.macs), (5, cost.activations)):
            assert sum(int(row[column].replace(",", "")) for row in rows) == total


def test_a_cost_of_layers_that_keras_names_is_cut_in_the_middle():
    x = image = keras.Input((4,))
    for _ in range(60):
        x = keras.layers.Dense(4)(x)
    rows = models.cost(keras.Model(image, x))._table()[1:]
    assert len(rows) == 41
    assert rows[20][0] == "…"


def test_a_cost_in_a_notebook_escapes_names():
    image = keras.Input((4,), name="image")
    net = keras.Model(image, keras.layers.Dense(2, name="a<b>")(image))
    page = models.cost(net)._repr_html_()
    assert page.startswith("<p>parameters 10 (10), trainable 10 (10), multiply-accumulates 8 (8)")
    assert "<td>a&lt;b&gt;</td>" in page
    assert page.count("<tr>") == page.count("</tr>") == 3


def test_refusals():
    with pytest.raises(ValueError, match="did you mean 'vgg1"):
        models.cost("vgg61")
    with pytest.raises(ValueError, match="images of any size"):
        models.cost(models.build("resnet20", input_shape=(None, None, 3)))
