"""What a sequence net records of itself, and files that know their architecture and words."""

import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from cvcourse import data, sequence, training

TOKENS = dict(vocabulary=5, num_classes=5, input_shape=(None,))
NETS = {  # architecture: settings that are not the defaults
    "lstm": TOKENS | dict(units=6, embedding=4, depth=2),
    "transformer_decoder": TOKENS | dict(hidden_dim=8, num_heads=2, mlp_dim=16, max_length=12),
    "transformer": dict(hidden_dim=8, num_heads=2, mlp_dim=16, max_length=9, source_vocabulary=6),
    "caption_attention": dict(units=6, embedding=4, memory_shape=(3, 7), num_classes=5),
    "patch_classifier": dict(
        patch=(4, 4), hidden_dim=8, depth=1, activation=keras.activations.relu
    ),
}
PROMPT = np.array([[1, 2], [3, 1]], "int32")
MEMORY = np.random.default_rng(0).normal(size=(2, 3, 7)).astype("float32")


def net_of(architecture):
    """A net with random weights."""
    keras.utils.set_random_seed(1)
    net = sequence.build(architecture, **NETS[architecture], name="mine")
    rng = np.random.default_rng(1)
    net.set_weights([w + rng.normal(size=w.shape) for w in net.get_weights()])
    return net


def copied(net, path, way):
    """The net as its file, its config, or a recipe's file gives it, without weights of a config."""
    if way == "from_config":
        return type(net).from_config(net.get_config())
    if way == "save_model":
        training.save_model(net, path, "abcde")
        return training.load_model(path)[0]
    net.save(path)
    return keras.saving.load_model(path)


@pytest.mark.parametrize("way", ["save", "from_config", "save_model"])
@pytest.mark.parametrize("architecture", ["lstm", "transformer_decoder", "caption_attention"])
def test_copies_record_what_the_net_is(architecture, way, tmp_path):
    net = net_of(architecture)
    copy = copied(net, tmp_path / "net.keras", way)
    copy.set_weights(net.get_weights())
    defaults = sequence.builder_args(architecture)
    del defaults["part"]
    assert (copy.architecture, dict(copy.settings)) == (architecture, defaults | NETS[architecture])
    assert copy.name == "mine"
    given = {"memory": MEMORY} if architecture.startswith("caption") else {}
    found = sequence.Generator(copy).greedy(PROMPT, 5, **given)
    expected = sequence.Generator(net).greedy(PROMPT, 5, **given)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("architecture", NETS)
def test_files_are_read_after_one_import(architecture, tmp_path):
    """Also settings that are functions; the net's own copy is a working model."""
    net = net_of(architecture)
    assert keras.models.clone_model(net).count_params() == net.count_params()
    net.save(tmp_path / "net.keras")
    assert dict(keras.saving.load_model(tmp_path / "net.keras").settings) == dict(net.settings)


def test_a_fresh_process_needs_the_import_alone(tmp_path):
    net_of("lstm").save(tmp_path / "net.keras")
    code = "import keras, cvcourse.sequence; net = keras.saving.load_model('net.keras')\n"
    code += "print(net.architecture, net.settings['units'], net.settings['input_shape'])"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout == "lstm 6 (None,)\n", run.stderr


def test_a_model_without_a_record():
    net = net_of("lstm")
    old = keras.Model(net.input, net.output, name="old")
    with pytest.raises(
        ValueError, match=r"^'old' does not record .* give architecture=.*, such as"
    ):
        sequence.Generator(old)
    expected = sequence.Generator(net).greedy(PROMPT, 5)
    given = sequence.Generator(old, architecture="lstm", **NETS["lstm"])
    np.testing.assert_array_equal(given.greedy(PROMPT, 5), expected)
    with pytest.warns(FutureWarning, match="is now called Generator"):
        before = sequence.Generator("lstm", old, **NETS["lstm"])
    np.testing.assert_array_equal(before.greedy(PROMPT, 5), expected)


def test_old_names_of_arguments_warn():
    new = dict(hidden_dim=8, num_heads=2, mlp_dim=16, max_length=12, return_sequences=False)
    old = dict(zip(("dim", "heads", "mlp", "length", "sequences"), new.values(), strict=True))
    with pytest.warns(FutureWarning) as warned:
        net = sequence.build("transformer_encoder", **old)
    assert [str(one.message).split("; ")[0].split(": ")[1] for one in warned] == [
        f"{before} is now called {now}" for before, now in zip(old, new, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = sequence.build("transformer_encoder", **new)
    assert dict(net.settings) == dict(same.settings)
    with pytest.raises(TypeError, match="received dim and hidden_dim, its new name"):
        sequence.build("transformer_encoder", dim=8, hidden_dim=8)
    generator = sequence.Generator(net_of("lstm"))
    with pytest.warns(FutureWarning, match="beam_search: beams is now called num_beams"):
        tokens, scores = generator.beam_search(PROMPT, 3, beams=2)
    expected = generator.beam_search(PROMPT, 3, num_beams=2)
    np.testing.assert_array_equal(tokens, expected[0])
    assert scores.shape == (2, 2)


@pytest.mark.parametrize("architecture", ["caption_lstm", "caption_transformer"])
def test_a_captioner_is_read_from_a_file(architecture, tmp_path):
    blocks = dict(hidden_dim=8, depth=1, num_heads=2, mlp_dim=16, max_length=7)
    settings = dict(units=6) if architecture == "caption_lstm" else blocks
    vocabulary = data.Vocabulary.of_words(["a red square on blue ground"])
    net = sequence.build(architecture, **settings, memory_shape=(3, 7), num_classes=10)
    rng = np.random.default_rng(3)
    net.set_weights([w + rng.normal(size=w.shape) for w in net.get_weights()])
    net.get_layer("logits").bias.assign(np.eye(10)[data.END] * -9)
    training.save_model(net, tmp_path / "model.keras", vocabulary.tokens)
    captioner = sequence.Captioner.load(tmp_path / "model.keras", num_beams=2, length_penalty=0.0)
    assert captioner.longest == (40 if architecture == "caption_lstm" else 5)
    captioner = sequence.Captioner(net, vocabulary, longest=5, num_beams=2, length_penalty=0.0)
    never = (data.PAD, data.START, data.UNK)
    tokens, _ = sequence.Generator(net).beam_search(
        [[data.START]] * 2,
        6,
        num_beams=2,
        length_penalty=0,
        end=data.END,
        suppress_tokens=never,
        memory=MEMORY,
    )
    expected = [vocabulary.decode(row) for row in tokens[:, 0]]
    loaded = sequence.Captioner.load(
        tmp_path / "model.keras", longest=5, num_beams=2, length_penalty=0.0
    )
    assert captioner.caption(MEMORY) == loaded.caption(MEMORY) == expected
    assert any(expected)


def test_a_text_sampler_is_read_from_a_file(tmp_path):
    net = net_of("transformer_decoder")
    training.save_model(net, tmp_path / "model.keras", "\nabcd")
    sampler = sequence.TextSampler.load(str(tmp_path / "model.keras"))
    assert sampler.window == 12
    tokens = sequence.Generator(net).sample([[1, 2]], 10, seed=4)[0]
    assert sampler.sample("ab", seed=4) == "".join("\nabcd"[token] for token in tokens)
    with pytest.raises(ValueError, match=r"--window=12; received a --prompt of 2 .*=11"):
        sampler.sample("ab", 11)
