"""Transfer: features, probes, rates by layer, and the recipe on small folders of pictures."""

import dataclasses
import json
import pathlib
import re
import warnings

import keras
import numpy as np
import pytest
from cvcourse.recipes import classify, transfer
from keras import layers
from networks import write_random_mobilenet
from PIL import Image

from cvcourse import data, models, optimization, training
from cvcourse.errors import RunError, UsageError
from cvcourse.layers import NearestNeighbors
from cvcourse.models import pretrained

pytestmark = pytest.mark.usefixtures("undrawn")

# --- probes ---


def clusters(classes, per_class=12, width=6, seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(classes, width))
    labels = np.repeat(np.arange(classes), per_class)
    vectors = centers[labels] + spread * rng.normal(size=(len(labels), width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32"), labels


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("classifier", ["svm", "softmax", "knn", "auto"])
def test_a_probe_separates_clusters_and_its_layer_agrees(classifier, classes):
    features, labels = clusters(classes)
    unseen, answers = clusters(classes, seed=0, per_class=5)
    probe = training.fit_probe(classifier, features, labels)
    logits = probe.logits(unseen)
    assert probe.accuracy > 0.9
    assert (logits.argmax(axis=1) == answers).mean() > 0.9
    net = keras.Sequential([keras.Input((6,)), keras.layers.Identity(name="stage1")])
    inputs = keras.Input((6,))
    net = keras.Model(inputs, keras.layers.Identity()(inputs))
    model = training.with_classifier(net, net.output, classes, probe)
    got = np.array(model(unseen))
    if probe.kernel is None:  # of equally near vectors either may count
        assert (got.argmax(axis=1) == logits.argmax(axis=1)).all()
    np.testing.assert_allclose(got, logits, atol=1e-3)


def test_an_svms_margins_become_honest_probabilities():
    features, labels = clusters(3, per_class=80, spread=1.2)
    probe = training.fit_probe("svm", features, labels)
    unseen, answers = clusters(3, per_class=80, spread=1.2)
    evaluation = training.Evaluation(probe.logits(unseen).astype("float32"), answers)
    sure = np.exp(evaluation.log_probabilities.max(axis=1)).mean()
    assert abs(sure - evaluation.accuracy) < 0.1


def test_a_probe_needs_two_images_a_class():
    features, labels = clusters(3)
    keep = np.r_[:13, 24:36]  # one of class 1
    with pytest.raises(RunError, match="class 1 has one training image"):
        training.fit_probe("svm", features[keep], labels[keep])


@pytest.mark.parametrize("missing, classes", [(1, None), (2, 3)])
def test_a_class_without_images_is_named(missing, classes):
    features, labels = clusters(3)
    keep = labels != missing
    with pytest.raises(RunError, match=f"class {missing} has no training image"):
        training.fit_probe("auto", features[keep], labels[keep], num_classes=classes)


def test_one_class_is_none_to_tell_apart():
    with pytest.raises(RunError, match="at least two classes; received 1"):
        training.fit_probe("svm", np.ones((4, 2)), np.zeros(4, int))


def test_of_equal_settings_of_a_probe_the_most_regular_is_taken():
    """Two clusters that every setting tells apart: most neighbors, the strongest penalty."""
    features, labels = clusters(2, per_class=40, spread=0.01)
    for classifier, setting in (("knn", "k=15"), ("svm", "C=0.1"), ("softmax", "C=1")):
        probe = training.fit_probe(classifier, features, labels)
        assert (probe.accuracy, probe.setting) == (1.0, setting)


def test_nearest_neighbors_vote():
    layer = NearestNeighbors(3, 4, 2)
    layer.build((None, 2))
    vectors = np.float32([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]])
    layer.set_weights([vectors, np.eye(2)[[0, 0, 1, 1]]])
    shares = np.exp(np.array(layer(np.float32([[2, 0.1], [-0.1, 3]]))))
    np.testing.assert_allclose(shares, [[2.5 / 4, 1.5 / 4], [1.5 / 4, 2.5 / 4]], rtol=1e-5)


# --- features ---


def tiny(**settings):
    return models.build("mobilenet", width=0.25, input_shape=(32, 32, 3), num_classes=3, **settings)


def test_depths_are_the_stages_and_what_the_classifier_sees():
    assert list(training.depths(tiny())) == [*(f"stage{i}" for i in range(1, 6)), "last"]
    assert training.depths(tiny())["last"].shape == (None, 256)
    vit = models.build("vit_b_16", input_shape=(32, 32, 3), dim=16, depth=4, heads=2, mlp=16)
    assert len(training.depths(vit)) == 5
    assert training.depths(vit)["last"].shape == (None, 16)
    squeezenet = models.build("squeezenet1_1", input_shape=(64, 64, 3), num_classes=3)
    assert training.depths(squeezenet)["last"].shape[-1] == 512


def test_stages_hold_every_layer_with_weights_once():
    net = tiny()
    model = training.with_classifier(net, training.depths(net)["last"], 3)
    *body, head = training.stages(model)
    assert [layer.name for layer in head] == ["logits"]
    assert len(body) == 5
    assert all(layer.name.startswith("stage5") for layer in body[4])
    assert sum(map(len, body)) == len([layer for layer in net.layers if layer.weights]) - 1


def split_of(n, side=32, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), "uint8")
    return data.Split(pixels, (np.arange(n) % 3).astype("int32"))


def test_features_are_computed_once_and_keyed_by_weights_and_data(tmp_path, capsys):
    def counted(split):
        calls.append(len(split))
        return data.stream(split, batch_size=4, seed=0, shuffle=False)

    def ending_in_a_vector(net):
        return keras.Model(net.input, {"last": training.vector(training.depths(net)["last"])})

    calls, net, split = [], tiny(), split_of(10)
    model = ending_in_a_vector(net)

    def found(split=split, model=model):
        return training.features(model, split, counted, cache_dir=tmp_path)

    first = found()["last"]
    assert first.shape == (10, 256)
    expected = np.array(model(split.images.astype("float32"), training=False)["last"])
    np.testing.assert_allclose(first, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(found()["last"], first)
    assert calls == [10]
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:500])  # damaged: computed anew
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(found()["last"], first)
    assert calls == [10, 10]
    said = f"damaged features in {kept} (File is not a zip file) are computed again\n"
    assert capsys.readouterr().err == said
    again = tiny()  # in which Keras counts its automatic names on
    again.set_weights(net.get_weights())
    found(model=ending_in_a_vector(again))
    assert calls == [10, 10]
    found(split_of(10, seed=1))
    net.get_layer("stem_conv").kernel.assign_add(0.1 * np.ones((3, 3, 3, 8)))
    assert np.abs(found()["last"] - first).max() > 1e-3
    assert calls == [10, 10, 10, 10]
    assert len(list(tmp_path.iterdir())) == 3


def test_nearest_is_by_the_cosine():
    known = np.float32([[1, 0], [0, 5], [1, 1]])
    order, cosine = training.nearest(known, np.float32([[3, 0.1]]), 2)
    assert order.tolist() == [[0, 2]]
    np.testing.assert_allclose(cosine, [[0.99945, 0.73027]], atol=1e-4)


def test_the_map_keeps_clusters_together():
    features, labels = clusters(3, per_class=20, spread=0.1)
    points = training.tsne(features)
    np.testing.assert_allclose(points, training.tsne(features), atol=1e-4)
    centers = np.stack([points[labels == k].mean(axis=0) for k in range(3)])
    nearest = np.linalg.norm(points[:, None] - centers, axis=2).argmin(axis=1)
    assert (nearest == labels).all()
    assert training.tsne(features[:4]).shape == (4, 2)


# --- the course's table ---


@pytest.mark.parametrize(
    ("large", "earlier", "expected"),
    [
        (False, "noise", ("probe", "last")),
        (False, "clusters", ("probe", "stage2")),
        (True, "noise", ("top", "last")),
        (True, "clusters", ("full", "last")),
    ],
)
def test_size_and_similarity_choose_the_method(large, earlier, expected, monkeypatch):
    """Data are different where earlier features tell classes apart and the last ones do not."""
    good, labels = clusters(3, per_class=20)
    noise = np.random.default_rng(1).normal(size=good.shape).astype("float32")
    last = noise if earlier == "clusters" else good
    monkeypatch.setattr("cvcourse.training.transfer_learning.LARGE", 60 if large else 61)
    features = {"stage1": noise, "stage2": good if earlier == "clusters" else noise, "last": last}
    held = np.arange(0, 60, 5)
    rest = np.setdiff1d(np.arange(60), held)
    method, depth, reasons, by_depth = training.choose_method(features, labels, rest, held)
    assert (method, depth) == expected
    assert by_depth["stage2" if earlier == "clusters" else "last"] == 1.0
    assert reasons[0].startswith(f"Size: 60 training images, a {'large' if large else 'small'} da")
    assert reasons[-1].startswith("Decision: ")


def test_a_method_is_not_chosen_by_a_class_of_one_image():
    features, labels = clusters(3, per_class=2)
    with pytest.raises(RunError, match="a class has too few training images to hold some out"):
        training.choose_method({"last": features}, labels, np.arange(1, 6), np.arange(1))


@pytest.mark.parametrize(
    ("method", "begins", "trained"),
    [
        ("full", [0, 0, 0, 0, 0], 5),
        ("top", [0, 0, 0, 0, 0], 1),
        ("gradual", [40, 30, 20, 10, 0], 5),  # the lowest of five stages after half of 80 steps
    ],
)
def test_what_each_method_unfreezes_and_when(method, begins, trained):
    net = tiny()
    model = training.with_classifier(net, training.depths(net)["last"], 3)
    groups = training.unfreeze(model, method, steps=80, factor=0.1)
    assert [begin for *_, begin in groups] == begins
    assert {factor for _, factor, _ in groups} == {0.1}
    assert [bool(variables) for variables, *_ in groups] == [False] * (5 - trained) + [
        True
    ] * trained
    moving = {v.path for variables, *_ in groups for v in variables}
    head = {v.path for v in model.get_layer("logits").trainable_variables}
    assert {v.path for v in model.trainable_variables} == moving | head
    assert not [path for path in moving if "_bn" in path]


def test_fine_tuning_is_judged_by_the_standard_error():
    """sqrt(.75 * .25 / 300) is .025."""
    row = {"accuracy": 0.99, "val_loss": 0.8}
    (better,) = training.judge_fine_tuning(0.5, 0.75, 300, [row], 1)
    assert "from 50.00% to 75.00%" in better
    assert better.endswith("standard error of an accuracy on 300 images is 2.50%.")
    _, worse = training.judge_fine_tuning(0.75, 0.75, 300, [row, {**row, "val_loss": 0.9}], 1)
    assert "In the best epoch (1), the training accuracy is 99.00% and the validation loss" in worse
    assert "loss 0.8000; in the last epoch, 99.00% and 0.9000" in worse


# --- rates ---


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam"])
def test_a_factor_scales_the_steps_of_its_variables_alone(optimizer):
    def fitted(groups=lambda model: []):
        keras.utils.set_random_seed(0)
        layer = keras.layers.Dense
        model = keras.Sequential([keras.Input((4,)), layer(3, name="body"), layer(2, name="head")])
        before = model.get_weights()
        made = optimization.optimizer(optimizer, model, 0.01)
        model.compile(optimization.discriminative_rates(made, groups(model)), "mse")
        model.train_on_batch(np.ones((2, 4), "float32"), np.ones((2, 2), "float32"))
        return [after - b for after, b in zip(model.get_weights(), before, strict=True)], model

    plain, _ = fitted()
    scaled, _ = fitted(lambda model: [(model.get_layer("body").weights, 0.1, 0)])
    for i, (a, b) in enumerate(zip(plain, scaled, strict=True)):
        np.testing.assert_allclose(b, (0.1 if i < 2 else 1) * a, rtol=2e-3, atol=1e-8)
    waiting, model = fitted(lambda model: [(model.get_layer("body").weights, 0.5, 1)])
    assert all(np.all(step == 0) for step in waiting[:2])
    np.testing.assert_allclose(waiting[2], plain[2], rtol=1e-5)
    before = model.get_weights()
    model.train_on_batch(np.ones((2, 4), "float32"), np.ones((2, 2), "float32"))
    assert np.abs(model.get_weights()[0] - before[0]).max() > 1e-5


# --- the recipe ---


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights for MobileNet of a quarter's width, in Keras' names."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet.npz"
    write_random_mobilenet(path)
    return path


COLORS = {"blue": (30, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}


@pytest.fixture
def photos(tmp_path):
    """A folder of photos of many sizes: three classes, told apart by their color."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for name, color in COLORS.items():
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                height, width = rng.integers(40, 90, 2)
                noise = rng.integers(-30, 30, (height, width, 3))
                pixels = np.uint8(np.clip(np.array(color) + noise, 0, 255))
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def config(weights, photos, tmp_path):
    return transfer.Config(
        model="mobilenet",
        model_args={"width": 0.25},
        weights=str(weights),
        dataset=str(photos),
        size=32,
        epochs=2,
        batch_size=8,
        method="probe",
        cache_dir=str(tmp_path / "features"),
        workdir=str(tmp_path / "run"),
    )


def raw_accuracy(path, folder):
    """A model.keras on the raw photos of a folder, one by one."""
    model, names = training.load_model(path)
    hits = [
        names[np.array(model(data.read_photo(file)[None].astype("float32"))).argmax()] == name
        for name in names
        for file in sorted((folder / name).iterdir())
    ]
    return np.mean(hits)


def test_a_probe_saves_a_model_for_raw_photos(config, photos, capsys):
    metrics = transfer.main(config)
    run = pathlib.Path(config.workdir)
    assert metrics["method"] == "probe"
    assert metrics["val_accuracy"] == raw_accuracy(run / "model.keras", photos / "val")
    assert metrics["val_accuracies"].keys() >= {"the same from random weights"}
    paths = {"workdir": str(run), "model": str(run / "model.keras")}
    assert {**json.loads((run / "metrics.json").read_text()), **paths} == metrics
    assert "Nearest neighbors" in (run / "report.html").read_text()
    capsys.readouterr()
    shown = classify.main(
        classify.Config(photos=(str(photos / "val/red/0.png"),), model=str(run / "model.keras"))
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[1] for line in lines] == [n for _, n in next(iter(shown.values()))]
    assert sorted(line.split("\t")[1] for line in lines) == sorted(COLORS)
    assert abs(sum(float(line.split("\t")[0]) for line in lines) - 1) < 1e-3
    assert transfer.main(config) == metrics  # finished: nothing is done again


@pytest.fixture
def own(config, tmp_path):
    """The config with a network that somebody else has trained, of images of 32 x 48."""
    keras.utils.set_random_seed(1)
    net = keras.Sequential(
        [
            keras.Input((32, 48, 3)),
            layers.Rescaling(1 / 255, name="normalization"),
            keras.Sequential([layers.Conv2D(8, 5, 4, activation="relu", name="conv")]),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(5, name="logits"),
        ]
    )
    net.save(tmp_path / "own.keras")
    weights = str(tmp_path / "own.keras")
    return dataclasses.replace(config, weights=weights, model_args={}, size=None), net


@pytest.mark.parametrize("method", ["probe", pytest.param("full", marks=pytest.mark.slow)])
def test_somebodys_own_network_goes_on_as_it_was_saved(own, photos, capsys, method):
    config, net = own
    metrics = transfer.main(dataclasses.replace(config, method=method))
    said = capsys.readouterr().out
    assert "own.keras has no published weights of mobilenet: it is used as it was saved" in said
    assert "the 8 features of pool. It scales the pixels itself." in said.replace("\n", " ")
    assert metrics["weights"] == "own.keras"
    run = pathlib.Path(config.workdir)
    assert "it is used as it was saved" in (run / "report.html").read_text()
    assert metrics["val_accuracy"] == raw_accuracy(run / "model.keras", photos / "val")
    model, _ = training.load_model(run / "model.keras")
    kernel, bias = model.get_layer("logits").get_weights()
    assert kernel.shape == (8, 3)
    if method == "probe":
        image = np.random.default_rng(0).uniform(0, 255, (1, 32, 48, 3)).astype("float32")
        features = np.array(keras.Model(net.inputs[0], net.get_layer("pool").output)(image))
        expected = features / np.linalg.norm(features) @ kernel + bias
        np.testing.assert_allclose(model(image), expected, rtol=1e-4, atol=1e-4)
    else:
        before = net.layers[1].get_weights()[0]
        assert np.abs(model.get_layer("conv").get_weights()[0] - before).max() > 1e-4


def test_what_does_not_fit_somebodys_own_network_is_refused(own, tmp_path):
    config, _ = own

    def refused(error, match, **overrides):
        with pytest.raises(error, match=match):
            transfer.main(dataclasses.replace(config, **overrides))
        assert not pathlib.Path(config.workdir).exists()

    refused(UsageError, "--size=40: .*own.keras takes images of 32x48", size=40)
    refused(UsageError, "--scaling: .*own.keras scales the pixels itself", scaling="tf")
    refused(RunError, "own.keras: ", model_args={"width": 0.25})
    mlp = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)])
    mlp.save(tmp_path / "mlp.keras")
    refused(UsageError, "no pooled features: no trained", weights=str(tmp_path / "mlp.keras"))
    (tmp_path / "bad.keras").write_bytes((tmp_path / "own.keras").read_bytes()[:500])
    refused(
        RunError,
        "bad.keras: it is a zip archive that is damaged",
        weights=str(tmp_path / "bad.keras"),
    )


def test_the_scaling_of_somebodys_own_network_is_measured(config, tmp_path):
    """A network that tells colors apart around 0 alone: those of the mean of ImageNet."""
    image = keras.Input((None, None, 3))
    x = layers.Dense(3, activation="tanh", name="color")(image)
    net = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D(name="pool")(x)))
    net.get_layer("color").set_weights([5 * np.eye(3), np.zeros(3)])
    net.save(tmp_path / "own.keras")
    own = dataclasses.replace(config, weights=str(tmp_path / "own.keras"), model_args={})
    dataset = data.of(own)
    *_, said = transfer.load_backbone(own, dataset).notes
    accuracy = dict(re.findall(r"(\w+) ([\d.]+)%", said))
    assert accuracy.keys() == {*transfer.SCALINGS}
    assert float(accuracy["none"]) < 50  # all colors saturate
    chosen = re.search("--scaling=(\\w+)", said)[1]
    assert accuracy[chosen] == "100.0"
    same = transfer.load_backbone(dataclasses.replace(own, scaling=chosen), dataset)
    assert same.notes[-1] == f"Its pixels are scaled by --scaling={chosen}."


@pytest.mark.parametrize(
    ("channels", "scalings"),
    [(1, ("none", "unit", "tf")), (3, ("none", "unit", "tf", "torch", "caffe"))],
)
def test_gray_pixels_have_no_mean_for_each_color(channels, scalings, tmp_path):
    net = keras.Sequential(
        [keras.Input((8, 8, channels)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()]
    )
    net.save(tmp_path / "own.keras")
    network = pretrained.load_trained("mobilenet", str(tmp_path / "own.keras"), num_classes=2)
    assert network.scalings == scalings
    assert network.resize == {"side": 8, "interpolation": "bilinear"}
    image = np.full((1, 8, 8, channels), 255, "float32")
    got = [np.array(network.preprocessed((8, 8, channels), one)(image)) for one in ("none", "unit")]
    bias = np.array(network.preprocessed((8, 8, channels), "none")(0 * image))
    np.testing.assert_allclose(got[0] - bias, 255 * (got[1] - bias), rtol=1e-3)  # nothing bends


def test_published_weights_have_their_own_scaling(config):
    with pytest.raises(UsageError, match=r"--scaling: the weights keras.mobilenet:.*own, tf"):
        transfer.main(dataclasses.replace(config, scaling="unit"))


@pytest.mark.parametrize(
    "method", ["top", *(pytest.param(one, marks=pytest.mark.slow) for one in ("full", "gradual"))]
)
def test_batch_norm_of_the_body_stays_as_it_was(config, photos, method, monkeypatch):
    kept = {}
    fine_tune = transfer.fine_tune

    def watched(config, dataset, model, *args, **kwargs):
        before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
        resume = fine_tune(config, dataset, model, *args, **kwargs)
        if not kwargs.get("from_scratch"):
            kept["before"], kept["after"] = before, model
        return resume

    monkeypatch.setattr(transfer, "fine_tune", watched)
    overrides = {"method": method, "control": False, "learning_rate": 0.01}
    metrics = transfer.main(dataclasses.replace(config, **overrides))
    moved = set()
    for layer in kept["after"].layers:
        for a, b in zip(kept["before"].get(layer.name, ()), layer.get_weights(), strict=False):
            if not np.array_equal(a, b):
                moved.add(layer.name)
    assert not [name for name in moved if name.endswith("_bn")]
    assert "logits" in moved
    assert any(name.startswith("stage5") for name in moved)
    assert ("stem_conv" in moved) == (method != "top")
    assert metrics["epochs"] == 2
    path = pathlib.Path(config.workdir) / "model.keras"
    assert metrics["val_accuracy"] == raw_accuracy(path, photos / "val")


def test_auto_measures_and_gives_its_reasons(config):
    metrics = transfer.main(dataclasses.replace(config, method="auto", control=False))
    assert list(metrics["held_out_accuracy_by_depth"]) == [
        *(f"stage{i}" for i in range(1, 6)),
        "last",
    ]
    assert metrics["method"] == "probe"
    report = (pathlib.Path(config.workdir) / "report.html").read_text()
    assert "Size: 24 training images, a small dataset" in report
    assert "Decision: a linear classifier on" in report


def test_wrong_values_are_refused_before_anything_is_written(config, photos, tmp_path):
    def refused(error, match, **overrides):
        with warnings.catch_warnings(), pytest.raises(error, match=match):
            warnings.simplefilter("ignore")
            transfer.main(dataclasses.replace(config, **overrides))
        assert not pathlib.Path(config.workdir).exists()

    refused(UsageError, "takes images of 32x32 pixels or more", size=16)
    refused(UsageError, "unknown model 'mobilnet': did you mean", model="mobilnet")
    refused(RunError, "mobilenet.npz: ", model="resnet18", model_args={})
    refused(RunError, "there is no file .*nothing.npz", weights=str(tmp_path / "nothing.npz"))
    refused(UsageError, "--model_args: input_shape is set by --size", model_args={"input_shape": 3})
    refused(UsageError, "scaling", model_args={"scaling": "tf"})
    refused(UsageError, "warm", warmup_epochs=5.0)
    refused(UsageError, "--milestones and --factor need --schedule=step", milestones=(1,))
    refused(UsageError, "must ascend between", schedule="step", milestones=(9,))
    refused(UsageError, "within --limit=2 has 0 training images of .*: 2 or more", limit=2)
    one = tmp_path / "one" / "train" / "only"
    one.mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (40, 40), (i, 0, 0)).save(one / f"{i}.png")
    refused(
        RunError, "has one class, 'only'; two or more are needed", dataset=str(tmp_path / "one")
    )
    (photos / "val" / "violet").mkdir()
    refused(RunError, "has the class 'violet', which train/ does not have")


def test_a_source_of_weights_is_named(config):
    metrics = transfer.main(config)
    assert metrics["weights"] == "keras.mobilenet:mobilenet.npz"
    assert pretrained.is_file(config.weights)
