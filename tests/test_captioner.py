"""A captioner: what it attends to, and what it never says."""

import numpy as np
import pytest

from cvcourse import data, sequence

RECURRENT = dict(units=8, embedding=8)
KINDS = {
    "caption_rnn": RECURRENT,
    "caption_lstm": RECURRENT,
    "caption_attention": RECURRENT,
    "caption_transformer": dict(hidden_dim=8, num_heads=2, mlp_dim=16),
}
TOKENS = dict(start=data.START, end=data.END, suppress_tokens=(data.PAD, data.START, data.UNK))


def captioner(kind, vocabulary, memory_shape, **options):
    """A captioner with an untrained net of this kind."""
    settings = dict(**KINDS[kind], memory_shape=memory_shape, num_classes=len(vocabulary))
    net = sequence.build(kind, **settings)
    generator = sequence.Generator(net)
    return sequence.Captioner(generator, vocabulary, **TOKENS, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_looks_are_shares_of_the_map(kind):
    maps = np.random.default_rng(0).normal(size=(2, 4, 8)).astype("float32")
    speaker = captioner(kind, data.Vocabulary.of_words(["a red square"]), (4, 8))
    looks = speaker.attention_maps(maps, ["a red square", "a red"])
    if kind not in ("caption_attention", "caption_transformer"):
        assert looks is None
        return
    assert [one.shape for one in looks] == [(3, 4), (2, 4)]
    for one in looks:
        np.testing.assert_allclose(one.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(speaker.attention_maps(maps[1:], ["a red"])[0], looks[1], atol=1e-5)


@pytest.mark.parametrize("wanted", ["<unk>", "<pad>", "<start>"])
def test_what_is_never_taught_is_never_said(wanted):
    """A net that finds a special token likeliest, then a word."""
    vocabulary = data.Vocabulary((*data.SPECIAL, "dog"), " ")
    speaker = captioner("caption_lstm", vocabulary, (2, 3), longest=3)
    bias = np.zeros(len(vocabulary))
    bias[vocabulary.tokens.index(wanted)], bias[-1] = 90, 9
    speaker.generator.net.get_layer("logits").bias.assign(bias)
    (said,) = speaker.caption(np.ones((1, 2, 3), "float32"))
    assert set(said.split()) == {"dog"}


def test_many_maps_are_captioned_as_each_alone():
    """More maps than a batch has."""
    vocabulary = data.Vocabulary.of_words(["a red square on blue ground"])
    speaker = captioner("caption_attention", vocabulary, (4, 8), longest=4, length_penalty=0.0)
    rng = np.random.default_rng(1)
    net = speaker.generator.net
    net.set_weights([w + rng.normal(size=w.shape) for w in net.get_weights()])
    maps = 3 * rng.normal(size=(35, 4, 8)).astype("float32")
    found = speaker.caption(maps)
    assert len(found) == 35
    assert len({*found}) > 5
    assert [speaker.caption(maps[[i]]) for i in (0, 31, 34)] == [[found[i]] for i in (0, 31, 34)]
