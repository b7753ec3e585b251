"""Sweeps: spaces, stopping rules, oracles that lose nothing, and the recipe on a few digits."""

import csv
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import resource
import shlex
import shutil
import signal
import subprocess
import sys

import keras
import keras_tuner
import numpy as np
import pytest
from crash import children_of, started, until
from cvcourse.recipes import random_against_grid, train, tune
from cvcourse.recipes.benchmarks import tune as bench_tune

from cvcourse import models, recipe, tuning
from cvcourse.errors import Interrupted, RunError, UsageError
from cvcourse.tuning import sweep_report
from cvcourse.tuning import trial as trial_module

pytestmark = pytest.mark.usefixtures("undrawn")

COMMON = train.Config(augment=("shift",))


# --- spaces ---


def test_every_part_of_the_ready_made_space_is_named_by_the_recipe():
    assert tuple(tuning.PARTS) == tune.PARTS


def test_values_lie_in_their_ranges_and_the_config_takes_them(tmp_path):
    space = tuning.default_space(tune.PARTS)
    config = dataclasses.replace(COMMON, model="mobilenet_v2")
    asked = tuning.register(space, config)
    settings = {"objective": "val_loss", "trials": 40, "epochs": 1, "seed": 3, "retries": 0}
    oracle = tuning.oracle("random", asked, tmp_path, **settings)
    trials = [tuning.next_trial(oracle, f"tuner{i}") for i in range(40)]
    found = [space(trial.hyperparameters, config) for trial in trials]
    assert {one.optimizer for one in found} == {"nesterov", "adamw"}
    for one in found:
        recipe.check(one)
        low, high = (1e-3, 1) if one.optimizer == "nesterov" else (1e-5, 1e-2)
        assert low <= one.learning_rate <= high
        assert 1e-5 <= one.weight_decay <= 1e-2
        assert 0 <= one.dropout <= 0.6
    rates = np.log10([one.learning_rate for one in found if one.optimizer == "nesterov"])
    assert np.std(rates) > 0.6  # log-uniform over three powers of ten: 3 / sqrt(12) = 0.87
    assert {one.model_args.get("width", 1.0) for one in found} == {1.0, 0.75, 0.5}
    assert {one.augment for one in found} == {("shift",), (), ("shift", "cutout")}


@pytest.mark.parametrize(
    ("model", "width", "depth"),
    [
        ("resnet20", {}, {"depth": 14}),
        ("resnet56", {}, {"depth": 26}),  # n of 6n + 2: 9 to 4
        ("mlp", {"hidden": (256, 128)}, {}),
        ("densenet_bc100_12", {"growth_rate": 6}, {"depths": (8, 8, 8)}),
        ("vgg16_cifar", {"width": 0.5}, {}),
        ("shufflenet_v2_x1_0", {"filters": (58, 112, 232, 512)}, {"depths": (2, 4, 2)}),
        ("convnext_tiny", {"widths": (48, 96, 192, 384)}, {"depths": (2, 2, 4, 2)}),
        ("lenet5", {}, {}),
    ],
)
def test_width_and_depth_are_halved(model, width, depth):
    config = dataclasses.replace(COMMON, model=model)
    for name, expected in (("width", width), ("depth", depth)):
        space = tuning.default_space([name])
        hp = keras_tuner.HyperParameters()
        space(hp, config)
        hp.values[name] = 0.5
        assert space(hp, config).model_args == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", models.REGISTRY)
def test_every_network_builds_at_the_narrowest_and_shallowest(name):
    hp = keras_tuner.HyperParameters()
    hp.values = {"width": 0.5, "depth": 0.5}
    tuned = tuning.default_space(["width", "depth"])(hp, dataclasses.replace(COMMON, model=name))
    usual = models.build(name).count_params()
    assert models.build(name, **tuned.model_args).count_params() <= usual


def test_spaces_that_are_none():
    with pytest.raises(ValueError, match="unknown part of a space 'rate'"):
        tuning.default_space(["rate"])
    with pytest.raises(ValueError, match="the search space is empty"):
        tuning.register(lambda hp, config: config, COMMON)
    with pytest.raises(ValueError, match="must return a config"):
        tuning.register(lambda hp, config: hp.Choice("a", [1, 2]), COMMON)


# --- stopping ---


def test_the_median_rule():
    rule = tuning.RULES["median"]
    others = [[0.1, 0.5], [0.2, 0.6], [0.3, 0.7]]
    assert rule([0.1], others)
    assert not rule([0.2], others)
    assert not rule([0.1, 0.45], others)  # means .3 .4 .5: its best is above the median
    assert rule([0.1, 0.39], others)
    assert not rule([0.0], others[:2])  # too few to compare with
    assert not rule([0.0, 0.0, 0.0], others)  # none of them is that long


def test_halving():
    rule = tuning.RULES["halving"]
    others = [[0.1] * 9, [0.2] * 9, [0.3] * 9, [0.4] * 9, [0.5] * 9]
    assert rule([0.39], others)  # two of six go on, and two are better
    assert not rule([0.41], others)
    assert not rule([0.39, 0.39], others)  # no rung at 2
    assert rule([0.1, 0.1, 0.39], others)
    assert not rule([0.0], others[:1])


# --- from coarse to fine ---


def asked():
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-4, 1.0, sampling="log")
    hp.Choice("size", [8, 16, 32])
    hp.Int("depth", 1, 9)
    hp.Float("dropout", 0.0, 0.6, step=0.1)
    return hp


def trial(score, **chosen):
    hp = asked()
    hp.values = chosen
    made = keras_tuner.engine.trial.Trial(hp, f"{score}")
    made.score = score
    return made


def test_ranges_close_in_on_the_best_quarter():
    trials = [trial(0.1 * i, rate=10.0 ** (-i / 3), size=8, depth=i, dropout=0.1) for i in range(9)]
    trials += [trial(0.95, rate=1e-2, size=32, depth=4, dropout=0.3), trial(None, rate=1.0)]
    good = tuning.good_ones(trials, "val_accuracy")
    assert [one.score for one in good] == pytest.approx([0.95, 0.8, 0.7])
    worst = tuning.good_ones(trials, "val_loss")
    assert [one.score for one in worst] == pytest.approx([0, 0.1, 0.2])
    ranges = tuning.ranges_of(asked().space, good)
    # rates 10**-2, -8/3 and -7/3: a quarter of their range more at each end
    assert np.log10(ranges["rate"]) == pytest.approx([-8 / 3 - 1 / 6, -2 + 1 / 6])
    assert ranges["size"] == [8, 32]
    assert ranges["depth"] == (3, 9)
    assert ranges["dropout"] == pytest.approx((0.0, 0.4))

    def space(hp, config):
        return hp.Float("rate", 1e-4, 1.0, sampling="log", default=1.0), hp.Choice("size", [8, 16])

    hp = keras_tuner.HyperParameters()
    tuning.narrowed(space, {"rate": (0.01, 0.1), "size": [16]})(hp, None)
    rate, size = hp.space
    assert (rate.min_value, rate.max_value, rate.default) == (0.01, 0.1, 0.01)
    assert size.values == [16]


def test_a_best_value_at_the_border_is_said_with_the_range_to_try():
    best = trial(0.5, rate=0.9, size=8, depth=5, dropout=0.6)
    (said,) = tuning.at_the_border(asked().space, best)
    assert said.startswith(
        "rate: the best value, 0.9, lies near the border of its range, 0.0001 to"
    )
    assert said.endswith("try 0.01 to 100.")
    assert not tuning.at_the_border(asked().space, trial(0.5, rate=0.01, depth=5))


# --- the oracles' files ---


def made(folder, kind="random", **options):
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-3, 1.0, sampling="log")
    hp.Choice("size", [8, 16, 32])
    settings = {"objective": "val_loss", "trials": 6, "epochs": 9, "seed": 0, "retries": 0}
    return tuning.oracle(kind, hp, folder, **settings | options)


def run(oracle, count):
    """Run up to `count` trials whose score is their rate; returns their ids."""
    done = []
    while len(done) < count and (trial := tuning.next_trial(oracle)):
        rate = trial.hyperparameters.values["rate"]
        tuning.end_trial(oracle, trial, tuning.Outcome({"val_loss": rate, "epochs": 1}, 1))
        done.append(trial.trial_id)
    return done


def values(oracle):
    trials = oracle.trials.values()
    return {trial.trial_id: (trial.hyperparameters.values, trial.score) for trial in trials}


@pytest.mark.parametrize("kind", ["random", "grid", "bayesian", "hyperband"])
def test_an_oracle_goes_on_as_if_it_had_not_been_killed(tmp_path, kind):
    for name in ("peace", "war"):
        (tmp_path / name).mkdir()
    whole = made(tmp_path / "peace", kind)
    run(whole, 6)
    first = made(tmp_path / "war", kind)
    run(first, 2)
    began = tuning.next_trial(first)  # and is killed here
    second = made(tmp_path / "war", kind)
    again = tuning.next_trial(second)
    assert again.trial_id == began.trial_id
    assert again.hyperparameters.values == began.hyperparameters.values
    rate = again.hyperparameters.values["rate"]
    tuning.end_trial(second, again, tuning.Outcome({"val_loss": rate, "epochs": 1}, 1))
    run(second, 3)
    assert values(second) == values(whole)
    assert [trial.status for trial in second.trials.values()] == ["COMPLETED"] * 6
    third = made(tmp_path / "war", kind)
    assert values(third) == values(second)
    if kind == "random":
        assert tuning.next_trial(third) is None
        assert run(made(tmp_path / "war", kind, trials=8), 9) == ["6", "7"]


@pytest.mark.slow
def test_a_bayesian_oracle_keeps_its_random_numbers(tmp_path):
    """They decide which of the optima that its model finds is the next trial's."""

    def wavy(oracle, count):
        found = []
        while len(found) < count:
            trial = tuning.next_trial(oracle)
            loss = np.sin(9 * np.log10(trial.hyperparameters.values["rate"]))
            tuning.end_trial(oracle, trial, tuning.Outcome({"val_loss": loss, "epochs": 1}, 1))
            found.append(trial.hyperparameters.values)
        return found

    for name in ("peace", "war"):
        (tmp_path / name).mkdir()
    whole = wavy(made(tmp_path / "peace", "bayesian", trials=8), 8)
    killed = []
    for count in (5, 1, 2):
        killed += wavy(made(tmp_path / "war", "bayesian", trials=8), count)
    assert killed == whole


@pytest.mark.parametrize("size", [0, 20])
def test_a_damaged_trial_is_set_aside_and_done_again(tmp_path, capsys, size):
    run(made(tmp_path), 6)
    before = values(made(tmp_path))
    path = tmp_path / "trials" / "3" / "trial.json"
    path.write_bytes(path.read_bytes()[:size])
    again = made(tmp_path)
    assert "trial.json is damaged" in capsys.readouterr().err
    assert (path.parent / "trial.json.damaged").exists()
    assert run(again, 9) == ["3"]
    assert values(made(tmp_path)) == before


def test_a_damaged_list_of_what_trials_have_in_common_is_named(tmp_path):
    path = tmp_path / tuning.COMMON
    path.write_text('{"data": "abc", "keras": "3"}')
    tuning.require_common(tmp_path, {"data": "abc"})
    with pytest.raises(UsageError, match="was started with data abc, but data is abd here"):
        tuning.require_common(tmp_path, {"data": "abd"})
    for damaged in ('{"data": "ab', '{"keras": "3"}'):
        path.write_text(damaged)
        with pytest.raises(RunError, match=f"^{path} is damaged: .*; remove it, and the sweep's"):
            tuning.require_common(tmp_path, {"data": "abc"})


def test_a_damaged_oracle_file_has_an_older_one_behind_it(tmp_path, capsys):
    run(made(tmp_path), 3)
    before = values(made(tmp_path))
    (tmp_path / "oracle.json").write_text('{"ongoing_trials"')
    again = made(tmp_path)
    assert "oracle.json is damaged" in capsys.readouterr().err
    run(again, 9)
    assert len(again.trials) == 6
    assert {key: values(again)[key] for key in before} == before


def test_another_space_is_refused_and_the_change_is_named(tmp_path):
    oracle = made(tmp_path)
    run(oracle, 1)
    tuning.keep_space(tmp_path, oracle.hyperparameters)
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-2, 1.0, sampling="log")
    hp.Choice("size", [8, 16, 32])
    settings = {"objective": "val_loss", "trials": 6, "epochs": 9, "seed": 0, "retries": 0}
    with pytest.raises(
        UsageError, match=r"differs in rate \(there 0.001 to 1.0, log, here 0.01 to 1.0, log\)"
    ):
        tuning.oracle("random", hp, tmp_path, **settings)


@pytest.mark.parametrize("text", ['{"rate": 1}', '{"rate": ["log"]}', '{"rate": [{"x": 1}]}'])
def test_a_file_that_holds_no_space_is_set_aside(tmp_path, capsys, text):
    (tmp_path / "space.json").write_text(text)
    tuning.require_same_space(tmp_path, asked())
    assert (tmp_path / "space.json.damaged").read_text() == text
    assert "space.json is not a search space: " in capsys.readouterr().err


def test_a_file_of_another_oracle_is_named_with_the_remedy(tmp_path):
    run(made(tmp_path), 3)
    (tmp_path / "oracle.json").write_text('{"score": 1}')
    with pytest.raises(RunError, match=r"'trials'; remove it, and oracle\.older\.json is used$"):
        made(tmp_path)
    (tmp_path / "oracle.json").unlink()
    oracle = made(tmp_path)
    run(oracle, 6)
    assert [trial.status for trial in oracle.trials.values()] == ["COMPLETED"] * 6


def test_failures_do_not_end_a_sweep(tmp_path):
    oracle = made(tmp_path)
    while trial := tuning.next_trial(oracle):
        tuning.end_trial(oracle, trial, tuning.Outcome(reason="the loss became nan"))
    assert [trial.status for trial in made(tmp_path).trials.values()] == ["FAILED"] * 6
    assert oracle.trials["0"].message == "the loss became nan"


@pytest.mark.parametrize("kind", ["random", "grid", "bayesian"])
def test_failed_trials_are_tried_again(tmp_path, kind):
    first = made(tmp_path, kind)
    reasons = ["", "out of memory", "", "its process was killed", "", ""]
    for reason in reasons:
        trial = tuning.next_trial(first)
        rate = trial.hyperparameters.values["rate"]
        done = tuning.Outcome({"val_loss": rate, "epochs": 1}, 1)
        tuning.end_trial(first, trial, tuning.Outcome(reason=reason) if reason else done)
    before = {key: found for key, (found, _) in values(first).items()}
    again = made(tmp_path, kind)
    assert again.retry_failed() == 2
    again = made(tmp_path, kind)  # killed right after
    assert again.retry_failed() == 0
    assert run(again, 9) == ["1", "3"]
    after = values(made(tmp_path, kind))
    assert {key: found for key, (found, _) in after.items()} == before
    assert all(score == found["rate"] for found, score in after.values())
    assert tuning.next_trial(made(tmp_path, kind)) is None
    assert all(not trial.message for trial in again.trials.values())


def test_a_file_of_another_trial_is_set_aside(tmp_path, capsys):
    run(made(tmp_path), 6)
    before = values(made(tmp_path))
    (tmp_path / "trials" / "2" / "trial.json").write_text('{"test_accuracy": 0.5}')
    other = (tmp_path / "trials" / "4" / "trial.json").read_text()
    (tmp_path / "trials" / "3" / "trial.json").write_text(other)
    assert [trial.trial_id for trial in tuning.kept_trials(tmp_path)] == ["0", "1", "4", "5"]
    said = capsys.readouterr().err
    assert "trial.json is not a file of trial 2: KeyError: " in said
    assert "it belongs to trial '4': set aside as trial.json.damaged" in said
    assert run(made(tmp_path), 9) == ["3", "2"]
    assert values(made(tmp_path)) == before


def test_starts_in_vain_are_counted(tmp_path, capsys):
    assert [tuning.count_starts(tmp_path) for _ in range(3)] == [0, 1, 2]
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "step-1.npz").touch()
    assert [tuning.count_starts(tmp_path) for _ in range(2)] == [0, 1]
    for foreign in ('{"count": "many", "progress": []}', '{"count"', "[]"):
        (tmp_path / "starts.json").write_text(foreign)
        assert [tuning.count_starts(tmp_path) for _ in range(2)] == [0, 1]
        assert capsys.readouterr().err.count("starts.json is damaged") == 1


# --- the recipe ---


def space(hp, config):
    """Rates of which the last lets the loss become infinite."""
    rate = hp.Choice("learning_rate", [0.3, 0.1, 0.03, 1e9])
    return dataclasses.replace(config, learning_rate=rate, batch_size=hp.Choice("batch_size", [32]))


@pytest.fixture
def config(tmp_path):
    return tune.Config(
        limit=150, epochs=2, trials=4, stop="none", oracle="grid", workdir=str(tmp_path / "sweep")
    )


def test_a_sweep_and_its_winner(config, tmp_path, capsys):
    metrics = tune.main(config, space)
    sweep = pathlib.Path(config.workdir)
    assert json.loads((sweep / "metrics.json").read_text()).items() <= metrics.items()
    rows = _rows(config)
    assert [float(row["learning_rate"]) for row in rows] == [0.3, 0.1, 0.03, 1e9]
    assert [row["status"] for row in rows] == ["completed"] * 3 + ["failed"]
    assert "training stopped" in rows[3]["reason"]
    assert (metrics["trials"], metrics["failed"], metrics["epochs"]) == (4, 1, 6)
    scores = [float(row["val_accuracy"] or 0) for row in rows]
    assert metrics["val_accuracy"] == max(scores)
    assert "The test split was not used" in (sweep / "report.html").read_text()
    printed = capsys.readouterr().out
    assert "augmentation" not in printed  # that is in the trials' logs

    best = recipe.parse(train.Config, [f"--config={sweep / 'best.json'}"])
    again = train.main(dataclasses.replace(best, workdir=str(tmp_path / "winner")))
    assert again["val_accuracy"] == pytest.approx(metrics["val_accuracy"], abs=1e-6)
    assert again["best_epoch"] == metrics["best_epoch"]
    theirs = (sweep / "trials" / metrics["best_trial"] / "run" / "history.csv").read_text()
    assert (tmp_path / "winner" / "history.csv").read_text() == theirs
    assert again["test_accuracy"] is not None

    assert tune.main(config, space) == metrics
    assert "--extend --trials=8 continues it" in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_sweep_ends_as_one_in_peace(config, monkeypatch):
    tune.main(config, space)
    war = dataclasses.replace(config, workdir=config.workdir + "-war")
    begun = []
    fit = train.fit

    def killed(model, setting, dataset, run, **options):
        begun.append(run.path.parent.name)
        if len(begun) in (2, 4):
            raise KeyboardInterrupt("terminated")
        return fit(model, setting, dataset, run, **options)

    monkeypatch.setattr(train, "fit", killed)
    for _ in range(2):
        with pytest.raises(Exception, match=r"stopped in trial \d; resume with: .*tune"):
            tune.main(war, space)
    tune.main(war, space)
    assert begun == ["0", "1", "1", "2", "2", "3"]
    assert _curves(config, "012") == _curves(war, "012")


@pytest.mark.slow
def test_curves_that_fall_behind_are_cut(config):
    many = dataclasses.replace(config, stop="median", oracle="random", trials=6, epochs=4, seed=1)

    def rates(hp, config):
        return dataclasses.replace(
            config, learning_rate=hp.Float("rate", 1e-4, 0.3, sampling="log")
        )

    metrics = tune.main(many, rates)
    assert metrics["stopped_early"] > 0
    assert metrics["epochs"] < 24
    whole = [row for row in _rows(many) if row["status"] == "completed"]
    assert metrics["best_trial"] in [row["trial"] for row in whole]


def _curves(config, trials):
    """What the history.csv of a sweep's trials hold."""
    folder = pathlib.Path(config.workdir) / "trials"
    return [(folder / trial / "run" / "history.csv").read_text() for trial in trials]


def _rows(config):
    with open(pathlib.Path(config.workdir) / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_from_coarse_to_fine(config):
    fine = dataclasses.replace(
        config, protocol="coarse_to_fine", oracle="random", trials=6, epochs=3, limit=100
    )

    def rates(hp, config):
        return dataclasses.replace(
            config, learning_rate=hp.Float("rate", 1e-4, 0.3, sampling="log")
        )

    metrics = tune.main(fine, rates)
    assert [stage[:2] for stage in metrics["stages"]] == [["3", "1"], ["2", "1"], ["1", "3"]]
    assert metrics["test_accuracy"] is not None
    folder = pathlib.Path(fine.workdir)
    last = json.loads((folder / "stage3" / "space.json").read_text())["rate"][0]
    assert 1e-4 <= last["min_value"] < last["max_value"] <= 0.3
    assert last["min_value"] > 1e-4 or last["max_value"] < 0.3
    runs = [json.loads(f.read_text()) for f in folder.glob("stage*/trials/*/run/metrics.json")]
    assert len(runs) == 6
    assert not any("test_accuracy" in one for one in runs)
    assert "initial_loss" in (folder / "report.html").read_text()
    assert tune.main(fine, rates) == metrics
    with pytest.raises(UsageError, match="--extend: a sweep in stages"):
        tune.main(dataclasses.replace(fine, trials=9, extend=True), rates)


def test_a_finished_sweep_is_extended(config):
    tune.main(few(config), space)
    with pytest.raises(UsageError, match="--extend allows more trials"):
        tune.main(few(config, trials=3), space)
    metrics = tune.main(few(config, trials=3, extend=True), space)
    assert metrics["trials"] == 3


def test_bad_input_is_refused_before_any_training(config):
    def refused(match, **overrides):
        with pytest.raises(UsageError, match=match):
            tune.main(dataclasses.replace(config, **overrides))
        assert not pathlib.Path(config.workdir).exists()

    refused("unknown --oracle 'anneal'", oracle="anneal")
    refused("objective", objective="val_acc")
    refused("--trials expects a whole number of at least 1", trials=0)
    refused("empty", vary=())
    refused("3 stages: --trials=2 are too few", protocol="coarse_to_fine", trials=2)
    refused("unknown model", model="resnet21")
    refused("needs an --oracle without stages", protocol="coarse_to_fine", oracle="hyperband")
    refused("--worker_timeout expects a number of at least 10", worker_timeout=1.0)
    with pytest.raises(UsageError, match="the search space is empty"):
        tune.main(config, lambda hp, config: config)


def test_where_every_trial_fails_the_sweep_says_why(config):
    def hopeless(hp, config):
        return dataclasses.replace(config, learning_rate=hp.Choice("rate", [1e9, 1e10]))

    with pytest.raises(RunError, match=r"all of 2 trials failed: .*training stopped"):
        tune.main(config, hopeless)


# --- what becomes of trials that are killed, fail, or are meddled with ---


def few(config, **changes):
    """A sweep of two linear classifiers, a second long."""
    small = {"model": "linear", "limit": 60, "epochs": 2, "trials": 2}
    return dataclasses.replace(config, **small | changes)


def interrupted(config, trial, monkeypatch):
    """Interrupt a sweep as a trial begins; returns the trial's own config."""
    runs, fit = [], train.fit

    def killed(model, setting, dataset, run, **options):
        if run.path.parent.name == trial:
            run.begin()
            runs.append(run.config)
            raise KeyboardInterrupt
        return fit(model, setting, dataset, run, **options)

    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", killed)
        with pytest.raises(Interrupted):
            tune.main(config, space)
    return runs[0]


@pytest.mark.parametrize(
    ("epochs", "aside"),
    [(2, "run/metrics.json"), pytest.param(3, "run", marks=pytest.mark.slow)],
)
def test_what_the_trial_s_own_command_has_left_is_set_aside(
    config, tmp_path, monkeypatch, capsys, epochs, aside
):
    peace = few(config, workdir=str(tmp_path / "peace"))
    expected = tune.main(peace, space)
    own = interrupted(few(config), "1", monkeypatch)
    if epochs != own.epochs:
        shutil.rmtree(own.workdir)
    foreign = train.main(dataclasses.replace(own, epochs=epochs))
    assert "stopped" not in foreign
    capsys.readouterr()
    metrics = tune.main(few(config), space)
    seconds = {"seconds": None}
    assert metrics | seconds == expected | seconds | {"workdir": config.workdir}
    assert [row | seconds for row in _rows(config)] == [row | seconds for row in _rows(peace)]
    folder = pathlib.Path(config.workdir) / "trials" / "1"
    assert (folder / f"{aside}.damaged").exists()
    assert capsys.readouterr().err.count(": set aside as ") == 1


@pytest.mark.parametrize("value", ["0.5", None, [0.5]])
def test_metrics_of_a_trial_that_are_no_numbers_are_set_aside(tmp_path, capsys, value):
    own = train.Config(workdir=str(tmp_path))
    with recipe.open_run(own, "train") as run:
        run.begin()
    good = dict.fromkeys(tuning.TRIAL_METRICS, 0.5)
    rules = {"metrics": tuning.TRIAL_METRICS}
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(good | {"test_accuracy": None}))
    assert tuning.own_metrics(own, rules) == good
    path.write_text(json.dumps(good | {"best_epoch": value}))
    assert tuning.own_metrics(own, rules) is None
    assert not path.exists()
    assert f"{path} does not hold the metrics of a trial: set aside" in capsys.readouterr().err


@pytest.mark.slow
def test_what_failed_is_tried_again_by_extend(config, tmp_path, monkeypatch, capsys):
    expected = tune.main(few(config, workdir=str(tmp_path / "peace"), trials=3), space)
    train_trial, fails = tune.train_trial, ["0", "1"]

    def short_of_memory(setting, *more):
        if pathlib.Path(setting.workdir).parent.name in fails:
            raise MemoryError
        return train_trial(setting, *more)

    monkeypatch.setattr(tune, "train_trial", short_of_memory)
    with pytest.raises(RunError, match="all of 2 trials failed: out of memory"):
        tune.main(few(config), space)
    fails.remove("0")
    metrics = tune.main(few(config, extend=True), space)  # one that was not finished
    assert "failed trials to repeat: 2\n" in capsys.readouterr().out
    assert metrics["failed"] == 1
    assert tune.main(few(config), space) == metrics
    assert "--extend repeats the failed trials: 1 of 2" in capsys.readouterr().out
    fails.clear()
    metrics = tune.main(few(config, extend=True), space)  # a finished one
    assert "failed trials to repeat: 1\n" in capsys.readouterr().out
    assert [row["status"] for row in _rows(config)] == ["completed"] * 2
    fails.append("2")
    metrics = tune.main(few(config, extend=True, trials=3), space)
    assert metrics["failed"] == 1
    fails.clear()
    metrics = tune.main(few(config, extend=True, trials=3), space)
    seconds = {"seconds": None}
    assert metrics | seconds == expected | seconds | {"workdir": config.workdir}
    assert tune.main(few(config, extend=True, trials=3), space) == metrics
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "--extend --trials=6 continues it"
    with recipe.continued_by("a recipe of sweeps"):  # which does not know what to do with more
        assert tune.main(few(config, trials=3), space) == metrics
    assert "--extend" not in capsys.readouterr().out


def test_an_extended_sweep_that_is_killed_tries_what_failed_once(config, monkeypatch):
    """Or else failed trials that take longer than the time between two kills are all it does."""
    train_trial, begun = tune.train_trial, []

    def killed_in_the_second(setting, *more):
        begun.append(pathlib.Path(setting.workdir).parent.name)
        if begun[-1] == "0":
            raise MemoryError
        if begun == ["0", "1"]:
            raise KeyboardInterrupt
        return train_trial(setting, *more)

    monkeypatch.setattr(tune, "train_trial", killed_in_the_second)
    with pytest.raises(RunError, match="all of 1 trials failed"):
        tune.main(few(config, trials=1), space)
    begun.clear()
    extended = few(config, extend=True)
    with pytest.raises(Interrupted):
        tune.main(extended, space)
    assert tune.main(extended, space)["failed"] == 1
    assert begun == ["0", "1", "1"]
    assert tune.main(extended, space)["failed"] == 1  # finished: now what failed is tried once more
    assert begun == ["0", "1", "1", "0"]


@pytest.mark.parametrize("changes", [dict(oracle="hyperband"), dict(protocol="coarse_to_fine")])
def test_stages_are_not_extended(config, changes):
    with pytest.raises(UsageError, match=r"^--extend: a sweep in stages or with hyperband takes"):
        tune.main(dataclasses.replace(config, extend=True, trials=9, **changes))


def untrained(config, callbacks):
    """A sweep whose trials are not trained."""
    return tuning.Sweep(config, COMMON, None, lambda hp, config: config, asked(), callbacks, None)


KILLED = (None, "by SIGKILL")
DONE = tuning.Outcome({"val_accuracy": 0.5}, 1)


@pytest.mark.parametrize(
    ("isolate", "starts", "ends", "expected"),
    [
        (False, 2, [], "in the sweep's process"),
        (False, 3, [(DONE, "")], DONE),
        (False, 9, [(DONE, "")], DONE),  # sweeps killed during the isolated try do not count
        (
            False,
            3,
            [KILLED],
            "its process was killed 4 times before it made progress, the last time by S",
        ),
        (True, 9, [KILLED, KILLED, (DONE, "")], DONE),
        (
            True,
            0,
            [KILLED] * 3,
            "its process was killed 3 times before it made progress, the last time b",
        ),
        (True, 0, [KILLED, "on", *[KILLED] * 2, (DONE, "")], DONE),
    ],
)
def test_who_killed_the_trial(tmp_path, monkeypatch, isolate, starts, ends, expected):
    """Starts in vain tell nothing of the trial; how a process of its own ends does."""
    for _ in range(starts):
        tuning.count_starts(tmp_path)
    ends = list(ends)

    def in_its_own_process(*words):
        if ends[0] == "on":
            ends.pop(0)
            (tmp_path / "run" / "checkpoints").mkdir(parents=True)
            (tmp_path / "run" / "checkpoints" / "step-1.npz").touch()
            return KILLED
        return ends.pop(0)

    monkeypatch.setattr(trial_module, "in_its_own_process", in_its_own_process)
    here = tuning.Outcome(reason="in the sweep's process")
    monkeypatch.setattr(trial_module, "outcome_of", lambda *words: here)
    sweep = untrained(tune.Config(isolate=isolate), tune.no_callbacks)
    outcome = tuning.attempt(sweep, trial(None, rate=0.1), tmp_path)
    if expected is DONE:
        assert outcome == DONE
    else:
        assert outcome.reason.startswith(expected)
    assert ends == []


def test_callbacks_that_no_other_process_can_have(config, tmp_path):
    """The last try is not possible, which the reason says; --isolate refuses them."""
    for _ in range(3):
        tuning.count_starts(tmp_path)
    sweep = untrained(tune.Config(), lambda folder: [])
    reason = tuning.attempt(sweep, trial(None, rate=0.1), tmp_path).reason
    assert reason.startswith("its process was killed 3 times before it made progress; to run it")
    assert "at the top level of a module" in reason
    with pytest.raises(UsageError, match=r"^--isolate: define functions for other processes"):
        tune.main(few(config, isolate=True), space, lambda folder: [])


DEADLY = """
import dataclasses, os, signal, sys
import keras
from cvcourse.recipes import train, tune

def space(hp, config):
    return dataclasses.replace(config, learning_rate=hp.Choice("learning_rate", [0.3, 0.1, 0.03]))

class Deadly(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        if __name__ == "__main__" or sys.argv[2] == "always":  # in the sweep's own process
            os.kill(os.getpid(), signal.SIGKILL)

def callbacks(folder):
    return [Deadly()] if int(folder.name) == 1 else []

if __name__ == "__main__":
    tune.main(
        tune.Config(model="linear", limit=60, epochs=1, oracle="grid", workdir=sys.argv[1]),
        space,
        callbacks,
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["in the sweep's process", "always"])
def test_a_trial_that_kills_its_process_is_not_tried_for_ever(config, tmp_path, when):
    """Where it lives in a process of its own, something else had killed the sweep."""
    script = tmp_path / "script.py"
    script.write_text(DEADLY)
    words = [sys.executable, str(script), config.workdir, when]
    codes = [subprocess.run(words, capture_output=True).returncode for _ in range(4)]
    assert codes == [-signal.SIGKILL] * 3 + [0]
    rows = _rows(config)
    if when == "always":
        assert [row["status"] for row in rows] == ["completed", "failed", "completed"]
        assert (
            "killed 4 times before it made progress, the last time by SIGKILL" in rows[1]["reason"]
        )
    else:
        assert [row["status"] for row in rows] == ["completed"] * 3


UNGUARDED = """
import dataclasses, sys
from cvcourse.recipes import tune

def own(hp, config):
    return dataclasses.replace(config, learning_rate=hp.Choice("learning_rate", [0.3, 0.1]))

config = tune.Config(
    model="linear", limit=60, epochs=1, trials=1, vary=("learning_rate",), workdir=sys.argv[1]
)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "space", "code"), [("isolate=True", "None", 0), ("workers=2", "own", 1)]
)
def test_a_script_without_a_guard_runs_where_no_other_process_needs_it(
    config, tmp_path, flag, space, code
):
    script = tmp_path / "script.py"
    script.write_text(f"{UNGUARDED}tune.main(dataclasses.replace(config, {flag}), {space})\n")
    words = [sys.executable, str(script), config.workdir]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    asked = 'it begins its sweep under: if __name__ == "__main__":' in ended.stderr
    assert asked == (code == 1)


@pytest.mark.slow
@pytest.mark.parametrize("flag", [{}, {"isolate": True}, {"workers": 2}])
def test_a_full_disk_ends_no_trial_and_names_the_sweep_s_command(config, flag):
    """Here the largest file is smaller than a checkpoint."""
    sweep = dataclasses.replace(
        config, oracle="random", vary=("learning_rate",), trials=2, epochs=1, limit=60, **flag
    )
    words = [sys.executable, "-m", *shlex.split(recipe.command(sweep, "cvcourse tune"))]

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))

    full = subprocess.run(words, capture_output=True, text=True, preexec_fn=small_files)
    assert full.returncode == 1
    said = full.stderr.splitlines()[-1]
    assert "cannot write the checkpoint of step" in said
    command = said.partition("make room and resume with: ")[2]
    assert shlex.split(command) == shlex.split(recipe.command(sweep, "python -m cvcourse tune"))
    subprocess.run([sys.executable, *shlex.split(command)[1:]], check=True, capture_output=True)
    assert [row["status"] for row in _rows(sweep)] == ["completed"] * 2


@pytest.mark.slow
def test_a_trial_in_its_own_process_gives_the_same_and_is_tried_again_where_killed(config):
    three = dataclasses.replace(
        config, trials=3, vary=("learning_rate",), oracle="random", epochs=4
    )
    tune.main(three)
    apart = dataclasses.replace(three, isolate=True, workdir=config.workdir + "-apart")
    words = [sys.executable, "-m", *recipe.command(apart, "cvcourse tune").split()]
    sweep = started(words)
    first = pathlib.Path(apart.workdir, "trials", "0")
    until(lambda: list(first.glob("run/checkpoints/step-*")), sweep)
    os.kill(children_of(sweep)[0], signal.SIGKILL)
    output, _ = sweep.communicate()
    assert sweep.returncode == 0
    assert "augmentation" not in output
    assert [row["status"] for row in _rows(apart)] == ["completed"] * 3
    assert _curves(three, "012") == _curves(apart, "012")


def test_a_hypermodel_for_a_tuner_of_ones_own(tmp_path):
    config = train.Config(limit=100, epochs=1)
    tuner = keras_tuner.RandomSearch(
        tune.hypermodel(space, config),
        objective="val_accuracy",
        max_trials=1,
        directory=tmp_path,
        project_name="mine",
    )
    tuner.search(verbose=0)
    assert tuner.oracle.get_best_trials()[0].score > 0.05


class Rates(keras.callbacks.Callback):
    """The learning rate at the beginning of each epoch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_epoch_begin(self, epoch, logs=None):
        self.found.append(float(self.model.optimizer.learning_rate))


def test_a_hypermodel_s_learning_rate_is_of_the_tuner_s_epochs():
    """From the peak in a straight line to 0 at the end of the fit, wherever that begins."""
    config = train.Config(model="linear", limit=128, epochs=2, schedule="linear", accumulate=2)
    model, hp = tune.hypermodel(space, config), keras_tuner.HyperParameters()

    def rates(net, **options):
        seen = Rates()
        model.fit(hp, net, verbose=0, callbacks=[seen], **options)
        return seen.found

    peak, net = model.setting(hp).learning_rate, model.build(hp)
    assert rates(net) == pytest.approx([peak, peak / 2])  # the config's
    before = net.get_weights()
    assert rates(net, epochs=4) == pytest.approx([peak, 0.75 * peak, 0.5 * peak, 0.25 * peak])
    assert np.abs(net.get_weights()[0] - before[0]).max() > 1e-3  # not with a rate of 0
    assert rates(net, epochs=8, initial_epoch=6) == pytest.approx([peak / 4, peak / 8])
    fresh = model.build(hp)
    assert rates(fresh, epochs=4, initial_epoch=2) == pytest.approx([peak / 2, peak / 4])


def test_a_hypermodel_s_paths_are_dropped_over_the_tuner_s_epochs(monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *args, **options: None)
    config = train.Config(
        model="nasnet_cifar",
        model_args={"repeats": 1, "penultimate_filters": 24, "stem_filters": 3},
        input_shape=(8, 8, 1),
        limit=64,
        epochs=2,
        schedule="constant",
    )
    model, hp = tune.hypermodel(space, config), keras_tuner.HyperParameters()
    net = model.build(hp)
    (steps,) = {layer.steps for layer in net.layers if layer.name.endswith("drop_path")}
    model.fit(hp, net, epochs=3, verbose=0)
    longer = {layer.steps for layer in net.layers if layer.name.endswith("drop_path")}
    assert (steps, longer) == (2 * 2, {3 * 2})


def test_a_sweep_over_schedules_keeps_milestones_for_step_alone():
    common = dataclasses.replace(COMMON, schedule="step", milestones=(3, 9), factor=0.5)
    hp = keras_tuner.HyperParameters()
    for name in ("step", "cosine"):
        hp.values["schedule"] = name
        one = tuning.default_space(["schedule"])(hp, common)
        recipe.check(one)
        kept = ((3, 9), 0.5) if name == "step" else (None, 0.1)
        assert (one.schedule, (one.milestones, one.factor)) == (name, kept)


@pytest.mark.parametrize(
    "changes", [dict(oracle="hyperband"), dict(protocol="coarse_to_fine"), dict(vary=("epochs",))]
)
def test_trials_of_several_lengths_have_no_milestones_in_common(config, changes):
    given = dataclasses.replace(config, schedule="step", epochs=9, milestones=(3,), **changes)
    with pytest.raises(UsageError, match="--milestones are the same for all trials"):
        tune.main(given)


def test_hyperparameters_that_some_values_alone_ask_for_are_found():
    def by_choice(hp, config):
        if hp.Choice("kind", ["a", "b"]) == "b":
            with hp.conditional_scope("kind", ["b"]):
                hp.Float("only_b", 0.0, 1.0)
        return config

    def by_number(hp, config):
        for i in range(hp.Int("layers", 1, 3)):
            hp.Int(f"units{i}", 8, 512)
        return config

    assert tuning.hyperparameter_names(tuning.register(by_choice, COMMON)) == ["kind", "only_b"]
    assert tuning.hyperparameter_names(tuning.register(by_number, COMMON)) == [
        *("layers", "units0", "units1", "units2")
    ]


def test_a_hyperparameter_that_was_not_foreseen_ends_the_sweep_with_its_name(config):
    def late(hp, config):
        if hp.Float("learning_rate", 0.1, 0.2) > 0.1:  # the default
            hp.Float("surprise", 0.0, 1.0)
        return config

    with pytest.raises(UsageError, match="requests 'surprise' only for some values"):
        tune.main(config, late)


def test_the_report_s_numbers_of_what_a_trial_was_not_asked_for():
    done = [{"rate": 0.1}, {"rate": None}, {"rate": 1e-5}]
    numbers, texts = sweep_report._numbers(done, "rate", True)
    np.testing.assert_allclose(numbers, [-1, np.nan, -5])
    assert texts is None
    numbers, texts = sweep_report._numbers([{"a": "y"}, {"a": None}, {"a": "x"}], "a", False)
    np.testing.assert_allclose(numbers, [1, np.nan, 0])
    assert texts == ["x", "y"]


def test_a_range_of_one_value_has_no_border():
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 0.1, 0.1)
    assert tuning.at_the_border(hp.space, keras_tuner.engine.trial.Trial(hp)) == []


def test_a_narrowed_space_is_asked_as_any_other():
    def space(hp, config):
        hp.Boolean("flip")
        rate = hp.Float("rate", 1e-3, 1.0, None, "log")
        assert hp["rate"] == rate
        return dataclasses.replace(config, learning_rate=rate)

    ranges = {"flip": [True], "rate": (0.1, 0.2)}
    asked = tuning.register(tuning.narrowed(space, ranges), COMMON)
    assert asked.values == {"flip": True, "rate": 0.1}


def test_other_data_under_the_same_name_are_refused(config, tmp_path, arrays):
    file = tmp_path / "data.npz"
    np.savez(file, **arrays)
    ours = dataclasses.replace(config, dataset=str(file), trials=1, epochs=1, batch_size=8)
    ours = dataclasses.replace(ours, model="linear")
    tune.main(ours)
    (pathlib.Path(ours.workdir) / "metrics.json").unlink()  # as if it were killed before its end
    np.savez(file, **{**arrays, "x_train": arrays["x_train"] + 1})
    with pytest.raises(UsageError, match="was started with data"):
        tune.main(ours)


# --- random against grid search ---


def test_a_grid_has_few_values_of_each_hyperparameter_and_random_search_many(tmp_path):
    settings = {"objective": "val_accuracy", "trials": 9, "epochs": 1, "seed": 0, "retries": 0}
    found = {}
    for kind, points in (("grid", 3), ("random", None)):
        asked = tuning.register(functools.partial(random_against_grid.space, points), COMMON)
        (tmp_path / kind).mkdir()
        oracle = tuning.oracle(kind, asked, tmp_path / kind, **settings)
        trials = []
        while trial := tuning.next_trial(oracle):
            tuning.end_trial(oracle, trial, tuning.Outcome({"val_accuracy": 0.5}, 1))
            trials.append(trial.hyperparameters.values)
        found[kind] = trials
    grid = {
        (round(one["learning_rate"], 6), round(one["weight_decay"], 9)) for one in found["grid"]
    }
    assert grid == set(itertools.product((1e-3, 0.031623, 1.0), (1e-6, 3.1623e-5, 1e-3)))
    assert len({one["learning_rate"] for one in found["random"]}) == 9
    assert all(1e-3 <= one["learning_rate"] <= 1 for one in found["random"])


@pytest.mark.slow
def test_both_searches_are_run_drawn_and_not_run_again(tmp_path, capsys):
    both = random_against_grid.Config(
        workdir=str(tmp_path / "both"), limit=60, epochs=1, side=2, seed=3
    )
    metrics = random_against_grid.main(both)
    for oracle in ("grid", "random"):
        with open(tmp_path / "both" / oracle / "trials.csv", newline="") as file:
            scores = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
        assert len(scores) == 4
        assert metrics[oracle]["val_accuracy"] == max(scores)
    page = (tmp_path / "both" / "report.html").read_text()
    assert page.count("data:image/svg+xml") == 1
    assert random_against_grid.main(both) == metrics
    assert "is finished" in capsys.readouterr().out


def test_the_benchmark_s_shares_are_of_times():
    theirs, ours = [(1.0, 0.5), (2.0, 0.7), (4.0, 0.6)], [(0.5, 0.4), (0.8, 0.7)]
    found = bench_tune.compared(theirs, ours)
    assert (found["best"], found["share"], found["share_of_time_to_best"]) == (0.7, 0.2, 0.4)
    assert bench_tune.compared(theirs, ours[:1])["share"] is None


def test_tensorboard_s_runs_hold_values_curve_and_score(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    table = [
        {"trial": "0", "rate": 0.1, "kind": None, "val_loss": 0.5, "best_epoch": 2},
        {"trial": "1", "rate": 0.2, "kind": "x", "val_loss": None, "best_epoch": None},
    ]
    curves = {"0": [-0.7, -0.5], "1": []}
    tuning.write_hparams(tmp_path / "tb", table, ["rate", "kind"], "val_loss", curves)
    first, second = (EventAccumulator(str(tmp_path / "tb" / key)) for key in "01")
    first.Reload(), second.Reload()
    losses = [(one.step, make_ndarray(one.tensor_proto)) for one in first.Tensors("val_loss")]
    np.testing.assert_allclose(losses, [(1, 0.7), (2, 0.5)], rtol=1e-6)
    (best,) = first.Tensors("best val_loss")
    assert (best.step, float(make_ndarray(best.tensor_proto))) == (2, 0.5)
    assert second.Tags()["tensors"] == ["_hparams_/session_start_info"]
