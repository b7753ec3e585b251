"""The numbers of the benchmark are consistent; how good they are is for `make bench` to find."""

import json

import pytest
from cvcourse.recipes.benchmarks import visualization as bench

TINY = dict(size=32, patch=16, stride=16, steps=2, batches=(1, 2), rounds=1)


@pytest.mark.slow
def test_ratios_are_of_the_measured_seconds(tmp_path):
    output = tmp_path / "new" / "bench.json"
    report = bench.main(bench.Config(**TINY, output=str(output)))
    assert json.loads(output.read_text()) == json.loads(json.dumps(report))
    seconds, checks = report["seconds"], report["checks"]
    for technique, targets in bench.TARGETS.items():
        assert seconds[technique]["ours"]["median"] > 0
        for who, target in targets.items():
            row = checks[f"{technique}: {who} / ours"]
            assert row["target"] == target
            if who == "predict" or (bench.VERSIONS[who] and bench.VERSIONS["torchvision"]):
                ratio = seconds[technique][who]["median"] / seconds[technique]["ours"]["median"]
                assert row["median"] == pytest.approx(ratio)
            else:
                assert row["median"] is None and "not installed" in row["reason"]
    passes = seconds["grad_cam"]["ours"]["median"] / seconds["grad_cam"]["forward"]["median"]
    assert checks["grad_cam in forward passes"]["median"] == pytest.approx(passes)
    for job, tried in report["trials"].items():
        batches = 1 if "grad_cam" in job else len(TINY["batches"])
        assert len(tried) == 2 * batches and min(tried.values()) > 0


def test_stride_that_captum_does_not_take(tmp_path, capsys):
    assert bench.cli(["--patch=8", "--stride=9", f"--output={tmp_path / 'bench.json'}"]) == 2
    assert "a stride of at most the patch, 8; received 9" in capsys.readouterr().err
