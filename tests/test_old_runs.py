"""Runs that version 0.4.0 began, interrupted by Ctrl-C in the middle of their second epoch, go on.

Beside each lies the same run as that version finished it. Both are without what is only looked at,
and of the checkpoints the newest is left. Their ends are equal but for rounding, which may differ
on the machine that made them. Keras 3.13 wrote them, for it cannot read the .keras files of 3.15.
"""

import json
import pathlib
import shutil

import numpy as np
import pytest

from cvcourse import __main__ as command_line
from cvcourse import training

pytestmark = pytest.mark.usefixtures("forgotten")

BEFORE = pathlib.Path(__file__).parent / "run_directories" / "0.4.0"
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
TEXT = "".join(
    f"{a} times {b} is {(i + 1) * (j + 1)}.\n"
    for i, a in enumerate(NUMBERS)
    for j, b in enumerate(NUMBERS)
)
RUNS = {  # recipe: its flags, and the step after which it was interrupted
    "train": (
        (
            *("--model=mlp", "--model_args=hidden=8/", "--limit=100", "--epochs=3"),
            *("--augment=shift", "--dropout=0.2", "--average=ema", "--snapshots=1"),
        ),
        4,
    ),
    "transfer": (
        (
            *(
                "--model=lenet5",
                "--weights=own.keras",
                "--dataset=digits",
                "--limit=60",
                "--epochs=3",
            ),
            *("--method=gradual", "--classifier=softmax", "--no-control", "--augment=shift"),
            *("--batch_size=16", "--patience=2", "--cache_dir=features"),
        ),
        5,
    ),
    "char_lm": (
        (
            *("--text=text.txt", "--model=gru", "--units=8", "--embedding=4", "--window=16"),
            *("--batch_size=16", "--epochs=3", "--sample_length=20"),
        ),
        10,
    ),
    "translate": (
        (
            *("--units=8", "--embedding=4", "--dropout=0.3", "--examples=60", "--held_out=20"),
            *("--batch_size=20", "--epochs=3"),
        ),
        5,
    ),
}


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A function: puts a run of before into `run`, in a directory with the files it names."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(BEFORE / "own.keras", tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)

    def place(recipe, state):
        return shutil.copytree(BEFORE / recipe / state, tmp_path / "run")

    return place


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        *(
            pytest.param(
                name,
                [name, *flags, "--workdir=run"],
                marks=pytest.mark.slow if name == "char_lm" else (),  # see the last line
            )
            for name, (flags, _) in RUNS.items()
        ),
        ("train", ["resume", "run"]),
        ("char_lm", ["char_lm", "--workdir=run", "--prompt=two"]),
    ],
)
def test_an_unfinished_run_goes_on(recipe, words, begun, capsys):
    step = RUNS[recipe][1]
    run, finished = begun(recipe, "unfinished"), BEFORE / recipe / "finished"
    assert [int(path.name.split("-")[1]) for path in run.glob("checkpoints/*.npz")] == [step]
    assert command_line.main(words) == 0
    printed = capsys.readouterr().out
    assert "epoch 2/3" in printed and "epoch 1/3" not in printed

    rows = [training.read_history(path) for path in (run, finished)]
    for row, same in zip(*rows, strict=True):
        assert row == pytest.approx(same, rel=1e-4, abs=1e-5)
    models = sorted(path.relative_to(finished) for path in finished.rglob("*.keras"))
    assert models == sorted(path.relative_to(run) for path in run.rglob("*.keras"))
    for path in models:
        weights = [training.load_model(root / path)[0].get_weights() for root in (run, finished)]
        for one, same in zip(*weights, strict=True):
            np.testing.assert_allclose(one, same, rtol=1e-4, atol=1e-5, err_msg=path)
    metrics = [json.loads((root / "metrics.json").read_text()) for root in (run, finished)]
    assert metrics[0].keys() == metrics[1].keys()
    assert metrics[0]["best_epoch"] == metrics[1]["best_epoch"]


@pytest.mark.parametrize("recipe", RUNS)
def test_a_finished_run_says_so_and_does_nothing(recipe, begun, capsys):
    run = begun(recipe, "finished")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert command_line.main([recipe, *RUNS[recipe][0], "--workdir=run"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"run is finished: {json.dumps(metrics)}\n" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
