"""What a search space may be: steps, refused combinations, whole numbers, one range for a name."""

import csv
import dataclasses
import functools
import html
import itertools
import json
import pathlib
import shlex

import keras_tuner
import numpy as np
import pytest
from cvcourse.recipes import train, tune
from keras_tuner.engine.trial import Trial
from keras_tuner.errors import FailedTrialError, FatalError, FatalValueError

from cvcourse import recipe, tuning
from cvcourse.errors import UsageError

pytestmark = pytest.mark.usefixtures("undrawn")

COMMON = train.Config()


@pytest.fixture
def config(tmp_path):
    return tune.Config(
        model="linear",
        dataset="digits",
        limit=100,
        epochs=1,
        trials=9,
        oracle="grid",
        stop="none",
        workdir=str(tmp_path / "a b"),
    )


def asking(*calls):
    """A space that makes calls of HyperParameters, as (method, arguments, options)."""

    def space(hp, config):
        for method, arguments, options in calls:
            getattr(hp, method)(*arguments, **options)
        return config

    return space


def trials_with(hp, *values):
    """Trials of such values."""
    found = [Trial(hp.copy()) for _ in values]
    for trial, chosen in zip(found, values, strict=True):
        trial.hyperparameters.values = chosen
    return found


def steps_of(hp):
    """keras-tuner's own grid of the only hyperparameter."""
    return sorted(round(float(value), 9) for value in hp.space[0].values)


# --- from coarse to fine ---


@pytest.mark.parametrize(
    ("method", "ends", "options", "good", "narrow"),
    [
        ("Int", (32, 256), {"step": 32}, (64, 160), (32, 192)),
        ("Int", (1, 100), {"step": 7}, (50, 50), (36, 64)),
        ("Int", (8, 64), {"step": 2, "sampling": "log"}, (16, 16), (8, 32)),
        ("Int", (3, 700), {"step": 3, "sampling": "log"}, (27, 81), (9, 243)),
        ("Float", (1e-4, 1e-1), {"step": 10, "sampling": "log"}, (1e-3, 1e-3), (1e-4, 1e-2)),
        ("Float", (0.0, 0.6), {"step": 0.1}, (0.3, 0.3), (0.2, 0.4)),
        ("Float", (0.3, 1.2), {"step": 0.1}, (0.4, 0.8), (0.3, 0.9)),
        ("Int", (0, 10**9), {"step": 10**8}, (2 * 10**8, 2 * 10**8), (10**8, 3 * 10**8)),
    ],
)
def test_narrower_ranges_begin_and_end_on_the_steps(method, ends, options, good, narrow):
    space = asking((method, ("x", *ends), options))
    first = tuning.register(space, COMMON)
    ranges = tuning.ranges_of(first.space, trials_with(first, *({"x": one} for one in good)))
    assert ranges["x"] == pytest.approx(narrow)
    second = tuning.register(tuning.narrowed(space, ranges), COMMON)
    expected = [one for one in steps_of(first) if narrow[0] - 1e-9 <= one <= narrow[1] + 1e-9]
    assert steps_of(second) == expected
    assert {round(float(one), 9) for one in good} <= {*steps_of(second)}
    last = trials_with(second, {"x": good[1]})
    third = tuning.register(tuning.narrowed(space, tuning.ranges_of(second.space, last)), COMMON)
    assert {*steps_of(third)} <= {*steps_of(second)}
    assert round(float(good[1]), 9) in steps_of(third)


def test_a_part_of_reverse_logarithmic_steps_is_a_choice_of_them():
    space = asking(("Int", ("x", 1, 81), {"step": 3, "sampling": "reverse_log"}))
    first = tuning.register(space, COMMON)
    assert steps_of(first) == [1, 55, 73, 79, 81]  # 82 - 3**k
    ranges = tuning.ranges_of(first.space, trials_with(first, {"x": 73}))
    assert ranges == {"x": [55, 73, 79]}
    assert steps_of(tuning.register(tuning.narrowed(space, ranges), COMMON)) == [55, 73, 79]


def test_many_steps_are_not_listed():
    space = asking(("Int", ("seed", 0, 10**9), {}))
    first = tuning.register(space, COMMON)
    assert tuning.ranges_of(first.space, trials_with(first, {"seed": 5}))["seed"] == (0, 10**8 + 5)


def by_kind(hp, config):
    """One name with a range for each kind."""
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["a"]):
        hp.Int("size", 1, 3)
    with hp.conditional_scope("kind", ["b"]):
        hp.Int("size", 10, 50, step=20)
    return config


def test_a_name_with_a_range_in_each_of_two_scopes_is_narrowed_in_each():
    first = tuning.register(by_kind, COMMON)
    chosen = {"kind": "a", "size": 2}, {"kind": "b", "size": 30}, {"kind": "b", "size": 50}
    ranges = tuning.ranges_of(first.space, trials_with(first, *chosen))
    second = tuning.register(tuning.narrowed(by_kind, ranges), COMMON)
    assert [(hp.min_value, hp.max_value) for hp in second.space[1:]] == [(1, 3), (10, 50)]
    ranges = tuning.ranges_of(first.space, trials_with(first, *chosen[:2]))
    second = tuning.register(tuning.narrowed(by_kind, ranges), COMMON)
    assert [(hp.min_value, hp.max_value) for hp in second.space[1:]] == [(1, 3), (10, 50)]


# --- values ---


def grid_of(space, folder, trials):
    """The values of a grid's trials."""
    settings = {"objective": "val_loss", "epochs": 1, "seed": 0, "retries": 0}
    asked = tuning.register(space, COMMON)
    oracle = tuning.oracle("grid", asked, folder, trials=trials, **settings)
    while trial := tuning.next_trial(oracle):
        tuning.end_trial(oracle, trial, tuning.Outcome({"val_loss": 1.0}, 1))
    return [trial.hyperparameters.values for trial in tuning.kept_trials(folder)]


def test_a_grid_has_whole_numbers_in_the_order_of_the_product(tmp_path):
    space = asking(
        ("Choice", ("kind", ["x", "y"]), {}),
        ("Int", ("size", 8, 64), {"step": 2, "sampling": "log", "default": 16.0}),
        ("Float", ("rate", 1e-3, 1e-1), {"step": 10, "sampling": "log"}),
    )
    found = grid_of(space, tmp_path, 30)
    expected = list(itertools.product("xy", (16, 8, 32, 64), (1e-3, 1e-2, 1e-1)))
    assert [tuple(one.values())[:2] for one in found] == [one[:2] for one in expected]
    np.testing.assert_allclose([one["rate"] for one in found], [one[2] for one in expected])
    assert {type(one["size"]) for one in found} == {int}


def test_a_grid_has_a_default_that_is_a_step_but_for_rounding_once(tmp_path):
    space = asking(("Float", ("rate", 0.1, 0.5), {"step": 0.1, "default": 0.3}))
    found = [one["rate"] for one in grid_of(space, tmp_path, 9)]
    np.testing.assert_allclose(found, [0.3, 0.1, 0.2, 0.4, 0.5])


def test_a_grid_of_a_name_with_two_ranges_has_each_scope_s_values(tmp_path):
    found = grid_of(by_kind, tmp_path, 30)
    assert [tuple(one.values()) for one in found] == [
        *(("a", size) for size in (1, 2, 3)),
        *(("b", size) for size in (10, 30, 50)),
    ]


@pytest.mark.parametrize("kind", ["random", "bayesian"])
def test_a_trial_has_the_value_of_the_scope_that_is_active(tmp_path, kind):
    settings = {"objective": "val_loss", "epochs": 1, "seed": 0, "retries": 0}
    asked = tuning.register(by_kind, COMMON)
    oracle = tuning.oracle(kind, asked, tmp_path, trials=6, **settings)
    while trial := tuning.next_trial(oracle):
        tuning.ask(by_kind, trial.hyperparameters, COMMON)
        tuning.end_trial(oracle, trial, tuning.Outcome({"val_loss": 1.0}, 1))
    found = {tuple(one.hyperparameters.values.values()) for one in tuning.kept_trials(tmp_path)}
    assert {one[0] for one in found} == {"a", "b"}
    assert all(size in ((1, 2, 3) if of == "a" else (10, 30, 50)) for of, size in found)


def batches(hp, config):
    """Batch sizes by a logarithmic step, of which the largest is refused."""
    size = hp.Int("batch_size", 8, 64, step=2, sampling="log")
    if size == 64:
        raise FailedTrialError("a batch of 64 does not fit.")
    return dataclasses.replace(config, batch_size=size)


def test_a_hypermodel_s_space_gets_whole_numbers_and_fails_a_trial_by_an_error(config):
    model = tune.hypermodel(batches, tune.trial_config(config))
    hp = keras_tuner.HyperParameters()
    hp.values["batch_size"] = 16.0  # which keras-tuner's grid gives
    assert repr(model.setting(hp).batch_size) == "16"
    hp.values["batch_size"] = 64.0
    with pytest.raises(FailedTrialError, match="a batch of 64 does not fit"):
        model.setting(hp)


# --- refused combinations ---


def test_a_sweep_in_a_folder_with_a_blank_of_a_space_that_refuses_a_value(config, capsys):
    metrics = tune.main(config, batches)
    folder = pathlib.Path(config.workdir)
    assert (metrics["trials"], metrics["failed"]) == (4, 1)
    with open(folder / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["batch_size"] for row in rows] == ["8", "16", "32", "64"]
    assert [row["status"] for row in rows] == ["completed"] * 3 + ["failed"]
    assert [row["reason"] for row in rows] == [""] * 3 + ["a batch of 64 does not fit."]
    values = [json.loads(f.read_text()) for f in sorted(folder.glob("trials/*/trial.json"))]
    sizes = [one["hyperparameters"]["values"]["batch_size"] for one in values]
    assert repr([*sizes, metrics["values"]["batch_size"]])[:15] == "[8, 16, 32, 64,"
    command = capsys.readouterr().out.splitlines()[-1]
    *_, option = shlex.split(command)
    assert option == f"--config={folder / 'best.json'}"
    assert recipe.parse(train.Config, [option]).batch_size == metrics["values"]["batch_size"]
    assert command in html.unescape((folder / "report.html").read_text())


@pytest.mark.parametrize("error", [ValueError, MemoryError, RuntimeError, AssertionError])
def test_a_combination_may_be_refused_by_any_error(config, error):
    def space(hp, config):
        if hp.Choice("heads", [2, 3]) == 2:  # the default
            raise error("heads do\nnot divide")
        return dataclasses.replace(config, learning_rate=hp.Choice("rate", [0.1]))

    metrics = tune.main(dataclasses.replace(config, limit=20), space)
    reasons = [trial.message for trial in tuning.kept_trials(pathlib.Path(config.workdir))]
    assert (metrics["failed"], metrics["values"]["heads"]) == (1, 3)
    assert [reason for reason in reasons if reason] == ["heads do not divide"]


def test_a_bug_of_a_space_is_named_by_its_class():
    assert tuning.refusal(KeyError("depth")) == "KeyError: 'depth'"
    assert tuning.refusal(ValueError("no\n such net")) == "no such net"
    assert tuning.refusal(AssertionError()) == "AssertionError"


def test_what_accepted_combinations_ask_for_is_found_beside_refused_ones():
    def diagonal(hp, config):
        first, second = hp.Choice("first", [1, 2, 3, 4]), hp.Choice("second", [4, 3, 2, 1])
        if first != second:
            raise FailedTrialError("they differ")
        if first == 3:
            hp.Float("of_three", 0.0, 1.0)
        return config

    def divisible(hp, config):
        if hp.Int("units", 8, 512) % hp.Choice("heads", [3, 5]):
            raise ValueError("heads do not divide units")
        if hp["heads"] == 5:
            hp.Float("of_five", 0.0, 1.0)
        return config

    assert tuning.hyperparameter_names(tuning.register(diagonal, COMMON)) == [
        "first",
        "second",
        "of_three",
    ]
    assert tuning.hyperparameter_names(tuning.register(divisible, COMMON)) == [
        "units",
        "heads",
        "of_five",
    ]


def test_where_no_combination_is_accepted_the_first_error_is_raised(config):
    def hopeless(hp, config):
        raise FailedTrialError(f"no size of {hp.Choice('size', [1, 2])} fits")

    def broken(hp, config):
        return config.no_such_field

    with pytest.raises(UsageError, match=r"^no size of 1 fits$"):
        tune.main(config, hopeless)
    with pytest.raises(AttributeError, match="no_such_field"):
        tuning.register(broken, COMMON)
    assert not pathlib.Path(config.workdir).exists()


def test_a_fatal_error_ends_a_sweep(config):
    def space(hp, config):
        if 0.0 < hp.Float("rate", 0.0, 1.0) < 1.0:
            raise FatalError("the shared disk is gone")
        return config

    with pytest.raises(UsageError, match=r"^the shared disk is gone$"):
        tune.main(dataclasses.replace(config, oracle="random"), space)

    def at_once(hp, config):
        hp.Choice("a", [1, 2])
        raise FatalError("the shared disk is gone")

    with pytest.raises(FatalError):
        tuning.register(at_once, COMMON)


# --- one range for a name ---


def dependent(hp, config):
    hp.Int("b", 4, hp.Int("a", 8, 64, step=8))
    return config


def dependent_of_many(hp, config):
    hp.Int("b", 4, hp.Int("a", 8, 64))
    return config


@pytest.mark.parametrize(
    ("space", "name", "ranges"),
    [
        (dependent, "b", ("Int 4 to 8 ", "Int 4 to 16 ")),
        (dependent_of_many, "b", ("Int 4 to 8 ", "Int 4 to 64 ")),
        (
            asking(("Float", ("x", 1e-3, 0.1), {}), ("Float", ("x", 1e-5, 1e-4), {})),
            "x",
            ("Float 0.001 to 0.1", "Float 1e-05 to 0.0001"),
        ),
        (
            asking(("Float", ("x", 1, 2), {}), ("Int", ("x", 1, 2), {})),
            "x",
            ("Float 1.0 to 2.0", "Int 1 to 2"),
        ),
        (
            asking(("Choice", ("x", [1, 2]), {}), ("Choice", ("x", [1, 2, 3]), {})),
            "x",
            ("Choice 1 2", "Choice 1 2 3"),
        ),
    ],
)
def test_a_second_range_for_a_name_is_refused_with_both(space, name, ranges):
    with pytest.raises(ValueError, match=f"requests '{name}' with two ranges") as caught:
        tuning.register(space, COMMON)
    assert all(one in str(caught.value) for one in ranges)
    assert f"hp.Float('{name}_share'" in str(caught.value)
    hypermodel_s = keras_tuner.HyperParameters()
    hypermodel_s.values["a"] = 8
    if space is dependent:
        tuning.ask(space, hypermodel_s, COMMON)
        hypermodel_s.values["a"] = 24
        with pytest.raises(FatalValueError, match="Int 4 to 24"):  # which ends a tuner's search
            tuning.ask(space, hypermodel_s, COMMON)


def test_the_same_range_again_and_ranges_of_scopes_that_exclude_each_other_are_taken():
    twice = asking(("Float", ("x", 1, 2), {}), ("Float", ("x", 1, 2), {}))
    assert tuning.hyperparameter_names(tuning.register(twice, COMMON)) == ["x"]
    found = tuning.register(by_kind, COMMON)
    assert [hp.name for hp in found.space] == ["kind", "size", "size"]

    def overlapping(hp, config):
        hp.Int("size", 1, 3)
        return by_kind(hp, config)

    with pytest.raises(ValueError, match="requests 'size' with two ranges"):
        tuning.register(overlapping, COMMON)


def test_a_space_is_as_before_where_keras_tuner_s_workers_get_it():
    space = asking(
        ("Float", ("x", 0.1, 0.7), {"step": 0.1}),
        ("Int", ("y", 1, 9), {"sampling": "log"}),
        ("Choice", ("z", [0.1, 0.7]), {}),
        ("Boolean", ("w",), {}),
        ("Fixed", ("v", 3), {}),
    )
    proto = tuning.register(space, COMMON).to_proto()
    sent = keras_tuner.HyperParameters.from_proto(type(proto).FromString(proto.SerializeToString()))
    before = len(sent.space)
    assert tuning.ask(space, sent, COMMON) is COMMON
    assert len(sent.space) == before


def test_a_range_that_depends_on_another_s_middle_ends_the_sweep(config):
    def space(hp, config):
        hp.Int("b", 1, 4 if 0.0 < hp.Float("a", 0.0, 1.0) < 1.0 else 3)
        return config

    with pytest.raises(UsageError, match=r"'b' with two ranges, Int 1 to 3 .* and Int 1 to 4 "):
        tune.main(dataclasses.replace(config, oracle="random"), space)


# --- declarations that are none ---


@pytest.mark.parametrize(
    ("method", "ends", "options", "said"),
    [
        ("Int", (10, 1), {}, "min_value 10 is greater than the max_value 1"),
        ("Int", (1, 10), {"step": 0}, "'x' needs a step above 0; received 0"),
        ("Float", (0, 1), {"step": -0.5}, "'x' needs a step above 0; received -0.5"),
        ("Int", (1, 10), {"sampling": "logarithmic"}, "sampling must be one of"),
        ("Int", (0, 10), {"sampling": "log"}, "does not support negative values"),
    ],
)
def test_a_wrong_declaration_is_one_line_and_exit_code_2(
    tmp_path, capsys, method, ends, options, said
):
    main = functools.partial(tune.main, space=asking((method, ("x", *ends), options)))
    flags = ["--model=linear", "--limit=20", f"--workdir={tmp_path / 'sweep'}"]
    assert recipe.run(main, tune.Config, flags, name="tune") == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


def test_an_int_on_a_logarithmic_scale_without_a_step_is_whole():
    found = []

    def space(hp, config):
        found.append(hp.Int("n", 1, 10, sampling="log"))
        return config

    tuning.register(space, COMMON)
    assert repr(sorted({*found})) == "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"


# --- a tuner of one's own ---


def test_data_and_options_that_the_recipe_sets_end_a_tuner_s_search(tmp_path, config):
    tuner = keras_tuner.RandomSearch(
        tune.hypermodel(asking(("Choice", ("a", [1, 2]), {})), tune.trial_config(config)),
        objective="val_accuracy",
        max_trials=2,
        directory=tmp_path,
    )
    x, y = np.zeros((4, 8, 8, 1)), np.zeros(4)
    said = r"determines the dataset and its batches: call tuner.search\(\) without {}$"
    with pytest.raises(ValueError, match=said.format("positional arguments")):
        tuner.search(x, y, verbose=0)
    with pytest.raises(ValueError, match=said.format("batch_size, validation_data")):
        tuner.search(validation_data=(x, y), batch_size=4, verbose=0)
