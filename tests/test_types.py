"""A user's script under mypy's strict mode: the public types are those that users have."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = """
import pathlib

import keras
import numpy as np

import cvcourse
from cvcourse import data, layers, models, optimization, recipe, sequence
from cvcourse.models import pretrained
from cvcourse.recipes import train, transfer, tune

images = np.zeros((4, 28, 28, 1))
shape = images.shape[1:]  # tuple[int, ...]
net: keras.Model = models.resnet18(input_shape=shape, depths=[1, 1], num_classes=None)
other = models.vgg16(input_shape=(None, None, 3), hidden=(8,))
built = models.build("resnet18", input_shape=shape)
names: list[str] = models.list(("resnet*", "vgg*"), pretrained=True)
maps = models.backbone("resnet18", [1, "stage2"])
parameters: int = models.cost(net).parameters
raw = models.with_preprocessing(net, shape, mean=[0.0], variance=np.array([1.0]))
digits = data.load("digits")
mean, variance = data.channel_statistics(digits.train)
own = models.with_preprocessing(net, digits.input_shape, mean=mean, variance=variance)
sides: tuple[int, int, int] = models.input_shape_for("lenet5", shape)
published = pretrained.find("resnet18", pathlib.Path("resnet18.npz"))
accuracy: float | None = published.top1
model = pretrained.load("resnet18", pathlib.Path("mine.h5"), weights_dir=pathlib.Path("weights"))
gray = pretrained.with_preprocessing(net, published, shape)
generator = sequence.Generator(sequence.build("lstm", units=8))
tokens: np.ndarray = generator.sample([[1, 2]], 3, suppress_tokens={0})
best, scores = generator.beam_search(np.array([[1]]), 3, num_beams=2)
text: str = sequence.TextSampler.load(pathlib.Path("model.keras")).sample("a", length=3)
captioner = sequence.Captioner.load("model.keras", num_beams=3)
loaded = recipe.load_config(pathlib.Path("runs"), train.Config)
config = train.Config(model="lenet5", dataset="digits", input_shape=(8, 8, 1), augment=("flip",))
path: str = train.main(config)["model"]
workdirs = [tune.main(tune.Config(trials=3))["workdir"], transfer.main(transfer.Config())["model"]]
optimizer = optimization.CourseAdam(learning_rate=0.1)
layer = layers.DropPath(0.1)
version: str = cvcourse.__version__
again = cvcourse.models.resnet18(num_classes=3)
"""


@pytest.mark.slow
def test_a_users_script_is_well_typed(tmp_path):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    shutil.copytree(ROOT / "cvcourse", tmp_path / "site" / "cvcourse")
    shutil.copytree(ROOT / "recipes", tmp_path / "site" / "cvcourse" / "recipes")
    (tmp_path / "script.py").write_text(SCRIPT)
    options = ["--strict", "--ignore-missing-imports", "--follow-imports=silent"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": "site"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
