"""Gradients through time against NumPy and the equations, and the lecture's picture of them."""

import json

import keras
import numpy as np
import pytest
from cvcourse.recipes import gradient_flow
from keras import layers

from cvcourse import __main__ as command_line
from cvcourse import training
from cvcourse.errors import RunError, UsageError
from cvcourse.sequence.gradient_flow import gradient_norms

BATCH, TIME, CHANNELS, UNITS = 3, 7, 4, 5
X = np.random.default_rng(0).normal(size=(BATCH, TIME, CHANNELS)).astype("float32")
LAYERS = {
    "SimpleRNN": layers.SimpleRNN,
    "LSTM": layers.LSTM,
    "GRU": layers.GRU,
    "RNN": lambda units, **form: layers.RNN(layers.GRUCell(units), **form),
}


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def net(*those, shape=(TIME, CHANNELS)):
    return keras.Sequential([keras.Input(shape), *those])


def norm_of_mean(gradient):
    """What gradient_norms makes of the gradient of each example's own loss."""
    return np.linalg.norm(gradient, axis=-1).mean()


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_a_linear_rnn_multiplies_by_its_singular_value(sigma):
    orthogonal = keras.initializers.Orthogonal(sigma)
    model = net(layers.SimpleRNN(UNITS, "linear", recurrent_initializer=orthogonal))
    expected = np.sqrt(UNITS) * sigma ** np.arange(TIME - 1, -1, -1)
    found = gradient_norms(model, X)
    assert found.dtype == "float64"
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def tanh_by_hand(layer, x, last):
    """The norms for the gradients `last` (batch, units) at the last step, by the product."""
    w_xh, w_hh, b = (w.astype("float64") for w in layer.get_weights())
    states, h = [], np.zeros((len(x), layer.units))
    for step in np.moveaxis(x, 1, 0):
        h = np.tanh(step @ w_xh + h @ w_hh + b)
        states.append(h)
    gradients = [last(h)]
    for h in states[:0:-1]:
        gradients.append((gradients[-1] * (1 - h**2)) @ w_hh.T)
    return [norm_of_mean(gradient) for gradient in gradients[::-1]]


@pytest.mark.parametrize("sequences", [False, True])
def test_tanh_against_numpy_with_the_cross_entropy_at_the_last_step(sequences):
    layer, head = layers.SimpleRNN(UNITS, return_sequences=sequences), layers.Dense(6)
    model, labels = net(layer, head), np.array([0, 5, 2])
    layer.set_weights([1.5 * w for w in layer.get_weights()])

    def last(h):
        kernel, bias = head.get_weights()
        p = np.exp(h @ kernel + bias)
        return (p / p.sum(axis=1, keepdims=True) - np.eye(6)[labels]) @ kernel.T

    expected = tanh_by_hand(layer, X, last)
    np.testing.assert_allclose(gradient_norms(model, X, labels), expected, rtol=1e-5)


def test_a_loss_of_ones_own_for_each_example_or_their_mean():
    layer = layers.SimpleRNN(UNITS)
    model, targets = net(layer), X[:, 0, :1]
    expected = tanh_by_hand(layer, X, lambda h: 2 * (h - targets) / UNITS)
    for loss in (keras.losses.mean_squared_error, keras.losses.MeanSquaredError()):
        found = gradient_norms(model, X, targets, loss=loss)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_open_forget_gate_lets_the_gradient_of_c_pass():
    layer = layers.LSTM(UNITS)
    model = net(layer)
    kernel, recurrent, bias = layer.get_weights()
    bias[UNITS : 2 * UNITS] = 40  # the forget gate is 1
    # With no recurrent weights the one way back is through c.
    layer.set_weights([kernel, 0 * recurrent, bias])
    found = gradient_norms(model, X, state="c")
    np.testing.assert_allclose(found, found[-1], rtol=1e-6)
    h = gradient_norms(model, X)
    assert h[-1] == pytest.approx(np.sqrt(UNITS)) and not h[:-1].any()

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    i, _, g, o = np.moveaxis((X @ kernel + bias).reshape(BATCH, TIME, 4, UNITS), 2, 0)
    c = (sigmoid(i) * np.tanh(g)).sum(axis=1)
    by_hand = sigmoid(o[:, -1]) * (1 - np.tanh(c) ** 2)
    assert found[-1] == pytest.approx(norm_of_mean(by_hand), rel=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("frozen", [False, True])
def test_the_gradient_at_the_last_step_is_the_heads(kind, frozen):
    head = layers.Dense(2)
    model = net(LAYERS[kind](UNITS), head)
    model.trainable = not frozen
    found = gradient_norms(model, X)
    expected = np.linalg.norm(head.get_weights()[0].sum(axis=1))
    assert found[-1] == pytest.approx(expected, rel=1e-5)
    assert found.shape == (TIME,) and (found > 0).all()


@pytest.mark.parametrize("kind", LAYERS)
def test_each_step_is_a_difference_quotient(kind):
    """The states at step t are where a second net, of the steps behind it, begins."""
    layer = LAYERS[kind](UNITS, return_state=True)
    start = [keras.Input((UNITS,)) for _ in range(1 + (kind == "LSTM"))]
    steps = keras.Input((None, CHANNELS))
    whole = keras.Model([steps, *start], layer(steps, initial_state=start)[0])
    zeros = [np.zeros((BATCH, UNITS), "float32") for _ in start]
    t, small = 2, 1e-2
    states = [np.asarray(s) for s in layer(X[:, : t + 1], initial_state=zeros)[1:]]
    for which, state in enumerate("hc"[: len(start)]):
        quotients = np.empty((BATCH, UNITS))
        for unit in range(UNITS):
            ends = []
            for sign in (1, -1):
                moved = [s.copy() for s in states]
                moved[which][:, unit] += sign * small
                if which == 1:  # h is the output gate times tanh c
                    moved[0] *= np.tanh(moved[1]) / np.tanh(states[1])
                ends.append(np.asarray(whole([X[:, t + 1 :], *moved])).sum(axis=1))
            quotients[:, unit] = (ends[0] - ends[1]) / (2 * small)
        found = gradient_norms(whole, [X, *zeros], state=state)
        assert found[t] == pytest.approx(norm_of_mean(quotients), rel=1e-3)


def test_stacked_layers_by_name_and_by_themselves():
    lower = layers.LSTM(UNITS, return_sequences=True, name="lower")
    both = layers.Bidirectional(layers.GRU(4, return_sequences=True), name="both")
    inner = net(both, layers.SimpleRNN(UNITS, name="upper"), shape=(TIME, UNITS))
    model = net(lower, inner, layers.Dense(2))
    upper = gradient_norms(model, X)
    np.testing.assert_array_equal(gradient_norms(model, X, layer="upper"), upper)
    seen = lower(X)
    top = keras.Sequential([inner, model.layers[-1]])
    np.testing.assert_allclose(gradient_norms(top, seen), upper, rtol=1e-5)
    below = [
        gradient_norms(model, X, layer=layer)
        for layer in ("lower", lower, both.forward_layer, both.backward_layer)
    ]
    np.testing.assert_array_equal(below[0], below[1])
    assert all((norms > 0).all() for norms in below)
    assert len({norms[0] for norms in (upper, *below)}) == 4


def test_stacked_cells_give_the_top_ones_state():
    model = net(layers.RNN([layers.LSTMCell(3), layers.GRUCell(UNITS)]))
    assert gradient_norms(model, X)[-1] == pytest.approx(np.sqrt(UNITS))
    with pytest.raises(ValueError, match=r"states of rnn.* are h; received 'c'"):
        gradient_norms(model, X, state="c")


def test_padded_tokens_pass_the_gradient_on():
    model = net(layers.Embedding(9, 4, mask_zero=True), layers.LSTM(UNITS), shape=(None,))
    tokens = np.array([[3, 1, 4, 1]])
    padded = np.pad(tokens, ((0, 0), (0, 2)))
    expected = [*gradient_norms(model, tokens), 0, 0]
    np.testing.assert_allclose(gradient_norms(model, padded), expected, rtol=1e-6)


def test_the_model_is_left_as_it_was():
    layer = layers.LSTM(UNITS, dropout=0.5)
    model = net(layer, layers.Dropout(0.5))
    before, weights = np.asarray(model(X)), model.get_weights()
    gradient_norms(model, X)
    with pytest.raises(ZeroDivisionError):
        gradient_norms(model, X, loss=lambda targets, outputs: 1 / 0)
    assert (layer.unroll, layer.use_cudnn, "call" in vars(layer.cell)) == (False, "auto", False)
    np.testing.assert_array_equal(model(X), before)
    for now, then in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)


class Idle(keras.Model):
    """Holds a recurrent layer for nothing."""

    def __init__(self):
        super().__init__()
        self.spare = layers.LSTM(UNITS, name="spare")
        self.spare.build(X.shape)

    def call(self, inputs):
        return inputs


def test_what_is_refused():
    dense = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="head")], name="mlp")
    with pytest.raises(ValueError, match=r"^mlp has no recurrent layer.*it has head \(Dense\)$"):
        gradient_norms(dense, np.ones((1, 3)))
    model = net(layers.GRU(UNITS, name="reader"))
    with pytest.raises(ValueError, match="unknown recurrent layer 'reeder': did you mean 'reader'"):
        gradient_norms(model, X, layer="reeder")
    with pytest.raises(ValueError, match="states of reader are h; received 'c'"):
        gradient_norms(model, X, state="c")
    with pytest.raises(ValueError, match="holds the layer spare, but does not call it"):
        gradient_norms(Idle(), X)
    two = keras.Model(model.inputs[0], [model.outputs[0], model.outputs[0]])
    with pytest.raises(ValueError, match="several outputs: give loss"):
        gradient_norms(two, X)
    found = gradient_norms(two, X, loss=lambda targets, outputs: sum(outputs[0][0]) / BATCH)
    assert found[-1] == pytest.approx(np.sqrt(UNITS) / BATCH)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradient_flow")
    picture, run = folder / "deep" / "picture.png", folder / "run"
    config = gradient_flow.Config(output=str(picture), steps=8, units=8, workdir=str(run))
    return picture, gradient_flow.main(config)


def test_the_picture_and_its_numbers(experiment):
    picture, found = experiment
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert json.loads(json.dumps(found)) == found
    back = np.arange(7, -1, -1)
    linear, tanh = (found["singular_values"][activation] for activation in ("linear", "tanh"))
    for value, norms in linear.items():
        np.testing.assert_allclose(norms, np.sqrt(8) * float(value) ** back, rtol=1e-5)
        assert all(np.array(tanh[value][:-1]) < norms[:-1])
    assert [*found["cells"]] == [*gradient_flow.CELLS]
    c = {name: states["c"] for name, states in found["cells"].items() if "c" in states}
    kept = [norms[0] / norms[-1] for norms in c.values()]
    assert kept == sorted(kept)  # the more, the larger the bias of the forget gate


def test_the_run_directory_has_the_numbers_and_a_report(experiment):
    picture, found = experiment
    run = picture.parents[1] / "run"
    assert json.loads((run / "metrics.json").read_text()).items() <= found.items()
    assert (found["seed"], *found["versions"]) == (0, *training.versions())
    page = (run / "report.html").read_text()
    assert page.count("data:image/svg+xml") == 1
    first, *_, last = found["singular_values"]["linear"]["0.5"]
    assert f"<td>0.5, linear</td><td>1.0e+00</td><td>{0.5:.1e}</td>" in page
    assert f"<td>{first / last:.1e}</td></tr>" in page
    loss = np.mean(found["training"]["not clipped"]["loss"][-20:])
    assert f"<td>not clipped</td><td>{loss:.3f}</td>" in page


def test_training_is_the_same_until_the_first_gradient_is_clipped(experiment):
    trained = experiment[1]["training"]
    free, clipped = (trained[name] for name in gradient_flow.CLIPPING)
    assert len(free["loss"]) == len(free["gradient_norm"]) == gradient_flow.UPDATES
    assert free["loss"][0] == pytest.approx(clipped["loss"][0], rel=1e-6)
    assert free["gradient_norm"][0] > 1 and free["loss"][1] != clipped["loss"][1]
    assert np.mean(clipped["loss"][-20:]) < 0.5 < clipped["loss"][0]


@pytest.mark.slow
def test_clipping_decides_whether_an_rnn_learns_to_remember():
    for seed in range(3):
        config = gradient_flow.Config(seed=seed)
        free, clipped = (
            np.mean(gradient_flow.train(config, largest)["loss"][-20:])
            for largest in gradient_flow.CLIPPING.values()
        )
        assert clipped < 0.1 and free > 1


def test_it_is_a_recipe_that_says_what_is_wrong(tmp_path, capsys):
    assert "gradient_flow" in command_line.recipes()
    with pytest.raises(UsageError, match=r"\.svg, \.png or \.pdf"):
        gradient_flow.main(gradient_flow.Config(output="a.gif"))
    with pytest.raises(UsageError, match="--steps expects a whole number of at least 2"):
        gradient_flow.main(gradient_flow.Config(steps=1))
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write"):
        gradient_flow.main(gradient_flow.Config(output=str(tmp_path / "file" / "a.svg")))
    assert gradient_flow.cli(["--units=0"]) == 2
    assert gradient_flow.cli([f"--output={tmp_path}/file/a.svg"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
