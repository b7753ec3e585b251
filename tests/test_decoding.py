"""Decoding against what the whole net says of every prefix, and beams against all sequences."""

import functools
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
BLOCKS = dict(hidden_dim=8, depth=2, num_heads=2, mlp_dim=16, dropout=0.0)
SOURCE = np.array([[3, 1, 4, 0], [2, 2, 1, 3]], "int32")
MAP = np.random.default_rng(5).normal(size=(2, 3, 7)).astype("float32")
NETS = {  # name: architecture, settings, what it is given beside tokens
    "rnn": ("rnn", dict(**RECURRENT, vocabulary=VOCABULARY, depth=2), {}),
    "lstm": ("lstm", dict(**RECURRENT, vocabulary=VOCABULARY, depth=2), {}),
    "gru": ("gru", dict(**RECURRENT, vocabulary=VOCABULARY), {}),
    "transformer_decoder": (
        "transformer_decoder",
        dict(**SMALL, **BLOCKS, vocabulary=VOCABULARY, max_length=12, positions="learned"),
        {},
    ),
    "post-norm": (
        "transformer_decoder",
        dict(**SMALL, **BLOCKS, vocabulary=VOCABULARY, max_length=12, norm_first=False),
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
        dict(**SMALL, **BLOCKS, source_vocabulary=6, max_length=12),
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
        dict(**SMALL, **BLOCKS, max_length=12, memory_shape=(3, 7)),
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
    return net, sequence.Generator(net), given


@pytest.fixture(scope="module")
def shared():
    """`made`, once for each name, for tests that leave the weights as they are."""
    return functools.cache(made)


def generator_of(name, **changes):
    """A generator of that net with other settings, and its net."""
    architecture, settings, _ = NETS[name]
    keras.utils.set_random_seed(3)
    net = sequence.build(architecture, **settings | changes)
    rng = np.random.default_rng(3)
    net.set_weights([w + rng.normal(size=w.shape) for w in net.get_weights()])
    return net, sequence.Generator(net)


def log_probabilities(net, tokens, given):
    """Those of what comes after each of tokens (batch, n): (batch, n, VOCABULARY)."""
    logits = net({"tokens": tokens, **given} if given else tokens)
    return keras.ops.convert_to_numpy(keras.ops.log_softmax(logits))


@pytest.mark.parametrize("name", NETS)
def test_cached_steps_are_the_whole_net(name, shared):
    """Each step's logits, from its state, against the net's on the whole sequence."""
    net, generator, given = shared(name)
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
def test_greedy_takes_the_likeliest_of_the_whole_net(name, shared):
    net, generator, given = shared(name)
    found = generator.greedy(PROMPT, 8, **given)
    expected = PROMPT
    for _ in range(8):
        likeliest = log_probabilities(net, expected, given)[:, -1].argmax(-1)
        expected = np.concatenate([expected, likeliest[:, None]], axis=1)
    np.testing.assert_array_equal(found, expected)
    cold = generator.sample(PROMPT, 8, temperature=0, **given)
    np.testing.assert_array_equal(cold, expected)


PADDED = np.array([[0, 0, 3, 4], [2, 3, 4, 1], [3, 4, 0, 0], [0, 0, 0, 0], [0, 2, 0, 1]], "int32")


# Each has a sibling of its kind in the fast suite.
SIBLINGS = ("rnn", "gru", "post-norm", "gru dot_product", "rnn none", "caption_lstm")


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        *(
            pytest.param(n, "float32", marks=pytest.mark.slow if n in SIBLINGS else ())
            for n in NETS
        ),
        *((name, "mixed_float16") for name in ("lstm", "transformer", "caption_attention")),
        *((name, "mixed_bfloat16") for name in ("gru", "transformer_decoder")),
    ],
)
def test_padded_prompts_continue_as_in_the_whole_net(name, policy, precision):
    """Twice, of two lengths: padding is known by its token where the net knows it by that."""
    precision(policy)
    net, generator = generator_of(name, padding=0)
    inputs = {key: np.resize(value, (5, *value.shape[1:])) for key, value in NETS[name][2].items()}
    for prompt, length in ((PADDED, 5), (PADDED[:, 1:], 4))[: 2 if policy == "float32" else 1]:
        tokens = generator.greedy(prompt, length, **inputs)
        np.testing.assert_array_equal(tokens[:, : prompt.shape[1]], prompt)
        logs = log_probabilities(net, tokens[:, :-1], inputs)[:, prompt.shape[1] - 1 :]
        chosen = np.take_along_axis(logs, tokens[:, prompt.shape[1] :, None], axis=-1)[..., 0]
        rounding = {"float32": 1e-5, "mixed_float16": 0.02, "mixed_bfloat16": 0.2}[policy]
        np.testing.assert_allclose(chosen, logs.max(-1), atol=rounding)
        if policy == "float32":
            np.testing.assert_array_equal(tokens[:, prompt.shape[1] :], logs.argmax(-1))
    beams, scores = generator.beam_search(prompt, length, num_beams=3, length_penalty=0, **inputs)
    for beam in range(3):
        logs = log_probabilities(net, beams[:, beam, :-1], inputs)[:, prompt.shape[1] - 1 :]
        chosen = np.take_along_axis(logs, beams[:, beam, prompt.shape[1] :, None], axis=-1)
        np.testing.assert_allclose(scores[:, beam], chosen.sum((1, 2)), atol=length * rounding)


@pytest.mark.parametrize(
    "name", ["lstm", "caption_lstm", "caption_attention", "caption_transformer"]
)
def test_padding_at_the_start_changes_nothing(name):
    """For nets without positions, which padding moves."""
    changes = {"padding": 0} | ({"positions": "none"} if "transformer" in name else {})
    _, generator = generator_of(name, **changes)
    inputs = {key: value[:1] for key, value in NETS[name][2].items()}
    bare, padded = (
        generator.beam_search(prompt, 5, num_beams=4, end=4, **inputs)
        for prompt in ([[3, 4]], [[0, 0, 3, 4]])
    )
    np.testing.assert_array_equal(padded[0][..., 2:], bare[0])
    np.testing.assert_allclose(padded[1], bare[1], atol=1e-5)


def test_the_last_state_of_a_net_without_sequences():
    """Behind a prompt padded at its end it is that of the last real token, as in the whole net."""
    net, generator = generator_of("gru", padding=0, return_sequences=False)
    logits = keras.ops.convert_to_numpy(net(PADDED))
    np.testing.assert_array_equal(generator.greedy(PADDED, 1)[:, -1], logits.argmax(-1))


@pytest.mark.parametrize(
    "name", ["lstm", "transformer_decoder", "transformer", "caption_attention"]
)
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_enough_beams_find_the_best_of_all_sequences(name, length_penalty, shared):
    net, generator, given = shared(name)
    end, length = 0, 3
    beams = VOCABULARY**length
    tokens, scores = generator.beam_search(
        PROMPT, length, num_beams=beams, length_penalty=length_penalty, end=end, **given
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


@pytest.mark.parametrize("end", [None, 0])
def test_more_beams_than_words(end, shared):
    """Five words, two steps: 12 beams are the best of all; of 30 only those that exist score."""
    net, generator, _ = shared("lstm")
    every = np.array([*itertools.product(range(VOCABULARY), repeat=2)], "int32")
    if end is not None:
        every = every[(every[:, 0] != end) | (every[:, 1] == end)]
    logs = log_probabilities(net, np.insert(every, 0, 1, axis=1), {})
    totals = logs[:, 0][np.arange(len(every)), every[:, 0]]
    second = logs[:, 1][np.arange(len(every)), every[:, 1]]
    totals += np.where(every[:, 0] == end, 0.0, second) if end is not None else second
    order = np.argsort(-totals)
    for beams in (12, 30):
        count = min(beams, len(every))
        tokens, scores = generator.beam_search([[1]], 2, num_beams=beams, length_penalty=0, end=end)
        assert tokens.shape == (1, beams, 3)
        np.testing.assert_array_equal(tokens[0, :count, 1:], every[order[:count]])
        np.testing.assert_allclose(scores[0, :count], totals[order[:count]], atol=1e-5)
        assert (scores[0, count:] == -np.inf).all()


@pytest.mark.parametrize("name", ["lstm", "caption_transformer"])
def test_suppressed_tokens_are_never_generated(name, shared):
    net, generator, given = shared(name)
    free = generator.greedy(PROMPT, 8, **given)[:, 2:]
    banned = np.bincount(free.ravel()).argmax()
    expected = PROMPT
    for _ in range(8):
        logs = log_probabilities(net, expected, given)[:, -1]
        logs[:, banned] = -np.inf
        expected = np.concatenate([expected, logs.argmax(-1)[:, None]], axis=1)
    found = generator.greedy(PROMPT, 8, suppress_tokens=[banned], **given)
    np.testing.assert_array_equal(found, expected)
    hot = generator.sample(PROMPT, 8, temperature=1e38, suppress_tokens={0, 1, 4}, **given)
    assert {*hot[:, 2:].ravel()} == {2, 3}
    beams, scores = generator.beam_search(
        PROMPT, 2, num_beams=5, length_penalty=0, suppress_tokens=(0, 1, 4), **given
    )
    assert {*beams[:, :4, 2:].ravel()} == {2, 3}  # all four there are
    np.testing.assert_allclose(np.exp(scores).sum(1), 1, atol=1e-5)  # probabilities of what is left


@pytest.mark.parametrize("temperature", [1e-46, 1e-40, 1e-38, 2e-38, 1e-30])
def test_a_temperature_near_zero_is_greedy(temperature, shared):
    _, generator, _ = shared("lstm")
    expected = generator.greedy(PROMPT, 8)
    np.testing.assert_array_equal(generator.sample(PROMPT, 8, temperature=temperature), expected)


def test_more_tokens_than_there_are_for_top_k(shared):
    _, generator, _ = shared("lstm")
    expected = generator.sample(PROMPT, 8, seed=1)
    np.testing.assert_array_equal(generator.sample(PROMPT, 8, seed=1, top_k=2**40), expected)


def test_one_beam_is_greedy(shared):
    _, generator, given = shared("transformer")
    tokens, _ = generator.beam_search(PROMPT, 6, num_beams=1, **given)
    np.testing.assert_array_equal(tokens[:, 0], generator.greedy(PROMPT, 6, **given))


def test_behind_the_end_there_is_only_the_end(shared):
    _, generator, _ = shared("gru")
    for tokens in (
        generator.sample(PROMPT, 60, end=4, temperature=9.0),
        generator.beam_search(PROMPT, 60, end=4, num_beams=9)[0].reshape(-1, 62),
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
    tokens, _ = generator.beam_search(prompt, 6, num_beams=1, end=4)
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
        ({"top_k": 2, "top_p": 0.5}, [0, 1, 0, 0]),  # 0.4 is 0.571 of the two
        ({"top_k": 2, "top_p": 0.6}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_k": 3, "top_p": 0.75}, [0, 4 / 7, 0, 3 / 7]),  # 0.7 / 0.9 reach it
    ],
)
def test_shares_of_what_is_drawn(knobs, shares):
    np.testing.assert_allclose(drawn(40_000, **knobs), shares, atol=0.01)


def test_the_same_seed_draws_the_same(shared):
    _, generator, _ = shared("lstm")
    one, again, other = (generator.sample(PROMPT, 30, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    np.testing.assert_array_equal(one[:, :2], PROMPT)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch traces nothing")
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("lstm", "beam_search"),
        pytest.param("lstm", "sample", marks=pytest.mark.slow),
        pytest.param("transformer_decoder", "sample", marks=pytest.mark.slow),
        pytest.param("transformer_decoder", "beam_search", marks=pytest.mark.slow),
    ],
)
def test_the_step_is_traced_once(name, method):
    architecture, settings, _ = NETS[name]
    settings = settings | ({"max_length": 100} if name != "lstm" else {})
    net = sequence.build(architecture, **settings)
    counts = []
    for length in (5, 40):
        generator = sequence.Generator(net)
        traced, call = [], generator.step.call

        def count(*args, traced=traced, call=call, **options):
            traced.append(1)
            return call(*args, **options)

        generator.step.call = count
        getattr(generator, method)(PROMPT, length)
        counts.append(len(traced))
        getattr(generator, method)(PROMPT[::-1], length)  # another prompt, the same shapes
        assert len(traced) == counts[-1]
        assert counts[-1] <= 2
        for other in (length + 1, length + 2, length):  # open shapes from the second on
            getattr(generator, method)(PROMPT, other)
            getattr(generator, method)(PROMPT[:, :1], other)
        if keras.backend.backend() == "tensorflow":
            assert len(traced) <= 3 * counts[-1]
        before = len(traced)
        getattr(generator, method)(PROMPT, length + 1)
        assert len(traced) == before
    assert counts[0] == counts[1]


@pytest.mark.parametrize("method", ["greedy", "sample", "beam_search"])
def test_batches_give_what_all_rows_at_once_give(method):
    """Five rows, two at a time: one shape, and the last batch filled up."""
    _, generator, _ = made("transformer")
    prompt = np.array([[1], [2], [3], [4], [1]], "int32")
    source = np.random.default_rng(1).integers(1, 6, (5, 4)).astype("int32")
    decode = getattr(generator, method)
    shapes, run = [], generator._run
    generator._run = lambda *a, **k: shapes.append(k["tokens"].shape) or run(*a, **k)
    found = decode(prompt, 6, source=source, batch_size=2)
    assert shapes == [(5, 7), (2, 7), (2, 7), (2, 7)]
    expected = decode(prompt, 6, source=source)
    if method != "beam_search":
        found, expected = [found], [expected]
    np.testing.assert_array_equal(found[0], expected[0])
    for one, other in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert len({row.tobytes() for row in expected[0]}) > 2


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
        (lambda g: g.greedy([[True]], 3), "bool"),
        (lambda g: g.greedy([[1, 2], [3]], 3), "rows of equal length; received object \\(2,\\)"),
        (lambda g: g.greedy(PROMPT, 11), "12 positions .* prompt of 2 tokens and length=11"),
        (lambda g: g.greedy(PROMPT, 0), "at least 1; received 0"),
        (lambda g: g.greedy(PROMPT, 2.0), "length must be an integer of at least 1; received 2.0"),
        (lambda g: g.greedy(PROMPT, True), "received True"),
        (lambda g: g.greedy(PROMPT, 3, batch_size=0), "batch_size must be None or .* received 0"),
        (lambda g: g.greedy([[7]], 3), "prompt: tokens are 0 to 4; received 7 to 7"),
        (lambda g: g.greedy(PROMPT, 3, end=5), "end: tokens are 0 to 4; received 5 to 5"),
        (lambda g: g.greedy(PROMPT, 3, end=-1), "end must be None or a token; received -1"),
        (lambda g: g.greedy(PROMPT, 3, suppress_tokens=[-1]), "suppress_tokens: tokens are 0 to 4"),
        (lambda g: g.greedy(PROMPT, 3, suppress_tokens="a"), "tokens are integers; received <U1"),
        (lambda g: g.greedy(PROMPT, 3, suppress_tokens=range(5)), "leave a token to generate"),
        (
            lambda g: g.greedy(PROMPT, 3, mask=PROMPT > 0),
            "needs as many rows of nothing; received .*mask",
        ),
        (lambda g: g.sample(PROMPT, 3, temperature=-1), "received -1"),
        (lambda g: g.sample(PROMPT, 3, temperature=np.nan), "at least 0; received nan"),
        (lambda g: g.sample(PROMPT, 3, temperature=np.inf), "finite number of at least 0; rec"),
        (lambda g: g.sample(PROMPT, 3, temperature=10**400), "finite number of at least 0; rec"),
        (lambda g: g.sample(PROMPT, 3, top_k=0), "top_k must be None or an integer .* received 0"),
        (
            lambda g: g.sample(PROMPT, 3, top_p=0),
            "top_p must be a number in \\(0, 1\\]; received 0",
        ),
        (lambda g: g.sample(PROMPT, 3, top_p=np.nan), "received nan"),
        (lambda g: g.sample(PROMPT, 3, seed=-1), "seed must be None or .* received -1"),
        (lambda g: g.beam_search(PROMPT, 3, num_beams=0), "received 0"),
        (lambda g: g.beam_search(PROMPT, 3, length_penalty=np.inf), "finite number; received inf"),
    ],
)
def test_what_cannot_be_said(call, said, shared):
    with pytest.raises(ValueError, match=said):
        call(shared("transformer_decoder")[1])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [({}, "source; received nothing"), ({"source": SOURCE[:1]}, r"source; .*\(1, 4\)")],
)
def test_a_generator_takes_the_nets_inputs(inputs, message, shared):
    with pytest.raises(ValueError, match=message):
        shared("transformer")[1].greedy(PROMPT, 3, **inputs)


@pytest.mark.parametrize(
    "settings",
    [{}, {"causal": True, "return_sequences": False}, {"causal": True, "vocabulary": None}],
)
def test_nets_that_do_not_generate(settings):
    settings = dict(vocabulary=5, num_classes=5, **BLOCKS) | settings
    net = sequence.build("transformer_encoder", **settings)
    with pytest.raises(ValueError, match="for causal nets of tokens, return_sequences=True"):
        sequence.Generator(net)


def test_a_net_built_otherwise_is_refused():
    net = sequence.build("lstm", vocabulary=5, **RECURRENT)
    with pytest.raises(ValueError, match="built with other settings: layer1 does not fit"):
        sequence.Generator("lstm", net, vocabulary=5, **RECURRENT | {"units": 7})


@pytest.mark.slow
def test_cached_decoding_is_five_times_as_fast_at_256_tokens():
    settings = dict(
        hidden_dim=256, depth=4, num_heads=4, mlp_dim=1024, vocabulary=65, num_classes=65
    )
    settings |= dict(max_length=257, input_shape=(None,))
    net = sequence.build("transformer_decoder", **settings)
    generator = sequence.Generator(net)
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
