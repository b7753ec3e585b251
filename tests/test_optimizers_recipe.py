"""The comparison of optimizers: a small one, once, and what it refuses."""

import json
import pathlib

import pytest
from cvcourse.recipes import optimizers

from cvcourse import __main__ as command_line
from cvcourse import optimization
from cvcourse.errors import RunError, UsageError

SMALL = dict(
    optimizers=("sgd", "adamw", "lbfgs", "newton"),
    rates=(0.03, 0.3),
    model="linear",
    model_args={},
    limit=60,
    epochs=3,
    batch_size=16,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = optimizers.Config(**SMALL, workdir=str(tmp_path_factory.mktemp("optimizers")))
    return config, optimizers.main(config)


def test_it_is_a_recipe_with_every_optimizer():
    assert "optimizers" in command_line.recipes()
    assert set(optimizers.OPTIMIZERS) == {*optimization.OPTIMIZERS, *optimizers.FULL_BATCH}


def test_rates_are_those_of_the_grid_and_the_lowest(run):
    config, metrics = run
    for runs in (metrics["curves"], *metrics["surfaces"].values()):
        assert [*runs] == [*SMALL["optimizers"]]
        for name, row in runs.items():
            assert row["learning_rate"] in (
                (None,) if name in optimizers.FULL_BATCH else config.rates
            )
    alone = optimization.surface_path("sgd", optimization.SURFACES["ravine"], config.rates)
    assert alone == metrics["surfaces"]["ravine"]["sgd"]  # the same again
    for rate in config.rates:
        other = optimization.surface_path("sgd", optimization.SURFACES["ravine"], (rate,))
        assert sum(other["height"]) >= sum(alone["height"])


def test_paths_begin_at_the_start_and_follow_the_gradient(run):
    for where, surface in optimization.SURFACES.items():
        for row in run[1]["surfaces"][where].values():
            assert (row["x"][0], row["y"][0]) == pytest.approx(surface.start)
            assert row["height"][-1] < row["height"][0]
            last = surface.height(row["x"][-1], row["y"][-1])
            assert row["height"][-1] == pytest.approx(last)
    sgd = run[1]["surfaces"]["ravine"]["sgd"]
    x, y = optimization.SURFACES["ravine"].start
    step = x - sgd["learning_rate"] * x / 20, y - sgd["learning_rate"] * 2 * y
    assert (sgd["x"][1], sgd["y"][1]) == pytest.approx(step)
    newton = run[1]["surfaces"]["ravine"]["newton"]
    assert len(newton["x"]) == 2 and newton["height"][1] < 1e-10  # a quadratic: one step


def test_curves_are_losses_by_passes(run):
    curves = run[1]["curves"]
    starts = {(row["loss"][0], row["val_loss"][0]) for row in curves.values()}
    assert len(starts) == 1  # the same weights for each
    for row in curves.values():
        assert len(row["passes"]) == len(row["loss"]) == len(row["val_loss"]) == 4
        assert row["loss"][-1] < row["loss"][0]
        assert 0 <= row["val_accuracy"] <= 1
    assert curves["sgd"]["passes"] == [0, 1, 2, 3] and curves["lbfgs"]["passes"][3] >= 4


def test_report_shows_it_and_a_second_time_nothing_is_run(run, capsys):
    config, metrics = run
    workdir = pathlib.Path(config.workdir)
    kept = json.loads((workdir / "metrics.json").read_text())
    assert kept.items() <= json.loads(json.dumps(metrics)).items()
    page = (workdir / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 3
    assert f"{metrics['curves']['lbfgs']['val_loss'][-1]:.4f}" in page
    assert optimizers.main(config) == json.loads(json.dumps(metrics))
    assert "is finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": ()}, r"--rates expects one or more different values; received \(\)"),
        ({"optimizers": ("sgd", "sgd")}, "--optimizers expects one or more different values"),
        ({"optimizers": ("sdg",)}, "unknown --optimizers 'sdg': did you mean 'sgd'"),
        ({"model": "lenet5"}, "Hessian of up to 5,000 weights, but the model has"),
        ({"model_args": {"hiden": (2,)}}, "hiden"),
    ],
)
def test_what_it_refuses_before_it_writes(changes, message, tmp_path):
    workdir = tmp_path / "run"
    with pytest.raises(UsageError, match=message):
        optimizers.main(optimizers.Config(**{**SMALL, "workdir": str(workdir), **changes}))
    assert not workdir.exists()


def test_rates_that_all_diverge_are_a_clear_error():
    with pytest.raises(RunError, match="sgd diverges at every learning rate: use lower --rates"):
        optimization.surface_path("sgd", optimization.SURFACES["saddle"], (1e30,))


def test_an_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match="unknown optimizer 'sdg': did you mean 'sgd'"):
        optimization.surface_path("sdg", optimization.SURFACES["saddle"], (0.1,))
