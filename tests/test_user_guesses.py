"""What a user of Keras, timm or torchvision tries first is right, or is answered."""

import os
import pathlib
import warnings

import keras
import numpy as np
import pytest
from keras import layers

import cvcourse
from cvcourse import data, errors, models, recipe, sequence, training
from cvcourse.deprecation import takes_old_names
from cvcourse.errors import RunError, UsageError
from cvcourse.files import with_paths
from cvcourse.models import pretrained

DENSENET = dict(depths=(1,), input_shape=(32, 32, 3), num_classes=2)
TOKENS = dict(units=4, vocabulary=3, num_classes=3, input_shape=(None,))


def warned_lines(call, times=2):
    """The files of the warnings when one line calls several times, and another one once."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        for _ in range(times):
            call()
    return [(one.filename, str(one.message).split(";")[0]) for one in warned]


@takes_old_names(beams="num_beams")
def search(*, num_beams=5):
    return num_beams


@pytest.mark.parametrize(
    "call",
    [
        lambda: models.knobs,
        lambda: models.build("densenet40_12", growth=4, **DENSENET),
        lambda: models.densenet40_12(growth=4, **DENSENET),
        lambda: models.cost("densenet40_12", growth=4, **DENSENET),
        lambda: models.backbone("densenet40_12", growth=4, **DENSENET),
        lambda: pretrained.find("densenet121", growth=32),
        lambda: sequence.build("multi_head_attention", heads=2),
        lambda: search(beams=3),
    ],
)
def test_a_warning_of_an_old_name_is_at_the_users_line_once(call):
    found = warned_lines(call)
    assert [file for file, _ in found] == [__file__], found


def test_each_line_with_an_old_name_warns():
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        for _ in range(2):
            search(beams=3)
        search(beams=3)
    assert len({one.lineno for one in warned}) == len(warned) == 2


def test_a_called_net_warns_of_raw_pixels_at_the_users_line():
    image = keras.Input((8, 8, 3))
    net = keras.Model(image, layers.GlobalAveragePooling2D()(image))
    pretrained._raw_pixels.warn_of_raw_pixels(net, pretrained.find("resnet18"))
    found = warned_lines(lambda: net(np.full((1, 8, 8, 3), 255.0)))
    assert [file for file, _ in found] == [__file__]


@pytest.mark.parametrize(
    "call",
    [
        lambda: models.cost("vit_b_16", heads=12, num_heads=12),
        lambda: pretrained.candidates("vit_b_16", dim=768, hidden_dim=768),
        lambda: pretrained.load("vit_b_16", mlp=3072, mlp_dim=3072),
    ],
)
def test_both_names_of_an_argument(call):
    with pytest.raises(TypeError, match="its new name: leave out"):
        call()


def test_old_names_choose_the_same_weights():
    with pytest.warns(FutureWarning):
        found = pretrained.candidates("vit_b_16", dim=768, heads=12, mlp=3072)
    assert found == pretrained.candidates("vit_b_16")


def test_star_imports():
    namespace = {}
    exec("from cvcourse.distribution import *", namespace)
    assert {"os", "json", "Any"} & {*namespace} == set()
    assert {"importlib", "typing"} & {*dir(cvcourse)} == set()
    assert {*cvcourse.PACKAGES} < {*dir(cvcourse)}
    namespace = {}
    exec("from cvcourse import *", namespace)
    assert {*namespace} == {"__builtins__", "__version__"}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("VGG16", "vgg16"),
        ("MobileNetV2", "mobilenet_v2"),
        ("ViT-B/16", "vit_b_16"),
        ("EfficientNetB0", "efficientnet_b0"),
        ("RESNET18", "resnet18"),
        ("reznet18", "resnet18"),
    ],
)
def test_names_as_others_write_them(name, near):
    assert f"did you mean {near!r}?" in errors.unknown("model", name, models.NAMES)
    with pytest.raises(ValueError, match="did you mean"):
        models.family(name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.build(["resnet18"]), "unknown model"),
        (lambda: models.resnet18(pretrained=True), r'models.pretrained.load\("resnet18"\) gives'),
        (lambda: models.resnet18(in_chans=1), r"write input_shape=\(height, width, 1\)"),
        (lambda: models.resnet18(drop_rate=0.1), "write dropout=0.1"),
        (lambda: models.resnet18(features_only=True), r'models.backbone\("resnet18", stages=…\)'),
        (lambda: models.resnet20(drop_path_rate=0.1), r'\*\*models.stochastic_depth\("resnet20"'),
        (lambda: models.resnet18(drop_path_rate=0.1), "unknown argument 'drop_path_rate'"),
        (lambda: models.resnet18(num_classes=True), "received True"),
        (lambda: models.resnet18(input_shape=(3, 224, 224)), r"come last, as in \(224, 224, 3\)"),
        (lambda: models.resnet18(input_shape=(64.5, 64, 3)), "whole numbers"),
        (lambda: models.input_shape_for("lenet5", (28, 28)), "image_shape is"),
        (lambda: models.list(True), "received True"),
        (lambda: models.list(pretrained="timm"), "received 'timm': models.pretrained.published"),
        (lambda: models.cost(models.resnet18), "takes the name of a network or a keras.Model"),
        (lambda: models.cost(keras.Sequential([layers.Dense(2)])), "without keras.Input"),
        (lambda: models.features(models.resnet18), "features takes a keras.Model"),
        (lambda: models.backbone(None), "name of a network or a keras.Model; received None"),
        (lambda: pretrained.load(None), "unknown model None"),
        (lambda: pretrained.load("resnet18", "imagenet"), 'write weights="default"'),
        (lambda: pretrained.load("resnet18", None), r'models.build\("resnet18"\) gives random'),
        (lambda: pretrained.load("resnet18", pretrained=True), "leave it out: published"),
        (lambda: pretrained.load("resnet18", include_rescaling=True), "preprocessing=False leaves"),
        (lambda: sequence.Generator("net.keras"), "takes a keras.Model .* received 'net.keras'"),
    ],
)
def test_wrong_guesses_are_answered(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_numpy_numbers_and_shapes():
    labels = np.array([0, 2, 1])
    net = models.lenet5(num_classes=labels.max() + 1, input_shape=np.array([32, 32, 1]))
    assert (net.input_shape, net.output_shape) == ((None, 32, 32, 1), (None, 3))
    backbone = models.backbone("resnet18", np.int64(2), depths=(1, 1))
    assert list(backbone.output) == ["stage2"]


def test_patterns_in_any_case_and_from_an_iterator():
    assert models.list("ResNet1?") == models.list("resnet1?") == ["resnet18"]
    assert models.list(iter(["mlp", "zfnet"])) == ["mlp", "zfnet"]


def test_cost_of_models_within_models():
    net = models.resnet18(input_shape=(64, 64, 3), num_classes=3, depths=(1, 1))
    alone = models.cost(net)
    image = keras.Input((64, 64, 3))
    inner = keras.Sequential([image, layers.Rescaling(1 / 255), net])
    outer = models.cost(keras.Sequential([keras.Input((64, 64, 3)), inner, layers.Softmax()]))
    assert (outer.parameters, outer.macs) == (alone.parameters, alone.macs)
    assert outer.activations == alone.activations  # the image is counted once
    fields = {row.name.split("/")[-1]: row.receptive_field for row in outer}
    assert all(fields[row.name] == row.receptive_field for row in alone[1:])
    with pytest.raises(ValueError, match="resnet18 is built already: num_classes cannot be set"):
        models.cost(net, num_classes=10)


def test_preprocessing_that_does_not_fit():
    net = models.lenet5(input_shape=(32, 32, 1))
    given = dict(mean=[1.0], variance=[2.0])
    with pytest.raises(ValueError, match="without the batch; received \\(28, 28\\)"):
        models.with_preprocessing(net, (28, 28), **given)
    with pytest.raises(ValueError, match="mean has 2 values, and the images have 3 channels"):
        models.with_preprocessing(net, (28, 28, 3), mean=[1.0, 2.0], variance=[2.0])
    image = keras.Input((32, 32, 3))
    net = keras.Model(image, layers.GlobalAveragePooling2D()(image))
    published = pretrained.find("resnet18")
    with pytest.raises(ValueError, match="received 'default'"):
        pretrained.with_preprocessing(net, "default")
    with pytest.raises(ValueError, match="has preprocessing already"):
        pretrained.with_preprocessing(pretrained.with_preprocessing(net, published), published)
    with pytest.raises(ValueError, match="unknown scaling 'torchy': did you mean 'torch'"):
        pretrained.with_resizing(net, scaling="torchy")


def test_paths_of_a_run_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = pathlib.Path("run")
    folder.mkdir()
    (folder / "model.keras").touch()
    found = with_paths({"epochs": 1}, folder)
    expected = {"workdir": str(tmp_path / "run"), "model": str(tmp_path / "run" / "model.keras")}
    assert found == {"epochs": 1, **expected}


def test_a_recipe_takes_its_config(tmp_path):
    for wrong in ({"model": "mlp"}, recipe.TrainingFields, "config.json"):
        with pytest.raises(UsageError, match="a recipe takes its Config"):
            recipe.check(wrong)
    file = tmp_path / "config.json"
    for name in ('""', "0", "[]"):
        file.write_text(f'{{"recipe": {name}, "epochs": 3}}')
        with pytest.raises(UsageError, match="names an unknown recipe"):
            recipe.load_config(file)


def saved(path, net, names):
    training.save_model(net, path, names)
    return path


def test_files_of_other_models_are_one_clear_line(tmp_path):
    image = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)])
    words = data.Vocabulary.of_words(["a red square"])
    caption = dict(units=4, num_classes=len(words.tokens), memory_shape=(4, 3))
    files = {
        "image": saved(tmp_path / "image.keras", image, "abc"),
        "gru": saved(tmp_path / "gru.keras", sequence.build("gru", **TOKENS), "abc"),
        "caption": saved(
            tmp_path / "caption.keras", sequence.build("caption_lstm", **caption), words.tokens
        ),
    }
    assert training.load_model(files["image"])[1] == ("a", "b", "c")  # a Sequential, too
    for cls, own, name in (
        (sequence.TextSampler, "gru", "char_lm"),
        (sequence.Captioner, "caption", "caption"),
    ):
        cls.load(files[own])
        for path in {*files.values()} - {files[own]}:
            expected = f"{os.path.basename(path)} is not a model of `cvcourse {name}`: it takes"
            with pytest.raises(RunError, match=expected) as error:
                cls.load(path)
            assert "\n" not in str(error.value)


def test_a_vocabulary_of_another_net():
    net = sequence.build("gru", **TOKENS)
    with pytest.raises(ValueError, match="the vocabulary has 2 tokens, and gru was built for 3"):
        sequence.TextSampler(net, data.Vocabulary.of_characters("ab"))
    with pytest.raises(ValueError, match="received 'abc'"):
        sequence.TextSampler(net, "abc")
    sampler = sequence.TextSampler(net, data.Vocabulary.of_characters("abc"))
    with pytest.raises(ValueError, match="length must be an integer of at least 1; received 0"):
        sampler.sample("a", length=0)


def test_a_translator_takes_a_net():
    net = sequence.build("encoder_decoder", units=4, source_vocabulary=5, num_classes=5)
    translator = sequence.Translator(
        net,
        encode=lambda texts: np.array([[*map(int, text)] for text in texts]),
        decode=lambda tokens: "".join(map(str, tokens)),
        start=1,
        end=2,
        longest=3,
    )
    assert len(translator.translate(["341"])) == 1
