"""The main job from outside: what it leaves, how it goes on, what it refuses."""

import csv
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from crash import started, survives_kills_after_checkpoints
from cvcourse.recipes import train
from recipe_runs import assert_same_run, state

import cvcourse
from cvcourse import data, optimization, recipe, training
from cvcourse.errors import Interrupted, RunError, UsageError
from cvcourse.recipe import groups
from cvcourse.recipe.semantics import SEMANTICS

pytestmark = pytest.mark.usefixtures("undrawn")

# Everything whose state must survive: dropout, augmentation, momentum, schedule, early stopping.
SETTINGS = dict(
    epochs=6,
    limit=160,
    batch_size=16,
    dropout=0.3,
    augment=("crop", "shift"),
    schedule="step",
    warmup_epochs=1.0,
    patience=3,
    checkpoint_minutes=1e-9,
)
STEPS = 10  # an epoch: 160 / 16


def config(workdir, **settings):
    return train.Config(**{**SETTINGS, "workdir": str(workdir), **settings})


def weights(path):
    return keras.models.load_model(path).get_weights()


def rows(workdir):
    """history.csv, as numbers."""
    with open(workdir / "history.csv") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An uninterrupted run and its metrics."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    return workdir, train.main(config(workdir))


@pytest.mark.parametrize(
    ("old", "new"),
    [("settled", "resolve"), ("prepared", "build_and_compile"), ("rehearse", "dry_run")],
)
def test_old_names_warn_with_the_new_one(old, new):
    with pytest.warns(FutureWarning, match=rf"train\.{old} is now called .*train\.{new};"):
        assert getattr(train, old) is getattr(train, new)


def test_what_a_run_leaves(finished):
    workdir, metrics = finished
    names = {
        "config.json",
        "history.csv",
        "metrics.json",
        "model.keras",
        "report.html",
        "checkpoints",
        "tensorboard",
    }
    assert {p.name for p in workdir.iterdir() if p.name[0] != "."} == names
    paths = {"workdir": str(workdir), "model": str(workdir / "model.keras")}
    assert {**json.loads((workdir / "metrics.json").read_text()), **paths} == metrics
    assert len(metrics) == len(json.loads((workdir / "metrics.json").read_text())) + len(paths)
    assert set(metrics) >= {
        "test_accuracy",
        "test_loss",
        "val_accuracy",
        "val_loss",
        "best_epoch",
        "epochs",
        "seconds",
        "images_per_second",
        "parameters",
        "seed",
        "versions",
    }
    assert metrics["parameters"] == 61_706
    assert metrics["seed"] == 0
    assert dataclasses.asdict(config(workdir)) | {
        "recipe": "train",
        "version": cvcourse.__version__,
        "semantics": SEMANTICS,
    } == {**json.loads((workdir / "config.json").read_text()), "augment": ("crop", "shift")}


BEFORE = pathlib.Path(__file__).parent / "run_directories" / "0.1.0"  # train's, of that version
FIRST = ["--model=linear", "--limit=100"]  # its flags


def test_a_finished_run_of_the_first_version_is_read(tmp_path, capsys):
    """And trained anew from its config, which has neither recipe nor version nor all fields."""
    shutil.copytree(BEFORE / "finished", tmp_path / "run")
    assert train.cli([*FIRST, "--epochs=2", f"--workdir={tmp_path / 'run'}"]) == 0
    assert '"test_accuracy": 0.17,' in capsys.readouterr().out
    parsed = recipe.parse(train.Config, [f"--config={tmp_path / 'run' / 'config.json'}"])
    assert parsed == train.Config(model="linear", limit=100, epochs=2)
    _, names = training.load_model(tmp_path / "run" / "model.keras")
    assert names == tuple("0123456789")


def test_an_unfinished_run_of_the_first_version_is_refused(tmp_path, capsys):
    shutil.copytree(BEFORE / "unfinished", tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert train.cli([*FIRST, "--epochs=2000", f"--workdir={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert "contains an unfinished run: version 0.1.0 started it" in error
    assert error.endswith("install version 0.1.0 to resume it, or choose another directory\n")
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_history_and_best_epoch(finished):
    workdir, metrics = finished
    history = rows(workdir)
    columns = "epoch loss accuracy val_loss val_accuracy learning_rate"
    assert list(history[0]) == columns.split()
    assert [row["epoch"] for row in history] == list(range(1, metrics["epochs"] + 1))
    best = min(history, key=lambda row: row["val_loss"])
    assert best["epoch"] == metrics["best_epoch"]
    assert best["val_loss"] == pytest.approx(metrics["val_loss"], abs=1e-5)
    assert best["val_accuracy"] == pytest.approx(metrics["val_accuracy"], abs=1e-6)
    assert history[0]["learning_rate"] == pytest.approx(0.05)


def test_the_saved_model_takes_raw_images(finished):
    """In a process that imports cvcourse.layers at most; accuracy and loss are metrics.json's."""
    workdir, metrics = finished
    test = data.load("digits", limit=SETTINGS["limit"]).test
    np.savez(workdir / ".test.npz", x=test.images, y=test.labels)
    code = (
        "import cvcourse.layers, keras, numpy, json; "
        f"d = numpy.load({str(workdir / '.test.npz')!r}); "
        f"m = keras.models.load_model({str(workdir / 'model.keras')!r}); "
        "print(json.dumps(m.evaluate(d['x'], d['y'], verbose=0, return_dict=True)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    judged = json.loads(ran.stdout.splitlines()[-1])
    assert judged["accuracy"] == pytest.approx(metrics["test_accuracy"], abs=1e-6)
    assert judged["loss"] == pytest.approx(metrics["test_loss"], abs=1e-5)
    assert training.class_names(workdir / "model.keras") == tuple("0123456789")


def test_a_finished_run_says_so_and_does_nothing(finished, capsys):
    workdir, metrics = finished
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}
    assert train.main(config(workdir, checkpoint_minutes=3.0)) == metrics
    kept = json.loads((workdir / "metrics.json").read_text())
    assert f"{workdir} is finished: {json.dumps(kept)}" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in workdir.rglob("*")} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(seed=1), "differs in seed (there 0, here 1)"),
        (dict(epochs=9), "epochs (there 6, here 9); only a run with --schedule=constant"),
        (dict(epochs=9, extend=True), "only a run with --schedule=constant"),
    ],
)
def test_another_config_is_refused(finished, change, message):
    with pytest.raises(UsageError) as error:
        train.main(config(finished[0], **change))
    assert message in str(error.value)


class Stop(BaseException):
    """A crash of the test's making."""


def interrupted(workdir, at, crash, monkeypatch, **settings):
    """Run until step `at`, then `crash()`; the step's checkpoint is written before."""
    after = training.ExactResume.on_train_batch_end

    def hook(self, batch, logs=None):
        after(self, batch, logs)
        if self.step == at:
            crash()

    monkeypatch.setattr(training.ExactResume, "on_train_batch_end", hook)
    try:
        train.main(config(workdir, **settings))
    finally:
        monkeypatch.undo()


def stop():
    raise Stop


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(1, marks=pytest.mark.slow),
        pytest.param(STEPS - 1, marks=pytest.mark.slow),
        pytest.param(STEPS, marks=pytest.mark.slow),
        pytest.param(STEPS + 5, marks=pytest.mark.slow),
        4 * STEPS + 9,
    ],
    ids=lambda step: f"step{step}",
)
def test_resume_from_any_step_is_exact(finished, at, tmp_path, monkeypatch):
    with pytest.raises(Stop):
        interrupted(tmp_path, at, stop, monkeypatch)
    train.main(config(tmp_path))
    assert_same_run(finished[0], tmp_path)


def test_resume_after_a_damaged_checkpoint_is_exact(finished, tmp_path, monkeypatch, capsys):
    with pytest.raises(Stop):
        interrupted(tmp_path, 25, stop, monkeypatch)
    newest = max((tmp_path / "checkpoints").glob("*.npz"))
    newest.write_bytes(newest.read_bytes()[:1000])
    train.main(config(tmp_path))
    assert "is damaged" in capsys.readouterr().err
    assert_same_run(finished[0], tmp_path)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
def test_signals_checkpoint_first(finished, number, tmp_path, monkeypatch):
    with pytest.raises(Interrupted, match=r"stopped at step 14; resume with: .*--workdir="):
        interrupted(
            tmp_path, 13, lambda: signal.raise_signal(number), monkeypatch, checkpoint_minutes=99.0
        )
    assert max((tmp_path / "checkpoints").glob("*.npz")).name.startswith("step-000000014")
    train.main(config(tmp_path))
    assert_same_run(finished[0], tmp_path)


def test_history_is_written_again_from_the_checkpoint(finished, tmp_path):
    """As after a kill between the checkpoint and history.csv."""
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    (tmp_path / "run" / "history.csv").write_text("epoch\n")
    train.main(config(tmp_path / "run"))
    assert_same_run(finished[0], tmp_path / "run")


def test_moved_data_go_on(tmp_path, tiny_npz):
    """The checkpoint knows what it was trained on; where that lies is no matter."""
    settings = dict(dataset=str(tiny_npz), model="linear", epochs=1, schedule="constant")
    settings |= dict(batch_size=8, warmup_epochs=0.0, dropout=0.0, augment=())
    train.main(config(tmp_path / "run", **settings))
    (tmp_path / "run" / "metrics.json").unlink()  # killed in its last moment
    moved = tiny_npz.rename(tmp_path / "elsewhere.npz")
    metrics = train.main(config(tmp_path / "run", **{**settings, "dataset": str(moved)}))
    assert metrics["epochs"] == 1


def test_a_line_an_epoch_with_the_losses_of_history_csv(tmp_path, capsys):
    """150 and not a whole number of batches of validation images: none may count that is none."""
    workdir = tmp_path / "run"
    train.main(config(workdir, epochs=2, batch_size=64, limit=150, patience=None))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    for number, (line, row) in enumerate(zip(lines, rows(workdir), strict=True), start=1):
        assert line.startswith(f"epoch {number}/2  ")
        shown = dict(pair.split() for pair in line.split("  ")[1:])
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert float(shown[name]) == pytest.approx(float(row[name]), rel=1e-3)


def test_data_that_changed_meanwhile_are_refused(tmp_path, tiny_npz, arrays):
    """And the finished run that was to be extended is still finished."""
    settings = dict(
        dataset=str(tiny_npz), epochs=2, schedule="constant", batch_size=8, warmup_epochs=0.0
    )
    train.main(config(tmp_path / "run", **settings))
    np.savez(tiny_npz, **arrays | {"x_train": arrays["x_train"] // 2})
    with pytest.raises(RunError, match="the data have changed since"):
        train.main(config(tmp_path / "run", **{**settings, "epochs": 3, "extend": True}))
    assert train.main(config(tmp_path / "run", **settings))["epochs"] == 2


def test_nan_in_validation_is_no_best_epoch(tmp_path, monkeypatch):
    evaluate = keras.Model.evaluate

    def broken(self, *args, **options):
        logits = self.get_layer("logits")
        kept = logits.get_weights()
        logits.set_weights([np.full_like(array, np.nan) for array in kept])
        try:
            return evaluate(self, *args, **options)
        finally:
            logits.set_weights(kept)

    monkeypatch.setattr(keras.Model, "evaluate", broken)
    with pytest.raises(RunError, match="the validation loss became nan at step 10"):
        train.main(config(tmp_path))
    assert not (tmp_path / "model.keras").exists()


def test_a_lost_model_file_is_named(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    for name in ("metrics.json", "model.keras"):
        (tmp_path / "run" / name).unlink()
    with pytest.raises(RunError, match=r"cannot read .*model\.keras"):
        train.main(config(tmp_path / "run"))


def test_a_flipped_bit_in_the_best_model_is_one_line(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    path = tmp_path / "run" / "model.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    message = (
        f"^cannot read a model from {path}: Bad CRC-32 .*; it contained the best epoch: train again"
    )
    with pytest.raises(RunError, match=message):
        train.main(config(tmp_path / "run"))


def test_a_history_that_cannot_be_written_is_named(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    for name in ("metrics.json", "history.csv"):
        (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / "history.csv").mkdir()
    with pytest.raises(RunError, match=r"cannot write .*history\.csv: Is a directory"):
        train.main(config(tmp_path / "run"))


def test_extension_equals_the_longer_run(tmp_path):
    settings = dict(schedule="constant", patience=None)
    train.main(config(tmp_path / "long", epochs=3, **settings))
    train.main(config(tmp_path / "short", epochs=2, **settings))
    train.main(config(tmp_path / "short", epochs=3, extend=True, **settings))
    assert_same_run(tmp_path / "long", tmp_path / "short")


@pytest.mark.parametrize(
    ("own", "message"),
    [({}, "rate of dropped paths grows over the run's length"), ({"drop_path_steps": 9}, None)],
)
def test_a_ramp_over_the_run_s_length_cannot_be_extended(own, message, tmp_path, monkeypatch):
    begun = dict(NASNET, model_args=NASNET_ARGS | own, schedule="constant", epochs=2)
    fields = dataclasses.asdict(config(tmp_path, **begun))
    text = json.dumps(recipe.semantics.origin("train") | fields)
    (tmp_path / "config.json").write_text(text)
    monkeypatch.setattr(train, "build_and_compile", lambda *_: stop())
    with pytest.raises(UsageError if message else Stop, match=message):
        train.main(config(tmp_path, **begun | {"epochs": 3, "extend": True}))


def test_early_stopping_waits_and_weighs(tmp_path):
    """The rest of what its arguments do is in test_training.py."""
    settings = dict(limit=64, patience=1, schedule="constant", epochs=30)
    metrics = train.main(config(tmp_path, **settings, start_from_epoch=3, min_delta=9.0))
    assert (metrics["epochs"], metrics["best_epoch"]) == (5, 4)


CVCOURSE = [sys.executable, "-m", "cvcourse", "train"]


def train_process(*flags, **options):
    """A process of `cvcourse train`."""
    return started([*CVCOURSE, *flags], **options)


def flags(**settings):
    return [f"--{k}={','.join(v) if isinstance(v, tuple) else v}" for k, v in settings.items()]


@pytest.mark.slow
def test_kill_9_at_random_moments(tmp_path):
    """Killed twice, anywhere between the first checkpoint and the end, then left in peace."""
    settings = {**SETTINGS, "epochs": 40, "patience": 30, "average": "swa", "snapshots": 4}
    train.main(config(tmp_path / "peace", **settings))
    argv = flags(**settings, workdir=tmp_path / "war")
    survives_kills_after_checkpoints([*CVCOURSE, *argv], tmp_path / "war")
    assert_same_run(tmp_path / "peace", tmp_path / "war")


def bad_npz(path, **arrays):
    good = dict(
        x_train=np.zeros((40, 8, 8), "uint8"),
        y_train=np.arange(40) % 4,
        x_test=np.zeros((8, 8, 8), "uint8"),
        y_test=np.arange(8) % 4,
    )
    np.savez(path, **{**good, **arrays})
    return str(path)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (dict(model="lenet"), UsageError, "unknown model 'lenet': did you mean 'lenet5'"),
        (dict(dataset="digit"), UsageError, "unknown dataset 'digit': did you mean 'digits'"),
        (dict(dataset="absent/folder"), RunError, "there is no folder or .npz file absent/folder"),
        (dict(model_args={"width": 2}), UsageError, "lenet5: unknown argument 'width'"),
        (dict(model_args={"activation": "rleu"}), UsageError, "rleu"),
        (dict(model_args={"num_classes": 3}), UsageError, "num_classes is set by the dataset"),
        (dict(model_args={"input_shape": (32, 32, 1)}), UsageError, "set by --input_shape"),
        (dict(model_args={"dropout": 0.5}), UsageError, "dropout is set by --dropout"),
        (dict(model="mlp", model_args={"hidden": 64}), UsageError, "hidden takes several values"),
        (dict(model="mlp", model_args={"hidden": ("a",)}), UsageError, ""),
        (dict(input_shape=(16, 16, 1)), UsageError, "32x32 pixels or more"),
        (dict(input_shape=(32, 32, 4)), UsageError, "1 channels and the net takes 4"),
        (dict(input_shape=(32,)), UsageError, "input_shape is (height, width, channels)"),
        (dict(warmup_epochs=6.0), UsageError, "must be shorter than the run"),
        (dict(optimizer="adm"), UsageError, "did you mean 'adam'"),
        (dict(optimizer="lbfgs"), UsageError, "use `cvcourse optimizers`"),
        (dict(schedule="shifted_cosine", cycles=4), UsageError, "--cycles=4 does not divide --ep"),
        (dict(schedule="shifted_cosine"), UsageError, "needs cycles"),
        (dict(schedule="cosine", cycles=2), UsageError, "has no cycles"),
        (
            dict(schedule="cosine", milestones=(3,)),
            UsageError,
            "--milestones and --factor need --schedule=step; received --schedule=cosine",
        ),
        (dict(schedule="linear", factor=0.5), UsageError, "need --schedule=step; received"),
        (dict(milestones=(4, 2)), UsageError, "--milestones must ascend between the 1"),
        (dict(milestones=(3, 6)), UsageError, "epochs of the warm-up and --epochs=6"),
        (dict(milestones=()), UsageError, "milestones must ascend between"),
        (dict(milestones=(60,), milestone_unit="steps"), UsageError, "60 of the run; received 60"),
        (dict(factor=1.0), UsageError, "--factor expects a number above 0 and below 1"),
        (dict(accumulate=61), UsageError, "--accumulate=61 exceeds the 60 batches of the"),
        (dict(snapshots=12), UsageError, "--snapshots=12 does not divide --epochs=6"),
        (dict(start_from_epoch=6), UsageError, "must be below --epochs=6"),
        (
            dict(loss="hinge", label_smoothing=0.1),
            UsageError,
            "--loss=hinge needs class numbers as labels",
        ),
        (dict(loss="hinge", augment=("crop", "mixup")), UsageError, "needs class numbers"),
        (dict(label_smoothing=1.0), UsageError, "--label_smoothing expects a number of at least 0"),
        (dict(clip_norm=0.0), UsageError, "--clip_norm expects a number above 0"),
        (dict(stochastic_depth=0.5), UsageError, "lenet5 has no blocks to drop"),
        (
            dict(model="resnet20", model_args={"survival": 0.5}, stochastic_depth=0.5),
            UsageError,
            "survival is set by --stochastic_depth",
        ),
        (dict(learning_rate=1e9, optimizer="sgd", warmup_epochs=0.0), RunError, "at step"),
    ],
    ids=str,
)
def test_bad_values_leave_one_sentence_and_no_directory(settings, kind, message, tmp_path):
    with pytest.raises(kind) as error:
        train.main(config(tmp_path / "run", **settings))
    assert message in str(error.value)
    assert (tmp_path / "run").exists() == (kind is RunError and "at step" in message)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (dict(y_train=np.arange(40) % 4 - 1), "negative label -1"),
        (dict(x_train=np.zeros((40, 8, 8, 2), "uint8")), "1 (gray) or 3 (RGB)"),
        (dict(x_test=np.full((8, 8, 8), np.nan)), "NaN"),
    ],
)
def test_bad_data_end_with_one_line_and_exit_code_1(arrays, message, tmp_path, capsys):
    path = bad_npz(tmp_path / "bad.npz", **arrays)
    assert train.cli([f"--dataset={path}", f"--workdir={tmp_path / 'run'}"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_nan_loss_keeps_the_last_good_checkpoint(tmp_path):
    rate = dict(
        learning_rate=50.0, optimizer="sgd", warmup_epochs=5.9, model_args={"activation": "relu"}
    )
    with pytest.raises(
        RunError, match=r"the loss became (nan|inf) at step \d+ \(epoch \d, batch \d+\)"
    ):
        train.main(config(tmp_path, **rate))
    for name, array in state(tmp_path).items():
        assert np.isfinite(array).all(), name


def test_disk_full_keeps_the_old_checkpoint(finished, tmp_path, monkeypatch):
    from cvcourse.training import checkpoint

    real, calls = checkpoint.write_bytes, []

    def full(path, content):
        calls.append(path)
        if len(calls) > 12:
            raise OSError(28, "No space left on device")
        real(path, content)

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    with pytest.raises(
        RunError, match="step 13: No space left on device; the last good checkpoint is kept"
    ):
        train.main(config(tmp_path))
    monkeypatch.undo()
    train.main(config(tmp_path))
    assert_same_run(finished[0], tmp_path)


def test_a_truncated_image_is_named(tmp_path, image_folder):
    folder = image_folder(train=10, val=4)
    victim = folder / "train" / "bee" / "3.png"
    victim.write_bytes(victim.read_bytes()[:-40])
    with pytest.raises(data.DataError, match=r"cannot read the image .*bee/3\.png"):
        train.main(config(tmp_path / "run", dataset=str(folder), model="linear", dropout=0.0))


def test_folders_without_test_split_are_judged_on_validation(tmp_path, image_folder):
    run, folder = tmp_path / "run", str(image_folder(train=10, val=4))
    settings = dict(dataset=folder, model="linear", dropout=0.0, epochs=2, patience=None)
    metrics = train.main(config(run, **settings))
    assert metrics["test_accuracy"] is None
    assert "no test split" in (run / "report.html").read_text()


RESNET = dict(model="resnet20", model_args={"depth": 8})


@pytest.mark.parametrize(
    "settings",
    [
        dict(
            average="ema",
            augment=("pca_color", "cutout", "mixup", "cutmix"),
            snapshots=4,
            accumulate=3,
        ),
        *(
            pytest.param(settings, marks=pytest.mark.slow)
            for settings in (
                dict(
                    RESNET,
                    precision="mixed_bfloat16",
                    average="swa",
                    snapshots=4,
                    stochastic_depth=0.5,
                ),
                dict(RESNET, precision="mixed_float16", average="ema", clip_norm=1.0),
                dict(loss="hinge", average="swa", optimizer="almost_adam", learning_rate=1e-3),
                dict(label_smoothing=0.1, schedule="shifted_cosine", cycles=4, average="ema"),
                dict(RESNET, average="swa", augment=("mixup",), scale_learning_rate=64),
            )
        ),
    ],
    ids=str,
)
def test_whatever_is_switched_on_resumes_exactly(settings, tmp_path, monkeypatch):
    """Stopped inside the last of 8 epochs of 2 steps: SWA averages the last two."""
    settings = dict(limit=32, epochs=8, patience=None) | settings
    train.main(config(tmp_path / "peace", **settings))
    with pytest.raises(Stop):
        interrupted(tmp_path / "war", 15, stop, monkeypatch, **settings)
    train.main(config(tmp_path / "war", **settings))
    assert_same_run(tmp_path / "peace", tmp_path / "war")
    kept = {path.name for path in tmp_path.glob("peace/snapshots/*")}
    assert kept == ({f"{i}.keras" for i in (2, 4, 6, 8)} if "snapshots" in settings else set())


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_the_learning_rate_goes_by_updates(accumulate, tmp_path):
    """Batches of an epoch that are left go into an update of the next: 10 of them, by fours."""
    settings = dict(epochs=4, schedule="linear", warmup_epochs=0.0, learning_rate=0.05)
    settings |= dict(model="linear", dropout=None, augment=(), test=False)
    train.main(config(tmp_path, **settings, patience=None, accumulate=accumulate))
    total = 4 * STEPS // accumulate
    expected = [0.05 * (1 - epoch * STEPS // accumulate / total) for epoch in (1, 2, 3, 4)]
    found = [row["learning_rate"] for row in rows(tmp_path)]
    np.testing.assert_allclose(found, expected, atol=1e-8)
    if accumulate < 4:
        np.testing.assert_allclose(found, [0.0375, 0.025, 0.0125, 0], atol=1e-8)


@pytest.mark.parametrize(
    "flags",
    [
        ("--milestones=2,3.5",),
        ("--milestones=2,3.5", "--accumulate=5"),
        ("--milestones=20,35", "--milestone_unit=steps"),
        ("--milestones=4,7", "--milestone_unit=steps", "--accumulate=5"),
    ],
    ids=str,
)
def test_milestones_of_epochs_and_of_updates(flags):
    """Of 4 epochs of 10 batches: the first and last updates of each rate."""
    given = recipe.parse(train.Config, ["--schedule=step", "--epochs=4", "--factor=0.5", *flags])
    rate = optimization.schedule_of(given, STEPS)
    first, second = (int(m) // given.accumulate for m in (20, 35))
    found = [float(rate(step)) for step in (0, first - 1, first, second - 1, second)]
    np.testing.assert_allclose(found, [0.05, 0.05, 0.025, 0.025, 0.0125], rtol=1e-6)


def judged(loss, logits, labels):
    """The mean data loss in NumPy."""
    rows = np.arange(len(labels))
    own = logits[rows, labels][:, None]
    if loss == "softmax":
        return np.log(np.exp(logits - own).sum(1)).mean()
    return np.maximum(0, logits - own + 1).sum(1).mean() - 1


@pytest.mark.parametrize(
    "settings",
    [
        dict(loss="softmax", average="ema", label_smoothing=0.3, augment=("cutmix",)),
        dict(loss="hinge", average="swa"),
    ],
    ids=str,
)
def test_losses_are_of_the_data_alone(settings, tmp_path):
    """Of whole labels, without penalty and smoothing, of the model that is kept."""
    settings = dict(settings, epochs=3, limit=150, batch_size=64, weight_decay=0.1, snapshots=3)
    metrics = train.main(config(tmp_path, **settings, patience=None))
    digits = data.load("digits", limit=150)
    for row in rows(tmp_path):
        model = keras.models.load_model(tmp_path / "snapshots" / f"{row['epoch']:.0f}.keras")
        logits = model.predict(digits.validation.images, verbose=0)
        expected = judged(settings["loss"], logits, digits.validation.labels)
        assert row["val_loss"] == pytest.approx(expected, rel=1e-4)
    model = keras.models.load_model(tmp_path / "model.keras")
    logits = model.predict(digits.test.images, verbose=0)
    expected = judged(settings["loss"], logits, digits.test.labels)
    assert metrics["test_loss"] == pytest.approx(expected, rel=1e-4)
    assert metrics["val_loss"] == pytest.approx(min(row["val_loss"] for row in rows(tmp_path)))


def test_the_test_split_stays_unread(tmp_path, image_folder):
    folder = image_folder(train=10, val=4, test=2)
    victim = folder / "test" / "bee" / "1.png"
    victim.write_bytes(victim.read_bytes()[:-40])
    settings = dict(dataset=str(folder), model="linear", dropout=None, epochs=2, patience=None)
    metrics = train.main(config(tmp_path / "run", **settings, test=False))  # nothing is raised
    assert (metrics["test_accuracy"], metrics["test_loss"]) == (None, None)


def paths(model):
    return [layer for layer in model.layers if layer.name.endswith("drop_path")]


def drop_rates(model):
    return [path.rate for path in paths(model)]


def last_schedule(model):
    return paths(model)[-1].rate, paths(model)[-1].steps


def learning_rate(model):
    return float(model.optimizer.learning_rate)


def loss_of_2_and_0(model):
    """The compiled loss of these scores where the first class is the right one."""
    label = [[1.0, 0.0]] if isinstance(model.loss, keras.losses.CategoricalCrossentropy) else [0]
    return float(model.loss(np.array(label), np.array([[2.0, 0.0]])))


CONVNEXT = dict(model="convnext_tiny", model_args={"depths": (1, 1), "widths": (8, 16)})
NASNET_ARGS = {"repeats": 1, "penultimate_filters": 24}
NASNET = dict(model="nasnet_cifar", model_args=NASNET_ARGS)
OWN_STEPS = dict(NASNET, model_args=NASNET_ARGS | {"drop_path_steps": 9})
IN_RUN = dict(epochs=3, batch_size=8, accumulate=2)  # of 32 images


@pytest.mark.parametrize(
    ("settings", "seen", "expected"),
    [
        (dict(batch_size=8), learning_rate, pytest.approx(0.05)),
        (dict(batch_size=8, scale_learning_rate=32), learning_rate, pytest.approx(0.0125)),
        (dict(clip_norm=0.5), lambda m: m.optimizer.global_clipnorm, 0.5),
        (dict(RESNET), drop_rates, []),
        (dict(RESNET, stochastic_depth=0.6), drop_rates, pytest.approx([0.2, 0.4, 0.6])),
        (dict(CONVNEXT, stochastic_depth=0.4), drop_rates, pytest.approx([0.4])),
        (dict(NASNET, **IN_RUN), last_schedule, (0.4, 12)),
        (dict(OWN_STEPS, **IN_RUN, stochastic_depth=0.2), last_schedule, (0.2, 9)),
        (dict(NASNET, epochs=1, batch_size=100), last_schedule, (0.4, 1)),
        # -(0.9 log p1 + 0.1 log p2)
        (dict(label_smoothing=0.2), loss_of_2_and_0, pytest.approx(np.log(1 + np.exp(-2)) + 0.2)),
        (dict(loss="hinge"), loss_of_2_and_0, pytest.approx(0)),
    ],
)
def test_switches_reach_the_model(settings, seen, expected):
    settings = train.Config(**{"schedule": "constant", **settings})
    model = train.build(settings, data.load("digits", limit=32))
    assert seen(train.compiled(settings, model, 4)) == expected


def test_gray_images_into_an_rgb_net(tmp_path):
    metrics = train.main(config(tmp_path, input_shape=(36, 32, 3), epochs=1, warmup_epochs=0.0))
    assert metrics["parameters"] == 61_706 + 2 * 150 + 120 * 16 * 5  # RGB in C1; a row more into C5


def test_choices_are_what_there_is():
    def choices(name):
        return set(train.Config.__dataclass_fields__[name].metadata["choices"])

    assert choices("augment") == {*data.AUGMENTATIONS, *data.MIXTURES}
    assert set(train.MIXING) == set(data.MIXTURES)
    assert choices("optimizer") == {*optimization.OPTIMIZERS, "lbfgs"}
    assert choices("schedule") == set(optimization.SCHEDULES)
    assert (groups.CYCLIC, train.EXTENDABLE) == (optimization.CYCLIC, optimization.EXTENDABLE)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5])
def test_digits_reach_what_the_readme_says(seeds, tmp_path, capsys):
    """The demo's setting: mean test accuracy over five seeds at least 98.5 %, none under 98 %."""
    accuracies = [
        train.main(train.Config(seed=seed, workdir=str(tmp_path / str(seed))))["test_accuracy"]
        for seed in range(seeds)
    ]
    assert np.mean(accuracies) >= 0.985, accuracies
    assert min(accuracies) >= 0.98, accuracies


@pytest.mark.slow
def test_the_wheel_runs_outside_the_clone(tmp_path):
    """Built and installed without network, then `python -m cvcourse` where no clone is in sight."""
    root = pathlib.Path(__file__).parent.parent
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", tmp_path, root], check=True
    )
    wheel = next(tmp_path.glob("*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel], check=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # which TensorFlow sets for those it starts
    where = "import cvcourse, cvcourse.recipes.benchmarks.networks as b; "
    where += "print(cvcourse.__file__, b.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", where], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.stdout.count(str(tmp_path / "site")) == 2, ran
    process = train_process("--limit=32", "--epochs=1", env=environment, cwd=tmp_path)
    out, error = process.communicate()
    assert process.returncode == 0, error
    assert error == ""
    assert "test accuracy: " in out
    assert list(tmp_path.glob("runs/train-lenet5-digits-*/report.html"))
