"""Captioning from outside: a few photos learned by heart, exact resume, and what is refused."""

import csv
import dataclasses
import itertools
import json
import math
import pathlib
import shlex
import signal
import sys

import keras
import numpy as np
import pytest
from crash import survives_kills_after_checkpoints
from cvcourse.recipes import caption
from networks import write_random_mobilenet
from PIL import Image, ImageDraw
from recipe_runs import assert_same_run

from cvcourse import data, sequence, training
from cvcourse.errors import Interrupted, UsageError

pytestmark = pytest.mark.usefixtures("undrawn")

COLORS = ("red", "green", "blue", "yellow", "black")
GROUNDS = ("white", "orange")
TIMES = 30  # that a caption is learned in an epoch
KINDS = {  # a small net's knobs, and what loss the course overfits such a net to
    "caption_rnn": ({"units": 128, "embedding": 64}, 0.1),
    "caption_lstm": ({"units": 128, "embedding": 64}, 0.5),
    "caption_attention": ({"units": 64, "embedding": 64}, 0.5),
    "caption_transformer": ({"hidden_dim": 64, "num_heads": 2, "mlp_dim": 128}, 0.05),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights for MobileNet of a quarter's width, in Keras' names."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet.npz"
    write_random_mobilenet(path)
    return path


def drawn(color, ground):
    """A photo of 90x70 pixels."""
    image = Image.new("RGB", (90, 70), ground)
    ImageDraw.Draw(image).rectangle((25, 15, 65, 55), color)
    return image


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Ten photos to learn a caption of, and copies of them to validate and to test."""
    folder = tmp_path_factory.mktemp("photos")
    with open(folder / "captions.csv", "w") as file:
        write = csv.writer(file).writerow
        write(["image", "split", "caption"])
        for split, times in (("train", TIMES), ("val", 1), ("test", 1)):
            for color, ground in itertools.product(COLORS, GROUNDS):
                name = f"{split}-{color}-{ground}.png"
                drawn(color, ground).save(folder / name)
                for _ in range(times):
                    write([name, split, f"A {color} square on {ground} ground."])
    return folder


@pytest.fixture(scope="module")
def settings(weights, photos, tmp_path_factory):
    """What all runs have in common."""
    return dict(
        photos=str(photos),
        backbone="mobilenet",
        backbone_args={"width": 0.25},
        weights=str(weights),
        size=64,
        least=1,
        cache_dir=str(tmp_path_factory.mktemp("features")),
    )


@pytest.fixture
def config(settings, tmp_path):
    """A short run, with dropout."""
    return caption.Config(
        **settings,
        model_args={"units": 16, "embedding": 16},
        epochs=2,
        batch_size=60,
        dropout=0.3,
        checkpoint_minutes=1e-9,
        workdir=str(tmp_path / "run"),
    )


STEPS = 5  # an epoch: 10 photos, 30 times, 60 at once


def changed(config, **settings):
    return dataclasses.replace(config, **settings)


# --- learned by heart ---


@pytest.fixture(scope="module", params=KINDS)
def memorized(request, settings, tmp_path_factory):
    """A finished run of each kind of net: (config, metrics, training loss at its end)."""
    model_args, _ = KINDS[request.param]
    config = caption.Config(
        **settings,
        model=request.param,
        model_args=model_args,
        epochs=12,
        batch_size=10,
        learning_rate=3e-3,
        dropout=0.0,
        patience=None,
        workdir=str(tmp_path_factory.mktemp(request.param) / "run"),
    )
    metrics = caption.main(config)
    history = (pathlib.Path(config.workdir) / "history.csv").read_text().splitlines()
    return config, metrics, float(history[-1].split(",")[1])


@pytest.mark.slow
def test_photos_are_learned_by_heart(memorized, photos, capsys, tmp_path):
    config, metrics, loss = memorized
    assert loss < KINDS[config.model][1]
    assert metrics["vocabulary"] == 4 + len(["a", *COLORS, "square", "on", *GROUNDS, "ground"])
    assert metrics["initial_loss"] == pytest.approx(math.log(metrics["vocabulary"]), rel=0.03)
    for split in ("test", "val"):
        assert metrics[f"{split}_bleu4"] > 0.95
        assert metrics[f"{split}_bleu1"] >= metrics[f"{split}_bleu4"]

    run = pathlib.Path(config.workdir)
    assert json.loads((run / "metrics.json").read_text()).items() <= metrics.items()
    names = ["checkpoints", "config.json", "history.csv", "metrics.json", "model.keras"]
    names += ["report.html", "tensorboard"]
    assert sorted(path.name for path in run.iterdir() if path.name[0] != ".") == names
    report = (run / "report.html").read_text()
    looks = config.model in ("caption_attention", "caption_transformer")
    assert report.count("attention for each word") == (caption.ATTENDED if looks else 0)
    assert "a red square on orange ground" in report

    turned = tmp_path / "turned.jpg"  # as a camera on its side writes it
    photo = drawn("blue", "white").rotate(90, expand=True)
    exif = photo.getexif()
    exif[0x0112] = 6  # turn it clockwise to look at it
    photo.save(turned, exif=exif, quality=95, subsampling=0)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert caption.main(changed(config, caption=str(turned))) == metrics
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"{turned}: a blue square on white ground"
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before

    captioner = sequence.Captioner.load(run / "model.keras", num_beams=2)
    backbone = training.for_any_size(caption.load_backbone(config).model)
    image = data.read_photo(turned)[None].astype("float32")
    maps = np.asarray(backbone(image, training=False)["features"])
    assert captioner.caption(maps) == ["a blue square on white ground"]

    model, tokens = training.load_model(run / "model.keras")
    assert tokens[:4] == data.SPECIAL
    assert model.input["memory"].shape == (None, 4, 256)
    assert model.input["tokens"].shape == (None, None)


# --- resume ---


class Stop(BaseException):
    """A crash of the test's making."""


def stop():
    raise Stop


def interrupted(config, at, crash, monkeypatch):
    """Run until step `at`, then `crash()`; the step's checkpoint is written before."""
    keras.utils.clear_session()  # as another process, which counts names from the beginning
    after = training.ExactResume.on_train_batch_end

    def hook(self, batch, logs=None):
        after(self, batch, logs)
        if self.step == at:
            crash()

    with monkeypatch.context() as patched:
        patched.setattr(training.ExactResume, "on_train_batch_end", hook)
        caption.main(config)


@pytest.mark.slow  # char_lm, train, and translate resume by the same loop
def test_resume_is_exact_and_features_are_computed_once(config, monkeypatch, tmp_path, capsys):
    config = changed(config, cache_dir=str(tmp_path / "features"))
    metrics = caption.main(changed(config, workdir=str(tmp_path / "peace")))
    assert metrics["epochs"] == 2
    assert "computing the features of 10 photos" in capsys.readouterr().out
    monkeypatch.setattr(data, "stream", None)  # they are kept
    with pytest.raises(Stop):
        interrupted(config, STEPS + 2, stop, monkeypatch)
    with pytest.raises(Interrupted, match=r"stopped at step 9; resume with: .*--workdir="):
        interrupted(
            changed(config, checkpoint_minutes=99.0),
            STEPS + 3,
            lambda: signal.raise_signal(signal.SIGTERM),
            monkeypatch,
        )
    keras.utils.clear_session()
    assert caption.main(config)["epochs"] == 2
    assert_same_run(tmp_path / "peace", pathlib.Path(config.workdir))
    with pytest.raises(UsageError, match="differs in num_beams"):
        caption.main(changed(config, num_beams=2))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["caption_attention", "caption_transformer"])
def test_kill_9_at_random_moments(config, model, tmp_path):
    """Killed twice, anywhere between the first checkpoint and the end, then left in peace."""
    args = {"units": 16}
    if model == "caption_transformer":
        args = {"hidden_dim": 16, "num_heads": 2, "mlp_dim": 32}
    config = changed(config, model=model, model_args=args, epochs=30, patience=None)
    peace = changed(config, workdir=str(tmp_path / "peace"))
    caption.main(peace)
    argv = caption.recipe.command(config, f"{sys.executable} -m cvcourse caption")
    run = pathlib.Path(config.workdir)
    survives_kills_after_checkpoints(shlex.split(argv), run)
    assert_same_run(tmp_path / "peace", run)


# --- what is refused ---


@pytest.fixture
def few(tmp_path):
    """A function (extra lines of the captions file) -> folder with three photos."""

    def write(*lines):
        folder = tmp_path / "few"
        folder.mkdir()
        for i, split in enumerate(("train", "val", "test")):
            drawn(COLORS[i], "white").save(folder / f"{i}.png")
            lines = (f"{i}.png,{split},a {COLORS[i]} square", *lines)
        (folder / "captions.csv").write_text("\n".join(("image,split,caption", *lines)))
        return folder

    return write


def refused(config, capsys, code, message):
    """One line, the exit code, and nothing left."""
    argv = caption.recipe.command(config, "caption").split()[1:]
    assert caption.cli(argv) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not pathlib.Path(config.workdir).exists()


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (dict(photos=None), 2, "--photos is required: the folder of the photos"),
        (dict(photos="absent"), 1, "there is no folder absent"),
        (dict(captions_file="absent.csv"), 1, "cannot read the captions file absent.csv"),
        (dict(missing="drop"), 2, "unknown --missing 'drop'"),
        (dict(backbone="mobilnet"), 2, "unknown model 'mobilnet': did you mean 'mobilenet'"),
        (dict(backbone_args={"widht": 1}), 2, "widht"),
        (dict(backbone_args={"input_shape": 3}), 2, "input_shape is set by --size"),
        (dict(weights="absent.npz"), 1, "there is no file absent.npz"),
        (dict(size=16), 2, "takes images of 32x32 pixels or more"),
        (dict(model="caption_lstn"), 2, "did you mean 'caption_lstm'"),
        (dict(model_args={"unit": 3}), 2, "unknown builder argument 'unit': did you mean 'units'"),
        (dict(model="caption_transformer", model_args={"length": 9}), 2, "length is set by --long"),
        (dict(model="caption_transformer", model_args={"num_heads": 3}), 2, "among 3 heads"),
        (dict(least=301), 2, "no word occurs 301 times in the captions, the most frequent one 300"),
        (dict(longest=5), 1, "has a caption of 6 words, more than --longest=5: 'A red"),
        (dict(num_beams=0), 2, "--num_beams expects a whole number of at least 1"),
        (dict(caption="absent.jpg"), 1, "absent.jpg"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(config, change, code, message, capsys):
    refused(changed(config, **change), capsys, code, message)


def test_bad_files_are_one_line(config, few, capsys):
    folder = few("gone.png,train,a square that is gone")
    config = changed(config, photos=str(folder))
    refused(config, capsys, 1, "names gone.png, which is not in")
    config = changed(config, missing="skip")
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:60])
    refused(config, capsys, 1, f"cannot read the image {folder / '1.png'}: ")
    (folder / "captions.csv").write_text("image,split,caption\n0.png,train,a\n2.png,test,b")
    refused(config, capsys, 1, "has no validation photo")


def test_photos_are_skipped_captions_cut_and_a_test_split_done_without(config, few, capsys):
    folder = few("gone.png,train,gone", "0.png,train,one two three four five six seven eight")
    lines = (folder / "captions.csv").read_text().splitlines()
    (folder / "captions.csv").write_text("\n".join(lines[:1] + lines[2:]))  # no test photo
    config = changed(config, photos=str(folder), missing="skip", longest=4, too_long="cut")
    metrics = caption.main(changed(config, epochs=1))
    assert "1 of 3 captions are cut to 4 words" in capsys.readouterr().out
    assert metrics["photos"] == {"train": 1, "validation": 1, "test": 0}
    assert metrics["test_bleu1"] is None
    assert 0 <= metrics["val_bleu4"] <= 1
    assert "validation photos" in (pathlib.Path(config.workdir) / "report.html").read_text()
