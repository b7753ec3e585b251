"""The character language model: a text learned, resumed to the bit, and what is refused."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from crash import survives_kills_after_checkpoints
from cvcourse.recipes import char_lm
from recipe_runs import assert_same_run

from cvcourse import sequence, training
from cvcourse.errors import Interrupted

pytestmark = pytest.mark.usefixtures("undrawn")

TEXT = "".join(f"{i % 7} lines of verse, {i % 3} of them long\n" for i in range(120))
TINY = dict(units=16, embedding=8, window=16, batch_size=8, epochs=2, sample_length=20)
TINY |= dict(dropout=0.2, learning_rate=0.01)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "verse.txt"
    path.write_text(TEXT)
    return str(path)


@pytest.mark.parametrize(
    "model",
    [*(pytest.param(n, marks=pytest.mark.slow) for n in ("rnn", "lstm", "gru")), "transformer"],
)
def test_a_run(model, text, tmp_path, capsys):
    workdir = tmp_path / "run"
    config = char_lm.Config(text=text, model=model, workdir=str(workdir), **TINY | {"window": 24})
    metrics = char_lm.main(config)
    out = capsys.readouterr().out
    assert f"test bits per character: {metrics['test_bits_per_character']:.4f}" in out
    assert 0 < metrics["test_bits_per_character"] < np.log2(len(set(TEXT)))
    assert json.loads((workdir / "metrics.json").read_text()).items() <= metrics.items()
    samples = sorted((workdir / "samples").iterdir())
    assert len(samples) == 2
    for path in samples:
        said = path.read_text()
        assert len(said) == 21
        assert said[0] == "\n"
        assert said in out
    page = (workdir / "report.html").read_text()
    assert "Sample after epoch 2" in page
    assert ("Attention weights of the last block" in page) == (model == "transformer")
    assert ("follows the position in the line" in page) == (model != "transformer")
    said = char_lm.main(char_lm.Config(**vars(config) | {"prompt": "3 li", "temperature": 0.0}))
    assert said == metrics
    sampler = sequence.TextSampler.load(workdir / "model.keras")
    assert sampler.sample("3 li", 20, temperature=0.0) in capsys.readouterr().out


def test_bits_are_those_of_the_text(text, tmp_path):
    """Counted by hand from the model's logits on the whole test split, read from its start."""
    workdir = tmp_path / "run"
    metrics = char_lm.main(char_lm.Config(text=text, workdir=str(workdir), **TINY))
    model, names = training.load_model(workdir / "model.keras")
    assert names == tuple(sorted(set(TEXT)))
    tokens = np.array([names.index(char) for char in TEXT[int(0.9 * len(TEXT)) :]], "int32")
    logits = model.predict(tokens[None, :-1], verbose=0)[0].astype("float64")
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    bits = -logs[np.arange(len(tokens) - 1), tokens[1:]].mean() / np.log(2)
    # A window sees 8 characters or more, this here all: close, not the same.
    assert metrics["test_bits_per_character"] == pytest.approx(bits, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "xla"), [("lstm", False), ("lstm", True), ("transformer", False)]
)
def test_a_resumed_run_ends_with_the_same_weights(model, xla, text, tmp_path, monkeypatch):
    """Stopped inside an epoch, with dropout in the net."""
    config = dict(text=text, model=model, jit_compile=xla, **TINY | {"window": 24})
    char_lm.main(char_lm.Config(**config, workdir=str(tmp_path / "whole")))
    stop = training.ExactResume.on_train_batch_end

    def stopping(self, batch, logs=None):
        self._signaled = self.step == 13
        stop(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(training.ExactResume, "on_train_batch_end", stopping)
        with pytest.raises(Interrupted, match="resume with"):
            char_lm.main(char_lm.Config(**config, workdir=str(tmp_path / "parts")))
    char_lm.main(char_lm.Config(**config, workdir=str(tmp_path / "parts")))
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ("--text=missing.txt", 1, "cannot read the text missing.txt: No such file"),
        ("--text=empty.txt", 1, "the text empty.txt has no characters: two or more"),
        ("--text=a.txt", 1, "the text a.txt has only the character 'a'"),
        ("--text=/dev/zero", 1, "/dev/zero is a device, not a regular file"),
        ("--text=.", 1, ". is a directory, not a regular file"),
        ("--text=latin.txt", 1, "latin.txt is not in UTF-8 (byte 1)"),
        ("--text=short.txt", 2, "fewer than a batch"),
        ("--prompt=Ω", 2, "'Ω'"),
        ("--prompt=", 2, "at least one character"),
        ("--model=lsmt", 2, "did you mean 'lstm'"),
        ("--model=transformer --sample_length=400", 2, "within its --window=64"),
        ("--model=transformer --num_heads=3", 2, "256 channels"),
        ("--top_p=1.5", 2, "--top_p"),
        ("--temperature=-1", 2, "--temperature"),
    ],
)
def test_what_is_refused_writes_nothing(flags, code, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("empty.txt").write_text("")
    pathlib.Path("a.txt").write_text("a" * 1000)
    pathlib.Path("latin.txt").write_bytes(b"a\xe9b" * 100)
    pathlib.Path("short.txt").write_text("To be, or not to be" * 30)
    assert char_lm.cli(["--workdir=run", *flags.split()]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not pathlib.Path("run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("devices", [(), ("--strategy=mirrored", "--cpu_devices=2")], ids=str)
def test_kill_9_anywhere(devices, text, tmp_path):
    """The weights are those of an uninterrupted run, whenever the process was killed."""
    flags = [f"--{key}={value}" for key, value in {**TINY, "epochs": 20}.items()]
    command = [sys.executable, "-m", "cvcourse", "char_lm", f"--text={text}", *flags]
    command += ["--patience=none", "--checkpoint_minutes=1e-9", *devices]
    peace, war = tmp_path / "peace", tmp_path / "war"
    subprocess.run([*command, f"--workdir={peace}"], check=True, capture_output=True)
    survives_kills_after_checkpoints([*command, f"--workdir={war}"], war)
    assert_same_run(peace, war)
