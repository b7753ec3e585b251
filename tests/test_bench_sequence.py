"""The benchmark of sequences hangs together; how good the numbers are is `make bench`'s affair."""

import json

import pytest
from cvcourse.recipes.benchmarks import sequence as bench_sequence

TINY = dict(units=4, window=8, batch_size=4, steps=2, rounds=1, tokens=6)


@pytest.mark.slow
def test_ratios_are_of_the_measured_steps(tmp_path):
    output = tmp_path / "new" / "bench.json"
    report = bench_sequence.main(bench_sequence.Config(**TINY, output=str(output)))
    assert json.loads(output.read_text()) == json.loads(json.dumps(report))
    rates, said = report["tokens_per_second"], report["decoding_seconds"]
    assert {"char_lm", "our cell", *bench_sequence.FORMS} <= set(rates)
    for name in bench_sequence.FORMS:
        ratio = report["checks"][f"lstm: char_lm / {name}"]
        assert ratio["target"] == bench_sequence.TARGETS["lstm"]
        assert ratio["median"] > 0
    ratio = said["uncached"]["median"] / said["cached"]["median"]
    assert report["checks"]["cached: 6 tokens"]["median"] == pytest.approx(ratio)
