"""--strategy: two devices make the run of one. --precision: what the layers really compute in."""

import csv
import importlib
import json
import math
import sys

import keras
import numpy as np
import pytest
from crash import started
from networks import write_random_mobilenet
from PIL import Image
from recipe_runs import CLOCKED

from cvcourse import training

# ---- two devices ----

PLAIN = dict(optimizer="momentum", learning_rate=0.05, epochs=2)
SETTINGS = {
    "char_lm": PLAIN | dict(units=8, embedding=4, window=16, batch_size=8, dropout=0.0, limit=2000),
    "translate": PLAIN | dict(units=8, embedding=4, examples=48, held_out=13, batch_size=16),
    "caption": PLAIN | dict(size=64, least=1, batch_size=4, dropout=0.0, num_beams=2),
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


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
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


# ---- precision ----

FOR_PRECISION = {
    "char_lm": SETTINGS["char_lm"],
    "translate": SETTINGS["translate"],
    "caption": SETTINGS["caption"],
    "sequence_mnist": SETTINGS["sequence_mnist"] | {"models": ("gru",)},
    "train": dict(model="mlp", model_args={"hidden": (8,)}, limit=50, epochs=2, test=False),
    "transfer": dict(model="mobilenet", model_args={"width": 0.25}, size=32, method="full")
    | dict(epochs=2, batch_size=8, control=False, augment=()),
    "own_network": dict(method="full", epochs=2, batch_size=8, control=False, augment=()),
    "regularizers": dict(model="mlp", model_args={"hidden": (8,)}, regularizers=("dropout",))
    | dict(seeds=(0,), limit=50, epochs=2),
    "snapshot_ensemble": dict(model="mlp", model_args={"hidden": (8,)}, cycles=(2,), seeds=(0,))
    | dict(limit=50, epochs=4),
}
FAST_PRECISION = {("train", "mixed_float16"), ("train", "mixed_bfloat16")}


def half_precisions(names, fast):
    """Parameters (name, policy): each name with both policies, those in `fast` not slow."""
    pairs = [(name, policy) for name in names for policy in ("mixed_bfloat16", "mixed_float16")]
    return [pair if pair in fast else pytest.param(*pair, marks=pytest.mark.slow) for pair in pairs]


@pytest.fixture
def fits(monkeypatch):
    """[(run, validation, optimizer)] of what `training.fit` is called with."""
    found, fit = [], training.fit

    def noted(model, run, batches, validation, **options):
        found.append((run, validation, model.optimizer))
        return fit(model, run, batches, validation, **options)

    monkeypatch.setattr(training, "fit", noted)
    monkeypatch.setattr("cvcourse.training.report.svg", lambda figure: "")  # it takes its time
    return found


def places(name, tmp_path, image_folder):
    """The settings of a recipe that name files, which are written."""
    if name == "caption":
        return write_photos(tmp_path)
    if name not in ("transfer", "own_network"):
        return {}
    weights = tmp_path / {"transfer": "mobilenet.npz", "own_network": "own.keras"}[name]
    if name == "transfer":
        write_random_mobilenet(weights)
    else:
        layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3), keras.layers.ReLU()]
        layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5)]
        keras.Sequential(layers).save(weights)
    pictures = image_folder(train=6, val=4)
    return dict(weights=str(weights), dataset=str(pictures), cache_dir=str(tmp_path / "features"))


def loss_of(model, batches):
    """The weighted mean cross-entropy of a model on batches, in NumPy."""
    total = count = 0.0
    for inputs, labels, weights in batches:
        logits = model.predict_on_batch(inputs).astype("float64")  # a graph rounds as in fit
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses = -np.take_along_axis(logs, np.asarray(labels)[..., None], -1)[..., 0]
        weights = np.asarray(weights)
        total, count = total + (losses * weights).sum(), count + weights.sum()
    return total / count


@pytest.mark.parametrize(("name", "policy"), half_precisions(FOR_PRECISION, FAST_PRECISION))
def test_layers_compute_in_the_precision_and_still_do_when_loaded(
    name, policy, fits, tmp_path, image_folder
):
    made = importlib.import_module(f"cvcourse.recipes.{name.replace('own_network', 'transfer')}")
    values = FOR_PRECISION[name] | places(name, tmp_path, image_folder)
    metrics = made.main(made.Config(**values, precision=policy, workdir=str(tmp_path / "run")))
    assert all(math.isfinite(value) for value in flat(metrics).values())
    assert keras.config.dtype_policy().name == "float32"
    assert fits
    for run, validation, optimizer in fits:
        assert hasattr(optimizer, "inner_optimizer") == (policy == "mixed_float16")
        model, _ = training.load_model(run.path / "model.keras")
        leaves = [layer for layer in model._flatten_layers() if not hasattr(layer, "layers")]
        computed = {layer.name: layer.compute_dtype for layer in leaves if layer.weights}
        assert computed.pop("logits") == "float32"
        assert {*computed.values()} == {policy.removeprefix("mixed_")}
        history = training.read_history(run.path)
        assert loss_of(model, validation()) == pytest.approx(
            min(row["val_loss"] for row in history), rel=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_optimizers_that_see_all_examples_descend_in_half_precision(policy, tmp_path):
    """As far as in float32, to within 2 %."""
    made = importlib.import_module("cvcourse.recipes.optimizers")
    values = dict(model_args={"hidden": (2,)}, limit=50, epochs=3, rates=(0.1, 0.3))
    values |= dict(optimizers=("sgd", "lbfgs", "newton"))
    half, exact = (
        made.main(made.Config(**values, precision=one, workdir=str(tmp_path / one)))["curves"]
        for one in (policy, "float32")
    )
    for name in values["optimizers"]:
        assert half[name]["loss"] == pytest.approx(exact[name]["loss"], rel=0.02)
        assert half[name]["loss"][-1] < half[name]["loss"][0] - 0.1
