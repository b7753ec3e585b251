"""Masks: weights from NumPy, and properties that every net of the registry keeps.

Outputs are finite, also of rows that are masked altogether; what stands in masked places, more of
them, and the other rows of a batch do not affect a row; nothing of the future affects a causal net.
"""

import keras
import numpy as np
import pytest
from keras import ops

from cvcourse import layers, sequence

ROUNDING = {"float32": 1e-5, "mixed_float16": 0.02, "mixed_bfloat16": 0.15}


# ---- attention's weights ----

SCORES = np.random.default_rng(0).normal(size=(1, 2, 4, 4))
KEEP = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 1]], bool)


def weights_by_hand(causal):
    """Softmax over what is kept and seen; the mean of what is seen where nothing of it is kept."""
    seen = np.tril(np.ones((4, 4), bool)) if causal else np.ones((4, 4), bool)
    kept = KEEP & seen
    any_kept = kept.any(-1, keepdims=True)
    share = np.where(any_kept, np.exp(SCORES) * kept, seen)
    return share / share.sum(-1, keepdims=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masking", [None, -np.inf, -1e30, -1e9])
def test_attention_weights(dtype, causal, masking):
    """Of a bool mask, and of float masks with this number where they mask."""
    layer = layers.AttentionWeights(causal=causal, dtype=dtype)
    keep = KEEP if masking is None else np.where(KEEP, 0.0, masking)
    kind = dtype if masking is not None else "bool"
    found = layer(ops.cast(SCORES, dtype), keep=ops.cast(keep, kind))
    expected = weights_by_hand(causal)
    found = ops.convert_to_numpy(ops.cast(found, "float64"))
    precision = {"float16": 2e-3, "bfloat16": 1e-2, "float32": 1e-6, "float64": 1e-6}[dtype]
    np.testing.assert_allclose(found, expected, atol=precision)
    np.testing.assert_array_equal(found[expected == 0], 0)


def test_a_float_mask_is_added():
    bias = np.random.default_rng(1).normal(size=(4, 4))
    found = layers.AttentionWeights(dtype="float64")(SCORES, keep=ops.cast(bias, "float64"))
    share = np.exp(SCORES + bias)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), share / share.sum(-1, keepdims=True), atol=1e-6
    )


def test_padding_and_an_additive_mask_at_once():
    """Both mask: what the bool mask of both would do, and the bias is added to the rest."""
    form = dict(num_heads=2, input_shape=(None, 6), masks=("mask", "attention_mask"))
    keras.utils.set_random_seed(0)
    by_floats = sequence.build("multi_head_attention", **form, additive_mask=True)
    by_bools = sequence.build("multi_head_attention", **form)
    by_bools.set_weights(by_floats.get_weights())
    x, padding = np.random.default_rng(0).normal(size=(1, 4, 6)), np.array([[1, 1, 1, 0]], bool)
    floats = np.where(KEEP, 0.0, -np.inf)[None].astype("float32")
    one = by_floats({"inputs": x, "mask": padding, "attention_mask": floats})
    two = by_bools({"inputs": x, "mask": padding, "attention_mask": KEEP[None]})
    one, two = (ops.convert_to_numpy(outputs["weights"]) for outputs in (one, two))
    np.testing.assert_allclose(one, two, atol=1e-6)
    np.testing.assert_array_equal(one[..., [0, 1, 3], 3], 0)


# ---- every net ----

TIME = 6
LENGTHS = np.array([6, 4, 0, 2, 3])  # of five rows: how many steps are real
AT_START = np.array([0, 0, 0, 1, 0], bool)[:, None]  # whether padding stands there
REAL = np.where(AT_START, np.arange(TIME)[::-1], np.arange(TIME)) < LENGTHS[:, None]
CELL = dict(units=5)
BLOCKS = dict(hidden_dim=8, num_heads=2, mlp_dim=16, dropout=0.0)
TOKENS = dict(vocabulary=9, padding=0, num_classes=4)
VECTORS = dict(masks=("mask",), input_shape=(None, 3), num_classes=4)
SOURCE = dict(source_vocabulary=9, padding=0, num_classes=9)
WORDS = dict(memory_shape=(3, 7), padding=0, num_classes=9)
ATTENTION = dict(num_heads=2, input_shape=(None, 8))
NETS = {  # architecture: forms, settings and the inputs that are padded
    **{
        f"{way}{cell}": [
            (CELL | TOKENS, "tokens"),
            (CELL | VECTORS | dict(return_sequences=False, depth=2), "inputs"),
        ]
        for way in ("", "bidirectional_")
        for cell in ("rnn", "lstm", "gru")
    },
    "encoder_decoder": [(CELL | SOURCE, "source")],
    "attention_encoder_decoder": [(CELL | SOURCE, "source")],
    "multi_head_attention": [
        (ATTENTION | dict(masks=("mask", "attention_mask"), additive_mask=True), "inputs"),
        (ATTENTION | dict(masks=("mask", "attention_mask")), "inputs"),
        (ATTENTION | dict(masks=("mask",), memory_shape=(None, 8)), "memory"),
    ],
    "transformer_encoder": [
        (BLOCKS | TOKENS | dict(return_sequences=False), "tokens"),
        (BLOCKS | VECTORS | dict(masks=("mask", "attention_mask"), depth=1), "inputs"),
    ],
    "transformer_decoder": [
        (BLOCKS | TOKENS | dict(norm_first=False, positions="learned"), "tokens"),
        (
            BLOCKS
            | VECTORS
            | dict(memory_shape=(None, 3), memory_masked=True, return_sequences=False),
            "inputs memory",
        ),
        (BLOCKS | VECTORS, "inputs"),
    ],
    "transformer": [(BLOCKS | SOURCE, "source")],
    "patch_classifier": [(BLOCKS | dict(patch=(4, 4), input_shape=(8, 8, 3)), "")],
    **{
        f"caption_{kind}": [((BLOCKS if kind == "transformer" else CELL) | WORDS, "tokens")]
        for kind in ("rnn", "lstm", "gru", "attention", "transformer")
    },
}
KINDS = ("lstm", "multi_head_attention", "transformer_decoder", "caption_attention")
NOT_CAUSAL = ("bidirectional", "multi_head", "transformer_encoder", "patch")


def test_every_net_is_here():
    assert {*NETS} == {*sequence.REGISTRY}


def inputs_of(net, padded, *, junk=0.0, time=TIME, future=TIME):
    """Five rows; the `padded` inputs have `time` steps, and junk in masked places.

    `tokens` or `inputs` are others from step `future` on.
    """
    inputs, real = {}, np.pad(REAL, [(0, 0), (0, time - TIME)])
    for tensor in keras.tree.flatten(net.input):
        rng = np.random.default_rng(len(tensor.name))
        if tensor.name == "attention_mask":  # query 1 may look at nothing, nobody at 3
            keep = np.ones((5, time, time), bool)
            keep[:, 1] = keep[:, :, 3] = False
            inputs["attention_mask"] = (
                keep if tensor.dtype == "bool" else np.where(keep, 0.0, -1e30).astype("float32")
            )
            continue
        if tensor.dtype == "bool":
            inputs[tensor.name] = real
            continue
        shape = (5, *(side or TIME for side in tensor.shape[1:]))
        values = rng.integers(1, 9, shape) if tensor.dtype == "int32" else rng.normal(size=shape)
        if tensor.name in ("tokens", "inputs"):
            values[:, future:] = 9 - values[:, future:]
        if tensor.name in padded:
            values = np.pad(values, [(0, 0), (0, time - TIME), *[(0, 0)] * (values.ndim - 2)])
            values[~real] = junk if tensor.dtype == "float32" else 0
        inputs[tensor.name] = values.astype(tensor.dtype)
    return inputs if isinstance(net.input, dict) else inputs[net.input.name]


def outputs_of(net, inputs):
    """A net's output in NumPy; of multi_head_attention, what it takes and not how."""
    outputs = net(inputs, training=False)
    outputs = outputs["outputs"] if isinstance(outputs, dict) else outputs
    return ops.convert_to_numpy(ops.cast(outputs, "float32"))


@pytest.mark.parametrize(
    ("name", "form", "policy"),
    [(name, form, "float32") for name, forms in NETS.items() for form in range(len(forms))]
    + [(name, 0, "mixed_float16") for name in NETS]
    + [
        pytest.param(name, 0, "mixed_bfloat16", marks=() if name in KINDS else pytest.mark.slow)
        for name in NETS
    ],
)
def test_masked_places_affect_nothing(name, form, policy, precision):
    precision(policy)
    settings, padded = NETS[name][form]
    padded = padded.split()
    keras.utils.set_random_seed(1)
    net = sequence.build(name, **settings)
    one_sees_nothing = "attention_mask" in settings.get("masks", ())
    base = outputs_of(net, inputs_of(net, padded))
    assert np.isfinite(base).all()

    def unchanged(outputs, exactly=True):
        assert np.isfinite(outputs).all()
        if "inputs" in padded or "tokens" in padded:
            here = REAL if base.ndim == 3 else np.full(5, True)
        else:
            here = LENGTHS > 0  # of a source masked altogether, equal weights
        if one_sees_nothing:  # and has equal weights over padding, too
            here = here & (np.arange(TIME) != 1)
        tolerance = 0 if exactly else ROUNDING[policy]
        at = np.pad(here, [(0, 0), (0, outputs.shape[1] - TIME)]) if here.ndim == 2 else here
        np.testing.assert_allclose(outputs[at], base[here], rtol=0, atol=tolerance)

    if {"inputs", "memory"} & {*padded}:
        # Attention alone takes its inputs as they are: weights of 0 times what stands there.
        for junk in [30.0] if name == "multi_head_attention" else [30.0, np.nan]:
            unchanged(outputs_of(net, inputs_of(net, padded, junk=junk)))
    if padded and not one_sees_nothing:
        unchanged(outputs_of(net, inputs_of(net, padded, time=TIME + 3)), exactly=False)
    if not name.startswith(NOT_CAUSAL) and base.ndim == 3:
        other = outputs_of(net, inputs_of(net, padded, future=3))
        np.testing.assert_array_equal(other[:, :3], base[:, :3])
    alone = keras.tree.map_structure(lambda x: x[2:3], inputs_of(net, padded))
    np.testing.assert_allclose(outputs_of(net, alone), base[2:3], rtol=0, atol=ROUNDING[policy])


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("lstm", 1),
        ("attention_encoder_decoder", 0),
        ("transformer_encoder", 0),
        ("transformer_encoder", 1),
        ("transformer_decoder", 1),
    ],
)
def test_masked_rows_train(name, form):
    """One step with a row that is masked altogether, and NaN in the masked places of vectors."""
    settings, padded = NETS[name][form]
    net = sequence.build(name, **settings)
    inputs = inputs_of(net, padded.split(), junk=np.nan)
    before = net.get_weights()
    net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = np.zeros(outputs_of(net, inputs).shape[:-1], "int32")
    assert np.isfinite(net.train_on_batch(inputs, labels))
    after = net.get_weights()
    assert all(np.isfinite(w).all() for w in after)
    assert any((one != two).any() for one, two in zip(before, after, strict=True))


def test_the_mean_of_a_row_masked_altogether_is_zero():
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    pool = layers.GlobalAveragePooling1D()
    mask = np.array([[True, False, True], [False, False, False]])
    np.testing.assert_allclose(pool(x, mask=mask), [x[0, [0, 2]].mean(0), np.zeros(4)], atol=1e-6)
    np.testing.assert_allclose(pool(x), x.mean(1), atol=1e-6)
    half = layers.GlobalAveragePooling1D(dtype="float16")
    long = np.full((1, 4096, 1), 60.0, "float16")  # whose sum float16 does not hold
    np.testing.assert_allclose(half(long, mask=np.ones((1, 4096), bool)), [[60.0]], rtol=0.01)
