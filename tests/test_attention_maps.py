"""Attention maps of each kind of net, against their definitions and what they may attend to."""

import keras
import numpy as np
import pytest

from cvcourse import data, sequence
from cvcourse.data import dates

BLOCKS = dict(hidden_dim=8, num_heads=2, mlp_dim=16, dropout=0.0)
TRANSLATORS = dict(source_vocabulary=len(dates.CHARACTERS) + 1, num_classes=14)


@pytest.mark.parametrize(
    ("architecture", "settings", "heads"),
    [
        ("attention_encoder_decoder", dict(attention="dot_product", cell="gru", units=8), 1),
        ("transformer", dict(**BLOCKS, depth=1, max_length=dates.LONGEST), 2),
    ],
)
@pytest.mark.parametrize("loaded", [False, True])
def test_attention_is_a_share_of_what_is_read(architecture, settings, heads, loaded, tmp_path):
    model = sequence.build(architecture, **settings, **TRANSLATORS)
    if loaded:
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
    pairs = dates.load(5, 1).train
    weights = sequence.attention_maps(model, dates.rows(pairs)[0])
    assert weights.shape == (5, heads, 11, dates.LONGEST)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    for pair, matrix in zip(pairs, weights, strict=True):
        assert not matrix[..., len(pair.source) :].any()
        assert (matrix[..., : len(pair.source)] > 0).all()


def test_the_last_block_of_a_decoder_sees_no_later_token():
    """softmax(q k' / 2) of the last block's projections, computed in NumPy."""
    settings = dict(**BLOCKS, depth=2, vocabulary=7, num_classes=7)
    model = sequence.build("transformer_decoder", **settings)
    tokens = np.array([[3, 1, 4, 1, 5]], "int32")
    weights = sequence.attention_maps(model, tokens)
    qkv = model.get_layer("block2_qkv").output
    qkv = keras.Model(model.input, qkv).predict_on_batch(tokens)[0].reshape(5, 6, 4)
    for head in range(2):
        scores = qkv[:, head] @ qkv[:, 2 + head].T / 2
        scores[np.triu_indices(5, 1)] = -np.inf
        shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        np.testing.assert_allclose(weights[0, head], shares, atol=1e-6)


def test_a_captioner_attends_to_the_places_of_a_map():
    """The attention of Xu et al., section 3.1.2, for the first word, in NumPy."""
    settings = dict(units=4, embedding=4, memory_shape=(3, 5), num_classes=7)
    model = sequence.build("caption_attention", **settings)
    memory = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    tokens = np.full((2, 6), data.START, "int32")
    weights = sequence.attention_maps(model, {"memory": memory, "tokens": tokens})
    assert weights.shape == (2, 1, 6, 3)
    layer = model.get_layer("layer1")
    h = np.asarray(model.get_layer("bridge_h")(memory.mean(1)))
    keys, query, score = (
        np.asarray(part.kernel) for part in (layer.keys, layer.query, layer.score)
    )
    scores = np.tanh(memory @ keys + (h @ query)[:, None]) @ score[:, 0]
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(weights[:, 0, 0], shares, atol=1e-6)


def test_nets_that_do_not_attend_have_none():
    recurrent = dict(units=4, embedding=4, num_classes=5)
    lstm = sequence.build("lstm", **recurrent, vocabulary=5)
    assert sequence.attention_maps(lstm, np.zeros((1, 3), "int32")) is None
    reader = sequence.build("encoder_decoder", **recurrent)
    inputs = {"source": np.ones((1, 3), "int32"), "tokens": np.ones((1, 3), "int32")}
    assert sequence.attention_maps(reader, inputs) is None
