"""Image folder: PATH/CLASS/*.jpg, or PATH/train/CLASS/*.jpg with validation and test beside it.

Every file in it is used or reported. All files in class folders and their subfolders, also linked
ones, whose contents are images are used, regardless of their names.
"""

import collections
import os
import pathlib

import numpy as np

from cvcourse.data.dataset import DataError, Split, dataset, hold_out
from cvcourse.data.encoded import EncodedImages
from cvcourse.data.photo import SUFFIXES, NoImage, read_header

SPLITS = {  # names of their folders, in upper or lower case
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
THUMBNAILS = ("@eadir", "__macosx", ".thumbnails")  # ignored, as hidden files are
LARGEST = 256  # pixels: the largest side that images of differing sizes are scaled to
SHARE = 10  # one in SHARE examples is held out for validation, and one for test
SHOWN = 3  # names in a list


def load(path, *, whole=False):
    """Load an image folder; its images stay on disk and are decoded when read.

    Images of one size keep it; otherwise all are scaled to one square, as large as the median short
    side, at most LARGEST. If there is no train/, a tenth of each class is held out for validation
    and another for test.

    Args:
        path: Path of the folder.
        whole: Whether to hold nothing out: all images are in one split, and one class with one
            image is enough.

    Returns:
        A Dataset; its notes list what was held out and which files were ignored.

    Raises:
        DataError: If there is only one class, an empty class, a class that train/ does not have, or
            two folders for one split, or a file with an image's name is not an image.
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


def photos(path: str | os.PathLike) -> tuple[list[pathlib.Path], str]:
    """Find the images in a folder and in all folders below it.

    Args:
        path: Path of the folder.

    Returns:
        A pair: the sorted paths of files that are images by their contents or by their names (which
        may be damaged), and a note about files that were passed over, which may be empty.

    Raises:
        DataError: If a folder cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pathlib.Path(folder, "dog.jpg").touch()
    ...     pathlib.Path(folder, "README").touch()
    ...     files, note = photos(folder)
    >>> [file.name for file in files], note
    (['dog.jpg'], 'passed over 1 files or folders without images: README')
    """
    path = pathlib.Path(path)
    passed: list[pathlib.Path] = []
    try:
        files = [file for file in sorted(_walk(path, [], passed)) if _is_photo(file, passed)]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return files, _passed_over(path, passed) if passed else ""


def _is_photo(file, passed):
    try:
        return _header(file, passed) is not None
    except DataError:  # damaged: its reader reports it
        return True


def _split_folders(path, passed):
    """Find the folders of the splits: {split: folder}, empty if there are class folders."""
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
            f"{path} has {next(iter(parts.values())).name}/, but no class folders train/CLASS/ "
            "with images in them"
        )
    passed += [entry for entry in entries if entry not in parts.values()]
    return parts


def _class_folders(path, passed):
    """List the class folders in a folder, by name; pass over everything else."""
    entries = sorted(path.iterdir()) if path.is_dir() else []
    folders = [entry for entry in entries if entry.is_dir() and not _is_hidden(entry)]
    passed += sorted({*entries} - {*folders})
    return folders


def _require_classes(path, parts, classes, enough=2):
    """Raise DataError for no class, or for one whose own folders are probably the classes."""
    where = parts.get("train", path)
    if not classes:
        raise DataError(f"{path} has no class folders CLASS/ or train/CLASS/ with images in them")
    inside = [folder.name for folder in _class_folders(classes[0], [])]
    if len(classes) >= enough and not (len(classes) == 1 and inside):
        return
    if parts and len(inside) > 1:
        hint = f"{_listed(inside)} in it look like the classes: move them up into {where}"
    elif inside:
        hint = f"{_listed(inside)} in it look like the classes or splits: name {classes[0]}"
    else:
        hint = "two or more are needed"
    raise DataError(f"{where} has one class, {classes[0].name!r}; {hint}")


def _files_and_labels(path, classes, passed):
    """List a split's files, class by class and sorted by name, their headers and labels."""
    names = [folder.name for folder in classes]
    folders = {folder.name: folder for folder in _class_folders(path, passed)}
    if unknown := folders.keys() - set(names):
        raise DataError(f"{path} has the class {min(unknown)!r}, which train/ does not have")
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
    """Yield the files in a folder and all its subfolders; pass over links to folders above."""
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
    """Read a file's Header; None if neither its name nor its contents are an image's."""
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
