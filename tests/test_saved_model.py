"""Files that are no model, or only claim to be one, are refused in one line that names them."""

import io
import json
import os
import random
import re
import zipfile

import h5py
import keras
import numpy as np
import pytest
from cvcourse.recipes import check, classify

from cvcourse import models, saved_model, training
from cvcourse.errors import RunError
from cvcourse.models import pretrained
from cvcourse.saved_model import read_model

NAMES = ("ant", "bee", "cat")


def net():
    image = keras.Input((2, 2, 1), name="image")
    hidden = keras.layers.Dense(4, name="hidden")(keras.layers.Flatten(name="flat")(image))
    return keras.Model(image, keras.layers.Dense(len(NAMES), name="logits")(hidden), name="net")


@pytest.fixture
def whole(tmp_path):
    """The file of a model that answers."""
    path = tmp_path / "whole.keras"
    training.save_model(net(), path, NAMES)
    return path


def changed(path, **contents):
    """A copy of a .keras file with entries changed, or left out where the content is None."""
    other = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = contents.pop(name.replace(".", "_"), old.read(name))
            if content is not None:
                new.writestr(name, content)
    assert not contents
    return other


def config_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def weights(**arrays):
    """An HDF5 file of arrays as bytes."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return buffer.getvalue()


def test_a_whole_file_is_read_and_no_seed_is_drawn(whole):
    x = np.random.default_rng(0).normal(size=(3, 2, 2, 1))
    before = random.getstate()
    saved_model.count_values(config_of(whole))
    assert random.getstate() == before
    np.testing.assert_array_equal(read_model(whole)(x), keras.models.load_model(whole)(x))
    assert read_model(str(whole), compile=True).compiled
    assert not read_model(whole).compiled


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("99.1.0", "Keras 99.1.0 has saved it, and .* cannot read it: pip install --upgrade keras"),
        ("3.0.0", "got an unexpected keyword argument 'invented'"),
    ],
)
def test_a_file_of_a_newer_keras_says_so(version, words, whole):
    """One of its layers has an argument that this Keras does not know."""
    config = config_of(whole)
    config["config"]["layers"][-1]["config"]["kernel_initializer"]["config"]["invented"] = None
    metadata = json.dumps({"keras_version": version})
    path = changed(whole, config_json=json.dumps(config), metadata_json=metadata)
    with pytest.raises(RunError, match=f"cannot read a model from {path}: .*{words}$"):
        read_model(path)


def test_weights_are_counted_without_building_them(tmp_path):
    big = models.build("lenet5")
    big.save(tmp_path / "big.keras")
    counted = saved_model.count_values(config_of(tmp_path / "big.keras"))
    assert counted == sum(weight.size for weight in big.get_weights()) == 61_706


def test_what_claims_more_weights_than_it_holds_is_refused_before_it_is_built(whole, monkeypatch):
    config = config_of(whole)
    for layer in config["config"]["layers"]:
        if layer["config"]["name"] == "logits":
            layer["config"]["units"] = 10**7
    path = changed(whole, config_json=json.dumps(config))
    assert path.stat().st_size < 6000
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: pytest.fail("it was built"))
    with pytest.raises(RunError, match=r"changed\.keras: its layers have 50,000,020 weights, but"):
        read_model(path)


def test_a_size_that_is_only_declared_does_not_count(whole):
    """The length of a zip's entry is what its directory says, true or not."""
    content = whole.read_bytes()
    with zipfile.ZipFile(whole) as archive:
        size = archive.getinfo("model.weights.h5").file_size
    assert saved_model._largest_size(whole, saved_model.WEIGHTS) == size
    declared = content.replace(size.to_bytes(4, "little"), (2**31).to_bytes(4, "little"))
    whole.write_bytes(declared)
    assert saved_model._largest_size(whole, saved_model.WEIGHTS) <= len(content)


BROKEN = {  # how a file is broken: (what to do to a whole one, the reason)
    "empty": (lambda path: path.write_bytes(b""), "File is not a zip file"),
    "text": (lambda path: path.write_text("model\n" * 99), "File is not a zip file"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-50]), "File is not a zip file"),
    "absent": (os.remove, "No such file or directory"),
    "no config": (lambda path: changed(path, config_json=None), "There is no item named 'config"),
    "a list": (lambda path: changed(path, config_json="[]"), "object is not a mapping"),
    "deep": (lambda path: changed(path, config_json="[" * 10**5), "maximum recursion depth"),
    "long": (lambda path: changed(path, config_json=" " * 2**25), "its config.json is larger than"),
    "no weights": (lambda path: changed(path, model_weights_h5=None), "it holds no weights"),
    "noise": (lambda path: changed(path, model_weights_h5=b"weights" * 99), "signature not found"),
    "others": (
        lambda path: changed(path, model_weights_h5=weights(a=np.zeros(3))),
        "A total of 2 objects could not be loaded. .*: Layer '.*' expected 2 variables, but rec",
    ),
    "a layer": (
        lambda path: changed(
            path, config_json=json.dumps(keras.saving.serialize_keras_object(keras.layers.ReLU()))
        ),
        "it holds no model with layers",
    ),
    "no layers": (
        lambda path: changed(
            path, config_json=json.dumps(keras.saving.serialize_keras_object(keras.Sequential()))
        ),
        "it holds no model with layers",
    ),
    "a stranger": (
        lambda path: changed(
            path,
            config_json=json.dumps(config_of(path)).replace('"Dense"', '"Danse"'),
        ),
        "Could not deserialize 'keras.layers.Danse'",
    ),
    "a function": (
        lambda path: changed(
            path,
            config_json=json.dumps({"module": "os", "class_name": "function", "config": "system"}),
        ),
        "Could not",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_files_are_one_line_with_file_reason_and_remedy(whole, how, capfd, recwarn):
    break_it, reason = BROKEN[how]
    path = break_it(whole)
    path = path if isinstance(path, os.PathLike) else whole
    with pytest.raises(RunError) as error:
        read_model(path, remedy="train anew")
    message = str(error.value)
    assert message.startswith(f"cannot read a model from {path}: ")
    assert message.endswith("; train anew")
    assert "\n" not in message
    assert ":; " not in message
    assert len(message) < 500
    assert re.search(reason, message), message
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.keras")
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "endless.keras").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a pipe"), ("folder", "a directory"), ("endless", "a device")):
        message = rf"^\S*{name}\.keras is {kind}, not a regular file"
        with pytest.raises(RunError, match=f"{message}; train anew$"):
            read_model(tmp_path / f"{name}.keras", remedy="train anew")
        with pytest.raises(RunError, match=message):
            pretrained.load("mobilenet", tmp_path / f"{name}.keras")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ('["ant"]', "it names 1 classes and has 3 outputs"),
        ('["ant", "bee", "cat", "dog"]', "it names 4 classes and has 3 outputs"),
        ('{"ant": 1}', r"its class_names\.json is not a list of names"),
        ("[1, 2, 3]", r"its class_names\.json is not a list of names"),
        ("[", "Expecting value"),
        (None, "its classes have no names"),
    ],
)
def test_names_that_do_not_fit_are_refused(whole, names, reason, capsys):
    path = changed(whole, class_names_json=names)
    with pytest.raises(RunError, match=rf"^cannot read .*changed\.keras: {reason}"):
        training.load_model(path)
    assert classify.cli(["photo.jpg", f"--model={path}"]) == 1
    assert "give the model.keras of a finished run" in capsys.readouterr().err


def test_a_model_of_something_else_than_images_is_refused(tmp_path, capsys):
    tokens = keras.Input((5,), name="tokens")
    path = tmp_path / "words.keras"
    training.save_model(keras.Model(tokens, keras.layers.Dense(3)(tokens)), path, NAMES)
    assert classify.cli(["photo.jpg", f"--model={path}"]) == 1
    assert "does not output one score per class" in capsys.readouterr().err
    assert check.cli([f"--model={path}", f"--workdir={tmp_path / 'run'}"]) == 2
    assert "does not map images to one score per class" in capsys.readouterr().err
