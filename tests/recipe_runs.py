"""Runs compared to the bit, and processes killed at random moments."""

import json
import os
import signal
import subprocess
import time

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


def started(command, **options):
    """A process, without what jax may have set here for TensorFlow's logs."""
    environment = {**os.environ, **options.pop("env", {})}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, env=environment, **pipes, **options)


def finished_in_spite_of_kills(command, run):
    """Killed twice, anywhere between a new checkpoint and the end, then left in peace."""
    seen = set()
    for wait in np.random.default_rng().uniform(0, 1.5, size=2):
        process = started(command)
        while process.poll() is None:
            files = set(run.glob("checkpoints/*.npz"))
            if files - seen:
                seen |= files
                time.sleep(wait)
                process.kill()
                break
            time.sleep(0.02)
        assert process.wait() in (-signal.SIGKILL, 0)
        process.communicate()
    process = started(command)
    _, error = process.communicate()
    assert (process.returncode, error) == (0, "")
