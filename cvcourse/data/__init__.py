"""Data sets as three splits, and splits as one deterministic stream: `load()`, then `stream()`."""

import os
import pathlib

from cvcourse.data import digits, folder, npz, published, tfds
from cvcourse.data._stream import steps_per_epoch, stream
from cvcourse.data.augmentation import AUGMENTATIONS, MIXTURES
from cvcourse.data.captions import CaptionedPhoto, Captions, load_captions
from cvcourse.data.dataset import DataError, Dataset, Split, channel_statistics, hold_out
from cvcourse.data.encoded import fitted, report_corrupt_images
from cvcourse.data.folder import photos
from cvcourse.data.photo import read_photo
from cvcourse.data.text import load_text, read_text, split_text
from cvcourse.data.token_stream import (
    fingerprint,
    stream_rows,
    stream_windows,
    windows_in_order,
    windows_per_epoch,
)
from cvcourse.deprecation import renamed_attributes
from cvcourse.errors import unknown
from cvcourse.vocabulary import END, PAD, SPECIAL, START, UNK, Vocabulary, unspaced, words

__all__ = [
    "AUGMENTATIONS",
    "END",
    "MIXTURES",
    "PAD",
    "SPECIAL",
    "START",
    "UNK",
    "CaptionedPhoto",
    "Captions",
    "DataError",
    "Dataset",
    "Split",
    "Vocabulary",
    "channel_statistics",
    "fingerprint",
    "fitted",
    "hold_out",
    "load",
    "load_captions",
    "load_text",
    "of",
    "photos",
    "read_photo",
    "read_text",
    "report_corrupt_images",
    "split_text",
    "steps_per_epoch",
    "stream",
    "stream_rows",
    "stream_windows",
    "unspaced",
    "usual_augmentation",
    "windows_in_order",
    "windows_per_epoch",
    "words",
]

# Digits and letters, which a mirror turns into others.
NEVER_FLIPPED = (
    *("digits", "mnist", "mnist_corrupted", "binarized_mnist", "emnist", "kmnist", "kuzushiji"),
    *("svhn_cropped", "omniglot", "binary_alpha_digits", "qmnist"),
)
NAMES = ("digits", *published.PUBLISHED, "tfds:NAME", "a folder", "an .npz file")


def load(name, *, data_dir=None, limit=None, whole=False):
    """A data set as `.train .validation .test`: `.images` (n, h, w, c) and `.labels` (n,) each.

    `name` is digits, mnist, fashion_mnist, cifar10, cifar100, tfds:NAME, an image folder or an
    .npz file. `data_dir` is where published sets are looked for first, `limit` keeps n examples of
    each split, stratified by class. Where a set has no validation split, a fixed stratified 10 % of
    train is held out; `whole` puts all examples into one split, `train`, to evaluate a model on: a
    folder may then have one class. Pixels are in 0..255, whatever range those of an array were in.
    Raises ValueError for an unknown name, DataError for anything amiss in the data.
    """
    name = str(name)
    path = pathlib.Path(os.path.expanduser(name))
    if name == "digits":
        data = digits.load()
    elif name in published.PUBLISHED:
        data = published.load(name, data_dir)
    elif name.startswith("tfds:"):
        data = tfds.load(name.removeprefix("tfds:"), data_dir)
    elif path.suffix.lower() == ".npz":
        data = npz.load(path)
    elif name and os.path.isdir(path):
        data = folder.load(path, whole=whole)
    elif os.sep in name:
        raise DataError(f"there is no folder or .npz file {path}")
    else:
        raise ValueError(unknown("data set", name, NAMES))
    if whole and data.validation:
        data = data.whole()
    return data.limit(limit) if limit else data


def of(config):
    """Load the data set that a recipe's config names, and print what it holds in one line.

    Args:
        config: with the fields `dataset`, `data_dir` and `limit`.

    Returns:
        A Dataset.

    Raises:
        ValueError, DataError: as `load`.
    """
    loaded = load(config.dataset, data_dir=config.data_dir, limit=config.limit)
    print(f"{config.dataset}: {loaded}", flush=True)
    return loaded


def usual_augmentation(name):
    """What is usual for a data set: photographs are cropped and flipped, digits only shifted.

    So is an .npz file, which does not say what its pictures are of.
    """
    stem = name.removeprefix("tfds:").split("/")[0]
    if stem in NEVER_FLIPPED or pathlib.Path(name).suffix.lower() == ".npz":
        return ("shift",)
    return ("crop", "flip")


__getattr__ = renamed_attributes(__name__, naming_broken_images="report_corrupt_images")
