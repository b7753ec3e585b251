"""Compressed models as files (.cvz), which hold the weights to the bit, without their redundancy.

Deep Compression (Han et al. 2016, https://arxiv.org/abs/1510.00149): kernels with few distinct
values become a codebook and indices, zeros are skipped (section 2, figure 2), and indices and skips
are Huffman-coded (section 4). Only the file is small: `read` returns a keras.Model of the usual
size and speed.

The format, version 1; integers are unsigned and little-endian, u8 to u32 have 8 to 32 bits:

    8 bytes  89 43 56 5A 0D 0A 1A 0A
    u16      version: 1
    u16      flags: 1 if the header is compressed with zlib (RFC 1950), else 0
    u32      number of bytes of the header
    header   JSON, UTF-8, keys sorted: {"class_names": [...],
             "model": the config of the model, as in keras.Model.to_json, without "compile_config",
             "tensors": [{"path": "conv1/kernel", "shape": [...], "dtype": "float32",
             "coding": "shared", "offset": 0, "length": 1234}, ...]} in the order of Model.weights
    tensors  one after the other, without gaps; `offset` counts from the end of the header
    32 bytes SHA-256 of all bytes before

A tensor has one of seven codings; its numbers are stored in its dtype:

    raw      all numbers in C order
    shared   u8 order  0: C order; 1: that of the tensor with its last axis moved to the front
             u8 g      bits of a gap, 1 to 8
             u16 k     size of the codebook, without 0
             codebook  k numbers
             values    stream of k + 1 symbols: indices into the codebook; k, the filler, is 0
             gaps      stream of 2^g symbols: number of zeros before each value. A longer gap begins
                       with fillers of gap 2^g - 1. Fewer than 2^g zeros follow the last value
    sparse   u8 order, u8 g, u32 n, n numbers, gaps: as shared, with the numbers for their indices
    indexed  u8 flags  1: each filter (index of the last axis) has a codebook, else the tensor;
                       2: codebooks contain the negative of each number, too
             u16 m     numbers of a codebook
             codebooks m numbers for each filter
             indices   stream of 1 + m symbols, or 1 + 2 m with flag 2, in C order: 0 is the number
                       0, i the number i - 1 of the codebook, and m + i its negative
    binary   as indexed; no weight is 0, and the weights of a filter have at most two values
    ternary  as indexed; the weights of a filter have at most two values besides 0
    scaled   u8 most   largest integer, 1 to 127
             scales    a number for each filter
             integers  stream of 2 most + 1 symbols, in C order: an integer plus `most`. A weight is
                       the product of its integer and the scale of its filter, in float32
    stream   u32 n     number of symbols
             u32       number of bytes after the lengths
             lengths   of the symbols' codes, 4 bits each, the first in the high bits; 0: no code
             starts    u32: first bit of each block of 4,096 symbols but the first
             codes     canonical Huffman codes, most significant bit first

Each byte of the tensors holds at most 1,024 weights, so the size of the file bounds that of the
model, and a reader can refuse false sizes before it allocates memory.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import os
import pathlib
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import keras
import ml_dtypes  # noqa: F401  NumPy then knows bfloat16
import numpy as np

import cvcourse.layers  # noqa: F401  registers them
from cvcourse.compression import huffman
from cvcourse.compression.kernel_wrapper import plain
from cvcourse.errors import RunError, reason
from cvcourse.files import require_regular, write_bytes
from cvcourse.saved_model import ENTRY_BYTES, naming_damage, weight_specs

MAGIC = b"\x89CVZ\r\n\x1a\n"
VERSION, SUFFIX = 1, ".cvz"
DEFLATED = 1  # flag of the file
PER_FILTER, MIRRORED = 1, 2  # flags of an indexed tensor
START, DIGEST = struct.Struct("<8sHHI"), 32
GAP_BITS = range(3, 9)  # that are tried
VALUES = 4096  # most numbers of a codebook
SPARSE = 0.75  # largest density at which gaps are tried
LARGEST = tuple(2**bits - 1 for bits in range(2, 8))  # integers that are tried
SAMPLE = 2**16  # weights in which more values show that a tensor has no codebook
WEIGHTS_PER_BYTE = 1024  # a gap of 8 bits and its value: 256 weights in two codes of a bit


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of a tensor in a file.

    Args:
        name: Path of the weight, "layer/kernel".
        shape: Shape of the tensor.
        coding: "raw", "shared", "sparse", "indexed", "binary", "ternary" or "scaled".
        weights: Number of weights.
        kept: Number of weights that are not 0.
        bits: Bits of an index into the codebook, or of an integer; of a weight for "raw".
        value_bits: Mean bits of an index after Huffman coding; of a weight for "raw".
        gap_bits: Bits of a gap; 0 without gaps.
        gap_bits_coded: Mean bits of a gap after Huffman coding.
        value_bytes: Bytes of the indices, with the table of their code; of the weights for "raw".
        index_bytes: Bytes of the gaps, likewise.
        codebook_bytes: Bytes of the codebooks, or of the scales.
        bytes: Bytes of the tensor in the file: the three above and those of its parameters.

    >>> shared = Size("fc1/kernel", (784, 300), "shared", 235200, 18816, 4, 3.2, 8, 5.1,
    ...     value_bytes=7528, index_bytes=12124, codebook_bytes=64, bytes=19720)
    >>> round(8 * shared.bytes / shared.weights, 2)  # bits of a weight, which were 32
    0.67
    """

    name: str
    shape: tuple[int, ...]
    coding: str
    weights: int
    kept: int
    bits: int
    value_bits: float
    gap_bits: int
    gap_bits_coded: float
    value_bytes: int
    index_bytes: int
    codebook_bytes: int
    bytes: int


def write(model: keras.Model, path: str | os.PathLike, *, class_names: Sequence[str] = ()) -> int:
    """Write a model to a compressed file, atomically.

    Each tensor has the smallest of the codings that reproduce it to the bit, so a model of `prune`,
    `share_weights`, `ternarize`, `binarize` or `quantization_aware` needs no further information;
    computed kernels are baked first. States of metrics and random layers are not stored, nor is the
    optimizer.

    Args:
        model: Functional or Sequential keras.Model of layers that are Keras' own or registered.
        path: Path of the file, usually with the suffix .cvz.
        class_names: Names of the classes, one for each output, or none.

    Returns:
        Number of bytes of the file.

    Raises:
        ValueError: For a model without a known graph, with weights that are NaN or infinite, or
            with layers that cannot be rebuilt from their configs, such as a Lambda; and if the
            names do not match the outputs.
        RunError: If the file cannot be written.

    >>> import tempfile
    >>> model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(300)])
    >>> _ = model.layers[0].kernel.assign(keras.ops.eye(784, 300))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.cvz")
    ...     bytes = write(model, path)
    ...     equal = np.array_equal(read(path).get_weights()[0], np.eye(784, 300))
    >>> equal, 4 * model.count_params() > 500 * bytes
    (True, True)
    """
    model = plain(model)
    for layer in model._flatten_layers():
        if hasattr(layer, "save_assets"):
            raise ValueError(f"{model.name} cannot be stored: {layer.name} has a vocabulary")
    names = [str(name) for name in class_names]
    if names and len(names) != model.outputs[0].shape[-1]:
        raise ValueError(
            f"{model.name} has {model.outputs[0].shape[-1]} outputs; received {len(names)} class "
            "names"
        )
    config = _config(model)
    try:
        specs = weight_specs(config)
    except Exception as error:  # of Keras or a layer
        raise ValueError(f"{model.name} cannot be stored: {reason(error)}") from error
    if [spec[1:] for spec in specs] != [(tuple(w.shape), w.dtype) for w in model.weights]:
        raise ValueError(f"{model.name} has weights that its config does not describe")
    tensors, parts, offset = [], [], 0
    for (name, shape, dtype), weight in zip(specs, model.weights, strict=True):
        values = np.asarray(keras.ops.convert_to_numpy(weight)).astype(dtype, copy=False)
        if not np.isfinite(values).all():
            raise ValueError(f"{name} of {model.name} has weights that are NaN or infinite")
        coding, data = _encode(values)
        row = {"path": name, "shape": shape, "dtype": dtype, "coding": coding}
        tensors.append({**row, "offset": offset, "length": len(data)})
        parts.append(data)
        offset += len(data)
    content = {"class_names": names, "model": config, "tensors": tensors}
    header = zlib.compress(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode("utf-8"), 9
    )
    data = b"".join([START.pack(MAGIC, VERSION, DEFLATED, len(header)), header, *parts])
    path = pathlib.Path(path).expanduser()
    try:
        write_bytes(path, data + hashlib.sha256(data).digest())
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return len(data) + DIGEST


def read(path: str | os.PathLike) -> keras.Model:
    """Read a model from a compressed file.

    Args:
        path: Path of the file.

    Returns:
        An uncompiled keras.Model with the weights that were written.

    Raises:
        RunError: If there is no such file, it is damaged or of a newer version, or has layers that
            are not registered. The message is one line with the path.

    >>> import tempfile
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="logits")])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.cvz")
    ...     bytes = write(model, path)
    ...     read(path).get_layer("logits").units
    2
    """
    path = pathlib.Path(path).expanduser()
    with naming_damage(path):
        header, parts, size = _open(path)
        specs = weight_specs(header["model"])
        values = sum(math.prod(shape) for _, shape, _ in specs)
        if values > WEIGHTS_PER_BYTE * size:  # before the model is allocated
            raise ValueError(f"its layers have {values:,} weights, but it has {size:,} bytes")
        rows = [(row["path"], tuple(row["shape"]), row["dtype"]) for row in header["tensors"]]
        if rows != specs:
            raise ValueError("its tensors are not the weights of its model")
        model = keras.saving.deserialize_keras_object(header["model"], safe_mode=True)
        if not getattr(model, "outputs", None):
            raise ValueError("it holds no model with layers")
        if (names := header["class_names"]) and len(names) != model.outputs[0].shape[-1]:
            raise ValueError(
                f"it names {len(names)} classes and has {model.outputs[0].shape[-1]} outputs"
            )
        for weight, row, data in zip(model.weights, header["tensors"], parts, strict=True):
            weight.assign(_decode(row, data)[0])
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()  # computes mean and variance from weights
        return model


def class_names(path: str | os.PathLike) -> tuple[str, ...]:
    """Read the names of the classes of a compressed model.

    Args:
        path: Path of the file.

    Returns:
        A tuple of names, one for each output; empty if the file has none.

    Raises:
        RunError: If there is no such file, or it is damaged or of a newer version.

    >>> import tempfile
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.cvz")
    ...     bytes = write(model, path, class_names=["cat", "dog"])
    ...     class_names(path)
    ('cat', 'dog')
    """
    path = pathlib.Path(path).expanduser()
    with naming_damage(path):
        return tuple(_open(path)[0]["class_names"])


def sizes(path: str | os.PathLike) -> list[Size]:
    """Measure the tensors in a compressed file.

    Args:
        path: Path of the file.

    Returns:
        A `Size` for each tensor, in the order of keras.Model.weights. The rest of the file's bytes
        are its header and the checksum.

    Raises:
        RunError: If there is no such file, or it is damaged or of a newer version.

    >>> import tempfile
    >>> model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(300, use_bias=False)])
    >>> _ = model.layers[0].kernel.assign(keras.ops.eye(784, 300))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.cvz")
    ...     bytes = write(model, path)
    ...     (row,) = sizes(path)
    >>> row.coding, row.weights, row.kept, row.gap_bits
    ('shared', 235200, 300, 8)
    """
    path = pathlib.Path(path).expanduser()
    with naming_damage(path):
        header, parts, _ = _open(path)
        return [_decode(row, data)[1] for row, data in zip(header["tensors"], parts, strict=True)]


def is_compressed(path: str | os.PathLike) -> bool:
    """Check by its name or content whether a file is a compressed model, possibly a damaged one."""
    path = pathlib.Path(path).expanduser()
    if path.suffix == SUFFIX:
        return True
    try:
        require_regular(path)
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, RunError):
        return False


def _config(model: keras.Model) -> dict[str, Any]:
    """Return the config of a model as a JSON object, without that of its compilation."""
    config = keras.saving.serialize_keras_object(model)
    return json.loads(json.dumps({k: v for k, v in config.items() if k != "compile_config"}))


def _open(path: pathlib.Path) -> tuple[dict[str, Any], list[bytes], int]:
    """Check a file; return its header, the bytes of each tensor, and its size."""
    data = path.read_bytes()
    if len(data) < START.size + DIGEST or not data.startswith(MAGIC):
        raise ValueError("it is not a compressed model (.cvz)")
    _, version, flags, length = START.unpack_from(data)
    if version > VERSION:
        raise ValueError(f"its format has version {version}, and {VERSION} is the latest known")
    body, digest = data[:-DIGEST], data[-DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("it is damaged: its checksum is wrong")
    begin = START.size + length
    if version < 1 or flags & ~DEFLATED or begin > len(body):
        raise ValueError("it is damaged: its first bytes are wrong")
    text = body[START.size : begin]
    if flags & DEFLATED:
        inflater = zlib.decompressobj()
        text = inflater.decompress(text, ENTRY_BYTES)
        if not inflater.eof:
            raise ValueError(f"its header is damaged or larger than {ENTRY_BYTES:,} bytes")
    header = json.loads(text)
    try:
        for row in header["tensors"]:
            if any(type(side) is not int or side < 0 for side in row["shape"]):
                raise ValueError(f"the shape of {row['path']} is {row['shape']}")
        ends = [0, *itertools.accumulate(row["length"] for row in header["tensors"])]
        if [row["offset"] for row in header["tensors"]] != ends[:-1]:
            raise ValueError("its tensors are not one after the other")
        if not all(isinstance(name, str) for name in header["class_names"]):
            raise ValueError("the names of its classes are not text")
    except (LookupError, TypeError) as error:
        raise ValueError("its header lacks fields of a compressed model") from error
    if begin + ends[-1] != len(body):
        raise ValueError("its tensors have another size than its header states")
    parts = [body[begin + a : begin + b] for a, b in itertools.pairwise(ends)]
    return header, parts, len(data)


def _encode(values: np.ndarray) -> tuple[str, bytes]:
    """Return the smallest coding of a tensor, and its bytes."""
    if not values.size:
        return "raw", b""
    # Values are compared as bit patterns, which tells -0.0 from 0.
    patterns = np.ascontiguousarray(values).view(f"<u{values.itemsize}").reshape(values.shape)
    nonzero = patterns[patterns != 0]
    book, counts = None, None
    if len(np.unique(nonzero[:SAMPLE])) <= VALUES:
        book, counts = np.unique(nonzero, return_counts=True)
        if len(book) > VALUES:
            book, counts = None, None
    found = [(patterns.nbytes, "raw", patterns.tobytes)]
    if len(nonzero) <= SPARSE * patterns.size:
        found += _with_gaps(patterns, book, counts)
    found += _indexed(patterns, book, counts, keras.backend.is_float_dtype(str(values.dtype)))
    if values.dtype == "float32" and values.ndim > 1:
        found += _scaled(values.reshape(-1, values.shape[-1]))
    _, coding, encode = min(found, key=lambda candidate: candidate[0])
    return coding, encode()


def _with_gaps(patterns, book, counts):
    """Yield (bytes, coding, function that encodes) for each order and number of bits of a gap."""
    for order in range(min(patterns.ndim, 2)):
        flat = (np.moveaxis(patterns, -1, 0) if order else patterns).ravel()
        places = np.flatnonzero(flat)
        nonzero = flat[places]
        zeros = np.diff(places, prepend=-1, append=flat.size) - 1  # the last follow all values
        for gap_bits in GAP_BITS:
            filler = 2**gap_bits - 1
            fillers = int((zeros >> gap_bits).sum())
            gaps = np.bincount(zeros[:-1] & filler, minlength=filler + 1)
            gaps[filler] += fillers
            size, encode = 2 + _stream_size(gaps), (order, gap_bits, nonzero, zeros)
            sparse = size + 4 + (len(places) + fillers) * patterns.itemsize
            yield sparse, "sparse", functools.partial(_encode_with_gaps, None, *encode)
            if book is not None:
                size += 2 + book.nbytes + _stream_size(np.append(counts, fillers))
                yield size, "shared", functools.partial(_encode_with_gaps, book, *encode)


def _encode_with_gaps(book, order, gap_bits, nonzero, zeros):
    """Encode a tensor from its values and the number of zeros before each, and after the last."""
    filler = 2**gap_bits - 1
    last = np.cumsum((zeros >> gap_bits) + 1) - 1  # places after the fillers
    gaps = np.full(last[-1], filler, "uint16")
    gaps[last[:-1]] = zeros[:-1] & filler
    start, end = struct.pack("<BB", order, gap_bits), _stream(gaps, filler + 1)
    if book is None:
        numbers = np.zeros(last[-1], nonzero.dtype)
        numbers[last[:-1]] = nonzero
        return start + struct.pack("<I", len(numbers)) + numbers.tobytes() + end
    values = np.full(last[-1], len(book), "uint16")
    values[last[:-1]] = np.searchsorted(book, nonzero)
    start += struct.pack("<H", len(book)) + book.tobytes()
    return start + _stream(values, len(book) + 1) + end


def _indexed(patterns, book, counts, is_float):
    """Yield (bytes, coding, function that encodes) with one codebook, and with one per filter."""
    columns = patterns.reshape(-1, patterns.shape[-1] if patterns.ndim > 1 else 1)
    if book is not None:
        every = np.append(np.zeros(1, book.dtype), book)
        often = np.append(patterns.size - counts.sum(), counts)
        yield _with_codebooks(patterns.reshape(-1, 1), [(every, often)], is_float)
    few = len(np.unique(columns[:SAMPLE, :1]))
    if 2 * few <= len(columns) and (book is None or 2 * few <= len(book)):
        tallies = [np.unique(column, return_counts=True) for column in columns.T]
        yield _with_codebooks(columns, tallies, is_float)


def _with_codebooks(columns, tallies, is_float):
    """Return the candidate of `_indexed` with a codebook per column.

    Args:
        columns: Bit patterns (weights, columns).
        tallies: For each column, its bit patterns and how often they occur.
        is_float: Whether the highest bit is the sign.
    """
    books = [values[values != 0] for values, _ in tallies]
    sign, numbers = columns.dtype.type(0), max(map(len, books))
    coding = "indexed"
    if is_float:
        highest = columns.dtype.type(1 << (8 * columns.itemsize - 1))
        magnitudes = [np.unique(values & ~highest) for values in books]
        if max(map(len, magnitudes)) < numbers and not any(0 in values for values in magnitudes):
            books, sign = magnitudes, highest
        if numbers == 2:
            has_zero = any(np.any(often[values == 0]) for values, often in tallies)
            coding = "ternary" if has_zero else "binary"
    numbers = max(map(len, books))
    if not 0 < numbers <= VALUES:
        return math.inf, coding, None
    counts = np.zeros(1 + numbers * (2 if sign else 1), "int64")
    for (values, often), book in zip(tallies, books, strict=True):
        np.add.at(counts, _digits(values, book, numbers, sign), often)
    size = 3 + len(books) * numbers * columns.itemsize + _stream_size(counts)
    return size, coding, functools.partial(_encode_indexed, columns, books, numbers, sign)


def _encode_indexed(columns, books, numbers, sign):
    """Encode the columns of a tensor as indices into their codebooks."""
    flags = (PER_FILTER if len(books) > 1 else 0) | (MIRRORED if sign else 0)
    table = np.zeros((len(books), numbers), columns.dtype)
    digits = np.empty(columns.shape, "uint16")
    for i, book in enumerate(books):
        table[i, : len(book)] = book
        digits[:, i] = _digits(columns[:, i], book, numbers, sign)
    start = struct.pack("<BH", flags, numbers) + table.tobytes()
    return start + _stream(digits.ravel(), 1 + numbers * (2 if sign else 1))


def _scaled(columns):
    """Yield (bytes, coding, function that encodes) if each column is integers times a scale."""
    for most in LARGEST:
        if _scales(columns[:, :1], most).all() and (scales := _scales(columns, most)).all():
            symbols = (np.rint(columns / scales).ravel() + most).astype("uint16")
            size = 1 + scales.nbytes + _stream_size(np.bincount(symbols, minlength=2 * most + 1))
            yield size, "scaled", functools.partial(_encode_scaled, symbols, scales, most)
            return


def _scales(columns, most):
    """Return the scale of each column whose largest integer is `most`; 0 for other columns."""
    tiny = np.finfo("float32").tiny
    about = np.maximum(np.abs(columns).max(0), tiny * 2 * most) / np.float32(most)
    found = np.zeros_like(about)
    for scales in (about, np.nextafter(about, np.float32(0)), np.nextafter(about, np.float32(1))):
        exact = (np.rint(columns / scales) + 0) * scales  # without -0.0
        fits = (exact.view("uint32") == columns.view("uint32")).all(0)
        found = np.where(fits, scales, found)
    return found


def _encode_scaled(symbols, scales, most):
    """Encode a tensor as integers, and a scale for each column."""
    return struct.pack("<B", most) + scales.tobytes() + _stream(symbols, 2 * most + 1)


def _digits(values, book, numbers, sign):
    """Return the indices of bit patterns in a codebook, which has no negatives if `sign` is set."""
    magnitudes = values & ~sign
    digits = 1 + np.searchsorted(book, magnitudes) + numbers * (magnitudes != values)
    return np.where(values == 0, 0, digits)


def _stream_size(counts):
    """Return the number of bytes of a stream of symbols that occur so often."""
    n, bits = int(counts.sum()), int((counts * huffman.code_lengths(counts)).sum())
    if bits >= huffman.POSITIONS:
        return math.inf
    return 8 + -(-len(counts) // 2) + 4 * max(-(-n // huffman.BLOCK) - 1, 0) + -(-bits // 8)


def _stream(symbols, count):
    """Return the stream of symbols out of `count`."""
    lengths = huffman.code_lengths(np.bincount(symbols, minlength=count))
    data = huffman.encode(symbols, lengths)
    pairs = np.append(lengths, np.zeros(count % 2, "uint8")).reshape(-1, 2)
    table = (pairs[:, 0] << 4 | pairs[:, 1]).tobytes()
    return struct.pack("<II", len(symbols), len(data)) + table + data


class _Reader:
    """Parts of the bytes of a tensor, one after the other."""

    def __init__(self, data):
        self.data, self.place = data, 0

    def take(self, count):
        """Return the next bytes."""
        part = self.data[self.place : self.place + count]
        if len(part) < count:
            raise ValueError("a tensor is shorter than it states")
        self.place += count
        return part

    def unpack(self, form):
        """Return the next integers."""
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def numbers(self, count, dtype):
        """Return the next numbers; they are finite."""
        values = np.frombuffer(self.take(count * dtype.itemsize), dtype)
        if not np.isfinite(values).all():
            raise ValueError("a tensor has numbers that are NaN or infinite")
        return values

    def stream(self, count, most):
        """Return the symbols of the next stream, at most `most`, their mean bits, and its bytes."""
        begin = self.place
        n, length = self.unpack("<II")
        if n > most:
            raise ValueError(f"a stream has {n:,} symbols for {most:,} weights")
        pairs = np.frombuffer(self.take(-(-count // 2)), "uint8")
        lengths = np.stack([pairs >> 4, pairs & 15], -1).ravel()[:count]
        symbols = huffman.decode(self.take(length), n, lengths)
        return symbols, float(lengths[symbols].mean()) if n else 0.0, self.place - begin


def _decode(row, data):
    """Return a tensor as an array, and its `Size`."""
    dtype = np.dtype(keras.backend.standardize_dtype(row["dtype"]))
    shape, size, coding = tuple(row["shape"]), math.prod(row["shape"]), row["coding"]
    reader = _Reader(data)
    gap_bits, gap_mean, gap_bytes, book_bytes = 0, 0.0, 0, 0
    if coding == "raw":
        bits = 8 * dtype.itemsize
        values, mean, value_bytes = reader.numbers(size, dtype), float(bits), len(data)
    elif coding in ("shared", "sparse"):
        order, gap_bits = reader.unpack("<BB")
        if order > 1 or not 1 <= gap_bits <= 8:
            raise ValueError("a tensor has an unknown order or gap")
        if coding == "shared":
            (k,) = reader.unpack("<H")
            book, bits = reader.numbers(k, dtype), math.ceil(math.log2(max(k, 1)))
            book_bytes = book.nbytes
            indices, mean, value_bytes = reader.stream(k + 1, size)
            numbers = np.append(book, np.zeros(1, dtype))[indices]
        else:
            (n,) = reader.unpack("<I")
            numbers = reader.numbers(n, dtype)
            bits, mean, value_bytes = 8 * dtype.itemsize, 8.0 * dtype.itemsize, numbers.nbytes
        gaps, gap_mean, gap_bytes = reader.stream(2**gap_bits, size)
        places = np.cumsum(gaps + np.int64(1)) - 1
        after = size - 1 - (int(places[-1]) if len(places) else -1)
        if len(gaps) != len(numbers) or not 0 <= after < 2**gap_bits:
            raise ValueError("the positions of a tensor do not fit its shape")
        values = np.zeros(size, dtype)
        values[places] = numbers
        if order:
            values = np.moveaxis(values.reshape(shape[-1:] + shape[:-1]), 0, -1)
    elif coding in ("indexed", "binary", "ternary"):
        flags, numbers = reader.unpack("<BH")
        if flags & ~(PER_FILTER | MIRRORED):
            raise ValueError("a tensor has unknown flags")
        groups = shape[-1] if flags & PER_FILTER else 1
        book = reader.numbers(groups * numbers, dtype).reshape(groups, numbers)
        book_bytes = book.nbytes
        count = 1 + numbers * (2 if flags & MIRRORED else 1)
        indices, mean, value_bytes = reader.stream(count, size)
        if len(indices) != size or groups > size:
            raise ValueError("a tensor has not one index for each weight")
        negatives = [-book] if flags & MIRRORED else []
        table = np.concatenate([np.zeros((groups, 1), dtype), book, *negatives], 1)
        values = np.take_along_axis(table.T, indices.reshape(-1, groups).astype("int64"), 0)
        bits = math.ceil(math.log2(len(np.unique(indices))))
    elif coding == "scaled":
        (most,) = reader.unpack("<B")
        scales = reader.numbers(shape[-1], dtype)
        book_bytes, bits = scales.nbytes, math.ceil(math.log2(2 * most + 1))
        symbols, mean, value_bytes = reader.stream(2 * most + 1, size)
        if len(symbols) != size:
            raise ValueError("a tensor has not one integer for each weight")
        values = (symbols.reshape(shape).astype("float32") - most) * scales
        if not np.isfinite(values).all():
            raise ValueError("a tensor has numbers that are NaN or infinite")
    else:
        raise ValueError(f"{row['path']} has the unknown coding {coding!r}")
    if reader.place != len(data):
        raise ValueError("a tensor is longer than it states")
    values = values.reshape(shape)
    return values, Size(
        row["path"],
        shape,
        coding,
        weights=size,
        kept=int(np.count_nonzero(values)),
        bits=bits,
        value_bits=mean,
        gap_bits=gap_bits,
        gap_bits_coded=gap_mean,
        value_bytes=value_bytes,
        index_bytes=gap_bytes,
        codebook_bytes=book_bytes,
        bytes=len(data),
    )
