"""Files of named tensors: .npz, .safetensors and torch's, read without running what they hold."""

import zipfile

import numpy as np

from cvcourse.errors import RunError
from cvcourse.models.pretrained.torch_archive import read_torch


def read_npz(path):
    """{name: array} of a .npz file; arrays of Python objects are refused."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def read_safetensors(path):
    """{name: array} of a .safetensors file."""
    from safetensors.numpy import load_file

    return load_file(path)


READERS = {  # by suffix
    ".npz": read_npz,
    ".safetensors": read_safetensors,
    ".pth": read_torch,
    ".pt": read_torch,
    ".bin": read_torch,
}


def read(path):
    """{name: array} of a file whose suffix is one of READERS.

    Raises RunError, which names the file, for one that is truncated or is something else.
    """
    from safetensors import SafetensorError

    try:
        return READERS[path.suffix](path)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, SafetensorError) as error:
        text = str(error)
        named = "" if str(path) in text else f"{path}: no {path.suffix} file of weights: "
        raise RunError(f"{named}{text}") from error
