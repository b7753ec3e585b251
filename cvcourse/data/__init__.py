"""Datasets with three splits, and deterministic streams of a split: `load()`, then `stream()`."""

import dataclasses
import os
import pathlib
from typing import Any

from cvcourse.data import digits, folder, npz, published, tfds
from cvcourse.data._stream import steps_per_epoch, stream
from cvcourse.data.augmentation import AUGMENTATIONS, MIXTURES
from cvcourse.data.captions import CaptionedPhoto, Captions, load_captions
from cvcourse.data.dataset import DataError, Dataset, Split, channel_statistics, hold_out
from cvcourse.data.encoded import report_corrupt_images, to_shape
from cvcourse.data.folder import photos
from cvcourse.data.photo import read_photo
from cvcourse.data.text import load_text, read_text, split_text
from cvcourse.data.token_stream import (
    fingerprint_rows,
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
    "fingerprint_rows",
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
    "to_shape",
    "unspaced",
    "usual_augmentation",
    "windows_in_order",
    "windows_per_epoch",
    "words",
]

# Digits and letters: a mirror image is another character, or none.
NEVER_FLIPPED = (
    *("digits", "mnist", "mnist_corrupted", "binarized_mnist", "emnist", "kmnist", "kuzushiji"),
    *("svhn_cropped", "omniglot", "binary_alpha_digits", "qmnist"),
)
NAMES = ("digits", *published.PUBLISHED, "tfds:NAME", "a folder", "an .npz file")


def load(
    name: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    limit: int | None = None,
    whole: bool = False,
) -> Dataset:
    """Load a dataset.

    If it has no validation split, a fixed stratified 10 % of train is held out.

    Args:
        name: "digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "tfds:NAME", an image
            folder or an .npz file.
        data_dir: Folder in which published sets are looked for first.
        limit: Number of examples of each split to keep, stratified by class; None keeps all.
        whole: Whether to put all examples into one split, `train`, to evaluate a model on. A folder
            may then have a single class.

    Returns:
        A Dataset with `.train`, `.validation` and `.test`, each with `.images` (n, h, w, c) of
        pixels 0..255 and `.labels` (n,). Arrays of another known range are scaled to 0..255.

    Raises:
        ValueError: If the name is unknown.
        DataError: If the data are missing, damaged or unsuitable.

    >>> digits = load("digits")
    >>> digits
    Dataset("digits": 10 classes, 8x8x1; train 1,293, validation 144, test 360)
    >>> digits.train.images.shape, digits.train.labels.shape
    ((1293, 8, 8, 1), (1293,))
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
        raise ValueError(unknown("dataset", name, NAMES))
    if whole and data.validation:
        data = data.whole()
    data = dataclasses.replace(data, name=name)
    return data.limit(limit) if limit else data


def of(config: Any) -> Dataset:
    """Load the dataset of a recipe's config, and print its sizes in one line.

    Args:
        config: Config with the fields `dataset`, `data_dir` and `limit`.

    Returns:
        A Dataset.

    Raises:
        ValueError: As `load`.
        DataError: As `load`.
    """
    loaded = load(config.dataset, data_dir=config.data_dir, limit=config.limit)
    print(f"{config.dataset}: {loaded}", flush=True)
    return loaded


def usual_augmentation(name: str) -> tuple[str, ...]:
    """Return the usual augmentations of a dataset.

    Photographs are cropped and flipped, digits and letters are shifted. An .npz file may contain
    either, so its images are shifted.

    Args:
        name: Name of a dataset, as for `load`.

    Returns:
        Keys of `AUGMENTATIONS`.

    >>> usual_augmentation("cifar10")
    ('crop', 'flip')
    """
    stem = name.removeprefix("tfds:").split("/")[0]
    if stem in NEVER_FLIPPED or pathlib.Path(name).suffix.lower() == ".npz":
        return ("shift",)
    return ("crop", "flip")


__getattr__ = renamed_attributes(
    __name__,
    fingerprint="fingerprint_rows",
    fitted="to_shape",
    naming_broken_images="report_corrupt_images",
)
