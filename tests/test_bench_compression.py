"""The numbers of the benchmark of compressed files are consistent; `make bench` measures."""

import json

import pytest
from cvcourse.recipes.benchmarks import compression as bench


@pytest.mark.slow
def test_numbers_are_those_of_the_file(tmp_path):
    output = tmp_path / "new" / "bench.json"
    config = bench.Config(weights=250_000, rounds=2, output=str(output))
    report = bench.main(config)
    assert json.loads(output.read_text()) == json.loads(json.dumps(report))
    sizes, tensor, checks = report["bytes"], report["tensor"], report["checks"]
    assert sizes["float32"] == 1_000_000
    assert tensor["coding"] == "shared" and tensor["weights"] == 250_000
    assert tensor["kept"] / tensor["weights"] == pytest.approx(0.11, abs=1e-3)
    assert 0 < sizes["file"] - tensor["bytes"] < 1000  # the header
    assert sizes["gzip"] > sizes["xz"] > 4 * sizes["file"]
    assert checks["xz / file"]["median"] == pytest.approx(sizes["xz"] / sizes["file"])
    for name in ("write", "read"):
        assert checks[f"seconds to {name}"]["median"] == report["seconds"][name]["median"] > 0


def test_bad_settings_are_refused(tmp_path, capsys):
    assert bench.cli(["--density=0", f"--output={tmp_path / 'bench.json'}"]) == 2
    assert "--density" in capsys.readouterr().err
