"""Captions as rows, and their photos as squares."""

import pathlib
import types

import keras
import numpy as np
import pytest
from PIL import Image

from cvcourse import data
from cvcourse.data import caption_rows


def test_rows_are_captions_between_start_and_end():
    vocabulary = data.Vocabulary.of_words(["a a a red dog", "a red cat"], least=2)
    assert vocabulary.tokens[4:] == ("a", "red")
    photos = [
        data.CaptionedPhoto(pathlib.Path("1.jpg"), ("a red dog", "red")),
        data.CaptionedPhoto(pathlib.Path("2.jpg"), ("a a a a red",)),
    ]
    inputs, labels, weights = caption_rows.rows(photos, vocabulary, longest=4)
    assert inputs["photo"].tolist() == [0, 0, 1]
    start, end, unk, a, red = data.START, data.END, data.UNK, 4, 5
    assert inputs["tokens"].tolist() == [
        [start, a, red, unk],
        [start, red, 0, 0],
        [start, a, a, a],
    ]
    assert labels.tolist() == [[a, red, unk, end], [red, end, 0, 0], [a, a, a, a]]
    assert weights.tolist() == [[1, 1, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_batches_have_each_photos_map():
    maps = np.arange(24, dtype="float32").reshape(2, 3, 4)
    inputs = {"photo": np.int32([1, 0, 1]), "tokens": np.int32([[1, 5], [1, 6], [1, 7]])}
    rows = inputs, np.int32([[5, 2], [6, 2], [7, 2]]), np.ones((3, 2), "float32")
    (one, labels, weights), (two, _, last) = caption_rows.batches(
        rows, maps, batch_size=2, shuffle=False
    )
    np.testing.assert_array_equal(one["memory"], maps[[1, 0]])
    np.testing.assert_array_equal(one["tokens"], [[1, 5], [1, 6]])
    np.testing.assert_array_equal(labels, [[5, 2], [6, 2]])
    np.testing.assert_array_equal(two["memory"], maps[[1, 1]])
    assert weights.numpy().tolist() == [[1, 1], [1, 1]]
    assert last.numpy().tolist() == [[1, 1], [0, 0]]


def test_references_are_texts_as_the_vocabulary_reads_them():
    photo = data.CaptionedPhoto(pathlib.Path("1.jpg"), ("A T-shirt!", "the dog's."))
    assert caption_rows.references([photo]) == [["a t shirt", "the dog's"]]


@pytest.fixture
def captions(tmp_path):
    """Captions of five photos of various sizes, two of them JPEG, none for the test."""
    rng = np.random.default_rng(0)
    photos = []
    for i, (height, width) in enumerate([(40, 61), (75, 30), (32, 32), (33, 90), (64, 50)]):
        small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), "uint8"))
        path = tmp_path / f"{i}.{'png' if i % 2 else 'jpg'}"
        small.resize((width, height), Image.Resampling.BICUBIC).save(path)
        photos.append(data.CaptionedPhoto(path, ("a dog",)))
    return data.Captions(tuple(photos[:3]), tuple(photos[3:]), ())


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop", [True, False])
def test_squares_are_scaled_as_keras_scales(captions, interpolation, crop):
    """To the bit: features that were computed from Keras' squares are used further."""
    squares = caption_rows.squares(captions, 32, interpolation, crop=crop)
    assert squares.test is None
    for split in ("train", "validation"):
        images = getattr(squares, split).images
        assert images.shape == (len(getattr(captions, split)), 32, 32, 3)
        for image, photo in zip(images, getattr(captions, split), strict=True):
            expected = keras.ops.image.resize(
                data.read_photo(photo.path).astype("float32"),
                (32, 32),
                interpolation=interpolation,
                antialias=True,
                crop_to_aspect_ratio=crop,
            )
            np.testing.assert_array_equal(image, expected)


def test_too_long_captions_are_refused_or_cut(captions, capsys):
    folder = captions.train[0].path.parent
    lines = [
        "image,split,caption",
        "0.jpg,train,one two three",
        "1.png,val,one",
        "2.jpg,test,a b c",
    ]
    (folder / "captions.csv").write_text("\n".join(lines))

    def load(longest, too_long="error"):
        fields = dict(photos=folder, captions_file=None, limit=None, missing="error")
        return caption_rows.of(types.SimpleNamespace(**fields, longest=longest, too_long=too_long))

    message = r"0.jpg has a caption of 3 words, more than --longest=2: 'one two three'; 1 of 2 cap"
    with pytest.raises(data.DataError, match=message):
        load(2)
    assert load(2, "cut") == load(3) == data.load_captions(folder)
    assert capsys.readouterr().out == "1 of 2 captions are cut to 2 words\n"
    (folder / "captions.csv").write_text("\n".join(lines[:2]))
    with pytest.raises(
        data.DataError, match="has no validation photo, which selects the best epoch"
    ):
        load(3)
