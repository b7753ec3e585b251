"""Dates into ISO 8601: the recipe learns, goes on and writes what it should."""

import csv
import json
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from crash import started, until
from cvcourse.recipes import translate
from recipe_runs import assert_same_run

from cvcourse import __main__ as command_line
from cvcourse import data, training
from cvcourse.data import dates
from cvcourse.errors import UsageError

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = dict(
    cell="lstm",
    units=8,
    embedding=4,
    dropout=0.3,
    examples=60,
    held_out=20,
    epochs=3,
    batch_size=20,
)
STEPS = 3  # an epoch


def config(workdir, **settings):
    return translate.Config(**{**SMALL, "workdir": str(workdir), **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    return workdir, translate.main(config(workdir))


def test_metrics_are_those_of_the_saved_model(finished):
    """The loss of what is taught, and exact match of what is said step after step, in NumPy."""
    workdir, metrics = finished
    assert "translate" in command_line.recipes()
    model = keras.models.load_model(workdir / "model.keras", compile=False)
    pairs = dates.load(SMALL["examples"], SMALL["held_out"])
    inputs, labels, _ = dates.rows(pairs.validation)
    logits = model.predict(inputs, verbose=0).astype("float64")
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -np.take_along_axis(logs, labels[..., None], -1).mean()
    assert metrics["val_loss"] == pytest.approx(loss, rel=1e-5)
    source = dates.encode_sources([pair.source for pair in pairs.test])
    tokens = np.full((len(source), 12), data.START, "int32")
    for step in range(11):
        said = model.predict({"source": source, "tokens": tokens[:, :-1]}, verbose=0)
        tokens[:, step + 1] = said[:, step].argmax(-1)
    texts = [dates.decode_target(row) for row in tokens]
    translator = translate.best(config(workdir), workdir)
    assert translator.translate([pair.source for pair in pairs.test]) == texts
    right = np.mean([pair.target == text for pair, text in zip(pairs.test, texts, strict=True)])
    assert metrics["test_exact_match"] == right
    assert metrics["parameters"] == model.count_params()


def test_what_a_run_leaves(finished):
    workdir, metrics = finished
    assert json.loads((workdir / "metrics.json").read_text()).items() <= metrics.items()
    with open(workdir / "history.csv") as file:
        rows = [*csv.DictReader(file)]
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert (len(rows), int(best["epoch"])) == (metrics["epochs"], metrics["best_epoch"])
    assert float(best["val_loss"]) == metrics["val_loss"]
    page = (workdir / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 2  # curves and attention
    for pair in dates.load(SMALL["examples"], SMALL["held_out"]).test[:16]:
        assert f"<td>{pair.source}</td><td>{pair.target}</td>" in page


class Stop(BaseException):
    """A crash of the test's making."""


@pytest.mark.slow
def test_resume_is_exact_from_within_an_epoch(finished, tmp_path, monkeypatch):
    after = training.ExactResume.on_train_batch_end

    def hook(self, batch, logs=None):
        after(self, batch, logs)
        if self.step == STEPS + 2:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(training.ExactResume, "on_train_batch_end", hook)
        with pytest.raises(Stop):
            translate.main(config(tmp_path, checkpoint_minutes=1e-9))
    translate.main(config(tmp_path))
    assert_same_run(finished[0], tmp_path)


@pytest.mark.slow
def test_kill_9_and_go_on(finished, tmp_path):
    settings = {**SMALL, "workdir": tmp_path / "war", "checkpoint_minutes": 1e-9}
    command = [sys.executable, "-m", "cvcourse", "translate"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    process = started(command)
    until(lambda: any((tmp_path / "war").glob("checkpoints/*.npz")), process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "war" / "metrics.json").exists()
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
    assert_same_run(finished[0], tmp_path / "war")


def test_a_finished_run_translates_and_trains_nothing(finished, capsys, monkeypatch):
    workdir, metrics = finished
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}
    monkeypatch.setattr(keras.Model, "fit", None)
    assert translate.main(config(workdir, translate="March 3, 1984")) == metrics
    out = capsys.readouterr().out
    assert "is finished" in out
    assert re.search(r"^March 3, 1984 -> [-\d]*$", out, re.MULTILINE)
    assert {p: p.stat().st_mtime_ns for p in workdir.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"translate": "3 märz 1984"}, "the training dates do not have the character 'ä'"),
        ({"translate": "3" * 37}, "a date of up to 36 characters, such as '3 march 1984'; receiv"),
        ({"translate": ""}, "received 0: ''"),
        ({"examples": 10}, "batch_size=20 exceeds the 10 training examples"),
        ({"examples": 80_000}, "there are 73049 days"),
        ({"model": "transfomer"}, "did you mean 'transformer'"),
        ({"model": "transformer", "units": 6}, "6 channels cannot be divided among 4 heads"),
    ],
)
def test_what_it_refuses_before_it_writes(changes, message, tmp_path, capsys):
    settings = {**SMALL, "workdir": tmp_path / "run", **changes}
    assert translate.cli([f"--{name}={value}" for name, value in settings.items()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_another_runs_directory_is_refused(finished):
    with pytest.raises(UsageError, match="differs in seed"):
        translate.main(config(finished[0], seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_defaults_reach_99_percent(seed, tmp_path):
    setting = translate.Config(seed=seed, workdir=str(tmp_path / "run"))
    assert translate.main(setting)["test_exact_match"] >= 0.99
