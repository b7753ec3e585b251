"""Files of named tensors: .npz, .safetensors and torch's, read without running what they hold."""

import numpy as np

from cvcourse.errors import RunError, reason
from cvcourse.files import require_regular
from cvcourse.models.pretrained.torch_archive import read_torch


def read_npz(path):
    """{name: array} of a .npz file; arrays of Python objects are refused."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def read_safetensors(path):
    """{name: array} of a .safetensors file; bfloat16 becomes float32, as from torch's files."""
    import ml_dtypes  # noqa: F401  tells NumPy of bfloat16
    from safetensors import safe_open

    arrays = {}
    with safe_open(path, "np") as file:
        for name in file.keys():  # noqa: SIM118  it is no mapping
            dtype = file.get_slice(name).get_dtype()
            if dtype not in DTYPES:
                raise ValueError(
                    f"{name} is of dtype {dtype}, which is not read: convert it to F32, F16 or BF16"
                )
            array = file.get_tensor(name)
            arrays[name] = array.astype("float32") if dtype == "BF16" else array
    return arrays


DTYPES = {  # of .safetensors
    *("F64", "F32", "F16", "BF16", "BOOL"),
    *("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"),
}
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
    try:
        require_regular(path)
        return READERS[path.suffix](path)
    except RunError:
        raise
    except Exception as error:  # whatever a file may hold
        text = reason(error)
        named = "" if str(path) in text else f"cannot read the weights in {path}: "
        raise RunError(f"{named}{text}") from error
