"""The networks as functions, their names by pattern, and what Keras' names are answered with."""

import functools
import inspect
import pathlib
import pickle
import pydoc

import keras
import numpy as np
import pytest
from networks import SMALL

from cvcourse import models
from cvcourse.models import _stub, variants

MODULES = ("linear", "alexnet", "zfnet", "nin", "googlenet", "mobilenet", "mobilenet_v2")


def test_every_network_is_a_function_where_no_module_has_its_name():
    assert set(models.REGISTRY) - set(variants.__all__) == set(MODULES)
    assert all(inspect.ismodule(getattr(models, name)) for name in MODULES)
    for name in variants.__all__:
        assert getattr(models, name) is getattr(variants, name)
        assert {name} <= {*dir(models)} & {*models.__all__}


def test_a_variant_builds_what_build_builds():
    for name in ("resnet18", "vit_b_16", "efficientnet_b0"):
        settings = {"num_classes": 3, **SMALL.get(name, {})}
        keras.utils.set_random_seed(0)
        expected = models.build(name, **settings)
        keras.utils.set_random_seed(0)
        net = getattr(models, name)(**settings)
        assert net.name == name
        assert [w.path for w in net.weights] == [w.path for w in expected.weights]
        for ours, theirs in zip(net.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert models.lenet5(name="mine").name == "mine"


def test_signatures_have_the_variants_own_defaults():
    for name in variants.__all__:
        parameters = inspect.signature(getattr(models, name)).parameters
        found = {key: value.default for key, value in parameters.items() if key != "name"}
        assert found == models.builder_args(name)
        assert {value.kind for value in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    resnet50 = inspect.signature(models.resnet50).parameters
    assert resnet50["depths"].default == (3, 4, 6, 3)
    assert resnet50["block"].annotation is str
    assert resnet50["num_classes"].annotation == int | None
    assert resnet50["name"].default is None


def test_help_tells_the_arguments_and_the_shapes():
    text = " ".join(pydoc.plain(pydoc.render_doc(models.vgg16)).split())
    assert "*, column: str = 'D', batch_norm: bool = False, width: float = 1.0" in text
    assert "(batch, h, w, c) -> " in text


def test_variants_are_functions_like_others():
    assert pickle.loads(pickle.dumps(models.resnet18)) is models.resnet18
    assert functools.partial(models.lenet5, num_classes=3)().output_shape == (None, 3)


def test_the_stub_for_editors_is_what_the_registry_gives():
    file = pathlib.Path(variants.__file__).with_suffix(".pyi")
    assert file.read_text("utf-8") == _stub.stub(), (
        "write it anew: python -m cvcourse.models._stub > cvcourse/models/variants.pyi"
    )


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: models.resnet50(224),
            TypeError,
            "resnet50 takes keyword arguments only, such as num_classes=10; received 224",
        ),
        (
            lambda: models.resnet50(num_clases=10),
            ValueError,
            "resnet50: unknown argument 'num_clases': did you mean 'num_classes'?",
        ),
        (
            lambda: models.resnet50(input_shape=(8, 8, 3)),
            ValueError,
            "resnet50 takes images of 32x32 pixels or more",
        ),
        (lambda: models.lenet5(num_classes=0), ValueError, "num_classes is 1 or more, or None"),
        (lambda: models.lenet5(num_classes=2.5), ValueError, "received 2.5"),
        *(
            (lambda setting=setting: models.vgg16(**setting), ValueError, message)
            for setting, message in (
                ({"include_top": False}, "num_classes=None ends the net at its features"),
                ({"weights": "imagenet"}, 'models.pretrained.load("vgg16")'),
                ({"weights": None}, "build gives random ones"),
                ({"classes": 10}, "instead, write num_classes=10"),
                ({"pooling": "avg"}, "models.features(net, pooling='avg')"),
                ({"alpha": 0.5}, "instead, write width=0.5"),
                ({"input_tensor": 3}, "call the net: net(tensor)"),
                ({"classifier_activation": None}, "nets end in logits"),
                ({"include_rescaling": True}, "models.with_preprocessing(net, …)"),
                ({"include_preprocessing": True}, "models.with_preprocessing(net, …)"),
            )
        ),
        (lambda: models.resnet18(alpha=0.5), ValueError, "unknown argument 'alpha'"),
    ],
)
def test_wrong_arguments(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (
            "vit_b_16",
            {"dim": 32, "heads": 2, "mlp": 64, "depth": 1},
            {"hidden_dim": 32, "num_heads": 2, "mlp_dim": 64, "depth": 1},
        ),
        ("densenet121", {"growth": 8, "depths": (1,)}, {"growth_rate": 8, "depths": (1,)}),
    ],
)
@pytest.mark.parametrize("by_name", [True, False])
def test_old_names_of_arguments_warn(name, old, new, by_name):
    call = functools.partial(models.build, name) if by_name else getattr(models, name)
    form = {"input_shape": (32, 32, 3), "num_classes": 3}
    with pytest.warns(FutureWarning) as warned:
        net = call(**old, **form)
    messages = [str(warning.message) for warning in warned]
    assert [message.split(" is now")[0] for message in messages] == [
        f"{name}: {key}" for key in old if key not in new
    ]
    assert net.count_params() == call(**new, **form).count_params()


def test_names_in_course_order_and_by_pattern():
    assert tuple(models.REGISTRY) == models.NAMES
    assert models.list() == [*models.NAMES]
    assert models.list("resnet*", pretrained=True) == [
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        *("resnet18_v2", "resnet34_v2", "resnet50_v2", "resnet101_v2", "resnet152_v2"),
    ]
    lenets = ["lenet_300_100", "lenet5", "lenet5_1998", "lenet5_caffe"]
    assert models.list(["*_16", "lenet*"]) == [*lenets, "vit_b_16", "vit_l_16"]
    assert models.list("resnet??", pretrained=False) == [f"resnet{n}" for n in (20, 32, 44, 56)]
    assert models.list("resnext*", pretrained=False) == ["resnext29_8x64d"]
    assert models.list("reznet*") == []
    assert {*models.list(pretrained=True)} == {
        row.architecture for row in models.pretrained.published()
    }


def test_a_star_import_keeps_the_builtin_list():
    namespace = {}
    exec("from cvcourse.models import *", namespace)
    assert "list" not in namespace
    assert namespace["resnet18"] is models.resnet18
