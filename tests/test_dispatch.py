"""The first words of a command line: recipes and benchmarks by name."""

import pathlib
import subprocess
import sys

import pytest

from cvcourse import recipe
from cvcourse.__main__ import main, recipes

ROOT = pathlib.Path(__file__).parents[1]
BENCHMARKS = [
    "compression",
    "distribution",
    "export",
    "features",
    "filter_pruning",
    "nearest_neighbors",
    "networks",
    "sequence",
    "train",
    "tune",
    "visualization",
]


def test_bench_lists_the_benchmarks(capsys):
    assert main(["bench", "--help"]) == 0
    usage, _, title, *rows = capsys.readouterr().out.splitlines()
    assert usage.startswith("usage: cvcourse bench BENCHMARK [--flags]")
    assert title == "benchmarks:"
    assert [row.split()[0] for row in rows] == BENCHMARKS
    assert all(len(row.split()) > 3 for row in rows)


def test_bench_without_a_name_is_that_of_train(monkeypatch):
    """As before there were several."""
    monkeypatch.setattr("cvcourse.recipes.benchmarks.train.cli", lambda argv: argv)
    assert main(["bench"]) == []
    assert main(["bench", "--rounds=3"]) == ["--rounds=3"]


def test_benchmarks_are_no_recipes():
    assert "bench" in recipes()
    assert [name for name in recipes() if name.startswith("bench_")] == []


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (
            ["bench_networks", "--rounds=3"],
            "cvcourse: bench_networks is now `cvcourse bench networks`",
        ),
        (["bench", "nets"], "cvcourse bench: unknown benchmark 'nets': did you mean 'networks'?"),
        (["bench_nets"], "cvcourse: unknown recipe 'bench_nets': did you mean 'bench'?"),
        (
            ["bench", "tune", "--seeds=0"],
            "bench tune: --seeds expects a whole number of at least 1",
        ),
        # As before there were several: flags of the one of `train`.
        (["bench", "--rounds=0"], "bench train: --rounds expects a whole number of at least 1"),
    ],
)
def test_what_is_refused_in_one_line(argv, line, capsys):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert line in err


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["bench", name, "--help"])
    assert stop.value.code == 0
    assert f"    cvcourse bench {name}\n" in capsys.readouterr().out


def test_a_benchmark_runs_as_a_script():
    script = [sys.executable, "recipes/benchmarks/networks.py", "--rounds=0"]
    ran = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    message = "--rounds expects a whole number of at least 1; received 0"
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"python recipes/benchmarks/networks.py: {message}\n"


@pytest.mark.parametrize(
    ("script", "program"),
    [
        ("recipes/benchmarks/tune.py", "python recipes/benchmarks/tune.py"),
        ("/somewhere/cvcourse/__main__.py", "python -m cvcourse bench tune"),
        (".venv-absent/bin/cvcourse", ".venv-absent/bin/cvcourse bench tune"),
    ],
)
def test_program_of_two_words(script, program, monkeypatch):
    monkeypatch.setattr(sys, "argv", [script])
    monkeypatch.setenv("PATH", "")
    assert recipe.program("bench tune") == program
