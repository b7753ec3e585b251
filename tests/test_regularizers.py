"""The comparison of regularizers: each run is what its row says, and the table is the files'."""

import dataclasses
from unittest import mock

import keras
import pytest
from cvcourse.recipes import regularizers, train

from cvcourse import data
from cvcourse.regularization import calibration

pytestmark = pytest.mark.usefixtures("undrawn")

SETTINGS = dict(
    regularizers=("dropout", "early_stopping"),
    model="mlp",
    model_args={"hidden": (16,)},
    limit=64,
    epochs=3,
    batch_size=16,
    seeds=(1,),
)
FILES = {
    "none": "none/snapshots/3.keras",
    "dropout": "dropout/snapshots/3.keras",
    "early_stopping": "early_stopping/model.keras",
}


def config(workdir, **settings):
    return regularizers.Config(**{**SETTINGS, "workdir": str(workdir), **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    with mock.patch("cvcourse.training.report.svg", return_value=""):  # it takes most time
        return workdir, regularizers.main(config(workdir))


def test_the_table_is_that_of_the_saved_models(finished):
    workdir, metrics = finished
    assert list(metrics["rows"]) == list(FILES)
    digits = data.load("digits", limit=64)
    for row, file in FILES.items():
        model = keras.models.load_model(workdir / "seed1" / file)
        for name, split in (
            ("training", digits.train),
            ("validation", digits.validation),
            ("test", digits.test),
        ):
            given = keras.ops.log_softmax(model(split.images)).numpy()
            kept = metrics["rows"][row][name]
            values = calibration.measures(given[None], split.labels)
            for measure in ("accuracy", "nll", "ece"):
                assert kept[measure]["seeds"] == pytest.approx([values[measure]], abs=1e-5)
            over = metrics["rows"]["none"][name]["accuracy"]["mean"]
            assert kept["gain"]["mean"] == pytest.approx(kept["accuracy"]["mean"] - over)


def test_the_report_of_one_seed_has_no_deviation(finished):
    text = (finished[0] / "report.html").read_text()
    assert "one regularizer at a time; one seed. Rows" in text and "1 seeds" not in text


def test_a_finished_run_is_not_repeated(finished, monkeypatch):
    workdir, metrics = finished
    monkeypatch.setattr(train, "main", None)
    assert regularizers.main(config(workdir)) == metrics


def test_weight_decay_of_its_row_is_that_of_the_flag(tmp_path):
    """Metrics tell it, too: a run of before had 5e-4 there."""
    found = regularizers.Config(weight_decay=0.1)
    assert regularizers.settings_of(found, "weight_decay") == {"weight_decay": 0.1}
    assert regularizers.settings_of(regularizers.Config(), "weight_decay") == {"weight_decay": 5e-4}
    decays = {row: run.weight_decay for row, run in regularizers.runs(found, tmp_path, 0).items()}
    assert {row for row, decay in decays.items() if decay} == {"weight_decay"}
    assert decays["weight_decay"] == 0.1


def test_each_row_changes_its_own_fields_alone(tmp_path):
    """Of train's config, beside the directory and, for early stopping, the file that is kept."""
    bare, *rows = regularizers.runs(regularizers.Config(), tmp_path, 0).items()
    assert bare[0] == "none"
    assert (bare[1].augment, bare[1].weight_decay, bare[1].dropout) == ((), 0.0, 0.0)
    assert {name for name, _ in rows} == set(regularizers.REGULARIZERS)
    before = dataclasses.asdict(bare[1])
    for name, settings in rows:
        after = dataclasses.asdict(settings)
        changed = {key for key in after if after[key] != before[key]} - {"workdir", "snapshots"}
        assert changed == set(regularizers.REGULARIZERS[name])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--regularizers=dropuot", "did you mean 'dropout'"),
        ("--regularizers=swa,swa", "--regularizers expects one or more different values"),
        ("--seeds=none", "--seeds expects one or more different values"),
        ("--model=lenet5 --model_args=", "--stochastic_depth: lenet5 has no blocks to drop"),
        ("--schedule=cosin", "did you mean 'cosine'"),
    ],
)
def test_bad_values_leave_one_line_and_nothing_written(flags, message, tmp_path, capsys):
    argv = [*flags.split(), f"--workdir={tmp_path / 'run'}"]
    assert regularizers.cli(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
