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
    "caption": PLAIN | dict(size=64, least=1, batch_size=4, dropout=0.0, beams=2),
    "sequence_mnist": PLAIN | dict(models=["gru"], read="rows", units=8, limit=50, batch_size=16),
}
SETTINGS["caption"] |= dict(backbone="mobilenet", backbone_args={"width": 0.25})
SETTINGS["caption"] |= dict(model_args={"units": 8, "embedding": 4})
RUN = """
import importlib, json, sys
from cvcourse.startup import import_tensorflow_quietly
import_tensorflow_quietly()
from cvcourse.training import report
report.svg = lambda figure: ""  # it takes its time
name, values, folder = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
values = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
made = importlib.import_module(f"cvcourse.recipes.{name}")
for strategy in ("none", "mirrored"):
    places = dict(strategy=strategy, cpu_devices=2, workdir=f"{folder}/{strategy}")
    made.main(made.Config(**values, **places))
"""
FAST = ("caption",)  # whose batches have parts of very unequal numbers of words


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


def flat(value, path=()):
    """The numbers in nested dicts and lists: {path: number}."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, one in items for k, v in flat(one, (*path, key)).items()}
    return {path: value} if isinstance(value, int | float) and not CLOCKED & {*path} else {}


@pytest.mark.parametrize(
    "name",
    [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS],
)
def test_two_devices_make_the_run_of_one(name, tmp_path):
    values = SETTINGS[name] | (write_photos(tmp_path) if name == "caption" else {})
    process = started([sys.executable, "-c", RUN, name, json.dumps(values), str(tmp_path)])
    _, error = process.communicate()
    assert process.returncode == 0, error[-3000:]
    runs = [tmp_path / strategy for strategy in ("none", "mirrored")]
    weights = [training.load_model(run / "model.keras")[0].get_weights() for run in runs]
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
    one, two = (np.loadtxt(run / "history.csv", delimiter=",", skiprows=1) for run in runs)
    np.testing.assert_allclose(two, one, rtol=1e-4)
    one, two = (flat(json.loads((run / "metrics.json").read_text())) for run in runs)
    assert two == pytest.approx(one, rel=1e-3)
