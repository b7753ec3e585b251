"""The sequence nets: cells against Keras', masks, causality, and what is refused."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest
from keras import layers, ops

from cvcourse import sequence
from cvcourse.sequence import lstm

CELLS = {
    "rnn": (sequence.RNNCell, layers.SimpleRNN),
    "lstm": (sequence.LSTMCell, layers.LSTM),
    "gru": (sequence.GRUCell, layers.GRU),
}
EXACT = 1e-5 if keras.backend.backend() == "jax" else 1e-6  # JAX computes float64 in float32
BLOCKS = dict(hidden_dim=8, num_heads=2, mlp_dim=16)
TOKENS = dict(vocabulary=9, padding=0, input_shape=(None,), num_classes=4)
VECTORS = dict(masks=("mask",), input_shape=(None, 3), num_classes=4)
MASKED = {  # nets that know padding by a token, or by a mask
    **{
        f"{way}{cell}{' last' if last else ''}, {kind}": (
            f"{way}{cell}",
            dict(**form, units=5, depth=2, return_sequences=not last),
        )
        for way in ("", "bidirectional_")
        for cell in CELLS
        for last in (False, True)
        for kind, form in (("tokens", TOKENS), ("vectors", VECTORS))
    },
    **{
        f"transformer_{part}{' mean' if mean else ''}, {kind}": (
            f"transformer_{part}",
            dict(**form, **BLOCKS, return_sequences=not mean, norm_first=part == "encoder"),
        )
        for part in ("encoder", "decoder")
        for mean in (False, True)
        for kind, form in (("tokens", TOKENS), ("vectors", VECTORS))
    },
}
NOT_CAUSAL = ("bidirectional", "encoder", " last", " mean")
CAUSAL = [name for name in MASKED if not any(word in name for word in NOT_CAUSAL)]


@pytest.fixture(autouse=True)
def seed():
    """The same weights each time."""
    keras.utils.set_random_seed(0)


def shaken(net, seed=0):
    """The net with random weights, biases too."""
    rng = np.random.default_rng(seed)
    net.set_weights([w + 0.3 * rng.normal(size=w.shape) for w in net.get_weights()])
    return net


def said(net, inputs):
    """What a net says in NumPy, of several outputs the list."""
    outputs = [ops.convert_to_numpy(x) for x in keras.tree.flatten(net(inputs, training=False))]
    return outputs if len(outputs) > 1 else outputs[0]


@pytest.mark.parametrize("name", CELLS)
def test_cells_from_the_equations_are_keras_own(name):
    ours, theirs = CELLS[name]
    x = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")
    form = dict(return_sequences=True, return_state=True)
    mine, keras_own = layers.RNN(ours(5), **form), theirs(5, **form)
    for layer in (mine, keras_own):
        layer.build(x.shape)
    for w, other in zip(mine.get_weights(), keras_own.get_weights(), strict=True):
        assert w.shape == other.shape
    if name == "lstm":  # begins by remembering, as Keras' does
        np.testing.assert_array_equal(mine.get_weights()[2], keras_own.get_weights()[2])
    shaken(keras_own)
    mine.set_weights(keras_own.get_weights())
    mask = np.arange(6) < np.array([[6], [3], [1]])
    for keep in (None, mask):
        for one, other in zip(mine(x, mask=keep), keras_own(x, mask=keep), strict=True):
            one, other = ops.convert_to_numpy(one), ops.convert_to_numpy(other)
            np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_cells_are_saved_and_loaded(name, tmp_path):
    x = keras.Input((None, 4))
    net = shaken(keras.Model(x, layers.RNN(CELLS[name][0](5))(x)))
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    batch = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.testing.assert_array_equal(said(net, batch), said(again, batch))


def test_gates_in_another_order():
    np.testing.assert_array_equal(lstm.reordered([[1, 2, 3, 4]], "ifog"), [[1, 2, 4, 3]])


@pytest.mark.parametrize("name", MASKED)
def test_padding_changes_nothing(name, double_precision):
    """What is said at real steps is the same for more padding, and for other things in it."""
    architecture, settings = MASKED[name]
    net, rng = shaken(sequence.build(architecture, **settings)), np.random.default_rng(1)
    lengths = np.array([4, 2, 1])

    def padded(time):
        mask = np.arange(time) < lengths[:, None]
        if "vocabulary" in settings:
            tokens = np.random.default_rng(2).integers(1, 9, (3, 4))
            return mask, np.pad(tokens, [(0, 0), (0, time - 4)]) * mask
        x = np.random.default_rng(2).normal(size=(3, 4, 3))
        x = np.pad(x, [(0, 0), (0, time - 4), (0, 0)])
        x = np.where(mask[..., None], x, rng.normal(size=x.shape))
        return mask, {"inputs": x.astype("float32"), "mask": mask}

    mask, inputs = padded(4)
    expected = said(net, inputs)
    for time in (5, 9):
        longer_mask, inputs = padded(time)
        found = said(net, inputs)
        if expected.ndim == 2:
            np.testing.assert_allclose(found, expected, atol=EXACT)
        else:
            np.testing.assert_allclose(found[longer_mask], expected[mask], atol=EXACT)


@pytest.mark.parametrize("name", CAUSAL)
def test_nothing_after_a_step_changes_it(name, double_precision):
    architecture, settings = MASKED[name]
    net = shaken(sequence.build(architecture, **settings))
    if "vocabulary" in settings:
        x = np.random.default_rng(2).integers(1, 9, (2, 6))
        other = np.where(np.arange(6) < 4, x, 9 - x)
        one, two = said(net, x), said(net, other)
    else:
        x, mask = np.random.default_rng(2).normal(size=(2, 6, 3)), np.ones((2, 6), bool)
        other = np.where(np.arange(6)[:, None] < 4, x, -x)
        one, two = (said(net, {"inputs": v, "mask": mask}) for v in (x, other))
    np.testing.assert_allclose(one[:, :4], two[:, :4], atol=EXACT)
    assert np.abs(one[:, 4:] - two[:, 4:]).max() > 1e-3


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("attention_encoder_decoder", {"cell": "lstm", "attention": "additive"}),
        ("attention_encoder_decoder", {"cell": "gru", "attention": "dot_product"}),
        ("encoder_decoder", {"cell": "rnn"}),
        ("transformer", dict(**BLOCKS, dropout=0.0)),
        ("transformer", dict(**BLOCKS, norm_first=True, activation="gelu", positions="learned")),
    ],
)
def test_encoder_decoders(architecture, settings, double_precision):
    """More padding of the source, and what comes later, change nothing; what is read does."""
    net = shaken(sequence.build(architecture, **settings, source_vocabulary=7, num_classes=6))
    source = np.array([[1, 2, 3], [4, 5, 0]])
    tokens = np.array([[1, 2, 3, 4], [5, 4, 3, 2]])
    expected = said(net, {"source": source, "tokens": tokens})
    assert expected.shape == (2, 4, 6)
    longer = np.pad(source, [(0, 0), (0, 3)])
    found = said(net, {"source": longer, "tokens": tokens})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    later = np.where(np.arange(4) < 2, tokens, 1)
    found = said(net, {"source": source, "tokens": later})
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=1e-5, atol=1e-5)
    other = said(net, {"source": source[::-1], "tokens": tokens})
    assert np.abs(other - expected).max() > 1e-3


def test_attention_is_drawn_from_a_tap():
    net = sequence.build("attention_encoder_decoder", source_vocabulary=7, num_classes=6)
    weights = said(
        keras.Model(net.input, net.get_layer("attention").output),
        {"source": np.array([[1, 2, 0, 0]]), "tokens": np.array([[3, 4, 5]])},
    )
    assert weights.shape == (1, 3, 4)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    np.testing.assert_array_equal(weights[..., 2:], 0)


def test_attention_is_to_be_even_over_the_words():
    """Xu et al., eq. 14, of a batch of captions of three words and two."""
    settings = dict(units=6, embedding=4, memory_shape=(3, 7), num_classes=9, input_shape=(None,))
    net = shaken(sequence.build("caption_attention", doubly_stochastic=0.5, padding=0, **settings))
    tokens = np.array([[1, 2, 3, 0], [4, 5, 0, 0]])
    inputs = {"memory": np.random.default_rng(1).normal(size=(2, 3, 7)), "tokens": tokens}
    alpha = said(keras.Model(net.input, net.get_layer("layer1").output), inputs)[0]
    real = tokens > 0
    by_hand = 0.5 * np.sum((1 - (alpha * real[..., None]).sum(1)) ** 2) / real.sum()
    net(inputs)
    (penalty,) = net.losses
    assert float(penalty) == pytest.approx(by_hand, rel=1e-5)


def test_the_gate_of_attention_is_one_number_a_step():
    """Xu et al., section 4.2.1, and W_sel (dim, 1) of their code: z = beta sum_i alpha_i a_i."""
    settings = dict(units=6, embedding=4, memory_shape=(3, 7), num_classes=9, input_shape=(None,))
    net = shaken(sequence.build("caption_attention", **settings))
    layer = net.get_layer("layer1")
    memory, tokens = np.random.default_rng(1).normal(size=(2, 3, 7)), np.array([[1], [2]])
    tap = keras.Model(net.input, layer.output)
    alpha, _, _, z = said(tap, {"memory": memory, "tokens": tokens})
    (kernel, bias), mean = layer.gate.get_weights(), memory.mean(1)
    dense = net.get_layer("bridge_h")
    state = np.tanh(mean @ dense.kernel.numpy() + dense.bias.numpy())
    beta = 1 / (1 + np.exp(-(state @ kernel + bias)))
    found = np.einsum("bm,bmc->bc", alpha[:, 0], memory)
    assert kernel.shape == (6, 1)
    np.testing.assert_allclose(z[:, 0], beta * found, atol=1e-5)


def test_sinusoids_are_the_papers():
    table = sequence.SinusoidalPositions(50).table(6)
    for position, pair in ((0, 0), (7, 1), (49, 2)):
        angle = position / 10000 ** (2 * pair / 6)
        np.testing.assert_allclose(table[position, 2 * pair], np.sin(angle))
        np.testing.assert_allclose(table[position, 2 * pair + 1], np.cos(angle))


PARAMETERS = {  # by hand: gates * units * (inputs + units + biases) and so on
    "rnn": (dict(units=5, input_shape=(None, 3), num_classes=None), 5 * (3 + 5 + 1)),
    "lstm": (dict(units=5, input_shape=(None, 3), num_classes=None), 4 * 5 * (3 + 5 + 1)),
    "gru": (dict(units=5, input_shape=(None, 3), num_classes=None), 3 * 5 * (3 + 5 + 2)),
    "bidirectional_lstm": (
        dict(units=5, depth=2, input_shape=(None, 3), num_classes=2),
        2 * 4 * 5 * (3 + 5 + 1) + 2 * 4 * 5 * (10 + 5 + 1) + 11 * 2,
    ),
    "transformer_encoder": (  # 4 projections, 2 dense layers, 2 norms; the last norm
        dict(
            hidden_dim=None,
            depth=1,
            num_heads=2,
            mlp_dim=16,
            input_shape=(None, 8),
            num_classes=None,
        ),
        4 * 8 * 9 + 9 * 16 + 17 * 8 + 2 * 16 + 16,
    ),
    "transformer_decoder": (
        dict(**BLOCKS, depth=1, vocabulary=9, input_shape=(None,), num_classes=9),
        9 * 8 + 4 * 8 * 9 + 9 * 16 + 17 * 8 + 2 * 16 + 16 + 81,
    ),
    "patch_classifier": (
        dict(patch=(4, 4), hidden_dim=8, depth=1, num_heads=2, mlp_dim=16, input_shape=(8, 8, 3)),
        49 * 8 + 4 * 8 * 9 + 9 * 16 + 17 * 8 + 2 * 16 + 90,
    ),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    settings, expected = PARAMETERS[name]
    assert sequence.build(name, **settings).count_params() == expected


@pytest.mark.parametrize("name", sequence.REGISTRY)
def test_every_net_is_saved_and_loaded(name, tmp_path):
    net = shaken(sequence.build(name))
    given = net.input if isinstance(net.input, dict) else {"": net.input}
    rng = np.random.default_rng(0)
    inputs = {
        key: rng.integers(1, 9, (2, *(side or 4 for side in tensor.shape[1:])))
        if tensor.dtype == "int32"
        else rng.normal(size=(2, *(side or 4 for side in tensor.shape[1:])))
        for key, tensor in given.items()
    }
    inputs = inputs.get("", inputs)
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    for a, b in zip(said(net, inputs), said(again, inputs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["lstm", "bidirectional_gru", "transformer_decoder"])
def test_the_input_shape_follows_from_the_vocabulary(name):
    net = sequence.build(name, vocabulary=65, num_classes=65)
    assert net.input_shape == (None, None)
    assert net.output_shape == (None, None, 65)
    assert sequence.build(name).input_shape == (None, None, 28)
    assert sequence.build(name, vocabulary=65, input_shape=(7,)).input_shape == (None, 7)
    assert sequence.builder_args(name)["input_shape"] is None


@pytest.mark.parametrize(
    "module", [module.name for module in pkgutil.iter_modules(sequence.__path__)]
)
def test_examples_run(module):
    failed, _ = doctest.testmod(importlib.import_module(f"cvcourse.sequence.{module}"))
    assert not failed


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shapes are known elsewhere")
def test_more_tokens_than_positions():
    """One message, whether the shape is known or Keras has left it open."""
    import tensorflow as tf

    settings = dict(vocabulary=9, num_classes=9, max_length=6, **BLOCKS | dict(depth=1))
    net = sequence.build("transformer_decoder", **settings)
    net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    message = r"has 6 positions \(length=6\).*received.*7.*a larger max_length"
    tokens = np.ones((2, 7), "int32")

    def open_shapes():
        for time in (7, 5):
            yield tokens[:, :time], tokens[:, :time]

    def fit():
        kinds = (tf.TensorSpec((None, None), "int32"),) * 2
        net.fit(tf.data.Dataset.from_generator(open_shapes, output_signature=kinds), verbose=0)

    for call in (
        lambda: net(tokens),
        lambda: net.predict_on_batch(tokens),
        lambda: net.predict(tokens, verbose=0),
        lambda: net.train_on_batch(tokens, tokens),
        fit,
    ):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
            call()
        # From a second shape on the time is open.
        for time in (5, 6):
            expected = ops.convert_to_numpy(net(tokens[:, :time]))
            found = net.predict_on_batch(tokens[:, :time])
            np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sequence.build("lsmt"), "did you mean 'lstm'"),
        (
            lambda: sequence.build("lstm", unit=3),
            "lstm: unknown builder argument 'unit': did you mean 'units'",
        ),
        (lambda: sequence.build("lstm", input_shape=(3,)), "received \\(3,\\)"),
        (lambda: sequence.build("lstm", masks=("padding",)), "received 'padding'"),
        (lambda: sequence.build("transformer_encoder", num_heads=3), "128 channels cannot be"),
        (lambda: sequence.build("transformer_encoder", positions="sinus"), "unknown positions"),
        (lambda: sequence.build("patch_classifier", patch=(7, 8)), "patches of 7x8"),
        (lambda: sequence.build("bidirectional_gru", part="step"), "read forwards"),
        (
            lambda: sequence.build("transformer_encoder", max_length=4)(np.zeros((1, 5, 28))),
            "has 4 positions \\(length=4\\); received 5 tokens: pass fewer",
        ),
        (
            lambda: sequence.build("transformer_encoder", max_length=4, input_shape=(5, 28)),
            "has 4 positions \\(length=4\\); received 5 tokens: pass fewer",
        ),
        (
            lambda: sequence.build("lstm", vocabulary=9, input_shape=(3, 4)),
            "\\(time,\\) for tokens",
        ),
        (lambda: sequence.build("multi_head_attention", masks=("key",)), "unknown mask 'key'"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
