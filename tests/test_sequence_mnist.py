"""The comparison of sequence nets: what they read, how far back they reach, and how it goes on."""

import json
import types

import keras
import numpy as np
import pytest
from cvcourse.recipes import sequence_mnist

from cvcourse import __main__ as command_line
from cvcourse import data, sequence, training

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = dict(
    models=("rnn", "gru"),
    read="rows",
    limit=60,
    units=8,
    num_heads=2,
    epochs=2,
    batch_size=16,
)


def config(workdir, **settings):
    return sequence_mnist.Config(**{**SMALL, "workdir": str(workdir), **settings})


def gradient_norms(model, split, steps):
    return sequence.input_gradient_norms(model, split.images, split.labels, steps)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    return workdir, sequence_mnist.main(config(workdir))


def test_it_is_a_recipe_of_nets_there_are():
    assert "sequence_mnist" in command_line.recipes()
    assert {*sequence_mnist.NETS.values()} <= {*sequence.REGISTRY}
    assert [*sequence_mnist.NETS] == [*sequence_mnist.RATES]


@pytest.mark.parametrize(("read", "shape"), [("rows", (4, 9)), ("pixels", (12, 3))])
def test_colors_are_part_of_a_step_and_rows_come_first(read, shape):
    """Of images of 4x3 pixels in 3 colors, normalized."""
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 3, 3), "uint8")
    split = data.Split(images, np.arange(6) % 2)
    colored = types.SimpleNamespace(train=split, input_shape=(4, 3, 3), num_classes=2)
    setting = sequence_mnist.Config(read=read, units=4)
    assert sequence_mnist.steps(setting, colored) == shape
    model = sequence_mnist.build(setting, "lstm", colored)
    read_by_it = keras.Model(model.input, model.get_layer("steps").output)(images)
    expected = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    np.testing.assert_allclose(read_by_it, expected.reshape(6, *shape), atol=1e-4)
    assert model(images).shape == (6, 2)


def test_every_net_looks_at_all_steps():
    """Before training, the Transformer's gradient is about as large at the first as at the last."""
    digits = data.load("digits", limit=20)
    setting = sequence_mnist.Config(**SMALL)
    for name in sequence_mnist.NETS:
        model = sequence_mnist.build(setting, name, digits)
        norms = gradient_norms(model, digits.validation, (8, 8))
        assert len(norms) == 8 and min(norms) > 0
        assert norms[0] < norms[-1] or name == "transformer"
    assert 0.3 < sequence.share_of_first_half(norms) < 0.7


def test_reach_is_back_propagation_through_time():
    """A vanilla RNN's, in NumPy: the norm of dL/dx_t for one example and the mean of two."""
    digits = data.load("digits", limit=2)
    setting = sequence_mnist.Config(read="pixels", units=4)
    shape = sequence_mnist.steps(setting, digits)
    assert shape == (64, 1)
    keras.utils.set_random_seed(0)  # some nets' gradients vanish below float32's precision
    model = sequence_mnist.build(setting, "rnn", digits)
    w_x, w_h, b = model.get_layer("layer1").get_weights()
    w_y, b_y = model.get_layer("logits").get_weights()
    layer = model.get_layer("normalization")
    mean, std = np.ravel(layer.mean).item(), np.sqrt(np.ravel(layer.variance).item())
    norms = []
    for image, label in zip(digits.validation.images, digits.validation.labels, strict=True):
        states = [np.zeros(4)]
        for x in (image.reshape(shape) - mean) / std:
            states.append(np.tanh(x @ w_x + states[-1] @ w_h + b))
        scores = np.exp(states[-1] @ w_y + b_y)
        back = w_y @ (scores / scores.sum() - np.eye(10)[label])
        found = []
        for state in states[:0:-1]:
            back = back * (1 - state**2)
            found.append(np.linalg.norm(w_x @ back) / std)
            back = w_h @ back
        norms.append(found[::-1])
    reach = gradient_norms(model, digits.validation, shape)
    np.testing.assert_allclose(reach, np.mean(norms, axis=0), rtol=1e-3)
    assert sequence.share_of_first_half([1.0, 2.0, 3.0, 4.0]) == 0.3


def test_metrics_are_those_of_the_saved_models(finished):
    workdir, metrics = finished
    digits = data.load("digits", limit=SMALL["limit"])
    assert [*metrics["nets"]] == [*SMALL["models"]]
    for name, row in metrics["nets"].items():
        model = keras.models.load_model(workdir / name / "model.keras")
        loss, accuracy = model.evaluate(digits.test.images, digits.test.labels, verbose=0)
        assert row["test_loss"] == pytest.approx(loss, rel=1e-4)
        assert row["test_accuracy"] == pytest.approx(accuracy, abs=1e-6)
        assert row["parameters"] == sum(w.size for w in map(np.array, model.trainable_weights))
        assert row["learning_rate"] == sequence_mnist.RATES[name]
        after = gradient_norms(model, digits.validation, (8, 8))
        assert row["gradient_norms"]["after"] == pytest.approx(after, rel=1e-4)
        keras.utils.set_random_seed(0)
        fresh = sequence_mnist.build(config(workdir), name, digits)
        before = gradient_norms(fresh, digits.validation, (8, 8))
        assert row["gradient_norms"]["before"] == pytest.approx(before, rel=1e-4)
    # Wx, Wh, b; logits
    assert metrics["nets"]["rnn"]["parameters"] == 8 * 8 + 8 * 8 + 8 + 10 * 9


def test_report_shows_it_and_a_second_time_nothing_is_run(finished, monkeypatch):
    workdir, metrics = finished
    assert json.loads((workdir / "metrics.json").read_text()).items() <= metrics.items()
    for page in (workdir / "report.html", workdir / "rnn" / "report.html"):
        assert page.read_text().count("data:image/svg+xml;base64,") == 2
    accuracy = metrics["nets"]["rnn"]["test_accuracy"]
    assert f"<td>rnn</td><td>{100 * accuracy:.2f}</td>" in (workdir / "report.html").read_text()
    monkeypatch.setattr(keras.Model, "fit", None)
    assert sequence_mnist.main(config(workdir)) == metrics


class Stop(BaseException):
    """A crash of the test's making."""


@pytest.mark.slow  # snapshot_ensemble and char_lm do by the same code
def test_resume_is_exact_and_repeats_no_finished_part(finished, tmp_path, monkeypatch):
    """Stopped within the second epoch of the second net."""
    after = training.ExactResume.on_train_batch_end

    def hook(self, batch, logs=None):
        after(self, batch, logs)
        if (self.model.name, self.step) == ("gru", self.steps_per_epoch + 1):
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(training.ExactResume, "on_train_batch_end", hook)
        with pytest.raises(Stop):
            sequence_mnist.main(config(tmp_path, checkpoint_minutes=1e-9))
    assert not (tmp_path / "metrics.json").exists()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "rnn").rglob("*")}
    metrics = sequence_mnist.main(config(tmp_path))
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "rnn").rglob("*")} == before
    for name in SMALL["models"]:
        one, other = (path / name for path in (finished[0], tmp_path))
        assert (one / "history.csv").read_text() == (other / "history.csv").read_text()
        models = [keras.models.load_model(path / "model.keras") for path in (one, other)]
        for a, b in zip(*(model.get_weights() for model in models), strict=True):
            np.testing.assert_array_equal(a, b)
        rows = [{**run["nets"][name], "seconds": 0} for run in (finished[1], metrics)]
        assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"models": "lstm,rnn,lstm"},
            "--models expects one or more different values; received ('lstm', ",
        ),
        ({"models": "none"}, "--models expects one or more different values; received ()"),
        ({"models": "ltsm"}, "did you mean 'lstm'"),
        ({"read": "columns"}, "choose from rows, pixels"),
        ({"dataset": "digit"}, "did you mean 'digits'"),
        ({"models": "transformer", "units": 9}, "9 channels cannot be divided among 2 heads"),
        ({"learning_rate": -1}, "--learning_rate expects a number above 0"),
    ],
)
def test_what_it_refuses_before_it_writes(changes, message, tmp_path, capsys):
    settings = {**SMALL, "models": "rnn", "workdir": tmp_path / "run", **changes}
    assert sequence_mnist.cli([f"--{name}={value}" for name, value in settings.items()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
