"""cvcourse explain: the numbers are those of the library, and wrong values are one line."""

import json
import os
import pathlib
import re

import keras
import numpy as np
import pytest
from cvcourse.recipes import classify, explain
from PIL import Image

from cvcourse import classifier, data, models, regularization, training, visualization

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def small_net(activation="relu", shape=(8, 8, 1)):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input(shape)
    y = layers.Conv2D(4, 3, padding="same", activation=activation, name="first")(x / 16.0)
    y = layers.MaxPooling2D(name="pool")(y)
    y = layers.Conv2D(6, 3, padding="same", activation=activation, name="features")(y)
    y = layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(y))
    return keras.Model(x, y)


def save(folder, model):
    training.save_model(model, folder / "model.keras", NAMES)
    return folder


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory):
    folder = save(tmp_path_factory.mktemp("run"), small_net())
    (folder / "config.json").write_text('{"dataset": "digits"}')
    return folder


def write_digit(path, digits, place=0):
    Image.fromarray(digits.validation.images[place][..., 0].astype("uint8")).save(path)
    return str(path)


@pytest.fixture(scope="module")
def explained(run_directory, digits, tmp_path_factory):
    """(photo, metrics, report) of a digit explained by all methods."""
    folder = tmp_path_factory.mktemp("explained")
    photo = write_digit(folder / "digit.png", digits)
    flags = [photo, f"--model={run_directory}", f"--workdir={folder / 'out'}"]
    assert explain.cli([*flags, f"--output={folder / 'maps.png'}"]) == 0
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert (folder / "maps.png").exists()
    return photo, metrics, (folder / "out" / "report.html").read_text()


def test_classes_are_those_of_classify(explained, run_directory):
    photo, metrics, _ = explained
    found = classify.main(classify.Config(photos=(photo,), model=str(run_directory)))
    expected = {name: pytest.approx(share, abs=1e-6) for share, name in found[photo]}
    one = metrics["images"][photo]
    assert one["classes"] == expected
    assert [one["target"], one["contrast"]] == [name for _, name in found[photo][:2]]
    assert one["layer"] == "features"


def test_numbers_are_those_of_the_library(explained, run_directory):
    photo, metrics, _ = explained
    model = classifier.load(str(run_directory)).model
    image = data.read_photo(photo, 1)[None].astype("float32")
    found = metrics["images"][photo]["methods"]
    assert {*found} == {*visualization.METHODS} and not metrics["images"][photo]["unfit"]
    maps = visualization.integrated_gradients(model, image)
    logits = model.predict(np.concatenate([image, 0 * image]), verbose=0).max(axis=1)
    target = model.predict(image, verbose=0).argmax()
    logits = model.predict(np.concatenate([image, 0 * image]), verbose=0)[:, target]
    deviation = abs(maps.sum() - (logits[0] - logits[1])) / abs(logits[0] - logits[1])
    assert found["integrated_gradients"]["completeness"] == pytest.approx(deviation, abs=1e-4)
    area = visualization.insertion(model, image, visualization.grad_cam(model, image))[0]
    assert found["grad_cam"]["insertion"] == pytest.approx(float(area), abs=1e-5)
    dead = {name: len(c) for name, c in visualization.dead_filters(model, image).items()}
    assert metrics["dead_channels"] == dead
    guided = visualization.randomization_test(model, visualization.guided_backprop, image)
    assert found["guided_backprop"]["randomized_logits"] == pytest.approx(guided["logits"])


def test_the_report_has_all_parts(explained):
    _, metrics, report = explained
    captions = re.findall(r"<h2>([^<]*)", report)
    target = next(iter(metrics["images"].values()))["target"]
    assert captions == [
        "digit.png",
        f"digit.png: maps of {target}",
        "digit.png: how far to trust the maps",
        "digit.png: occlusion",
        "Strongest patches of each stage",
        "Filters of the first layer",
        "Dead channels",
        "Settings",
    ]
    for method in visualization.METHODS.values():
        assert f'<figure class="words">{method.title}' in report
    assert "layer features" in report


def test_only_a_measured_independence_is_claimed():
    def sentences(value):
        row = visualization.TrustRow("guided_backprop", value, *[0.0] * 6)
        return " ".join(training.trust_sentences({"guided_backprop": row}))

    assert "Guided backpropagation 0.97: maps that hardly depend on the class" in sentences(0.97)
    assert "Adebayo et al. 2018" in sentences(0.97)
    assert "hardly" not in sentences(0.6) and "Guided backpropagation 0.60" in sentences(0.6)


def test_a_map_of_zeros_is_noted_and_not_tested(digits):
    """Grad-CAM is zero where no channel has a positive weight."""
    model, image = small_net(), digits.validation.images[0]
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([-abs(kernel), bias])
    found = visualization.explain(model, image, ["grad_cam", "saliency"])
    assert found.results["grad_cam"].notes[0] == "Grad-CAM: the map is zero everywhere"
    assert [*found.trust] == ["saliency"]
    page = str(training.explanation_sections("a", found, NAMES))
    assert page.count("'Grad-CAM'") == 0 and page.count("'Saliency'") == 1


def quick(*flags, methods="saliency"):
    return [*map(str, flags), f"--methods={methods}", "--no-trust"]


def test_without_photos_images_of_the_validation_split(run_directory, digits, tmp_path):
    flags = quick(f"--model={run_directory}", f"--workdir={tmp_path / 'out'}", "--count=2")
    assert explain.cli(flags) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert len(metrics["images"]) == 2
    assert metrics["images_of_units"] == len(digits.validation)
    model = classifier.load(str(run_directory)).model
    images = digits.validation.images
    name = next(iter(metrics["images"]))
    place, label = re.fullmatch(r"digits (\d+), class (\w+)", name).groups()
    assert label == NAMES[digits.validation.labels[int(place)]]
    place = int(place)
    target = NAMES[model.predict(images[place : place + 1] * 1.0, verbose=0).argmax()]
    assert metrics["images"][name]["target"] == target


def test_a_broken_photo_is_named_and_the_others_are_explained(
    run_directory, digits, tmp_path, capsys
):
    (tmp_path / "photos").mkdir()
    for name, place in (("a.png", 0), ("c.png", 1)):
        write_digit(tmp_path / "photos" / name, digits, place)
    (tmp_path / "photos" / "b.png").write_text("damaged")
    with open(os.path.join(os.fsencode(tmp_path), b"photos", b"d\xff.png"), "wb") as file:
        file.write((tmp_path / "photos" / "c.png").read_bytes())
    flags = quick(tmp_path / "photos", f"--model={run_directory}", f"--workdir={tmp_path / 'out'}")
    assert explain.cli([*flags, "--target=three", "--contrast=five"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert "b.png is not an image" in errors[0] and "1 of 4 photos cannot be read" in errors[-1]
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [pathlib.Path(name).name for name in metrics["unreadable"]] == ["b.png"]
    assert explain.cli([*flags, "--target=three", "--contrast=five"]) == 1  # it is finished
    assert "1 of 4 photos cannot be read" in capsys.readouterr().err
    names = [pathlib.Path(name).name for name in metrics["images"]]
    assert names == ["a.png", "c.png", "d\\xff.png"]
    assert {(one["target"], one["contrast"]) for one in metrics["images"].values()} == {
        ("three", "five")
    }


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--target=tree", "the model has no class 'tree'; the nearest names are three"),
        ("--methods=gradcam", "unknown method 'gradcam': did you mean 'grad_cam'?"),
        ("--layer=featres", "featres is no layer of .*; the nearest names are features"),
        ("--contrast=elevn", "the model has no class 'elevn'"),
        ("--layer=logits", r"logits has the shape \(None, 10\): a map \(n, h, w, c\) is needed"),
        ("--target=two --contrast=two", "contrast is the class itself, 2"),
        ("--methods=saliency --layer=pool", "--layer is for the methods grad_cam and guided"),
    ],
)
def test_wrong_names_are_one_line(flag, message, run_directory, digits, tmp_path, capsys):
    photo = write_digit(tmp_path / "a.png", digits)
    flags = [photo, f"--model={run_directory}", f"--workdir={tmp_path / 'out'}", *flag.split()]
    assert explain.cli(flags) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(message, line)
    assert not (tmp_path / "out").exists()


def test_no_photo_and_no_run(tmp_path, capsys):
    save(tmp_path, small_net())
    assert explain.cli([f"--model={tmp_path}"]) == 2
    assert "no photo to explain: cvcourse explain photo.jpg" in capsys.readouterr().err


def test_a_method_that_does_not_fit_is_listed_unless_it_is_the_only_one(digits, tmp_path, capsys):
    save(tmp_path, small_net("tanh"))
    photo = write_digit(tmp_path / "a.png", digits)
    flags = [photo, f"--model={tmp_path}", f"--workdir={tmp_path / 'out'}"]
    assert explain.cli(quick(*flags, methods="guided_backprop")) == 2
    assert "has no ReLU, which guided backpropagation needs; it has tanh" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert explain.cli(quick(*flags, methods="guided_backprop,saliency")) == 0
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Guided backpropagation is left out: " in report and "it has tanh" in report


def test_a_model_that_resizes_photos_is_explained_in_its_own_pixels(tmp_path):
    net = small_net(shape=(12, 12, 3))
    model = models.pretrained.with_resizing(net)
    save(tmp_path, model)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    see, inner = classifier.without_resizing(model)
    seen = see(pixels)
    assert seen.shape == (12, 12, 3)
    np.testing.assert_allclose(inner(seen[None]), model(pixels[None] * 1.0), atol=1e-5)
    flags = quick(tmp_path / "a.png", f"--model={tmp_path}", f"--workdir={tmp_path / 'out'}")
    assert explain.cli(flags) == 0
    [found] = json.loads((tmp_path / "out" / "metrics.json").read_text())["images"].values()
    expected = classifier.probabilities(model, pixels)
    assert next(iter(found["classes"].values())) == pytest.approx(expected.max(), abs=1e-6)
    fixed = small_net()
    assert classifier.without_resizing(fixed)[1] is fixed


def test_explanation_is_that_of_the_techniques_and_the_model_stays(digits):
    model, image = small_net(), digits.validation.images[3].astype("float32")
    before = [np.array(weight) for weight in model.weights]
    found = visualization.explain(model, image, target=2, layer="pool")
    rival = next(i for i in np.argsort(-found.probabilities) if i != 2)
    assert (found.target, found.contrast, found.layer) == (2, rival, "pool")
    scores = np.exp(np.array(model(image[None]))[0].astype("float64"))
    np.testing.assert_allclose(found.probabilities, scores / scores.sum(), atol=1e-6)
    batch = image[None]
    maps = visualization.saliency(model, batch, 2)[0, ..., 0]
    np.testing.assert_allclose(found.results["saliency"].values, abs(maps), rtol=1e-6)
    maps = visualization.grad_cam(model, batch, 2, contrast=rival, layer="pool")[0]
    np.testing.assert_allclose(found.results["grad_cam"].contrast, maps, rtol=1e-6)
    maps = visualization.guided_backprop(model, batch, 2)[0, ..., 0]
    np.testing.assert_allclose(found.results["guided_backprop"].values, maps, rtol=1e-6)
    places = visualization.occlusion_patch(8, 8)
    assert places == {"patch": 2, "stride": 1}
    grid = visualization.occlusion(model, batch, 2, **places)
    np.testing.assert_allclose(found.grid, grid[0], rtol=1e-6)
    covered = visualization.to_pixels(grid, (8, 8), clear=found.probabilities[2], **places)[0]
    np.testing.assert_allclose(found.results["occlusion"].values, covered, atol=1e-6)
    np.testing.assert_allclose(
        visualization.METHODS["occlusion"](model, batch, 2)[0], covered, atol=1e-6
    )
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    with pytest.raises(ValueError, match="contrast is the class itself, 2"):
        visualization.explain(model, image, ["saliency"], target=2, contrast=2)


def test_stages_end_where_all_paths_meet():
    assert visualization.stages(small_net()) == ["first", "features"]
    net = models.build("resnet18", depths=(1, 1), input_shape=(32, 32, 3), num_classes=10)
    assert visualization.stages(net) == ["stem_unit", "stage1", "features"]
    layers = keras.layers
    dense = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    assert visualization.stages(dense) == []


def test_an_ensemble_is_explained_by_the_logarithm_of_its_probabilities(digits):
    nets = [small_net(), small_net()]
    nets[1].set_weights([-weight for weight in nets[0].get_weights()])
    model, image = regularization.ensemble(nets), digits.validation.images[:1].astype("float32")
    found = visualization.explain(model, image[0], ["saliency", "occlusion"], trust=False)
    np.testing.assert_allclose(found.probabilities, np.array(model(image))[0], atol=1e-6)
    logarithm = keras.Model(model.input, keras.ops.log(model.output))
    maps = abs(visualization.saliency(logarithm, image))[0, ..., 0]
    np.testing.assert_allclose(found.results["saliency"].values, maps, rtol=1e-4, atol=1e-7)
    covered = image.copy()
    covered[:, :2, :2] = 0
    expected = np.array(model(covered))[0, found.target]
    np.testing.assert_allclose(found.grid[0, 0], expected, rtol=1e-5)
