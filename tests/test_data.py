"""Datasets: splits, where they come from, and what is refused with which sentence."""

import gzip
import io
import os
import pathlib
import re
import shutil
import struct
import types
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cvcourse import data
from cvcourse.data import dataset as dataset_module
from cvcourse.data import published
from cvcourse.data.network import SECONDS

FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")


def sizes(dataset):
    return tuple(
        split and len(split) for split in (dataset.train, dataset.validation, dataset.test)
    )


def counts(labels, classes):
    return np.bincount(labels, minlength=classes)


def refused(what, *parts, error=data.DataError, **options):
    """Loading `what` ends in one sentence that has all of `parts`."""
    with pytest.raises(error) as caught:
        data.load(what, **options)
    message = str(caught.value)
    assert [part for part in map(str, parts) if part not in message] == [], message
    assert "\n" not in message


# Splits


def test_digits():
    digits = data.load("digits")
    assert sizes(digits) == (1293, 144, 360)
    assert digits.input_shape == (8, 8, 1)
    assert digits.class_names == tuple("0123456789")
    splits = digits.train, digits.validation, digits.test
    images = np.concatenate([split.images for split in splits])
    assert (images.dtype, images.min(), images.max()) == ("uint8", 0, 255)
    for split, again in zip(
        splits[1:], (data.load("digits").validation, data.load("digits").test), strict=True
    ):
        np.testing.assert_array_equal(split.images, again.images)
        np.testing.assert_array_equal(split.labels, again.labels)


def test_digits_are_split_without_loss_or_overlap():
    from sklearn.datasets import load_digits

    digits, source = data.load("digits"), load_digits()
    splits = digits.train, digits.validation, digits.test
    ours = [
        (*image.ravel(), label)
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    ]
    theirs = np.round(source.images * 255 / 16).astype("uint8").reshape(1797, 64)
    assert sorted(ours) == sorted(
        (*image, label) for image, label in zip(theirs, source.target, strict=True)
    )
    share = counts(source.target, 10) / 1797
    for split in splits:
        assert np.abs(counts(split.labels, 10) - share * len(split)).max() <= 1.5


def test_digits_are_split_by_a_fixed_rule():
    """The numbers of a published result mean the same images in every version."""
    digits = data.load("digits")
    assert [int(split.images.sum()) for split in (digits.validation, digits.test)] == [
        717784,
        1798169,
    ]


@pytest.mark.parametrize("count", [1, 7, 50, 99])
def test_hold_out_is_exact_and_stratified(count):
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], [60, 30, 9, 1]))
    kept, held = data.hold_out(data.Split(np.arange(100), labels), count)
    assert (len(kept), len(held)) == (100 - count, count)
    np.testing.assert_array_equal(np.sort(np.append(kept.images, held.images)), np.arange(100))
    for split in (kept, held):
        np.testing.assert_array_equal(split.images, np.sort(split.images))
        np.testing.assert_array_equal(split.labels, labels[split.images])
        assert (
            np.abs(counts(split.labels, 4) - [0.6, 0.3, 0.09, 0.01] * np.array(len(split))).max()
            < 1
        )


def test_limit_keeps_images_of_every_class():
    whole, limited = data.load("digits"), data.load("digits", limit=20)
    assert sizes(limited) == (20, 20, 20)
    for split in (limited.train, limited.validation, limited.test):
        assert set(counts(split.labels, 10)) <= {1, 2, 3}
    _, held = data.hold_out(whole.train, 20)
    np.testing.assert_array_equal(limited.train.images, held.images)
    assert sizes(data.load("digits", limit=200)) == (200, 144, 200)


@pytest.mark.parametrize("kind", ["uint8", "float32", "folder"])
def test_channel_statistics_are_numpy_s(kind, arrays, image_folder, monkeypatch):
    monkeypatch.setattr(dataset_module, "AT_ONCE", 1000)  # a few images at a time
    if kind == "folder":
        split = data.load(image_folder(train=5)).train
    else:
        split = data.Split(arrays["x_train"].astype(kind) / np.array(3, kind), arrays["y_train"])
    images = np.asarray(split.images[:], "float64")
    mean, variance = data.channel_statistics(split)
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(variance, images.var((0, 1, 2)), rtol=1e-9)


def test_channel_statistics_of_a_black_channel_are_divisible():
    images = np.zeros((3, 2, 2, 1), "uint8")
    assert data.channel_statistics(data.Split(images, np.zeros(3))) == ([0.0], [1e-8])


# Published sets


def ten_classes(value=0):
    """A tiny MNIST, all pixels `value`: 20 + 10 images."""
    x, y = np.full((30, 6, 6), value, "uint8"), np.arange(30) % 10
    return dict(x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:])


@pytest.mark.parametrize(
    ("name", "first", "last", "count"),
    [
        ("mnist", "0", "9", 10),
        ("fashion_mnist", "t-shirt", "boot", 10),
        ("cifar10", "airplane", "truck", 10),
        ("cifar100", "apple", "worm", 100),
    ],
)
def test_class_names(name, first, last, count):
    names = published.PUBLISHED[name][0].split()
    assert (names[0], names[-1], len(names), len(set(names))) == (first, last, count, count)
    if name.startswith("cifar"):
        assert names == sorted(names)


PLACES = ("data_dir", "environment", "keras")


@pytest.mark.parametrize("filled", [PLACES, PLACES[1:], PLACES[2:]])
def test_places_are_looked_at_in_order(filled, offline, tmp_path, monkeypatch):
    monkeypatch.setenv("CVCOURSE_DATA", str(tmp_path / "environment"))
    for place in filled:
        folder = tmp_path / place / "datasets" if place == "keras" else tmp_path / place
        folder.mkdir(parents=True)
        np.savez(folder / "mnist.npz", **ten_classes(10 + PLACES.index(place)))
    mnist = data.load("mnist", data_dir=tmp_path / "data_dir")
    assert sizes(mnist) == (18, 2, 10)
    assert mnist.input_shape == (6, 6, 1)
    assert np.unique(mnist.train.images).tolist() == [10 + PLACES.index(filled[0])]


def write_idx(folder, arrays):
    """MNIST's own four files."""
    folder.mkdir(parents=True)
    for name, key in zip(published.IDX_FILES, data.npz.KEYS, strict=True):
        array = arrays[key].astype("uint8")
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        (folder / name).write_bytes(gzip.compress(header + array.tobytes()))


@pytest.mark.parametrize("folder", ["fashion_mnist", "fashion-mnist"])
def test_idx_files(folder, offline, tmp_path):
    arrays = ten_classes()
    arrays["x_test"][3, 2, 1] = 77
    write_idx(tmp_path / folder, arrays)
    fashion = data.load("fashion_mnist", data_dir=tmp_path)
    np.testing.assert_array_equal(fashion.test.images[..., 0], arrays["x_test"])
    np.testing.assert_array_equal(fashion.test.labels, arrays["y_test"])
    assert fashion.class_names[9] == "boot"


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist is absent")
def test_fashion_mnist_of_debian(offline):
    fashion = data.load("fashion_mnist")
    assert sizes(fashion) == (54_000, 6_000, 10_000)
    assert fashion.input_shape == (28, 28, 1)
    assert counts(fashion.validation.labels, 10).tolist() == [600] * 10


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_missing_without_network(name, offline, tmp_path, monkeypatch):
    monkeypatch.setenv("CVCOURSE_DATA", str(tmp_path / "environment"))
    places = tmp_path / "here", tmp_path / "environment", tmp_path / "keras" / "datasets"
    refused(name, f"{name}.npz", *places, "no network", "--data_dir", data_dir=tmp_path / "here")
    assert offline == [SECONDS]  # one attempt, of a few seconds


@pytest.fixture
def online(offline, monkeypatch):
    """A network, but nothing behind it."""
    monkeypatch.setattr(
        "socket.create_connection", lambda *a, **k: types.SimpleNamespace(close=int)
    )


def test_downloaded_by_keras(online, monkeypatch):
    """CIFAR's labels come as a column."""
    arrays = ten_classes(5)
    train = np.stack([arrays["x_train"]] * 3, -1), arrays["y_train"][:, None]
    test = np.stack([arrays["x_test"]] * 3, -1), arrays["y_test"][:, None]
    monkeypatch.setattr("keras.datasets.cifar10.load_data", lambda: (train, test))
    cifar10 = data.load("cifar10")
    assert sizes(cifar10) == (18, 2, 10)
    assert cifar10.input_shape == (6, 6, 3)
    np.testing.assert_array_equal(cifar10.test.labels, arrays["y_test"])


@pytest.mark.parametrize("text", ["URL fetch failure on https://x\nTraceback", ""])
def test_failed_download(text, online, monkeypatch):
    def fail():
        raise Exception(text)

    monkeypatch.setattr("keras.datasets.mnist.load_data", fail)
    refused("mnist", "cannot get mnist", text.split("\n")[0] or "Exception")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("cfar10", "did you mean 'cifar10'?"),
        ("fashion-mnist", "did you mean 'fashion_mnist'?"),
        ("", "choose from digits"),
    ],
)
def test_unknown_name(name, part):
    refused(name, f"unknown dataset {name!r}", part, error=ValueError)


@pytest.mark.parametrize("name", ["no/such/folder", "/no/such.npz"])
def test_nothing_there(name):
    refused(name, name)


# TensorFlow Datasets


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    """Prepared sets: of 6x5 pixels, each of its own size, and files of 6x5 that lie on a side."""
    import tensorflow_datasets as tfds

    def full(i, size):
        return np.full((*size, 3), i, "uint8")

    def turned(i, size):
        file, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = 6
        stored = np.rot90(np.arange(90, dtype="uint8").reshape(*size, 3) + i)
        Image.fromarray(np.ascontiguousarray(stored)).save(file, "PNG", exif=exif)
        return io.BytesIO(file.getvalue())

    def builder(name, shape, size_of, splits, image=full):
        def info(self):
            features = dict(
                image=tfds.features.Image(shape=shape), label=tfds.features.ClassLabel(names="ab")
            )
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def examples(self, count):
            for i in range(count):
                yield i, {"image": image(i, size_of(i)), "label": i % 2}

        methods = dict(
            VERSION=tfds.core.Version("1.0.0"),
            _info=info,
            _split_generators=lambda self, _: {
                split: self._generate_examples(count) for split, count in splits.items()
            },
            _generate_examples=examples,
            __module__=__name__,
        )
        return type(name, (tfds.core.GeneratorBasedBuilder,), methods)

    place = tmp_path_factory.mktemp("tfds")
    settings = tfds.download.DownloadConfig(try_download_gcs=False)
    for made in (
        builder("TinySquares", (6, 5, 3), lambda i: (6, 5), {"train": 20, "test": 4}),
        builder("TinySizes", (None, None, 3), lambda i: (9 + i, 30), {"train": 6, "validation": 2}),
        builder("TinyTurned", (6, 5, 3), lambda i: (6, 5), {"train": 4, "validation": 2}, turned),
    ):
        made(data_dir=place).download_and_prepare(download_config=settings)
    return place


def test_tfds_of_one_size(tfds_dir, offline):
    squares = data.load("tfds:tiny_squares", data_dir=tfds_dir)
    assert sizes(squares) == (18, 2, 4)
    assert squares.class_names == ("a", "b")
    assert squares.train.images.shape == (18, 6, 5, 3)
    np.testing.assert_array_equal(np.sort(squares.test.images[:, 5, 4, 2]), [0, 1, 2, 3])
    np.testing.assert_array_equal(squares.test.images[:, 0, 0, 0] % 2, squares.test.labels)


def test_tfds_images_are_upright(tfds_dir, offline):
    loaded = data.load("tfds:tiny_turned", data_dir=tfds_dir)
    assert loaded.train.images.shape == (4, 6, 5, 3)
    first = loaded.train.images[:, :1, :1, :1]
    expected = np.arange(90, dtype="uint8").reshape(6, 5, 3) + first
    np.testing.assert_array_equal(loaded.train.images, expected)


def test_tfds_of_many_sizes(tfds_dir, offline, monkeypatch):
    monkeypatch.setenv("CVCOURSE_DATA", str(tfds_dir))
    varied = data.load("tfds:tiny_sizes")
    assert sizes(varied) == (6, 2, None)
    assert varied.input_shape == (256, 256, 3)
    pixels = varied.train.images[:]
    np.testing.assert_array_equal(np.ptp(pixels, (1, 2, 3)), 0)
    np.testing.assert_array_equal(pixels[:, 0, 0, 0] % 2, varied.train.labels)


@pytest.mark.parametrize(
    ("name", "parts", "error"),
    [
        ("mnst", ["did you mean 'mnist'?"], ValueError),
        ("mnist/nope", ["tfds:mnist/nope", "BuilderConfig nope not found"], ValueError),
        ("mnist:9.9.9", ["tfds:mnist:9.9.9", "only: 3.0.1"], ValueError),
        ("glue", ["no image and class label", "sentence"], data.DataError),
        ("mnist", ["/here/mnist/3.0.1", "no network", "--data_dir"], data.DataError),
    ],
)
def test_tfds_refuses(name, parts, error, offline, tmp_path):
    refused(f"tfds:{name}", *parts, error=error, data_dir=tmp_path / "here")


# .npz files


def test_npz(tiny_npz, arrays):
    tiny = data.load(tiny_npz)
    assert sizes(tiny) == (36, 4, 12)
    assert tiny.class_names == tuple("0123")
    assert counts(tiny.validation.labels, 4).tolist() == [1] * 4
    np.testing.assert_array_equal(tiny.test.images, arrays["x_test"])


@pytest.mark.parametrize("kind", ["float64", "int16", "bool", "uint64"])
def test_npz_of_other_number_types(kind, tmp_path, arrays):
    np.savez(
        tmp_path / "a.npz",
        **{key: array.astype(kind) for key, array in arrays.items()}
        | {"y_train": arrays["y_train"].astype(kind)[:, None]},
    )
    loaded = data.load(tmp_path / "a.npz")
    assert (loaded.test.images.dtype, loaded.test.labels.dtype) == ("uint8", "int32")
    expected = 255 * (arrays["x_test"] > 0) if kind == "bool" else arrays["x_test"]
    np.testing.assert_array_equal(loaded.test.images, expected)
    np.testing.assert_array_equal(loaded.test.labels, arrays["y_test"].astype(kind))


def changed(array, index, value):
    array = array.astype(np.result_type(array, np.asarray(value)))
    array[index] = value
    return array


# what is wrong: (the array, how it comes to be so, parts of the sentence)
BAD_ARRAYS = {
    "negative label": ("y_train", lambda y: y - 1, ["train", "label -1"]),
    "label out of range": ("y_test", lambda y: y + 1, ["test", "label 4", "0 to 3"]),
    "missing class": ("y_train", lambda y: y * 2, ["class 1 of 0 to 6", "renumber"]),
    "one huge label": ("y_train", lambda y: changed(y, 0, 10**9), ["class 4 of", "renumber"]),
    "label beyond int32": ("y_test", lambda y: changed(y, 0, 2**40), ["test", str(2**40)]),
    "fractional label": ("y_train", lambda y: changed(y, 5, 0.5), ["label 0.5", "whole numbers"]),
    "NaN label": ("y_test", lambda y: changed(y, 5, np.nan), ["label nan", "whole numbers"]),
    "infinite label": ("y_test", lambda y: changed(y, 5, np.inf), ["label inf"]),
    "text labels": ("y_train", lambda y: y.astype(str), ["type <U", "number the classes"]),
    "one-hot labels": ("y_train", lambda y: np.eye(4)[y], ["(40, 4)", "argmax(axis=1)"]),
    "too few labels": ("y_train", lambda y: y[1:], ["40 images", "(39,)"]),
    "too many labels": ("y_test", lambda y: np.append(y, 0), ["12 images", "(13,)"]),
    "one label": ("y_test", lambda y: y[0], ["12 images", "()"]),
    "NaN pixel": ("x_train", lambda x: changed(x, (7, 0, 0, 0), np.nan), ["NaN", "image 7"]),
    "infinite pixel": ("x_test", lambda x: changed(x, (3, 0, 0, 0), -np.inf), ["image 3"]),
    "overflowing pixel": ("x_test", lambda x: changed(x, (3, 0, 0, 0), 1e300), ["image 3"]),
    "two channels": ("x_train", lambda x: x[..., :2], ["(40, 10, 8, 2)", "1 (gray) or 3 (RGB)"]),
    "channels first": ("x_train", lambda x: np.moveaxis(x, 3, 1), ["(40, 3, 10, 8)", "channels)"]),
    "flat images": ("x_train", lambda x: x.reshape(40, -1), ["(40, 240)", "height, width"]),
    "a number": ("x_train", lambda x: np.array(3), ["shape ()", "height, width"]),
    "no train images": ("x_train", lambda x: x[:0], ["train has no images"]),
    "no test images": ("x_test", lambda x: x[:0], ["test has no images"]),
    "no pixels": ("x_train", lambda x: x[:, :0], ["(40, 0, 8, 3)"]),
    "other size": ("x_test", lambda x: x[:, 1:], ["(9, 8, 3)", "(10, 8, 3)", "one size"]),
    "other channels": ("x_test", lambda x: x[..., :1], ["(10, 8, 1)", "(10, 8, 3)"]),
    "text pixels": ("x_train", lambda x: x.astype(str), ["type <U", "numbers are needed"]),
    "complex pixels": ("x_train", lambda x: x * 1j, ["type complex", "numbers are needed"]),
}


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_bad_arrays(what, arrays, tmp_path):
    key, change, parts = BAD_ARRAYS[what]
    np.savez(tmp_path / "bad.npz", **arrays | {key: change(arrays[key])})
    refused(tmp_path / "bad.npz", tmp_path / "bad.npz", *parts)


@pytest.mark.parametrize("count", [1, 9])
def test_one_class_is_refused(count, arrays, tmp_path):
    one = {key: array[:count] * (key[0] == "x") for key, array in arrays.items()}
    np.savez(tmp_path / "one.npz", **one)
    refused(tmp_path / "one.npz", "one class", "two or more are needed")


def test_huge_pixels_are_refused(arrays, tmp_path):
    images = arrays["x_train"] * 1e30
    np.savez(tmp_path / "huge.npz", **arrays | {"x_train": images})
    refused(tmp_path / "huge.npz", "pixels of 3e+32", "scale them to 0..255")


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return pathlib.Path.touch, (self.file,)


@pytest.mark.parametrize("key", data.npz.KEYS)
def test_object_arrays_are_not_unpickled(key, arrays, tmp_path):
    path, crater = tmp_path / "bomb.npz", tmp_path / "crater"
    np.savez(path, **arrays | {key: np.array([Bomb(crater)], object)})
    refused(path, path, key, "never unpickled", "numbers")
    assert not crater.exists()
    np.load(path, allow_pickle=True)[key]
    assert crater.exists()


def test_missing_keys(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=[1], images=[2])
    refused(tmp_path / "a.npz", "no y_train, x_test, y_test", "holds x_train, images")


def repacked(path, member, content):
    """The .npz file's bytes with other bytes in place of one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, content(old.read(name)) if name == member else old.read(name))
    return buffer.getvalue()


def garbled(path):
    """Compressed anew, with zeros in the middle of the first array."""
    with np.load(path) as arrays:
        np.savez_compressed(path, **arrays)
    content = bytearray(path.read_bytes())
    content[2000:2100] = bytes(100)
    return bytes(content)


def npy(path):
    buffer = io.BytesIO()
    np.save(buffer, np.arange(5))
    return buffer.getvalue()


# what is wrong: (path of a good file -> the bad one's bytes, parts of the sentence)
BAD_FILES = {
    "empty": (lambda path: b"", ["not an .npz file"]),
    "text": (lambda path: b"x_train, y_train\n" * 99, ["not an .npz file"]),
    "truncated": (lambda path: path.read_bytes()[:-100], ["is incomplete", "numpy.savez"]),
    "an .npy file": (npy, ["not an .npz file"]),
    "garbled": (garbled, ["x_train is damaged"]),
    "an array cut off": (
        lambda path: repacked(path, "x_test.npy", lambda array: array[:-9]),
        ["x_test is damaged"],
    ),
    "a giant by its header": (
        lambda path: repacked(
            path,
            "x_test.npy",
            lambda a: a.replace(b"(12,", b"(9" + b"9" * 15 + b",").replace(
                b" " * 15 + b"\n", b"\n"
            ),
        ),
        ["x_test is damaged"],
    ),
    "no array inside": (
        lambda path: repacked(path, "y_train.npy", lambda array: b"hello"),
        ["y_train is not a NumPy array"],
    ),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_files(what, tiny_npz):
    content, parts = BAD_FILES[what]
    tiny_npz.write_bytes(content(tiny_npz))
    refused(tiny_npz, tiny_npz, *parts)


def test_a_file_that_claims_more_than_memory_holds(tiny_npz, monkeypatch):
    """Zeros take no room in a compressed file."""
    monkeypatch.setattr(data.npz, "memory", lambda: 10_000)
    refused(tiny_npz, tiny_npz, " bytes of arrays, but this machine has 10,000")


def test_a_pipe_named_npz(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    refused(tmp_path / "a.npz", tmp_path / "a.npz", "is a pipe, not a regular file")


def test_a_folder_named_npz(tmp_path):
    (tmp_path / "a.npz").mkdir()
    refused(tmp_path / "a.npz", tmp_path / "a.npz", "directory")


BAD_IDX = {
    "truncated": (lambda good: good[:-20], "end-of-stream"),
    "garbled": (lambda good: good[:15] + bytes(20) + good[35:], "cannot read"),
    "not compressed": (gzip.decompress, "Not a gzipped file"),
    "other numbers": (lambda good: gzip.compress(b"\0\0\x0d\1"), "not an IDX file"),
    "three bytes": (lambda good: gzip.compress(b"\0\0\x08"), "not an IDX file"),
    "empty": (lambda good: gzip.compress(b""), "not an IDX file"),
    "short": (lambda good: gzip.compress(gzip.decompress(good)[:-5]), "reshape"),
}


@pytest.mark.parametrize("what", BAD_IDX)
def test_bad_idx(what, offline, tmp_path):
    change, part = BAD_IDX[what]
    write_idx(tmp_path / "mnist", ten_classes())
    file = tmp_path / "mnist" / published.IDX_FILES[2]
    file.write_bytes(change(file.read_bytes()))
    refused("mnist", file, part, data_dir=tmp_path)


def test_an_idx_file_is_missing(offline, tmp_path):
    write_idx(tmp_path / "mnist", ten_classes())
    (tmp_path / "mnist" / published.IDX_FILES[3]).unlink()
    refused("mnist", published.IDX_FILES[3], "No such file", data_dir=tmp_path)


# repr

NO_SPLIT = data.Split(None, None)


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (data.Split(np.zeros((0, 8, 8, 1)), np.zeros(0, int)), "Split(0 images of 8x8x1 float64)"),
        (data.Split([[1]], [0]), "Split(1 images of ?)"),
        (data.Split(tf.zeros((2, 3, 3, 1)), [0, 1]), "Split(2 images of 3x3x1 float32)"),
        (data.Split(np.float32(1), np.int32(1)), "Split(? images of ? float32)"),
        (NO_SPLIT, "Split(? images of ?)"),
        (data.Dataset(NO_SPLIT, None, None, ("a",)), "Dataset(1 class, ?; train ?)"),
        (data.Dataset(None, None, None, None), "Dataset(? classes, ?; )"),
        (types.SimpleNamespace(split=NO_SPLIT), "namespace(split=Split(? images of ?))"),
    ],
)
def test_the_repr_of_anything(thing, expected):
    assert repr(thing) == expected


def test_the_repr_of_digits():
    digits = data.load("digits")
    assert repr(digits) == (
        'Dataset("digits": 10 classes, 8x8x1; train 1,293, validation 144, test 360)'
    )
    assert repr(digits.train) == "Split(1,293 images of 8x8x1 uint8, labels 0 to 9)"
    assert repr(digits.limit(20).whole()) == 'Dataset("digits": 10 classes, 8x8x1; train 60)'
    assert str(digits) == ("1,293 training, 144 validation, 360 test images of 8x8x1 in 10 classes")


def test_the_repr_of_a_folder_reads_no_file(image_folder):
    path = image_folder(train=4, val=2, test=1)
    folder = data.load(path)
    resized = folder.resized(32, "bilinear")
    for file in path.rglob("*.png"):
        file.unlink()
    assert repr(folder) == (
        f'Dataset("{path}": 3 classes, 12x10x3; train 12, validation 6, test 3)'
    )
    assert repr(folder.test) == "Split(3 images of 12x10x3 uint8, in files, labels 0 to 2)"
    assert repr(resized.test.images) == "EncodedImages(3 images of 32x32x3 float32, in files)"
    shaped = data.to_shape(data.load("digits").test, 28, 28, 3)
    assert repr(shaped.images) == "EncodedImages(360 images of 28x28x3 uint8, encoded in memory)"


# Image folders


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ({"train": 10}, (27, 3, None)),
        ({"train": 10, "test": 2}, (27, 3, 6)),
        ({"train": 10, "val": 2}, (30, 6, None)),
        ({"train": 10, "val": 2, "test": 3}, (30, 6, 9)),
    ],
)
def test_folder_splits(splits, expected, image_folder):
    folder = data.load(image_folder(**splits))
    assert sizes(folder) == expected
    assert folder.class_names == ("ant", "bee", "cat")
    assert folder.input_shape == (12, 10, 3)
    assert counts(folder.validation.labels, 3).tolist() == [expected[1] // 3] * 3


@pytest.mark.parametrize("train", ["train", "Train", "training"])
@pytest.mark.parametrize("validation", ["val", "valid", "validation", "dev", "Validation"])
def test_split_folders_of_other_names(train, validation, image_folder):
    path = image_folder(train=4, val=2, test=1)
    os.rename(path / "train", path / train)
    os.rename(path / "val", path / validation)
    os.rename(path / "test", path / "testing")
    folder = data.load(path)
    assert sizes(folder) == (12, 6, 3)
    named = {"train": train, "validation": validation, "test": "testing"}
    told = [f"{split}: {name}/" for split, name in named.items() if split != name]
    assert folder.notes == tuple(told)


def test_two_folders_for_one_split_are_refused(image_folder):
    path = image_folder(train=2, val=1, valid=1)
    refused(path, path, "has val/ and valid/, which both are validation images: keep one")


def test_class_folders_without_splits(image_folder):
    """A tenth is held out for validation and a tenth for test, by the rule of `hold_out`."""
    path = image_folder(**{"": 20})
    (path / "README.md").write_text("flowers")
    (path / "__MACOSX").mkdir()
    folder = data.load(path)
    assert sizes(folder) == (48, 6, 6)
    for split in (folder.train, folder.validation, folder.test):
        assert counts(split.labels, 3).tolist() == [len(split) // 3] * 3
    files = [set(split.images.files) for split in (folder.train, folder.validation, folder.test)]
    assert len(set.union(*files)) == 60
    everything = data.Split(np.array(sorted(path.glob("*/*.png"))), np.repeat([0, 1, 2], 20))
    _, held = data.hold_out(everything, 6)
    assert list(map(os.fsdecode, folder.test.images.files)) == list(map(str, held.images))
    assert folder.notes == (
        "without train/: a tenth is held out for validation and a tenth for test, stratified by "
        "class, the same images in every run",
        "passed over 2 files or folders without images: README.md, __MACOSX",
    )
    assert str(folder).startswith(
        "48 training, 6 validation, 6 test images of 12x10x3 in 3 classes; "
    )


def test_one_class_names_what_is_likely_to_be_meant(image_folder):
    path = image_folder(**{"train/images": 2})
    refused(
        path,
        f"{path / 'train'} has one class, 'images'",
        f"ant, bee, cat in it look like the classes: move them up into {path / 'train'}",
    )
    refused(
        path / "train",
        "one class",
        f"look like the classes or splits: name {path / 'train/images'}",
    )
    refused(path.parent, "one class, 'pictures'", f"name {path}")
    for name in ("bee", "cat"):
        shutil.rmtree(path / "train" / "images" / name)
    refused(path / "train" / "images", "has one class, 'ant'; two or more are needed")


def test_a_folder_s_name_may_be_no_utf_8(image_folder):
    path = image_folder(train=3, val=1)
    for split in ("train", "val"):
        os.rename(path / split / "bee", path / split / os.fsdecode(b"caf\xe9"))
    folder = data.load(path)
    assert folder.class_names == ("ant", "caf\ufffd", "cat")
    assert folder.train.images[3].shape == (12, 10, 3)


def test_fingerprints(arrays, tmp_path, image_folder):
    """Equal for equal data, others for another label, pixel or size; of files too."""
    changes = [{}, {}, {"y_train": 3 - arrays["y_train"]}, {"x_train": 255 - arrays["x_train"]}]
    changes += [{key: arrays[key][:32] for key in ("x_train", "y_train")}]
    found = []
    for change in changes:
        np.savez(tmp_path / "a.npz", **arrays | change)
        found.append(data.load(tmp_path / "a.npz").fingerprint())
    assert found[0] == found[1]
    path = image_folder(train=4, val=1)
    found += [data.load(path).fingerprint(), data.load(path).limit(9).fingerprint()]
    assert data.load(path).fingerprint() == found[-2]
    assert len(set(found)) == len(found) - 1


def test_folder_images_are_the_files_pixels(image_folder):
    path = image_folder(train=3, val=2)
    folder = data.load(path)
    files = sorted(path.glob("train/*/*.png"))
    expected = np.stack([np.asarray(Image.open(file)) for file in files])
    images = folder.train.images
    np.testing.assert_array_equal(images[:], expected)
    np.testing.assert_array_equal(images[2:8:3], expected[2:8:3])
    np.testing.assert_array_equal(images[np.array([8, 0])], expected[[8, 0]])
    np.testing.assert_array_equal(images[-1], expected[-1])
    np.testing.assert_array_equal(np.stack(list(images)), expected)
    np.testing.assert_array_equal(folder.train.take(slice(4, 6)).images[:], expected[4:6])
    assert folder.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_folder_limit(image_folder):
    folder = data.load(image_folder(train=10, test=2), limit=6)
    assert sizes(folder) == (6, 3, 6)
    assert folder.train.images.shape == (6, 12, 10, 3)
    assert (
        counts(folder.train.labels, 3).tolist() == counts(folder.test.labels, 3).tolist() == [2] * 3
    )


@pytest.fixture
def one_class(tmp_path):
    """A folder with room for images in train/ant, which are of another class and split as well."""
    (tmp_path / "train" / "ant").mkdir(parents=True)
    (tmp_path / "train" / "bee").symlink_to(tmp_path / "train" / "ant")
    (tmp_path / "val").symlink_to(tmp_path / "train")
    return tmp_path


def put(folder, name, pixels, mode=None, **options):
    """Save pixels, in another color mode if one is given, as train/ant/NAME."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image = image.convert(mode) if mode else image
    image.save(folder / "train" / "ant" / name, **options)
    return image


NOISE = np.random.default_rng(2).integers(0, 256, (40, 60, 3), "uint8")


@pytest.mark.parametrize(
    ("shapes", "side"),
    [([(20, 30), (24, 18), (40, 40)], 20), ([(300, 400), (500, 300), (300, 300)], 256)],
)
def test_mixed_sizes_become_one_square(shapes, side, one_class):
    for i, (height, width) in enumerate(shapes):
        put(one_class, f"{i}.png", Image.fromarray(NOISE).resize((width, height)))
    folder = data.load(one_class)
    assert folder.input_shape == (side, side, 3)
    for split in (folder.train, folder.validation):
        assert split.images[:].shape[1:] == (side, side, 3)


@pytest.mark.parametrize(
    ("shape", "box"),  # of the 20x20 set: what is seen of the image, as Pillow counts
    [
        ((20, 36), (8, 0, 28, 20)),  # cropped alone
        ((40, 60), (10, 0, 50, 40)),  # and halved
        ((15, 10), (0, 2, 10, 12)),  # and doubled
        ((1, 60), (29, 0, 30, 1)),
    ],
)
def test_an_image_of_another_size_is_cropped_and_scaled(shape, box, one_class):
    for name in "bcd":
        put(one_class, f"{name}.png", NOISE[:20, :20])
    image = put(one_class, "a.png", NOISE[: shape[0], : shape[1]])
    scaled = image.crop(box).resize((20, 20), Image.Resampling.BILINEAR)
    ours = data.load(one_class).train.images[0]
    np.testing.assert_allclose(ours, np.asarray(scaled), atol=1)


GRAY = NOISE[..., 0]


# what: (file name, pixels, mode, options, channels that the folder has)
FORMS = {
    "gray PNG": ("a.png", GRAY, None, {}, 1),
    "gray JPEG": ("a.jpg", GRAY, None, {}, 1),
    "bilevel PNG": ("a.png", NOISE, "1", {}, 1),
    "PNG with palette": ("a.png", NOISE, "P", {}, 3),
    "GIF": ("a.gif", NOISE, "P", {}, 3),
    "gray GIF": ("a.gif", GRAY, None, {}, 1),
    "animated GIF": (
        "a.gif",
        NOISE,
        "P",
        {"save_all": True, "append_images": [Image.new("P", (60, 40))]},
        3,
    ),
    "BMP": ("a.bmp", NOISE, None, {}, 3),
    "gray BMP": ("a.bmp", GRAY, None, {}, 1),
    "BMP with palette": ("a.bmp", NOISE, "P", {}, 3),
    "BMP of two colors": ("a.bmp", NOISE, "1", {}, 1),
    "WebP": ("a.webp", NOISE, None, {"lossless": True}, 3),
    "WebP called JPEG": ("a.jpg", NOISE, None, {"format": "WEBP"}, 3),
    "TIFF": ("a.tif", NOISE, None, {"compression": "tiff_lzw"}, 3),
    "CMYK TIFF": ("a.tiff", NOISE, "CMYK", {}, 3),
    "PPM": ("a.ppm", NOISE, None, {}, 3),
    "PGM": ("a.pgm", GRAY, None, {}, 1),
    "JPEG 2000": ("a.jp2", NOISE, None, {}, 3),
    "AVIF": ("a.avif", NOISE, None, {}, 3),
    "JPEG of Chrome": ("a.jfif", NOISE, None, {"format": "JPEG"}, 3),
    "no ending": ("a", NOISE, None, {"format": "PNG"}, 3),
    "another ending": ("a.dat", NOISE, None, {"format": "PNG"}, 3),
    "CMYK JPEG": ("a.jpg", NOISE, "CMYK", {"quality": 100}, 3),
    "JPEG called PNG": ("a.png", NOISE, None, {"format": "JPEG"}, 3),
    "upper case": ("A.JPG", NOISE, None, {}, 3),
    "spaces and accents": ("à propos — 写真 %20 100%.jpeg", NOISE, None, {}, 3),
    "a name that is no UTF-8": ("caf\udce9.png", NOISE, None, {}, 3),
}


@pytest.mark.parametrize("what", FORMS)
def test_image_forms(what, one_class):
    name, pixels, mode, options, channels = FORMS[what]
    put(one_class, name, pixels, mode, **options)
    folder = data.load(one_class)
    assert folder.input_shape == (40, 60, channels)
    with Image.open(one_class / "train" / "ant" / name) as image:
        expected = np.asarray(image.convert("RGB" if channels == 3 else "L"), int)
    np.testing.assert_array_equal(folder.train.images[0], expected.reshape(40, 60, channels))


def test_gray_among_color_becomes_color(image_folder):
    path = image_folder(train=2, val=1)
    put(path, "0.png", GRAY[:12, :10])
    images = data.load(path).train.images
    np.testing.assert_array_equal(images[0], np.stack([GRAY[:12, :10]] * 3, -1))


def test_what_lies_around_in_a_folder(image_folder, tmp_path):
    """Counted: what is nested or linked. Named: hidden, other files, thumbnails, loops."""
    path = image_folder(train=1, val=1)
    ant = path / "train" / "ant"
    for folder in ("d.jpg/deep", ".ipynb_checkpoints"):
        (ant / folder).mkdir(parents=True)
        put(path, f"{folder}/1.png", NOISE[:12, :10])
    (ant / "._0.png").write_bytes(b"of a Mac")
    (ant / "notes.txt").write_text("not an image")
    (ant / "@eaDir").mkdir()
    put(path, "@eaDir/0.png", NOISE[:12, :10])
    os.mkfifo(ant / "pipe")
    (ant / "gone").symlink_to("nowhere")
    (tmp_path / "elsewhere").mkdir()
    Image.fromarray(NOISE[:12, :10]).save(tmp_path / "elsewhere" / "5.png")
    (ant / "linked").symlink_to(tmp_path / "elsewhere")
    (ant / "loop").symlink_to(path)
    (ant / "link.png").symlink_to(ant / "0.png")
    (path / "train" / ".hidden").mkdir()
    (path / "train" / "dog").symlink_to(path / "train" / "cat")
    (path / "val" / "dog").symlink_to(path / "val" / "cat")
    folder = data.load(path)
    assert folder.class_names == ("ant", "bee", "cat", "dog")
    assert counts(folder.train.labels, 4).tolist() == [4, 1, 1, 1]
    assert folder.notes == (
        "validation: val/",
        "passed over 8 files or folders without images: train/.hidden, train/ant/._0.png, "
        "train/ant/.ipynb_checkpoints ...",
    )


def truncated(image_format, share):
    """The first part of an image file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(NOISE[:12, :10]).save(buffer, image_format, quality=100)
    return buffer.getvalue()[: int(len(buffer.getvalue()) * share)]


def write(name, content):
    return lambda path: (path / name).write_bytes(content)


# A header alone: file size, offset of the pixels; header size, width, height, planes, bits ...
HUGE_BMP = b"BM" + struct.pack("<IIIIiiHH6I", 54, 0, 54, 40, 10001, 10000, 1, 24, *[0] * 6)

# what is wrong: (what happens to the good folder, parts of the sentence)
BAD_FOLDERS = {
    "no train folder": (lambda path: (path / "train").rename(path / "gone"), ["train/CLASS/"]),
    "empty class": (lambda path: (path / "train" / "dog").mkdir(), ["train/dog has no image"]),
    "class without validation": (
        lambda path: (path / "val" / "bee").rename(path / "bee"),
        ["val/bee", "no image"],
    ),
    "class that train lacks": (lambda path: (path / "val" / "dog").mkdir(), ["val", "'dog'"]),
    "empty file": (write("train/ant/0.png", b""), ["train/ant/0.png", "not an image"]),
    "text": (write("val/ant/0.png", b"hello" * 99), ["val/ant/0.png", "remove or replace"]),
    "header cut off": (write("train/ant/0.png", truncated("PNG", 0.02)), ["train/ant/0.png"]),
    "too large": (write("train/ant/9.bmp", HUGE_BMP), ["ant/9.bmp has 10001x10000", "scale"]),
    "dangling link": (
        lambda path: (path / "train/bee/9.png").symlink_to("gone.png"),
        ["bee/9.png", "No such file"],
    ),
    "link to itself": (
        lambda path: (path / "train/bee/9.png").symlink_to("9.png"),
        ["bee/9.png", "symbolic links"],
    ),
}


@pytest.mark.parametrize("what", BAD_FOLDERS)
def test_bad_folders(what, image_folder):
    path = image_folder(train=2, val=1)
    change, parts = BAD_FOLDERS[what]
    change(path)
    refused(path, path, *parts)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP"])
def test_truncated_images_are_named(form, image_folder):
    """Their headers are whole: it shows when they are decoded, one by one or in a stream."""
    path = image_folder(train=4, val=1)
    file = path / "train" / "bee" / "0.png"
    file.write_bytes(truncated(form, 0.9))
    folder = data.load(path)
    name = re.escape(str(file))
    with pytest.raises(
        data.DataError, match=f"cannot read the image {name}: .*; remove or replace it"
    ):
        folder.train.images[4]
    with pytest.raises(data.DataError, match=name), data.report_corrupt_images(folder):
        list(data.stream(folder.train, batch_size=4, seed=0).take(3))


def test_an_image_that_vanishes_is_named(image_folder):
    path = image_folder(train=2, val=1)
    folder = data.load(path)
    (path / "val" / "cat" / "0.png").unlink()
    with pytest.raises(data.DataError, match=r"val/cat/0\.png"), data.report_corrupt_images(folder):
        list(data.stream(folder.validation, batch_size=3, seed=0, shuffle=False))
