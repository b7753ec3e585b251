"""Runs compared to the bit."""

import json

import keras
import numpy as np

CLOCKED = {"seconds", "images_per_second", "examples_per_second", "characters_per_second"}


def state(workdir):
    """The arrays of the newest checkpoint, by name."""
    with np.load(max((workdir / "checkpoints").glob("*.npz"))) as arrays:
        return {name: arrays[name] for name in arrays if name != "values.json"}


def assert_same_run(one, other):
    """Weights, seeds, optimizer, history, metrics and the saved models are equal to the bit."""
    a, b = state(one), state(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not np.array_equal(a[name], b[name])] == []
    assert (one / "history.csv").read_text() == (other / "history.csv").read_text()
    names = [sorted(path.glob("**/[!.]*.keras")) for path in (one, other)]
    for file, same in zip(*names, strict=True):
        assert file.relative_to(one) == same.relative_to(other)
        saved = (keras.models.load_model(path).get_weights() for path in (file, same))
        for x, y in zip(*saved, strict=True):
            np.testing.assert_array_equal(x, y, err_msg=file)
    kept = [json.loads((path / "metrics.json").read_text()) for path in (one, other)]
    kept = [{key: m[key] for key in m if key not in CLOCKED} for m in kept]
    assert kept[0] == kept[1]
