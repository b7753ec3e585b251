"""The comparison of ensembles: what it trains, that it adds up, goes on, and refuses nonsense."""

import csv
import dataclasses
import json
import pathlib
import shutil
from unittest import mock

import keras
import numpy as np
import pytest
from cvcourse.recipes import snapshot_ensemble, train

from cvcourse import data
from cvcourse.errors import Interrupted
from cvcourse.files import write_json
from cvcourse.regularization import calibration
from cvcourse.training import comparison

pytestmark = pytest.mark.usefixtures("undrawn")

SETTINGS = dict(
    model="mlp",
    model_args={"hidden": (8,)},
    limit=96,
    epochs=4,
    cycles=(2,),
    batch_size=16,
    seeds=(3,),
)


def config(workdir, **settings):
    return snapshot_ensemble.Config(**{**SETTINGS, "workdir": str(workdir), **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    with mock.patch("cvcourse.training.report.svg", return_value=""):  # it takes most time
        return workdir, snapshot_ensemble.main(config(workdir))


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


MEMBERS = {  # the table's rows, by hand
    "single": ["single/snapshots/4.keras"],
    "single_best": ["single/model.keras"],
    "snapshot_m2": ["snapshot_m2/snapshots/2.keras", "snapshot_m2/snapshots/4.keras"],
    "checkpoint_m2": ["single/snapshots/2.keras", "single/snapshots/4.keras"],
    "independent_m2": [
        "independent_m2_1/snapshots/2.keras",
        "independent_m2_2/snapshots/2.keras",
    ],
    "snapshot_weights_m2": ["averages/snapshot_m2.keras"],
    "checkpoint_weights_m2": ["averages/checkpoint_m2.keras"],
}


def test_the_table_is_that_of_the_saved_models(finished):
    """Every number computed again in NumPy from the members' files."""
    workdir, metrics = finished
    assert list(metrics["rows"]) == list(MEMBERS)
    digits = data.load("digits", limit=96)
    models = {
        path: keras.models.load_model(workdir / path)
        for path in (f"seed3/{file}" for files in MEMBERS.values() for file in files)
    }
    for split in ("validation", "test"):
        images, labels = getattr(digits, split).images, getattr(digits, split).labels
        answers = {path: softmax(np.array(model(images))) for path, model in models.items()}
        for row, files in MEMBERS.items():
            found = metrics["rows"][row]
            assert found["members"] == len(files)
            each = np.array([answers[f"seed3/{file}"] for file in files])
            measures = calibration.measures(np.log(each), labels)
            single = metrics["rows"]["single"][split]["accuracy"]["mean"]
            measures["gain"] = measures["accuracy"] - single
            assert found[split].keys() == measures.keys()
            for measure, value in measures.items():
                if value is None:
                    assert (measure, len(files), found[split][measure]) == ("disagreement", 1, None)
                else:
                    assert found[split][measure]["seeds"] == pytest.approx([value], abs=1e-5)


def test_spreads_are_over_seeds():
    values = [0.91, 0.93, 0.95]
    assert comparison.mean_and_std(values) == {
        "mean": pytest.approx(0.93),
        "std": pytest.approx(np.std(values, ddof=1)),
        "seeds": values,
    }
    assert comparison.mean_and_std([0.5]) == {"mean": 0.5, "std": None, "seeds": [0.5]}
    row = {
        "accuracy": comparison.mean_and_std(values),
        "nll": comparison.mean_and_std([0.5]),
        "ece": None,
    }
    assert list(comparison.table({"single": row})) == [
        ["", "accuracy, %", "NLL, nats"],
        ["single", "93.00 ± 2.00", "0.5000"],
    ]


def test_the_chosen_ensemble_is_the_best_on_validation_and_is_saved(finished):
    """Raw images in, probabilities out: the means of the first seed's members."""
    workdir, metrics = finished
    ensembles = ("snapshot_m2", "checkpoint_m2", "independent_m2")
    row = metrics["chosen"]["ensemble"]
    means = {r: metrics["rows"][r]["validation"]["accuracy"]["mean"] for r in ensembles}
    assert means[row] == max(means.values())
    assert metrics["chosen"]["snapshot"] == "snapshot_m2"
    test = data.load("digits", limit=96).test
    judged = keras.models.load_model(workdir / "ensemble.keras").evaluate(
        test.images, test.labels, verbose=0, return_dict=True
    )
    kept = metrics["rows"][row]["test"]
    assert judged["accuracy"] == pytest.approx(kept["accuracy"]["seeds"][0], abs=1e-6)
    assert judged["loss"] == pytest.approx(kept["nll"]["seeds"][0], abs=1e-5)


def test_equal_budgets(finished):
    """Each row costs 4 epochs; the snapshots' rate begins anew at half."""
    workdir, _ = finished
    rates = {}
    for run in ("single", "snapshot_m2", "independent_m2_1", "independent_m2_2"):
        with open(workdir / "seed3" / run / "history.csv") as file:
            rates[run] = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    # At an epoch's end the optimizer is at the first step of the next.
    assert rates["snapshot_m2"] == pytest.approx([0.025, 0.05, 0.025, 0.05], abs=1e-6)
    cosine = [0.05 * (1 + np.cos(np.pi * epoch / 4)) / 2 for epoch in (1, 2, 3, 4)]
    assert rates["single"] == pytest.approx(cosine, abs=1e-6)
    assert rates["independent_m2_1"] == pytest.approx([0.025, 0], abs=1e-6)
    assert rates["independent_m2_2"] == pytest.approx([0.025, 0], abs=1e-6)


def test_the_report_does_not_speak_of_a_deviation_over_one_seed(finished):
    page = (finished[0] / "report.html").read_text()
    assert "4 epochs of training; one seed. snapshot:" in page


def test_no_two_independent_nets_of_an_ensemble_start_alike(tmp_path):
    for m in (2, 3, 5):
        seeds = [
            settings.seed
            for seed in range(6)
            for name, settings in snapshot_ensemble.runs(
                snapshot_ensemble.Config(epochs=30, cycles=(m,)), tmp_path, seed
            ).items()
            if name.startswith("independent")
        ]
        assert len({*seeds}) == len(seeds) == 6 * m


def test_members_never_see_the_test_split(finished):
    workdir, _ = finished
    for path in workdir.glob("seed*/*/metrics.json"):
        assert json.loads(path.read_text())["test_accuracy"] is None
    assert len(list(workdir.glob("seed*/*/metrics.json"))) == 4


def test_a_finished_run_is_not_repeated(finished, monkeypatch):
    workdir, metrics = finished
    times = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    monkeypatch.setattr(train, "main", None)
    assert snapshot_ensemble.main(config(workdir)) == metrics
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == times


@pytest.fixture
def unfinished(finished, tmp_path):
    """A copy of the finished run that was stopped before its tables were made."""
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    return tmp_path / "run"


def test_only_what_is_missing_is_trained_and_all_ends_alike(finished, unfinished, monkeypatch):
    """Stopped by Ctrl-C in the run of snapshots."""
    shutil.rmtree(unfinished / "seed3" / "averages")
    shutil.rmtree(unfinished / "seed3" / "snapshot_m2")
    real, calls = train.main, []

    def stopped(settings):
        calls.append(pathlib.Path(settings.workdir).name)
        if calls[-1] == "snapshot_m2":
            raise Interrupted("stopped at step 1; resume with: cvcourse train")
        return real(settings)

    monkeypatch.setattr(train, "main", stopped)
    with pytest.raises(Interrupted, match=r"resume with: .*snapshot_ensemble .*--workdir=\S*/run$"):
        snapshot_ensemble.main(config(unfinished))
    assert calls == ["single", "snapshot_m2"]
    monkeypatch.setattr(train, "main", real)
    times = [path.stat().st_mtime_ns for path in sorted(unfinished.glob("seed*/single/*"))]
    metrics = snapshot_ensemble.main(config(unfinished))
    assert times == [path.stat().st_mtime_ns for path in sorted(unfinished.glob("seed*/single/*"))]
    for name in ("rows", "chosen", "validation_error_of_first_k"):
        assert metrics[name] == finished[1][name]


def test_the_last_m_without_a_test_split(unfinished):
    """Of two snapshots the last; the test split stays unread."""
    here = config(unfinished, last_m=1, test=False)
    begun = json.loads((unfinished / "config.json").read_text())
    write_json(unfinished / "config.json", begun | dataclasses.asdict(here))
    metrics = snapshot_ensemble.main(here)
    assert {row: found["members"] for row, found in metrics["rows"].items()} == {
        row: 2 if row == "independent_m2" else 1 for row in MEMBERS
    }
    assert metrics["chosen"]["ensemble"] == "independent_m2"
    assert "test" not in metrics["rows"]["single"]
    last = keras.models.load_model(unfinished / "seed3/snapshot_m2/snapshots/4.keras")
    validation = data.load("digits", limit=96).validation
    wrong = np.argmax(last(validation.images), axis=1) != validation.labels
    assert metrics["validation_error_of_first_k"]["2"] == pytest.approx([wrong.mean()])


@pytest.mark.parametrize(
    ("epochs", "cycles"), [(60, (2, 3, 4, 5, 6)), (12, (2, 3, 4, 6)), (10, (2, 5))]
)
def test_cycles_are_those_that_divide_the_epochs(epochs, cycles):
    assert snapshot_ensemble.cycles_of(snapshot_ensemble.Config(epochs=epochs)) == cycles


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--epochs=4 --cycles=3", "--cycles=3 does not divide --epochs=4"),
        ("--epochs=4 --cycles=2,4 --last_m=3", "--last_m=3 exceeds the M=2 snapshots of a run"),
        ("--epochs=7", "no number of cycles from 2 to 6 divides --epochs=7"),
        ("--cycles=1", "--cycles expects a whole number of at least 2"),
        ("--cycles=2,2", "--cycles expects one or more different values"),
        ("--seeds=none", "--seeds expects one or more different values"),
        ("--seeds=1,1", "--seeds expects one or more different values"),
        ("--schedule=linear", "unknown --schedule 'linear'"),
        ("--model=lenet", "did you mean 'lenet5'"),
        ("--augment=crpo", "did you mean 'crop'"),
        ("--dataset=digit", "did you mean 'digits'"),
    ],
)
def test_bad_values_leave_one_line_and_nothing_written(flags, message, tmp_path, capsys):
    argv = [*flags.split(), f"--workdir={tmp_path / 'run'}"]
    assert snapshot_ensemble.cli(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
