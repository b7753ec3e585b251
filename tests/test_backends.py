"""The same weights give the same logits on every backend of Keras; as a script, one backend's."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from networks import SMALL, small


def logits(name):
    """Return the logits of a small form of a network, for fixed weights and images."""
    model, rng = small(name), np.random.default_rng(0)
    for variable in model.variables:
        if "seed" in variable.name or "int" in variable.dtype:
            continue
        if len(variable.shape) > 1:
            scale = np.sqrt(2 / np.prod(variable.shape[:-1]))
            variable.assign(rng.normal(size=variable.shape) * scale)
        else:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    x = rng.normal(size=(2, *SMALL[name]["input_shape"])).astype("float32")
    found = model(x, training=False)
    found = found["logits"] if isinstance(found, dict) else found
    return keras.ops.convert_to_numpy(found)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_agree(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    file = tmp_path / "logits.npz"
    subprocess.run(
        [sys.executable, __file__, str(file)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )
    with np.load(file) as theirs:
        for name in SMALL:
            ours = logits(name)
            assert np.abs(ours - theirs[name]).max() <= 1e-4 * np.abs(ours).max(), name


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_sequence_nets(backend):
    """Their tests on another backend: torch's outputs, masks, decoding."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    files = [
        f"tests/test_{name}.py"
        for name in ("sequence", "sequence_masks", "sequence_torch", "decoding")
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *files],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert not run.returncode, run.stdout[-3000:]
    assert " passed" in run.stdout


if __name__ == "__main__":
    np.savez(sys.argv[1], **{name: logits(name) for name in SMALL})
