"""Read files of named tensors; the format is found from the content, and no code in it is run.

The suffix of a file is ignored: downloads and training code use .pth, .pt, .bin, .ckpt or .pth.tar
for the same formats.
"""

import os
import pathlib
import re
import tarfile
import zipfile

import numpy as np

from cvcourse.errors import RunError, reason
from cvcourse.files import read_json, require_regular
from cvcourse.models.pretrained.torch_archive import read_torch

HEAD = 512  # bytes that identify a format
HDF5 = b"\x89HDF\r\n\x1a\n"
MAX_HEADER = 100_000_000  # bytes: the limit of safetensors itself
OTHERS: tuple[
    tuple[int, bytes, str], ...
] = (  # (offset, bytes there, description of such a file and remedy)
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself: git lfs pull"),
    (0, b"\x1f\x8b", "gzip-compressed: decompress it first"),
    (0, b"BZh", "bzip2-compressed: decompress it first"),
    (0, b"\xfd7zXZ\0", "xz-compressed: decompress it first"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed: decompress it first"),
    (0, b"\x93NUMPY", "one array without a name: save all by name with np.savez"),
    (0, b"GGUF", "a GGUF file, which is not read"),
    (4, b"TFL3", "a LiteRT (TFLite) model, which is not read"),
    (0, b"\x08\x01\x12", "a TensorFlow SavedModel, which is not read: save a .keras file"),
    (0, b"\x08\x03\x12", "an ONNX model, which is not read"),
)
OTHERS += tuple((0, bytes((8, version, 0x12)), OTHERS[-1][2]) for version in range(4, 16))
TENSORFLOW = "a TensorFlow checkpoint, which is not read: save a .weights.h5 file"
SSTABLE = bytes.fromhex("57fb808b247547db")  # ends a checkpoint's index: table/format.h of LevelDB
WEB_PAGE = re.compile(rb"\s*(<!doctype|<html|<\?xml|<head|<!--)", re.IGNORECASE)


def read_npz(path):
    """Read a .npz file as {name: array}; arrays of Python objects are refused."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def read_safetensors(path):
    """Read a .safetensors file as {name: array}; bfloat16 becomes float32, as in torch's files."""
    import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy
    from safetensors import safe_open

    arrays = {}
    with safe_open(path, "np") as file:
        for name in file.keys():  # noqa: SIM118  it is not a mapping
            dtype = file.get_slice(name).get_dtype()
            if dtype not in DTYPES:
                raise ValueError(
                    f"{name} is of dtype {dtype}, which is not read: convert it to F32, F16 or BF16"
                )
            array = file.get_tensor(name)
            arrays[name] = array.astype("float32") if dtype == "BF16" else array
    return arrays


def read_index(path):
    """Read the shards that an index lists, as {name: array}.

    The index has the form of the Hugging Face hub, {"weight_map": {name of a tensor: file beside
    the index}}.
    """
    files = read_json(path).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise ValueError('it is JSON without a "weight_map" of shards: give the weights themselves')
    arrays = {}
    for file in dict.fromkeys(files.values()):
        if file in ("", ".", "..") or re.search(r"[/\\:\0]", file):
            raise ValueError(f"its weight_map names {file!r}, which is not a file beside it")
        shard = pathlib.Path(path).parent / file
        if not shard.is_file():
            raise ValueError(f"its shard {file} is not beside it: all of its shards are needed")
        if (kind := find_kind(shard)) not in ("npz", "safetensors", "torch"):
            raise ValueError(f"its shard {file} has no tensors by name: it is of the kind {kind}")
        arrays[file] = read(shard)
        if absent := [name for name in files if files[name] == file and name not in arrays[file]]:
            raise ValueError(f"its shard {file} lacks {absent[0]}")
    return {name: arrays[file][name] for name, file in files.items()}


DTYPES = {  # of .safetensors
    *("F64", "F32", "F16", "BF16", "BOOL"),
    *("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"),
}
READERS = {
    "npz": read_npz,
    "safetensors": read_safetensors,
    "torch": read_torch,
    "index": read_index,
}


def read(path):
    """Read the tensors in a file of any of the formats in `READERS`, found by its content.

    Args:
        path: Path of the file, or of the JSON index of its shards.

    Returns:
        {name: array}.

    Raises:
        RunError: If the file is truncated or of another format. The message names the file and the
            format.
    """
    try:
        kind = find_kind(path)
        if kind not in READERS:
            raise ValueError(f"tensors by name are needed, but it is of the kind {kind}")
        return READERS[kind](path)
    except RunError:
        raise
    except Exception as error:  # whatever a file may hold
        text = reason(error)
        named = "" if str(path) in text else f"cannot read the weights in {path}: "
        raise RunError(f"{named}{text}") from error


def hdf5_shapes(path):
    """Read the shapes of the weights in a file that Keras has written, without the weights.

    Args:
        path: Path of a .weights.h5 file of Keras 3, or of a .h5 file of an earlier Keras.

    Returns:
        (shapes, legacy): a list of tuples, without an optimizer's, and whether the file has the
        layout before Keras 3.

    Raises:
        ValueError: If the file is damaged or truncated.
    """
    import h5py

    shapes = []

    def note(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            shapes.append(item.shape or ())

    try:
        with h5py.File(path, "r") as file:
            file.visititems(note)
            return shapes, "layer_names" in file.attrs or "model_weights" in file
    except Exception as error:  # HDF5's, of several classes
        raise ValueError(f"a damaged or truncated HDF5 file: {reason(error)}") from error


def find_kind(path):
    """Find the format of a file of weights from its content.

    Args:
        path: Path of the file.

    Returns:
        A key of `READERS`, or "keras" or "hdf5".

    Raises:
        OSError: If there is no such file.
        RunError: If it is not a regular file, or of a format that is not read. The message names
            the file and the format.
    """
    path = pathlib.Path(path)
    if path.is_dir() and (path / "saved_model.pb").exists():
        raise _not_read(path, "a TensorFlow SavedModel, which is not read: save a .keras file")
    if not path.exists() and path.with_name(f"{path.name}.index").exists():
        raise _not_read(path, TENSORFLOW)
    require_regular(path)
    with open(path, "rb") as file:
        head = file.read(HEAD)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(SSTABLE)))
        tail = file.read()
    if not head:
        raise _not_read(path, "an empty file")
    if head.startswith(HDF5):
        return "hdf5"
    if head.startswith(b"PK"):
        return _kind_of_zip(path)
    if head.startswith(b"\x80"):
        return "torch"
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= MAX_HEADER:
        return "safetensors"
    if head.lstrip().startswith(b"{"):
        return "index"
    raise _not_read(path, _describe(path, head, tail))


def _kind_of_zip(path):
    """Find the format of a zip archive, as `find_kind`."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:  # whatever is damaged
        raise _not_read(path, "a zip archive that is damaged or truncated") from error
    if "config.json" in names:
        return "keras"
    if any(name.endswith("/constants.pkl") for name in names):
        raise _not_read(path, "a TorchScript program: torch.save its state_dict() instead")
    if any(name.endswith("/data.pkl") for name in names):
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    raise _not_read(path, f"a zip archive of something else ({', '.join(names[:3])})"[:150])


def _describe(path, head, tail):
    """Describe a file of a format that is not read, and the remedy."""
    for place, magic, what in OTHERS:
        if head[place:].startswith(magic):
            return what
    if WEB_PAGE.match(head):
        return "a web page, not the file itself: download the file that the page links to"
    if tail == SSTABLE or re.search(r"\.data-\d{5}-of-\d{5}$", path.name):
        return TENSORFLOW
    if tarfile.is_tarfile(path):
        return "a tar archive: unpack it, or load and save it with the old torch that wrote it"
    return f"of no known format (it begins with {head[:8]!r})"


def _not_read(path, what):
    """Return the RunError for a file that is not read."""
    return RunError(f"cannot read the weights in {path}: it is {what}")
