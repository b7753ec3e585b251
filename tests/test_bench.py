"""The benchmark's numbers hang together; how good they are is `make bench`'s affair."""

import importlib.util
import json

import pytest
from cvcourse.recipes.benchmarks import train as bench

from cvcourse import models

pytestmark = pytest.mark.slow
TINY = dict(shapes=("28x28x1",), batch_size=4, steps=2, rounds=1)
HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    output = tmp_path_factory.mktemp("bench") / "new" / "bench.json"
    report = bench.main(bench.Config(**TINY, epoch_images=64, output=str(output)))
    assert json.loads(output.read_text()) == json.loads(json.dumps(report))
    return report


def test_ratios_are_of_the_measured_steps(report):
    steps = report["step_seconds"]["28x28x1"]
    assert set(steps) == {"train", "augmented", "keras"} | ({"torch"} if HAS_TORCH else set())
    for row in steps.values():
        assert 0 < row["quartiles"][0] <= row["median"] <= row["quartiles"][1]
        assert row["images_per_second"] == pytest.approx(4 / row["median"])
    for check, ours, theirs in (("a", "train", "keras"), ("augmented", "augmented", "train")):
        ratio = steps[ours]["images_per_second"] / steps[theirs]["images_per_second"]
        assert report["checks"][f"{check} 28x28x1"]["median"] == pytest.approx(ratio)


def test_torch_is_compared_with_where_it_is_installed(report):
    row, steps = report["checks"]["b 28x28x1"], report["step_seconds"]["28x28x1"]
    if HAS_TORCH:
        assert row["median"] == pytest.approx(steps["torch"]["median"] / steps["train"]["median"])
    else:
        assert (row["median"], row["met"]) == (None, None) and "not installed" in row["reason"]
    assert bool(report["versions"]["torch"]) == HAS_TORCH


def test_time_outside_the_steps(report):
    outside = report["outside"]
    inside = outside["step_seconds"] + outside["validation_seconds"]
    assert 0 < inside < outside["epoch_seconds"]
    assert outside["share"] == pytest.approx(1 - inside / outside["epoch_seconds"])
    assert report["checks"]["outside 28x28x1"]["median"] == outside["share"]


def test_every_target_is_judged_by_the_median(report):
    assert {name.split()[0] for name in report["checks"]} == set(report["targets"])
    for name, row in report["checks"].items():
        check = name.split()[0]
        assert row["target"] == report["targets"][check]
        if row["median"] is not None:
            below = row["median"] <= row["target"]
            assert row["met"] == (below if check in ("outside", "help_seconds") else not below)


def test_torch_trains_the_same_net():
    torch = pytest.importorskip("torch")
    ours = models.build("resnet20", input_shape=(32, 32, 3), num_classes=10)
    theirs = bench.torch_resnet20(3)
    assert sorted(p.numel() for p in theirs.parameters()) == sorted(
        v.value.numpy().size for v in ours.trainable_variables
    )
    assert theirs(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
