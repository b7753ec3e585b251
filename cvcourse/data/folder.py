"""An image folder: PATH/train/CLASS/*.jpg, and val/ and test/ of the same form where there are any."""

import collections
import pathlib

import numpy as np

from cvcourse.data.dataset import DataError, Split, dataset
from cvcourse.data.encoded import EncodedImages

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")  # what tf.io.decode_image reads
LARGEST = 256  # pixels: the side that images of differing sizes are brought to, at most


def load(path):
    """The folder as a Dataset; its images stay on disk and are decoded when needed.

    If all images are of one size, that is theirs; otherwise all are brought to one square, as
    large as the median short side, at most LARGEST. Raises DataError for a missing train/, an
    empty class, a class that train/ does not have, or a file that is no image.
    """
    path = pathlib.Path(path)
    classes = _folders(path / "train")
    if not classes:
        raise DataError(f"{path} has no class folders train/CLASS/ with images in them")
    splits = {}
    for name in ("train", "val", "test"):
        if name == "train" or (path / name).is_dir():
            splits[name] = _files_and_labels(path / name, classes)
    sizes, modes = _measure([file for files, _ in splits.values() for file in files])
    channels = 1 if modes <= {"L", "1", "LA", "I;16"} else 3
    splits = {
        name: Split(EncodedImages([str(file) for file in files], _size(sizes), channels), labels)
        for name, (files, labels) in splits.items()
    }
    return dataset(
        splits["train"], splits.get("test"), classes, validation=splits.get("val"), where=str(path)
    )


def _folders(path):
    if not path.is_dir():
        return []
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and entry.name[0] != ".")


def _files_and_labels(path, classes):
    """A split's files, class by class and sorted by name, and their labels."""
    strangers = set(_folders(path)) - set(classes)
    if strangers:
        raise DataError(f"{path} has the class {min(strangers)!r}, which train/ does not have")
    files, labels = [], []
    for label, name in enumerate(classes):
        folder = path / name
        found = sorted(
            file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file()
        )
        if not found:
            raise DataError(f"the class folder {folder} has no image ({', '.join(ENDINGS)})")
        files += found
        labels += [label] * len(found)
    return files, np.array(labels)


def _measure(files):
    """How often each (height, width) occurs, and the color modes: headers are read, not pixels."""
    from PIL import Image

    sizes, modes = collections.Counter(), set()
    for file in files:
        try:
            with Image.open(file) as image:
                sizes[image.height, image.width] += 1
                modes.add(image.mode)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"cannot read the image {file}: {error}; remove or replace it") from error
    return sizes, modes


def _size(sizes):
    if len(sizes) == 1:
        return next(iter(sizes))
    short = np.median([min(size) for size in sizes.elements()])
    return (min(LARGEST, int(short)),) * 2
