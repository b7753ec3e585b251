"""Grad-CAM of validation images after each epoch: train --watch."""

import json

import keras
import numpy as np
import pytest
from cvcourse.recipes import train
from recipe_runs import assert_same_run

from cvcourse import data, figures, visualization
from cvcourse.errors import UsageError
from cvcourse.training._watch import watch_sections

pytestmark = pytest.mark.usefixtures("undrawn")

FEW = dict(dataset="digits", limit=60, epochs=3, batch_size=16, model="lenet5", seed=3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of the same settings: without and with watched images."""
    folder = tmp_path_factory.mktemp("runs")
    for name, count in (("plain", 0), ("watched", 2)):
        train.main(train.Config(**FEW, watch=count, workdir=str(folder / name)))
    return folder


def test_watching_changes_nothing(runs):
    assert_same_run(runs / "plain", runs / "watched")
    assert not (runs / "plain" / "watch").exists()


def test_the_maps_are_those_of_the_epoch_s_model(runs):
    files = sorted(path.name for path in (runs / "watched" / "watch").iterdir())
    assert files == ["0001.npz", "0002.npz", "0003.npz"]
    best = json.loads((runs / "watched" / "metrics.json").read_text())["best_epoch"]
    validation = data.load("digits", limit=60).validation
    ends = [0, len(validation) - 1]
    model = keras.saving.load_model(runs / "watched" / "model.keras")
    labels = validation.labels[ends]
    with np.load(runs / "watched" / "watch" / f"{best:04d}.npz") as saved:
        expected = visualization.grad_cam(model, validation.images[ends], labels)
        np.testing.assert_allclose(saved["maps"], expected, rtol=1e-4, atol=1e-6)
        logits = model.predict(validation.images[ends].astype("float32"), verbose=0)
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        np.testing.assert_allclose(saved["probabilities"], shares[[0, 1], labels], rtol=1e-4)


def test_the_report_has_the_maps_and_the_filters(runs):
    plain, watched = ((runs / name / "report.html").read_text() for name in ("plain", "watched"))
    assert "Grad-CAM by epoch" in watched
    assert "Grad-CAM by epoch" not in plain
    assert watched.count("epoch 3, P = ") == 4  # two images, each with its alt text
    assert "6 filters of 5x5 pixels" in plain
    dataset = data.load("digits", limit=60)
    ((first, *pictures), _) = watch_sections(2, dataset, runs / "watched")[0]["gallery"]
    paths = sorted((runs / "watched" / "watch").iterdir())
    maps = [np.load(path)["maps"][0] for path in paths]
    for (picture, _), one in zip(pictures, maps, strict=True):
        expected = figures.overlay(first[0], one, scale=np.max(maps), signed=False)
        np.testing.assert_array_equal(picture, expected)


def test_a_network_without_maps_is_refused(tmp_path):
    settings = FEW | dict(model="mlp", watch=1, workdir=str(tmp_path / "run"))
    with pytest.raises(UsageError, match="--watch draws Grad-CAM: mlp has no map"):
        train.main(train.Config(**settings))
    assert not (tmp_path / "run").exists()
