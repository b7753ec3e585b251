"""torch.nn's recurrent and attention layers, to the tolerance of golden/spec.json."""

import keras
import numpy as np
import pytest
from golden import golden_rule as rule
from keras import layers

from cvcourse import sequence

SPEC = rule.load_spec()["seq"]
RECURRENT = [case for case in SPEC if case.split("_")[0] in ("rnn", "lstm", "gru")]
BLOCKS = [case for case in SPEC if case.split("_")[0] in ("encoder", "decoder")]
CAUSAL = {"causal", "causal_pad"}


def golden(case):
    """{in: …}, {out: …} and {torch's name: tensor} of a case."""
    found = {"in": {}, "out": {}, "weight": {}}
    for key, array in rule.load(f"seq_{case}").items():
        kind, name = key.split("/", 1)
        found[kind][name] = array
    return found.values()


def assert_is(found, expected, case):
    found = keras.ops.convert_to_numpy(found)
    assert found.shape == expected.shape
    assert rule.error(found, expected) < SPEC[case]["tolerance"]


@pytest.mark.parametrize("case", RECURRENT)
def test_recurrent_stacks(case):
    given, expected, tensors = golden(case)
    args = SPEC[case]["args"]
    masked = "lengths" in given
    net = sequence.build(
        f"{'bidirectional_' if args['bidirectional'] else ''}{case.split('_')[0]}",
        units=args["hidden_size"],
        depth=args["num_layers"],
        masks=("mask",) if masked else (),
        states=True,
        input_shape=(None, args["input_size"]),
        num_classes=None,
    )
    sequence.load_torch(net, tensors)
    inputs = {"inputs": given["x"]}
    if masked:
        inputs["mask"] = np.arange(given["x"].shape[1]) < given["lengths"][:, None]
    for state in "hc":
        if f"{state}_n" in expected:
            start = given.get(f"{state}0", np.zeros_like(expected[f"{state}_n"], "float32"))
            inputs[state] = np.swapaxes(start, 0, 1)
    found = net(inputs)
    assert_is(found["features"], expected["y"], case)
    for state in "hc":
        if f"{state}_n" in expected:
            ends = np.swapaxes(keras.ops.convert_to_numpy(found[state]), 0, 1)
            assert_is(ends, expected[f"{state}_n"], case)


KERAS_LAYERS = {
    "rnn_tanh_1": layers.SimpleRNN(6, return_sequences=True),
    "lstm_1": layers.LSTM(6, return_sequences=True),
    "gru_1": layers.GRU(6, return_sequences=True),
    "lstm_1_bi": layers.Bidirectional(layers.LSTM(6, return_sequences=True)),
    "gru_1_bi": layers.Bidirectional(layers.GRU(6, return_sequences=True)),
}
OUR_CELLS = {
    "rnn_tanh_1": sequence.RNNCell(6),
    "lstm_1": sequence.LSTMCell(6),
    "gru_1": sequence.GRUCell(6),
}


@pytest.mark.parametrize(
    ("case", "layer"),
    [
        *KERAS_LAYERS.items(),
        *((case, layers.RNN(cell, return_sequences=True)) for case, cell in OUR_CELLS.items()),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_single_recurrent_layers(case, layer):
    given, expected, tensors = golden(case)
    layer.build(given["x"].shape)
    assert_is(sequence.load_torch(layer, tensors)(given["x"]), expected["y"], case)


@pytest.mark.parametrize("case", BLOCKS)
def test_transformer_blocks(case):
    given, expected, tensors = golden(case)
    args = SPEC[case]["args"]
    decoder = case.startswith("decoder")
    for mode in expected:
        padded = mode.endswith("pad")
        net = sequence.build(
            f"transformer_{'decoder' if decoder else 'encoder'}",
            hidden_dim=None,
            depth=args.get("num_layers", 1),
            num_heads=args["nhead"],
            mlp_dim=args["dim_feedforward"],
            norm_first=args["norm_first"],
            final_norm=args.get("final_norm", False),
            activation=args["activation"],
            causal=mode in CAUSAL,
            masks=("mask",) if padded else (),
            memory_shape=(None, args["d_model"]) if decoder else None,
            memory_masked=decoder and padded,
            input_shape=(None, args["d_model"]),
            num_classes=None,
        )
        sequence.load_torch(net, tensors)
        inputs = {"inputs": given["x"]}
        if decoder:
            inputs["memory"] = given["memory"]
        if padded:
            inputs["mask"] = ~given["pad"]
            if decoder:
                inputs["memory_mask"] = ~given["memory_pad"]
        found = net(inputs if len(inputs) > 1 else given["x"])
        assert_is(found, expected[mode], case)


@pytest.mark.parametrize("mode", ["plain", "causal", "pad", "additive"])
def test_multi_head_attention(mode):
    given, expected, tensors = golden("mha_self")
    masks = {
        "plain": {},
        "causal": {"attention_mask": ~given["causal"]},
        "pad": {"mask": ~given["pad"]},
        "additive": {"attention_mask": given["additive"]},
    }[mode]
    net = sequence.build(
        "multi_head_attention",
        num_heads=4,
        masks=tuple(masks),
        additive_mask=mode == "additive",
        input_shape=(None, 16),
    )
    sequence.load_torch(net, tensors)
    if "attention_mask" in masks:
        masks["attention_mask"] = np.repeat(masks["attention_mask"][None], 3, axis=0)
    found = net({"inputs": given["x"], **masks} if masks else given["x"])
    assert_is(found["outputs"], expected[mode], "mha_self")
    assert_is(found["weights"], expected[f"{mode}_weights"], "mha_self")
    if mode == "plain":
        mean = keras.ops.mean(found["weights"], axis=1)
        assert_is(mean, expected["mean_weights"], "mha_self")


def test_attention_to_a_memory_without_biases():
    given, expected, tensors = golden("mha_nobias")
    form = dict(num_heads=4, memory_shape=(None, 16), masks=("mask",), input_shape=(None, 16))
    for use_bias in (False, True):
        net = sequence.build("multi_head_attention", use_bias=use_bias, **form)
        sequence.load_torch(net, tensors)
        inputs = dict(inputs=given["x"], memory=given["memory"], mask=~given["memory_pad"])
        assert_is(net(inputs)["outputs"], expected["plain"], "mha_nobias")


@pytest.mark.parametrize("case", ["mha_self", "mha_nobias"])
def test_keras_own_multi_head_attention(case):
    given, expected, tensors = golden(case)
    memory = given.get("memory", given["x"])
    layer = layers.MultiHeadAttention(4, 4, use_bias=case == "mha_self")
    layer.build(given["x"].shape, memory.shape)
    sequence.load_torch(layer, tensors)
    keep = None if case == "mha_self" else ~given["memory_pad"][:, None]
    assert_is(layer(given["x"], memory, attention_mask=keep), expected["plain"], case)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("weight_hh_l0"), "missing: weight_hh_l0"),
        (lambda t: t.pop("bias_hh_l0"), "missing: bias_hh_l0"),
        (lambda t: t.update(weight_hr_l0=t["bias_ih_l0"]), "left over: weight_hr_l0"),
        (lambda t: t.update(weight_ih_l0=t["weight_ih_l0"][:, :4]), "misshaped: weight_ih_l0 (24,"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(change, said):
    tensors = dict(list(golden("lstm_1"))[2])
    net = sequence.build("lstm", units=6, input_shape=(None, 5), num_classes=None)
    before = net.get_weights()
    change(tensors)
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        sequence.load_torch(net, tensors)
    for old, new in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_checkpoint_without_biases():
    """As torch writes it for bias=False: our biases become 0."""
    given, _, tensors = golden("gru_1")
    tensors = {name: array for name, array in tensors.items() if "bias" not in name}
    nets = [
        sequence.build("gru", units=6, use_bias=use, input_shape=(None, 5), num_classes=None)
        for use in (True, False)
    ]
    nets[0].layers[1].cell.bias.assign(np.ones((2, 18)))
    for net in nets:
        sequence.load_torch(net, tensors)
    biased, unbiased = (net.predict_on_batch(given["x"]) for net in nets)
    np.testing.assert_allclose(biased, unbiased, atol=1e-7)


def test_biases_that_a_net_does_not_bear_are_left_over():
    tensors = dict(list(golden("mha_self"))[2])
    net = sequence.build(
        "multi_head_attention", num_heads=4, use_bias=False, input_shape=(None, 16)
    )
    with pytest.raises(ValueError, match=r"left over: in_proj_bias, out_proj\.bias"):
        sequence.load_torch(net, tensors)
