"""The recipe `trust`: the table of methods on digits, and the bounds on real photos."""

import csv
import json
import os
import pathlib

import keras
import numpy as np
import pytest
from cvcourse.recipes import trust

from cvcourse import data, training
from cvcourse.errors import RunError, UsageError

SHARED = pathlib.Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """A linear model of digits: the nearest class mean."""
    train = data.load("digits").train
    means = np.stack([train.images[train.labels == i].mean(axis=0).ravel() for i in range(10)])
    image = keras.Input(train.images.shape[1:])
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    logits = keras.layers.Dense(10, name="logits")
    model = keras.Model(image, logits(x))
    means = means / 255
    logits.set_weights([means.T, -(means**2).sum(axis=1) / 2])
    path = tmp_path_factory.mktemp("run") / "model.keras"
    training.save_model(model, path, [str(i) for i in range(10)])
    return path


def test_the_table_of_digits(templates, tmp_path, capsys):
    config = trust.Config(
        dataset="digits",
        model=str(templates),
        methods=("gradient_times_image", "saliency", "occlusion", "guided_backprop"),
        grids=3,
        photos=5,
        probability=0.3,
        steps=8,
        workdir=str(tmp_path / "run"),
    )
    metrics = trust.main(config)
    rows = metrics["methods"]
    assert [*rows] == ["gradient_times_image", "saliency", "occlusion"]
    assert "no ReLU" in metrics["unfit"]["guided_backprop"]
    assert (metrics["grids"], metrics["photos"]) == (3, 5)
    for row in rows.values():
        assert row["deletion"] < row["deletion_random"]
    assert rows["occlusion"]["insertion"] > rows["occlusion"]["insertion_random"]
    assert abs(rows["saliency"]["randomized_all"]) < 0.5
    assert rows["saliency"]["randomized_all"] == rows["saliency"]["randomized_logits"]  # one kernel
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Saliency" in page
    assert "guided_backprop is left out" in page
    lines = capsys.readouterr().out.splitlines()
    table = [line.split("\t") for line in lines if "\t" in line]
    assert table[0][:3] == ["method", "share in quarter", "strongest pixel"]
    assert [row[0] for row in table[1:]] == [*rows, "random maps"]
    assert table[1][3] == f"{rows['gradient_times_image']['deletion']:.3f}"
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()).items() <= metrics.items()


def test_photos_are_those_that_the_model_is_sure_of(templates):
    model, split = keras.saving.load_model(templates), data.load("digits").test
    config = trust.Config(grids=30, probability=0.2)
    photos, classes = trust.confident_photos(config, split, lambda photo: photo, model)
    logits = model.predict(photos.astype("float32"), verbose=0)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(shares.argmax(axis=1), classes)
    assert shares.max(axis=1).min() >= 0.2
    assert all(len({*four}) == 4 for four in classes.reshape(-1, 4))
    wrong = model.predict(split.images[:].astype("float32"), verbose=0).argmax(1) != split.labels
    assert wrong.any()


def test_what_is_refused(templates, tmp_path):
    settings = {"model": str(templates), "workdir": str(tmp_path / "run")}
    with pytest.raises(UsageError, match="DATASET is missing"):
        trust.main(trust.Config(**settings))
    with pytest.raises(UsageError, match="unknown method 'gradcam': did you mean 'grad_cam'"):
        trust.main(trust.Config("digits", methods=("gradcam",), **settings))
    with pytest.raises(UsageError, match="no ReLU"):
        few = {"grids": 1, "probability": 0.3}
        trust.main(trust.Config("digits", methods=("guided_backprop",), **few, **settings))
    assert not (tmp_path / "run").exists()
    train = data.load("digits").train
    few = {"x": train.images[train.labels < 3], "y": train.labels[train.labels < 3]}
    np.savez(
        tmp_path / "three.npz",
        **{f"{name}_{split}": few[name] for name in few for split in ("train", "test")},
    )
    with pytest.raises(UsageError, match="images of 3 classes; four photos of different classes"):
        trust.main(trust.Config(str(tmp_path / "three.npz"), split="test", **settings))
    settings["workdir"] = str(tmp_path / "other")
    with pytest.raises(RunError, match=r"0 of \d+ photos .* lower --probability"):
        trust.main(trust.Config("digits", probability=0.9999, **settings))


REAL = {  # arguments, weights, methods
    "mobilenet": (
        {"width": 0.25},
        "mobilenet_v1_025_224/mobilenet_2_5_224_tf.h5",
        ("grad_cam", "occlusion", "guided_backprop"),
    ),
    "efficientnet_lite0": (
        {},
        "efficientnet_lite0/efficientnet_lite0_imagenet.npz",
        ("grad_cam", "guided_backprop"),
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="no shared photos and weights")
@pytest.mark.parametrize("name", REAL)
def test_real_photos(name, tmp_path, monkeypatch):
    """Bounds on Grad-CAM and occlusion; guided backpropagation hardly depends on the class."""
    arguments, weights, methods = REAL[name]
    classes = SHARED / "mobilenet_v1_025_224" / "imagenet_class_index.json"
    os.symlink(classes, tmp_path / classes.name)
    monkeypatch.setenv("CVCOURSE_WEIGHTS", str(tmp_path))
    with open(SHARED / "imagenet_samples" / "labels.csv") as table:
        for row in csv.DictReader(table):
            folder = tmp_path / "photos" / row["synset"]
            folder.mkdir(parents=True)
            os.symlink(SHARED / "imagenet_samples" / "images" / row["file"], folder / row["file"])
    metrics = trust.main(
        trust.Config(
            str(tmp_path / "photos"),
            model=name,
            model_args=arguments,
            weights=str(SHARED / weights),
            methods=methods,
            grids=8,
            workdir=str(tmp_path / "run"),
        )
    )
    rows = metrics["methods"]
    assert rows["grad_cam"]["grid_share"] >= 0.5
    assert rows["grad_cam"]["grid_hits"] >= 0.7
    if "occlusion" in methods:
        assert rows["occlusion"]["grid_share"] >= 0.4
    for method in {"grad_cam", "occlusion"} & {*methods}:
        assert rows[method]["insertion"] > rows[method]["insertion_random"]
        assert rows[method]["deletion"] < rows[method]["deletion_random"]
    for row in rows.values():
        assert abs(row["randomized_all"]) < 0.5
    assert rows["guided_backprop"]["randomized_logits"] > 0.9
