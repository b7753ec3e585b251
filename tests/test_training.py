"""Checkpoint files, evaluation and the report, each by itself."""

import dataclasses
import json
import os
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from cvcourse import training
from cvcourse.data import Dataset, Split
from cvcourse.errors import RunError
from cvcourse.training import checkpoint, doctor


def save(folder, step):
    checkpoint.save(folder, step, {"a": np.arange(step), "b": np.float32(step)}, {"step": step})


def test_checkpoints_come_back_to_the_bit_and_two_are_kept(tmp_path):
    for step in (1, 20, 300):
        save(tmp_path, step)
    arrays, values = checkpoint.load(tmp_path)
    assert values == {"step": 300}
    np.testing.assert_array_equal(arrays["a"], np.arange(300))
    assert arrays["b"] == np.float32(300)
    assert [path.name[:14] for path in sorted(tmp_path.iterdir())] == [
        "step-000000020",
        "step-000000300",
    ]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-7],
        lambda data: b"",
        lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:],
        lambda data: data + b" ",
    ],
)
def test_a_damaged_newest_checkpoint_is_set_aside_for_the_one_before(tmp_path, damage, capsys):
    save(tmp_path, 1)
    save(tmp_path, 2)
    newest = max(tmp_path.iterdir())
    newest.write_bytes(damage(newest.read_bytes()))
    assert checkpoint.load(tmp_path)[1] == {"step": 1}
    assert f"{newest} is damaged" in capsys.readouterr().err
    save(tmp_path, 3)
    assert checkpoint.load(tmp_path)[1] == {"step": 3}


@pytest.mark.parametrize("kind", ["a directory", "a pipe", "a device", "unreadable"])
def test_a_newest_checkpoint_that_is_no_file_is_set_aside_too(tmp_path, kind, capsys):
    save(tmp_path, 1)
    save(tmp_path, 2)
    newest = max(tmp_path.iterdir())
    newest.unlink()
    if kind == "a directory":
        newest.mkdir()
        (newest / "inside").write_text("")
    elif kind == "a pipe":
        os.mkfifo(newest)
    elif kind == "a device":
        newest.symlink_to("/dev/zero")
    else:
        newest.symlink_to(newest)  # nobody can open it
    assert checkpoint.load(tmp_path)[1] == {"step": 1}
    error = capsys.readouterr().err
    said = "cannot be read" if kind == "unreadable" else f"is {kind}, not a regular file"
    assert f"{newest} {said}" in error
    assert error.endswith(": it is set aside, the previous one is used\n")
    for step in (3, 4, 5):
        save(tmp_path, step)
    assert checkpoint.load(tmp_path)[1] == {"step": 5}
    assert capsys.readouterr().err == ""


def test_an_older_checkpoint_that_is_no_file_is_left_alone(tmp_path):
    (tmp_path / "step-000000001-0123456789abcdef.npz").mkdir()
    for step in (2, 3, 4):
        save(tmp_path, step)
    names = [path.name[:14] for path in sorted(tmp_path.iterdir())]
    assert names == ["step-000000001", "step-000000003", "step-000000004"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("epoch,loss\n1,x\n", "could not convert string to float: 'x'"),
        ("epoch,loss\n1\n", "float"),
        ("epoch,loss\n1,2,3\n", "float"),
    ],
)
def test_a_damaged_history_is_named(tmp_path, content, reason):
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss\n1,0.5\n2,0.25\n")
    expected = [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25}]
    assert training.read_history(tmp_path) == expected
    path.write_text(content)
    with pytest.raises(RunError, match=f"^cannot read {path}: .*{reason}.*; remove it and metrics"):
        training.read_history(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        training.read_history(tmp_path)
    path.mkdir()
    with pytest.raises(RunError, match=f"^{path} is a directory, not a regular file; remove it"):
        training.read_history(tmp_path)
    path.rmdir()
    path.write_bytes(b"\xff\x00")
    with pytest.raises(RunError, match=f"^cannot read {path}: "):
        training.read_history(tmp_path)


def test_where_all_are_damaged_it_says_so(tmp_path, capsys):
    for step in (1, 2):
        save(tmp_path, step)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert checkpoint.load(tmp_path) is None
    first, second = capsys.readouterr().err.splitlines()
    assert "the previous one is used" in first
    assert "without another, training starts anew" in second


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.load(tmp_path / "absent") is None
    (tmp_path / ".part-step-000000001-0123456789abcdef.npz").write_bytes(b"half")
    assert checkpoint.load(tmp_path) is None
    save(tmp_path, 1)
    assert len(list(tmp_path.iterdir())) == 1


def test_disk_full_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 2)
    assert checkpoint.load(tmp_path)[1] == {"step": 1}


class Stop(BaseException):
    """A crash of the test's making."""


def fit(folder, values, *, crash=None, monitor="val_loss", **rules):
    """What is left of 8 epochs of 2 steps, validated as `values`: the epochs run and the best."""
    model = model_of((2, 2, 1), 3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = ["accuracy", keras.metrics.MeanMetricWrapper(loss, name="data_loss")]
    model.compile("sgd", loss, metrics=metrics, run_eagerly=True)

    def step():
        return int(model.optimizer.iterations)

    def crashing(*_, **__):
        if step() == crash:
            raise Stop

    def validated(*_, **__):
        return dict.fromkeys(("loss", "data_loss", "accuracy"), values[step() // 2 - 1])

    model.evaluate = validated
    mode = "max" if monitor == "val_accuracy" else "min"
    early_stopping = keras.callbacks.EarlyStopping(monitor, mode=mode, **rules)
    options = dict(steps_per_epoch=2, minutes=1e-9, command="", data="")
    resume = training.ExactResume(model, folder, early_stopping=early_stopping, **options)
    callbacks = [
        training.LogUnregularizedLoss(),
        early_stopping,
        training.BestModel(folder / "model.keras", early_stopping, "abc"),
        training.Snapshots(folder / "snapshots", 1, "abc"),
        resume,
        keras.callbacks.LambdaCallback(on_train_batch_end=crashing),
    ]
    x, y = np.random.default_rng(0).normal(size=(4, 2, 2, 1)), np.arange(4) % 3
    for span in resume.spans(8):
        data = tf.data.Dataset.from_tensors((x, y)).repeat()
        options = dict(validation_data=(x, y), callbacks=callbacks, shuffle=False, verbose=0)
        model.fit(data, **options, **span)
    return len(resume.history), resume.best_epoch


def simulated(values, *, patience, min_delta=0.0, start_from_epoch=0, monitor="val_loss"):
    """Early stopping by hand: how many epochs are run, and which is the best, from 1."""
    sign = -1 if monitor == "val_accuracy" else 1
    best, best_epoch, wait = None, 1, 0
    for epoch, value in enumerate(values, start=1):
        if epoch <= start_from_epoch:
            continue
        if best is None or sign * value < sign * best - min_delta:
            best, best_epoch, wait = value, epoch, 0
        else:
            wait += 1
        if wait == patience:
            break
    return epoch, best_epoch


@pytest.mark.parametrize("crash", [5, 6])  # inside the third epoch, and at its end
@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ([9, 8, 7, 7.5, 7.6, 6, 5, 4], dict(patience=2)),
        ([9, 8, 7, 7.5, 6, 6.5, 5, 4], dict(patience=2)),
        ([9, 8.9, 8.8, 8.7, 8.2, 8.19, 8.18, 8.17], dict(patience=3, min_delta=0.5)),
        ([5, 1, 9, 8, 8, 8, 7, 6], dict(patience=2, start_from_epoch=2)),
        ([1, 9, 9, 9, 9, 9, 9, 9], dict(patience=1, start_from_epoch=4)),
        ([0.5, 0.6, 0.6, 0.55, 0.7, 0.7, 0.7, 0.7], dict(patience=2, monitor="val_accuracy")),
        ([9, 8, 7, 6, 5, 4, 3, 2], dict(patience=1)),
    ],
)
def test_early_stopping_is_a_hand_simulation(values, rules, crash, tmp_path):
    """Across a resume too; model.keras is that of the best epoch."""
    with pytest.raises(Stop):
        fit(tmp_path, values, crash=crash, **rules)
    epochs, best = fit(tmp_path, values, **rules)
    assert (epochs, best) == simulated(values, **rules)
    assert len(list((tmp_path / "snapshots").iterdir())) == epochs
    kept, same = (
        keras.models.load_model(tmp_path / name).get_weights()
        for name in ("model.keras", f"snapshots/{best}.keras")
    )
    for array, expected in zip(kept, same, strict=True):
        np.testing.assert_array_equal(array, expected)


LOGITS = np.array([[2, 0, 1], [0, 3, 0], [1, 0, 5], [0, 0.5, 0]], "float32")
EVALUATION = training.Evaluation(LOGITS, np.array([0, 1, 0, 2]))


def test_evaluation_against_numpy():
    p = np.exp(LOGITS.astype("float64")) / np.exp(LOGITS.astype("float64")).sum(1, keepdims=True)
    assert EVALUATION.accuracy == 0.5
    assert EVALUATION.loss == pytest.approx(-np.log(p[range(4), [0, 1, 0, 2]]).mean(), abs=1e-12)
    np.testing.assert_array_equal(EVALUATION.confusion, [[1, 0, 1], [0, 1, 0], [0, 1, 0]])
    examples, probabilities = EVALUATION.confident_mistakes(5)
    np.testing.assert_array_equal(examples, [2, 3])
    np.testing.assert_allclose(probabilities, [p[2, 2], p[3, 1]])


def test_hinge_loss_by_hand():
    """The first two are ahead by more than 1, the third behind one, the fourth behind both."""
    assert training.Evaluation(LOGITS, EVALUATION.labels, "hinge").loss == pytest.approx(
        np.mean([0, 0, (0 - 1 + 1) + (5 - 1 + 1), 1 + 1.5])
    )


def test_losses_of_huge_logits_are_finite():
    assert training.Evaluation(np.array([[1e4, 0.0]], "float32"), np.array([1])).loss == 1e4


def model_of(shape, classes):
    image = keras.Input(shape, name="image")
    return keras.Model(
        image, keras.layers.Dense(classes, name="logits")(keras.layers.Flatten()(image))
    )


def test_saved_models_know_their_classes_and_evaluate(tmp_path):
    model, path = model_of((2, 2, 1), 3), tmp_path / "model.keras"
    training.save_model(model, path, ("cat", "dog", "ünï <b>"))
    assert training.class_names(path) == ("cat", "dog", "ünï <b>")
    loaded = keras.models.load_model(path)
    x, y = np.random.default_rng(0).normal(size=(8, 2, 2, 1)).astype("float32"), np.arange(8) % 3
    np.testing.assert_array_equal(loaded(x), model(x))
    accuracy = loaded.evaluate(x, y, verbose=0, return_dict=True)["accuracy"]
    assert accuracy == pytest.approx((np.argmax(model(x), 1) == y).mean())


HOSTILE = "<script>alert('x')</script>"


@dataclasses.dataclass
class Settings:
    dataset: str
    seed: int = 0


def report(tmp_path, *, classes=3, images=None, test_accuracy=0.5, loss="softmax", timed_steps=30):
    images = (
        np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3)).astype("uint8")
        if images is None
        else images
    )
    split = Split(images, EVALUATION.labels)
    names = (HOSTILE, r"$\frac{$ 漢字", *(f"class {i}" for i in range(2, classes)))
    logits = np.pad(LOGITS, [[0, 0], [0, classes - 3]], constant_values=-9)
    judged = training.Evaluation(logits, EVALUATION.labels, loss)
    there = test_accuracy is not None
    history = [
        dict(epoch=e, loss=1.0, accuracy=0.5, val_loss=0.9, val_accuracy=0.6, learning_rate=0.1)
        for e in (1, 2)
    ]
    training.write_results(
        tmp_path,
        title=f"net on {HOSTILE}",
        config=Settings(dataset=HOSTILE),
        dataset=Dataset(split, split, split if there else None, names),
        model=model_of(images.shape[1:], classes),
        validation=judged,
        test=judged if there else None,
        trained=types.SimpleNamespace(
            history=history,
            best_epoch=1,
            timed_steps=timed_steps,
            step_seconds=0.3,
            total_seconds=lambda: 60.0,
        ),
        batch_size=10,
        seconds=61.0,
    )
    return (tmp_path / "report.html").read_text()


def test_report_stands_alone_and_says_what_it_should(tmp_path):
    page = report(tmp_path)
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("data:image/png") == 2  # the mistakes
    assert page.count("data:image/svg+xml") == 2  # curves and confusion matrix
    for text in ("50.00 %", "228<", "1.0 min", "class 2", "confused with", "logits", "Dense"):
        assert text in page


def test_a_report_has_the_parts_that_are_given_in_order(tmp_path, capsys):
    image = np.zeros((2, 2, 3))
    parts = dict(
        galleries={"Pictures": [(image, "black")], "No pictures": []},
        texts={"Text": "a <b>"},
        tables={"Table": [["name", "share"], ["cat", (0.5, "50 %")]]},
        sections=[{"caption": "Last", "paragraphs": ["of all"], "notes": ["and a note"]}],
    )
    given = dict(title="Title", metrics={"accuracy": 0.5}, config={"seed": 3}, lead=["Lead"])
    metrics = training.write_report(tmp_path, **given, **parts)
    kept = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == {**kept, "workdir": str(tmp_path)}  # and no model, where none is saved
    assert metrics["accuracy"] == 0.5
    page = (tmp_path / "report.html").read_text()
    captions = ["Table", "Text", "Pictures", "Last", "Settings"]
    assert re.findall("<h2>(.*?)</h2>", page) == captions
    assert '50 %<span class="bar"><i style="width: 50.0%">' in page
    assert "<pre>a &lt;b&gt;</pre>" in page
    assert capsys.readouterr().out == f"report: {tmp_path / 'report.html'}\n"
    (tmp_path / "model.keras").touch()
    training.write_report(tmp_path, **given)
    files = {"report": "report.html", "model": "model.keras"}
    printed = [f"{name}: {tmp_path / file}" for name, file in files.items()]
    assert capsys.readouterr().out.splitlines() == printed


def test_a_run_without_a_timed_step_has_no_speed(tmp_path):
    assert "total time; training at 1,000 images/s" in report(tmp_path)
    assert "<b>1.0 min</b><span>total time</span>" in report(tmp_path, timed_steps=0)


def test_report_escapes_the_user_s_words(tmp_path):
    page = report(tmp_path)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((4, 5, 5, 1), "uint8"),
        np.random.default_rng(0).normal(size=(4, 5, 5, 3)).astype("float32"),
        np.full((4, 5, 5, 3), 7.0, "float32"),
    ],
)
def test_report_shows_any_image(tmp_path, images):
    assert report(tmp_path, images=images).count("data:image/png") == 2


def test_report_of_many_classes_and_no_test_split(tmp_path):
    page = report(tmp_path, classes=100, test_accuracy=None)
    assert "class 99" in page
    assert "no test split" in page


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("softmax", ["test loss (nats)", "the mean cross-entropy"]),
        ("hinge", ["test loss<", "the mean multiclass SVM loss", "does not train to be probab"]),
    ],
)
def test_report_says_which_loss_it_is(tmp_path, loss, words):
    page = report(tmp_path, loss=loss)
    assert [text for text in words if text not in page] == []


def test_versions_and_machine():
    assert training.versions()["keras"] == keras.__version__
    assert f"{os.cpu_count()} CPU cores" in training.machine()


def test_precision_is_put_back():
    before = keras.config.dtype_policy().name
    with training.precision("mixed_bfloat16"):
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before
    assert json.loads(json.dumps(before)) == "float32"


def test_representations_are_short():
    """Numbers of a few digits and no arrays, however much data there are."""
    labels = np.arange(5000, dtype="int32") % 10
    evaluation = training.Evaluation(np.zeros((5000, 10), "float32"), labels)
    assert repr(evaluation) == (  # ln 10; all are predicted as class 0
        "Evaluation(accuracy=0.1000, loss=2.3026, examples=5000, classes=10, loss_name='softmax')"
    )
    kernel = np.zeros((500, 10))
    probe = training.Probe("svm", "C=0.1", accuracy=0.95, kernel=kernel, bias=kernel[0])
    assert repr(probe) == "Probe(svm, C=0.1, accuracy=0.9500)"
    neighbors = training.Probe("knn", "k=5", vectors=kernel, labels=labels[:500], neighbors=5)
    assert repr(neighbors) == "Probe(knn, k=5, accuracy=0.0000)"
    row = training.LayerStatistics("a/c1", "Conv2D", (8, 8, 6), 1 / 3, 2 / 3, gradient_std=1e-7)
    assert repr(row) == (
        "LayerStatistics(name='a/c1', kind='Conv2D', shape=(8, 8, 6), mean=0.333, std=0.667, "
        "gradient_std=1e-07)"
    )
    curves = {"losses": [0.1] * 1000}
    finding = doctor.Finding("learning_rate", doctor.FAIL, 0.05, [0.1, 1 / 3], "Raise.", {}, curves)
    assert repr(finding) == "Finding(learning_rate, fail, value=0.05, advice='Raise.')"
    assert repr(doctor.Finding("pipeline", doctor.SKIP)) == "Finding(pipeline, skip)"


def test_conclude_is_an_old_name():
    with pytest.warns(FutureWarning, match="training.conclude is now called .*evaluate_and_report"):
        assert training.conclude is training.evaluate_and_report
