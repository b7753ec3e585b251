"""Photos in every form a file may have, and the recipe that says what is in them."""

import os

import keras
import numpy as np
import pytest
from cvcourse.recipes import classify
from PIL import Image

from cvcourse import classifier, data, training
from cvcourse.data import DataError, photo
from cvcourse.errors import UsageError

GRADIENT = np.arange(0, 240, 5, dtype="uint8").reshape(6, 8)
COLOR = np.stack([GRADIENT, GRADIENT[::-1], GRADIENT[:, ::-1]], axis=-1)


def read(tmp_path, image, name="a.png", channels=3, **settings):
    image.save(tmp_path / name, **settings)
    return data.read_photo(tmp_path / name, channels)


def test_rgb_and_gray_as_they_are(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, Image.fromarray(COLOR)), COLOR)
    gray = read(tmp_path, Image.fromarray(GRADIENT))
    np.testing.assert_array_equal(gray, np.repeat(GRADIENT[..., None], 3, axis=-1))
    assert read(tmp_path, Image.fromarray(GRADIENT), channels=1).shape == (6, 8, 1)


def test_sixteen_bits_are_scaled(tmp_path):
    deep = Image.fromarray(GRADIENT.astype("uint16") * 257)
    assert deep.mode == "I;16"
    np.testing.assert_array_equal(read(tmp_path, deep, channels=1)[..., 0], GRADIENT)


def test_what_is_transparent_shows_white(tmp_path):
    alpha = np.full((6, 8, 1), 255, "uint8")
    alpha[0] = 0
    found = read(tmp_path, Image.fromarray(np.concatenate([COLOR, alpha], axis=-1)))
    assert (found[0] == 255).all()
    np.testing.assert_array_equal(found[1:], COLOR[1:])
    palette = Image.fromarray(GRADIENT).convert("P")
    palette.info["transparency"] = 0
    assert read(tmp_path, palette).shape == (6, 8, 3)


def test_cmyk_and_orientation(tmp_path):
    found = read(tmp_path, Image.new("CMYK", (8, 6), (0, 255, 255, 0)), "a.jpg")
    assert np.abs(found.mean(axis=(0, 1)) - [255, 0, 0]).max() < 3
    exif = Image.Exif()
    exif[274] = 6  # turn right
    turned = read(tmp_path, Image.fromarray(COLOR), "turned.png", exif=exif)
    np.testing.assert_array_equal(turned, np.rot90(COLOR, -1))


def test_what_is_no_photo_is_named(tmp_path, monkeypatch):
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(DataError, match=r"text\.jpg"):
        data.read_photo(tmp_path / "text.jpg")
    with pytest.raises(DataError, match=r"cannot read the image .*none\.jpg: No such file"):
        data.read_photo(tmp_path / "none.jpg")
    Image.effect_noise((64, 64), 90).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:900])
    with pytest.raises(DataError, match=r"cut\.jpg"):
        data.read_photo(tmp_path / "cut.jpg")
    monkeypatch.setattr(photo, "LARGEST", 47)
    with pytest.raises(DataError, match="has 8x6 pixels; scale it down"):
        read(tmp_path, Image.fromarray(COLOR))


@pytest.mark.parametrize("shape", [(6, 8, 3), (8, 6, 3), (None, None, 3)])
def test_a_model_sees_the_pixels_of_a_data_set(shape, tmp_path):
    """Photos of a phone, one on its side, in classes a and b; classify of the very files."""
    exif = Image.Exif()
    exif[274] = 8  # turn left
    for label in "ab":
        (tmp_path / "set" / "train" / label).mkdir(parents=True)
        for name, pixels in (("0.jpg", COLOR), ("1.png", COLOR[::-1]), ("2.webp", COLOR[:, ::-1])):
            stored = Image.fromarray(np.rot90(pixels, -1))
            stored.save(tmp_path / "set" / "train" / label / name, exif=exif)
    (tmp_path / "set" / "val").symlink_to(tmp_path / "set" / "train")
    loaded = data.load(tmp_path / "set")
    assert loaded.input_shape == (6, 8, 3)
    image = keras.Input(shape)
    pooled = keras.layers.GlobalAveragePooling2D()(image[:, :3, 2:])  # a corner: not any pixels
    logits = keras.layers.Dense(2, name="logits")(pooled / 20)
    training.save_model(keras.Model(image, logits), tmp_path / "model.keras", ["a", "b"])
    files = [os.fsdecode(file) for file in loaded.train.images.files]
    model = str(tmp_path / "model.keras")
    found = classify.main(classify.Config(photos=tuple(files), model=model))
    images = loaded.train.images[:].astype("float32")
    if shape == (8, 6, 3):  # the middle, larger
        images = np.stack([photo.to_size(image, 8, 6) for image in loaded.train.images])
    net, _ = training.load_model(tmp_path / "model.keras")
    for file, scores in zip(files, net(images.astype("float32")), strict=True):
        probabilities = np.exp(scores) / np.exp(scores).sum()
        assert {name: p for p, name in found[file]} == pytest.approx(
            dict(zip("ab", probabilities, strict=True)), abs=1e-6
        )


@pytest.fixture
def run_directory(tmp_path):
    """Of a model whose logits are the means of red and green."""
    image = keras.Input((None, None, 3))
    logits = keras.layers.Dense(2, name="logits")
    model = keras.Model(image, logits(keras.layers.GlobalAveragePooling2D()(image)))
    logits.set_weights([np.eye(3, 2), np.zeros(2)])
    training.save_model(model, tmp_path / "run" / "model.keras", ["red", "green"])
    return tmp_path / "run"


def test_a_run_directory_and_a_folder_of_photos(run_directory, tmp_path, capsys):
    """By contents, in all folders below, in order; what is no image is passed over and told."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    Image.new("RGB", (5, 4), "red").save(folder / "z.png")
    Image.new("RGB", (4, 5), "lime").save(folder / "below" / "no_suffix", "jpeg")
    (folder / "notes.txt").write_text("no photo")
    (folder / ".hidden.png").write_bytes((folder / "z.png").read_bytes())
    assert classify.cli([str(folder), f"--model={run_directory}", "--top=1"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{folder}/below/no_suffix\n1.0000\tgreen\n{folder}/z.png\n1.0000\tred\n"
    assert "passed over 2 files or folders without images: .hidden.png, notes.txt" in said.err


def test_damaged_photos_are_told_and_the_others_classified(run_directory, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "c.png"):
        Image.new("RGB", (5, 4), "red").save(folder / name)
    (folder / "b.jpg").write_text("damaged")
    assert classify.cli([str(folder), str(tmp_path / "none.png"), f"--model={run_directory}"]) == 1
    said = capsys.readouterr()
    assert [line for line in said.out.splitlines() if "/" in line] == [
        f"{folder}/a.png",
        f"{folder}/c.png",
    ]
    *errors, last = said.err.splitlines()
    assert len(errors) == 2
    assert "b.jpg is not an image" in errors[0]
    assert "none.png: No such file" in errors[1]
    assert "2 of 4 photos cannot be read" in last


def test_a_folder_without_photos(run_directory, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert classify.cli([str(tmp_path / "empty"), f"--model={run_directory}"]) == 1
    assert "there is no photo in" in capsys.readouterr().err


def test_a_model_whose_classes_have_no_names(tmp_path, capsys):
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]).save(
        tmp_path / "theirs.keras"
    )
    Image.new("RGB", (5, 4), "red").save(tmp_path / "a.png")
    assert classify.cli([str(tmp_path / "a.png"), f"--model={tmp_path / 'theirs.keras'}"]) == 1
    assert "theirs.keras: its classes have no names; give the" in capsys.readouterr().err


def test_photos_stand_without_a_flag_anywhere(monkeypatch):
    found = []
    monkeypatch.setattr(classify, "main", found.append)
    assert classify.cli(["a.jpg", "--model=vgg16", "b.jpg", "--top=3"]) == 0
    assert (found[0].photos, found[0].model, found[0].top) == (("a.jpg", "b.jpg"), "vgg16", 3)
    assert classify.cli(["--model=vgg16", "a.jpg"]) == 0
    assert found[1].photos == ("a.jpg",)


def test_usage_errors_are_one_line(capsys):
    assert classify.cli([]) == 2
    assert "no photo to classify" in capsys.readouterr().err
    assert classify.cli(["a.jpg", "--modle=vgg16"]) == 2
    assert "did you mean '--model'" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--photos expects a name, or several separated by commas"):
        classify.main(classify.Config(photos="a.jpg"))


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_the_probability_of_one_output_is_its_sigmoid(activation):
    image = keras.Input((2, 2, 1))
    x = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Dense(1, activation, kernel_initializer="ones")(x))
    found = classifier.probabilities(model, np.full((2, 2, 1), 2, "uint8"))
    np.testing.assert_allclose(found, [1 / (1 + np.exp(-2))], rtol=1e-6)
