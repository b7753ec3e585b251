"""A data set in one .npz file with the arrays x_train, y_train, x_test and y_test, as Keras has them."""

import zipfile

import numpy as np

from cvcourse.data.dataset import DataError, Split, dataset

KEYS = ("x_train", "y_train", "x_test", "y_test")


def load(path, class_names=None):
    """The file as a Dataset. Raises DataError for a missing, damaged or unfit file; never unpickles."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = [key for key in KEYS if key not in arrays]
            if missing:
                raise DataError(
                    f"{path} has no {', '.join(missing)}: it needs {', '.join(KEYS)}, "
                    f"and holds {', '.join(arrays) or 'nothing'}"
                )
            x_train, y_train, x_test, y_test = (arrays[key] for key in KEYS)
    except (OSError, EOFError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        hint = "; save plain numeric arrays" if "pickle" in str(error).lower() else ""
        raise DataError(f"cannot read {path}: {str(error).splitlines()[0]}{hint}") from error
    return dataset(
        Split(x_train, y_train), Split(x_test, y_test), class_names, where=str(path)
    )
