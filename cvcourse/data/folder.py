"""An image folder: PATH/CLASS/*.jpg, or PATH/train/CLASS/*.jpg with validation and test beside it.

All that lies in it is used or named: each file that is an image by its contents, whatever it is
called, in class folders, folders in these and folders linked from these.
"""

import collections
import os
import pathlib

import numpy as np

from cvcourse.data.dataset import DataError, Split, dataset, hold_out
from cvcourse.data.encoded import EncodedImages
from cvcourse.data.photo import SUFFIXES, NoImage, read_header

SPLITS = {  # what their folders may be called, in upper or lower case
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
THUMBNAILS = ("@eadir", "__macosx", ".thumbnails")  # and what else is hidden
LARGEST = 256  # pixels: the side that images of differing sizes are brought to, at most
SHARE = 10  # one of so many examples is held out for validation, and one for test
SHOWN = 3  # names in a list


def load(path, *, whole=False):
    """Load an image folder; its images stay on disk and are decoded when needed.

    If all images are of one size, that is theirs; otherwise all are brought to one square, as
    large as the median short side, at most LARGEST. Where there is no train/, a tenth of each class
    is held out for validation and another for test.

    Args:
        path: of the folder.
        whole: hold nothing out; all images are in one split, and one class of one image will do.

    Returns:
        A Dataset, whose notes say what was held out and what was passed over.

    Raises:
        DataError: for one class, an empty class, a class that train/ does not have, two folders
            for one split, or a file with an image's name that is none.
    """
    path = pathlib.Path(path)
    passed = []
    parts = _split_folders(path, passed)
    classes = _class_folders(parts.get("train", path), [])
    _require_classes(path, parts, classes, enough=1 if whole else 2)
    found = {
        name: _files_and_labels(folder, classes, passed)
        for name, folder in (parts or {"train": path}).items()
    }
    headers = [header for _, headers, _ in found.values() for header in headers]
    size, channels = _size(headers), 1 if all(header.gray for header in headers) else 3
    splits = {}
    for name, (files, headers, labels) in found.items():
        routes = [header.route_to(channels) for header in headers]
        files = list(map(os.fsencode, files))
        splits[name] = Split(EncodedImages(files, routes, size, channels), labels)
    notes = [f"{name}: {folder.name}/" for name, folder in parts.items() if folder.name != name]
    held_out = ()
    if not parts and not whole:
        held_out = ("validation", "test")
        count = max(1, round(len(splits["train"]) / SHARE))
        rest, splits["test"] = hold_out(splits["train"], count)
        splits["train"], splits["validation"] = hold_out(rest, count)
        notes.append(
            "without train/: a tenth is held out for validation and a tenth for test, "
            "stratified by class, the same images in every run"
        )
    if passed:
        notes.append(_passed_over(path, passed))
    loaded = dataset(
        splits["train"],
        splits.get("test"),
        [folder.name for folder in classes],
        validation=splits.get("validation"),
        where=str(path),
        notes=notes,
        held_out=held_out,
        whole=whole,
    )
    return loaded.whole() if whole else loaded


def photos(path):
    """Find the images in a folder and in all folders below it.

    Args:
        path: of the folder.

    Returns:
        A pair: the sorted paths of files that are images by their contents or their names, of which
        the latter may be damaged, and a note of what was passed over, which may be empty.

    Raises:
        DataError: for a folder that cannot be read.
    """
    path, passed = pathlib.Path(path), []
    try:
        files = [file for file in sorted(_walk(path, [], passed)) if _is_photo(file, passed)]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return files, _passed_over(path, passed) if passed else ""


def _is_photo(file, passed):
    try:
        return _header(file, passed) is not None
    except DataError:  # damaged, for who reads it
        return True


def _split_folders(path, passed):
    """{split: its folder}, empty where class folders stand in their place."""
    entries = sorted(path.iterdir())
    parts = {}
    for name, names in SPLITS.items():
        folders = [entry for entry in entries if entry.name.lower() in names and entry.is_dir()]
        if len(folders) > 1:
            raise DataError(
                f"{path} has {' and '.join(f'{folder.name}/' for folder in folders)}, which both "
                f"are {name} images: keep one"
            )
        if folders:
            parts[name] = folders[0]
    if not parts:
        return {}
    if "train" not in parts:
        raise DataError(
            f"{path} has {next(iter(parts.values())).name}/ and no class folders train/CLASS/ with "
            "images in them"
        )
    passed += [entry for entry in entries if entry not in parts.values()]
    return parts


def _class_folders(path, passed):
    """The class folders in a folder, by name; what else lies there is passed over."""
    entries = sorted(path.iterdir()) if path.is_dir() else []
    folders = [entry for entry in entries if entry.is_dir() and not _is_hidden(entry)]
    passed += sorted({*entries} - {*folders})
    return folders


def _require_classes(path, parts, classes, enough=2):
    """Raise DataError for no class or one, whose folders are likely to be the classes."""
    where = parts.get("train", path)
    if not classes:
        raise DataError(f"{path} has no class folders CLASS/ or train/CLASS/ with images in them")
    inside = [folder.name for folder in _class_folders(classes[0], [])]
    if len(classes) >= enough and not (len(classes) == 1 and inside):
        return
    if parts and len(inside) > 1:
        hint = f"{_listed(inside)} in it look like the classes: move them up into {where}"
    elif inside:
        hint = f"{_listed(inside)} in it look like what is meant: name {classes[0]}"
    else:
        hint = "two or more are needed"
    raise DataError(f"{where} has one class, {classes[0].name!r}; {hint}")


def _files_and_labels(path, classes, passed):
    """A split's files, class by class and sorted by name, their headers and their labels."""
    names = [folder.name for folder in classes]
    folders = {folder.name: folder for folder in _class_folders(path, passed)}
    if strangers := folders.keys() - set(names):
        raise DataError(f"{path} has the class {min(strangers)!r}, which train/ does not have")
    files, headers, labels = [], [], []
    for label, name in enumerate(names):
        count = len(files)
        for file in sorted(_walk(path / name, [], passed)):
            if header := _header(file, passed):
                files.append(file)
                headers.append(header)
                labels.append(label)
        if len(files) == count:
            raise DataError(f"the class folder {path / name} has no image")
    return files, headers, np.array(labels)


def _walk(folder, above, passed):
    """The files in a folder and in all below; a link that leads back up is passed over."""
    above = [*above, os.path.realpath(folder)]
    for entry in folder.iterdir() if folder.is_dir() else []:
        if _is_hidden(entry):
            passed.append(entry)
        elif not entry.is_dir():
            yield entry
        elif any(pathlib.Path(one).is_relative_to(os.path.realpath(entry)) for one in above):
            passed.append(entry)
        else:
            yield from _walk(entry, above, passed)


def _is_hidden(entry):
    return entry.name.startswith(".") or entry.name.lower() in THUMBNAILS


def _header(file, passed):
    """A file's Header, or None where it is passed over: by name and contents it is no image."""
    named = file.suffix.lower() in SUFFIXES
    if not named and not file.is_file():  # a pipe, a dangling link
        passed.append(file)
        return None
    try:
        return read_header(file, str(file))
    except NoImage:
        if named:
            raise
        passed.append(file)
        return None


def _size(headers):
    sizes = collections.Counter((header.height, header.width) for header in headers)
    if len(sizes) == 1:
        return next(iter(sizes))
    short = np.median([min(size) for size in sizes.elements()])
    return (min(LARGEST, int(short)),) * 2


def _passed_over(path, entries):
    entries = sorted({os.path.relpath(entry, path) for entry in entries})
    return f"passed over {len(entries):,} files or folders without images: {_listed(entries)}"


def _listed(names):
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")
