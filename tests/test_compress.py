"""The recipe `compress`: its numbers are those of its files; it resumes, and refuses nonsense."""

import gzip
import io
import itertools
import json
import lzma
import random
import shutil
import sys

import keras
import numpy as np
import pytest
from crash import survives
from cvcourse.recipes import compress, train

from cvcourse import data, training
from cvcourse.compression import compressed_file
from cvcourse.errors import Interrupted
from cvcourse.training import compression_report

pytestmark = pytest.mark.usefixtures("undrawn")

SETTINGS = dict(
    model="mlp",
    model_args={"hidden": (24,)},
    dataset="digits",
    limit=200,
    batch_size=50,
    optimizer="adam",
    learning_rate=0.01,
    weight_decay=0.0,
    augment=(),
    epochs=6,
    prune_epochs=3,
    prune_learning_rate=0.003,
    share_epochs=2,
    share_learning_rate=0.001,
    density=0.25,
    bits="3",
    curve=(),
)
UNFLAGGED = ("model_args", "augment", "curve")
SIZE = 4 * (64 * 24 + 24 + 24 * 10 + 10)


def config(workdir, **settings):
    return compress.Config(**{**SETTINGS, "workdir": str(workdir), **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    return workdir, compress.main(config(workdir))


@pytest.fixture(scope="module")
def once(finished):
    """Its network, compressed to two densities without training."""
    workdir = finished[0].with_name("once")
    changes = dict(prune_epochs=0, share_epochs=0, curve=(0.1,))
    return workdir, compress.main(config(workdir, source=str(finished[0] / "dense"), **changes))


@pytest.fixture
def unfinished(finished, tmp_path):
    """A copy of the finished run without its results."""
    shutil.copytree(finished[0], tmp_path / "run")
    for name in ("metrics.json", "model.keras", "model.cvz", "report.html"):
        (tmp_path / "run" / name).unlink()
    return tmp_path / "run"


def error_of(model, split):
    predicted = np.argmax(model(split.images.astype("float32")), axis=1)
    return 100 * (predicted != split.labels).mean()


def test_the_stages_are_those_of_the_files(finished):
    workdir, metrics = finished
    dense, pruned, shared, huffman = metrics["stages"]
    assert [row["stage"] for row in metrics["stages"]] == ["dense", "pruned", "shared", "huffman"]
    assert dense["bytes"] == SIZE and metrics["parameters"] == SIZE / 4
    assert huffman["bytes"] == (workdir / "model.cvz").stat().st_size
    for row in metrics["stages"]:
        assert row["ratio"] == pytest.approx(SIZE / row["bytes"], abs=1e-3)
    kernels = 24 * (64 + 10)
    assert pruned["density"] == shared["density"] == huffman["density"] == 0.25
    assert [dense["bits"], pruned["bits"], shared["bits"]] == [32, 32, 3]
    # 444 values with their gaps, and the biases
    assert pruned["bytes"] >= 444 * (32 + 1) / 8 + 4 * 34
    assert pruned["bytes"] <= 444 * 1.2 * (32 + 4) / 8 + 4 * 34
    assert shared["bytes"] < pruned["bytes"]
    decoded = compressed_file.read(workdir / "model.cvz")
    assert np.count_nonzero(decoded.get_layer("features").kernel) + np.count_nonzero(
        decoded.get_layer("logits").kernel
    ) == round(kernels / 4)
    digits = data.load("digits", limit=200)
    assert huffman["test_error"] == pytest.approx(error_of(decoded, digits.test), abs=1e-3)
    assert huffman["val_error"] == pytest.approx(error_of(decoded, digits.validation), abs=1e-3)
    settings = json.loads((workdir / "dense" / "config.json").read_text())
    assert (settings["monitor"], settings["test"]) == ("val_accuracy", False)
    net = keras.saving.load_model(workdir / "dense" / "model.keras")
    assert dense["test_error"] == pytest.approx(error_of(net, digits.test), abs=1e-3)
    assert huffman["test_error"] < dense["test_error"] + 10 < 40


def test_the_model_is_plain_and_equal_to_the_file(finished):
    workdir, metrics = finished
    model, names = training.load_model(workdir / "model.keras")
    decoded = compressed_file.read(workdir / "model.cvz")
    assert names == compressed_file.class_names(workdir / "model.cvz")
    assert 4 * model.count_params() == SIZE
    before = keras.saving.load_model(workdir / "dense" / "model.keras")
    assert [layer.name for layer in model.layers] == [layer.name for layer in before.layers]
    for x, y in zip(model.get_weights(), decoded.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)
    kernel = model.get_layer("features").kernel.numpy()
    assert 4 <= len(np.unique(kernel[kernel != 0])) <= 8
    assert metrics["keras_bytes"] == (workdir / "model.keras").stat().st_size


def test_a_further_density_has_a_file_of_its_own(once):
    workdir, metrics = once
    first, second = metrics["curve"]
    assert first == metrics["stages"][-1]
    assert second["bytes"] == (workdir / "model_0.1.cvz").stat().st_size < first["bytes"]
    assert second["density"] == pytest.approx(0.1, abs=1e-3)
    page = (workdir / "report.html").read_text()
    for text in ("Tensors in the file", "Test error by ratio", "needs the memory and the time"):
        assert text in page


def test_archives_are_of_the_pruned_weights(finished, once):
    """Without epochs, the pruned weights are the largest ones of the dense network."""
    workdir, metrics = once
    arrays = training.load_model(finished[0] / "dense" / "model.keras")[0].get_weights()
    magnitudes = np.abs(np.concatenate([arrays[0].ravel(), arrays[2].ravel()]))
    least = np.sort(magnitudes)[-444]
    pruned = [np.where(abs(a) < least, 0, a) if a.ndim > 1 else a for a in arrays]
    file = io.BytesIO()
    np.savez(file, *pruned)
    assert metrics["gzip_bytes"] == pytest.approx(len(gzip.compress(file.getvalue(), 9)), abs=50)
    assert metrics["xz_bytes"] == pytest.approx(len(lzma.compress(file.getvalue())), abs=50)
    assert not (workdir / "dense").exists()
    assert [row["seconds"] for row in metrics["stages"][1:3]] == [0, 0]


@pytest.mark.slow
def test_an_existing_network_is_compressed_like_one_that_is_trained_first(finished, tmp_path):
    """Its dataset and its model are those of its config.json."""
    workdir, metrics = finished
    settings = {name: SETTINGS[name] for name in SETTINGS if name not in ("model", "dataset")}
    settings |= dict(model_args={}, limit=None, source=str(workdir / "dense"))
    here = compress.Config(**settings, workdir=str(tmp_path / "run"))
    found = compress.main(here)
    assert (tmp_path / "run/model.cvz").read_bytes() == (workdir / "model.cvz").read_bytes()
    for row, other in zip(found["stages"], metrics["stages"], strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
    begun = json.loads((tmp_path / "run/config.json").read_text())
    assert (begun["model"], begun["dataset"], begun["limit"]) == ("mlp", "digits", 200)


def test_a_finished_run_is_not_repeated(finished, monkeypatch):
    workdir, metrics = finished
    monkeypatch.setattr(train, "main", None)
    monkeypatch.setattr(compress, "one_run", None)
    assert compress.main(config(workdir)) == metrics


@pytest.mark.parametrize(
    "stage",
    [
        "pruned_0.25",
        pytest.param("shared_0.25", marks=pytest.mark.slow),
        pytest.param(None, marks=pytest.mark.slow),
    ],
)
def test_only_what_is_missing_is_trained_and_all_ends_equal(
    finished, unfinished, monkeypatch, stage
):
    if stage:
        shutil.rmtree(unfinished / stage)
    trained = []
    real = keras.Model.fit
    monkeypatch.setattr(keras.Model, "fit", lambda *a, **k: trained.append(a) or real(*a, **k))
    metrics = compress.main(config(unfinished))
    assert len(trained) == (stage is not None)
    assert (unfinished / "model.cvz").read_bytes() == (finished[0] / "model.cvz").read_bytes()
    for row, other in zip(metrics["stages"], finished[1]["stages"], strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}


@pytest.mark.slow
def test_an_interruption_within_pruning_changes_nothing(finished, unfinished, monkeypatch):
    """Ctrl-C in the second epoch, between two times of pruning."""
    shutil.rmtree(unfinished / "pruned_0.25")
    real, batches = training.exact_resume.ExactResume.on_train_batch_begin, itertools.count()

    def interrupted(self, batch, logs=None):
        if next(batches) == 5:
            self._signaled = True
        real(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(training.exact_resume.ExactResume, "on_train_batch_begin", interrupted)
        with pytest.raises(Interrupted, match=r"resume with: .*compress .*--workdir=\S*/run$"):
            compress.main(config(unfinished))
    compress.main(config(unfinished))
    assert (unfinished / "model.cvz").read_bytes() == (finished[0] / "model.cvz").read_bytes()


@pytest.mark.slow
def test_a_run_that_is_killed_anywhere_ends_with_the_same_file(finished, tmp_path):
    workdir = tmp_path / "killed"
    flags = [f"--{name}={value}" for name, value in SETTINGS.items() if name not in UNFLAGGED]
    flags += ["--model_args=hidden=24/", "--augment=none", f"--workdir={workdir}"]
    rng = random.Random(0)
    kills, _ = survives(
        [sys.executable, "-m", "cvcourse", "compress", *flags],
        [rng.uniform(0, 1.5) for _ in range(4)],
        files=lambda: {*workdir.glob("*/checkpoints/*.npz"), *workdir.glob("*.cvz")},
    )
    assert kills == 4
    assert (workdir / "model.cvz").read_bytes() == (finished[0] / "model.cvz").read_bytes()


@pytest.mark.slow
def test_several_seeds_are_averaged(tmp_path):
    changes = dict(epochs=1, prune_epochs=1, share_epochs=0, seeds=(3, 5))
    metrics = compress.main(config(tmp_path / "run", **changes))
    each = [metrics["runs"][f"seed {seed}"]["stages"] for seed in (3, 5)]
    for key in ("test_error", "bytes", "ratio"):
        values = [stages[-1][key] for stages in each]
        assert metrics["stages"][-1][key] == pytest.approx(np.mean(values), abs=1e-3)
    errors = [stages[-1]["test_error"] for stages in each]
    std = metrics["stages"][-1]["test_error_std"]
    assert std == pytest.approx(np.std(errors, ddof=1), abs=1e-3)
    files = [(tmp_path / f"run/seed{seed}/model.cvz").stat().st_size for seed in (3, 5)]
    assert [stages[-1]["bytes"] for stages in each] == files
    assert "Means over 2 seeds" in (tmp_path / "run" / "report.html").read_text()
    assert metrics["parameters"] == SIZE / 4


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_networks_of_half_precision(precision, tmp_path):
    changes = dict(epochs=1, prune_epochs=2, share_epochs=1, precision=precision)
    metrics = compress.main(config(tmp_path / "run", **changes))
    assert [row["density"] for row in metrics["stages"]] == [1, 0.25, 0.25, 0.25]
    decoded = compressed_file.read(tmp_path / "run" / "model.cvz")
    assert decoded.get_layer("features").compute_dtype == precision.removeprefix("mixed_")


def test_gap_coded_bytes_of_the_papers_figure():
    """Han et al. 2016, figure 2: 3.4 at 1, 0.9 at 4, 1.7 at 15; gaps of 3 bits, one filler."""
    array = np.zeros(16)
    array[[1, 4, 15]] = 3.4, 0.9, 1.7
    # 2 bits: gaps 1 2 (3+ a filler, 3+ a filler, 2): 5 entries; 4 bits: 3 entries of 36 bits
    assert compression_report.gap_coded_bytes(array) == -(-3 * (32 + 4) // 8)
    # Indices of 3 values: 3 entries of 2 + 4 bits, or 16 of 2 bits
    assert compression_report.gap_coded_bytes(array, 3) == 3
    assert compression_report.gap_coded_bytes(np.ones(10)) == 40
    array = np.zeros(1000)
    array[999] = 2  # after 3 fillers: 4 entries of 1 + 8 bits, or of 32 + 8
    assert compression_report.gap_coded_bytes(array, 1) == 5
    assert compression_report.gap_coded_bytes(array) == 20
    array[255] = 1  # after 255 zeros, without a filler; the other then after 2 fillers
    assert compression_report.gap_coded_bytes(array) == 20


def test_settings_of_each_network():
    usual = compress.with_settings(compress.Config(model="lenet5_caffe"))
    own = compress.SETTINGS["lenet5_caffe"]
    assert (usual.prune_epochs, usual.augment) == (own["prune_epochs"], ())
    given = compress.with_settings(compress.Config(model="vgg16_cifar", density=0.3, epochs=2))
    assert (given.density, given.epochs) == (0.3, 2)
    assert given.prune_epochs == compress.SETTINGS["vgg16_cifar"]["prune_epochs"]
    assert given.batch_size == compress.USUAL["batch_size"]
    assert compress.with_settings(compress.Config(model="resnet20")).augment is None
    assert compress.bits_of("4") == 4
    assert compress.bits_of("conv:8,dense:4") == {"conv": 8, "dense": 4}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--density=0", "--density expects a number above 0; received 0"),
        ("--density=1.5", "--density must be above 0 and at most 1; received 1.5"),
        ("--curve=0.1,2", "--curve must be above 0 and at most 1; received 2"),
        ("--bits=9", "--bits expects 1 to 8, or conv:BITS,dense:BITS; received '9'"),
        ("--bits=0", "--bits expects 1 to 8"),
        ("--bits=conv:4,fc:4", "--bits expects 1 to 8"),
        ("--bits=conv:4", "--bits expects 1 to 8"),
        ("--bits=4,5", "--bits expects 1 to 8"),
        ("--init=lineal", "did you mean 'linear'"),
        ("--seeds=1,1", "--seeds expects one or more different values"),
        ("--model=lenet_300", "did you mean 'lenet_300_100'"),
        ("--source=nowhere", "--source=nowhere: no such run directory, .keras or .cvz file"),
        ("--dataset=digit", "did you mean 'digits'"),
        ("--model=linear --model_args=wide=3", "wide"),
        ("--optimizer=lbfgs", "use `cvcourse optimizers`"),
        ("--cycles=2 --schedule=cosine_restarts", "this recipe has trainings of different lengths"),
        ("--cycles=2 --epochs=3", "--cycles=2 does not divide"),
    ],
)
def test_bad_values_leave_one_line_and_nothing_written(flags, message, tmp_path, capsys):
    usual = ["--dataset=digits", f"--workdir={tmp_path / 'run'}"]
    assert compress.cli([*usual, *flags.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_network_without_kernels_is_refused_before_it_is_trained(tmp_path, capsys):
    (tmp_path / "net.py").write_text(
        "import keras\n"
        "def tiny(*, input_shape, num_classes):\n"
        "    image = keras.Input(input_shape)\n"
        "    x = keras.layers.GlobalAveragePooling2D()(image)\n"
        "    return keras.Model(image, keras.layers.Dense(num_classes, name='logits')(x))\n"
    )
    flags = [f"--model={tmp_path / 'net.py'}:tiny", "--dataset=digits", "--limit=60"]
    assert compress.cli([*flags, f"--workdir={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert "has no convolution or dense layer of at least 100 weights" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_changed_flags_are_refused(finished, capsys):
    workdir, _ = finished
    other = config(workdir, bits="4")
    flags = [f"--{name}={value}" for name, value in SETTINGS.items() if name not in UNFLAGGED]
    flags += ["--model_args=hidden=24/", "--augment=none", "--bits=4"]
    assert compress.cli([*flags, f"--workdir={other.workdir}"]) == 2
    assert "differs in bits (there '3', here '4')" in capsys.readouterr().err
