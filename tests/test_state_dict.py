"""state_dicts as training code writes them: torch's tensors, prefixes, errors; without torch."""

import keras
import numpy as np
import pytest
from golden import golden_rule as rule

from cvcourse import models, sequence, state_dict
from cvcourse.models import pretrained

SPEC = rule.load_spec()["models"]


class Tensor:
    """Converts to NumPy where torch's Tensor does (torch.Tensor.numpy), and raises as it does."""

    def __init__(self, values, dtype="float32", requires_grad=False, device="cpu"):
        self.values = np.asarray(values, None if dtype == "bfloat16" else dtype)
        self.dtype, self.requires_grad, self.device = dtype, requires_grad, device

    def detach(self):
        return Tensor(self.values, self.dtype, False, self.device)

    def cpu(self):
        return Tensor(self.values, self.dtype, self.requires_grad, "cpu")

    def float(self):
        return Tensor(self.values, "float32", self.requires_grad, self.device)

    def numpy(self):
        if self.device != "cpu":
            raise TypeError(f"can't convert {self.device} device type tensor to numpy")
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.dtype == "bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.values

    def __array__(self, dtype=None, copy=None):
        return self.numpy()


TENSORS = {
    "parameter": Tensor([1.5, -2], requires_grad=True),
    "bfloat16": Tensor([1.5, -2], "bfloat16"),
    "half": Tensor([1.5, -2], "float16"),
    "gpu": Tensor([1.5, -2], "bfloat16", True, "cuda:0"),
    "transposed": Tensor(np.float32([[1.5, 0], [-2, 0]]).T[0]),
}


def test_tensors_of_torch_become_arrays():
    arrays = state_dict.to_arrays(TENSORS | {"bn.num_batches_tracked": 3, "n_averaged": 1})
    assert list(arrays) == list(TENSORS)
    for array in arrays.values():
        np.testing.assert_array_equal(array, [1.5, -2])
    assert [str(array.dtype) for array in arrays.values()] == [
        *("float32", "float32", "float16", "float32", "float32")
    ]


def test_bfloat16_of_numpy_becomes_float32():
    import ml_dtypes

    array = state_dict.to_arrays({"a": np.array([1.5, -2], ml_dtypes.bfloat16)})["a"]
    np.testing.assert_array_equal(array, np.float32([1.5, -2]))
    assert array.dtype == "float32"


@pytest.mark.parametrize("value", [np.array(["text"]), np.array([{}]), np.array([1j])])
def test_what_holds_no_numbers_is_named(value):
    with pytest.raises(ValueError, match=r"^the tensor conv\.weight does not contain numbers"):
        state_dict.to_arrays({"conv.weight": value})


@pytest.mark.parametrize(
    ("tensors", "received"),
    [
        ([("a", 1.0)], r"a state_dict\(\); received list"),
        (None, "received NoneType"),
        ({b"a": 1.0}, "received the key b'a'"),
        ({0: 1.0}, "received the key 0"),
    ],
)
def test_what_has_no_names_is_refused(tensors, received):
    with pytest.raises(ValueError, match=received):
        state_dict.to_arrays(tensors)


def squeezenet():
    spec = SPEC["squeezenet1_1"]
    return {name: rule.tensor(name, shape, spec["gain"]) for name, shape in spec["state_dict"]}


def build_squeezenet(**settings):
    return models.build("squeezenet1_1", input_shape=(64, 64, 3), **settings)


def test_parameters_and_halves_of_torch_load():
    tensors = squeezenet()
    plain, wrapped = build_squeezenet(), build_squeezenet()
    pretrained.load_state_dict(plain, tensors)
    pretrained.load_state_dict(
        wrapped, {name: Tensor(value, requires_grad=True) for name, value in tensors.items()}
    )
    for a, b in zip(plain.get_weights(), wrapped.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "backbone.", "module._orig_mod.", "model.backbone."],
)
def test_prefixes_of_wrappers_come_off(prefix, capsys):
    tensors = squeezenet()
    plain, net = build_squeezenet(), build_squeezenet()
    pretrained.load_state_dict(plain, tensors)
    assert capsys.readouterr().err == ""
    pretrained.load_state_dict(net, {prefix + name: value for name, value in tensors.items()})
    assert capsys.readouterr().err == (
        f"squeezenet1_1: removed the prefix {prefix!r} from all names of weights\n"
    )
    for a, b in zip(plain.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_prefix_that_is_part_of_the_names_stays():
    count = {"model.a", "model.b"}
    tensors = {"model.a": 1, "model.b": 2}
    assert state_dict.strip_prefix(tensors, lambda t: len(t.keys() & count)) == (tensors, "")
    wrapped = {f"module.{name}": value for name, value in tensors.items()}
    found = state_dict.strip_prefix(wrapped, lambda t: len(t.keys() & count))
    assert found == (tensors, "module.")
    assert state_dict.strip_prefix({}, len) == ({}, "")


def error_of(net, tensors):
    before = net.get_weights()
    with pytest.raises(ValueError) as error:
        pretrained.load_state_dict(net, tensors)
    assert all(map(np.array_equal, net.get_weights(), before))
    assert len(str(error.value)) < 600
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (
            lambda t: {f"net.{k}": v for k, v in t.items()},
            "52 of 52 names begin with 'net.': remove",
        ),
        (
            lambda t: {k if k.startswith("classifier") else f"module.{k}": t[k] for k in t},
            "50 of 52 names begin with 'module.': remove",
        ),
        (
            lambda t: {k: v.transpose(2, 3, 1, 0) if v.ndim == 4 else v for k, v in t.items()},
            "the axes of its kernels are in another order",
        ),
        (
            lambda t: t | {k: t[k][:37] for k in t if k.startswith("classifier")},
            "the classifier has another number of classes",
        ),
        (lambda t: {k: v[: len(v) // 2] for k, v in t.items()}, "it is of another width"),
        (
            lambda t: {k: v for k, v in t.items() if "12" not in k},
            "incomplete, or of another depth or variant of the network; missing: features.12.",
        ),
        (
            lambda t: {f"layer{i}/kernel:0": v for i, v in enumerate(t.values())},
            "its names are those of Keras",
        ),
        (
            lambda t: {f"vit.encoder.layer.{i}.a.weight": v for i, v in enumerate(t.values())},
            "its names are those of Hugging Face's transformers",
        ),
        (lambda t: dict(enumerate_names(t)), "no known network has its names"),
        (
            lambda t: {k: rule.tensor(k, s) for k, s in SPEC["resnet18"]["state_dict"]},
            "its names are those of torchvision's resnet",
        ),
        (
            lambda t: {k: v for k, v in t.items() if "classifier" not in k},
            "there is no classifier; missing: classifier.1.bias, classifier.1.weight",
        ),
        (lambda t: {}, "there are no tensors; missing: classifier.1.bias, "),
    ],
)
def test_errors_name_the_likeliest_cause(change, cause):
    assert cause in error_of(build_squeezenet(), change(squeezenet()))


def enumerate_names(tensors):
    return ((f"anything{i}", value) for i, value in enumerate(tensors.values()))


def test_errors_name_five_tensors_of_each_side():
    tensors = {f"x{i}.weight": np.zeros(3) for i in range(40)}
    text = error_of(build_squeezenet(), tensors)
    assert text.endswith(
        "extra: x0.weight, x1.weight, x10.weight, x11.weight, x12.weight and 35 more"
    )
    assert "and 47 more; extra" in text  # of 52
    assert len(error_of(build_squeezenet(), {"x" * 10**6: np.zeros(3)})) < 600


def test_weights_that_are_nan_are_named():
    tensors = squeezenet()
    tensors["features.0.bias"][3] = np.nan
    tensors["features.3.squeeze.weight"][0] = -np.inf
    assert error_of(build_squeezenet(), tensors) == (
        "the weights for squeezenet1_1 are NaN or infinite in 2 of 52 tensors: "
        "features.0.bias, features.3.squeeze.weight"
    )


def test_auxiliary_heads_are_left_out_where_the_net_has_none():
    spec = SPEC["googlenet"]
    tensors = {name: rule.tensor(name, shape) for name, shape in spec["state_dict"]}
    tensors = {name: value for name, value in tensors.items() if value is not None}
    kept = {name: value for name, value in tensors.items() if not name.startswith("aux")}
    assert len(tensors) > len(kept)
    nets = [models.build("googlenet", input_shape=(64, 64, 3)) for _ in range(2)]
    for net, given in zip(nets, (tensors, kept), strict=True):
        pretrained.load_state_dict(net, given)
    for a, b in zip(*(net.get_weights() for net in nets), strict=True):
        np.testing.assert_array_equal(a, b)


def lstm_tensors():
    rng = np.random.default_rng(0)
    shapes = {"weight_ih": (24, 5), "weight_hh": (24, 6), "bias_ih": (24,), "bias_hh": (24,)}
    return {f"{name}_l0": rng.normal(size=shape).astype("f") for name, shape in shapes.items()}


def test_sequence_models_take_prefixes_and_torchs_tensors(capsys):
    tensors = lstm_tensors()
    nets = [sequence.build("lstm", units=6, input_shape=(None, 5), num_classes=None) for _ in "12"]
    sequence.load_torch(nets[0], tensors)
    wrapped = {
        f"module.{name}": Tensor(value, requires_grad=True) for name, value in tensors.items()
    }
    sequence.load_torch(nets[1], wrapped)
    assert "removed the prefix 'module.' from" in capsys.readouterr().err
    for a, b in zip(*(net.get_weights() for net in nets), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {f"rnn.{k}": v for k, v in t.items()}, "names begin with 'rnn.': remove it"),
        (lambda t: t | {"bias_hh_l0": np.full(24, np.nan)}, "in 1 of 4 tensors: bias_hh_l0"),
        (lambda t: t | {"weight_hh_l0": np.float32(0)}, "misshaped: weight_ih_l0 (24, 5)"),
        (lambda t: t | {"bias_hh_l0": np.float32(1)}, "misshaped: weight_ih_l0 (24, 5)"),
        (lambda t: t | {"bias_hh_l0": np.ones(1)}, "bias_hh_l0 (1,) for "),
        (
            lambda t: t | {f"x{i}": np.zeros(1) for i in range(30)},
            "left over: x0, x1, x10, x11, x12 and 25 more",
        ),
    ],
)
def test_errors_of_sequence_models(change, said):
    net = sequence.build("lstm", units=6, input_shape=(None, 5), num_classes=None)
    before = net.get_weights()
    with pytest.raises(ValueError) as error:
        sequence.load_torch(net, change(lstm_tensors()))
    assert said in str(error.value)
    assert len(str(error.value)) < 600
    assert all(map(np.array_equal, net.get_weights(), before))


def test_a_transposed_weight_is_not_reshaped():
    layer = keras.layers.SimpleRNN(6)
    layer.build((None, None, 5))
    tensors = {"weight_ih_l0": np.ones((5, 6)), "weight_hh_l0": np.ones((6, 6))}
    with pytest.raises(ValueError, match=r"misshaped: weight_ih_l0 \(5, 6\)"):
        sequence.load_torch(layer, tensors)
