"""Techniques of cvcourse.visualization against torch in float64: tests/golden/vis_*.npz."""

import functools

import numpy as np
import pytest
from golden import golden_rule as rule
from golden import vis_rule as reference

from cvcourse import models
from cvcourse import visualization as see
from cvcourse.visualization.network import Network

SPEC = reference.load_spec()["models"]
FAST = ("squeezenet1_1", "resnet18-cam", "resnet18-grad_cam_aligned")


def rows(names=None):
    """Return (net, case) of all cases, or of those of some names."""
    return [
        pytest.param(net, case, marks=() if {net, f"{net}-{case}"} & {*FAST} else pytest.mark.slow)
        for net, spec in SPEC.items()
        for case in (names or spec["cases"])
    ]


@functools.cache
def load(name):
    """Return (model with the rule's weights, spec, expected arrays, images)."""
    spec = SPEC[name]
    model = models.build(name, input_shape=(*spec["size"], 3))
    weights = {key: rule.tensor(key, shape, spec["gain"]) for key, shape in spec["state_dict"]}
    models.pretrained.load_state_dict(model, weights)
    return model, spec, reference.load(name), rule.inputs(*spec["size"], spec["seed"])


@pytest.fixture(scope="module", autouse=True)
def nets():
    yield
    load.cache_clear()


def maps_of(technique, **settings):
    return lambda model, spec, case, x: technique(model, x, spec["classes"], **settings)


def grad_cam(resize):
    return lambda model, spec, case, x: see.grad_cam(
        model, x, spec["classes"], layer=case["tap"], resize=resize
    )


def integrated_gradients(model, spec, case, x):
    form = {"baseline": case["baseline"], "steps": case["steps"]}
    return see.integrated_gradients(model, x, spec["classes"], **form)


def smooth_grad(model, spec, case, x):
    noises = reference.noise((case["samples"], *x.shape), 11)
    return see.smooth_grad(model, x, spec["classes"], noises=noises)


def deconvnet_unit(model, spec, case, x):
    return see.deconvnet(model, x, layer=case["tap"], channel=case["channel"])


def fgsm_sign(model, spec, case, x):
    return see.fgsm(model, x, spec["classes"], epsilon=1.0) - x


def occlusion(model, spec, case, x):
    form = {"patch": tuple(case["patch"]), "stride": tuple(case["stride"]), "fill": case["fill"]}
    return see.occlusion(model, x, spec["classes"], **form)


def inversion_gradient(model, spec, case, x):
    weight = case["variation_weight"]
    loss, gradient = see.inversion_loss(model, x[1:], x[:1], case["tap"], variation_weight=weight)
    assert loss == pytest.approx(case["match"] + weight * case["variation"], rel=1e-4)
    return gradient


def style_gradient(model, spec, case, x):
    weights = {f"{name}_weight": weight for name, weight in case["weights"].items()}
    loss, gradient = see.style_loss(
        model,
        x[1:],
        x[:1],
        rule.inputs(*spec["size"], spec["seed"] + 100)[:1],
        content_layer=case["content"],
        style_layers=case["style"],
        style_weights=weights.pop("style_weight"),
        **weights,
    )
    assert loss == pytest.approx(case["loss"], rel=1e-4)
    return gradient


CASES = {
    "logits": lambda model, spec, case, x: Network.of(model).predict(x),
    "saliency": maps_of(see.saliency),
    "guided_backprop": maps_of(see.guided_backprop),
    "deconvnet": maps_of(see.deconvnet),
    "deconvnet_unit": deconvnet_unit,
    "integrated_gradients": integrated_gradients,
    "smooth_grad": smooth_grad,
    "grad_cam": grad_cam(None),
    "grad_cam_resized": grad_cam("bilinear"),
    "grad_cam_aligned": grad_cam("receptive_field"),
    "cam": maps_of(see.cam, resize=None),
    "fgsm_sign": fgsm_sign,
    "occlusion": occlusion,
    "dream_step": lambda model, spec, case, x: see.dream_step(model, x, case["tap"]),
    "inversion_gradient": inversion_gradient,
    "gram": lambda model, spec, case, x: see.gram(model, x[1:], case["tap"])[0],
    "style_gradient": style_gradient,
}


@pytest.mark.parametrize("net, case", rows())
def test_case(net, case):
    model, spec, expected, images = load(net)
    function = CASES["gram" if case.startswith("gram_") else case]
    entry = spec["cases"][case]
    error, tolerance = reference.check(expected[case], entry, function(model, spec, entry, images))
    assert error < tolerance


@pytest.mark.parametrize("net, case", rows(["integrated_gradients"]))
def test_completeness(net, case):
    model, spec, _, x = load(net)
    entry = spec["cases"][case]
    for name, expected in entry["completeness_delta"].items():
        form = dict(steps=entry["steps"], rule=name.partition(",")[0])
        maps = see.integrated_gradients(model, x, spec["classes"], **form)
        found = see.completeness_delta(model, x, maps, spec["classes"])
        # Three digits in the spec, and float32 ReLUs on the other side of their kink.
        np.testing.assert_allclose(found, expected, rtol=5e-3, atol=2e-2, err_msg=name)


@pytest.mark.parametrize("net, case", rows(["logits"]))
def test_receptive_fields(net, case):
    model, spec, _, _ = load(net)
    for tap, expected in spec["receptive_fields"].items():
        field = see.receptive_field(model, tap)
        assert field._asdict() == {key: (n, n) for key, n in expected.items()}, tap
    top = spec["top_patch"]
    assert see.boxes(model, top["tap"], top["places"]).tolist() == top["boxes"]


@pytest.mark.slow
def test_what_captum_misses():
    """Captum 0.9.0 leaves each ReLU6 its gradient: the maps are those of `saliency`."""
    model, spec, expected, x = load("mobilenet_v2")
    found = reference.l2_error(see.saliency(model, x, spec["classes"]), expected["guided_backprop"])
    assert found == pytest.approx(spec["captum"]["guided_backprop"], rel=0.01)
