"""The numbers of the benchmark are consistent; how good they are is for `make bench` to find."""

import json

import pytest
from cvcourse.recipes.benchmarks import filter_pruning as bench


@pytest.mark.slow
def test_ratios_are_of_the_measured_seconds(tmp_path, capsys):
    output = tmp_path / "new" / "bench.json"
    settings = {"networks": ("resnet20",), "images": 64, "rounds": 1}
    report = bench.main(bench.Config(**settings, output=str(output)))
    assert json.loads(output.read_text()) == json.loads(json.dumps(report))
    forms, checks = report["networks"]["resnet20"], report["checks"]
    seconds = {form: row["batches"]["64"]["median"] for form, row in forms.items()}
    for form, words, target in (
        ("pruned", "pruned", 1.3),
        ("zeroed", "zeroed, at least", 0.9),
        ("zeroed", "zeroed, at most", 1.1),
    ):
        row = checks[f"resnet20, batch 64: dense / {words}"]
        assert row["median"] == pytest.approx(seconds["dense"] / seconds[form])
        assert row["target"] == target
    assert forms["dense"]["macs"] == forms["zeroed"]["macs"] == 40_551_040
    assert forms["pruned"]["macs"] == pytest.approx(40_551_040 / 2, rel=0.02)
    assert forms["pruned"]["batches"]["64"]["images_per_second"] == 64 / seconds["pruned"]
