"""Read a state_dict that torch.save wrote, as arrays; the pickle in the file is never executed.

A pickle is a program for a stack machine. The machine here supports plain values and what tensors
need: GLOBALS, whose names stand for functions of this file. Everything else is refused.

Formats: torch/serialization.py, `_save` (a zip, since torch 1.6) and `_legacy_save` (pickles, then
storages, in a row). Opcodes: Lib/pickletools.py.
"""

import dataclasses
import math
import mmap
import pickletools
import zipfile
from typing import Any

import numpy as np

ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # first bytes of either format
MAGIC_NUMBER, VERSION = 0x1950A86A20F9469CFC6C, 1001
STATE_DICTS = ("state_dict", "model", "model_state_dict")  # its usual names in a checkpoint
MAX_OPCODES = 1_000_000  # a state_dict has about 36 per tensor
MAX_RANK = 8
MAX_BITS = 63
MAX_OVERLAP = 16  # tensors may share storages, up to this many times the size of the file
MAX_MESSAGE = 300  # characters

BFLOAT16 = np.dtype("<u2")  # NumPy has none: its bits, which are the upper half of a float32
DTYPES: dict[str, Any] = {
    **{"Double": "<f8", "Float": "<f4", "Half": "<f2", "BFloat16": BFLOAT16},
    **{"Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "i1", "Byte": "u1", "Bool": "?"},
}


class Refused(ValueError):
    """A file is refused, for the reason in the message."""


@dataclasses.dataclass(frozen=True)
class Storage:
    """A sequence of elements in the file."""

    key: str
    dtype: np.dtype
    length: int

    @property
    def size(self):
        """Size in bytes."""
        return self.length * self.dtype.itemsize


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage as stated by the file; `_check` checks it."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


def read_torch(path):
    """Read the state_dict in a .pth, .pt or .bin file, or in a training checkpoint.

    Nothing in the file is executed.

    Args:
        path: Path of the file.

    Returns:
        {name: array}. Arrays are copies, in C order; bfloat16 becomes float32.

    Raises:
        ValueError: If the file is truncated, of another format, or needs more than tensors and
            plain values. The message names the file.
        OSError: If the file cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            # Reads no further than its end, whatever length the file declares
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                if data[: len(ZIP)] == ZIP:
                    with zipfile.ZipFile(file) as archive:
                        return _read_zip(archive, len(data))
                return _read_legacy(data)
        except Exception as error:  # also those of zipfile, struct and NumPy for damaged files
            text = str(error) or type(error).__name__
            text = text if isinstance(error, Refused) else f"damaged or truncated: {text}"
            raise ValueError(f"{path}: {' '.join(text.split())[:MAX_MESSAGE]}") from error


def _read_zip(archive, size):
    """Read the zip format: PREFIX/data.pkl, whose storages are PREFIX/data/KEY."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) < len(archive.infolist()):
        raise Refused("duplicate zip entries")
    if compressed := [e for e in entries.values() if e.compress_type != zipfile.ZIP_STORED]:
        raise Refused(f"zip entry {compressed[0].filename!r} is compressed: torch's never are")
    if sum(max(e.file_size, e.compress_size) for e in entries.values()) > size:
        raise Refused("zip entries larger than the file")
    prefixes = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(prefixes) != 1:
        raise Refused(f"not a torch archive: a zip with {len(prefixes)} entries */data.pkl")
    prefix = prefixes[0]
    if prefix + "byteorder" in entries and archive.read(prefix + "byteorder") != b"little":
        raise Refused("not in little-endian byte order")
    tensors = _state_dict(Machine().run(archive.read(prefix + "data.pkl")))
    return _arrays(tensors, lambda storage: archive.read(f"{prefix}data/{storage.key}"), size)


def _read_legacy(data):
    """Read the legacy format.

    Pickles of magic number, version, system, object and keys, then length and bytes of each key.
    """
    if data[: len(PICKLE)] != PICKLE:
        raise Refused(f"not a torch archive: begins with {data[:16]!r}")
    if Machine().run(data) != MAGIC_NUMBER:
        raise Refused("not a torch archive: a pickle of something else")
    if Machine().run(data) != VERSION:
        raise Refused(f"not version {VERSION} of the format")
    system = Machine().run(data)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise Refused("not in little-endian byte order")
    machine = Machine()
    tensors = _state_dict(machine.run(data))
    keys = Machine().run(data)
    if not all(type(key) is str for key in keys) or sorted(keys) != sorted(machine.storages):
        raise Refused("the list of storages does not match the tensors")
    places = {}
    for key in keys:
        storage, length = machine.storages[key], int.from_bytes(data.read(8), "little")
        start, end = data.tell(), data.tell() + storage.size
        if end > len(data):
            raise Refused(f"truncated: storage {key!r} ends at byte {end} of {len(data)}")
        if length != storage.length:
            raise Refused(f"storage {key!r} has {length} elements, not {storage.length}")
        places[storage] = slice(start, end)
        data.seek(end)
    return _arrays(tensors, lambda storage: data[places[storage]], len(data))


def _state_dict(saved):
    """Return the mapping of tensors: the object that was saved, or an entry of it."""
    if _holds_tensors(saved):
        return saved
    if type(saved) is not dict:
        raise Refused(f"no state_dict, but one {type(saved).__name__}")
    if {"state", "param_groups"} <= saved.keys():
        raise Refused("the state of an optimizer, not the weights of a network")
    found = [name for name in STATE_DICTS if _holds_tensors(saved.get(name))]
    found = found or [name for name in saved if _holds_tensors(saved[name])]
    if len(found) == 1:
        return saved[found[0]]
    held = ", ".join(f"{key!r}: {type(saved[key]).__name__}" for key in list(saved)[:8])
    raise Refused(f"{'several state_dicts' if found else 'no state_dict'} among {{{held}}}")


def _holds_tensors(value):
    """Check whether a value is {name: Tensor}, not empty."""
    if type(value) is not dict or not value:
        return False
    return all(type(name) is str and type(value[name]) is Tensor for name in value)


def _arrays(tensors, read, size):
    """Return {name: array}; each storage is read once, and released before the next."""
    views = {}
    for name, tensor in tensors.items():
        _check(name, tensor)
        views.setdefault(tensor.storage, {})[name] = tensor
    total = sum(math.prod(t.shape) * t.storage.dtype.itemsize for t in tensors.values())
    if total > MAX_OVERLAP * size:
        raise Refused(f"tensors of {total} bytes: larger than {MAX_OVERLAP} times the file")
    arrays = dict.fromkeys(tensors)
    for storage, shared in views.items():
        arrays |= _copies(shared, storage, read(storage))
    return arrays


def _check(name, tensor):
    """Raise Refused for a tensor that is not within its storage."""
    storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
    if not (type(storage) is Storage and type(shape) is type(strides) is tuple):
        raise Refused(f"tensor {name!r} has no storage, no shape or no strides")
    if len(shape) > MAX_RANK or len(shape) != len(strides):
        ranks = f"{len(shape)} dimensions and {len(strides)} strides"
        raise Refused(f"tensor {name!r} has {ranks}: they differ, or exceed {MAX_RANK}")
    if not all(map(_is_count, (tensor.offset, *shape, *strides))):
        raise Refused(f"tensor {name!r} has an impossible offset, size or stride")
    if math.prod(shape) > storage.length:
        raise Refused(f"tensor {name!r} is larger than its storage")
    last = tensor.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.length:
        raise Refused(f"tensor {name!r} reaches beyond its storage")


def _is_count(value):
    """Check whether a value is an integer from 0 to 2**63 - 1."""
    return type(value) is int and value >= 0 and value.bit_length() <= MAX_BITS


def _copies(tensors, storage, content):
    """Return {name: array} of the tensors in one storage."""
    if len(content) != storage.size:  # or a view would reach into other memory
        found = f"{len(content)} bytes, not {storage.size}"
        raise Refused(f"storage {storage.key!r} has {found}")
    elements = np.frombuffer(content, storage.dtype)
    return {name: _copy(tensor, elements) for name, tensor in tensors.items()}


def _copy(tensor, elements):
    """Return a tensor as an array of its own."""
    # The stride of an axis of length 1 is not used, and may be any number
    strides = [
        stride * elements.itemsize if n > 1 else 0
        for n, stride in zip(tensor.shape, tensor.strides, strict=True)
    ]
    view = np.lib.stride_tricks.as_strided(elements[tensor.offset :], tensor.shape, strides)
    if elements.dtype == BFLOAT16:
        bits = view.astype(np.uint32, order="C")
        bits <<= 16
        return bits.view(np.float32)
    return view.astype(view.dtype.newbyteorder("="), order="C")


class Machine:
    """Stack machine of a pickle; `storages` has the storages found so far, {key: Storage}."""

    def __init__(self):
        self.stack = []
        self.below = []  # stacks below each MARK
        self.memo = {}
        self.storages = {}

    def run(self, pickle):
        """Return the value of a pickle, given as bytes or as a file at the pickle's position."""
        for count, (opcode, argument, position) in enumerate(pickletools.genops(pickle)):
            if count >= MAX_OPCODES:
                raise Refused(f"a pickle larger than {MAX_OPCODES} opcodes")
            if opcode.name not in OPCODES:
                named = f" {argument!r}" if type(argument) is str else ""
                raise Refused(f"pickle opcode {opcode.name}{named}: refused")
            try:
                OPCODES[opcode.name](self, argument)
            except (LookupError, TypeError, AttributeError) as error:
                where = f"{opcode.name} at byte {position}"
                raise Refused(f"damaged pickle: {where}: {error}") from error
        return self.pop(1)[0]

    def push(self, value):
        self.stack.append(value)

    def pop(self, count):
        """Remove and return the `count` values on top of the stack, the lowest first."""
        if count > len(self.stack):
            raise IndexError("nothing on the stack")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def mark(self):
        self.below.append(self.stack)
        self.stack = []

    def pop_mark(self):
        """Remove and return the values above the last mark."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def save(self, place):
        self.memo[place] = self.stack[-1]


def _append(machine, values):
    machine.stack[-1].extend(values)


def _set(machine, items):
    for place in range(0, len(items), 2):
        _put(machine.stack[-1], *items[place : place + 2])


def _put(mapping, key, value):
    # Nested tuples would take very long to hash, and long numbers can be made to collide
    if type(key) is not str and not _is_count(key):
        raise TypeError("a key that is neither text nor a number from 0")
    mapping[key] = value


def _build(machine, _):
    """Ignore the state of an OrderedDict: torch's `_metadata`, which no array needs."""
    machine.pop(1)
    if type(machine.stack[-1]) is not dict:
        raise TypeError("state for a value that is not a mapping")


def _find(machine, name):
    if name not in GLOBALS:
        known = "only tensors and plain values are read: save the state_dict alone"
        raise Refused(f"names {name!r}: refused, {known}")
    machine.push(GLOBALS[name])


def _call(machine, _):
    function, arguments = machine.pop(2)
    if not callable(function) or type(arguments) is not tuple:
        raise TypeError("a call of a value that is not a function")
    machine.push(function(*arguments))


def _load_storage(machine, kind, dtype, key, device, length, view=None):
    if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None:
        raise TypeError("no storage, or a view of one")
    if type(key) is not str or not _is_count(length):
        raise TypeError("a storage without key or length")
    storage = Storage(key, dtype, length)
    if machine.storages.setdefault(key, storage) != storage:
        raise TypeError(f"storage {key!r} has two types or lengths")
    machine.push(storage)


def _ordered_dict(pairs=None):
    """Return a dict: empty for Python 3, which fills it later; filled with pairs for Python 2."""
    mapping = {}
    if pairs:
        pairs.reverse()
    while pairs:  # emptied: repeated calls with one long list would fill the memory otherwise
        _put(mapping, *pairs.pop())
    return mapping


def _tensor(storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
    if metadata:
        raise TypeError("a tensor that is to be conjugated or negated when it is read")
    return Tensor(storage, offset, shape, strides)


GLOBALS = {
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": lambda shape: shape,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, requires_grad, hooks: tensor,
    **{f"torch.{name}Storage": np.dtype(dtype) for name, dtype in DTYPES.items()},
}

VALUES = (  # the opcodes that push their argument
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINSTRING", "SHORT_BINSTRING"),  # Python 2's text
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
OPCODES = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    **dict.fromkeys(VALUES, Machine.push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "MARK": lambda machine, _: machine.mark(),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "APPEND": lambda machine, _: _append(machine, machine.pop(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.pop_mark()),
    "SETITEM": lambda machine, _: _set(machine, machine.pop(2)),
    "SETITEMS": lambda machine, _: _set(machine, machine.pop_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), Machine.save),
    "MEMOIZE": lambda machine, _: machine.save(len(machine.memo)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, n: machine.push(machine.memo[n])),
    "GLOBAL": lambda machine, names: _find(machine, names.replace(" ", ".")),
    "STACK_GLOBAL": lambda machine, _: _find(machine, ".".join(machine.pop(2))),
    "BINPERSID": lambda machine, _: _load_storage(machine, *machine.pop(1)[0]),
    "REDUCE": _call,
    "BUILD": _build,
}
