"""Recipes of sequence nets on two devices: the weights, history and metrics of one device."""

import csv
import json
import sys

import numpy as np
import pytest
from networks import write_random_mobilenet
from PIL import Image
from recipe_runs import CLOCKED, started

from cvcourse import training

PLAIN = dict(optimizer="momentum", learning_rate=0.05, epochs=2)
SETTINGS = {
    "char_lm": PLAIN | dict(units=8, embedding=4, window=16, batch_size=8, dropout=0.0, limit=2000),
    "translate": PLAIN | dict(units=8, embedding=4, examples=48, held_out=13, batch_size=16),
    "caption": PLAIN | dict(size=32, least=1, batch_size=4, dropout=0.0, beams=2),
    "sequence_mnist": PLAIN | dict(models=["gru"], read="rows", units=8, limit=50, batch_size=16),
}
SETTINGS["caption"] |= dict(backbone="mobilenet", backbone_args={"width": 0.25})
SETTINGS["caption"] |= dict(model_args={"units": 8, "embedding": 4})
RUN = """
import importlib, json, sys
from cvcourse.startup import import_tensorflow_quietly
import_tensorflow_quietly()
cases, folder = json.loads(sys.argv[1]), sys.argv[2]
for name, values in cases.items():
    made = importlib.import_module(f"cvcourse.recipes.{name}")
    for strategy in ("none", "mirrored"):
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        made.main(made.Config(**given, strategy=strategy, cpu_devices=2,
                              workdir=f"{folder}/{name}-{strategy}"))
"""


def write_photos(folder):
    """Twelve photos with captions of two words or of fifteen."""
    with open(folder / "captions.csv", "w") as file:
        write = csv.writer(file).writerow
        write(["image", "split", "caption"])
        for i in range(12):
            Image.new("RGB", (40, 40), (20 * i, 99, 200)).save(folder / f"{i}.png")
            text = "a square" if i % 3 else " ".join("very" for _ in range(14)) + " blue"
            write([f"{i}.png", ("train", "train", "val", "test")[i // 3], text])
    write_random_mobilenet(folder / "mobilenet.npz")
    return dict(
        photos=str(folder),
        weights=str(folder / "mobilenet.npz"),
        cache_dir=str(folder / "features"),
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with each recipe's run on one device and on two."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "photos").mkdir()
    cases = SETTINGS | {"caption": SETTINGS["caption"] | write_photos(folder / "photos")}
    command = [sys.executable, "-c", RUN, json.dumps(cases), str(folder)]
    process = started(command)
    _, error = process.communicate()
    assert process.returncode == 0, error[-3000:]
    return folder


def flat(value, path=()):
    """The numbers in nested dicts and lists: {path: number}."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, one in items for k, v in flat(one, (*path, key)).items()}
    return {path: value} if isinstance(value, int | float) and not CLOCKED & {*path} else {}


@pytest.mark.parametrize("name", SETTINGS)
def test_two_devices_make_the_run_of_one(name, runs):
    one, two = (runs / f"{name}-{strategy}" for strategy in ("none", "mirrored"))
    weights = [training.load_model(f / "model.keras")[0].get_weights() for f in (one, two)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)
    histories = [np.loadtxt(f / "history.csv", delimiter=",", skiprows=1) for f in (one, two)]
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4)
    metrics = [flat(json.loads((f / "metrics.json").read_text())) for f in (one, two)]
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-3)
