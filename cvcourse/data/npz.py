"""A data set in one .npz file with the arrays x_train, y_train, x_test and y_test, as Keras has."""

import math
import os
import zipfile

import numpy as np

from cvcourse.data.dataset import DataError, Split, dataset
from cvcourse.errors import RunError, reason
from cvcourse.files import require_regular

KEYS = ("x_train", "y_train", "x_test", "y_test")


def load(path, class_names=None):
    """The file as a Dataset; never unpickles. Raises DataError for a missing or unfit file."""
    try:
        require_regular(path)
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as file:
            claimed = sum(member.file_size for member in archive.infolist())
            if claimed > memory():
                raise DataError(
                    f"{path} holds {claimed:,} bytes of arrays, and this machine has {memory():,}: "
                    "write fewer, or an image folder"
                )
            if missing := [key for key in KEYS if key not in file]:
                raise DataError(
                    f"{path} has no {', '.join(missing)}: it needs {', '.join(KEYS)}, "
                    f"and holds {', '.join(file) or 'nothing'}"
                )
            x_train, y_train, x_test, y_test = (_read(file, key, path) for key in KEYS)
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{path} is not an .npz file, or not all of it: write it with numpy.savez"
        ) from error
    except DataError:
        raise
    except RunError as error:
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {reason(error)}") from error
    return dataset(Split(x_train, y_train), Split(x_test, y_test), class_names, where=str(path))


def memory() -> float:
    """The machine's memory in bytes, as far as the system tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # Windows
        return math.inf


def _read(file, key, path):
    try:
        array = file[key]
    except Exception as error:  # numpy's, zipfile's or zlib's, by what is damaged
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: {key} holds Python objects, which are never unpickled: "
                "save an array of numbers"
            ) from error
        raise DataError(
            f"{path}: {key} is damaged ({reason(error)}): write it with numpy.savez"
        ) from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: {key} is not a NumPy array: write it with numpy.savez")
    return array
