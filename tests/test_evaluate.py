"""A saved model on new data: which images, which classes, the numbers and the files."""

import csv
import json
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest
from cvcourse.recipes import classify, evaluate, train, transfer
from networks import write_random_mobilenet
from PIL import Image

from cvcourse import classifier, data, evaluation_split, files, recipe, training
from cvcourse.classifier import Classifier
from cvcourse.errors import RunError, UsageError
from cvcourse.training import Evaluation

pytestmark = pytest.mark.usefixtures("undrawn")

COLORS = ("red", "green", "blue")
PALETTE = {"red": (200, 40, 30), "green": (20, 180, 60), "blue": (10, 50, 190)}


def color_model(shape=(None, None, 3), activation=None, scale=0.01):
    """Logits are the means of red, green and blue."""
    image = keras.Input(shape)
    means = keras.layers.GlobalAveragePooling2D()(image)
    logits = keras.layers.Dense(3, activation=activation, name="logits")
    model = keras.Model(image, logits(means))
    logits.set_weights([np.eye(3) * scale, np.zeros(3)])
    return model


def saved(tmp_path, names=COLORS, **settings):
    """A run directory with a model of colors."""
    path = tmp_path / "run" / "model.keras"
    training.save_model(color_model(**settings), path, names)
    return path.parent


def paint(folder, color, name="0.png", size=(9, 7), noise=40):
    """A photo of a color, with noise that the name decides."""
    rng = np.random.default_rng(list(os.fsencode(name)))
    pixels = np.array(PALETTE[color]) + rng.integers(-noise, noise + 1, (*size, 3))
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.uint8(np.clip(pixels, 0, 255)))
    with open(os.path.join(os.fsencode(folder), os.fsencode(name)), "wb") as file:
        image.save(file, "png")


def photos(path, count, **classes):
    for name, color in classes.items():
        for i in range(count):
            paint(path / name, color, f"{i}.png")
    return path


def loaded(path):
    return classifier.load(str(path), named=False)


def run(model, dataset, tmp_path, **settings):
    """(metrics, the rows of predictions.csv)."""
    workdir = tmp_path / f"evaluation{len(list(tmp_path.iterdir()))}"
    config = evaluate.Config(str(model), str(dataset), workdir=str(workdir), **settings)
    metrics = evaluate.main(config)
    assert json.loads((workdir / "metrics.json").read_text()).items() <= metrics.items()
    with open(workdir / "predictions.csv", newline="", encoding="utf-8") as file:
        return metrics, list(csv.DictReader(file))


# Numbers


def test_precision_recall_and_f1_by_hand():
    """Class 2 is never predicted, class 3 has no images."""
    logits = np.eye(4, dtype="float32")[[0, 1, 1, 1]]
    evaluation = Evaluation(logits, np.int32([0, 0, 1, 2]))
    found = evaluation.by_class()
    np.testing.assert_allclose(found["precision"], [1, 1 / 3, np.nan, np.nan])
    np.testing.assert_allclose(found["recall"], [1 / 2, 1, 0, np.nan])
    np.testing.assert_allclose(found["f1"], [2 / 3, 1 / 2, 0, np.nan])
    assert found["support"].tolist() == [2, 1, 1, 0]
    assert evaluation.macro() == pytest.approx({"precision": 2 / 3, "recall": 0.5, "f1": 7 / 18})
    metrics = training.evaluation_metrics(evaluation, "abcd", np.ones((3, 1)))
    undefined = {"name": "d", "precision": None, "recall": None, "f1": None, "support": 0}
    assert metrics["classes"][3] == undefined


def test_top_five_by_hand():
    logits = np.float32([[6, 5, 4, 3, 2, 1, 0]] * 4)
    assert Evaluation(logits, np.int32([0, 4, 5, 6])).top5_accuracy == 0.5
    assert Evaluation(logits[:, :5], np.int32([0, 1, 2, 3])).top5_accuracy is None


def test_probabilities_are_told_from_logits():
    probabilities = np.float32([[0.25, 0.75, 0], [0.5, 0.25, 0.25]])
    logits = training.as_logits(probabilities)
    found = Evaluation(logits, np.int32([1, 0])).probabilities
    np.testing.assert_allclose(found, probabilities, atol=1e-30)
    loss = -(np.log(0.75) + np.log(0.5)) / 2
    assert Evaluation(logits, np.int32([1, 0])).loss == pytest.approx(loss)
    assert np.isfinite(Evaluation(logits, np.int32([2, 0])).loss)
    others = np.float32([[0.25, 0.75], [0.5, 0.75]])
    assert training.as_logits(others) is others


# A run's own test split


@pytest.mark.parametrize(
    "settings",
    [
        {"label_smoothing": 0.1, "batch_size": 23},
        {"loss": "hinge", "learning_rate": 0.01},
        {"precision": "mixed_bfloat16"},
    ],
    ids=["softmax", "hinge", "mixed"],
)
def test_equal_to_the_run_s_metrics_to_the_last_digit(settings, tmp_path, precision):
    config = train.Config(epochs=1, limit=100, workdir=str(tmp_path / "run"), **settings)
    trained = train.main(config)
    precision("float32")  # that of a fresh process
    (tmp_path / "run").rename(tmp_path / "moved")
    metrics, rows = run(tmp_path / "moved", "digits", tmp_path)  # with the run's own limit
    assert (metrics["accuracy"], metrics["loss"]) == (
        trained["test_accuracy"],
        trained["test_loss"],
    )
    assert (metrics["split"], metrics["images"]) == ("test", 100)
    assert np.mean([row["correct"] == "1" for row in rows]) == pytest.approx(metrics["accuracy"])
    assert sum(one["support"] for one in metrics["classes"]) == 100


def test_a_run_on_a_folder(trained_on_folder, tmp_path):
    """Whose batch was no larger than its training split."""
    model, folder = trained_on_folder
    chosen = evaluation_split.choose(loaded(model), str(folder))
    assert (chosen.name, chosen.batch_size) == ("test", len(data.load(folder).train))
    assert repr(chosen) == "EvaluationSplit('test', images=3, classes=3)"
    file = str(model / "model.keras")
    shape = loaded(model).model.input_shape[1:]
    assert repr(loaded(model)) == f"Classifier({file!r}, input_shape={shape}, classes=3)"
    metrics, _ = run(model, folder, tmp_path)
    assert metrics["loss"] == json.loads((model / "metrics.json").read_text())["test_loss"]


def published_network(tmp_path):
    write_random_mobilenet(tmp_path / "mobilenet.npz")
    return {"weights": "mobilenet.npz", "model_args": {"width": 0.25}, "size": 32}


def own_network(tmp_path, side=32):
    layer = keras.layers
    parts = [layer.Rescaling(1 / 255), layer.Conv2D(4, 5, 3), layer.GlobalMaxPooling2D()]
    net = keras.Sequential([keras.Input((side, side, 3)), *parts, layer.Dense(2)])
    net.save(tmp_path / "own.keras")
    return {"weights": "own.keras"}


def own_open_network(tmp_path):
    return own_network(tmp_path, None) | {"size": 32}


@pytest.mark.parametrize(
    ("network", "method"),
    [
        pytest.param(published_network, "probe", marks=pytest.mark.slow),
        pytest.param(published_network, "top", marks=pytest.mark.slow),
        (own_network, "probe"),
        pytest.param(own_open_network, "probe", marks=pytest.mark.slow),
        pytest.param(own_network, "full", marks=pytest.mark.slow),
    ],
)
def test_a_transfer_run(tmp_path, network, method):
    """Photos of several sizes, decoded at once to the size that the network takes."""
    settings = network(tmp_path)
    folder = tmp_path / "set"
    for i in range(10):
        for name in COLORS:
            paint(folder / name, name, f"{i}.png", size=(30 + i, 50 - i))
    config = transfer.Config(
        model="mobilenet",
        **settings | {"weights": str(tmp_path / settings["weights"])},
        dataset=str(folder),
        epochs=1,
        method=method,
        control=False,
        cache_dir=str(tmp_path / "features"),
        workdir=str(tmp_path / "run"),
    )
    trained = transfer.main(config)
    shutil.copytree(folder, tmp_path / "copy")
    metrics, _ = run(tmp_path / "run", tmp_path / "copy", tmp_path)
    assert (metrics["split"], metrics["accuracy"], metrics["loss"]) == (
        "test",
        trained["test_accuracy"],
        trained["test_loss"],
    )


# Which images


@pytest.fixture(scope="module")
def trained_on_folder(tmp_path_factory):
    """(a run of train on a folder without splits, the folder)."""
    path = tmp_path_factory.mktemp("trained")
    folder = photos(path / "set", 10, red="red", green="green", blue="blue")
    config = train.Config(
        model="linear", dataset=str(folder), epochs=1, batch_size=50, workdir=str(path / "run")
    )
    train.main(config)
    return path / "run", folder


def chosen(model, dataset, split="auto"):
    """(the split's name, the number of images, the notes)."""
    found = evaluation_split.choose(loaded(model), str(dataset), split)
    return found.name, len(found.examples), " ".join(found.notes)


def test_of_the_folder_that_it_was_trained_on_the_test_tenth(trained_on_folder, tmp_path):
    model, folder = trained_on_folder
    name, count, note = chosen(model, folder)
    assert (name, count) == ("test", 3)
    assert "held out when the model was trained on the rest" in note
    assert "unfinished" not in note
    shutil.copytree(folder, tmp_path / "copy")
    assert chosen(model, tmp_path / "copy")[:2] == ("test", 3)
    shutil.copytree(model, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    assert "The run is unfinished" in chosen(tmp_path / "run", folder)[2]
    (tmp_path / "link").symlink_to(folder)
    assert chosen(model, tmp_path / "link")[:2] == ("test", 3)
    name, count, note = chosen(model, folder, "all")
    assert (name, count) == ("all", 30)
    assert "was trained on these images" in note


def test_a_copy_is_found_without_checkpoints(trained_on_folder, tmp_path):
    """As of a probe of `transfer`, from the run's own folder; if that is gone, by its classes."""
    model, folder = trained_on_folder
    shutil.copytree(folder, tmp_path / "copy")
    shutil.copytree(model, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    assert chosen(tmp_path / "run", tmp_path / "copy")[:2] == ("test", 3)
    new = photos(tmp_path / "new", 8, red="red", green="green", blue="blue")
    assert chosen(tmp_path / "run", new)[:2] == ("all", 24)
    config = files.read_json(model / "config.json") | {"dataset": str(tmp_path / "gone")}
    files.write_json(tmp_path / "run" / "config.json", config)
    name, _, note = chosen(tmp_path / "run", new)
    assert name == "test"
    assert "gone, which the model was trained on, was not found" in note
    fewer = photos(tmp_path / "fewer", 8, red="red", green="green")
    assert chosen(tmp_path / "run", fewer)[:2] == ("all", 16)


def test_a_new_folder_is_taken_whole(trained_on_folder, tmp_path):
    model, _ = trained_on_folder
    new = photos(tmp_path / "new", 7, red="red", blue="blue")
    name, count, note = chosen(model, new)
    assert (name, count) == ("all", 14)
    assert "new to the model" in note
    assert chosen(model, new, "test")[:2] == ("test", 1)


def test_training_images_are_found_under_other_names(trained_on_folder, tmp_path):
    """A folder of links, of which 24 lead to the training split."""
    model, folder = trained_on_folder
    for name in COLORS:
        (tmp_path / "links" / name).mkdir(parents=True)
        for file in (folder / name).iterdir():
            (tmp_path / "links" / name / f"x{file.name}").symlink_to(file)
        paint(tmp_path / "links" / name, name, "new.png")
    with pytest.raises(UsageError, match=r"trained on 24 of the 33 images of .*links: use"):
        chosen(model, tmp_path / "links")
    name, count, note = chosen(model, tmp_path / "links", "all")
    assert (name, count) == ("all", 33)
    assert "trained on 24 of these" in note


def test_a_folder_that_has_changed_since(trained_on_folder):
    model, folder = trained_on_folder
    assert "has changed" not in chosen(model, folder)[2]
    paint(folder / "red", "red", "more.png")
    assert "has changed since the run began" in chosen(model, folder)[2]
    (folder / "red" / "more.png").unlink()


def test_a_model_without_its_run(trained_on_folder, tmp_path):
    """Nobody can tell what it was trained on."""
    model, folder = trained_on_folder
    shutil.copy(model / "model.keras", tmp_path / "mine.keras")
    color_model().save(tmp_path / "theirs.keras")
    for file in ("mine.keras", "theirs.keras"):
        name, count, note = chosen(tmp_path / file, folder)
        assert (name, count) == ("all", 30)
        assert "no config.json beside the model tells whether it was trained on some" in note
        assert "use --split=test, the images that every run holds out" in note
        assert chosen(tmp_path / file, folder, "test")[:2] == ("test", 3)


def test_splits_that_the_folder_comes_with(image_folder, tmp_path):
    dataset, model = image_folder(train=4, val=2), tmp_path / "theirs.keras"
    color_model().save(model)
    assert chosen(model, dataset)[:2] == ("validation", 6)
    with pytest.raises(UsageError, match="has no test split: choose from auto, train, validation"):
        chosen(model, dataset, "test")
    assert chosen(model, dataset, "all")[:2] == ("all", 18)
    image_folder(test=1)
    assert chosen(model, dataset)[:2] == ("test", 3)


# Which classes


def test_classes_by_name_in_another_order_and_fewer(tmp_path):
    for name in ("Blue", "  red "):
        for i in range(3):
            paint(tmp_path / "new" / name, name.strip().lower(), f"{i}.png")
    paint(tmp_path / "new" / "Blue", "red", "wrong.png")
    metrics, rows = run(saved(tmp_path), tmp_path / "new", tmp_path)
    assert metrics["accuracy"] == pytest.approx(6 / 7)
    wrong = next(row for row in rows if row["correct"] == "0")
    assert (wrong["file"], wrong["true"], wrong["predicted"]) == ("Blue/wrong.png", "blue", "red")
    assert float(wrong["probability"]) == float(wrong["red"])
    assert sum(float(wrong[name]) for name in COLORS) == pytest.approx(1, abs=1e-5)
    by_name = {one["name"]: one for one in metrics["classes"]}
    assert by_name["green"]["support"] == 0
    assert by_name["green"]["recall"] is None
    assert by_name["blue"]["recall"] == 0.75
    assert by_name["red"]["precision"] == 0.75
    sure, right = (np.float64([row[key] for row in rows]) for key in ("probability", "correct"))
    place = np.ceil(sure * 15)  # bins of Guo et al. 2017
    gaps = [abs((right - sure)[place == i].sum()) for i in range(1, 16)]
    assert metrics["ece"] == pytest.approx(sum(gaps) / 7, abs=1e-5)
    assert sum(one["images"] for one in metrics["reliability"]) == 7


def test_unknown_classes_are_one_line(tmp_path, capsys):
    letters = dict.fromkeys("abcdefg", "red")
    folder = photos(tmp_path / "new", 2, **letters, red="red")
    assert evaluate.cli([str(saved(tmp_path)), str(folder)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    assert "does not know the classes a, b, c, d, e and 2 more; it knows red, green, blue" in error


IMAGENET = (
    ("tench", "n01440764"),
    ("crane", "n02012849", "crane (n02012849)"),
    ("great_white_shark", "n01484850"),
    ("crane", "n03126707", "crane (n03126707)"),
)


def test_imagenet_s_names_and_wordnet_ids():
    names = tuple(one[-1] if len(one) == 3 else one[0] for one in IMAGENET)
    known = Classifier(None, names, IMAGENET, "")
    assert known.columns(["n03126707", "n01440764"]) == ([3, 0], "")
    columns, note = known.columns(["Great white-shark", "n02012849"])
    assert columns == [2, 1]
    assert "similar spelling" in note
    assert known.columns(["crane (n03126707)"])[0] == [3]
    with pytest.raises(ValueError, match=r"'crane' matches several .*n02012849.* and .*n03126707"):
        known.columns(["crane", "tench"])
    columns, note = known.columns(["1", "0", "2"])
    assert columns == [1, 0, 2]
    assert "by number" in note


def test_numbers_for_names(tmp_path):
    """An npz names no classes, a model of one has numbers for names."""
    pixels = np.zeros((6, 4, 4, 3), "uint8")
    labels = np.arange(6) % 3
    pixels[np.arange(6), ..., labels] = 255
    split = dict(x_train=np.repeat(pixels, 3, axis=0), y_train=np.repeat(labels, 3))
    np.savez(tmp_path / "set.npz", **split, x_test=pixels, y_test=labels)
    metrics, rows = run(saved(tmp_path), tmp_path / "set.npz", tmp_path)
    assert (metrics["accuracy"], metrics["split"]) == (1, "test")
    assert [(row["file"], row["true"]) for row in rows[:2]] == [("0", "red"), ("1", "green")]
    note = evaluation_split.choose(loaded(tmp_path / "run"), str(tmp_path / "set.npz")).notes[-1]
    assert note == "Classes are matched by number: 0 of the dataset is red of the model."


def test_a_foreign_model_takes_the_names_of_as_many_classes(tmp_path, capsys):
    color_model(activation="softmax").save(tmp_path / "theirs.keras")
    folder = photos(tmp_path / "new", 3, a_red="red", b_green="green", c_blue="blue")
    metrics, rows = run(tmp_path / "theirs.keras", folder, tmp_path)
    assert "they are assumed to be those of" in capsys.readouterr().out
    images = data.load(folder, whole=True).train
    outputs = np.array(color_model(activation="softmax")(images.images[:].astype("float32")))
    loss = -np.log(outputs[np.arange(9), images.labels]).mean()
    assert (metrics["accuracy"], metrics["loss"]) == (1, pytest.approx(loss, rel=1e-5))
    found = [[float(row[name]) for name in ("a_red", "b_green", "c_blue")] for row in rows]
    np.testing.assert_allclose(found, outputs, rtol=1e-4)
    shutil.rmtree(folder / "a_red")
    assert evaluate.cli([str(tmp_path / "theirs.keras"), str(folder)]) == 2
    assert "has 3 classes without names, and" in capsys.readouterr().err


# Which pixels


@pytest.mark.parametrize("shape", [(6, 8, 3), (8, 5, 1), (None, None, 3), (None, None, 1)])
@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_photos_are_read_as_classify_reads_them(shape, kind, tmp_path):
    """A corner of the image decides: other pixels give other probabilities."""
    image = keras.Input(shape)
    x = image[:, :3, 2:]
    logits = keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D()(x) / 50)
    names = ("blue", "red")
    training.save_model(keras.Model(image, logits), tmp_path / "run" / "model.keras", names)
    folder = photos(tmp_path / "new", 10, red="red", blue="blue")
    dataset = folder
    if kind == "npz":
        split = data.load(folder, whole=True).train
        arrays = dict(x_train=split.images[:], y_train=split.labels)
        np.savez(tmp_path / "a.npz", **arrays, x_test=split.images[:], y_test=split.labels)
        dataset = tmp_path / "a.npz"
    _, rows = run(tmp_path / "run", dataset, tmp_path, split="test" if kind == "npz" else "all")
    paths = sorted(str(file) for file in folder.glob("*/*"))
    found = classify.main(classify.Config(photos=tuple(paths), model=str(tmp_path / "run")))
    for path, row in zip(paths, rows, strict=True):
        expected = {name: probability for probability, name in found[path]}
        assert {name: float(row[name]) for name in names} == pytest.approx(expected, abs=2e-6)


def test_a_model_for_any_size_gets_the_size_that_it_scales_to(tmp_path):
    """Decoded at once to it, as `transfer` trains it."""
    image = keras.Input((None, None, 3))
    x = keras.ops.image.resize(
        image, (4, 4), antialias=True, crop_to_aspect_ratio=True, data_format="channels_last"
    )
    logits = keras.layers.Dense(3, name="logits")
    net = keras.Model(image, logits(keras.layers.Flatten()(x[:, :2])))
    training.save_model(net, tmp_path / "run" / "model.keras", COLORS)
    found = evaluation_split.choose(
        loaded(tmp_path / "run"), str(photos(tmp_path / "n", 2, red="red"))
    )
    assert found.examples.images.shape == (2, 4, 4, 3)
    assert found.examples.labels.tolist() == [0, 0]


# What may be amiss


def test_names_that_csv_and_utf8_cannot_take_as_they_stand(tmp_path):
    names = ('a,"b"', "line\nbreak", "correct")
    path = tmp_path / "run" / "model.keras"
    training.save_model(color_model(), path, names)
    for name, color in zip(names, COLORS, strict=True):
        paint(tmp_path / "new" / name, color, os.fsdecode(b'caf\xe9,"1".png'))
    metrics, rows = run(path.parent, tmp_path / "new", tmp_path)
    assert metrics["accuracy"] == 1
    assert {row["true"] for row in rows} == {*names}
    assert rows[0]["file"] == 'a,"b"/caf\\xe9,"1".png'
    assert float(rows[0]["P(correct)"]) < float(rows[0]['a,"b"'])
    assert {row["correct"] for row in rows} == {"1"}


def test_one_image_of_one_class(tmp_path):
    paint(tmp_path / "new" / "green", "green")
    metrics, rows = run(saved(tmp_path), tmp_path / "new", tmp_path)
    assert (metrics["images"], metrics["accuracy"], len(rows)) == (1, 1, 1)
    assert [one["support"] for one in metrics["classes"]] == [0, 1, 0]


def test_outputs_that_are_not_finite(tmp_path, capsys):
    model = saved(tmp_path, scale=np.nan)
    folder = photos(tmp_path / "new", 2, red="red", blue="blue")
    workdir = tmp_path / "evaluation"
    assert evaluate.cli([str(model), str(folder), f"--workdir={workdir}"]) == 1
    assert "NaN or infinity for 4 of 4 images, first for blue/0.png" in capsys.readouterr().err
    assert not (workdir / "metrics.json").exists()


@pytest.mark.parametrize("recipe_name", ["evaluate", "classify"])
def test_a_model_of_five_channels_is_refused(recipe_name, tmp_path, capsys):
    image = keras.Input((8, 8, 5))
    scores = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(image))
    training.save_model(keras.Model(image, scores), tmp_path / "five.keras", COLORS)
    paint(tmp_path / "new" / "red", "red")
    path, folder = str(tmp_path / "five.keras"), str(tmp_path / "new")
    words = {"evaluate": [path, folder], "classify": [folder, f"--model={path}"]}[recipe_name]
    assert {"evaluate": evaluate, "classify": classify}[recipe_name].cli(words) == 1
    assert "five.keras takes images of 5 channels, not of 1 (gray)" in capsys.readouterr().err


def test_directories_without_a_model(tmp_path, capsys):
    (tmp_path / "sweep").mkdir()
    assert evaluate.cli([str(tmp_path / "sweep"), "digits"]) == 2
    assert "has no model.keras: use the directory of a run" in capsys.readouterr().err
    files.write_json(tmp_path / "sweep" / "best.json", {"model": "lenet5"})
    assert evaluate.cli([str(tmp_path / "sweep"), "digits"]) == 2
    assert f"cvcourse train --config={tmp_path}/sweep/best.json" in capsys.readouterr().err
    assert evaluate.cli([str(tmp_path / "nowhere"), "digits"]) == 2
    assert "is neither a run's directory nor a .keras or .cvz file" in capsys.readouterr().err
    assert evaluate.cli([str(saved(tmp_path)), "digits", "--model_args=width=0.25"]) == 2
    assert "--weights and --model_args are for published weights" in capsys.readouterr().err


def test_a_finished_evaluation_is_not_repeated(tmp_path, capsys):
    folder = photos(tmp_path / "new", 2, red="red", blue="blue")
    words = [str(saved(tmp_path)), str(folder), f"--workdir={tmp_path / 'evaluation'}"]
    assert evaluate.cli(words) == 0
    report = (tmp_path / "evaluation" / "report.html").read_text()
    assert "4 images, all" in report
    assert evaluate.cli(words) == 0
    (said,) = capsys.readouterr().out.splitlines()[-1:]
    assert "is finished" in said
    assert '"accuracy": ' in said
    assert "classes" not in said
    assert evaluate.cli([*words, "--split=train"]) == 2
    assert "differs in split" in capsys.readouterr().err


def test_the_two_words_of_the_command_line(capsys):
    config = recipe.parse(evaluate.Config, ["runs/a", "--limit=3", "photos/"])
    assert (config.model, config.dataset, config.limit) == ("runs/a", "photos/", 3)
    assert recipe.command(config, "cvcourse evaluate") == (
        "cvcourse evaluate runs/a photos/ --limit=3"
    )
    for words, message in (
        ([], "MODEL is missing"),
        (["runs/a"], "DATASET is missing"),
        (["runs/a", "photos/", "more/"], "unexpected argument 'more/' after MODEL DATASET"),
        (["--model=runs/a", "photos/"], "MODEL is a positional argument, not a flag"),
        (["runs/a", "photos/", "--limt=3"], "did you mean '--limit'"),
    ):
        assert evaluate.cli(words) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(RunError, match=r"no_such\.keras"):
        evaluate.main(evaluate.Config("no_such.keras", "digits"))


REAL = pathlib.Path(os.environ.get("CVCOURSE_WEIGHTS") or "nowhere")
SAMPLES = pathlib.Path(os.environ.get("CVCOURSE_DATA") or "nowhere") / "imagenet_samples"


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLES.exists(), reason="$CVCOURSE_DATA has no imagenet_samples")
def test_imagenet_s_photos_in_folders_of_wordnet_ids(tmp_path):
    """58.0 % of one photo a class, as the data's notes have it."""
    if not (REAL / "mobilenet_2_5_224_tf.h5").exists():
        pytest.skip("$CVCOURSE_WEIGHTS has no mobilenet_2_5_224_tf.h5")
    with open(SAMPLES / "labels.csv") as table:
        for row in csv.DictReader(table):
            folder = tmp_path / "set" / row["synset"]
            folder.mkdir(parents=True)
            (folder / row["file"]).symlink_to(SAMPLES / "images" / row["file"])
    metrics, _ = run("mobilenet", tmp_path / "set", tmp_path, model_args={"width": 0.25})
    assert metrics["accuracy"] == pytest.approx(0.58, abs=0.003)
    assert metrics["images"] == 1000
