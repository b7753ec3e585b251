"""The notebooks, run top to bottom: on a few images, offline."""

import json
import pathlib
import sys
import types

import h5py
import keras
import keras_tuner  # noqa: F401  it asks for IPython while it is imported, and not for a stub
import numpy as np
import pytest
from PIL import Image

from cvcourse.models import pretrained

FOLDER = pathlib.Path(__file__).parents[1] / "recipes" / "notebooks"
pytestmark = pytest.mark.usefixtures("offline", "undrawn")


def run(name, **parameters):
    """Execute a notebook's cells with other values for the names in capitals; its names."""
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names = {}
    for cell in code:
        exec(cell, names)
        names.update({key: value for key, value in parameters.items() if key in names})
    return names


@pytest.fixture(autouse=True)
def notebook(tmp_path, monkeypatch):
    """A folder of its own, and what shows a page there."""
    shown = []
    monkeypatch.chdir(tmp_path)
    page = types.SimpleNamespace(HTML=str, display=shown.append)
    stub = types.SimpleNamespace(version_info=(9, 0, 0), get_ipython=lambda: None, __path__=[])
    monkeypatch.setitem(sys.modules, "IPython", stub)
    monkeypatch.setitem(sys.modules, "IPython.display", page)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return shown


def test_no_outputs_are_kept():
    for path in FOLDER.glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        assert not any(cell.get("outputs") for cell in cells)


def test_train(notebook):
    names = run("train", EPOCHS=1, LIMIT=64)
    assert names["accuracy"] == pytest.approx(names["metrics"]["val_accuracy"], abs=1e-6)
    assert "Confusion matrix" in notebook[0]


def test_transfer(notebook, tmp_path, monkeypatch):
    net = pretrained.build_source("keras.mobilenet", width=0.25)
    theirs = keras.applications.MobileNet(alpha=0.25, weights=None, classifier_activation=None)
    pretrained.load_keras(theirs, net)
    monkeypatch.setenv("CVCOURSE_WEIGHTS", str(tmp_path))
    with h5py.File(tmp_path / "mobilenet_2_5_224_tf.h5", "w") as file:  # in the first Keras' form
        layers = [layer for layer in theirs.layers if layer.weights]
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [weight.name.encode() for weight in layer.weights]
            for weight in layer.weights:
                group[weight.name] = np.array(weight)
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for name, color in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                noise = rng.integers(-30, 30, (40, 50, 3))
                Image.fromarray(np.uint8(np.array(color) + noise)).save(folder / f"{i}.png")
    names = run("transfer", DATASET="photos", EPOCHS=1, LIMIT=None)
    assert len(names["history"].history["accuracy"]) == 1
    assert names["metrics"]["method"] == "probe"
    assert "Nearest neighbors" in notebook[0]
    ((_, likeliest), _) = names["classes"]["photo.png"]
    assert likeliest in ("red", "blue")


def test_tune(notebook):
    names = run("tune", EPOCHS=1, LIMIT=64, TRIALS=2)
    assert names["found"]["trials"] == 2
    assert names["metrics"]["val_accuracy"] == pytest.approx(names["found"]["val_accuracy"])
    assert "The curves of all trials" in notebook[0]
    assert names["tuner"].oracle.get_best_trials()[0].score > 0
