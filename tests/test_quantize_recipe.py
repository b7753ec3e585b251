"""The recipe `quantize`: rows of the saved networks and of the int8 file; resumed exactly."""

import csv
import dataclasses
import shutil
from unittest import mock

import keras
import numpy as np
import pytest
from cvcourse.recipes import quantize, train

from cvcourse import compression, data, fine_tuning, training
from cvcourse.compression import litert

pytestmark = pytest.mark.usefixtures("undrawn")

SETTINGS = dict(
    dataset="digits",
    model="mlp",
    model_args={"hidden": (16, 8)},
    limit=64,
    bits=(8, 2),
    epochs=3,
    qat_epochs=1,
    batch_size=16,
    calibration_images=20,
)


def config(workdir, **settings):
    return quantize.Config(**{**SETTINGS, "workdir": str(workdir), **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    with mock.patch("cvcourse.training.report.svg", return_value=""):  # it takes much time
        return workdir, quantize.main(config(workdir))


def without_seconds(metrics):
    rows = [{key: row[key] for key in row if key != "seconds"} for row in metrics["rows"]]
    return {**metrics, "rows": rows, "seconds": None}


def test_rows_are_of_the_networks(finished):
    workdir, metrics = finished
    digits = data.load("digits", limit=64)
    dense, _ = training.load_model(workdir / "dense/model.keras")
    images, labels = digits.test.images[:].astype("float32"), digits.test.labels
    found = np.array(dense(images)).argmax(1)
    assert metrics["float"]["float_test_accuracy"] == pytest.approx((found == labels).mean())
    assert metrics["float"]["bytes"] == 4 * dense.count_params()
    images_of_calibration = quantize.calibration_images(config(workdir), digits.train)
    assert images_of_calibration.shape == (20, 8, 8, 1)
    parameters = 64 * 16 + 16 + 16 * 8 + 8 + 8 * 10 + 10
    scales_and_biases = 2 * (16 + 8 + 10)
    for row, bits in zip(metrics["rows"], (8, 2), strict=True):
        net = compression.quantization_aware(dense, bits)
        net = compression.calibrate(net, images_of_calibration)
        found = np.array(net(images)).argmax(1)
        assert row["ptq_test_accuracy"] == pytest.approx((found == labels).mean())
        weights = parameters - scales_and_biases // 2
        normalization = dense.count_params() - parameters
        assert row["bytes"] == weights * bits // 8 + 4 * (scales_and_biases + normalization)
    file = (workdir / "model_int8.tflite").read_bytes()
    row = metrics["rows"][0]
    assert row["int8_bytes"] == len(file) and "int8_bytes" not in metrics["rows"][1]
    found = litert.predict(file, images).argmax(1)
    assert row["int8_test_accuracy"] == pytest.approx((found == labels).mean())


def test_the_report_has_the_table(finished):
    workdir, metrics = finished
    text = (workdir / "report.html").read_text()
    rows = quantize.table(metrics["float"], metrics["rows"])
    assert [row[0] for row in rows] == ["weights", "float32, not rounded", "8 bits", "2 bits"]
    for cell in (*rows[1], *rows[2]):
        assert cell in text
    with (workdir / "float/history.csv").open() as file:  # trained as long without rounding
        *_, last = csv.DictReader(file)
    accuracy = float(last["val_accuracy"])
    assert metrics["float"]["qat_val_accuracy"] == pytest.approx(accuracy, abs=1e-4)
    assert rows[1][2] == f"{100 * metrics['float']['qat_test_accuracy']:.2f}"


@pytest.mark.slow
def test_stopped_and_resumed(finished, tmp_path, monkeypatch):
    """After the last training is lost with the metrics, only that one is repeated."""
    shutil.copytree(finished[0], workdir := tmp_path / "run")
    (workdir / "metrics.json").unlink()
    history = workdir / "2_bits/history.csv"
    before = history.read_text()
    shutil.rmtree(history.parent)
    monkeypatch.setattr(train, "dry_run", None)  # the float network is not trained again
    again = quantize.main(config(workdir))
    changed = {"workdir", *(key for key in again if "path" in key)}
    one, other = (without_seconds(metrics) for metrics in (again, finished[1]))
    assert {k: v for k, v in one.items() if k not in changed} == {
        k: v for k, v in other.items() if k not in changed
    }
    assert history.read_text() == before
    monkeypatch.setattr(quantize, "quantized", None)
    assert quantize.main(config(workdir)) == again


@pytest.mark.slow
def test_from_a_source_per_tensor_without_training(finished, tmp_path):
    source = str(finished[0] / "dense")
    settings = {"source": source, "dataset": "auto", "limit": None, "qat_epochs": 0}
    metrics = quantize.main(config(tmp_path / "run", per_tensor=True, **settings))
    rows = metrics["rows"]
    assert [(row["bits"], row["per_channel"]) for row in rows] == [
        *((8, True), (2, True), (8, False), (2, False)),
    ]
    assert rows[1]["ptq_test_accuracy"] == finished[1]["rows"][1]["ptq_test_accuracy"]
    assert "qat_test_accuracy" not in rows[0]
    table = quantize.table(metrics["float"], rows)
    assert table[-1][0] == "2 bits, per tensor" and table[-1][2] == "–"


def test_the_int8_file_of_a_network_of_photos_takes_resized_ones(tmp_path, monkeypatch, capsys):
    """LiteRT has no resizing with antialiasing; a network without a file is no error."""
    digits = data.load("digits", limit=40)
    photo = keras.Input((None, None, 1))
    x = keras.ops.image.resize(photo, (8, 8), antialias=True)
    x = keras.layers.Rescaling(1 / 16)(x)
    logits = keras.layers.Dense(10)(keras.layers.Flatten()(x))
    model = compression.quantization_aware(keras.Model(photo, logits))
    model = compression.calibrate(model, digits.train.images[:])
    trained = fine_tuning.Trained(model, digits.class_names, digits, tmp_path)
    found = quantize.int8_file(tmp_path / "net.tflite", trained, model)
    (validation,) = fine_tuning.evaluate(model, dataclasses.replace(digits, test=None))[:1]
    assert found["int8_val_accuracy"] == pytest.approx(validation.accuracy, abs=0.03)
    assert found["int8_bytes"] == (tmp_path / "net.tflite").stat().st_size

    def refuse(model):
        raise ValueError("LiteRT cannot represent it")

    monkeypatch.setattr(litert, "convert", refuse)
    assert quantize.int8_file(tmp_path / "other.tflite", trained, model) == {}
    assert "no int8 file: LiteRT cannot represent it" in capsys.readouterr().out
    assert not (tmp_path / "other.tflite").exists()


def test_the_default_arguments_are_of_mobilenet_alone(tmp_path, monkeypatch):
    class Stop(Exception):
        """The check of the network."""

    def stop(model):
        raise Stop(model.name)

    monkeypatch.setattr(compression, "quantization_aware", stop)
    with pytest.raises(Stop, match="lenet5"):
        quantize.main(
            quantize.Config(dataset="digits", model="lenet5", workdir=str(tmp_path / "run"))
        )


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--bits=1"], "--bits expects"),
        (["--bits=9"], "--bits expects"),
        (["--bits=4,4"], "--bits"),
        (["--activation_bits=1"], "--activation_bits expects"),
        (["--calibration_images=9"], "--calibration_images expects"),
        (["--source=nowhere"], "--source=nowhere: no such run directory, .keras or .cvz file"),
    ],
)
def test_what_is_refused(flags, line, tmp_path, capsys):
    flags = ["--dataset=digits", "--model=mlp", "--limit=64", *flags]
    assert quantize.cli([*flags, f"--workdir={tmp_path / 'run'}"]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
