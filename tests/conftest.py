"""Tiny datasets, and a machine without network or caches."""

import contextlib
import ctypes
import gc
import pathlib
import socket

import keras
import numpy as np
import pytest
from PIL import Image
from tensorflow.python.framework import ops


@pytest.fixture(scope="session", autouse=True)
def imported():
    """What imports have made is searched for garbage once: it takes a third of a second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(7_000, 10, 10)  # a net is some 100,000 objects


@pytest.fixture(scope="module", autouse=True)
def forgotten():
    """What a file's tests have built is dropped after them, and its memory given back."""
    yield
    # TensorFlow keeps the graph of each traced training step, which sums gradients over replicas
    # by a custom gradient, and registers that for ever.
    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
    keras.utils.clear_session(free_memory=False)
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="module")
def undrawn():
    """Figures are left blank: drawing them is a quarter of a run's time, and tested elsewhere."""

    def blank(figure, file, **options):
        picture = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
        file.write(picture) if hasattr(file, "write") else pathlib.Path(file).write_bytes(picture)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", blank)
        yield


@pytest.fixture
def double_precision():
    """Inside, what is made and computed is so in float64."""
    for dtype in ("float64", "float32"):
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        if dtype == "float64":
            yield


@pytest.fixture
def precision():
    """A function that sets the global dtype policy, for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, an empty Keras cache, no $CVCOURSE_DATA; returns the attempts to connect."""
    attempts = []

    def refuse(*address, timeout=None):
        attempts.append(timeout)
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("CVCOURSE_DATA", raising=False)
    return attempts


@pytest.fixture
def arrays():
    """What an .npz file holds: 40 + 12 RGB images of 10x8 pixels in 4 classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (52, 10, 8, 3), "uint8")
    labels = np.arange(52) % 4
    return dict(x_train=pixels[:40], y_train=labels[:40], x_test=pixels[40:], y_test=labels[40:])


@pytest.fixture
def tiny_npz(tmp_path, arrays):
    path = tmp_path / "tiny.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def image_folder(tmp_path):
    """A function (images a class for each split) -> folder with PNGs of 12x10 in 3 classes."""

    def write(**splits):
        rng = np.random.default_rng(1)
        for split, count in splits.items():
            for name in ("ant", "bee", "cat"):
                folder = tmp_path / "pictures" / split / name
                folder.mkdir(parents=True)
                for i in range(count):
                    pixels = rng.integers(0, 256, (12, 10, 3), "uint8")
                    Image.fromarray(pixels).save(folder / f"{i}.png")
        return tmp_path / "pictures"

    return write
