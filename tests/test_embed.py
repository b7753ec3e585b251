"""The recipe `embed`: neighbors of images in pixels and in codes, and what the report shows."""

import json
import re

import keras
import numpy as np
import pytest
from cvcourse.recipes import embed
from keras import layers
from sklearn.neighbors import NearestNeighbors

from cvcourse import data, training
from cvcourse.errors import UsageError

pytestmark = pytest.mark.usefixtures("undrawn")


def save(path, shape, code):
    """Save a classifier of 10 classes whose code is the output of the layer `code`."""
    x = keras.Input(shape)
    model = keras.Model(x, layers.Dense(10, name="logits")(layers.Dropout(0.5)(code(x))))
    training.save_model(model, path, tuple("0123456789"))
    return path


def run(dataset, model, workdir, **settings):
    config = embed.Config(str(dataset), model=str(model), workdir=str(workdir), **settings)
    return embed.main(config)


def test_codes_that_are_the_pixels_have_the_neighbors_of_the_pixels(tmp_path):
    model = save(tmp_path / "flat.keras", (8, 8, 1), layers.Flatten(name="flat"))
    found = run("digits", model, tmp_path / "run", limit=60, split="test")
    split = data.load("digits", limit=60).test
    vectors = split.images.reshape(60, -1)
    _, order = NearestNeighbors(n_neighbors=7).fit(vectors).kneighbors(vectors)
    same = split.labels[order[:, 1:]] == split.labels[:, None]
    pairs = split.labels[:, None] == split.labels
    chance = pytest.approx((pairs.sum() - 60) / (60 * 59))
    share = pytest.approx(same.mean())
    assert found["label_agreement"] == {"pixels": share, "codes": share, "chance": chance}
    share = pytest.approx(same[:, 0].mean())
    assert found["nearest_label_agreement"] == {"pixels": share, "codes": share, "chance": chance}
    assert (found["images"], found["code_size"], found["neighbors"]) == (60, 64, 6)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()).items() <= found.items()
    assert run("digits", model, tmp_path / "run", limit=60, split="test") == found  # it is finished


@pytest.fixture
def hidden(tmp_path):
    """Images of noise in 4 classes; the first pixel's red is the label. Three images are equal."""
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 4
    images = rng.integers(0, 256, (48, 10, 8, 3), "uint8")
    images[:, 0, 0, 0] = 60 * labels
    images[[39, 43]] = images[47]
    path = tmp_path / "hidden.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return path


def test_codes_find_what_pixels_do_not(hidden, tmp_path):
    """Of equal images, each is a neighbor of the others and not of itself."""
    first = layers.Cropping2D(((0, 9), (0, 7)), name="first")
    code = keras.Sequential([first, layers.Conv2D(1, 1, kernel_initializer="ones")], name="code")

    def red(x):
        return layers.Flatten()(code(x * np.float32([1, 0, 0])))

    model = save(tmp_path / "first.keras", (10, 8, 3), red)
    found = run(hidden, model, tmp_path / "run", split="test")
    assert found["label_agreement"]["codes"] == 1
    assert found["label_agreement"]["pixels"] < 0.6
    assert found["code_size"] == 1


def test_an_image_is_no_neighbor_of_itself_among_equal_ones():
    order = training.neighbors_of_each(np.ones((9, 2)), 3)
    assert order.tolist() == [[j for j in range(4) if j != i][:3] for i in range(9)]


def test_photos_of_any_size_and_a_named_layer(image_folder, tmp_path):
    """The report has 8 images with their neighbors in both spaces, two maps and a grid."""
    pool = layers.GlobalAveragePooling2D()
    net = keras.Sequential([layers.Conv2D(5, 3, name="conv"), pool], name="net")
    model = save(tmp_path / "any.keras", (None, None, 3), net)
    photos = image_folder(train=4)
    found = run(photos, model, tmp_path / "run", split="all", layer="net/conv")
    assert (found["images"], found["code_size"], found["neighbors"]) == (12, 5, 6)
    page = (tmp_path / "run" / "report.html").read_text()
    assert len(re.findall(r"<figcaption>\w+ \(neighbors in pixels\)", page)) == 8
    assert page.count("<figcaption>") == 8 * 2 * 7
    assert page.count('<div class="wide">') == 3
    assert "net/conv outputs" in page


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "flatt"}, r"flatt is no layer of .* nearest names are flat"),
        ({"split": "nothing"}, "split"),
        ({"dataset": "digit"}, "did you mean 'digits'"),
        ({"model": "mobilenett"}, "did you mean 'mobilenet'"),
    ],
)
def test_wrong_values_are_usage_errors(settings, message, tmp_path):
    model = save(tmp_path / "flat.keras", (8, 8, 1), layers.Flatten(name="flat"))
    settings = {"dataset": "digits", "model": model, "workdir": tmp_path / "run", **settings}
    with pytest.raises(UsageError, match=message):
        run(**settings)
    assert not (tmp_path / "run").exists()


def test_a_split_that_is_not_there(image_folder, tmp_path):
    model = save(tmp_path / "any.keras", (None, None, 3), layers.GlobalAveragePooling2D())
    photos = image_folder(train=4, val=2)
    with pytest.raises(UsageError, match=r"0 images in its test split, .* use --split=all"):
        run(photos, model, tmp_path / "run", split="test")
