"""The recipe `filter_pruning`: rows of the saved networks, at equal compute; resumed exactly."""

import shutil
from unittest import mock

import keras
import numpy as np
import pytest
from cvcourse.recipes import filter_pruning, train

from cvcourse import data, models
from cvcourse.compression import prune_filters

pytestmark = pytest.mark.usefixtures("undrawn")

SETTINGS = dict(
    dataset="digits",
    model="mlp",
    model_args={"hidden": (16, 8)},
    limit=64,
    epochs=3,
    fine_tune_epochs=2,
    batch_size=16,
    seeds=(1,),
)


def config(workdir, **settings):
    return filter_pruning.Config(**{**SETTINGS, "workdir": str(workdir), **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    with mock.patch("cvcourse.training.report.svg", return_value=""):  # it takes much time
        return workdir, filter_pruning.main(config(workdir))


def without_seconds(metrics):
    rows = {
        name: {key: value for key, value in row.items() if key != "seconds"}
        for name, row in metrics["rows"].items()
    }
    return {**metrics, "rows": rows, "seconds": None}


def test_rows_are_of_the_saved_networks(finished):
    workdir, metrics = finished
    digits, rows = data.load("digits", limit=64), metrics["rows"]
    dense = keras.models.load_model(workdir / "seed1/dense/model.keras")
    fine_tuned = keras.models.load_model(workdir / "model.keras")
    for name, net in (("dense", dense), ("fine_tuned", fine_tuned)):
        assert rows[name]["parameters"]["mean"] == net.count_params()
        assert rows[name]["macs"]["mean"] == models.cost(net).macs
        for key, split in (("val_accuracy", digits.validation), ("test_accuracy", digits.test)):
            found = net.predict(split.images[:].astype("float32"), verbose=0).argmax(-1)
            assert rows[name][key]["seeds"][0] == pytest.approx((found == split.labels).mean())
    assert rows["zeroed"]["parameters"] == rows["dense"]["parameters"]
    assert rows["scratch"]["parameters"] == rows["fine_tuned"]["parameters"]
    small = prune_filters(dense, 0.5)
    assert [w.shape for w in small.weights] == [w.shape for w in fine_tuned.weights]
    found = small.predict(digits.test.images[:].astype("float32"), verbose=0).argmax(-1)
    zeroed = rows["zeroed"]["test_accuracy"]["seeds"][0]
    assert zeroed == pytest.approx((found == digits.test.labels).mean())


def test_training_from_scratch_costs_as_much(finished):
    """3 epochs of 1,232 MACs and 2 of 584 are 8.3 of 584, for 64 images an epoch."""
    rows = finished[1]["rows"]
    dense, small = 64 * 16 + 16 * 8 + 8 * 10, 64 * 8 + 8 * 4 + 4 * 10
    assert (rows["dense"]["macs"]["mean"], rows["scratch"]["macs"]["mean"]) == (dense, small)
    assert rows["scratch"]["epochs"]["mean"] == round((3 * dense + 2 * small) / small) == 8
    images = 64
    assert rows["dense"]["training_macs"]["mean"] == 3 * images * dense
    assert rows["fine_tuned"]["training_macs"]["mean"] == images * (3 * dense + 2 * small)
    assert rows["scratch"]["training_macs"]["mean"] == images * 8 * small


@pytest.mark.slow
def test_two_seeds_stopped_and_resumed(finished, tmp_path, monkeypatch):
    """The mean of both, also after the last training is lost with the metrics."""
    metrics = filter_pruning.main(config(tmp_path / "run", seeds=(1, 2)))
    rows = metrics["rows"]
    one, other = (
        np.array(rows[name]["test_accuracy"]["seeds"]) for name in ("fine_tuned", "scratch")
    )
    gain = metrics["fine_tuned_minus_scratch"]["test"]
    assert gain["mean"] == pytest.approx((one - other).mean())
    assert gain["std"] == pytest.approx((one - other).std(ddof=1))
    for name, row in finished[1]["rows"].items():
        assert row["test_accuracy"]["seeds"] == rows[name]["test_accuracy"]["seeds"][:1]
    history = tmp_path / "run/seed2/scratch/history.csv"
    before = history.read_text()
    (tmp_path / "run/metrics.json").unlink()
    shutil.rmtree(history.parent)
    monkeypatch.setattr(train, "dry_run", None)  # nothing is trained again
    again = filter_pruning.main(config(tmp_path / "run", seeds=(1, 2)))
    assert without_seconds(again) == without_seconds(metrics)
    assert history.read_text() == before
    monkeypatch.setattr(filter_pruning, "compare", None)
    assert filter_pruning.main(config(tmp_path / "run", seeds=(1, 2))) == again


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        ({"mean": 0.02, "std": 0.01}, "fine-tuning beats training from scratch by 2.00 ± 1.00"),
        ({"mean": -0.02, "std": 0.01}, "training from scratch beats fine-tuning by 2.00 ± 1.00"),
        ({"mean": 0.01, "std": 0.02}, "neither is better"),
        ({"mean": 0.01, "std": None}, "one seed cannot tell"),
    ],
)
def test_verdict_by_the_spread_of_the_seeds(gain, words):
    assert words in filter_pruning.verdict(gain)


@pytest.mark.slow
def test_from_a_source_without_training_from_scratch(finished, tmp_path):
    dense = finished[0] / "seed1" / "dense"
    settings = {"source": str(dense), "dataset": "auto", "seeds": (1,), "scratch": False}
    metrics = filter_pruning.main(config(tmp_path / "run", limit=None, **settings))
    rows = metrics["rows"]
    assert [*rows] == ["dense", "zeroed", "fine_tuned"]
    assert metrics["fine_tuned_minus_scratch"] == {} and metrics["limit"] == 64
    assert rows["dense"]["epochs"]["mean"] == 3
    for name in rows:
        before = finished[1]["rows"][name]["test_accuracy"]["seeds"][0]
        assert rows[name]["test_accuracy"]["seeds"] == [before]


def test_seeds():
    assert filter_pruning.Config(seed=5, seeds=None).all_seeds == (5,)
    assert filter_pruning.Config().all_seeds == (0, 1, 2)


def test_layers_that_sums_tie_keep_their_filters():
    net = models.build("resnet20", depth=8, input_shape=(8, 8, 1))
    inner = filter_pruning.skipped(filter_pruning.Config(skip=("stage1_block1_1_conv",)), net)
    assert inner == (
        "stage1_block1_1_conv",
        *(f"stage{stage}_block1_2_conv" for stage in (1, 2, 3)),
        "stem_conv",
    )
    assert filter_pruning.skipped(filter_pruning.Config(tied=True), net) == ()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--keep=0"], "--keep expects a number above 0"),
        (["--keep=1"], "--keep expects a number above 0 and below 1"),
        (["--criterion=l3"], "--criterion"),
        (["--seed=5"], "--seed=5 needs --seeds=auto; received --seeds=0,1,2"),
        (["--skip=fc9"], "unknown layer with filters 'fc9'"),
        (["--model=linear", "--model_args="], "linear has no filters that can be removed; --tied"),
        (["--source=nowhere"], "--source=nowhere: no such run directory, .keras or .cvz file"),
    ],
)
def test_what_is_refused(flags, line, tmp_path, capsys):
    flags = ["--dataset=digits", "--model=mlp", "--limit=64", *flags]
    assert filter_pruning.cli([*flags, f"--workdir={tmp_path / 'run'}"]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
