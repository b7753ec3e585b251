"""Settings of the process under which Keras would make another network of ours."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from cvcourse import layers, models, regularization, sequence, settings, training
from cvcourse.errors import UsageError
from cvcourse.models import pretrained
from cvcourse.startup import import_tensorflow_quietly

CHANGES = [
    ("image_data_format", "channels_first"),
    ("floatx", "float16"),
    ("floatx", "bfloat16"),
    ("floatx", "float64"),
]


@pytest.fixture
def put():
    """A function that sets one of Keras' settings until the end of the test."""
    before = keras.config.image_data_format(), keras.config.floatx()
    yield lambda setting, value: getattr(keras.config, f"set_{setting}")(value)
    keras.config.set_image_data_format(before[0])
    keras.config.set_floatx(before[1])


@pytest.mark.parametrize(("setting", "value"), CHANGES)
def test_no_network_is_built_under_them(setting, value, put):
    put(setting, value)
    sentence = f"^Keras' {setting} is '{value}'.* call keras.config.set_{setting}"
    for package in (models, sequence):
        for name in package.REGISTRY:
            with pytest.raises(ValueError, match=sentence):
                package.build(name)
    with pytest.raises(ValueError, match=sentence):
        models.cost("linear")


def test_no_recipe_starts_under_them(put):
    put("image_data_format", "channels_first")
    with pytest.raises(UsageError, match="Keras' image_data_format is 'channels_first'"):
        import_tensorflow_quietly()


def test_double_precision_is_asked_for_twice(double_precision):
    assert models.build("linear").output.dtype == "float32"  # as under every dtype policy
    assert models.cost("linear").parameters == 30_730
    net = sequence.build("lstm", input_shape=(None, 3), num_classes=2)
    assert {variable.dtype for variable in net.trainable_variables} == {"float64"}


def test_the_file_that_holds_a_setting_is_named(put, monkeypatch, tmp_path):
    put("image_data_format", "channels_first")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_last"}')
    with pytest.raises(
        ValueError, match="is 'channels_first', networks need 'channels_last': call"
    ):
        settings.require_supported_settings()
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_first"}')
    with pytest.raises(ValueError, match=f"in {tmp_path}/keras.json, .*: change it there or call"):
        settings.require_supported_settings()


@pytest.mark.parametrize(("setting", "value"), CHANGES)
def test_saved_models_of_raw_images_answer_alike(setting, value, put, tmp_path):
    net = models.build("nin_cifar", input_shape=(16, 16, 3))
    model = models.with_preprocessing(net, (9, 8, 1), mean=[100.0], variance=[25.0])
    model.save(tmp_path / "model.keras")
    raw = np.random.default_rng(0).uniform(0, 255, (2, 9, 8, 1)).astype("float32")
    before = np.array(model(raw))
    put(setting, value)
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.count_params() == 966_986
    np.testing.assert_array_equal(again(raw), before)


def of_every_kind():
    """A model of the layers of ours that Keras' settings could reach."""
    image = keras.Input((12, 12, 4), dtype="float32")
    x = layers.GroupedConv2D(6, 3, groups=2, dtype="float32")(image)
    x = layers.DepthwiseConv2D(3, pad=((1, 1), (1, 1)), strides=2, dtype="float32")(x)
    x = layers.AveragePooling2D(2, 1, "same", dtype="float32")(x)
    x = layers.FractionalMaxPooling2D(output_size=4, dtype="float32")(x)
    x = layers.AdaptiveAveragePooling2D(3, dtype="float32")(x)
    return keras.Model(image, layers.SparseConv2D([[0, 1, 5], [2]], 2, dtype="float32")(x))


@pytest.mark.parametrize(("setting", "value"), CHANGES)
def test_layers_work_as_if_they_were_not_set(setting, value, put):
    expected = of_every_kind()
    put(setting, value)
    model = of_every_kind()
    model.set_weights(expected.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 4)).astype("float32")
    assert model.output_shape == (None, 2, 2, 2)
    np.testing.assert_array_equal(model(x), expected(x))


OF_A_NET = {
    "raw photos": lambda net: pretrained.with_preprocessing(net, pretrained.published()[0]),
    "features": lambda net: training.with_classifier(net, net.get_layer("features").output, 3),
    "ten crops": lambda net: regularization.ten_crop(net, (20, 20, 3)),
    "ensemble": lambda net: regularization.ensemble([net, net]),
}


@pytest.mark.parametrize("made", OF_A_NET)
@pytest.mark.parametrize(("setting", "value"), CHANGES[:2])
def test_models_made_of_a_model_as_if_they_were_not_set(made, setting, value, put):
    net = models.build("resnet20", depth=8, input_shape=(16, 16, 3))
    expected = OF_A_NET[made](net)
    put(setting, value)
    model = OF_A_NET[made](net)
    model.set_weights(expected.get_weights())
    x = np.random.default_rng(0).uniform(0, 255, (1, 20, 20, 3)).astype("float32")
    x = x[:, : model.input_shape[1], : model.input_shape[2]]
    assert np.array(model(x)).dtype == "float32"
    np.testing.assert_allclose(model(x), expected(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("environment", "file", "sentence"),
    [
        ({"KERAS_BACKEND": "theano"}, "{}", "KERAS_BACKEND is 'theano', which recipes do not run"),
        ({}, '{"backend": "cntk"}', "backend in {file} is 'cntk', which recipes do not run on"),
        (
            {},
            '{"floatx": "float8"}',
            "Keras does not accept a setting in {file}: {{'floatx': 'float8'}}",
        ),
        ({}, '{"image_data_format": "channels_first"}', "'channels_first' in {file}, networks"),
    ],
)
def test_a_recipe_names_what_keras_cannot_start_with(environment, file, sentence, tmp_path):
    (tmp_path / "keras.json").write_text(file)
    ran = subprocess.run(
        [sys.executable, "-m", "cvcourse", "models", "--model=linear"],
        env={**os.environ, "KERAS_BACKEND": "", "KERAS_HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert sentence.format(file=tmp_path / "keras.json") in ran.stderr


def test_a_backend_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(settings.importlib.util, "find_spec", lambda name: None)
    backend = keras.config.backend()
    monkeypatch.setenv("KERAS_BACKEND", backend)
    sentence = f"KERAS_BACKEND is '{backend}', which is not installed: set KERAS_BACKEND to one of"
    with pytest.raises(ValueError, match=sentence):
        settings.require_backend()
