"""Exported files: equal to Keras in processes without it, and deleted if they are wrong."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import SMALL, lively, small
from PIL import Image

from cvcourse import classifier, compression
from cvcourse.compression import deployment, run_exported
from cvcourse.compression._deployable import exact_gelu
from cvcourse.compression.exported_process import ExportedProcess
from cvcourse.compression.surgery import replaced
from cvcourse.errors import RunError
from cvcourse.layers import DepthwiseConv2D
from cvcourse.models import pretrained

FLOATS = ("saved_model", "litert", "onnx", "openvino")
INTEGERS = ("litert_int8", "onnx_int8", "openvino_int8")
SLOW = ("saved_model", "openvino", "openvino_int8")  # their runtimes take seconds to import
LONG = [name for name in SMALL if name != "lenet5"]


def marked(targets):
    """Parameters for `parametrize`."""
    return [
        pytest.param(target, marks=pytest.mark.slow if target in SLOW else ()) for target in targets
    ]


def random(net):
    """Return a network without weights that are all 0, such as those of a head."""
    rng = np.random.default_rng(1)
    for variable in net.trainable_variables:
        if not np.any(variable):
            variable.assign(rng.normal(0, 0.05, variable.shape))
    return net


def images_of(net, count=20):
    """Random images of whole numbers, 0..255."""
    shape = (count, *net.input_shape[1:])
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


def error(found, expected):
    """The largest difference, as a share of the largest output."""
    return np.abs(np.array(found) - expected).max() / np.abs(expected).max()


def net_of(*chain, shape=(8, 8, 3)):
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input(shape), *chain, layers.Flatten(), layers.Dense(5)])
    return random(net)


def padded_pool(before):
    """A network with a padded max pool after a layer."""
    image = keras.Input((8, 8, 3))
    x = before(layers.Conv2D(4, 3, name="conv")(image))
    x = ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-6e4)
    x = layers.MaxPooling2D(3, 2)(x)
    return keras.Model(image, layers.Dense(5)(layers.Flatten()(x)))


def pads(net):
    """The numbers around maps."""
    found = [layer.function.keywords for layer in net.layers if isinstance(layer, layers.Lambda)]
    return [values["constant_values"] for values in found]


# ---- the form that every target takes ----


def test_normalization_becomes_one_multiplication():
    net = net_of(layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 0.0, 9.0], name="n"))
    copy = compression.deployable(net)
    layer = copy.get_layer("n")
    assert isinstance(layer, layers.Rescaling) and not layer.variables
    np.testing.assert_allclose(np.ravel(layer.scale)[0], 0.5)
    images = images_of(net)
    assert error(copy(images), np.array(net(images))) < 1e-6
    for axis in ((1, 2, 3), None, 2):
        norm = layers.Normalization(axis=axis)
        norm.adapt(images * np.arange(8)[:, None])
        net = net_of(norm)
        assert error(compression.deployable(net)(images), np.array(net(images))) < 1e-5


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_becomes_float32(policy):
    whole = net_of(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())
    keras.config.set_dtype_policy(policy)
    try:
        mixed = net_of(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(whole.get_weights())
    images = images_of(whole)
    copy = compression.deployable(mixed)
    assert error(mixed(images), np.array(whole(images))) > 1e-4
    assert error(copy(images), np.array(whole(images))) < 1e-6


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_padded_depthwise_convolution_becomes_two_layers(use_bias):
    conv = DepthwiseConv2D(
        3, strides=2, pad=((1, 0), (0, 1)), use_bias=use_bias, activation="relu6", name="d"
    )
    net = net_of(conv)
    copy = compression.deployable(net)
    assert type(copy.get_layer("d")) is layers.DepthwiseConv2D
    assert copy.get_layer("d_pad").padding == ((1, 0), (0, 1))
    images = images_of(net)
    assert error(copy(images), np.array(net(images))) < 1e-6


def test_gelu_is_exact():
    scipy_special = pytest.importorskip("scipy.special")
    x = np.linspace(-6, 6, 49, dtype="float32")
    expected = x * scipy_special.ndtr(x.astype("float64"))
    np.testing.assert_allclose(exact_gelu(x), expected, atol=1e-6)
    net = net_of(layers.Conv2D(4, 1, activation="gelu", name="c"))
    copy = compression.deployable(net)
    assert copy.get_layer("c").activation is exact_gelu
    assert net.get_layer("c").activation is keras.activations.gelu
    images = images_of(net)
    assert error(copy(images), np.array(net(images))) < 1e-6


@pytest.mark.parametrize(
    ("before", "is_positive"),
    [
        (layers.ReLU(), True),
        (layers.Activation("relu6"), True),
        (lambda x: layers.Dropout(0.5)(layers.Activation("relu")(x)), True),
        (layers.Identity(), False),
        (layers.LeakyReLU(), False),
        (layers.ReLU(negative_slope=0.1), False),
        (layers.Activation("tanh"), False),
    ],
)
def test_the_lowest_number_around_a_map(before, is_positive):
    """-6e4 around a map takes nearly the whole range of 8 bits."""
    net = padded_pool(before)
    images = images_of(net)
    expected = np.array(net(images))
    assert pads(compression.deployable(net)) == ([0.0] if is_positive else [])
    copy = compression.deployable(net, images)
    (lowest,) = pads(copy)
    assert lowest == 0 if is_positive else -6e4 < lowest < 0
    for each in (copy, compression.deployable(net)):
        assert error(each(images), expected) < 1e-6


def test_photos_of_any_size_are_resized_elsewhere():
    net = net_of(layers.Conv2D(4, 3, name="conv"))
    photos = pretrained.with_resizing(net, scaling="unit")
    copy = compression.deployable(photos)
    assert copy.input_shape == (None, 8, 8, 3)
    images = images_of(net)
    assert error(copy(images), np.array(photos(images))) < 1e-5


def test_unfit_models():
    image = keras.Input((None, None, 3))
    net = keras.Model(image, layers.GlobalAveragePooling2D()(image))
    with pytest.raises(ValueError, match="takes images of any size"):
        compression.deployable(net)
    image = keras.Input((4, 4, 3))
    with pytest.raises(ValueError, match="2 outputs; only one of each"):
        compression.deployable(keras.Model(image, [image + 1, image + 2]))

    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="needs a functional or Sequential model"):
        compression.deployable(Subclassed())


# ---- files ----


def exported(net, folder, *targets, **settings):
    rows = compression.export(net, folder, targets, **settings)
    details = json.loads((folder / "targets.json").read_text("utf-8"))
    assert [*rows] == [*targets] and rows.items() <= details["targets"].items()
    return rows


@pytest.mark.parametrize("target", marked(FLOATS))
def test_a_file_equals_keras_without_it(target, tmp_path):
    net = small("lenet5")  # that was never called: ONNX needs it
    row = exported(net, tmp_path, target, class_names=[*"abcdefghij"])[target]
    assert row["largest_difference"] < 1e-5
    assert row["input"] == {"dtype": "float32", "shape": [None, 32, 32, 1]}
    file = tmp_path / row["file"]
    parts = [file, file.with_suffix(".bin")] if target == "openvino" else [file]
    parts = [*file.rglob("*")] if file.is_dir() else parts
    assert row["bytes"] == sum(part.stat().st_size for part in parts if part.is_file())
    images = images_of(net)
    expected = np.array(net(images))
    with ExportedProcess(tmp_path, target) as process:
        for count in (1, 5, 2):
            assert error(process.predict(images[:count]), expected[:count]) < 1e-5
        assert process.modules == (["tensorflow"] if target == "saved_model" else [])
        assert len(process.seconds(images[:3], 4)) == 4
        assert 0 <= process.peak_bytes < 1e9
    model, names = deployment.read(file)
    assert names == tuple("abcdefghij")
    for each in (model(images), model.predict(images, batch_size=8, verbose=0)):
        assert error(each, expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_every_family(name, tmp_path):
    net = random(small(name))
    rows = exported(net, tmp_path, *FLOATS)
    assert all(row["largest_difference"] < 1e-4 for row in rows.values())


@pytest.mark.parametrize("target", marked(INTEGERS))
def test_a_file_of_8_bits(target, tmp_path):
    net = small("lenet5")
    images = images_of(net)
    row = exported(net, tmp_path, target, images=images)[target]
    assert row["largest_difference"] < 0.1
    assert row["input"]["dtype"] == ("uint8" if target == "litert_int8" else "float32")
    float_bytes = 4 * net.count_params()
    assert row["bytes"] < float_bytes / 2.5
    assert_no_saturation(tmp_path / row["file"])


def assert_no_saturation(path):
    """No CPU without VNNI adds two products of these weights in 16 bits beyond 16 bits."""
    if path.suffix == ".onnx":
        import onnx

        weights = onnx.load(path).graph.initializer
        assert onnx.TensorProto.INT8 not in {weight.data_type for weight in weights}
    elif path.suffix == ".xml":
        import openvino

        operations = openvino.Core().read_model(path).get_ops()
        weights = [each.get_data() for each in operations if each.get_type_name() == "Constant"]
        codes = [each for each in weights if each.dtype == np.int8]
        assert len(codes) == 5  # of LeNet-5's layers
        assert all(32 < np.abs(each).max() <= 64 for each in codes)


@pytest.mark.slow
@pytest.mark.parametrize("target", INTEGERS)
@pytest.mark.parametrize("name", ["resnet18", "resnet50_v2", "shufflenet_v2_x0_5", "se_resnet50"])
def test_padded_pools_keep_the_range_of_8_bits(name, target, tmp_path):
    """With -6e4 around the map the difference is 0.5 and more."""
    net = random(lively(small(name)))
    row = exported(net, tmp_path, target, images=images_of(net, 50))[target]
    bits = 7 if target == "openvino_int8" else 8  # of the weights, as `assert_no_saturation`
    assert row["largest_difference"] < 0.15 * 2 ** (8 - bits)


def test_targets_join_those_that_are_there(tmp_path):
    net, photo = small("lenet5"), tmp_path / "photo.png"
    Image.fromarray(np.zeros((32, 32), "uint8")).save(photo)
    first = exported(net, tmp_path, "litert")
    second = exported(net, tmp_path, "litert_fp16")
    assert (*first, *second) == ("litert", "litert_fp16")
    details = json.loads((tmp_path / "targets.json").read_text("utf-8"))
    assert details["targets"] == first | second
    script = [sys.executable, tmp_path / "run_litert.py", photo]
    assert len(subprocess.run(script, capture_output=True, check=True).stdout.splitlines()) >= 5
    # Another network's rows would describe other classes.
    exported(net_of(layers.Flatten()), tmp_path, "litert_fp16")
    details = json.loads((tmp_path / "targets.json").read_text("utf-8"))
    assert [*details["targets"]] == ["litert_fp16"]


def test_halves_and_dynamic_ranges(tmp_path):
    net = small("lenet5")
    rows = exported(net, tmp_path, "litert", "litert_fp16", "litert_dynamic")
    ratios = [rows["litert"]["bytes"] / row["bytes"] for row in rows.values()]
    assert ratios[1] > 1.9 and ratios[2] > 3
    assert 0 < rows["litert_fp16"]["largest_difference"] < 0.01
    assert 0 < rows["litert_dynamic"]["largest_difference"] < 0.05


def test_quantization_aware_networks_keep_their_ranges(tmp_path):
    net = compression.quantization_aware(net_of(layers.Conv2D(4, 3, activation="relu")))
    net = compression.calibrate(net, images_of(net))
    row = exported(net, tmp_path, "litert_int8")["litert_int8"]
    assert row["largest_difference"] < 0.02
    with pytest.raises(ValueError, match="there is the target litert_int8"):
        compression.export(net, tmp_path, ["onnx"])


# ---- what is wrong is deleted ----


def test_a_wrong_file_is_deleted_and_its_layer_named(tmp_path, monkeypatch):
    def write(source, path):
        wrong = replaced(source.net)
        for layer in wrong.layers:
            if layer.name == "second":
                layer.kernel.assign(layer.kernel + 0.1)
        deployment._to_litert(deployment.Source(wrong, source.images, source.folder), path)

    chain = (layers.Conv2D(4, 3, name="first"), layers.Conv2D(4, 3, name="second"))
    form = deployment.TARGETS["litert"]
    monkeypatch.setitem(deployment.TARGETS, "litert", dataclasses.replace(form, write=write))
    with pytest.raises(RunError, match=r"litert: the outputs differ .* with the layer second$"):
        compression.export(net_of(*chain), tmp_path, ["litert", "litert_fp16"])
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"litert_fp16.tflite", "run_litert_fp16.py", "targets.json"}
    assert [*json.loads((tmp_path / "targets.json").read_text("utf-8"))["targets"]] == [
        "litert_fp16"
    ]


def test_an_operation_that_a_target_lacks(tmp_path):
    """LiteRT has no antialiased resizing."""
    image = keras.Input((8, 8, 3))
    resized = ops.image.resize(layers.Conv2D(3, 1)(image), (6, 6), antialias=True)
    net = keras.Model(image, layers.Dense(5)(layers.Flatten()(resized)))
    message = "^litert: cannot be written: the layer resize.*: no operation ScaleAndTranslate$"
    with pytest.raises(RunError, match=message):
        compression.export(net, tmp_path, ["litert"])
    assert [path.name for path in tmp_path.iterdir()] == ["targets.json"]


def test_missing_packages_and_images(tmp_path, monkeypatch):
    net, folder = net_of(), tmp_path / "new"
    with pytest.raises(ValueError, match="litert_int8 needs images of a training split"):
        compression.export(net, folder, ["litert_int8"])
    with pytest.raises(ValueError, match="unknown target 'litret': did you mean 'litert'"):
        compression.export(net, folder, ["litret"])
    with pytest.raises(ValueError, match=r"span 0\.\.1"):
        scaled = net_of(layers.Normalization(mean=[120.0] * 3, variance=[3600.0] * 3))
        compression.export(scaled, folder, ["litert_int8"], images=images_of(net) / 255)
    monkeypatch.setattr(deployment, "_is_installed", lambda module: module != "openvino")
    message = r"openvino_int8 needs: pip install openvino, or: pip install cvcourse\[openvino\]"
    with pytest.raises(ValueError, match=message):
        compression.export(net, folder, ["openvino_int8"], images=images_of(net))
    assert not folder.exists()


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "litert.tflite").write_bytes(b"")
    with pytest.raises(RunError, match=r"not described by a targets\.json beside it"):
        deployment.read(tmp_path / "litert.tflite")
    compression.export(net_of(), tmp_path, ["litert", "onnx"])
    for name in ("litert.tflite", "onnx.onnx"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 3])
        with pytest.raises(RunError, match=f"cannot read .*{name}: "):
            deployment.read(tmp_path / name)


# ---- the script beside a file ----


@pytest.mark.parametrize("size", [(60, 41), (33, 70), (256, 256)])
def test_the_script_reads_images_as_keras(size, tmp_path):
    """Turned by EXIF, the largest centered part, resized with antialiasing, its center."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype("uint8")
    pixels = np.repeat(np.repeat(pixels, 4, 0), 4, 1)  # smooth enough for rounding
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    net = pretrained.with_resizing(net_of(layers.Conv2D(4, 3), shape=(30, 20, 3)))
    details = deployment.describe(
        net, compression.deployable(net), (None, np.zeros((1, 5), "float32")), ()
    )
    from cvcourse import data

    photo = data.read_photo(str(tmp_path / "x.png"), 3, None)
    assert photo.shape[:2] == (4 * size[1], 4 * size[0])
    expected = classifier.without_resizing(net)[0](photo)
    found = run_exported.read_image(tmp_path / "x.png", details)[0]
    assert np.abs(found - expected).max() <= 1  # Pillow rounds
    assert np.abs(found - expected).mean() < 0.5


def test_the_script_prints_the_likeliest_classes(tmp_path):
    net = small("lenet5")
    compression.export(net, tmp_path, ["litert"], class_names=[*"abcdefghij"])
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32)).astype("uint8")
    Image.fromarray(pixels).save(tmp_path / "x.png")
    command = [sys.executable, "-I", str(tmp_path / "run_litert.py")]
    run = subprocess.run([*command, "x.png"], cwd=tmp_path, capture_output=True, text=True)
    logits = np.array(net(pixels[None, ..., None].astype("float32")))[0].astype("float64")
    powers = np.exp(logits - logits.max())
    probabilities = powers / powers.sum()
    order = probabilities.argsort()[::-1][:5]
    expected = [f"{probabilities[i]:.4f}\t{'abcdefghij'[i]}" for i in order]
    assert run.stdout.splitlines() == expected
    timed = subprocess.run([*command, "--time=3"], capture_output=True, text=True)
    assert timed.stdout.startswith("batch 3: ")
    source = pathlib.Path(run_exported.__file__).read_text("utf-8")
    assert (tmp_path / "run_litert.py").read_text("utf-8") == source
    assert "cvcourse." not in source and "import keras" not in source
