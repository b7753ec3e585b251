"""torch's files without torch: what is in them comes out, and nothing in them is ever run.

The files here are put together opcode by opcode; the last tests have torch itself write them.
"""

import collections
import dataclasses
import math
import pickle
import struct
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from cvcourse.models.pretrained import torch_archive
from cvcourse.models.pretrained.torch_archive import read_torch

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"long": 4}}


class Global(str):
    """MODULE NAME."""


class Raw(bytes):
    """Opcodes."""


@dataclasses.dataclass
class Call:
    function: Global
    arguments: tuple = ()


@dataclasses.dataclass
class Ordered:
    """An OrderedDict, and attributes of it."""

    items: dict
    attributes: dict


@dataclasses.dataclass
class Storage:
    content: np.ndarray
    kind: str = "Float"
    key: str = "0"
    length: int | None = None  # as stated


@dataclasses.dataclass
class Tensor:
    storage: Storage
    shape: tuple
    strides: tuple
    offset: int = 0


ORDERED_DICT = Global("collections OrderedDict")
REBUILD = Global("torch._utils _rebuild_tensor_v2")


def encode(value, view=()):
    """The opcodes that make `value`; `view` is what legacy files have after a storage's length."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, Global):
        return b"c" + value.replace(" ", "\n").encode() + b"\n"
    if isinstance(value, Call):
        return encode(value.function, view) + encode(value.arguments, view) + b"R"
    if isinstance(value, Ordered):
        items = encode(value.items, view).removeprefix(b"}")
        return encode(Call(ORDERED_DICT)) + items + encode(value.attributes) + b"b"
    if isinstance(value, Storage):
        length = len(value.content) if value.length is None else value.length
        kind = Global(f"torch {value.kind}Storage")
        return encode(("storage", kind, value.key, "cuda:0", length, *view)) + b"Q"
    if isinstance(value, Tensor):
        hooks = Call(ORDERED_DICT)
        view_of = (value.storage, value.offset, value.shape, value.strides)
        return encode(Call(REBUILD, (*view_of, False, hooks)), view)
    if isinstance(value, (dict, list, tuple)):
        start, end = {dict: (b"}(", b"u"), list: (b"](", b"e"), tuple: (b"(", b"t")}[type(value)]
        items = [part for item in value.items() for part in item] if start == b"}(" else value
        return start + b"".join(encode(item, view) for item in items) + end
    return pickle.dumps(value, 3)[2:-1]


def pickled(value, view=()):
    return b"\x80\x02" + encode(value, view) + b"."


def zip_entries(saved, *storages):
    data = {f"net/data/{storage.key}": storage.content.tobytes() for storage in storages}
    return {"net/data.pkl": pickled(saved), "net/byteorder": b"little", **data}


def write_entries(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def write_zip(path, saved, *storages):
    return write_entries(path, zip_entries(saved, *storages))


def write_legacy(path, saved, *storages, head=(MAGIC, 1001, SYSTEM), keys=None):
    pickles = [*map(pickled, head), pickled(saved, view=(None,))]
    pickles.append(pickled([storage.key for storage in storages] if keys is None else keys))
    rows = [struct.pack("<q", len(s.content)) + s.content.tobytes() for s in storages]
    path.write_bytes(b"".join(pickles + rows))
    return path


@pytest.fixture(params=[write_zip, write_legacy], ids=["zip", "legacy"])
def write(request, tmp_path):
    """Writes a file as torch does, in either format; returns its path."""
    return lambda saved, *storages: request.param(tmp_path / "net.pth", saved, *storages)


def whole(storage, shape):
    strides = [math.prod(shape[place + 1 :]) for place in range(len(shape))]
    return Tensor(storage, tuple(shape), tuple(strides))


def equal(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def refused(path, *messages):
    with pytest.raises(ValueError) as error:
        read_torch(path)
    assert str(error.value).startswith(f"{path}: ")
    assert any(message in str(error.value) for message in messages)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


ROW = np.arange(12, dtype="float32")
STORAGE = Storage(ROW)


KINDS = {
    "Double": np.array([1e300, -0.5]),
    "Float": np.array([1.5, -np.inf], "float32"),
    "Half": np.array([1.5, 65504], "float16"),
    "Long": np.array([2**62, -1]),
    "Int": np.array([2**31 - 1, -(2**31)], "int32"),
    "Short": np.array([-(2**15), 7], "int16"),
    "Char": np.array([-128, 127], "int8"),
    "Byte": np.array([0, 255], "uint8"),
    "Bool": np.array([True, False]),
}


def test_each_type_of_number(write):
    storages = [Storage(row, kind, key=str(k)) for k, (kind, row) in enumerate(KINDS.items())]
    saved = {storage.kind: whole(storage, (2,)) for storage in storages}
    equal(read_torch(write(saved, *storages)), KINDS)


def test_bfloat16_is_widened(write):
    storage = Storage(np.array([0x3F80, 0xC049, 0x7F80, 1], "uint16"), "BFloat16")
    saved = {"a": whole(storage, (2, 2)), "scalar": Tensor(storage, (), (), 1)}
    expected = np.array([[1, -3.140625], [np.inf, 2.0**-133]], "float32")
    equal(read_torch(write(saved, storage)), {"a": expected, "scalar": expected[0, 1, ...]})


def test_views_of_one_storage(write):
    saved = {
        "whole": Tensor(STORAGE, (3, 4), (4, 1)),
        "transposed": Tensor(STORAGE, (4, 3), (1, 4)),
        "end": Tensor(STORAGE, (2, 4), (4, 1), 4),
        "column": Tensor(STORAGE, (3,), (4,), 3),
        "repeated": Tensor(STORAGE, (5, 2), (0, 1)),
        "scalar": Tensor(STORAGE, (), (), 11),
        "none": Tensor(STORAGE, (0, 3), (3, 1), 15),
        "unused strides": Tensor(STORAGE, (1, 12, 1), (2**62, 1, 2**62)),
        "rank 8": Tensor(STORAGE, (1,) * 7 + (2,), (2,) * 7 + (1,)),
    }
    grid = ROW.reshape(3, 4)
    found = read_torch(write(saved, STORAGE))
    expected = [grid, grid.T, grid[1:], grid[:, 3], np.tile(ROW[:2], (5, 1)), ROW[11:].reshape(())]
    expected += [
        np.zeros((0, 3), "float32"),
        ROW.reshape(1, 12, 1),
        ROW[:2].reshape((1,) * 7 + (2,)),
    ]
    equal(found, dict(zip(saved, expected, strict=True)))
    assert all(array.flags.c_contiguous and array.flags.writeable for array in found.values())
    found["whole"][:] = 0
    np.testing.assert_array_equal(found["transposed"], grid.T)


def test_a_storage_without_elements(write):
    storage = Storage(ROW[:0])
    found = read_torch(write({"a": whole(storage, (0,)), "b": whole(storage, (2, 0))}, storage))
    equal(found, {"a": ROW[:0], "b": ROW[:0].reshape(2, 0)})


def test_what_torch_wraps_a_tensor_in(write):
    """A Parameter, torch.Size for a shape, the function of old files, `_metadata`."""
    size = Call(Global("torch Size"), ((3, 4),))
    old = Call(Global("torch._utils _rebuild_tensor"), (STORAGE, 2, (2,), (1,)))
    parameter = Global("torch._utils _rebuild_parameter")
    state = {
        "parameter": Call(parameter, (whole(STORAGE, (12,)), True, Call(ORDERED_DICT))),
        "size": Tensor(STORAGE, size, (4, 1)),
        "old": old,
    }
    saved = Ordered(state, {"_metadata": {"": {"version": 1}, "conv": {"version": 2}}})
    expected = {"parameter": ROW, "size": ROW.reshape(3, 4), "old": ROW[2:4]}
    equal(read_torch(write(saved, STORAGE)), expected)


def test_what_python_2_wrote(write):
    pair = Raw(b"](U\x01a" + encode(whole(STORAGE, (12,)), (None,)) + b"e")
    equal(read_torch(write(Call(ORDERED_DICT, ([pair],)), STORAGE)), {"a": ROW})


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "net"])
def test_a_training_checkpoint(write, key):
    other = Storage(ROW[:5] * 2, key="momentum")
    saved = {
        "epoch": 3,
        "best": 0.75,
        "arch": "réseau",
        "done": (True, False, None, b"\x00\xff", -(2**70)),
        "optimizer": {"state": {0: whole(other, (5,))}, "groups": [{"lr": 0.1}, []]},
        key: {"a": whole(STORAGE, (12,))},
    }
    equal(read_torch(write(saved, STORAGE, other)), {"a": ROW})


A = whole(STORAGE, (12,))


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (A, "no state_dict, but one Tensor"),
        ([A], "no state_dict, but one list"),
        (None, "no state_dict, but one NoneType"),
        ({}, "no state_dict among {}"),
        ({"a": A, "epoch": 3}, "no state_dict among {'a': Tensor, 'epoch': int}"),
        ({0: A}, "no state_dict among {0: Tensor}"),
        ({"state_dict": {"a": A, "b": 1}}, "no state_dict among {'state_dict': dict}"),
        ({"state_dict": {"state_dict": {"a": A}}}, "no state_dict among"),
        ({"state_dict": {"a": A}, "model": {"a": A}}, "several state_dicts among"),
        ({"state": {0: {"step": A}}, "param_groups": [{}]}, "the state of an optimizer, not"),
        ({"weights" * 1000: A, "b": 1}, "no state_dict among {'weightsweights"),
    ],
)
def test_a_file_of_something_else(write, saved, message):
    refused(write(saved, STORAGE), message)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (Tensor(STORAGE, (12,), (1,), 1), "'x' reaches beyond its storage"),
        (Tensor(STORAGE, (2,), (12,)), "'x' reaches beyond its storage"),
        (Tensor(STORAGE, (2, 2), (2**62, 2**62)), "'x' reaches beyond its storage"),
        (Tensor(STORAGE, (), (), 12), "'x' reaches beyond its storage"),
        (Tensor(STORAGE, (0, 2**62), (1, 1)), "array is too big"),
        (Tensor(STORAGE, (13,), (0,)), "'x' is larger than its storage"),
        (Tensor(STORAGE, (2**62,) * 8, (0,) * 8), "'x' is larger than its storage"),
        (Tensor(STORAGE, (1,), (1,), -1), "'x' has an impossible offset"),
        (Tensor(STORAGE, (-1,), (1,)), "'x' has an impossible offset"),
        (Tensor(STORAGE, (2,), (-1,), 5), "'x' has an impossible offset"),
        (Tensor(STORAGE, (2**63,), (0,)), "'x' has an impossible offset"),
        (Tensor(STORAGE, (2.0,), (1,)), "'x' has an impossible offset"),
        (Tensor(STORAGE, (True,), (1,)), "'x' has an impossible offset"),
        (Tensor(STORAGE, (2,), (1,), None), "'x' has an impossible offset"),
        (Tensor(STORAGE, (1,) * 9, (1,) * 9), "'x' has 9 dimensions"),
        (Tensor(STORAGE, (2, 2), (1,)), "'x' has 2 dimensions and 1 strides"),
        (Tensor(STORAGE, [2], [1]), "'x' has no storage, no shape"),
        (Tensor("storage", (2,), (1,)), "'x' has no storage, no shape"),
        (Call(REBUILD, (STORAGE, 0, (2,))), "damaged pickle: REDUCE"),
        (Call(REBUILD, (STORAGE, 0, (2,), (1,), 0, 0, {"neg": True})), "negated"),
    ],
)
def test_a_tensor_that_cannot_be(write, tensor, message):
    refused(write({"ok": A, "x": tensor}, STORAGE), message)


def test_tensors_that_overlap_too_often(write):
    storage = Storage(np.zeros(10**5, "float32"))
    views = {str(k): whole(storage, (10**5,)) for k in range(15)}
    assert len(read_torch(write(views, storage))) == 15
    views |= {str(k): whole(storage, (10**5,)) for k in range(15, 20)}
    refused(write(views, storage), "tensors of 8000000 bytes: larger than 16 times the file")


def pid(*values):
    return Raw(encode(values) + b"Q")


FLOAT = Global("torch FloatStorage")


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (pid("module", FLOAT, "0", "cpu", 12), "no storage"),
        (pid("storage", "float", "0", "cpu", 12), "no storage"),
        (pid("storage", FLOAT, 0, "cpu", 12), "a storage without key"),
        (pid("storage", FLOAT, "0", "cpu", -1), "a storage without key or length"),
        (pid("storage", FLOAT, "0", "cpu", 2**64), "a storage without key or length"),
        (pid("storage", FLOAT, "0", "cpu", 12, ("1", 0, 4)), "a view of one"),
        (pid("storage", FLOAT), "BINPERSID"),
        (Raw(b"K\x01Q"), "BINPERSID"),
        ([STORAGE, Storage(ROW, "Int")], "storage '0' has two types or lengths"),
        ([STORAGE, Storage(ROW[:3])], "storage '0' has two types or lengths"),
        (Raw(b"q\x00"), "BINPUT at byte"),
        (Raw(b"\x94"), "MEMOIZE"),
        (Raw(b"h\x07"), "BINGET at byte"),
        (Raw(b"j\x07\x00\x00\x00"), "LONG_BINGET"),
        (Raw(b"R"), "REDUCE"),
        (Raw(b"K\x01R"), "REDUCE"),
        (Raw(b"K\x01)R"), "a call of a value that is not a function"),
        (Raw(encode(FLOAT) + b")R"), "a call of a value that is not a function"),
        (Raw(encode(ORDERED_DICT) + b"]R"), "a call of a value that is not a function"),
        (Call(ORDERED_DICT, ("ab",)), "REDUCE"),
        (Call(ORDERED_DICT, ({"ab": 1},)), "REDUCE"),
        (Call(ORDERED_DICT, ([1],)), "REDUCE"),
        (Call(ORDERED_DICT, ([[1]],)), "REDUCE"),
        (Call(ORDERED_DICT, ([[1, 2, 3]],)), "REDUCE"),
        (Raw(b"t"), "TUPLE at byte"),
        (Raw(b"\x86"), ": nothing on the stack"),
        (Raw(b"(K\x01\x87"), "TUPLE3"),
        (Raw(b"a"), "APPEND"),
        (Raw(b"}K\x01a"), "APPEND"),
        (Raw(b"(e"), "APPENDS"),
        (Raw(b"]K\x01K\x02s"), "SETITEM"),
        (Raw(b"}(K\x01u"), "SETITEMS"),
        (Raw(b"b"), "BUILD"),
        (Raw(b"](b"), "BUILD"),
        (Raw(b"]}b"), "state for a value that is not a mapping"),
        (Raw(b"K\x01K\x02\x93"), "STACK_GLOBAL"),
        (Raw(b""), "nothing on the stack"),
        ({(1, 2): 3}, "a key that is neither text nor a number"),
        ({0.5: 3}, "a key that is neither text nor a number"),
        ({2**64: 3}, "a key that is neither text nor a number"),
        (Raw(b"}]K\x01s"), "a key that is neither text nor a number"),
        (Raw(b"X\x02\x00\x00\x00\xff\xff"), "utf-8"),
        (Raw(b"X\xff\xff\xff\x7fabc"), "expected 2147483647 bytes"),
        (Raw(b"\x8d" + b"\xff" * 7 + b"\x7fabc"), "expected 9223372036854775807 bytes"),
        (Raw(b"\x8d" + b"\xff" * 8 + b"abc"), "byte count > sys.maxsize"),
        (Raw(b"\x8b\x00\x10\x00\x00" + b"\x7f" * 4096), "opcode LONG4: refused"),
        (Raw(b"\x8b\xff\xff\xff\x7f"), "not enough data"),
        (Raw(b"\x8b\xff\xff\xff\xff"), "byte count < 0"),
        (Raw(b"I" + b"9" * 10000 + b"\n"), "Exceeds the limit"),
        (Raw(b"I7\n"), "opcode INT: refused"),
        (Raw(b"\xff"), "unknown"),
    ],
)
def test_a_damaged_pickle(write, saved, message):
    refused(write(saved, STORAGE), message)


@pytest.mark.parametrize("count", [500, 501])
def test_a_pickle_of_too_many_opcodes(write, monkeypatch, count):
    monkeypatch.setattr(torch_archive, "MAX_OPCODES", 500)
    saved = Raw(b"]" * (count - 2))
    refused(write(saved, STORAGE), "one list" if count == 500 else "larger than 500 opcodes")


MARKER = "touched"


def shell(tmp_path):
    return f"touch {tmp_path / MARKER}"


@pytest.mark.parametrize(
    ("opcodes", "named"),
    [
        (lambda text: encode(Call(Global("posix system"), (text,))), "names 'posix.system'"),
        (lambda text: encode(Call(Global("builtins eval"), (text,))), "names 'builtins.eval'"),
        (lambda text: encode("os") + encode("system") + b"\x93", "names 'os.system'"),
        (lambda text: b"(" + encode(text) + b"iposix\nsystem\n", "INST 'posix system': refused"),
        (lambda text: b"(cposix\nsystem\n" + encode(text) + b"o", "names 'posix.system'"),
        (lambda text: b"(" + encode(ORDERED_DICT) + encode(text) + b"o", "OBJ: refused"),
        (lambda text: encode(ORDERED_DICT) + b")\x81", "NEWOBJ: refused"),
        (lambda text: encode(ORDERED_DICT) + b")}\x92", "NEWOBJ_EX: refused"),
        (lambda text: b"csubprocess\nPopen\n" + encode((text,)) + b"\x81", "'subprocess.Popen'"),
        (
            lambda text: encode(Global("torch Tensor")) + encode({"f": text}) + b"b",
            "'torch.Tensor'",
        ),
        (lambda text: encode(ORDERED_DICT) + encode({"__reduce__": text}) + b"b", "BUILD"),
        (lambda text: encode(FLOAT) + encode({"__call__": text}) + b"b", "BUILD"),
        (lambda text: encode(Global("_codecs encode")), "names '_codecs.encode'"),
        (lambda text: encode(Global("torch._utils  _rebuild_tensor_v2")), "names"),
        (
            lambda text: encode("a\nb\x1b[2J") + encode("c" * 9999) + b"\x93",
            r"names 'a\nb\x1b[2J.cc",
        ),
        (lambda text: b"\x82\x01", "EXT1: refused"),
        (lambda text: b"P0\n", "PERSID '0': refused"),
    ],
)
def test_what_would_run_is_refused(write, tmp_path, opcodes, named):
    path = write({"a": A, "x": Raw(opcodes(shell(tmp_path)))}, STORAGE)
    refused(path, named)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_mere_pickle_that_would_run_is_refused(tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(pickled(Call(Global("posix system"), (shell(tmp_path),))))
    refused(path, "names 'posix.system': refused")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"<html>\n404", b"PK", b"\x89HDF\r\n", pickled({"a": 1})])
def test_other_files(tmp_path, content):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    refused(path, "not a torch archive" if content else "empty file")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_torch(tmp_path / "net.pth")
    with pytest.raises(OSError):
        read_torch(tmp_path)


GOOD = zip_entries({"a": A}, STORAGE)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"net/data.pkl": b""}, "pickle exhausted before seeing STOP"),
        ({"net/byteorder": b"big"}, "little-endian"),
        ({"net/data/0": ROW[:11].tobytes()}, "storage '0' has 44 bytes, not 48"),
        ({"net/data/0": ROW.tobytes() + b"0"}, "storage '0' has 49 bytes, not 48"),
        ({"other/data.pkl": GOOD["net/data.pkl"]}, "a zip with 2 entries */data.pkl"),
    ],
)
def test_a_zip_with_wrong_entries(tmp_path, entries, message):
    refused(write_entries(tmp_path / "net.pth", GOOD | entries), message)


@pytest.mark.parametrize(
    ("name", "message"),
    [("net/data.pkl", "a zip with 0 entries"), ("net/data/0", "no item named 'net/data/0'")],
)
def test_a_zip_that_lacks_an_entry(tmp_path, name, message):
    entries = {key: content for key, content in GOOD.items() if key != name}
    refused(write_entries(tmp_path / "net.pth", entries), message)


def test_a_zip_without_byte_order_is_an_older_torchs(tmp_path):
    entries = {key: content for key, content in GOOD.items() if key != "net/byteorder"}
    equal(read_torch(write_entries(tmp_path / "net.pth", entries)), {"a": ROW})


def test_a_compressed_zip(tmp_path):
    path = write_entries(tmp_path / "net.pth", GOOD, zipfile.ZIP_DEFLATED)
    refused(path, "zip entry 'net/data.pkl' is compressed")


def test_a_zip_with_duplicates(tmp_path):
    path = write_entries(tmp_path / "net.pth", GOOD | {"net/data/1": b"1"})
    path.write_bytes(path.read_bytes().replace(b"net/data/1", b"net/data/0"))
    refused(path, "duplicate zip entries")


def rewrite(path, old, new, *, places):
    content = path.read_bytes()
    assert content.count(old) == places
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("compressed", "size", "message"),
    [
        (2**31, 2**31, "zip entries larger than the file"),
        (48, 2**31, "zip entries larger than the file"),
        (2**31, 48, "zip entries larger than the file"),
        (48, 52, "storage '0' has 48 bytes, not 52"),
        (52, 52, "Bad CRC-32|Overlapped entries"),  # which newer Pythons find out first
        (40, 52, "Bad CRC-32"),
        (48, 40, "Bad CRC-32"),
    ],
)
def test_a_zip_with_lying_sizes(tmp_path, compressed, size, message):
    storage = Storage(ROW, length=size // 4)
    path = write_zip(tmp_path / "net.pth", {"a": whole(storage, (size // 4,))}, storage)
    true, lying = struct.pack("<II", 48, 48), struct.pack("<II", compressed, size)
    rewrite(path, true, lying, places=2)  # in the entry's header and in the directory
    refused(path, *message.split("|"))


def test_a_zip_that_is_encrypted(tmp_path):
    path = write_zip(tmp_path / "net.pth", {"a": A}, STORAGE)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(path, "encrypted")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": (MAGIC + 1, 1001, SYSTEM)}, "not a torch archive: a pickle of something else"),
        ({"head": (MAGIC, 1002, SYSTEM)}, "not version 1001"),
        ({"head": (MAGIC, 1001, SYSTEM | {"little_endian": False})}, "little-endian"),
        ({"head": (MAGIC, 1001, [])}, "little-endian"),
        ({"keys": []}, "the list of storages does not match"),
        ({"keys": ["0", "0"]}, "the list of storages does not match"),
        ({"keys": ["1"]}, "the list of storages does not match"),
        ({"keys": [0]}, "the list of storages does not match"),
        ({"keys": [[]]}, "the list of storages does not match"),
        ({"keys": 7}, "not iterable"),
    ],
)
def test_a_legacy_file_with_wrong_parts(tmp_path, changes, message):
    refused(write_legacy(tmp_path / "net.pth", {"a": A}, STORAGE, **changes), message)


@pytest.mark.parametrize("length", [13, 11, 0, -1, 2**62, -(2**63)])
def test_a_legacy_file_with_another_length_for_a_storage(tmp_path, length):
    path = write_legacy(tmp_path / "net.pth", {"a": A}, STORAGE)
    rewrite(path, struct.pack("<q", 12), struct.pack("<q", length), places=1)
    refused(path, f"storage '0' has {length % 2**64} elements, not 12")


@pytest.mark.parametrize("length", [13, 10**9, 2**62])
def test_a_legacy_file_that_agrees_with_itself_on_too_much(tmp_path, length):
    storage = Storage(ROW, length=length)
    path = write_legacy(tmp_path / "net.pth", {"a": whole(storage, (length,))}, storage)
    rewrite(path, struct.pack("<q", 12), struct.pack("<q", length), places=1)
    refused(path, "truncated: storage '0' ends at byte")


SMALL = Storage(np.arange(3, dtype="float32"))


def test_truncated_at_every_byte(write):
    path = write({"a": whole(SMALL, (3,)), "n": Tensor(SMALL, (), ())}, SMALL)
    content = path.read_bytes()
    zipped = content[:2] == b"PK"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(path, "not a torch archive" if 0 < length < 4 and zipped else "truncated")


def test_random_changes_are_refused_or_change_values_alone(write):
    path = write({"a": whole(SMALL, (3, 1)), "n": Tensor(SMALL, (), (), 2)}, SMALL)
    content, rng, outcomes = path.read_bytes(), np.random.default_rng(0), []
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(len(content), size=rng.integers(1, 4)):
            damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            found = read_torch(path)
        except ValueError as error:
            outcomes.append(str(error)[: len(str(path))])
        else:
            outcomes.append(sum(array.size for array in found.values()))
    assert set(outcomes) <= {str(path), 1, 2, 3, 4}
    assert str(path) in outcomes


def nested_tuples(depth):
    """A tuple of two times the one before, and so on: 2**depth parts in a few bytes each."""
    steps = [b"h%ch%c\x86q%c" % (k, k, k + 1) for k in range(depth)]
    return b"(K\x01q\x00" + b"".join(steps) + b"t"


TUPLES = Raw(nested_tuples(200))
LONG_LIST = b"](" + b"](U\x01aK\x01e" * 3_000 + b"eq\x00"
WANTS_MUCH = {
    "nested tuples": (TUPLES, "one tuple"),
    "nested tuples as a key": (Raw(b"}" + TUPLES + b"K\x01s"), "neither text nor a number"),
    "nested tuples as a global": (Raw(TUPLES + encode("a") + b"\x93"), "expected str instance"),
    "nested tuples as a shape": ({"x": Tensor(STORAGE, TUPLES, (1,))}, "'x' has 201 dimensions"),
    "nested tuples in a list": (Call(ORDERED_DICT, ([[TUPLES, 1]],)), "neither text nor a number"),
    "a list in itself": (Raw(b"]q\x00h\x00a"), "one list"),
    "a mapping in itself": (Raw(b"}q\x00U\x05modelh\x00s"), "no state_dict among {'model': dict}"),
    "a deep list": (Raw(b"]" * 20_000 + b"a" * 19_999), "one list"),
    "a list in many mappings": (
        Raw(LONG_LIST + (encode(ORDERED_DICT) + b"h\x00\x85R") * 3_000),
        "no state_dict among {}",
    ),
    "a list in many shapes": (
        Raw(LONG_LIST + (encode(Global("torch Size")) + b"h\x00\x85R") * 3_000),
        "one list",
    ),
    "many marks": (Raw(b"(" * 20_000), "nothing on the stack"),
}


@pytest.mark.parametrize(("saved", "message"), WANTS_MUCH.values(), ids=WANTS_MUCH)
def test_a_small_file_that_wants_much_time_or_memory(write, saved, message):
    path, calls = write(saved, STORAGE), collections.Counter()
    tracemalloc.start()
    sys.setprofile(lambda frame, event, argument: calls.update([event]))
    try:
        refused(path, message)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        sys.setprofile(None)
        tracemalloc.stop()
    assert calls.total() < 3e6  # a few for each byte of them


def test_memory_is_that_of_the_arrays_and_one_storage(write):
    storages = [Storage(np.full(10**6, k, "float32"), key=str(k)) for k in range(4)]
    path = write({s.key: whole(s, (1000, 1000)) for s in storages}, *storages)
    tracemalloc.start()
    try:
        found = read_torch(path)
        assert 16e6 <= tracemalloc.get_traced_memory()[1] < 21e6
    finally:
        tracemalloc.stop()
    equal(found, {s.key: s.content.reshape(1000, 1000) for s in storages})


FORMS = [(new, protocol) for new in (True, False) for protocol in (2, 3, 4)]


@pytest.mark.parametrize(("new", "protocol"), FORMS)
def test_equal_to_what_torch_wrote(tmp_path, new, protocol):
    torch = pytest.importorskip("torch")
    grid = torch.arange(24.0).reshape(2, 3, 4)
    kinds = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 5)
    ).to(memory_format=torch.channels_last)
    objects = {
        "net": net.state_dict(),
        "kinds": {kind: torch.arange(6).to(getattr(torch, kind)) for kind in kinds},
        "bfloat16": {"a": torch.linspace(-3, 3, 7).to(torch.bfloat16)},
        "views": {
            **{"whole": grid, "permuted": grid.permute(2, 0, 1), "part": grid[1, :, 1::2]},
            **{"scalar": grid[1, 1, 1], "none": grid[2:, 3:], "empty": torch.empty(0, 3)},
            "parameter": torch.nn.Parameter(grid.mT),
        },
    }
    for saved in objects.values():
        for wrapped in (saved, {"epoch": 1, "args": [0.5, None, "é"], "model": saved}):
            path = tmp_path / "net.pth"
            torch.save(wrapped, path, _use_new_zipfile_serialization=new, pickle_protocol=protocol)
            widened = {n: t.float() if t.dtype == torch.bfloat16 else t for n, t in saved.items()}
            equal(read_torch(path), {n: t.detach().numpy() for n, t in widened.items()})


def test_equal_to_an_optimizers_checkpoint(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    saved = {"state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 7}
    torch.save(saved, tmp_path / "net.pt")
    expected = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    equal(read_torch(tmp_path / "net.pt"), expected)


def test_a_whole_module_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(3, 2), tmp_path / "net.pt")
    refused(tmp_path / "net.pt", "names 'torch.nn.modules.linear.Linear': refused")
