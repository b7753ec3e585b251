"""Compressed files: exact for any model, readable by another program, and safe to open."""

import hashlib
import json
import struct
import zlib

import keras
import ml_dtypes
import numpy as np
import pytest
from keras import layers
from networks import SMALL, small
from test_compression import images_for, scaled

from cvcourse import classifier, training
from cvcourse.compression import compressed_file
from cvcourse.compression.compressed_file import read, sizes, write
from cvcourse.errors import RunError

FAST = ["lenet5", "shufflenet_v1"]
RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 3, 24, 32)).astype("float32")
SCALES = np.abs(KERNEL).mean((0, 1, 2))  # of the filters
LIMITS = np.abs(KERNEL).max((0, 1, 2))
UNIT = KERNEL / LIMITS


def nearest(values, codebook):
    """Each value's nearest of the codebook."""
    codebook = np.array(codebook, "float32")
    return codebook[np.abs(values[..., None] - codebook).argmin(-1)]


def pruned(values, density=0.1):
    return np.where(np.abs(values) > np.quantile(np.abs(values), 1 - density), values, 0)


CENTROIDS = np.linspace(-3, 3, 16)
TENSORS = {  # name: (tensor, coding, most bits of a weight)
    "normal": (KERNEL, "raw", 32),
    "pruned": (pruned(KERNEL), "sparse", 4),
    "pruned_shared": (np.where(pruned(KERNEL) != 0, nearest(KERNEL, CENTROIDS), 0), "shared", 1),
    "few": (pruned(KERNEL, 0.002), "shared", 0.2),
    "shared": (nearest(KERNEL, CENTROIDS), "indexed", 3.7),
    "binary_connect": (np.sign(KERNEL), "binary", 1.1),
    "bwn": (np.sign(KERNEL) * SCALES, "binary", 1.3),
    "twn": (np.sign(KERNEL) * (np.abs(KERNEL) > 0.5) * np.float32(0.7) + 0, "ternary", 1.7),
    "twn_per_filter": (np.sign(KERNEL) * (np.abs(KERNEL) > 0.5) * SCALES + 0, "ternary", 1.9),
    "ttq": (nearest(KERNEL, [-0.7, 0, 1.1]), "ternary", 1.7),
    "four_bits_per_filter": (np.round(KERNEL / SCALES) * SCALES + 0, "indexed", 4),
    "eight_bits_per_filter": (np.round(127 * UNIT) * (LIMITS / np.float32(127)) + 0, "scaled", 8),
    "zeros": (np.zeros((50, 784), "float32"), "shared", 0.1),
    "ones": (np.ones(64, "float32"), "indexed", 4),
    "negative_zeros": (np.where(KERNEL > 1, KERNEL, np.float32(-0.0)), "indexed", 10),
    "number": (np.float32(2.5), "raw", 32),
    "empty": (np.zeros((3, 0), "float32"), "raw", 0),
    "float64": (pruned(KERNEL).astype("float64"), "sparse", 8),
    "float16": (KERNEL.astype("float16"), "raw", 16),
    "bfloat16": (nearest(KERNEL, CENTROIDS).astype(ml_dtypes.bfloat16), "indexed", 3.7),
    "bfloat16_bwn": ((np.sign(KERNEL) * SCALES).astype(ml_dtypes.bfloat16), "binary", 1.3),
    "int8": (np.round(KERNEL * 20).astype("int8"), "indexed", 7),
    "uint32": (np.array([1, 2**32 - 1], "uint32"), "raw", 32),
    "bool": (KERNEL > 1, "shared", 1),
}


BITS = {"pruned_shared": 3, "shared": 4, "binary_connect": 1, "bwn": 1, "twn": 2, "ttq": 2}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_of_each_kind_has_the_smallest_exact_coding(name):
    tensor, expected, most = TENSORS[name]
    tensor = np.asarray(tensor)
    coding, data = compressed_file._encode(tensor)
    row = {"path": "kernel", "shape": tensor.shape, "dtype": str(tensor.dtype), "coding": coding}
    decoded, size = compressed_file._decode(row, data)
    assert (decoded.dtype, decoded.shape) == (tensor.dtype, tensor.shape)
    assert decoded.tobytes() == tensor.tobytes()
    assert compressed_file._encode(decoded) == (coding, data)
    assert size.kept == np.count_nonzero(tensor) and size.bytes == len(data)
    assert coding == expected
    if name in BITS:
        assert size.bits == BITS[name]
    assert 8 * len(data) <= most * tensor.size


def compressed(model, density=0.1):
    """Prune and share the kernels of a model in place."""
    for weight in model.weights:
        if weight.name == "kernel":
            values = np.array(weight)
            codebook = np.linspace(values.min(), values.max(), 16)
            weight.assign(np.where(pruned(values, density) != 0, nearest(values, codebook), 0))
    return model


def nested():
    """A net within a net, a layer that is called twice, a frozen one, attention, two outputs."""
    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(6, 3, name="conv", trainable=False)(image)
    inner = keras.Model(image, layers.BatchNormalization(name="bn")(x), name="inner")
    image = keras.Input((4, 4, 2), name="image")
    x = layers.Reshape((4, 6), name="rows")(inner(layers.Rescaling(2.0)(image)))
    dense = layers.Dense(6, name="twice")
    x = dense(dense(x)) + x
    x = layers.MultiHeadAttention(2, 3, dropout=0.5, name="attention")(x, x)
    logits = layers.Dense(3, name="logits")(layers.Flatten()(keras.ops.relu(x)))
    return keras.Model(image, {"rows": x, "logits": logits}, name="outer")


def sequential():
    stack = [layers.Conv2D(8, 5), layers.BatchNormalization(), layers.Flatten(), layers.Dense(3)]
    return compressed(keras.Sequential([keras.Input((8, 8, 3)), *stack], name="stack"))


def two_inputs():
    a, b = keras.Input((4, 4, 2), name="a"), keras.Input((3,), name="b")
    x = layers.Concatenate()([layers.Flatten()(a), b])
    return keras.Model([a, b], [layers.Dense(2)(x), layers.Dense(1)(b)])


def normalized():
    """The mean and the variance are computed from weights."""
    normalization = layers.Normalization()
    normalization.adapt(RNG.normal(3, 5, (50, 4, 4, 2)).astype("float32"))
    return keras.Sequential([keras.Input((4, 4, 2)), normalization, layers.Conv2D(3, 2)])


def compiled():
    """With states of an optimizer, of metrics and of a random layer."""
    model = keras.Sequential([*sequential().layers[:-1], layers.Dropout(0.5), layers.Dense(3)])
    model.compile("adam", "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    model(np.ones((4, 8, 8, 3)), training=True)
    return model


MODELS = {
    "sequential": sequential,
    "nested": nested,
    "two_inputs": two_inputs,
    "normalized": normalized,
    "compiled": compiled,
}


def assert_exact(model, tmp_path):
    """Weights, outputs and the bytes of a second file are equal to the bit."""
    path = tmp_path / "model.cvz"
    written = write(model, path)
    again = read(path)
    assert written == path.stat().st_size
    assert type(again).__name__ == type(model).__name__ and not again.compiled
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    for new, old in zip(again.weights, model.weights, strict=True):
        assert (new.name, new.dtype, new.trainable) == (old.name, old.dtype, old.trainable)
        assert np.array(new).tobytes() == np.array(old).tobytes()
    x = [RNG.normal(size=(2, *i.shape[1:])).astype("float32") for i in model.inputs]
    outputs = [keras.tree.flatten(net(x if len(x) > 1 else x[0])) for net in (again, model)]
    for new, old in zip(*outputs, strict=True):
        assert np.array(new).tobytes() == np.array(old).tobytes()
    write(again, tmp_path / "again.cvz")
    assert (tmp_path / "again.cvz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_any_model_survives_to_the_bit(name, tmp_path):
    assert_exact(MODELS[name](), tmp_path)


@pytest.fixture(params=["mixed_bfloat16", "bfloat16"])
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


def test_other_precisions_survive_to_the_bit(policy, tmp_path):
    model = sequential()
    assert model.weights[0].dtype == ("bfloat16" if policy == "bfloat16" else "float32")
    assert_exact(model, tmp_path)
    x = images_for(model)
    keras.config.set_dtype_policy("float32")
    again = read(tmp_path / "model.cvz")
    assert np.array(again(x)).tobytes() == np.array(model(x)).tobytes()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in SMALL]
)
def test_each_family_survives_to_the_bit(name, tmp_path):
    assert_exact(compressed(small(name)), tmp_path)


def test_computed_kernels_are_baked(tmp_path):
    model = scaled(nested(), minimum=1)
    model.get_layer("twice")._computed[0].assign(3.0)
    write(model, tmp_path / "model.cvz")
    again = read(tmp_path / "model.cvz")
    assert type(again.get_layer("twice")) is layers.Dense
    x = images_for(model)
    np.testing.assert_array_equal(again(x)["logits"], model(x)["logits"])


def unpack(data):
    """Read a compressed file as its documentation says, one bit at a time."""
    magic, version, flags, length = struct.unpack("<8sHHI", data[:16])
    assert (magic, version, flags) == (b"\x89CVZ\r\n\x1a\n", 1, 1)
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    text = zlib.decompress(data[16 : 16 + length])
    header = json.loads(text)
    assert text == json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    place, tensors = 16 + length, []

    def take(form):
        nonlocal place
        place += struct.calcsize("<" + form)
        return struct.unpack_from("<" + form, data, place - struct.calcsize("<" + form))

    def stream(symbols):
        nonlocal place
        n, size = take("II")
        nibbles = [half for byte in take(f"{-(-symbols // 2)}B") for half in (byte >> 4, byte & 15)]
        take("I" * max(-(-n // 4096) - 1, 0))
        codes, code, before = {}, 0, 0
        for bits, symbol in sorted((b, s) for s, b in enumerate(nibbles) if b):
            code <<= bits - before
            codes[f"{code:0{bits}b}"], code, before = symbol, code + 1, bits
        found, word = [], ""
        size -= 4 * max(-(-n // 4096) - 1, 0)
        for bit in "".join(f"{byte:08b}" for byte in take(f"{size}B")):
            word += bit
            if word in codes and len(found) < n:
                found.append(codes[word])
                word = ""
        return found

    for row in header["tensors"]:
        assert place == 16 + length + row["offset"]
        shape, count = row["shape"], int(np.prod(row["shape"]))
        if row["coding"] == "raw":
            tensors.append(np.reshape(take(f"{count}f"), shape))
        elif row["coding"] in ("shared", "sparse"):
            order, gap_bits = take("BB")
            if row["coding"] == "shared":
                (k,) = take("H")
                codebook = [*take(f"{k}f"), 0.0]
                values = [codebook[index] for index in stream(k + 1)]
            else:
                values = take("{}f".format(*take("I")))
            flat = []
            for gap, value in zip(stream(2**gap_bits), values, strict=True):
                flat += [0.0] * gap + [value]
            flat += [0.0] * (count - len(flat))
            if order:
                flat = np.moveaxis(np.reshape(flat, (shape[-1], *shape[:-1])), 0, -1)
            tensors.append(np.reshape(flat, shape))
        elif row["coding"] == "scaled":
            (most,) = take("B")
            scales = np.array(take(f"{shape[-1]}f"), "float32")
            integers = np.reshape(stream(2 * most + 1), shape).astype("float32") - most
            tensors.append(integers * scales)
        else:
            kind, m = take("BH")
            filters = shape[-1] if kind & 1 else 1
            books = np.reshape(take(f"{filters * m}f"), (filters, m))
            books = np.hstack([books, -books] if kind & 2 else [books])
            indices = stream(1 + books.shape[1])
            flat = [i and books[p % filters, i - 1] for p, i in enumerate(indices)]
            tensors.append(np.reshape(flat, shape))
        assert place == 16 + length + row["offset"] + row["length"]
    assert place == len(data) - 32
    return header, tensors


def test_another_program_can_read_the_file(tmp_path):
    rows = [row for row in TENSORS.values() if np.shape(row[0]) == KERNEL.shape]
    rows = [row for row in rows if row[0].dtype == np.float32]
    assert {"raw", "shared", "sparse", "indexed", "binary", "ternary", "scaled"} == {
        row[1] for row in rows
    }
    image = keras.Input((4, 4, 24))
    convolutions = [layers.Conv2D(32, 3, use_bias=False, name=f"c{i}") for i in range(len(rows))]
    model = keras.Model(image, [convolution(image) for convolution in convolutions])
    for convolution, (kernel, _, _) in zip(convolutions, rows, strict=True):
        convolution.kernel.assign(kernel)
    write(model, tmp_path / "model.cvz", class_names=[str(i) for i in range(32)])
    header, tensors = unpack((tmp_path / "model.cvz").read_bytes())
    assert header["class_names"] == [*compressed_file.class_names(tmp_path / "model.cvz")]
    assert [row["coding"] for row in header["tensors"]] == [coding for _, coding, _ in rows]
    for row, weight, tensor in zip(header["tensors"], model.weights, tensors, strict=True):
        assert row["path"] == weight.path
        assert tensor.astype("float32").tobytes() == np.array(weight).tobytes()


def test_gaps_of_the_paper():
    """Figure 2: with 3 bits, a filler of 0 is added where a gap spans more than 8."""
    weights = np.zeros(16, "float32")
    weights[[1, 4, 15]] = 3.4, 0.9, 1.7
    book = np.sort(weights[weights != 0]).view("uint32")
    zeros = np.array([1, 2, 10, 0])
    nonzero = weights[weights != 0].view("uint32")
    data = compressed_file._encode_with_gaps(book, 0, 3, nonzero, zeros)
    reader = compressed_file._Reader(data[4 + 12 :])
    assert reader.stream(4, 16)[0].tolist() == [2, 0, 3, 1]  # 3 is the filler
    assert reader.stream(8, 16)[0].tolist() == [1, 2, 7, 2]  # differences of 2, 3, 8 and 3


def test_sizes(tmp_path):
    model = keras.Sequential([keras.Input((784,)), layers.Dense(300, name="dense")])
    kernel = np.zeros((784, 300), "float32")
    kernel[::7, ::3] = 0.5
    kernel[0, 0] = -1
    model.layers[0].kernel.assign(kernel)
    model.layers[0].bias.assign(RNG.normal(size=300))
    written = write(model, tmp_path / "model.cvz")
    weights, bias = sizes(tmp_path / "model.cvz")
    assert (weights.name, weights.shape, weights.coding) == ("dense/kernel", (784, 300), "shared")
    assert (weights.weights, weights.kept, weights.bits) == (235_200, 11_200, 1)
    # Filter by filter: 100 times 1,574 zeros, of which 6 fillers of 8 bits skip 256 each.
    assert (weights.gap_bits, weights.codebook_bytes) == (8, 8)
    bits = 11_199 + 2 * (1 + 600)  # 1 bit for 0.5, 2 bits for -1 and the filler
    assert weights.value_bits == pytest.approx(bits / 11_800)
    assert weights.value_bytes == 8 + 2 + 4 * 2 + -(-bits // 8)
    parts = weights.value_bytes + weights.index_bytes + weights.codebook_bytes
    assert weights.bytes == parts + 4
    assert (bias.coding, bias.bits, bias.value_bits, bias.bytes) == ("raw", 32, 32.0, 1200)
    header = json.dumps(unpack((tmp_path / "model.cvz").read_bytes())[0])
    assert 48 < written - weights.bytes - bias.bytes < len(header)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A compressed file with tensors of several codings."""
    stack = [layers.Dense(16, name="hidden"), layers.Dense(3, name="logits")]
    model = keras.Sequential([keras.Input((12,)), *stack])
    kernel, bias, logits, _ = model.weights
    kernel.assign(compressed(model, 0.3).layers[0].kernel)
    bias.assign(RNG.normal(size=16))
    logits.assign(np.sign(RNG.normal(size=(16, 3))))
    path = tmp_path_factory.mktemp("file") / "model.cvz"
    write(model, path, class_names=["a", "b", "c"])
    return path


def refused(path):
    """Return the message with which a file is refused."""
    with pytest.raises(RunError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_each_flipped_byte_and_each_cut_is_refused(file, tmp_path):
    data = file.read_bytes()
    path = tmp_path / "damaged.cvz"
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        refused(path)
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        refused(path)
    path.write_bytes(data + b"\0")
    assert "it is damaged: its checksum is wrong" in refused(path)
    path.write_bytes(data.replace(b"\r\n", b"\n", 1))  # copied as text
    assert "it is not a compressed model" in refused(path)


def signed(path, data):
    """Write a file with a valid checksum."""
    path.write_bytes(data + hashlib.sha256(data).digest())
    return path


def test_damage_with_a_valid_checksum_never_crashes(file, tmp_path):
    """Only the message or the weights may differ."""
    data = file.read_bytes()[:-32]
    outcomes = []
    for place in range(16 + struct.unpack_from("<I", data, 12)[0], len(data)):
        changed = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        try:
            sizes(signed(tmp_path / "changed.cvz", changed))
            outcomes.append(True)
        except RunError:
            outcomes.append(False)
    assert 0.1 < np.mean(outcomes) < 0.9


def repacked(file, path, change, *, tensors=None):
    """Write a file whose header is changed by a function, with a valid checksum."""
    data = file.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    header = json.loads(zlib.decompress(data[16 : 16 + length]))
    header = change(header) or header
    text = json.dumps(header).encode()
    tensors = data[16 + length : -32] if tensors is None else tensors
    return signed(path, struct.pack("<8sHHI", data[:8], 1, 0, len(text)) + text + tensors)


def test_a_header_that_is_not_compressed_is_read(file, tmp_path):
    again = read(repacked(file, tmp_path / "plain.cvz", lambda header: None))
    for new, old in zip(again.weights, read(file).weights, strict=True):
        np.testing.assert_array_equal(new, old)


def change_layer(header, class_name="Dense", module="keras.layers", **config):
    layer = header["model"]["config"]["layers"][-1]
    layer |= {"class_name": class_name, "module": module}
    layer["config"] |= config


def change_first(header, **values):
    header["tensors"][0] |= values


CHANGES = {
    "its tensors are not the weights of its model": [
        lambda header: change_first(header, path="other"),
        lambda header: change_first(header, shape=[16, 12]),
        lambda header: change_first(header, shape=[2**20, 2**20, 2**20]),
        lambda header: change_first(header, dtype="float16"),
        lambda header: change_layer(header, units=4),
        lambda header: change_layer(header, name="other"),
    ],
    "its layers have .* weights, but it has .* bytes": [
        lambda header: change_layer(header, units=10**9),
        lambda header: change_layer(header, units=10**15),
    ],
    "the shape of hidden/kernel is": [lambda header: change_first(header, shape=[-1])],
    "its tensors have another size": [lambda header: header["tensors"][-1].update(length=9**20)],
    "not one after the other": [lambda header: change_first(header, length=7)],
    "has the unknown coding 'zip'": [lambda header: change_first(header, coding="zip")],
    "names of its classes": [lambda header: header.update(class_names=[1, 2, 3])],
    "it names 2 classes and has 3 outputs": [lambda header: header.update(class_names=["a", "b"])],
    "its header lacks fields": [
        lambda header: {"model": {}},
        lambda header: [1],
        lambda header: change_first(header, length=None),
        lambda header: header["tensors"][0].pop("shape") and None,
    ],
    "Could not locate class 'Unregistered'": [
        lambda header: change_layer(header, class_name="Unregistered", module="elsewhere"),
    ],
    "cannot read a model": [
        lambda header: header.update(model={"class_name": "Dense", "config": {"units": 3}}),
        lambda header: header.update(model=[]),
    ],
}


@pytest.mark.parametrize(
    ("words", "change"), [(words, change) for words, many in CHANGES.items() for change in many]
)
def test_a_header_that_does_not_fit_is_refused(words, change, file, tmp_path, monkeypatch):
    deserialize = keras.saving.deserialize_keras_object
    built = []

    def recorded(config, **options):
        if options:  # with memory for its weights
            built.append(config)
        return deserialize(config, **options)

    monkeypatch.setattr(keras.saving, "deserialize_keras_object", recorded)
    path = repacked(file, tmp_path / "changed.cvz", change)
    with pytest.raises(RunError, match=words):
        read(path)
    assert len(built) == ("names 2" in words or "coding" in words)
    assert "\n" not in refused(path)


def test_first_bytes_that_are_not_known_are_refused(file, tmp_path):
    data = file.read_bytes()[:-32]
    path = tmp_path / "other.cvz"
    newer = signed(path, data[:8] + b"\2\0" + data[10:])
    assert "its format has version 2, and 1 is the latest known" in refused(newer)
    for place, byte in ((8, 0), (10, 3), (11, 1), (15, 255)):
        signed(path, data[:place] + bytes([byte]) + data[place + 1 :])
        assert "its first bytes are wrong" in refused(path)
    bomb = zlib.compress(b" " * 2**25)
    signed(path, struct.pack("<8sHHI", data[:8], 1, 1, len(bomb)) + bomb)
    assert "its header is damaged or larger than 16,777,216 bytes" in refused(path)
    deep = b"[" * 10**6
    signed(path, struct.pack("<8sHHI", data[:8], 1, 0, len(deep)) + deep)
    refused(path)
    assert "No such file" in refused(tmp_path / "absent.cvz")
    path.unlink(), path.mkdir()
    assert "is a directory" in refused(path)


def stream(n, data, *lengths):
    pairs = [*lengths, 0][: len(lengths) + len(lengths) % 2]
    table = bytes(a << 4 | b for a, b in zip(pairs[::2], pairs[1::2], strict=True))
    return struct.pack("<II", n, len(data)) + table + data


ONE = struct.pack("<f", 1.0)
GAPS = (1, 1, *[0] * 6)
TWO = stream(2, b"\0", *GAPS)  # 2 values without gaps
BAD_TENSORS = {
    "shorter than it states": [("raw", b"\0" * 15), ("shared", b"\0"), ("indexed", b"\0\1")],
    "longer than it states": [("raw", b"\0" * 17)],
    "NaN or infinite": [
        ("raw", struct.pack("<4f", 0, np.nan, 0, 0)),
        ("shared", b"\0\3\1\0" + struct.pack("<f", np.inf) + stream(0, b"", 0, 0)),
        ("indexed", b"\0\1\0" + struct.pack("<f", -np.inf)),
    ],
    "unknown order or gap": [
        ("shared", b"\2\3\0\0"),
        ("shared", b"\0\0\0\0"),
        ("sparse", b"\0\x09"),
    ],
    "unknown flags": [("binary", b"\4\1\0" + ONE)],
    "no complete prefix code": [("shared", b"\0\3\1\0" + ONE + stream(1, b"\0", 2, 2))],
    "are not the codes of 4 symbols": [("shared", b"\0\3\1\0" + ONE + stream(4, b"", 1, 1))],
    "a stream has 5 symbols for 4 weights": [
        ("shared", b"\0\3\1\0" + ONE + stream(5, b"\0", 1, 1))
    ],
    "do not fit its shape": [
        ("shared", b"\0\3\1\0" + ONE + stream(2, b"\0", 1, 1) + stream(2, b"\xf0", *GAPS[::-1])),
        ("shared", b"\0\3\1\0" + ONE + stream(1, b"\0", 1, 1) + TWO),
        ("sparse", b"\0\1" + struct.pack("<I", 1) + ONE + stream(1, b"\0", 1, 0)),
    ],
    "not one integer for each weight": [("scaled", b"\1" + 2 * ONE + stream(0, b"", 0, 0, 0))],
    "not one index for each weight": [("ternary", b"\0\1\0" + ONE + stream(3, b"\0", 1, 1))],
}


@pytest.mark.parametrize(
    ("words", "coding", "data"), [(w, *row) for w, rows in BAD_TENSORS.items() for row in rows]
)
def test_a_tensor_that_does_not_fit_is_refused(words, coding, data):
    row = {"path": "kernel", "shape": [2, 2], "dtype": "float32", "coding": coding}
    with pytest.raises(ValueError, match=words):
        compressed_file._decode(row, data)


@keras.saving.register_keras_serializable("test")
class Forgetful(layers.Dense):
    """Its config does not describe its weights."""

    def get_config(self):
        return {**super().get_config(), "units": 2}


class Unregistered(layers.Dense):
    pass


class Subclassed(keras.Model):
    def call(self, x):
        return x


def test_what_cannot_be_written_is_refused_in_one_line(tmp_path):
    path = tmp_path / "model.cvz"

    def of(layer):
        return keras.Sequential([keras.Input((3,)), layer], name="net")

    bad = of(layers.Dense(3, name="logits"))
    bad.layers[0].bias.assign([0, np.nan, np.inf])
    words = {
        "needs a functional or Sequential model": Subclassed(),
        "logits/bias of net has weights that are NaN or infinite": bad,
        "net cannot be stored: Requested the deserialization of a `Lambda` layer": of(
            layers.Lambda(lambda x: x)
        ),
        "net cannot be stored: Could not locate class 'Unregistered'": of(Unregistered(3)),
        "net has weights that its config does not describe": of(Forgetful(3)),
        "net cannot be stored: words has a vocabulary": of(
            layers.IntegerLookup(vocabulary=[1, 2], name="words")
        ),
    }
    for message, model in words.items():
        with pytest.raises(ValueError, match=message) as caught:
            write(model, path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="net has 3 outputs; received 2 class names"):
        write(of(layers.Dense(3)), path, class_names=["a", "b"])
    with pytest.raises(RunError, match=r"cannot write .*absent/model\.cvz: No such file"):
        write(of(layers.Dense(3)), tmp_path / "absent" / "model.cvz")
    assert [*tmp_path.iterdir()] == []


def test_compressed_models_are_loaded_like_saved_ones(tmp_path):
    model = small("linear")
    names = [f"digit {i}" for i in range(10)]
    training.save_model(model, tmp_path / "model.keras", names)
    write(model, tmp_path / "model.cvz", class_names=names)
    (tmp_path / "other").write_bytes((tmp_path / "model.cvz").read_bytes())
    x = images_for(model)
    for name in ("model.keras", "model.cvz", "other"):
        loaded = classifier.load(str(tmp_path / name))
        assert loaded.class_names == tuple(names)
        np.testing.assert_array_equal(loaded.model(x), model(x))
    assert classifier.load(str(tmp_path / "model.cvz")).title == "model"
    write(model, tmp_path / "unnamed.cvz")
    assert training.load_model(tmp_path / "unnamed.cvz", named=False)[1] is None
    with pytest.raises(RunError, match=r"unnamed\.cvz: its classes have no names; give the model"):
        training.load_model(tmp_path / "unnamed.cvz")
