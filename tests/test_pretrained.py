"""Our networks against published implementations: the same weights give the same outputs.

tests/golden holds outputs of torchvision and timm for weights and images that a rule makes.
"""

import re

import keras
import numpy as np
import pytest
from golden import golden_rule as rule

from cvcourse import models
from cvcourse.models import pretrained

SPEC = rule.load_spec()["models"]
SLOW = (
    *("vgg", "nasnet", "vit", "NASNet", "VGG", "wide", "101", "152", "169", "201", "Large"),
    *("ConvNeXtTiny", "EfficientNetB0", "DenseNet121", "InceptionV3", "ResNet50V2", "noaux"),
)


def marked(names):
    slow = pytest.mark.slow
    return [pytest.param(n, marks=slow if any(s in n for s in SLOW) else ()) for n in names]


def source(name):
    return name if "." in name else f"torchvision.{name}"


def published_weights(name):
    spec = SPEC[name]
    return {entry: rule.tensor(entry, shape, spec["gain"]) for entry, shape in spec["state_dict"]}


def outputs(model, x, *, training=False):
    """{"logits": …, "aux_logits": …} as arrays."""
    found = model(x, training=training)
    found = found if isinstance(found, dict) else {"logits": found}
    return {key: np.array(value) for key, value in found.items()}


@pytest.mark.parametrize("name", marked(SPEC))
def test_equal_to_the_published_implementation(name):
    spec, golden = SPEC[name], rule.load(name)
    model = pretrained.build_source(source(name))
    pretrained.load_state_dict(model, published_weights(name))
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert (trainable, model.count_params()) == (spec["params"], spec["params_with_running_stats"])
    found = outputs(model, rule.inputs(*spec["input"][:2], spec["input_seed"]))
    for key, value in found.items():
        expected = golden["logits" if key == "logits" else f"eval_{key}"]
        assert rule.error(value, expected) < spec["tolerance"], key
    if "logits_202x175" in golden:  # even and odd maps in turn
        other = pretrained.build_source(source(name), input_shape=(202, 175, 3))
        other.set_weights(model.get_weights())
        logits = outputs(other, rule.inputs(202, 175, spec["input_seed"]))["logits"]
        assert rule.error(logits, golden["logits_202x175"]) < spec["tolerance"]


def test_torchvisions_files_of_vision_transformers_have_its_first_names():
    form = dict(
        hidden_dim=8, depth=2, num_heads=2, mlp_dim=16, input_shape=(32, 32, 3), num_classes=3
    )
    net = pretrained.build_source("torchvision.vit_b_16", **form)
    names = {
        name: name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2.")
        for name, _ in SPEC["vit_b_16"]["state_dict"]
        if not re.search(r"encoder_layer_([2-9]|1[01])\.", name)
    }
    shapes = {
        "conv_proj.weight": (8, 3, 16, 16),
        "class_token": (1, 1, 8),
        "encoder.pos_embedding": (1, 5, 8),
        "heads.head.weight": (3, 8),
        "heads.head.bias": (3,),
        "in_proj_weight": (24, 8),
        "in_proj_bias": (24,),
        "out_proj.weight": (8, 8),
        "mlp.0.weight": (16, 8),
        "mlp.0.bias": (16,),
        "mlp.3.weight": (8, 16),
    }
    tensors = {
        name: rule.tensor(name, next((s for end, s in shapes.items() if name.endswith(end)), (8,)))
        for name in names
    }
    now = pretrained.load_state_dict(net, tensors).get_weights()
    first = pretrained.build_source("torchvision.vit_b_16", **form)
    pretrained.load_state_dict(first, {names[name]: value for name, value in tensors.items()})
    for a, b in zip(now, first.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_equal_in_training_mode_with_auxiliary_heads(name):
    spec, golden = SPEC[name], rule.load(name)
    model = pretrained.build_source(source(name), dropout=0.0)
    pretrained.load_state_dict(model, published_weights(name))
    found = outputs(model, rule.inputs(*spec["input"][:2], spec["input_seed"]), training=True)
    assert len(found) == {"googlenet": 3, "inception_v3": 2}[name]
    for key, value in found.items():
        assert rule.error(value, golden[f"train_{key}"]) < spec["train_tolerance"], key
    (mean,) = [golden[key] for key in golden if key.endswith("running_mean")]
    norm = next(la for la in model.layers if isinstance(la, keras.layers.BatchNormalization))
    assert rule.error(np.array(norm.moving_mean), mean) < spec["train_tolerance"]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "timm.seresnet50"])
def test_multiply_accumulates_are_those_of_the_golden_table(name):
    architecture, form = pretrained.SOURCES[source(name)]
    assert models.cost(architecture, **form).macs == SPEC[name]["macs"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SPEC)
def test_all_multiply_accumulates(name):
    architecture, form = pretrained.SOURCES[source(name)]
    without_heads = {key: value for key, value in form.items() if key != "aux"}
    assert models.cost(architecture, **without_heads).macs == SPEC[name]["macs"]


# keras.applications' name: (our registry name, side of the images)
APPLICATIONS = {
    "VGG16": ("vgg16", 224),
    "VGG19": ("vgg19", 224),
    "InceptionV3": ("inception_v3", 96),
    "ResNet50": ("resnet50", 64),
    "ResNet101": ("resnet101", 64),
    "ResNet152": ("resnet152", 64),
    "ResNet50V2": ("resnet50_v2", 64),
    "ResNet101V2": ("resnet101_v2", 64),
    "ResNet152V2": ("resnet152_v2", 64),
    "DenseNet121": ("densenet121", 64),
    "DenseNet169": ("densenet169", 64),
    "DenseNet201": ("densenet201", 64),
    "MobileNet": ("mobilenet", 96),
    "MobileNetV2": ("mobilenet_v2", 96),
    "MobileNetV3Large": ("mobilenet_v3_large", 96),
    "MobileNetV3Small": ("mobilenet_v3_small", 96),
    "NASNetMobile": ("nasnet_mobile", 96),
    "NASNetLarge": ("nasnet_large", 96),
    "EfficientNetB0": ("efficientnet_b0", 96),
    "ConvNeXtTiny": ("convnext_tiny", 64),
}


@pytest.mark.parametrize("name", marked(APPLICATIONS))
def test_equal_to_keras_applications_both_ways(name):
    architecture, side = APPLICATIONS[name]
    shape = (side, side, 3)
    theirs = getattr(keras.applications, name)(
        weights=None, classifier_activation=None, input_shape=shape
    )
    ours = pretrained.build_source(f"keras.{name}", input_shape=shape)
    assert ours.name == architecture
    x = rule.inputs(side, side)
    prepared = x
    for layer in theirs.layers:
        if isinstance(layer, pretrained.APART):
            prepared = layer(prepared)
    for seed, (giver, taker) in enumerate([(theirs, ours), (ours, theirs)]):
        randomize_norms(giver, seed)
        pretrained.load_keras(taker, giver)
        expected, got = theirs(x, training=False), ours(prepared, training=False)
        assert rule.error(got, expected) <= 1e-5


def randomize_norms(model, seed):
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in layer.weights:
                uniform = variable.name in ("gamma", "moving_variance")
                draw = rng.uniform(0.5, 1.5, variable.shape)
                variable.assign(draw if uniform else draw - 1)


def test_wrong_tensors_are_named_and_nothing_changes():
    model, tensors = models.build("resnet18"), published_weights("resnet18")
    before = model.get_weights()
    del tensors["layer2.0.bn1.weight"]
    tensors["layer9.0.bn1.weight"] = np.zeros(3)
    tensors["fc.bias"] = np.zeros(7)
    tensors["conv1.weight"] = tensors["conv1.weight"].transpose(0, 2, 3, 1)
    with pytest.raises(ValueError) as error:
        pretrained.load_state_dict(model, tensors)
    assert "missing: layer2.0.bn1.weight; extra: layer9.0.bn1.weight; " in str(error.value)
    assert "conv1.weight (64, 7, 7, 3) for (7, 7, 3, 64)" in str(error.value)
    assert "fc.bias (7,) for (1000,)" in str(error.value)
    assert all(map(np.array_equal, model.get_weights(), before))


def test_keras_models_that_do_not_pair_are_named():
    small, large = models.build("resnet18", depths=(1,)), models.build("resnet18", depths=(2,))
    with pytest.raises(ValueError, match="extra: stage1_block2_1_bn"):
        pretrained.load_keras(small, large)
    with pytest.raises(ValueError, match="missing: stage1_block2_1_bn"):
        pretrained.load_keras(large, small)
    with pytest.raises(ValueError, match=r"logits .*\(64, 10\).* for logits .*\(64, 1000\)"):
        pretrained.load_keras(
            models.build("resnet18", depths=(1,)),
            models.build("resnet18", depths=(1,), num_classes=10),
        )


def test_renamed_and_wrapped_models_take_the_weights_too():
    weights = published_weights("resnet18")
    plain = pretrained.load_state_dict(models.build("resnet18"), weights)
    net = models.build("resnet18", name="backbone", input_shape=(64, 64, 3))
    wrapped = models.with_preprocessing(net, (64, 64, 3), mean=[0.0] * 3, variance=[1.0] * 3)
    shuffled = dict(sorted(weights.items(), reverse=True))
    pretrained.load_state_dict(wrapped, shuffled | {"bn1.num_batches_tracked": np.array(7)})
    x = rule.inputs(64, 64)
    other = models.build("resnet18", input_shape=(64, 64, 3))
    other.set_weights(plain.get_weights())
    np.testing.assert_allclose(wrapped(x), other(x), atol=1e-4)


def test_unknown_sources():
    with pytest.raises(ValueError, match=r"did you mean 'torchvision\.resnet18'"):
        pretrained.build_source("torchvision.resnet81")
