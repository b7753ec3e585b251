"""Dataset in one .npz file with the arrays x_train, y_train, x_test and y_test, as in Keras."""

import math
import os
import zipfile

import numpy as np

from cvcourse.data.dataset import DataError, Split, dataset
from cvcourse.errors import RunError, reason
from cvcourse.files import require_regular

KEYS = ("x_train", "y_train", "x_test", "y_test")


def load(path, class_names=None):
    """Load the file as a Dataset, without unpickling. Raises DataError if it is unsuitable."""
    try:
        require_regular(path)
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as file:
            claimed = sum(member.file_size for member in archive.infolist())
            if claimed > memory():
                raise DataError(
                    f"{path} has {claimed:,} bytes of arrays, but this machine has {memory():,} of "
                    "memory: write smaller arrays, or an image folder"
                )
            if missing := [key for key in KEYS if key not in file]:
                raise DataError(
                    f"{path} has no {', '.join(missing)}: it needs {', '.join(KEYS)}, "
                    f"and holds {', '.join(file) or 'nothing'}"
                )
            x_train, y_train, x_test, y_test = (_read(file, key, path) for key in KEYS)
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{path} is not an .npz file, or is incomplete: write it with numpy.savez"
        ) from error
    except DataError:
        raise
    except RunError as error:
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {reason(error)}") from error
    return dataset(Split(x_train, y_train), Split(x_test, y_test), class_names, where=str(path))


def memory() -> float:
    """Return the machine's memory in bytes, or infinity if it is unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # Windows
        return math.inf


def _read(file, key, path):
    try:
        array = file[key]
    except Exception as error:  # of numpy, zipfile or zlib
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
