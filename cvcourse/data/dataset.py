"""Datasets: three splits, checked once, and the statistics of the training split."""

import dataclasses
import hashlib
import os
from typing import Any

import numpy as np

from cvcourse.data.pixel_range import BYTES, RANGES, agrees, recognize, to_bytes
from cvcourse.errors import RunError


class DataError(RunError):
    """The data are missing, damaged or unsuitable; the message names the place and the remedy."""


FINGERPRINT = 16  # images of a split


def format_length(values):
    """Format the number of values; "?" if they have no length, since a `repr` must not raise."""
    try:
        return f"{len(values):,}"
    except TypeError:
        return "?"


def format_size(images):
    """Format the size of images (n, h, w, c) as "hxwxc"."""
    return "x".join(map(str, getattr(images, "shape", ())[1:])) or "?"


def describe_images(images):
    """Describe images for a `repr`: their number, size and type, and where encoded images are."""
    place = {True: ", encoded in memory", False: ", in files"}
    dtype = getattr(images, "dtype", "")
    dtype = getattr(dtype, "name", dtype)  # TensorFlow's has a name
    text = f"{format_length(images)} images of {format_size(images)} {dtype}".rstrip()
    return text + place.get(getattr(images, "in_memory", None), "")


@dataclasses.dataclass(frozen=True)
class Split:
    """Images and their labels.

    Args:
        images: Array (n, h, w, c), or a sequence of this shape whose images are decoded when read.
        labels: Class numbers (n,), int32.

    >>> Split(np.zeros((2, 8, 8, 1), "uint8"), np.array([0, 1], "int32"))
    Split(2 images of 8x8x1 uint8, labels 0 to 1)
    """

    images: Any
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)

    def __repr__(self):
        labels = self.labels
        known = isinstance(labels, np.ndarray) and labels.size and labels.dtype.kind in "iu"
        classes = f", labels {labels.min()} to {labels.max()}" if known else ""
        return f"Split({describe_images(self.images)}{classes})"

    def take(self, examples):
        """Return a split of some examples, given by a slice or an array of indices."""
        lazy = not isinstance(self.images, np.ndarray)
        images = self.images.take(examples) if lazy else self.images[examples]
        return Split(images, self.labels[examples])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Three splits of raw images of 0..255.

    Args:
        train: The training split.
        validation: The validation split; None for a set loaded `whole`.
        test: The test split, or None.
        class_names: Names of the classes 0, 1, ….
        pixel_range: Range of the pixels in the original arrays.
        notes: How the data were changed, and which files were left out.
        held_out: Names of the splits that were held out of `train` here.
        name: Name of the dataset.

    >>> from cvcourse import data
    >>> data.load("digits").num_classes
    10
    """

    train: Split
    validation: Split | None
    test: Split | None
    class_names: tuple[str, ...]
    pixel_range: str = BYTES
    notes: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    name: str = ""

    def __repr__(self):
        splits = ((name, getattr(self, name)) for name in ("train", "validation", "test"))
        counts = ", ".join(
            f"{name} {format_length(getattr(split, 'labels', None))}"
            for name, split in splits
            if split is not None
        )
        name = f'"{self.name}": ' if self.name else ""
        size = format_size(getattr(self.train, "images", None))
        classes = format_length(self.class_names)
        noun = "class" if classes == "1" else "classes"
        return f"Dataset({name}{classes} {noun}, {size}; {counts})"

    def __str__(self):
        training = "training" if self.validation else ""
        parts = {training: self.train, "validation": self.validation, "test": self.test}
        counts = [f"{len(split):,} {name}".strip() for name, split in parts.items() if split]
        shape = "x".join(map(str, self.input_shape))
        text = f"{', '.join(counts)} images of {shape} in {self.num_classes:,} classes"
        return "; ".join([text, *self.notes])

    @property
    def input_shape(self):
        """(h, w, c) of the images."""
        return tuple(int(side) for side in self.train.images.shape[1:])

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self.class_names)

    def require_examples(self, least, source):
        """Check that the training split has enough images of each class.

        Args:
            least: Minimum number of images of each class.
            source: Name of the data, for the error.

        Raises:
            ValueError: If a class has fewer; the message names the class with the fewest images.
        """
        counts = np.bincount(self.train.labels, minlength=self.num_classes)
        if counts.min() < least:
            raise ValueError(
                f"{source} has {counts.min()} training images of "
                f"{self.class_names[counts.argmin()]}: {least} or more are needed"
            )

    def fingerprint(self):
        """Hash of all labels and a few images; identifies the training data."""
        digest = hashlib.sha256(repr((self.input_shape, self.class_names)).encode())
        for split in (self.train, self.validation):
            digest.update(split.labels.tobytes())
            few = np.unique(np.linspace(0, len(split) - 1, FINGERPRINT).astype(int))
            digest.update(split.images[few].tobytes())
        return digest.hexdigest()

    def resized(self, side, interpolation, *, crop=True):
        """Return the dataset with image files decoded to side x side; arrays do not change.

        Images of another aspect ratio are cropped, or squashed if `crop` is False.
        """
        splits = {
            name: dataclasses.replace(
                split, images=split.images.resized(side, interpolation, crop=crop)
            )
            for name in ("train", "validation", "test")
            if (split := getattr(self, name)) and not isinstance(split.images, np.ndarray)
        }
        return dataclasses.replace(self, **splits)

    def whole(self):
        """Return the dataset with the examples of all splits in one, `train`."""
        splits = [split for split in (self.train, self.validation, self.test) if split]
        images = [split.images for split in splits]
        if isinstance(images[0], np.ndarray):
            images = np.concatenate(images)
        else:
            images = images[0].joined(images[1:])
        labels = np.concatenate([split.labels for split in splits])
        split = Split(images, labels)
        return dataclasses.replace(self, train=split, validation=None, test=None, held_out=())

    def limit(self, n):
        """Return the dataset with `n` examples of each split, stratified as in `hold_out`.

        A split with fewer examples does not change.
        """

        def few(split):
            return hold_out(split, n)[1] if split and n < len(split) else split

        return dataclasses.replace(
            self, train=few(self.train), validation=few(self.validation), test=few(self.test)
        )


def hold_out(split: Split, count: int) -> tuple[Split, Split]:
    """Hold out some examples of a split, stratified by class.

    The choice is a fixed rule and does not depend on the run's seed: evenly spaced examples after
    one permutation and a sort by class. The share of each class is kept to within one example.

    Args:
        split: A split of n examples.
        count: Number of examples to hold out.

    Returns:
        A pair of splits, each in the original order: n - count examples, and count examples.

    >>> split = Split(np.zeros((6, 8, 8, 1)), np.array([0, 0, 0, 0, 1, 1]))
    >>> rest, held_out = hold_out(split, 3)
    >>> rest.labels, held_out.labels
    (array([0, 0, 1]), array([0, 0, 1]))
    """
    permuted = np.random.default_rng(231).permutation(len(split))  # the course's number
    by_class = permuted[np.argsort(split.labels[permuted], kind="stable")]
    held = np.zeros(len(split), bool)
    held[by_class[np.arange(count) * len(split) // count]] = True
    return split.take(np.flatnonzero(~held)), split.take(np.flatnonzero(held))


def dataset(
    train, test, class_names=None, *, validation=None, where, notes=(), held_out=(), whole=False
):
    """Check splits and make a Dataset; without `validation`, hold out a stratified 10 % of `train`.

    `where` names the source in errors. With `whole`, nothing is held out, and one class or image is
    enough. Raises DataError for images that are not (n, h, w, 1 or 3), not finite, not of one size
    or not in a known range of pixels, for invalid labels, and for a single class.
    """
    splits = {"train": train, "validation": validation, "test": test}
    splits = {
        name: _checked(split, f"{where}: {name}")
        for name, split in splits.items()
        if split is not None
    }
    train = splits["train"]
    count = len(class_names) if class_names else int(train.labels.max()) + 1
    for name, split in splits.items():
        if split.images.shape[1:] != train.images.shape[1:]:
            raise DataError(
                f"{where}: {name} images are {split.images.shape[1:]}, train's are "
                f"{train.images.shape[1:]}: all splits need one size"
            )
        if split.labels.max() >= count:
            raise DataError(
                f"{where}: {name} has the label {split.labels.max()}, the classes are "
                f"0 to {count - 1}: renumber the labels"
            )
    present = np.unique(train.labels)
    if len(present) < count:
        absent = np.flatnonzero(np.append(present, count) != np.arange(len(present) + 1))[0]
        named = f" {class_names[absent]!r}" if class_names else ""
        raise DataError(
            f"{where}: no training image of class {absent}{named} of 0 to {count - 1}: "
            "renumber the labels from 0, or add images"
        )
    if count < 2 and not whole:
        raise DataError(f"{where} has one class: two or more are needed")
    splits, pixel_range = _in_bytes(splits, where)
    train, notes = splits["train"], list(notes)
    if pixel_range != BYTES:
        notes.append(f"pixels of {pixel_range} scaled to {BYTES}")
    if "validation" not in splits and not whole:
        splits["train"], splits["validation"] = hold_out(train, max(1, round(len(train) / 10)))
        held_out = (*held_out, "validation")
    # Printable: the name of a folder may not be UTF-8.
    names = [
        os.fsencode(str(name)).decode(errors="replace") for name in class_names or range(count)
    ]
    splits = (splits["train"], splits.get("validation"), splits.get("test"))
    return Dataset(*splits, tuple(names), pixel_range, tuple(notes), tuple(held_out))


def _in_bytes(splits, where):
    """Scale arrays to 0..255, and return ({name: Split}, their original range)."""
    images = splits["train"].images
    if not isinstance(images, np.ndarray):
        return splits, BYTES
    pixel_range = recognize(images)
    if pixel_range is None:
        raise DataError(
            f"{where}: train images are {images.dtype} of {images.min():g} to {images.max():g}, "
            f"which is not clearly one of {', '.join(RANGES)} (uint16): scale them to {BYTES}; "
            "models standardize images themselves"
        )
    for name, split in splits.items():
        if name != "train" and not agrees(split.images, pixel_range):
            raise DataError(
                f"{where}: train images are in {pixel_range}, {name} images go from "
                f"{split.images.min():g} to {split.images.max():g}: scale all to {BYTES}"
            )
    splits = {
        name: Split(to_bytes(split.images, pixel_range), split.labels)
        for name, split in splits.items()
    }
    return splits, pixel_range


def _checked(split, where):
    """Return the split with channels and int32 labels. Raises DataError if it is not valid."""
    images, labels = split.images, np.asarray(split.labels)
    if images.shape[:1] == (0,):
        raise DataError(f"{where} has no images")
    lazy = not isinstance(images, np.ndarray)
    if not lazy and images.ndim == 3:
        images = images[..., None]
    if len(images.shape) != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise DataError(
            f"{where} images have the shape {images.shape}: (n, height, width) or "
            "(n, height, width, channels) with 1 (gray) or 3 (RGB) channels is needed"
        )
    if not lazy:
        images = _checked_pixels(images, where)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        raise DataError(
            f"{where} has labels of shape {labels.shape}: one number per image is needed; "
            "for one-hot rows use argmax(axis=1)"
        )
    if labels.shape != (len(images),):
        raise DataError(
            f"{where} has {len(images)} images and labels of shape {labels.shape}: "
            "one label per image is needed"
        )
    if labels.dtype.kind not in "iufb":
        raise DataError(f"{where} has labels of type {labels.dtype}: number the classes from 0")
    broken = labels != np.floor(labels)  # NaN too
    if broken.any():
        raise DataError(
            f"{where} has the label {labels[broken.argmax()]}: whole numbers from 0 are needed"
        )
    if labels.min() < 0:
        raise DataError(f"{where} has the negative label {labels.min()}: number the classes from 0")
    if labels.max() >= 2**31:
        raise DataError(f"{where} has the label {labels.max()}: number the classes from 0")
    return Split(images, labels.astype("int32"))


LARGEST_PIXEL = 1e15  # so that the variance fits into float32


def _checked_pixels(images, where):
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iufb":
        raise DataError(f"{where} images are of type {images.dtype}: numbers are needed")
    if images.dtype.kind != "f":
        return images
    with np.errstate(over="ignore"):
        images = images.astype("float32")
    bad = ~np.isfinite(images).all(axis=(1, 2, 3))
    if not bad.any() and abs(images).max() > LARGEST_PIXEL:
        raise DataError(
            f"{where} images have pixels of {abs(images).max():.0e}: scale them to 0..255"
        )
    if bad.any():
        raise DataError(
            f"{where} has NaN or infinite pixels, first in image {bad.argmax()}: repair or drop it"
        )
    return images


LAZY_SAMPLE = 2_000  # images: enough for a mean, without decoding a large folder twice
AT_ONCE = 2**23  # pixels in memory: 64 MiB of float64


def channel_statistics(split: Split) -> tuple[list[float], list[float]]:
    """Compute mean and variance of the pixels of a split, by channel.

    Args:
        split: Split of images (n, h, w, c). Of an array, all images are used; of encoded images,
            LAZY_SAMPLE evenly spaced ones.

    Returns:
        Two lists of c floats, in units of the pixels, 0..255.

    >>> channel_statistics(Split(np.array([[[[0]]], [[[10]]]], "uint8"), np.array([0, 1])))
    ([5.0], [25.0])
    """
    lazy = not isinstance(split.images, np.ndarray)
    count = min(len(split), LAZY_SAMPLE) if lazy else len(split)
    chosen = np.arange(count) * len(split) // count
    step = max(1, AT_ONCE // int(np.prod(split.images.shape[1:])))
    total: Any = 0
    total_of_squares: Any = 0
    pixels = 0
    for start in range(0, count, step):
        images = np.asarray(split.images[chosen[start : start + step]], "float64")
        pixels += images[..., 0].size
        total = total + images.sum((0, 1, 2))
        total_of_squares = total_of_squares + (images**2).sum((0, 1, 2))
    mean = total / pixels
    return mean.tolist(), np.maximum(total_of_squares / pixels - mean**2, 1e-8).tolist()
