"""The recipe `export`: files of a run, measured; `classify` and `evaluate` take them."""

import json
import pathlib
import shlex

import numpy as np
import pytest
from cvcourse.recipes import classify, evaluate, export, train
from PIL import Image

from cvcourse import classifier, data, training
from cvcourse.compression import deployment


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of an mlp on digits, with the path of its folder."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    settings = dict(model="mlp", model_args={"hidden": (16,)}, dataset="digits", limit=300)
    train.main(train.Config(epochs=3, workdir=str(workdir), **settings))
    return workdir


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("exported") / "run"
    targets = ("litert", "litert_int8", "onnx")
    settings = dict(targets=targets, calibrate=30, measure=True, rounds=1)
    return workdir, export.main(
        export.Config(source=str(trained), workdir=str(workdir), **settings)
    )


def test_the_rows_have_all_measures(trained, exported):
    workdir, metrics = exported
    model, names = training.load_model(trained / "model.keras")
    test = data.load("digits", limit=300).test
    predicted = np.array(model(test.images[:].astype("float32"))).argmax(1)
    assert metrics["keras"] == {
        "accuracy": pytest.approx((predicted == test.labels).mean()),
        "images": len(test),
    }
    details = json.loads((workdir / "targets.json").read_text("utf-8"))
    assert details["targets"] == metrics["targets"] and details["class_names"] == [*names]
    for target in ("litert", "onnx"):
        assert metrics["targets"][target]["accuracy"] == metrics["keras"]["accuracy"]
        assert metrics["targets"][target]["agreement"] == 1
    assert 0.9 < metrics["targets"]["litert_int8"]["agreement"] <= 1
    assert metrics["targets"]["litert_int8"]["accuracy"] > metrics["keras"]["accuracy"] - 0.03
    for row in metrics["targets"].values():
        for size in (1, 32):
            low, high = row[f"seconds_batch_{size}"]["quartiles"]
            assert 0 < low <= row[f"seconds_batch_{size}"]["median"] <= high < 1
            assert 0 <= row[f"peak_bytes_batch_{size}"] < 1e9
    text = (workdir / "report.html").read_text("utf-8")
    for cells in export.files_table(metrics["targets"], metrics["keras"]):
        assert all(cell in text for cell in cells)
    for cells in export.speed_table(metrics["targets"])[1:]:
        assert cells[1][1] in text and cells[2] in text and 0 < cells[1][0] <= 1
    assert (workdir / "run_onnx.py").is_file()


def test_a_finished_export_is_not_repeated(trained, exported, monkeypatch):
    workdir, metrics = exported
    monkeypatch.setattr(deployment, "export", None)
    settings = dict(targets=("litert", "litert_int8", "onnx"), calibrate=30, measure=True, rounds=1)
    again = export.main(export.Config(source=str(trained), workdir=str(workdir), **settings))
    assert again == metrics


@pytest.mark.parametrize("name", ["litert.tflite", "onnx.onnx"])
def test_classify_and_evaluate_take_files(trained, exported, name, tmp_path, capsys):
    file = str(exported[0] / name)
    pixels = data.load("digits").test.images[0] * 15
    Image.fromarray(pixels[..., 0].astype("uint8")).save(tmp_path / "x.png")
    photo = str(tmp_path / "x.png")
    (own,) = classify.main(classify.Config(photos=(photo,), model=str(trained))).values()
    (found,) = classify.main(classify.Config(photos=(photo,), model=file)).values()
    assert [name for _, name in found] == [name for _, name in own]
    np.testing.assert_allclose([p for p, _ in found], [p for p, _ in own], atol=1e-5)
    metrics = evaluate.main(
        evaluate.Config(file, "digits", split="test", workdir=str(tmp_path / "run"))
    )
    model, _ = training.load_model(trained / "model.keras")
    test = data.load("digits").test
    predicted = np.array(model(test.images[:].astype("float32"))).argmax(1)
    assert metrics["accuracy"] == pytest.approx((predicted == test.labels).mean())


def test_the_dataset_of_an_export_is_not_that_of_a_training(exported):
    """Else `evaluate` would take images of calibration for those of the training."""
    folder = exported[0]
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "dataset": "digits"}))
    loaded = classifier.load(str(folder / "litert.tflite"), exported=True)
    (folder / "config.json").write_text(json.dumps(config))
    assert loaded.run == {} and loaded.folder == folder


def test_the_report_of_training_ends_with_the_command(trained):
    text = (trained / "report.html").read_text("utf-8")
    command = f"cvcourse export --source={shlex.quote(str(trained))} --targets=litert,onnx"
    assert command in text


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 2, "no network to export: cvcourse export --source=runs/train/x"),
        (["--source=mobilenet", "--targets=tflite"], 2, "unknown --targets 'tflite': did you mean"),
        (["--source=nowhere/x"], 2, "nowhere/x is neither a run's directory nor a"),
        (["--source=RUN", "--calibrate=9"], 2, "--calibrate expects a whole number of at least 10"),
        (["--source=FILE", "--targets=litert_int8"], 2, "litert_int8 needs images of a training"),
        (["--source=EXPORTED"], 2, "is an exported network, which `classify` and `evaluate` run"),
    ],
)
def test_bad_input(flags, code, message, trained, exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.keras").write_bytes((trained / "model.keras").read_bytes())
    places = {"RUN": trained, "FILE": tmp_path / "own.keras", "EXPORTED": exported[0]}
    places["EXPORTED"] = exported[0] / "litert.tflite"
    for name, path in places.items():
        flags = [flag.replace(name, str(path)) for flag in flags]
    assert export.cli(flags) == code
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1, err
    assert not pathlib.Path("runs").exists()


def test_a_missing_runtime_is_told_before_any_work(trained, monkeypatch, capsys):
    monkeypatch.setattr(deployment, "_is_installed", lambda module: module != "tf2onnx")
    assert export.cli([f"--source={trained}", "--targets=litert,onnx"]) == 2
    assert "onnx needs: pip install tf2onnx, or: pip install cvcourse[onnx]" in (
        capsys.readouterr().err
    )


def test_the_targets_are_those_of_the_package():
    assert tuple(deployment.TARGETS) == export.TARGETS
