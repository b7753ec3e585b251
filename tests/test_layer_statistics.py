"""Each layer's numbers against NumPy, models inside models, and the lecture's experiment."""

import json

import keras
import numpy as np
import pytest
from cvcourse.recipes import initialization

from cvcourse import models, training
from cvcourse.errors import UsageError
from cvcourse.layers import scaled_tanh

RNG = np.random.default_rng(0)


def named(rows):
    return {row.name: row for row in rows}


def dense_net():
    keras.utils.set_random_seed(0)
    x = image = keras.Input((6,))
    x = keras.layers.Dense(5, "tanh", name="squashed")(x)
    x = keras.layers.Dense(4, "relu", name="rectified")(x)
    return keras.Model(image, keras.layers.Dense(3, name="logits")(x))


def test_a_dense_net_against_numpy():
    net, x, y = dense_net(), 3 * RNG.normal(size=(7, 6)).astype("float32"), np.arange(7) % 3
    (w1, b1), (w2, b2), (w3, b3) = (layer.get_weights() for layer in net.layers[1:])
    b2 = np.array([0, 0, -99, 0], "float32")  # one unit is dead
    net.get_layer("rectified").set_weights([w2, b2])
    a1 = np.tanh(x @ w1 + b1)
    a2 = np.maximum(a1 @ w2 + b2, 0)
    scores = a2 @ w3 + b3
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    g3 = (p - np.eye(3)[y]) / 7
    g2 = g3 @ w3.T
    g1 = (g2 * (a2 > 0)) @ w2.T
    rows = named(training.layer_statistics(net, x, y))
    assert list(rows) == ["squashed", "rectified", "logits"]
    for row, a, g in zip(rows.values(), (a1, a2, scores), (g1, g2, g3), strict=True):
        assert row.shape == a.shape[1:]
        measured = (row.mean, row.std, row.gradient_mean, row.gradient_std, row.gradient_norm)
        truth = (a.mean(), a.std(), g.mean(), g.std(), np.sqrt((g**2).sum()))
        np.testing.assert_allclose(measured, truth, rtol=1e-4, atol=1e-7)
    assert rows["squashed"].saturated == pytest.approx((abs(a1) > np.sqrt(0.95)).mean(), abs=1e-6)
    assert 0 < rows["squashed"].saturated < 1
    assert rows["rectified"].dead == (a2 == 0).all(axis=0).mean() >= 0.25
    assert rows["logits"].saturated is None is rows["logits"].dead


def test_without_labels_no_gradient():
    rows = training.layer_statistics(dense_net(), RNG.random((2, 6)))
    assert {(row.gradient_mean, row.gradient_std, row.gradient_norm) for row in rows} == {
        (None,) * 3
    }


ACTIVATIONS = {  # layer: (saturated share, dead share) of its outputs for -9, 0, 9
    "sigmoid": (keras.layers.Activation("sigmoid"), 2 / 3, None),
    "scaled_tanh": (keras.layers.Activation(scaled_tanh), 2 / 3, None),
    "relu": (keras.layers.ReLU(), None, 2 / 3),
    "relu6": (keras.layers.ReLU(6), None, 2 / 3),
    "activation": (keras.layers.Activation("relu"), None, 2 / 3),
    "leaky": (keras.layers.ReLU(negative_slope=0.1), None, None),
    "linear": (keras.layers.Activation("linear"), None, None),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_saturates_and_what_dies(name):
    layer, saturated, dead = ACTIVATIONS[name]
    units = keras.Input((3,))
    (row,) = training.layer_statistics(
        keras.Model(units, layer(units)), np.array([[-9, 0, 9]], "float32")
    )
    assert row.saturated == pytest.approx(saturated)
    assert row.dead == pytest.approx(dead)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_gated_layers_output_is_not_its_activations(kind):
    """h = o tanh(c) beyond 0.975 says little of tanh(c), and below it nothing."""
    steps = keras.Input((4, 3))
    layer = getattr(keras.layers, kind)(5, kernel_initializer=keras.initializers.Constant(9.0))
    (row,) = training.layer_statistics(keras.Model(steps, layer(steps)), np.ones((2, 4, 3), "f4"))
    assert row.saturated is row.dead is None
    simple = keras.layers.SimpleRNN(5, kernel_initializer=keras.initializers.Constant(9.0))
    (row,) = training.layer_statistics(keras.Model(steps, simple(steps)), np.ones((2, 4, 3), "f4"))
    assert row.saturated == 1.0  # h is its tanh


def test_a_feature_map_is_dead_where_it_is_0_everywhere():
    image = keras.Input((2, 2, 1))
    conv = keras.layers.Conv2D(3, 1, activation="relu")
    model = keras.Model(image, conv(image))
    conv.set_weights([np.array([1, -1, 0.0]).reshape(1, 1, 1, 3), np.array([0, 0.5, -1])])
    pixels = np.zeros((2, 2, 2, 1), "float32")
    pixels[1, 1, 1] = 1
    (row,) = training.layer_statistics(model, pixels)
    assert row.dead == pytest.approx(1 / 3)


def test_models_inside_models_are_opened_and_left_as_they_were(tmp_path):
    inner = models.build("resnet20", depth=8, input_shape=(8, 8, 3), num_classes=4)
    image = keras.Input((8, 8, 3))
    whole = keras.Model(image, inner(keras.layers.Rescaling(1 / 255, name="scale")(image)))
    whole.save(tmp_path / "whole.keras")
    whole = keras.models.load_model(tmp_path / "whole.keras")
    x = RNG.integers(0, 256, (3, 8, 8, 3)).astype("float32")
    before = whole(x)
    rows = training.layer_statistics(whole, x, np.arange(3))
    flat = named(training.layer_statistics(inner, x / 255, np.arange(3)))
    assert len(rows) == len(flat) + 1
    for name, row in flat.items():
        assert named(rows)[f"resnet20/{name}"].std == pytest.approx(row.std, rel=1e-4)
    assert rows[-1].name == "resnet20/logits"
    np.testing.assert_array_equal(whole(x), before)
    assert not any("call" in vars(layer) for layer in whole.get_layer("resnet20").layers)


def test_frozen_and_idle_layers_have_a_gradient_too():
    net = dense_net()
    net.trainable = False
    rows = training.layer_statistics(net, RNG.random((2, 6)), np.array([0, 1]))
    assert all(row.gradient_norm > 0 for row in rows)
    idle = keras.Model(net.input, [net.output, net.get_layer("squashed").output])
    rows = named(
        training.layer_statistics(
            idle, RNG.random((2, 6)), np.array([0, 1]), loss=lambda y, both: sum(both[1][0])
        )
    )
    assert rows["squashed"].gradient_norm > 0 == rows["logits"].gradient_norm


# The standard deviations of layer 10 in the lecture, for one draw.
LECTURE = {
    "tanh, 0.01": 2.9e-7,
    "tanh, 1": 0.98,
    "tanh, 1/sqrt(n)": 0.23,
    "relu, 1/sqrt(n)": 2.9e-2,
    "relu, sqrt(2/n)": 0.76,
}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("initialization")
    picture = folder / "deep" / "picture.png"
    config = initialization.Config(output=str(picture), workdir=str(folder / "run"))
    return picture, initialization.main(config)


@pytest.mark.slow
def test_the_lecture_s_experiment(experiment):
    picture, statistics = experiment
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert {name: columns["std"][-1] for name, columns in statistics.items()} == pytest.approx(
        LECTURE, rel=0.03
    )
    assert all(len(column) == 10 for columns in statistics.values() for column in columns.values())
    assert json.loads(json.dumps(statistics)) == statistics


@pytest.mark.slow
def test_the_run_directory_has_the_numbers_and_a_report(experiment, monkeypatch, capsys):
    picture, statistics = experiment
    run = picture.parents[1] / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics.keys() == {"networks", "seed", "machine", "versions"}
    assert metrics["networks"] == statistics
    page = (run / "report.html").read_text()
    assert page.count("data:image/svg+xml") == 1
    assert page.count("<td>tanh, 0.01</td>") == 3  # no dead units in its tables
    last = statistics["tanh, 0.01"]["std"][-1]
    assert f"<td>{last:.1e}</td></tr>" in page
    monkeypatch.setattr(initialization, "build", None)  # nothing is done again
    config = initialization.Config(output=str(picture), workdir=str(run))
    assert initialization.main(config) == statistics
    assert capsys.readouterr().out.startswith(f'{run} is finished: {{"tanh, 0.01": 2.')


@pytest.mark.slow
def test_large_weights_saturate_and_small_ones_starve_the_first_layer(experiment):
    statistics = experiment[1]
    assert min(statistics["tanh, 1"]["saturated"]) > 0.9
    assert max(statistics["tanh, 1/sqrt(n)"]["saturated"]) < 0.05
    assert statistics["tanh, 0.01"]["gradient_std"][0] == pytest.approx(1.4e-6, rel=0.05)
    assert statistics["relu, sqrt(2/n)"]["gradient_std"][0] == pytest.approx(1, abs=0.3)
    assert max(statistics["relu, sqrt(2/n)"]["dead"]) < 0.2


@pytest.mark.slow
def test_other_draws_differ_by_a_tenth_behind_ten_relus(tmp_path):
    runs = [
        initialization.main(
            initialization.Config(
                output=str(tmp_path / "p.png"), seed=seed, workdir=str(tmp_path / str(seed))
            )
        )
        for seed in range(6)
    ]
    for name, value in LECTURE.items():
        last = np.log([run[name]["std"][-1] for run in runs])
        spread = 0.12 if "relu" in name else 0.01  # of one draw, as 150 draws in NumPy gave it
        assert abs(last.mean() - np.log(value)) < 3 * spread, name


def test_a_picture_needs_a_known_form():
    with pytest.raises(UsageError, match=r"\.svg, \.png or \.pdf"):
        initialization.main(initialization.Config(output="a.gif"))
