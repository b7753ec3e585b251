"""Sweeps that are killed at any moment end as undisturbed ones."""

import csv
import dataclasses
import json
import pathlib
import random
import shlex
import sys

import pytest
from crash import started, survives
from cvcourse.recipes import tune

from cvcourse import recipe

pytestmark = pytest.mark.slow
KILLS = 8
SWEEPS = {
    "bayesian": dict(oracle="bayesian", trials=14),
    "hyperband": dict(oracle="hyperband", epochs=9),
    "coarse_to_fine": dict(protocol="coarse_to_fine", trials=14, epochs=9, stop="median"),
    "isolate": dict(isolate=True, trials=4, epochs=6),
    "workers": dict(workers=2, trials=20),
    "mixed_bfloat16": dict(precision="mixed_bfloat16", trials=14),
}


def command(config):
    """The words of `cvcourse tune`."""
    return [sys.executable, "-m", *shlex.split(recipe.command(config, "cvcourse tune"))]


def found(config):
    """What a sweep has found: its tables, without the seconds, and its best configs."""
    folder = pathlib.Path(config.workdir)
    tables = {}
    for path in sorted(folder.rglob("trials.csv")):
        with open(path, newline="") as file:
            rows = [{**row, "seconds": None} for row in csv.DictReader(file)]
        tables[str(path.relative_to(folder))] = rows
    best = {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in folder.rglob("best.json")
    }
    return tables, best


@pytest.mark.parametrize("kind", SWEEPS)
def test_a_killed_sweep_ends_as_an_undisturbed_one(tmp_path, kind):
    settings = {"model": "lenet5", "limit": 100, "epochs": 4, "vary": ("learning_rate",)}
    settings |= {"stop": "none"} | SWEEPS[kind]
    peace = tune.Config(workdir=str(tmp_path / "peace"), **settings)
    war = dataclasses.replace(peace, workdir=str(tmp_path / "war"))
    survives(command(peace), [])
    rng = random.Random(kind)
    kills, _ = survives(command(war), [rng.uniform(3, 13) for _ in range(KILLS)])
    tables, _ = found(war)
    trials = [row for rows in tables.values() for row in rows]
    print(f"{kind}: {kills} kills, {len(trials)} trials")
    assert found(war) == found(peace)
    assert {row["status"] for row in trials} <= {"completed", "stopped early"}


def test_of_two_sweeps_in_one_directory_one_runs(tmp_path):
    config = tune.Config(
        model="linear", limit=100, epochs=4, trials=4, workdir=str(tmp_path / "sweep")
    )
    processes = [started(command(config)) for _ in range(2)]
    outputs = [process.communicate() for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 1]
    _, errors = outputs[codes.index(1)]
    assert errors.count("\n") == 1
    assert "another process is running in" in errors
    tables, best = found(config)
    assert [row["trial"] for row in tables["trials.csv"]] == list("0123")
    assert [*best] == ["best.json"]
