"""The recipe shrink: its table is that of the files, and of the techniques that it names."""

import io
import json
from unittest import mock

import keras
import numpy as np
import pytest
from cvcourse.recipes import shrink, train
from matplotlib.text import Text

from cvcourse import data, figures, models
from cvcourse.compression import compressed_file
from cvcourse.training import shrink_report

SETTINGS = dict(
    dataset="digits",
    model="mlp",
    model_args={"hidden": (24,)},
    limit=60,
    batch_size=16,
    epochs=2,
    fine_tune_epochs=2,
    seeds=None,
)


def config(workdir, **settings):
    return shrink.Config(**{**SETTINGS, "workdir": str(workdir), **settings})


def run(workdir, **settings):
    with mock.patch("cvcourse.training.report.svg", return_value=""):  # it takes most time
        return shrink.main(config(workdir, **settings))


def without_seconds(rows):
    return {
        row: {key: value for key, value in values.items() if key != "seconds"}
        for row, values in rows.items()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    return workdir, run(workdir, techniques=("prune",), density=0.25)


def test_the_table_is_that_of_the_files(finished):
    workdir, metrics = finished
    assert list(metrics["rows"]) == ["none", "prune"]
    digits = data.load("digits", limit=60)
    dense = keras.models.load_model(workdir / "dense" / "model.keras")
    for row, values in metrics["rows"].items():
        file = workdir / f"{row}.cvz"
        model = compressed_file.read(file)
        right = np.argmax(model.predict(digits.test.images, verbose=0), -1) == digits.test.labels
        assert values["test_accuracy"]["seeds"] == pytest.approx([right.mean()])
        assert values["bytes"]["mean"] == file.stat().st_size
        assert values["ratio"]["mean"] == 4 * dense.count_params() / file.stat().st_size
        assert values["macs"]["mean"] == models.cost(dense).macs == 64 * 24 + 24 * 10
    kernels = [w for w in model.get_weights() if w.ndim == 2]
    assert sum(np.count_nonzero(k) for k in kernels) == 0.25 * (64 * 24 + 24 * 10)
    before = np.argmax(dense.predict(digits.test.images, verbose=0), -1) == digits.test.labels
    assert metrics["rows"]["none"]["before_accuracy"]["mean"] == pytest.approx(before.mean())
    assert json.loads((workdir / "metrics.json").read_text())["rows"] == metrics["rows"]


def test_a_run_goes_on_from_its_trained_rows(finished, monkeypatch):
    workdir, metrics = finished
    kept = (workdir / "metrics.json").read_text()
    report = (workdir / "report.html").read_text()
    assert "MACs: multiply-accumulates for one image" in report
    (workdir / "metrics.json").unlink()
    monkeypatch.setattr(keras.Model, "fit", None)
    again = run(workdir, techniques=("prune",), density=0.25)
    assert without_seconds(again["rows"]) == without_seconds(metrics["rows"])
    (workdir / "metrics.json").write_text(kept)
    monkeypatch.setattr(train, "main", None)
    assert shrink.main(config(workdir, techniques=("prune",), density=0.25))["rows"]


@pytest.mark.slow
def test_all_techniques_with_two_seeds(tmp_path):
    network = dict(model="lenet5_caffe", model_args={}, student="mlp")
    settings = dict(network, student_args={"hidden": (8,)}, seeds=(0, 1))
    metrics = run(tmp_path / "run", **settings)
    rows = metrics["rows"]
    expected = [row for rows in shrink.ROWS.values() for row in rows]
    assert list(rows) == ["none", *expected]
    assert all(len(values["test_accuracy"]["seeds"]) == 2 for values in rows.values())
    size = {row: values["bytes"]["mean"] for row, values in rows.items()}
    assert size["share"] < size["bwn"] < size["ttq"] < size["quantize_4"] < size["quantize_8"]
    macs = {row: values["macs"]["mean"] for row, values in rows.items()}
    assert macs["factorize"] <= 0.5 * macs["none"] == 0.5 * macs["xnor"]
    assert macs["prune_filters"] < 0.5 * macs["none"]
    assert rows["student"]["bytes"]["mean"] == pytest.approx(rows["distill"]["bytes"]["mean"], 0.01)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--techniques=prnue", "did you mean 'prune'"),
        ("--density=1.5", "--density must be above 0 and at most 1; received 1.5"),
        ("--seeds=0,0", "--seeds expects one or more different values"),
        ("--fine_tune_epochs=1", "--fine_tune_epochs expects a whole number of at least 2"),
        ("--student=lenett5 --seeds=auto", "did you mean 'lenet5'"),
        (
            "--techniques=ternary --model=linear --seeds=auto",
            "ttq: linear has no kernel of at least 100",
        ),
        ("--source=nowhere", "--source=nowhere: no such run directory, .keras or .cvz file"),
    ],
)
def test_bad_values_leave_one_line_and_nothing_written(flags, message, tmp_path, capsys):
    argv = [*flags.split(), "--dataset=digits", "--limit=40", f"--workdir={tmp_path / 'run'}"]
    assert shrink.cli(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_rows_that_do_not_win():
    def row(bytes, macs, accuracy):
        return {"bytes": bytes, "macs": macs, "test_accuracy": accuracy, "val_accuracy": 0.0}

    rows = {
        "none": row(1000, 50, 0.9),
        "share": row(50, 50, 0.89),
        "twn": row(100, 50, 0.88),
        "prune_filters": row(300, 20, 0.8),
        "dense_sparse_dense": row(1000, 50, 0.9),
        "student": row(200, 10, 0.7),
        "distill": row(200, 10, 0.75),
    }
    assert shrink_report.losers(rows) == {
        "twn": "twn does not win: 100 bytes, 50 MACs, 88.00 %; share has 50 bytes, 50 MACs, "
        "89.00 %.",
        "dense_sparse_dense": "dense_sparse_dense does not win: 1,000 bytes, 50 MACs, 90.00 %; "
        "none has 1,000 bytes, 50 MACs, 90.00 %.",
    }
    untested = {name: {**values, "test_accuracy": None} for name, values in rows.items()}
    assert shrink_report.accuracy(untested["none"]) == 0.0


def test_distillation_is_hintons_loss():
    """Half the cross-entropy, half T^2 times the divergence of the softened probabilities."""
    teacher, student = (
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="logits")])
        for _ in range(2)
    )
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32") * 3
    labels = np.array([0, 1, 2, 3, 0])
    whole = shrink.distiller(teacher, student, 3.0)
    whole.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    found = whole.compute_loss(x, labels, student(x))

    def log_softmax(logits):
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    p, q = (log_softmax(np.array(net(x)) / 3) for net in (teacher, student))
    divergence = (np.exp(p) * (p - q)).sum(-1).mean()
    entropy = -log_softmax(np.array(student(x)))[range(5), labels].mean()
    np.testing.assert_allclose(found, 0.5 * entropy + 0.5 * 9 * divergence, rtol=1e-5)
    assert whole.trainable_variables == student.trainable_variables
    assert teacher.trainable  # the Distiller freezes a copy


def test_names_beside_the_points_do_not_overlap():
    points = {f"row{i}": (1000 * 1.05**i, 0.8 + 1e-4 * i) for i in range(12)} | {"far": (1e7, 0.1)}
    figure = figures.accuracy_by_bytes(points)
    figure.savefig(io.BytesIO())
    (ax,) = figure.axes
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without the lines
    assert [text.get_text() for text in ax.texts] == [*points]
    whole = figure.get_window_extent()
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
