"""Recipe dream: each kind with a small model, the picture on disk, and wrong flags."""

import re

import keras
import numpy as np
import pytest
from cvcourse.recipes import classify, dream
from keras import layers
from PIL import Image

from cvcourse import training
from cvcourse.files import read_json

STEPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with a photo, a gray photo, and models of fixed size, of any size, and of photos."""
    path = tmp_path_factory.mktemp("dream")
    colors = np.random.default_rng(0).integers(0, 256, (20, 30, 3), "uint8")
    Image.fromarray(colors).save(path / "photo.png")
    Image.fromarray(colors[::-1, ::2]).save(path / "style.png")
    (path / "text.png").write_text("no photo")
    for name, shape, first in (
        ("fixed", (16, 16, 1), layers.Rescaling(1 / 255)),
        ("resizing", (None, None, 3), layers.Resizing(16, 16)),
    ):
        keras.utils.set_random_seed(1)
        image = keras.Input(shape)
        x = layers.Rescaling(1 / 255)(first(image)) if name == "resizing" else first(image)
        x = layers.Conv2D(4, 3, padding="same", activation="relu", name="fine")(x)
        x = layers.MaxPool2D(name="middle")(x)
        x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="coarse")(x)
        scale = keras.initializers.VarianceScaling(20.0)
        logits = layers.Dense(3, kernel_initializer=scale, name="logits")(layers.Flatten()(x))
        training.save_model(keras.Model(image, logits), path / f"{name}.keras", ["a", "bee", "c"])
    return path


def run(folder, tmp_path, *flags, model="resizing", photo="photo.png"):
    photos = [str(folder / photo)] if photo else []
    model = f"--model={folder / model}.keras"
    code = dream.cli([*photos, model, f"--workdir={tmp_path / 'run'}", f"--steps={STEPS}", *flags])
    return code, tmp_path / "run"


@pytest.mark.parametrize(
    "kind, model",
    [
        *((kind, "resizing") for kind in dream.KINDS),
        *(
            pytest.param(kind, "fixed", marks=() if kind in ("dream", "fool") else pytest.mark.slow)
            for kind in dream.KINDS
        ),
    ],
)
def test_kinds(kind, model, folder, tmp_path, capsys):
    flags = [f"--kind={kind}", "--seed=4"]
    flags += ["--target=bee"] if kind in dream.OF_CLASS else []
    flags += [f"--style={folder / 'style.png'}"] if kind == "style" else []
    photo = None if kind == "class_image" else "photo.png"
    code, path = run(folder, tmp_path, *flags, model=model, photo=photo)
    assert code == 0
    assert f"picture: {path}/picture.png" in capsys.readouterr().out
    found = read_json(path / "metrics.json")
    picture = np.array(Image.open(path / "picture.png"))
    size = (32, 48) if kind == "dream" else (16, 16)
    size = (20, 30) if (kind, model) == ("fool", "resizing") else size
    assert picture.shape == (*size, 3)[: 2 if model == "fixed" else 3]
    octaves = 3 if kind == "dream" else 1  # 32, 23 and 16 pixels
    if kind == "fool":
        assert 1 <= found["steps"] <= STEPS
    else:
        assert found["steps"] == STEPS * octaves
    steps = [row["step"] for row in found["path"]]
    first = [0] if kind in ("dream", "style", "fool") else []
    assert steps[: len(first) + 1] == [*first, 1] and steps[-1] == found["steps"]
    assert len({*steps}) == len(steps)
    losses = [row["loss"] for row in found["path"]]
    if kind in ("invert", "texture", "class_image", "fool"):
        assert losses[-1] < losses[0]
    assert found["seed"] == 4
    assert (found["layer"] is None) == (kind in dream.OF_CLASS)
    assert found["class"] in (["bee"] if kind in dream.OF_CLASS else ["a", "bee", "c"])
    page = (path / "report.html").read_text("utf-8")
    others = ["result", *(["photo"] if photo else [])]
    others += {"style": ["style"], "fool": [f"change, times {dream.AMPLIFIED}"]}.get(kind, [])
    titles = re.findall("<figcaption>([^<]*)", page)
    assert [title.splitlines()[0] for title in titles[: len(others)]] == others
    assert [title.split()[:2] for title in titles[len(others) :]] == [
        ["step", str(step)] for step in steps
    ]


def test_classify_is_fooled_by_the_picture(folder, tmp_path, capsys):
    """The class of the photo changes, in a model that resizes it; the second run prints it."""
    before = classify.main(
        classify.Config(photos=(str(folder / "photo.png"),), model=str(folder / "resizing.keras"))
    )
    (order,) = before.values()
    code, path = run(folder, tmp_path, "--kind=fool", "--steps=200")
    assert code == 0
    found = read_json(path / "metrics.json")
    assert found["class"] == order[1][1]
    assert found["before"][0][1] == order[0][1]
    picture = str(path / "picture.png")
    (after,) = classify.main(
        classify.Config(photos=(picture,), model=str(folder / "resizing.keras"))
    ).values()
    assert after[0][1] == found["class"]
    assert after[0][0] == pytest.approx(found["path"][-1]["probability"], abs=1e-5)
    assert after[0][0] > 0.85
    capsys.readouterr()
    assert run(folder, tmp_path, "--kind=fool", "--steps=200")[0] == 0
    assert "is finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, photo, code, message",
    [
        (
            ["--kind=fool", "--target=be"],
            "photo.png",
            2,
            "no class 'be'; the nearest names are bee",
        ),
        (["--layer=corse"], "photo.png", 2, "corse is no layer .* nearest names are coarse"),
        (["--layer=logits2"], "photo.png", 2, "logits2 is no layer"),
        ([], "none.png", 1, "none.png: No such file"),
        ([], "text.png", 1, "text.png is not an image"),
        (["--kind=style", "--style=none.png"], "photo.png", 1, "none.png: No such file"),
        ([], None, 2, "--kind=dream needs one photo; received none"),
        (["--kind=class_image"], None, 2, "needs the name of a class"),
        (["--kind=class_image", "--target=a"], "photo.png", 2, "takes no photo; received .*photo"),
        (["--kind=style"], "photo.png", 2, "--style=FILE and --kind=style need each other"),
        (["--target=a"], "photo.png", 2, "--target is for --kind=class_image and fool"),
        (["--kind=fool", "--layer=coarse"], "photo.png", 2, "--layer is for --kind=dream, invert"),
        (["--kind=fool", "--size=9"], "photo.png", 2, "keeps the size of the photo"),
        (["--kind=invert", "--size=9"], "photo.png", 2, r"takes images \(n, 16, 16, 3\)"),
        (["--kind=class_image", "--target=a", "--size=9"], None, 2, r"images \(n, 16, 16, 3\)"),
        (["--size=9"], "photo.png", 2, r"takes images \(n, 16, 16, 3\)"),
        (["--kind=paint"], "photo.png", 2, "unknown --kind 'paint'"),
        (["--steps=0"], "photo.png", 2, "of at least 1"),
    ],
)
def test_wrong_flags_are_one_line(flags, photo, code, message, folder, tmp_path, capsys):
    assert run(folder, tmp_path, *flags, photo=photo)[0] == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(message, error), error


@pytest.mark.parametrize("kind", ["style", "texture", "invert"])
def test_layers_that_are_zero_for_the_photo_are_one_line(kind, folder, tmp_path, capsys):
    Image.new("RGB", (16, 16)).save(folder / "black.png")
    style = [f"--style={folder / 'black.png'}"] if kind == "style" else []
    code, path = run(folder, tmp_path, f"--kind={kind}", *style, photo="black.png")
    assert code == 2 and not path.exists()
    assert "are all zero" in capsys.readouterr().err.splitlines()[-1]


def test_a_model_without_maps_and_of_one_class_is_one_line(folder, tmp_path, capsys):
    image = keras.Input((4, 4, 3))
    logits = layers.Dense(1, name="logits")(layers.Flatten()(image))
    training.save_model(keras.Model(image, logits), tmp_path / "flat.keras", ["a"])
    photo, model = str(folder / "photo.png"), f"--model={tmp_path / 'flat.keras'}"
    for kind, message in (
        ("dream", "flat has no maps"),
        ("fool", "is a already: --kind=fool needs another one"),
    ):
        assert dream.cli([photo, model, f"--kind={kind}", f"--workdir={tmp_path / 'run'}"]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert message in line
    assert not (tmp_path / "run").exists()
