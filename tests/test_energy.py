"""Energy and roofline by hand, and their sums over all families."""

import json

import keras
import numpy as np
import pytest
from cvcourse.recipes import energy as recipe_energy
from keras import layers
from networks import SMALL, small

from cvcourse import models, training
from cvcourse.compression import energy, roofline

FAST = ("lenet5", "mobilenet", "vit_b_16")


def dense_net():
    """100 inputs, 10 outputs with bias, batch norm, and a pool before them."""
    image = keras.Input((4, 4, 25))
    x = layers.Flatten()(layers.MaxPooling2D(2, name="pool")(image))
    x = layers.BatchNormalization(name="bn")(x)
    return keras.Model(image, layers.ReLU()(layers.Dense(10, name="dense")(x)))


def test_a_dense_layer_by_hand():
    """Horowitz 2014, figure 1.1.9: MULT 3.7, ADD 0.9, SRAM 5, DRAM 640 pJ."""
    rows = {row.name: row for row in energy(dense_net())}
    assert [*rows] == ["pool", "bn", "dense"]
    dense = rows["dense"]
    assert (dense.macs, dense.weights, dense.activations) == (1000, 1010, 110)
    picojoules = [1000 * 3.7, 1000 * 0.9, 1010 * 640, 110 * 5]
    found = [dense.multiply, dense.add, dense.weight_access, dense.activation_access]
    np.testing.assert_allclose(found, np.array(picojoules) * 1e-12)
    assert dense.total == pytest.approx(651_550e-12)
    assert (rows["pool"].total, rows["bn"].total) == pytest.approx((500 * 5e-12, 400 * 640e-12))


@pytest.mark.parametrize(
    ("settings", "picojoules"),
    [
        ({"weights_in": "sram"}, [3700, 900, 5050, 550]),
        ({"activations_in": "dram"}, [3700, 900, 646_400, 70_400]),
        ({"batch_size": 4}, [3700, 900, 161_600, 550]),
        ({"bits": 16}, [1100, 400, 323_200, 275]),
        ({"bits": 8}, [200, 30, 161_600, 137.5]),
    ],
)
def test_settings_of_energy(settings, picojoules):
    dense = energy(dense_net(), **settings)[-1]
    found = [dense.multiply, dense.add, dense.weight_access, dense.activation_access]
    np.testing.assert_allclose(found, np.array(picojoules) * 1e-12)


def test_a_roofline_by_hand():
    """The ridge of 100 GFLOP/s and 10 GB/s is at 10 FLOP/byte."""
    pool, _, dense = roofline(dense_net(), peak=1e11, bandwidth=1e10)
    assert dense.bytes == 4 * (1010 + 110)
    assert dense.intensity == pytest.approx(2000 / 4480)
    assert dense.attainable == pytest.approx(1e10 * 2000 / 4480)
    assert dense.seconds == pytest.approx(4480 / 1e10)
    assert dense.bound == pool.bound == "memory"
    assert pool.intensity == 0
    *_, dense = roofline(dense_net(), peak=1e11, bandwidth=1e10, batch_size=1000, bits=8)
    assert dense.bytes == 1010 + 1000 * 110
    assert (dense.bound, dense.attainable) == ("compute", 1e11)
    assert dense.seconds == pytest.approx(2 * 1000 * 1000 / 1e11)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in SMALL]
)
def test_sums_are_those_of_the_cost(name):
    net = small(name)
    cost, rows, bounds = models.cost(net), energy(net), roofline(net, peak=1e12, bandwidth=1e11)
    assert [row.name for row in rows] == [row.name for row in bounds]
    for row in bounds:
        assert row.seconds == pytest.approx(max(row.bytes / 1e11, 2 * row.macs / 1e12))
    assert sum(row.macs for row in rows) == cost.macs
    assert sum(row.weights for row in rows) == cost.parameters
    assert sum(row.total for row in rows) == pytest.approx(
        cost.macs * 4.6e-12
        + cost.parameters * 640e-12
        + sum(row.activations for row in rows) * 5e-12
    )
    written = sum(row.activations for row in cost[1:])
    assert sum(row.activations for row in rows) > written


def test_nested_and_shared_layers():
    """A shared layer is fetched at each call, a nested model is opened."""
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="twice")], name="inner")
    x = keras.Input((4,))
    rows = energy(keras.Model(x, inner(inner(x))))
    assert [(row.name, row.weights, row.macs) for row in rows] == 2 * [("inner/twice", 20, 16)]


def test_a_wrapped_layer_costs_what_the_layer_costs():
    conv = layers.SpectralNormalization(layers.Conv2D(6, 3), name="wrapped")
    image = keras.Input((5, 5, 2))
    net = keras.Model(image, conv(image))
    assert models.cost(net).macs == energy(net)[0].macs == 3 * 3 * 2 * 6 * 3 * 3


def test_what_is_refused():
    net = dense_net()
    with pytest.raises(ValueError, match="unknown memory 'flash': choose from dram, sram"):
        energy(net, weights_in="flash")
    with pytest.raises(ValueError, match="unknown bits 4: choose from 32, 16, 8"):
        energy(net, bits=4)
    with pytest.raises(ValueError, match="batch_size must be at least 1; received 0"):
        energy(net, batch_size=0)
    with pytest.raises(ValueError, match="peak must be positive; received 0"):
        roofline(net, peak=0, bandwidth=1)
    with pytest.raises(ValueError, match="bandwidth must be positive; received nan"):
        roofline(net, peak=1, bandwidth=float("nan"))
    any_size = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3)])
    with pytest.raises(ValueError, match="takes images of any size"):
        energy(any_size)

    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="needs a functional or Sequential model"):
        energy(Own())


def test_the_recipe_on_a_network_of_the_registry(tmp_path, capsys):
    """Han et al. 2015: most of AlexNet's energy is for its dense layers' weights in DRAM."""
    metrics = recipe_energy.main(recipe_energy.Config(workdir=str(tmp_path / "run")))
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()).items() <= metrics.items()
    cost = models.cost("alexnet")
    assert (metrics["macs"], metrics["weights"]) == (cost.macs, cost.parameters)
    rows = metrics["layers"]
    assert sum(row["energy"] for row in rows.values()) == pytest.approx(metrics["energy"])
    assert sum(metrics["shares"].values()) == pytest.approx(1)
    assert metrics["shares"]["fetch weights"] > 0.9
    bound = {name for name, row in rows.items() if row["bound"] == "memory" and row["macs"]}
    assert bound == {"fc6", "fc7", "logits"} and metrics["memory_bound"] == 3
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("fc6") and line.endswith("0.50  memory") for line in lines)
    assert "The layer with the most energy is fc6" in (tmp_path / "run/report.html").read_text()
    again = recipe_energy.main(recipe_energy.Config(workdir=str(tmp_path / "run")))
    assert again == metrics


def test_the_recipe_on_a_trained_network(tmp_path):
    net = models.with_preprocessing(small("lenet5"), (28, 28, 1), mean=[0.0], variance=[1.0])
    path = tmp_path / "model.keras"
    training.save_model(net, path, [str(i) for i in range(10)])
    settings = {"source": str(path), "batch_size": 8, "bits": 8, "workdir": str(tmp_path / "run")}
    metrics = recipe_energy.main(recipe_energy.Config(**settings))
    assert metrics["macs"] == models.cost(net).macs
    assert metrics["layers"]["c1"]["weight_access"] == pytest.approx(156 / 8 * 160e-12)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--bits=7"], "unknown bits 7: choose from 32, 16, 8"),
        (["--model=alexnett"], "did you mean 'alexnet'?"),
        (["--source=nowhere"], "--source=nowhere: no such run directory, .keras or .cvz file"),
        (["--source=.", "--input_shape=8,8,3"], "--input_shape are for a new network"),
        (["--source=.", "--model=lenet5"], "--model, --model_args and --input_shape are for"),
        (["--peak=0"], "--peak expects a number above 0"),
    ],
)
def test_what_the_recipe_refuses(flags, line, tmp_path, capsys):
    assert recipe_energy.cli([*flags, f"--workdir={tmp_path / 'run'}"]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
