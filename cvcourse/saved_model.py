"""Read .keras files safely: the size of a model is checked before its memory is allocated.

Keras builds the layers of a file before it reads the weights, and its error messages have many
lines; here an error is one line.
"""

import contextlib
import copy
import json
import math
import os
import random
import re
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor

from cvcourse.errors import RunError, reason
from cvcourse.files import require_regular, with_suffix

METADATA, CONFIG = "metadata.json", "config.json"  # entries of the archive
CLASS_NAMES = "class_names.json"  # added to it by `cvcourse.training.save_model`
WEIGHTS = ("model.weights.h5", "model.weights.npz")
ENTRY_BYTES = 2**24  # largest text entry; the config of a large net has about a million
DEFLATE = 1032  # largest compression ratio of a zip entry
FRESH = "freshly-initialized weights"  # in Keras' warning about missing weights
UNSAVED = 2**20  # values of a model that its file need not have


def read_model(path, *, remedy="", compile=False):
    """Read a model that Keras has saved. Modules with its custom layers must be imported before.

    Args:
        path: Path of a .keras file, as str or PathLike.
        remedy: What the user can do about a damaged file; the error message ends with it.
        compile: Whether to compile the model as it was compiled when it was saved.

    Returns:
        A keras.Model with inputs and outputs.

    Raises:
        RunError: If the file is not regular, is damaged, has other content, or has fewer weights
            than its layers need. The message is one line: the file, the reason, the remedy.
    """
    import keras

    path = os.path.expanduser(path)
    with naming_damage(path, remedy):
        config = json.loads(read_entry(path, CONFIG))
        try:
            values = count_values(config)
            held = _largest_size(path, WEIGHTS)
            if values > held + UNSAVED:
                raise ValueError(f"its layers have {values:,} weights, but it has {held:,} bytes")
            with with_suffix(path, ".keras") as file:
                model = keras.saving.load_model(file, compile=compile)
        except Exception as error:
            saved = _saved_by(path)
            if _numbers(saved) > _numbers(keras.__version__):
                raise ValueError(
                    f"Keras {saved} has saved it, and {keras.__version__} cannot read it: "
                    "pip install --upgrade keras"
                ) from error
            raise
        if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
            raise ValueError("it holds no model with layers")
        return model


def read_named_model(path, *, remedy="", named=True):
    """Read a model and the names of its classes, as `cvcourse.training.save_model` has saved them.

    Args:
        path: Path of a .keras file, as str or PathLike.
        remedy: See `read_model`.
        named: Whether the file must contain the names of its classes.

    Returns:
        A pair: the keras.Model, not compiled, and a tuple of names, one for each of its outputs, or
        None if the file contains no names and `named` is False.

    Raises:
        RunError: As `read_model` does, or if the names are damaged, missing or too few.
    """
    model = read_model(path, remedy=remedy)
    with zipfile.ZipFile(os.path.expanduser(path)) as archive:
        if not named and CLASS_NAMES not in archive.namelist():
            return model, None
    names = read_class_names(path, remedy=remedy)
    with naming_damage(path, remedy):
        if len(names) != model.outputs[0].shape[-1]:
            raise ValueError(
                f"it names {len(names)} classes and has {model.outputs[0].shape[-1]} outputs"
            )
    return model, names


def read_class_names(path, *, remedy=""):
    """Read the names of the classes of a saved model, in the order of its outputs.

    Args:
        path: Path of the .keras file, as str or PathLike.
        remedy: See `read_model`.

    Returns:
        A tuple of names.

    Raises:
        RunError: If the file is damaged or does not contain the names of its classes.
    """
    path = os.path.expanduser(path)
    with naming_damage(path, remedy):
        try:
            names = json.loads(read_entry(path, CLASS_NAMES))
        except KeyError:  # saved by Keras alone
            raise ValueError("its classes have no names") from None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"its {CLASS_NAMES} is not a list of names")
        return tuple(names)


def is_saved_model(path):
    """Check by its content whether a file is a .keras archive, possibly a damaged one."""
    return bool(_saved_by(os.path.expanduser(path)))


def _saved_by(path):
    """Return the version of Keras that wrote a file, as stated in it; "" if it is not stated."""
    with contextlib.suppress(Exception):  # the content may be anything
        return str(json.loads(read_entry(path, METADATA))["keras_version"])
    return ""


def _numbers(version):
    """Return the numbers in a version: "3.13.2" -> [3, 13, 2]."""
    return [int(number) for number in re.findall(r"\d+", version)]


@contextlib.contextmanager
def naming_damage(path, remedy=""):
    """Context manager: re-raise any error of reading a .keras file as RunError, in one line.

    Args:
        path: Path of the file.
        remedy: What the user can do about it.

    Raises:
        RunError: For any exception of the block.
    """
    try:
        require_regular(path)
        with warnings.catch_warnings(record=True) as warned:  # repeated in the error
            warnings.simplefilter("always")
            yield
        if fresh := [str(w.message) for w in warned if FRESH in str(w.message)]:
            raise ValueError(fresh[0])
    except Exception as error:  # the content may be anything
        known = isinstance(error, RunError)
        problem = str(error) if known else f"cannot read a model from {path}: {reason(error)}"
        raise RunError(f"{problem}{remedy and f'; {remedy}'}") from error


def read_entry(path, name):
    """Read a text entry of a .keras file, such as its config.

    Args:
        path: Path of the file.
        name: Name of the entry in its zip archive.

    Returns:
        The text as bytes.

    Raises:
        OSError, KeyError, ValueError, zipfile.BadZipFile: If there is no such entry, or it is
            larger than `ENTRY_BYTES`.
    """
    with zipfile.ZipFile(path) as archive, archive.open(name) as entry:
        data = entry.read(ENTRY_BYTES + 1)
    if len(data) > ENTRY_BYTES:
        raise ValueError(f"its {name} is larger than {ENTRY_BYTES:,} bytes")
    return data


def count_values(config):
    """Count the weights of a model without allocating them.

    Args:
        config: Config of the model, from `keras.saving.serialize_keras_object` or a file.

    Returns:
        Number of weights, 0 for an object without variables.

    Raises:
        Exception: Any exception of Keras or a layer, if the model cannot be built.
    """
    return _of_unallocated(
        config, lambda model: sum(math.prod(v.shape) for v in getattr(model, "variables", ()))
    )


def weight_specs(config):
    """List the weights of a model without allocating them.

    Args:
        config: Config of the model, from `keras.saving.serialize_keras_object` or a file.

    Returns:
        [(path, shape, dtype)] in the order of `keras.Model.weights`.

    Raises:
        Exception: Any exception of Keras or a layer, if the model cannot be built.
    """
    return _of_unallocated(
        config, lambda model: [(w.path, tuple(w.shape), str(w.dtype)) for w in model.weights]
    )


def _of_unallocated(config, function):
    """Build a model whose variables have no values, and return `function(model)`."""

    def build():
        import keras

        drawn = random.getstate()  # layers draw seeds, which must not change later random numbers
        try:
            with keras.StatelessScope(initialize_variables=False):
                own = {**copy.deepcopy(config), "compile_config": None}  # Keras empties it
                return function(keras.saving.deserialize_keras_object(own))
        finally:
            random.setstate(drawn)

    with ThreadPoolExecutor(1) as thread:  # Keras has a list of uninitialized variables per thread
        return thread.submit(build).result()


def _largest_size(path, names):
    """Return the largest possible size in bytes of the first existing entry among `names`."""
    with zipfile.ZipFile(path) as archive:
        there = {entry.filename: entry for entry in archive.infolist()}
    entry = next((there[name] for name in names if name in there), None)
    if entry is None:
        raise ValueError("it holds no weights")
    times = 1 if entry.compress_type == zipfile.ZIP_STORED else DEFLATE
    return min(entry.file_size, times * min(entry.compress_size, os.path.getsize(path)))
