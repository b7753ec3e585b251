"""Nearest neighbors as a recipe: its numbers are those of scikit-learn, and its benchmark."""

import json
import re

import numpy as np
import pytest
from cvcourse.recipes import nearest_neighbors as recipe
from cvcourse.recipes.benchmarks import nearest_neighbors as bench
from sklearn.neighbors import KNeighborsClassifier

from cvcourse import data, figures

pytestmark = pytest.mark.usefixtures("undrawn")
SETTINGS = dict(limit=150, test_limit=60, ks=(9, 1), folds=3, seeds=(0, 4), recompress=20)


def config(workdir, **settings):
    return recipe.Config(**{**SETTINGS, "workdir": str(workdir), **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("nearest") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cvcourse.training.report.svg", lambda figure: "")
        return workdir, recipe.main(config(workdir))


def splits(seed):
    digits = data.load("digits")
    images = np.concatenate([digits.train.images, digits.validation.images])
    labels = np.concatenate([digits.train.labels, digits.validation.labels])
    found = []
    for x, y, count in ((images, labels, 150), (digits.test.images, digits.test.labels, 60)):
        order = np.random.default_rng(seed).permutation(len(y))[:count]
        found += [x[order].reshape(count, -1).astype(float), y[order]]
    return found


@pytest.mark.parametrize("metric", ["l1", "l2"])
def test_accuracies_are_those_of_scikit_learn(finished, metric):
    """For one neighbor, since ties are resolved differently."""
    _, metrics = finished
    row = metrics["rows"][f"{metric}, k = 1"]
    folds = metrics["folds"][metric]
    for place, seed in enumerate((0, 4)):
        x, y, queries, labels = splits(seed)
        model = KNeighborsClassifier(1, algorithm="brute", p=int(metric[1]))
        assert row["accuracy"]["seeds"][place] == model.fit(x, y).score(queries, labels)
        for fold in range(3):
            held = np.arange(50 * fold, 50 * fold + 50)
            rest = np.setdiff1d(np.arange(150), held)
            expected = model.fit(x[rest], y[rest]).score(x[held], y[held])
            assert folds["1"][3 * place + fold] == pytest.approx(expected)


def test_the_best_k_is_that_of_the_folds(finished):
    workdir, metrics = finished
    for metric in ("l1", "l2"):
        chosen = metrics["rows"][f"{metric}, best k"]["k"]
        for place, k in enumerate(chosen):
            means = {
                k: np.mean(folds[3 * place : 3 * place + 3])
                for k, folds in metrics["folds"][metric].items()
            }
            assert means[str(k)] == max(means.values())
    kept = json.loads((workdir / "metrics.json").read_text())
    assert kept["rows"] == metrics["rows"]
    assert (kept["training_images"], kept["test_images"], kept["seeds"]) == (150, 60, [0, 4])


def test_the_report_has_a_table_and_figures(finished):
    page = (finished[0] / "report.html").read_text()
    assert "mean ± standard deviation over 2 seeds" in page and "quality 20" in page
    mean = finished[1]["rows"]["l1, best k"]["accuracy"]["mean"]
    assert re.search(rf"<td>l1, best k</td><td>[\d, ]+</td><td>{100 * mean:.1f} ±", page)
    assert page.count('<img class="plot"') == 4  # folds, neighbors of two metrics, distances
    assert "published" not in page


def test_a_finished_run_is_not_repeated(finished, monkeypatch):
    workdir, metrics = finished
    monkeypatch.setattr(recipe, "experiment", None)
    assert recipe.main(config(workdir)) == metrics


def test_one_k_needs_no_folds_and_published_numbers_stand_beside(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "PUBLISHED", {("digits", 150, 60, "l2, k = 1"): (0.5, "notes")})
    metrics = recipe.main(
        config(tmp_path / "run", ks=(5,), metrics=("l2",), seeds=(0,), recompress=None)
    )
    assert metrics["folds"] == {} and [*metrics["rows"]] == ["l2, k = 1", "l2, k = 5"]
    assert "<td>50, notes</td>" in (tmp_path / "run" / "report.html").read_text()


def test_jpeg_changes_colors_more_than_brightness():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), "uint8")
    split = data.Split(pixels, np.zeros(2, int))
    changed = recipe.recompressed(split, 90).images
    assert changed.shape == pixels.shape and changed.dtype == np.uint8
    gray = data.Split(pixels[..., :1], split.labels)
    error = abs(recipe.recompressed(gray, 90).images.astype(int) - pixels[..., :1]).mean()
    assert 0 < error < 5 < abs(changed.astype(int) - pixels).mean()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--limit=30", "--ks=1,25"], "--ks has 25, above the 24 training images outside a fold"),
        (["--limit=30", "--ks=31"], "--ks has 31, above the 30 training images"),
        (["--limit=4", "--ks=1,2"], "--folds=5 is above the 4 training images"),
        (["--ks=0"], "--ks"),
        (["--metrics=l3"], "unknown --metrics 'l3': choose from l1, l2"),
        (["--recompress=101"], "--recompress"),
    ],
)
def test_wrong_settings(argv, message, capsys):
    assert recipe.cli(argv) == 2
    assert message in capsys.readouterr().err


def test_figures():
    folds = {"l1": {1: [0.2, 0.4], 100: [0.5, 0.7]}, "l2": {1: [0.1]}}
    one, two = figures.cross_validated_accuracy(folds).axes
    dots = [line for line in one.lines if line.get_marker() == "o"]
    heights = [height for line in dots for height in line.get_ydata()]
    np.testing.assert_allclose(heights, [20, 40, 50, 70])
    assert [*one.containers[0].lines[0].get_ydata()] == pytest.approx([30, 60])
    assert [text.get_text() for text in one.get_xticklabels()] == ["1", "100"]
    assert one.get_ylim() == two.get_ylim()
    (ax,) = figures.distance_matrix(np.arange(6.0).reshape(2, 3)).axes
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0, 1, 2], [3, 4, 5]])
    near = np.zeros((1, 2, 4, 4, 3), "uint8")
    axes = figures.image_neighbors(near[:, 0], near, ["cat"], [["cat", "dog"]]).axes
    assert [ax.title.get_color() for ax in axes] == ["black", figures.figure.GREEN, "#e8710a"]


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["none", None])
def test_ratios_of_the_benchmark_are_of_the_measured_seconds(folder, tmp_path, monkeypatch):
    if folder:
        monkeypatch.setattr(data, "load", raising)
    output = tmp_path / "new" / "bench.json"
    settings = dict(queries=20, images=300, k=3, rounds=1, output=str(output))
    report = bench.main(bench.Config(**settings))
    assert json.loads(output.read_text()) == json.loads(json.dumps(report))
    assert report["queries_and_rows"] == [20, 300]
    assert report["images"] == "smooth random images" or not folder
    for metric, target in bench.TARGETS.items():
        times = report["milliseconds_per_query"][metric]
        check = report["checks"][f"{metric}: scikit-learn / ours"]
        ratio = times["scikit-learn"]["median"] / times["ours"]["median"]
        assert check["median"] == pytest.approx(ratio)
        assert check["target"] == target
        assert report["equal_predictions"][metric] > 0.9
        assert report["fit_seconds"][metric] > 0


def raising(*_, **__):
    raise data.DataError("no data")
