"""A translator says what its net finds likeliest, with the net's own probabilities."""

import keras
import numpy as np
import pytest

from cvcourse import sequence

START, END = 1, 2
SETTINGS = dict(cell="gru", units=8, embedding=8, source_vocabulary=5, num_classes=5)


def encode(texts):
    tokens = np.zeros((len(texts), 4), "int32")
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = [*map(int, text)]
    return tokens


def decode(tokens):
    return "".join(map(str, tokens[1:])).split(str(END))[0]


@pytest.fixture(scope="module")
def translator():
    keras.utils.set_random_seed(0)
    net = sequence.build("attention_encoder_decoder", **SETTINGS)
    rng = np.random.default_rng(0)
    net.set_weights([w + rng.normal(size=w.shape) for w in net.get_weights()])
    generator = sequence.Generator(net)
    return sequence.Translator(generator, encode, decode, start=START, end=END, longest=3)


def log_probabilities(translator, text, written):
    """Those of the token after each of START and what was written, in NumPy: (n + 1, 5)."""
    inputs = {"source": encode([text]), "tokens": np.int32([[START, *map(int, written)]])}
    logits = translator.generator.net.predict_on_batch(inputs)[0].astype("float64")
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_each_character_is_the_likeliest(translator):
    texts = ["1234", "4", "33", "2143"]
    found = translator.translate(texts)
    assert len({*found}) > 1
    for text, said in zip(texts, found, strict=True):
        likeliest = log_probabilities(translator, text, said).argmax(-1)
        expected = "".join(map(str, likeliest))
        assert expected[: len(said)] == said
        assert len(said) == 3 or expected[len(said)] == str(END)


def test_guesses_have_the_probability_of_their_text(translator):
    for text, guesses in zip(["1234", "4"], translator.guesses(["1234", "4"], 4), strict=True):
        assert len(guesses) == 4
        for said, probability in guesses:
            logs = log_probabilities(translator, text, said)
            expected = sum(logs[i, int(c)] for i, c in enumerate(said))
            expected += logs[len(said), END] if len(said) < 3 else 0
            assert probability == pytest.approx(np.exp(expected), rel=1e-4)
        probabilities = [probability for _, probability in guesses]
        assert probabilities == sorted(probabilities, reverse=True)
