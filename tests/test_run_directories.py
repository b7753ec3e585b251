"""--workdir alone, `cvcourse resume` and `cvcourse runs`: what they read, and what they refuse."""

import itertools
import json
import pathlib
import shutil

import pytest
from cvcourse.recipes import runs, train, tune

from cvcourse import __main__ as command_line
from cvcourse import recipe
from cvcourse.errors import RunError, UsageError
from cvcourse.files import write_json

BEFORE = pathlib.Path(__file__).parent / "run_directories" / "0.4.0"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A function: copies a finished run of a recipe to a folder in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["cvcourse"])
    return lambda name, folder: shutil.copytree(BEFORE / name / "finished", tmp_path / folder)


def change(folder, **changes):
    """Change a run's config.json."""
    file = folder / "config.json"
    write_json(file, json.loads(file.read_text()) | changes)


def error(capsys, *argv):
    """The exit code and the line on standard error of a command."""
    code = command_line.main([*argv])
    return code, capsys.readouterr().err


def test_workdir_alone_is_of_the_recipe(place, capsys):
    """Fields that the other recipe lacks are not called wrong flags."""
    place("char_lm", "run")
    code, said = error(capsys, "train", "--workdir=run")
    assert code == 2
    assert said.startswith("cvcourse train: --workdir=run contains a run of char_lm, not of train;")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("{", "Expecting property name enclosed in double quotes"),
        ('{"recipe": ["train"]}', "its recipe is not a name"),
        ('{"recipe": "train", "sources": 3}', "its sources are not hashes by field"),
    ],
)
def test_a_damaged_config_is_one_line(place, capsys, words, reason):
    """Of one exit code, whoever reads it; it is no file of --config."""
    (place("train", "run") / "config.json").write_text(words)
    for argv in (["train", "--workdir=run"], ["resume", "run"]):
        code, said = error(capsys, *argv)
        assert code == 1
        assert said.startswith(f"cvcourse {argv[0]}: run/config.json is damaged: {reason}")
    assert [row["state"] for row in runs.main(runs.Config(".")).values()] == ["damaged"]


@pytest.mark.parametrize("finished", [True, False])
def test_a_part_of_a_run_goes_on_with_the_whole(place, capsys, tmp_path, finished):
    """A trial alone would leave files that its sweep does not expect."""
    whole, part = place("translate", "run"), place("train", "run/trials/0/run")
    if not finished:
        (part / "metrics.json").unlink()
    before = sorted(part.iterdir())
    for argv in (["train", f"--workdir={part}"], ["resume", "run/trials/0/run"]):
        code, said = error(capsys, *argv)
        assert code == 2
        assert f"is a part of the run in {whole}: resume it with `cvcourse resume {whole}`" in said
    assert sorted(part.iterdir()) == before
    (whole / "config.json").write_text('{"name": "of another program"}')
    (whole / "metrics.json").unlink()
    assert recipe.parse(train.Config, [f"--workdir={part}"]).model == "mlp"


def test_extend_is_not_taken_from_a_file(tmp_path):
    """Or a finished sweep that was once extended tries again what failed each time it is named."""
    config = tune.Config(trials=7, extend=True, workdir=str(tmp_path))
    write_json(tmp_path / "config.json", {"trials": 7, "extend": True})
    for flags in ([f"--workdir={tmp_path}"], [f"--config={tmp_path / 'config.json'}"]):
        found = recipe.parse(tune.Config, flags)
        assert (found.trials, found.extend) == (7, False)
    assert recipe.parse(tune.Config, [f"--workdir={tmp_path}", "--extend"]) == config


def test_workdir_and_free_flags_alone_take_the_config(tmp_path):
    write_json(tmp_path / "config.json", {"epochs": 2, "model_args": {"hidden": [4]}})
    alone = [f"--workdir={tmp_path}", "--checkpoint_minutes=2", "--data-dir=x"]
    found = recipe.parse(train.Config, alone)
    assert (found.epochs, found.model_args, found.data_dir) == (2, {"hidden": (4,)}, "x")
    assert recipe.parse(train.Config, [*alone, "--seed=1"]).epochs == train.Config.epochs
    assert recipe.parse(train.Config, [f"--workdir={tmp_path / 'new'}"]) == train.Config(
        workdir=str(tmp_path / "new")
    )


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("history.csv", "epoch,loss\n1,2,3\n"),
        ("history.csv", "epoch,loss\n1\n"),
        ("history.csv", "epoch,loss\n1,a\n"),
        ("history.csv", None),
        ("metrics.json", "[1]"),
        ("metrics.json", None),
        ("config.json", '{"recipe": "train", "models": 3}'),
    ],
)
def test_runs_lists_damaged_ones(place, capsys, file, text):
    """None means a folder; the other runs are listed."""
    path = place("train", "a") / file
    path.unlink(missing_ok=True)
    path.mkdir() if text is None else path.write_text(text)
    place("char_lm", "b")
    assert command_line.main(["runs", "."]) == 0
    _, damaged, sound = capsys.readouterr().out.splitlines()
    assert damaged.split()[0] == "a" and "damaged" in damaged
    assert sound.split()[0] == "b" and "finished" in sound


def test_a_check_is_finished_by_its_own_file(place):
    run = place("train", "run")
    (run / "metrics.json").rename(run / "check.json")
    change(run, recipe="check")
    (row,) = runs.main(runs.Config(".")).values()
    assert (row["recipe"], row["state"]) == ("check", "finished")


def test_a_run_that_a_process_holds_is_running(place):
    run = place("train", "run")
    (run / "metrics.json").unlink()
    with recipe.locked(run):
        assert [row["state"] for row in runs.main(runs.Config(".")).values()] == ["running"]
    assert [row["state"] for row in runs.main(runs.Config(".")).values()] == ["unfinished"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--monitor=val_accuracy", "--objective=val_loss"], "--monitor=val_accuracy"),
        (["--monitor=val_accuracy"], None),
        (["--objective=val_loss"], None),
    ],
)
def test_the_monitor_of_trials_is_the_objective(flags, words):
    """It was ignored where it was another."""
    if words is None:
        assert recipe.parse(tune.Config, flags).objective in ("val_accuracy", "val_loss")
    else:
        with pytest.raises(UsageError, match=f"{words} .* leave it out"):
            recipe.parse(tune.Config, flags)


def test_a_check_that_fails_ends_resume_as_it_ends_check(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cvcourse.recipes.check.main", lambda config: {"failed": ["memorize"]})
    write_json(tmp_path / "config.json", {"recipe": "check"})
    code, said = error(capsys, "resume", str(tmp_path))
    assert code == 1
    assert said.endswith("1 of 6 steps failed: memorize\n")


def test_a_refused_run_leaves_no_directory(tmp_path):
    """A directory that was there, or has results, stays."""
    config = train.Config(workdir=str(tmp_path / "run"))
    cases = itertools.product((False, True), (False, True), (UsageError, RunError))
    for before, result, kind in cases:
        if before:
            (tmp_path / "run").mkdir()
        with pytest.raises(kind), recipe.open_run(config, "train") as run:
            run.begin()
            if result:
                (run.path / "history.csv").touch()
            raise kind("the model has no map")
        assert (tmp_path / "run").exists() == (before or result)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
