"""Networks from files of weights: published names, Keras' files, other heads, wrong files."""

import csv
import dataclasses
import gzip
import io
import json
import os
import pathlib
import re
import shutil
import tarfile
import warnings
import zipfile

import keras
import numpy as np
import pytest
import safetensors.numpy
from golden import golden_rule as rule
from networks import lively
from PIL import Image

from cvcourse import models
from cvcourse.errors import RunError, UsageError
from cvcourse.models import pretrained
from cvcourse.models.pretrained import tensor_files

SPEC = rule.load_spec()["models"]


def state_dict(name):
    gain = SPEC[name]["gain"]
    entries = {entry: rule.tensor(entry, shape, gain) for entry, shape in SPEC[name]["state_dict"]}
    return {entry: value for entry, value in entries.items() if value is not None}


@pytest.fixture(scope="module")
def squeezenet_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    tensors = state_dict("squeezenet1_1")
    np.savez(folder / "squeezenet.npz", **tensors)
    safetensors.numpy.save_file(tensors, folder / "squeezenet.safetensors")
    return folder


def logits(model, side, seed):
    return np.array(model(rule.inputs(side, side, seed), training=False))


def test_load_gives_a_model_of_raw_photos(squeezenet_files, tmp_path):
    """Of any size: resized to 256, cut to 224, and scaled as torchvision does; computed by hand."""
    path = squeezenet_files / "squeezenet.npz"
    model = pretrained.load("squeezenet1_1", path)
    bare = pretrained.load("squeezenet1_1", path, preprocessing=False)
    assert (model.name, model.input_shape) == ("squeezenet1_1", (None, None, None, 3))
    photos = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), "uint8")
    prepared = photos[:, 16:240, 16:240] / 255 - [0.485, 0.456, 0.406]
    prepared = np.float32(prepared / [0.229, 0.224, 0.225])
    expected = np.array(bare(prepared, training=False))
    np.testing.assert_allclose(model.predict(photos, verbose=0), expected, atol=1e-4)
    assert {layer.name for layer in bare.layers[1:]} < {layer.name for layer in model.layers}
    assert model.get_layer("features").output.shape == bare.get_layer("features").output.shape
    color = np.float32([200, 100, 50])  # another size in the next call, and a batch of 1
    plain = (color / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    plain = bare.predict(np.broadcast_to(np.float32(plain), (1, 224, 224, 3)), verbose=0)
    one = model.predict(np.broadcast_to(color, (1, 300, 90, 3)), verbose=0)
    np.testing.assert_allclose(one, plain, atol=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(photos, verbose=0), expected, atol=1e-4)
    with pytest.raises(ValueError, match=r"makes photos square.* input_shape=\(64, 48, 3\)"):
        pretrained.load("squeezenet1_1", path, input_shape=(64, 48, 3))


def test_the_arguments_of_keras_are_answered():
    with pytest.raises(
        ValueError, match=r"^resnet18: include_top .* models.features\(model\) ends"
    ):
        pretrained.load("resnet18", include_top=False)
    for name in ("resnet18", "timm.seresnet50"):  # before anything is downloaded
        with pytest.raises(ValueError, match=r"resnet.*classes"):
            pretrained.load(name, classes=37)


def test_a_frozen_body_stays_as_it_is_in_fit(squeezenet_files, keras_mobilenet, tmp_path):
    """Batch norm too: its statistics stay; and what was trained is what a file brings back."""
    path = keras_mobilenet[0] / "c.npz"
    form = {"width": 0.25, "num_classes": 3, "input_shape": (32, 32, 3)}
    model = pretrained.load("mobilenet", path, **form)
    for layer in model.layers:
        layer.trainable = layer.name == "logits"
    before = {w.path: np.array(w) for w in model.weights}
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    photos = np.random.default_rng(0).integers(0, 256, (4, 40, 50, 3), "uint8")
    model.fit(photos, np.arange(4) % 3, verbose=0)
    moved = {w.path for w in model.weights if np.any(np.array(w) != before[w.path])}
    assert moved == {"logits/kernel", "logits/bias"}
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict(photos, verbose=0)
    np.testing.assert_allclose(again.predict(photos, verbose=0), expected, atol=1e-6)


METHODS = {
    "call": lambda net, x: net(x),
    "tensor": lambda net, x: net(keras.ops.convert_to_tensor(x)),
    "predict": lambda net, x: net.predict(x, verbose=0),
    "predict_on_batch": lambda net, x: net.predict_on_batch(x),
    "fit": lambda net, x: net.fit(x=x, y=np.zeros(1), verbose=0),
    "evaluate": lambda net, x: net.evaluate(x, np.zeros(1), verbose=0),
    "train_on_batch": lambda net, x: net.train_on_batch(x, np.zeros(1)),
    "test_on_batch": lambda net, x: net.test_on_batch(x, np.zeros(1)),
}


def tiny_net(scaling):
    """A net as `load` returns it without its preprocessing."""
    net = keras.Model(image := keras.Input((4, 4, 3)), keras.layers.Flatten()(image), name="tiny")
    published = dataclasses.replace(pretrained.find("vgg16"), scaling=scaling)
    return pretrained.loading.warn_of_raw_pixels(net, published)


def pixel_warnings(caught):
    return [str(one.message) for one in caught if "received pixels" in str(one.message)]


@pytest.mark.parametrize("method", METHODS)
def test_raw_pixels_in_a_bare_net_warn_once(method):
    net = tiny_net("tf")
    net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    raw = np.full((1, 4, 4, 3), 255.0, "float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        METHODS[method](net, raw / 127.5 - 1)
        assert not pixel_warnings(caught)
        for _ in range(2):
            METHODS[method](net, raw)
        assert pixel_warnings(caught) == [
            "tiny received pixels up to 255.0, but takes preprocessed ones (scaling 'tf': -1.0 "
            "to 1.0): pretrained.load without preprocessing=False returns a model of raw photos, "
            "0..255"
        ]


def test_the_warning_is_no_part_of_the_net(keras_mobilenet, tmp_path):
    path = keras_mobilenet[0] / "c.npz"
    form = {"width": 0.25, "input_shape": (32, 32, 3)}
    net = pretrained.load("mobilenet", path, preprocessing=False, **form)
    plain, published = pretrained.load_published("mobilenet", path, **form)
    net.save(tmp_path / "net.keras")
    raw = np.full((1, 32, 32, 3), 255.0, "float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expected = plain.predict(raw, verbose=0)
        others = [keras.saving.load_model(tmp_path / "net.keras"), keras.models.clone_model(net)]
        others.append(pretrained.with_preprocessing(net, published))
        found = [other.predict(raw, verbose=0) for other in others]
    assert not pixel_warnings(caught)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    with pytest.warns(UserWarning, match="received pixels up to 255"):
        np.testing.assert_allclose(net.predict(raw, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize(("scaling", "silent", "loud"), [("caffe", 151, 255), ("none", 255, None)])
def test_where_prepared_pixels_are_large(scaling, silent, loud):
    """Only a mean is subtracted from caffe's; "none" takes 0..255."""
    net = tiny_net(scaling)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(np.full((1, 4, 4, 3), silent))
    if loud:
        with pytest.warns(UserWarning, match="received pixels up to 255"):
            net(np.full((1, 4, 4, 3), loud))


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_file_in_place_of_a_name_gives_the_published_outputs(squeezenet_files, suffix):
    spec, golden = SPEC["squeezenet1_1"], rule.load("squeezenet1_1")
    path = squeezenet_files / f"squeezenet.{suffix}"
    net, published = pretrained.load_published("squeezenet1_1", str(path))
    got = logits(net, spec["input"][0], spec["input_seed"])
    assert rule.error(got, golden["logits"]) < spec["tolerance"]
    assert (published.source, published.resize, published.scaling) == ("torchvision", 256, "torch")


def test_with_other_classes_the_logits_alone_start_afresh(squeezenet_files):
    path = squeezenet_files / "squeezenet.npz"
    whole = pretrained.load("squeezenet1_1", path)
    settings = {"num_classes": 7, "input_shape": (64, 48, 3)}
    net = pretrained.load("squeezenet1_1", path, preprocessing=False, **settings)
    assert net.output_shape == (None, 7)
    for layer in net.layers:
        if not layer.weights:
            continue
        theirs, ours = whole.get_layer(layer.name).get_weights(), layer.get_weights()
        if layer.name == "conv10_conv":
            assert ours[0].shape[-1] == 7
        else:
            for a, b in zip(theirs, ours, strict=True):
                np.testing.assert_array_equal(a, b)


def test_auxiliary_heads_are_left_out_unless_asked_for(tmp_path):
    tensors = state_dict("googlenet")
    np.savez(tmp_path / "g.npz", **tensors)
    net = pretrained.load("googlenet", tmp_path / "g.npz", num_classes=5)
    assert net.output_shape == (None, 5)
    kernel = tensors["conv1.conv.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(net.get_layer("conv1_conv").get_weights()[0], kernel)
    bare, published = pretrained.load_published("googlenet", tmp_path / "g.npz", aux=True)
    heads = pretrained.with_preprocessing(bare, published)
    assert set(heads.output) == {"logits", "aux_logits1", "aux_logits2"}
    photo = np.full((1, 256, 256, 3), 255.0, "float32")  # 1 by torchvision's scaling of GoogLeNet
    expected = bare(np.ones((1, 224, 224, 3), "float32"), training=False)
    for name, logits in heads(photo, training=False).items():
        np.testing.assert_allclose(logits, expected[name], atol=1e-4)


def test_a_file_of_few_classes_keeps_them(squeezenet_files, tmp_path):
    tensors = dict(np.load(squeezenet_files / "squeezenet.npz"))
    for name in ("classifier.1.weight", "classifier.1.bias"):
        tensors[name] = tensors[name][:37]
    np.savez(tmp_path / "mine.npz", **tensors)
    assert pretrained.load("squeezenet1_1", tmp_path / "mine.npz").output_shape == (None, 37)


@pytest.fixture(scope="module")
def keras_mobilenet(tmp_path_factory):
    """keras.applications' MobileNet of a quarter's width as the files there are of it."""
    folder = tmp_path_factory.mktemp("keras")
    keras.utils.set_random_seed(1)
    whole = keras.applications.MobileNet(alpha=0.25, weights=None, classifier_activation=None)
    for layer in whole.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.linspace(-0.1, 0.1, layer.moving_mean.shape[0]))
    whole.save_weights(folder / "a.weights.h5")
    whole.save(folder / "b.keras")
    body = keras.Model(whole.input, whole.get_layer("conv_pw_13_relu").output)
    theirs = keras.applications.MobileNet(alpha=0.25, weights=None, include_top=False)
    theirs.set_weights(body.get_weights())
    theirs.save_weights(folder / "mobilenet_2_5_224_tf_no_top.weights.h5")
    tensors = {
        f"{layer.name}/{weight.name}": np.array(weight)
        for layer in whole.layers
        for weight in layer.weights
    }
    np.savez(folder / "c.npz", **tensors)
    return folder, whole


@pytest.mark.parametrize("file", ["a.weights.h5", "b.keras", "c.npz"])
def test_files_of_keras_give_its_outputs(keras_mobilenet, file):
    folder, whole = keras_mobilenet
    net, published = pretrained.load_published("mobilenet", folder / file, width=0.25)
    x = rule.inputs(224, 224)
    assert rule.error(net(x, training=False), whole(x, training=False)) < 1e-5
    assert (published.source, published.scaling) == ("keras", "tf")


@pytest.mark.parametrize(
    ("file", "suffix"), [("a.weights.h5", ".pth.tar"), ("b.keras", ".hdf5"), ("c.npz", "")]
)
def test_the_contents_of_a_file_decide_not_its_suffix(keras_mobilenet, tmp_path, file, suffix):
    folder, whole = keras_mobilenet
    path = tmp_path / f"net{suffix}"
    shutil.copyfile(folder / file, path)
    net = pretrained.load("mobilenet", str(path), width=0.25, preprocessing=False)
    x = rule.inputs(224, 224)
    assert rule.error(net(x, training=False), whole(x, training=False)) < 1e-5
    kind = tensor_files.find_kind(folder / file)
    for suffix in (".ckpt", ".bin", ".PTH", ".H5", ".tar", ".weights.h5", ".npz", ".keras"):
        shutil.copyfile(folder / file, tmp_path / f"other{suffix}")
        assert tensor_files.find_kind(tmp_path / f"other{suffix}") == kind


def test_a_file_of_keras_layout_before_keras_3(keras_mobilenet, tmp_path):
    _, whole = keras_mobilenet
    whole.save(tmp_path / "whole.h5")  # group model_weights; HDF5 as Keras 2 wrote it
    (tmp_path / "whole.h5").rename(tmp_path / "whole.weights.h5")
    path = tmp_path / "whole.weights.h5"
    net = pretrained.load("mobilenet", path, width=0.25, preprocessing=False)
    x = rule.inputs(224, 224)
    assert rule.error(net(x, training=False), whole(x, training=False)) < 1e-5


@pytest.mark.parametrize("file", ["head.weights.h5", "head.keras"])
def test_files_of_keras_with_another_number_of_classes_keep_it(tmp_path, file):
    theirs = keras.applications.MobileNet(
        alpha=0.25, weights=None, classes=37, classifier_activation=None
    )
    (theirs.save if file.endswith(".keras") else theirs.save_weights)(tmp_path / file)
    net, published = pretrained.load_published("mobilenet", tmp_path / file, width=0.25)
    assert (net.output_shape, published.classes) == ((None, 37), 37)
    kernel, _ = net.get_layer("logits").get_weights()
    theirs_kernel, _ = theirs.get_layer("conv_preds").get_weights()
    np.testing.assert_array_equal(kernel.ravel(), theirs_kernel.ravel())


def test_a_file_of_keras_without_classifier_under_another_name(keras_mobilenet, tmp_path):
    path = tmp_path / "mine.bin"
    shutil.copyfile(keras_mobilenet[0] / "mobilenet_2_5_224_tf_no_top.weights.h5", path)
    with pytest.raises(UsageError, match="has no classifier: set num_classes"):
        pretrained.load("mobilenet", path, width=0.25)


def test_nan_in_a_file_is_named(keras_mobilenet, tmp_path):
    tensors = dict(np.load(keras_mobilenet[0] / "c.npz"))
    tensors["conv1_bn/gamma"][2] = np.nan
    np.savez(tmp_path / "nan.npz", **tensors)
    message = (
        r"nan.npz: the weights for mobilenet are NaN or infinite in 1 of 137 tensors: conv1_bn"
    )
    with pytest.raises(RunError, match=message):
        pretrained.load("mobilenet", tmp_path / "nan.npz", width=0.25)


def write_shards(folder, tensors, **changes):
    names = {name: f"model-{1 + k % 2}.safetensors" for k, name in enumerate(tensors)}
    for file in set(names.values()):
        held = {name: tensors[name] for name in tensors if names[name] == file}
        safetensors.numpy.save_file(held, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names | changes}))
    return index


def test_shards_by_their_index(tmp_path):
    tensors = {f"a{k}": np.full(3, k, "float32") for k in range(5)}
    found = tensor_files.read(write_shards(tmp_path, tensors))
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("model-3.safetensors", "its shard model-3.safetensors is not beside it"),
        ("model-1.safetensors", "its shard model-1.safetensors lacks b"),
        ("../model-1.safetensors", "names '../model-1.safetensors', which is not a file beside it"),
        ("..\\model-1.safetensors", "which is not a file beside it"),
        ("/etc/passwd", "names '/etc/passwd', which is not a file beside it"),
        ("..", "names '..', which is not a file beside it"),
        ("model.safetensors.index.json", "has no tensors by name: it is of the kind index"),
        (7, 'JSON without a "weight_map" of shards'),
    ],
)
def test_shards_that_are_not_there_or_elsewhere(tmp_path, file, message):
    index = write_shards(tmp_path, {"a": np.zeros(3, "float32")}, b=file)
    with pytest.raises(RunError) as error:
        tensor_files.read(index)
    assert str(error.value).startswith(f"cannot read the weights in {index}: ")
    assert message in str(error.value)


def write_tar(path):
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "it is an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "a web page, not the file itself"),
        (b"<HTML><head>", "a web page, not the file itself"),
        (gzip.compress(b"weights", mtime=0), "gzip-compressed"),
        (b"\x93NUMPY\x01\x00", "one array without a name"),
        (b"\x1c\0\0\0TFL3\x14\0", "a LiteRT (TFLite) model"),
        (b"\x08\x07\x12\x07pytorch", "an ONNX model"),
        (b"\x08\x01\x12\x9a\x01", "a TensorFlow SavedModel"),
        (b"\0\0\x00" * 20 + bytes.fromhex("57fb808b247547db"), "a TensorFlow checkpoint"),
        (b"PK\x03\x04" + b"0" * 40, "a zip archive that is damaged or truncated"),
        (b"PK\x05\x06" + bytes(18), "a zip archive of something else"),
        (b"weights" * 100, "of no known format (it begins with b'weightsw')"),
        (b"\x89HDF\r\n\x1a\n" + b"0" * 100, "a damaged or truncated HDF5 file"),
        (b'{"architectures": ["ViT"]}', 'JSON without a "weight_map"'),
        (b"\x80\x02}q\x00.", "not a torch archive"),
        (write_tar, "a tar archive"),
    ],
)
@pytest.mark.parametrize("suffix", ["pth", ""])
def test_what_is_not_read_is_named_by_what_it_is(tmp_path, content, found, suffix):
    path = tmp_path / f"net.{suffix}"
    path.write_bytes(content) if isinstance(content, bytes) else content(path)
    with pytest.raises(RunError) as error:
        pretrained.load("mobilenet", str(path), width=0.25)
    assert found in str(error.value)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 400


def test_folders_and_checkpoints_of_tensorflow_are_named(tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(RunError, match="saved: it is a TensorFlow SavedModel"):
        pretrained.load("mobilenet", tmp_path / "saved")
    (tmp_path / "net.ckpt.index").write_bytes(b"1")
    with pytest.raises(RunError, match=r"net.ckpt: it is a TensorFlow checkpoint"):
        pretrained.load("mobilenet", tmp_path / "net.ckpt")


def test_a_file_or_a_tag(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoint").write_bytes(b"1")
    (tmp_path / "imagenet").write_bytes(b"1")
    paths = [
        "checkpoint",
        "a/b",
        "folder/",
        "~/net",
        "net.pth.tar",
        "net.H5",
        "./imagenet",
        "last.ckpt",
    ]
    assert all(map(pretrained.is_file, [*paths, pathlib.Path("imagenet")]))
    tags = [
        "default",
        "imagenet",
        "IMAGENET1K_V1",
        "imagenett",
        "torchvision.resnet18:IMAGENET1K_V1",
    ]
    assert not any(map(pretrained.is_file, tags))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(RunError, match=f"there is no file {tmp_path}/home/net.pth"):
        pretrained.load("mobilenet", "~/net.pth")


@pytest.mark.parametrize(
    ("name", "heads"),
    [("googlenet", "aux"), pytest.param("inception_v3", "AuxLogits", marks=pytest.mark.slow)],
)
def test_files_without_auxiliary_heads(tmp_path, name, heads):
    tensors = {key: value for key, value in state_dict(name).items() if not key.startswith(heads)}
    np.savez(tmp_path / "net.npz", **tensors)
    net = pretrained.load(name, tmp_path / "net.npz")
    assert net.output_shape == (None, 1000)
    kernel = tensors["fc.weight"]
    np.testing.assert_array_equal(net.get_layer("logits").get_weights()[0], kernel.T)
    with pytest.raises(ValueError, match="need layers that the weights lack: aux"):
        pretrained.loading._copy_by_name(net, models.build(name, aux=True), set())


def test_a_prefix_is_told_once_and_another_network_is_named_soon(tmp_path, capsys, monkeypatch):
    tensors = state_dict("squeezenet1_1")
    wrapped = {f"module.{name}": value for name, value in tensors.items()}
    np.savez(tmp_path / "net.pth.tar.npz", **wrapped)
    path = (tmp_path / "net.pth.tar.npz").rename(tmp_path / "net.pth.tar")
    settings = {"num_classes": 7, "input_shape": (64, 64, 3)}
    net = pretrained.load("squeezenet1_1", str(path), **settings)
    np.testing.assert_array_equal(
        net.get_layer("conv1_conv").get_weights()[0],
        tensors["features.0.weight"].transpose(2, 3, 1, 0),
    )
    line = "squeezenet1_1: removed the prefix 'module.' from all names of weights\n"
    assert capsys.readouterr().err == line
    built = []
    monkeypatch.setattr(
        pretrained.loading, "build_source", lambda *a, **k: built.append(a) or build(*a, **k)
    )
    build = pretrained.build_source
    with pytest.raises(RunError, match="its names are those of torchvision's squeezenet") as error:
        pretrained.load("resnet50", path)
    assert len(str(error.value)) < 600
    assert len(built) <= 2  # of 21 published sets


def test_a_file_without_classifier_needs_the_number_of_classes(keras_mobilenet):
    folder, whole = keras_mobilenet
    path = folder / "mobilenet_2_5_224_tf_no_top.weights.h5"
    with pytest.raises(UsageError, match="has no classifier: set num_classes"):
        pretrained.load("mobilenet", path, width=0.25)
    net = pretrained.load("mobilenet", path, width=0.25, num_classes=3, preprocessing=False)
    assert net.output_shape == (None, 3)
    x = rule.inputs(224, 224)
    ours = keras.Model(net.input, net.get_layer("features").output)
    theirs = keras.Model(whole.input, whole.get_layer("conv_pw_13_relu").output)
    assert rule.error(ours(x, training=False), theirs(x, training=False)) < 1e-5


@pytest.mark.slow
def test_a_saved_model_of_another_form_is_refused(tmp_path):
    """Shapes alone do not tell: epsilon, padding and preprocessing must be those of the source."""
    form = {"width": 0.25, "input_shape": (32, 32, 3), "num_classes": 3}
    net = lively(pretrained.build_source("keras.mobilenet", **form))
    net.save(tmp_path / "same.keras")
    path = tmp_path / "same.keras"
    loaded = pretrained.load("mobilenet", path, width=0.25, preprocessing=False)
    assert rule.error(logits(loaded, 224, 1), logits(_at_224(net), 224, 1)) < 1e-5
    raw = models.with_preprocessing(net, (32, 32, 3), mean=[120.0] * 3, variance=[3600.0] * 3)
    raw.save(tmp_path / "raw.keras")
    other = pretrained.build_source("keras.mobilenet", epsilon=0.5, **form)
    pretrained.load_keras(other, net).save(tmp_path / "other.keras")
    for name in ("raw", "other"):
        with pytest.raises(RunError, match="its outputs differ from those of keras"):
            pretrained.load("mobilenet", tmp_path / f"{name}.keras", width=0.25)


def _at_224(net):
    whole = pretrained.build_source("keras.mobilenet", width=0.25, num_classes=3)
    return pretrained.load_keras(whole, net)


def test_a_file_has_the_licence_of_the_set_whose_name_it_bears(monkeypatch):
    row = next(row for row in pretrained.published() if row.noncommercial)
    monkeypatch.setattr(pretrained.loading, "_from_file", lambda *_: (None, row, set()))
    with pytest.raises(UsageError, match="non-commercial use only"):
        pretrained.load(row.architecture, "somewhere.pth")


def test_wrong_files_are_named(squeezenet_files, keras_mobilenet, tmp_path):
    path = squeezenet_files / "squeezenet.npz"
    with pytest.raises(RunError, match=r"squeezenet.npz: .*these weights are not those of|names"):
        pretrained.load("resnet18", path)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(RunError, match=r"^cannot read the weights in .*cut\.npz: "):
        pretrained.load("squeezenet1_1", cut)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((squeezenet_files / "squeezenet.safetensors").read_bytes()[:-4])
    with pytest.raises(RunError, match=r"^cannot read the weights in .*cut\.safetensors: "):
        pretrained.load("squeezenet1_1", cut)
    with pytest.raises(RunError, match=r"a.weights.h5: "):
        pretrained.load("mobilenet", keras_mobilenet[0] / "a.weights.h5", width=0.5)
    for name in ("noise.h5", "noise.weights.h5", "noise.keras"):
        (tmp_path / name).write_bytes(b"weights" * 100)
        with pytest.raises(RunError, match=name):
            pretrained.load("mobilenet", tmp_path / name)
    with pytest.raises(RunError, match=r"there is no file .*nothing.npz"):
        pretrained.load("mobilenet", tmp_path / "nothing.npz")


def write_safetensors(path, dtype, bits):
    """A file of one tensor `w` of 8 zeros, also of a dtype that NumPy has not."""
    header = {"w": {"dtype": dtype, "shape": [8], "data_offsets": [0, bits]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(bits))


@pytest.mark.parametrize(
    ("dtype", "bits"), [("F8_E4M3", 8), ("F8_E5M2", 8), ("F4", 4), ("C64", 64)]
)
def test_a_dtype_that_is_not_read_is_named(tmp_path, dtype, bits):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, dtype, bits)
    message = f"^cannot read the weights in {path}: w is of dtype {dtype}, .*: convert it to F32"
    with pytest.raises(RunError, match=message):
        tensor_files.read(path)


def test_bfloat16_becomes_float32(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, "BF16", 16)
    content = bytearray(path.read_bytes())
    content[-2:] = b"\xc0\xbf"  # -1.5: the upper half of a float32
    path.write_bytes(content)
    (array,) = tensor_files.read(path).values()
    assert array.dtype == "float32"
    np.testing.assert_array_equal(array, [0, 0, 0, 0, 0, 0, 0, -1.5])


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pth", "h5", "keras"])
def test_what_is_no_file_is_not_opened(tmp_path, suffix):
    path = tmp_path / f"pipe.{suffix}"
    os.mkfifo(path)
    with pytest.raises(RunError, match=f"^{path} is a pipe, not a regular file"):
        pretrained.load("mobilenet", path)


def test_arrays_of_objects_and_arrays_larger_than_memory_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, np.array([{}], object))
    with pytest.raises(RunError, match=f"^cannot read the weights in {path}: Object arrays"):
        tensor_files.read(path)
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", header.getvalue() + b"1234")
    with pytest.raises(RunError, match=f"^cannot read the weights in {path}: Unable to allocate"):
        tensor_files.read(path)


def test_names_and_tags_that_are_not_known():
    with pytest.raises(ValueError, match="unknown model 'resnet51': did you mean"):
        pretrained.find("resnet51")
    with pytest.raises(ValueError, match=r"unknown weights 'V3': .*IMAGENET1K_V1"):
        pretrained.find("resnet18", "V3")
    with pytest.raises(ValueError, match="no published weights of resnet20 are known"):
        pretrained.find("resnet20")
    with pytest.raises(ValueError, match=r"weights of mobilenet with width=0\.3 are known"):
        pretrained.find("mobilenet", width=0.3)
    with pytest.raises(ValueError, match="unknown source of weights 'caffe'"):
        pretrained.find("resnet18", source="caffe")


def test_the_table_names_what_there_is_of_each_network():
    assert pretrained.find("resnet18").address.endswith("resnet18-f37072fd.pth")
    assert pretrained.find("resnet50", source="keras").scaling == "caffe"
    assert pretrained.find("mobilenet", width=0.25, dropout=0.5).settings == "width=0.25"
    assert pretrained.find("nasnet_large", drop_path=0.0, drop_path_steps=9).source == "keras"
    assert pretrained.find("timm.seresnet50").source == "timm"
    assert pretrained.find("vgg16").network == "torchvision.vgg16"
    swag = [row for row in pretrained.published() if "SWAG" in row.tag]
    assert swag
    assert all(row.noncommercial for row in swag)
    with pytest.raises(UsageError, match="non-commercial use only"):
        pretrained.load("vit_b_16", swag[0].tag)


def test_a_line_describes_published_weights():
    row = pretrained.find("mobilenet", width=0.25)
    assert str(row) == "keras.mobilenet:2_5_224"  # in messages and metrics
    assert repr(row) == (
        "Published('keras.mobilenet:2_5_224', architecture='mobilenet', width=0.25, "
        "source='keras', licence='Apache-2.0', classes=1000, size=224, top1=51.582)"
    )
    assert max(len(repr(row)) for row in pretrained.published()) < 250


def test_every_row_of_the_table_is_sound():
    rows = pretrained.published()
    assert len({(row.network, row.settings, row.tag) for row in rows}) == len(rows) > 300
    for row in rows:
        knobs = models.builder_args(row.architecture)
        assert row.form.keys() <= knobs.keys(), row
        assert row.scaling in pretrained.SCALINGS, row
        assert row.interpolation in ("bilinear", "bicubic"), row
        assert row.resize == 0 or row.resize >= row.size, row
        assert row.address.startswith("https://") or row.source == "efficientnet_pytorch", row
        assert row.licence, row
        assert row.top1 is None or 40 < row.top1 < (row.top5 or 99.9) < 100, row
        assert pretrained.find(row.network, row.tag, **row.variant) == row
    ends = ("alexnet", "googlenet", "squeezenet1_1", "shufflenet_v2_x1_0", "resnet18", "resnet34")
    for name in (*ends, "resnext50_32x4d", "wide_resnet50_2", "vgg16_bn", "densenet161"):
        assert pretrained.find(name).source == "torchvision"


@pytest.mark.parametrize("side", [(300, 400), (257, 256), (100, 90)])
def test_preprocessing_is_pillows(side):
    published = pretrained.find("resnet18")
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 16, 3), "uint8")
    photo = Image.fromarray(coarse).resize(side, Image.BICUBIC)
    image = keras.Input((None, None, 3))
    prepare = keras.Model(image, pretrained.preprocess(image, published))
    got = np.array(prepare(np.asarray(photo, "float32")[None]))[0]
    short, (width, height) = min(side), photo.size
    left, top = (width - short) // 2, (height - short) // 2
    square = photo.crop((left, top, left + short, top + short)).resize((256, 256), Image.BILINEAR)
    expected = np.asarray(square.crop((16, 16, 240, 240)), "float64")
    expected = (expected / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.abs(got - expected).mean() < 0.02  # half a step of 0..255 is 0.009


def test_caffes_scaling_takes_blue_first():
    published = pretrained.find("vgg16", source="keras")
    image = keras.Input((None, None, 3))
    prepare = keras.Model(image, pretrained.preprocess(image, published))
    pixels = np.broadcast_to(np.float32([200, 100, 50]), (1, 224, 224, 3))
    expected = keras.applications.vgg16.preprocess_input(pixels.copy())
    np.testing.assert_allclose(np.array(prepare(pixels)), expected, atol=1e-3)


REAL = pathlib.Path(os.environ.get("CVCOURSE_WEIGHTS") or "nowhere")
SAMPLES = pathlib.Path(os.environ.get("CVCOURSE_DATA") or "nowhere") / "imagenet_samples"


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLES.exists(), reason="$CVCOURSE_DATA has no imagenet_samples")
@pytest.mark.parametrize(
    ("name", "file", "settings", "accuracy"),
    [
        ("mobilenet", "mobilenet_2_5_224_tf.h5", {"width": 0.25}, 0.580),
        ("efficientnet_lite0", "efficientnet_lite0_imagenet.npz", {}, 0.874),
    ],
)
def test_real_weights_on_real_photos(name, file, settings, accuracy):
    if not (REAL / file).exists():
        pytest.skip(f"$CVCOURSE_WEIGHTS has no {file}")
    model = pretrained.load(name, REAL / file, **settings)
    with open(SAMPLES / "labels.csv") as table:
        rows = list(csv.DictReader(table))
    hits = 0
    for row in rows:
        with Image.open(SAMPLES / "images" / row["file"]) as image:
            pixels = np.asarray(image.convert("RGB"), "float32")[None]
        hits += int(np.argmax(model(pixels, training=False)) == int(row["index"]))
    assert abs(hits / len(rows) - accuracy) <= 0.003


def test_models_for_raw_images_infer_where_they_are_called_without_saying():
    """Keras' Resizing has call(training=True), and batch norm behind it would follow."""
    net = models.build("mobilenet", width=0.25, input_shape=(32, 32, 3), num_classes=3)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 50, 60, 3)).astype("float32")
    statistics = {"mean": [128] * 3, "variance": [4000] * 3}
    for model in (
        pretrained.with_preprocessing(net, pretrained.find("mobilenet", width=0.25)),
        models.with_preprocessing(net, (50, 60, 3), **statistics),
    ):
        plain, inferred = (np.array(model(pixels, **how)) for how in ({}, {"training": False}))
        np.testing.assert_array_equal(plain, inferred)
        assert model(pixels, training=True).shape == (2, 3)


def test_gray_photos_and_other_sizes():
    net = models.build("mobilenet", width=0.25, input_shape=(48, 48, 3), num_classes=3)
    published = pretrained.find("mobilenet", width=0.25)
    assert pretrained.resize_of(published, 48) == 55  # 256 to 224, in proportion
    gray = np.random.default_rng(0).uniform(0, 255, (1, 70, 60, 1)).astype("float32")
    model = pretrained.with_preprocessing(net, published, (None, None, 1))
    color = pretrained.with_preprocessing(net, published)
    np.testing.assert_allclose(model(gray), color(np.repeat(gray, 3, axis=-1)), atol=1e-6)


def test_the_readmes_lines_about_pretrained(monkeypatch, tmp_path):
    """As they stand there, with files in place of downloads."""
    tensors = state_dict("resnet18")
    file = tmp_path / "resnet18.npz"
    np.savez(file, **tensors)
    monkeypatch.setattr(pretrained.loading.store, "fetch", lambda *_: file)
    monkeypatch.chdir(tmp_path)
    readme = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    code = next(block for block in blocks if "pretrained.load" in block)
    photos = np.random.default_rng(0).uniform(0, 255, (2, 40, 50, 3))
    names = {"photos": photos, "labels": np.array([0, 36])}
    exec(code.replace("epochs=5", "epochs=1, verbose=0"), names)
    model = names["model"]
    assert model.input_shape == (None, None, None, 3)
    assert [layer.name for layer in model.layers if layer.trainable] == ["logits"]
    saved = keras.saving.load_model("pets.keras").predict(photos, verbose=0)
    assert saved.shape == (2, 37)
    np.testing.assert_allclose(saved, model.predict(photos, verbose=0), atol=1e-5)
