"""An image folder: PATH/train/CLASS/*.jpg, and val/ and test/ of the same form, if any."""

import collections
import os
import pathlib

import numpy as np

from cvcourse.data.dataset import DataError, Split, dataset, reason
from cvcourse.data.encoded import EncodedImages
from cvcourse.data.photo import opened

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")  # what tf.io.decode_image reads
OTHER_ENDINGS = (".webp", ".tif", ".tiff", ".avif", ".heic")  # named rather than passed over
FORMATS = ("JPEG", "MPO", "PNG", "BMP", "GIF")  # the same, as Pillow names the contents
GRAY = ("1", "L", "LA", "I", "I;16")  # Pillow's modes
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
    sizes, channels = _measure([file for files, _ in splits.values() for file in files])
    splits = {
        name: Split(EncodedImages(list(map(os.fsencode, files)), _size(sizes), channels), labels)
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
        found = sorted(file for file in folder.rglob("*") if _is_image(file, folder))
        if not found:
            raise DataError(f"the class folder {folder} has no image ({', '.join(ENDINGS)})")
        files += found
        labels += [label] * len(found)
    return files, np.array(labels)


def _is_image(file, folder):
    """By its name, unless hidden (.ipynb_checkpoints). A dangling link is one, to be reported."""
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    if hidden or file.suffix.lower() not in ENDINGS + OTHER_ENDINGS:
        return False
    return file.is_file() or (file.is_symlink() and not file.exists())


def _measure(files):
    """How often each (height, width) occurs, and the channels: headers are read, not pixels."""
    from PIL import Image, UnidentifiedImageError

    sizes, gray = collections.Counter(), True
    for file in files:
        try:
            with opened(file) as image:
                kind = image.format, image.mode
                sizes[image.height, image.width] += 1
        except UnidentifiedImageError as error:
            raise DataError(f"{file} is not an image; remove or replace it") from error
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(
                f"cannot read the image {file}: {reason(error)}; remove or replace it"
            ) from error
        if kind[0] not in FORMATS or kind in (("BMP", "1"), ("BMP", "P")):
            raise DataError(f"{file} is in the form {' '.join(kind)}; save it as JPEG or PNG")
        gray = gray and kind[0] in ("JPEG", "PNG") and kind[1] in GRAY
    return sizes, 1 if gray else 3


def _size(sizes):
    if len(sizes) == 1:
        return next(iter(sizes))
    short = np.median([min(size) for size in sizes.elements()])
    return (min(LARGEST, int(short)),) * 2
