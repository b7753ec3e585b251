"""Decoding against what the whole net says of every prefix, and beams against all sequences."""

import itertools
import time

import keras
import numpy as np
import pytest

from cvcourse import sequence
from cvcourse.sequence import decoding

VOCABULARY = 5
SMALL = dict(num_classes=VOCABULARY, input_shape=(None,))
RECURRENT = dict(**SMALL, units=6, embedding=4)
BLOCKS = dict(dim=8, depth=2, heads=2, mlp=16, dropout=0.0)
SOURCE = np.array([[3, 1, 4, 0], [2, 2, 1, 3]], "int32")
MAP = np.random.default_rng(5).normal(size=(2, 3, 7)).astype("float32")
NETS = {  # name: architecture, settings, what it is given beside tokens
    "rnn": ("rnn", dict(**RECURRENT, vocabulary=VOCABULARY, depth=2), {}),
    "lstm": ("lstm", dict(**RECURRENT, vocabulary=VOCABULARY, depth=2), {}),
    "gru": ("gru", dict(**RECURRENT, vocabulary=VOCABULARY), {}),
    "transformer_decoder": (
        "transformer_decoder",
        dict(**SMALL, **BLOCKS, vocabulary=VOCABULARY, length=12, positions="learned"),
        {},
    ),
    "post-norm": (
        "transformer_decoder",
        dict(**SMALL, **BLOCKS, vocabulary=VOCABULARY, length=12, norm_first=False),
        {},
    ),
    **{
        f"{cell} {attention}": (
            "attention_encoder_decoder",
            dict(**RECURRENT, cell=cell, attention=attention, source_vocabulary=6),
            {"source": SOURCE},
        )
        for cell, attention in [("lstm", "additive"), ("gru", "dot_product"), ("rnn", "none")]
    },
    "transformer": (
        "transformer",
        dict(**SMALL, **BLOCKS, source_vocabulary=6, length=12),
        {"source": SOURCE},
    ),
    "caption_lstm": ("caption_lstm", dict(**RECURRENT, memory_shape=(7,)), {"memory": MAP[:, 0]}),
    "caption_attention": (
        "caption_attention",
        dict(**RECURRENT, memory_shape=(3, 7)),
        {"memory": MAP},
    ),
    "caption_transformer": (
        "caption_transformer",
        dict(**SMALL, **BLOCKS, length=12, memory_shape=(3, 7)),
        {"memory": MAP},
    ),
}
PROMPT = np.array([[1, 2], [3, 1]], "int32")


def made(name):
    """A net with weights that make it say various things, its generator, what it is given."""
    architecture, settings, given = NETS[name]
    keras.utils.set_random_seed(3)
    net = sequence.build(architecture, **settings)
    rng = np.random.default_rng(3)
    net.set_weights([w + 0.5 * rng.normal(size=w.shape) for w in net.get_weights()])
    return net, sequence.Generator(architecture, net, **settings), given


def log_probabilities(net, tokens, given):
    """Those of what comes after each of tokens (batch, n): (batch, n, VOCABULARY)."""
    logits = net({"tokens": tokens, **given} if given else tokens)
    return keras.ops.convert_to_numpy(keras.ops.log_softmax(logits))


@pytest.mark.parametrize("name", NETS)
def test_cached_steps_are_the_whole_net(name):
    """Each step's logits, from its state, against the net's on the whole sequence."""
    net, generator, given = made(name)
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (2, 10)).astype("int32")
    whole = log_probabilities(net, tokens, given)
    state = generator.encoder.predict_on_batch(given) if generator.encoder else {}
    for key, tensor in generator.step.input.items():
        if key not in state:
            state[key] = np.zeros((2, *tensor.shape[1:]), tensor.dtype)
    for t in range(10):
        state["token"] = tokens[:, t]
        found = generator.step.predict_on_batch(state)
        logits = keras.ops.log_softmax(found.pop("logits"))
        np.testing.assert_allclose(logits, whole[:, t], atol=1e-5)
        state |= found


@pytest.mark.parametrize("name", NETS)
def test_greedy_takes_the_likeliest_of_the_whole_net(name):
    net, generator, given = made(name)
    found = generator.greedy(PROMPT, 8, **given)
    expected = PROMPT
    for _ in range(8):
        likeliest = log_probabilities(net, expected, given)[:, -1].argmax(-1)
        expected = np.concatenate([expected, likeliest[:, None]], axis=1)
    np.testing.assert_array_equal(found, expected)
    cold = generator.sample(PROMPT, 8, temperature=0, **given)
    np.testing.assert_array_equal(cold, expected)


@pytest.mark.parametrize(
    "name", ["lstm", "transformer_decoder", "transformer", "caption_attention"]
)
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_enough_beams_find_the_best_of_all_sequences(name, length_penalty):
    net, generator, given = made(name)
    end, length = 0, 3
    beams = VOCABULARY**length
    tokens, scores = generator.beam_search(
        PROMPT, length, beams=beams, length_penalty=length_penalty, end=end, **given
    )
    every = np.array([*itertools.product(range(VOCABULARY), repeat=length)], "int32")
    for row in range(2):
        mine = {key: np.repeat(value[row : row + 1], len(every), 0) for key, value in given.items()}
        whole = np.concatenate([np.repeat(PROMPT[row : row + 1], len(every), 0), every], axis=1)
        best = {}
        for said, logs in zip(every.tolist(), log_probabilities(net, whole, mine), strict=True):
            stop = said.index(end) + 1 if end in said else length
            total = sum(logs[1 + i, said[i]] for i in range(stop))
            said = (*said[:stop], *(end,) * (length - stop))
            best[said] = total / ((5 + stop) / 6) ** length_penalty
        ranking = sorted(best, key=best.get, reverse=True)
        for place in range(5):
            assert tuple(tokens[row, place, 2:]) == ranking[place]
            np.testing.assert_allclose(scores[row, place], best[ranking[place]], atol=1e-5)


def test_one_beam_is_greedy():
    _, generator, given = made("transformer")
    tokens, _ = generator.beam_search(PROMPT, 6, beams=1, **given)
    np.testing.assert_array_equal(tokens[:, 0], generator.greedy(PROMPT, 6, **given))


def test_behind_the_end_there_is_only_the_end():
    _, generator, _ = made("gru")
    for tokens in (
        generator.sample(PROMPT, 60, end=4, temperature=9.0),
        generator.beam_search(PROMPT, 60, end=4, beams=9)[0].reshape(-1, 62),
    ):
        ended = [said for said in tokens[:, 2:].tolist() if 4 in said]
        assert ended
        for said in ended:
            assert {*said[said.index(4) :]} == {4}


def test_an_end_in_the_prompt_ends_nothing():
    net, generator, _ = made("gru")
    net.get_layer("logits").bias.assign(-1e3 * np.eye(VOCABULARY)[4])  # it never ends by itself
    prompt = np.array([[4, 2], [2, 4]], "int32")
    end_free = generator.greedy(prompt, 6)
    assert (end_free[:, 2:] != 4).all()
    np.testing.assert_array_equal(generator.greedy(prompt, 6, end=4), end_free)
    tokens, _ = generator.beam_search(prompt, 6, beams=1, end=4)
    np.testing.assert_array_equal(tokens[:, 0], end_free)


def drawn(count, **knobs):
    """How often each of four tokens of shares 0.1, 0.4, 0.2, 0.3 is drawn, of `count`."""
    logits = np.log(np.tile([[0.1, 0.4, 0.2, 0.3]], (count, 1))).astype("float32")
    noise = np.random.default_rng(1).random(count, "float32")
    knobs = {"temperature": 1.0, "top_k": 9, "top_p": 1.0} | knobs
    arrays = {"logits": logits, "noise": noise} | {
        key: np.full(count, v, "int32" if key == "top_k" else "float32") for key, v in knobs.items()
    }
    tokens = decoding.choose(**keras.tree.map_structure(keras.ops.convert_to_tensor, arrays))
    return np.bincount(keras.ops.convert_to_numpy(tokens), minlength=4) / count


@pytest.mark.parametrize(
    ("knobs", "shares"),
    [
        ({}, [0.1, 0.4, 0.2, 0.3]),
        ({"temperature": 0.5}, np.array([1, 16, 4, 9]) / 30),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_k": 1}, [0, 1, 0, 0]),
        ({"top_p": 0.75}, [0, 4 / 9, 2 / 9, 3 / 9]),
        ({"top_p": 0.65}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_p": 1e-6}, [0, 1, 0, 0]),
    ],
)
def test_shares_of_what_is_drawn(knobs, shares):
    np.testing.assert_allclose(drawn(40_000, **knobs), shares, atol=0.01)


def test_the_same_seed_draws_the_same():
    _, generator, _ = made("lstm")
    one, again, other = (generator.sample(PROMPT, 30, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    np.testing.assert_array_equal(one[:, :2], PROMPT)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch traces nothing")
@pytest.mark.parametrize("name", ["lstm", "transformer_decoder"])
@pytest.mark.parametrize("method", ["sample", "beam_search"])
def test_the_step_is_traced_once(name, method):
    architecture, settings, _ = NETS[name]
    settings = settings | ({"length": 100} if name != "lstm" else {})
    net = sequence.build(architecture, **settings)
    counts = []
    for length in (5, 40):
        generator = sequence.Generator(architecture, net, **settings)
        traced, call = [], generator.step.call

        def count(*args, traced=traced, call=call, **options):
            traced.append(1)
            return call(*args, **options)

        generator.step.call = count
        getattr(generator, method)(PROMPT, length)
        counts.append(len(traced))
        getattr(generator, method)(PROMPT[::-1], length)  # another prompt, the same shapes
        assert len(traced) == counts[-1]
    assert counts[0] == counts[1] <= 2


def test_it_speaks_with_the_nets_present_weights():
    net, generator, _ = made("lstm")
    generator.greedy(PROMPT, 3)
    net.get_layer("logits").bias.assign(np.eye(VOCABULARY)[3] * 1e3)
    assert {*generator.greedy(PROMPT, 3)[:, 2:].ravel()} == {3}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda g: g.greedy(np.zeros((2, 0), "int32"), 3), "one or more"),
        (lambda g: g.greedy([[0.5]], 3), "float64"),
        (lambda g: g.greedy(PROMPT, 11), "positions for, 12"),
        (lambda g: g.greedy(PROMPT, 0), "at least one"),
        (lambda g: g.greedy([[7]], 3), "tokens are 0 to 4; received 7"),
        (lambda g: g.sample(PROMPT, 3, temperature=-1), "received -1"),
        (lambda g: g.sample(PROMPT, 3, top_p=0), "received 1.0, None, 0"),
        (lambda g: g.beam_search(PROMPT, 3, beams=0), "received 0"),
    ],
)
def test_what_cannot_be_said(call, said):
    with pytest.raises(ValueError, match=said):
        call(made("transformer_decoder")[1])


def test_a_net_built_otherwise_is_refused():
    net = sequence.build("lstm", vocabulary=5, **RECURRENT)
    with pytest.raises(ValueError, match="built otherwise: layer1 does not fit"):
        sequence.Generator("lstm", net, vocabulary=5, **RECURRENT | {"units": 7})


@pytest.mark.slow
def test_cached_decoding_is_five_times_as_fast_at_256_tokens():
    settings = dict(dim=256, depth=4, heads=4, mlp=1024, vocabulary=65, num_classes=65)
    settings |= dict(length=257, input_shape=(None,))
    net = sequence.build("transformer_decoder", **settings)
    generator = sequence.Generator("transformer_decoder", net, **settings)
    prompt = np.array([[1]], "int32")

    def cached():
        return generator.greedy(prompt, 256)

    def uncached():
        tokens = np.zeros((1, 256), "int32")  # padded, lest each length be traced anew
        tokens[:, :1] = prompt
        last = None
        for t in range(256):
            last = net.predict_on_batch(tokens)[:, t].argmax(-1)
            if t < 255:
                tokens[:, t + 1] = last
        return np.concatenate([tokens, last[:, None]], axis=1)

    np.testing.assert_array_equal(cached(), uncached())
    seconds = {cached: [], uncached: []}
    for _ in range(3):
        for way, took in seconds.items():
            start = time.perf_counter()
            way()
            took.append(time.perf_counter() - start)
    ratio = np.median(seconds[uncached]) / np.median(seconds[cached])
    print(f"uncached over cached: {ratio:.1f}")
    assert ratio > 5
