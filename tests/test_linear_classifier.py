"""The recipe linear_classifier: inputs, choice on the validation split, table and report."""

import json

import numpy as np
import pytest
from cvcourse.recipes import linear_classifier

from cvcourse import data
from cvcourse.classic import features, linear_classifiers

SETTINGS = dict(steps=60, tries=20, seeds=(0, 1), limit=200)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, undrawn):
    workdir = tmp_path_factory.mktemp("run") / "digits"
    return workdir, linear_classifier.main(config(workdir))


def config(workdir=None, **settings):
    workdir = workdir and str(workdir)
    return linear_classifier.Config(**{**SETTINGS, "workdir": workdir, **settings})


def test_rows_are_those_of_the_classifiers(finished):
    """A row again, by hand: the grid, the choice with the first seed, the test split."""
    _, metrics = finished
    assert [*metrics["rows"]] == [*linear_classifier.LOSSES, "random_search", "random_local_search"]
    splits, scale = linear_classifier.prepare(config(), data.load("digits", limit=200))
    assert metrics["scale"] == scale
    assert metrics["examples"] == {"training": 200, "validation": 144, "test": 200}

    def train(seed, rate, reg):
        classifier = linear_classifiers.LinearSVM("crammer_singer", seed=seed)
        classifier.train(*splits["training"], rate, reg, 60, 200)
        return [np.mean(classifier.predict(X) == y) for X, y in splits.values()]

    rates, regs = (0.3, 1.2, 5.0), (1e-5, 1e-4, 1e-3)
    grid = np.array([[train(0, rate, reg)[1] for reg in regs] for rate in rates])
    np.testing.assert_allclose(metrics["grids"]["crammer_singer"], grid)
    row = metrics["rows"]["crammer_singer"]
    best = np.argwhere(grid == grid.max())[0]
    chosen = rates[best[0]], regs[best[1]]
    assert (row["learning_rate"], row["reg"]) == chosen
    found = [row["accuracy"][split]["seeds"] for split in ("training", "validation", "test")]
    np.testing.assert_allclose(found, np.transpose([train(seed, *chosen) for seed in (0, 1)]))


def test_gradients_beat_local_search_which_beats_random_search(tmp_path, undrawn):
    metrics = linear_classifier.main(
        config(tmp_path / "run", losses=("softmax",), tries=300, seeds=(0,), steps=300, limit=None)
    )
    means = {name: row["accuracy"]["test"]["mean"] for name, row in metrics["rows"].items()}
    assert means["softmax"] > 0.9 > means["random_local_search"] > 0.35 > means["random_search"]


def test_a_finished_run_returns_its_metrics(finished, monkeypatch, capsys):
    workdir, metrics = finished
    monkeypatch.setattr(linear_classifier, "prepare", None)
    assert linear_classifier.main(config(workdir)) == metrics
    assert "is finished" in capsys.readouterr().out


def test_the_report(finished):
    workdir, metrics = finished
    page = (workdir / "report.html").read_text()
    row = metrics["rows"]["softmax"]
    cell = linear_classifier.percent(row["accuracy"]["test"])
    assert f"<td>{cell}</td>" in page
    assert "Confusion matrix of" in page and "Templates" in page
    assert "notes, assignment" not in page  # these numbers are CIFAR-10's
    kept = json.loads((workdir / "metrics.json").read_text())
    assert kept["rows"] == metrics["rows"]


def test_published_numbers_stand_beside_those_of_cifar10():
    accuracy = {"validation": {"mean": 0.4, "std": 0.01}, "test": {"mean": 0.39, "std": None}}
    rows = {"random_search": {"accuracy": accuracy}, "squared": {"accuracy": accuracy}}
    found = linear_classifier.table(rows, True, "pixels")
    assert found[0][-1] == "notes, assignment"
    assert found[1] == ["random_search", "–", "–", "40.0 ± 1.0", "39.0", "test 15.5"]
    assert found[2][-1] == "–"


def test_pixels_are_centered_by_the_training_split_and_scaled():
    dataset = data.load("digits", limit=100)
    splits, scale = linear_classifier.prepare(config(), dataset)
    mean = dataset.train.images.reshape(100, -1).mean(axis=0)
    for name, split in (("training", dataset.train), ("test", dataset.test)):
        X, y = splits[name]
        np.testing.assert_allclose(
            X[:, :-1], (split.images.reshape(100, -1) - mean) / scale, atol=1e-5
        )
        assert (X[:, -1] == 1).all()
        np.testing.assert_array_equal(y, split.labels)
    norms = (splits["training"][0][:, :-1] ** 2).sum(axis=1)
    assert norms.mean() == pytest.approx(1, abs=1e-4)


def test_features_of_color_images(tiny_npz):
    """10x8 pixels have 5 rows of 4 cells of 2x2 pixels; constant features stay finite."""
    dataset = data.load(tiny_npz)
    splits, scale = linear_classifier.prepare(config(features="hog_color"), dataset)
    X, _ = splits["training"]
    assert X.shape == (len(dataset.train), 5 * 4 * 9 + 10 + 1)
    images = dataset.train.images
    raw = np.concatenate(
        [features.hog_feature(images, (2, 2)), features.color_histogram_hsv(images)], axis=1
    )
    deviation = np.where(raw.std(axis=0) > 0, raw.std(axis=0), 1)
    np.testing.assert_allclose(X[:, :-1], (raw - raw.mean(axis=0)) / deviation / scale, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "arguments", "reg"),
    [
        ({"penalty": "l1"}, {"penalty": "l1"}, 0.01),
        ({"penalty": "elastic_net"}, {"penalty": "elastic_net"}, (0.005, 0.005)),
        ({"max_norm": 0.5}, {"norm": 0.5}, 0.01),
    ],
)
def test_regularization_reaches_the_classifier(settings, arguments, reg):
    splits, _ = linear_classifier.prepare(config(), data.load("digits", limit=100))
    given = config(seeds=(3,), learning_rates=(1.0,), regs=(0.01,), **settings)
    row, grid, history = linear_classifier.descend(given, "softmax", splits)
    classifier = linear_classifiers.Softmax(**arguments, seed=3)
    assert classifier.train(*splits["training"], 1.0, reg, 60, 200) == history
    np.testing.assert_array_equal(row["weights"], [classifier.W])
    assert np.shape(grid) == (1, 1)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--features=hog", "choose from pixels, hog_color"),
        ("--losses=hinge", "--losses"),
        ("--dataset=cifar11", "did you mean 'cifar10'"),
        ("--learning_rates=0", "--learning_rates"),
    ],
)
def test_wrong_flags(argument, message, capsys, tmp_path):
    argv = [argument, f"--workdir={tmp_path / 'run'}"]
    assert linear_classifier.cli(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and message in err
    assert not (tmp_path / "run").exists()
