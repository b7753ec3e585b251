"""Flags, config files, run directories and exit codes: nothing here imports Keras."""

import dataclasses
import functools
import importlib
import io
import json
import os
import random
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from cvcourse.recipes import char_lm, train

import cvcourse
from cvcourse import recipe
from cvcourse.__main__ import recipes
from cvcourse.errors import Interrupted, RunError, UsageError
from cvcourse.files import set_aside, write_bytes, write_json
from cvcourse.recipe import semantics


@dataclasses.dataclass(frozen=True)
class Config:
    """One field of each kind."""

    steps: int = recipe.field(3, "steps", least=1)
    rate: float = recipe.field(0.1, "rate", above=0, below=1)
    net: str = recipe.field("mlp", "net", vouched=True)
    mode: str = recipe.field("slow", "mode", choices=("slow", "fast"))
    patience: int | None = recipe.field(None, "patience", least=1)
    sizes: tuple[int, ...] = recipe.field((8, 4), "sizes", least=1)
    augment: tuple[str, ...] | None = recipe.field(None, "augment", choices=("crop", "flip"))
    knobs: dict = recipe.field({}, "knobs")
    dry_run: bool = recipe.field(False, "dry")
    epochs: int = recipe.field(2, "epochs", least=1)
    workdir: str | None = recipe.field(None, "workdir", free=True)
    extend: bool = recipe.field(False, "extend", free=True)


def parse(*flags):
    return recipe.parse(Config, list(flags), prog="cvcourse test")


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        (["--steps=5"], "steps", 5),
        (["--steps", "5"], "steps", 5),
        (["--rate=1e-3"], "rate", 1e-3),
        (["--patience=4"], "patience", 4),
        (["--patience=none"], "patience", None),
        (["--sizes=1,2,3"], "sizes", (1, 2, 3)),
        (["--sizes=none"], "sizes", ()),
        (["--augment=auto"], "augment", None),
        (["--augment=none"], "augment", ()),
        (["--augment=crop,flip"], "augment", ("crop", "flip")),
        (
            ["--knobs=width=0.25,depths=1/1,one=3/,shortcut=B,bias=true"],
            "knobs",
            {"width": 0.25, "depths": (1, 1), "one": (3,), "shortcut": "B", "bias": True},
        ),
        (
            ["--knobs=stages=(64/)/(1/2),one=(3/)/"],
            "knobs",
            {"stages": ((64,), (1, 2)), "one": ((3,),)},
        ),
        (["--dry_run"], "dry_run", True),
        (["--dry-run"], "dry_run", True),
        (["--dry_run", "--no-dry_run"], "dry_run", False),
        (["--steps=4", "--steps=6"], "steps", 6),
    ],
)
def test_flags(flags, field, value):
    config = parse(*flags)
    assert getattr(config, field) == value
    assert dataclasses.replace(config, **{field: getattr(Config(), field)}) == Config()
    assert parse(*shlex.split(recipe.command(config, "x"))[1:]) == config


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--step=5"], "unknown flag '--step': did you mean '--steps'?"),
        (["extra"], "unknown flag 'extra'"),
        (["--steps=0"], "--steps expects a whole number of at least 1; received 0"),
        (["--steps=2.5"], "--steps expects a whole number of at least 1; received '2.5'"),
        (["--steps="], "--steps expects a whole number"),
        (["--steps"], "expected one argument"),
        (["--steps=1" + 30 * "0"], "--steps must not exceed 4294967296; received 1000000"),
        (["--rate=1"], "--rate expects a number above 0 and below 1; received 1.0"),
        (["--rate=nan"], "--rate expects a number above 0 and below 1; received nan"),
        (["--rate=inf"], "received inf"),
        (["--mode=fats"], "unknown --mode 'fats': did you mean 'fast'?"),
        (["--augment=crop,filp"], "unknown --augment 'filp': did you mean 'flip'?"),
        (
            ["--sizes=1,x"],
            "--sizes expects a whole number of at least 1, or several separated by commas",
        ),
        (["--knobs=width"], "expected name=value pairs separated by commas; received 'width'"),
        (
            ["--knobs=sizes=((1,2))"],
            "received 'sizes=((1'. Tuples have slashes: 1/2, and (1/2)/(3/)",
        ),
        (["--dry_run=yes"], "ignored explicit argument 'yes'"),
        (
            ["--knobs=width=1e400"],
            "numbers in --knobs must not exceed 4294967296; received {'width': inf}",
        ),
        (["--knobs=width=nan"], "numbers in --knobs must not exceed 4294967296"),
        (["--knobs=depths=1/" + 400 * "9"], "numbers in --knobs must not exceed 4294967296"),
        (["--steps=" + 5000 * "9"], "--steps expects a whole number"),
        (["--config=absent.json"], "--config: cannot read absent.json: No such file"),
        (["--config=/dev/zero"], "--config: /dev/zero is a device, not a regular file"),
    ],
)
def test_wrong_flags(flags, message):
    with pytest.raises(UsageError) as error:
        parse(*flags)
    assert message in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "config", [Config(steps="3"), Config(steps=True), Config(sizes=["1"]), Config(rate=2)]
)
def test_configs_made_in_python_are_checked_too(config):
    with pytest.raises(UsageError, match="expects"):
        recipe.check(config)


def test_what_a_notebook_writes_is_taken(tmp_path):
    given = Config(
        steps=np.int64(5),
        sizes=[1, 2],
        augment=["flip"],
        knobs={"depths": [1, 1]},
        workdir=tmp_path,
    )
    plain = recipe.check(given)
    assert plain == Config(
        steps=5, sizes=(1, 2), augment=("flip",), knobs={"depths": (1, 1)}, workdir=str(tmp_path)
    )
    assert parse(*shlex.split(recipe.command(plain, "x"))[1:]) == plain


def test_a_path_that_is_no_text_is_refused():
    with pytest.raises(UsageError, match="--workdir expects a name"):
        parse("--workdir=caf\udce9")


def test_config_file_and_flags_that_override_it(tmp_path):
    file = tmp_path / "config.json"
    old = Config(steps=9, sizes=(1,), knobs={"depths": (2, 2)}, workdir="elsewhere")
    file.write_text(json.dumps(dataclasses.asdict(old)))
    expected = dataclasses.replace(old, rate=0.5, workdir=None)
    assert parse(f"--config={file}", "--rate=0.5") == expected
    file.write_text('{"stesp": 1}')
    with pytest.raises(UsageError, match=r"unknown field 'stesp': did you mean 'steps'\?"):
        parse(f"--config={file}")


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00\xff", '{"steps": "many"}', '{"knobs": 3}'])
def test_hostile_config_files(tmp_path, text):
    (tmp_path / "c.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError):
        parse(f"--config={tmp_path / 'c.json'}")


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("rate", 400 * "9", "--rate expects a number above 0 and below 1; received 9999"),
        ("steps", 400 * "9", "--steps must not exceed 4294967296; received 9999"),
        ("knobs", '{"width": ' + 400 * "9" + "}", "numbers in --knobs must not exceed 4294967296"),
        ("knobs", '{"a": ' + 20 * "[" + 20 * "]" + "}", "--knobs accepts nested lists up to 8"),
        ("knobs", '{"a": ' + 900 * "[" + 900 * "]" + "}", "is nested more than 32 levels deep"),
    ],
)
def test_huge_numbers_and_deep_nesting_in_config_files(tmp_path, field, text, message):
    (tmp_path / "c.json").write_text(f'{{"{field}": {text}}}')
    with pytest.raises(UsageError) as error:
        parse(f"--config={tmp_path / 'c.json'}")
    assert message in str(error.value)
    assert len(str(error.value)) < 300


def test_fuzzed_flags_parse_or_say_one_clear_line():
    """A thousand random command lines of `train`: a config that passes its check, or UsageError."""
    rng = random.Random(231)
    names = [f.name for f in dataclasses.fields(train.Config)] + ["config", "x", "", "seed "]
    values = [
        "1",
        "-1",
        "0",
        "1e400",
        "nan",
        "none",
        "auto",
        "",
        "a=b",
        "=",
        ",",
        "/",
        "💥",
        "crop",
        "1,2",
        "--",
        "true",
    ]
    parsed = 0
    for _ in range(1000):
        argv = [f"--{rng.choice(names)}={rng.choice(values)}" for _ in range(rng.randint(0, 3))]
        argv += rng.choices(["", "-", "--", "--limit", "word"], k=rng.randint(0, 1))
        try:
            recipe.check(recipe.parse(train.Config, argv, prog="x"))
            parsed += 1
        except UsageError as error:
            assert str(error).strip() and "\n" not in str(error)
    assert 50 < parsed < 950


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (None, 0, ""),
        (UsageError("wrong"), 2, "wrong"),
        (RunError("two\nlines"), 1, "two lines"),
        (Interrupted("go on"), 130, "go on"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero (--debug shows where)"),
    ],
)
def test_exit_codes(error, code, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest"])

    def main(config):
        if error:
            raise error

    assert recipe.run(main, Config, [], name="test") == code
    assert capsys.readouterr().err == (f"cvcourse test: {said}\n" if said else "")
    recipe.run(main, Config, ["--debug"], name="test")
    assert ("Traceback" in capsys.readouterr().err) == (error is not None)


def run_in(path, **settings):
    return Config(workdir=str(path), **settings)


METRICS = {"test_accuracy": 0.5, "versions": {"python": "3.11"}, "machine": "2 CPU cores"}


def finish(path, **changes):
    """Write the metrics of a run, which say that it is finished."""
    write_json(path / "metrics.json", METRICS | changes)


def begin(config):
    """What a recipe does with its run's directory before it works in it."""
    with recipe.open_run(config, "x") as run:
        run.begin()
    return run.config


def test_workdir_is_made_once_and_recognized(tmp_path):
    config = begin(run_in(tmp_path / "a" / "b"))
    assert recipe.finished_metrics(config, "x") is None
    finish(tmp_path / "a" / "b")
    assert recipe.finished_metrics(config, "x") == METRICS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 4, "rate": 0.2}, "rate (there 0.1, here 0.2), steps (there 3, here 4)"),
        ({"epochs": 3}, "epochs (there 2, here 3); because"),
        ({"epochs": 1, "extend": True}, "epochs (there 2, here 1)"),
        ({"epochs": 3, "extend": True}, "--extend: because"),
    ],
)
def test_another_config_is_refused(tmp_path, change, message):
    config = begin(run_in(tmp_path))
    other = dataclasses.replace(config, **change)
    with pytest.raises(UsageError) as error:
        recipe.finished_metrics(other, "x", fixed="because")
    assert message in str(error.value)
    assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 2


def test_the_run_of_another_recipe_is_refused_by_name(tmp_path):
    config = begin(run_in(tmp_path))
    with pytest.raises(UsageError, match="contains a run of x, not of train; choose another"):
        recipe.finished_metrics(config, "train")
    assert (
        json.loads((tmp_path / "config.json").read_text()).items()
        >= {
            "recipe": "x",
            "version": cvcourse.__version__,
            "semantics": semantics.SEMANTICS,
        }.items()
    )


def rewrite(path, **changes):
    """Change a run's config.json; None takes a field away."""
    values = json.loads((path / "config.json").read_text()) | changes
    kept = {key: value for key, value in values.items() if value is not None}
    write_json(path / "config.json", kept)


@pytest.fixture(scope="module")
def configs():
    """The Config of each recipe."""
    modules = [importlib.import_module(f"cvcourse.recipes.{name}") for name in recipes()]
    found = [module.Config for module in modules if hasattr(module, "Config")]
    assert len(found) > 10
    return found


def test_a_recipe_with_cyclic_schedules_takes_their_cycles(configs):
    """And the settings of the other schedules, for which another recipe offers flags."""
    offered = [c for c in map(recipe.fields.fields, configs) if "schedule" in c]
    cyclic = [c for c in offered if "cosine_restarts" in c["schedule"].rules["choices"]]
    assert len(cyclic) > 5
    for settings in ("cycles", "milestones", "factor", "warmup_epochs"):
        assert all(settings in c for c in cyclic)


def test_the_help_of_a_flag_is_a_phrase(configs):
    """Choices and the default follow it."""
    for config in configs:
        for name, spec in recipe.fields.fields(config).items():
            text = spec.rules["help"]
            assert not text.endswith((".", ":", ";")), (config, name)
            assert text[0].islower() or text.split()[0][:2].isupper(), (config, name)


def test_no_recipe_has_a_field_of_the_name_of_what_config_json_holds_beside_them(configs):
    assert [c for c in configs if semantics.FIRST.keys() & set(recipe.fields.fields(c))] == []
    assert len(semantics.CHANGES) == semantics.SEMANTICS - 1


def test_a_field_that_a_run_lacks_has_its_default(tmp_path):
    config = begin(run_in(tmp_path))
    rewrite(tmp_path, rate=None, steps=None)
    assert recipe.finished_metrics(config, "x") is None
    with pytest.raises(UsageError, match=r"differs in rate \(there 0\.1, here 0\.2\);"):
        recipe.finished_metrics(dataclasses.replace(config, rate=0.2), "x")


def test_a_field_that_only_another_version_knows_is_refused(tmp_path):
    config = begin(run_in(tmp_path, net="there/a.npz"))
    rewrite(tmp_path, mood="good", version="7.1")
    message = (
        r"contains another run, started by version 7\.1: x has no mood in this version; choose"
    )
    with pytest.raises(UsageError, match=message):
        recipe.finished_metrics(config, "x")
    with pytest.raises(UsageError, match=r"\(version 7\.1 wrote it\): unknown field 'mood'"):
        parse(f"--config={tmp_path / 'config.json'}")


@dataclasses.dataclass(frozen=True)
class Renamed(recipe.WorkdirFields):
    """Two fields that had other names, one of them a file of source code."""

    num_beams: int = recipe.field(3, "beams", least=1, renamed_from="beams")
    builder: str = recipe.field("mlp", "builder", source=True, renamed_from="model")


def test_a_run_with_former_names_goes_on_without_a_difference(tmp_path):
    config = begin(Renamed(workdir=str(tmp_path), num_beams=5))
    rewrite(tmp_path, num_beams=None, builder=None, beams=5, model="mlp")
    assert recipe.finished_metrics(config, "x") is None
    with pytest.raises(UsageError, match=r"differs in num_beams \(there 5, here 4\);"):
        recipe.finished_metrics(dataclasses.replace(config, num_beams=4), "x")
    assert recipe.parse(Renamed, [f"--workdir={tmp_path}"]) == config
    begin(config)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["num_beams"] == 5 and not {"beams", "model"} & values.keys()


def test_a_source_file_of_a_renamed_field_is_the_same(tmp_path):
    (tmp_path / "net.py").write_text("def tiny(): ...")
    config = begin(Renamed(workdir=str(tmp_path / "run"), builder=f"{tmp_path}/net.py:tiny"))
    values = json.loads((tmp_path / "run" / "config.json").read_text())
    sources = {"model": values["sources"]["builder"]}
    rewrite(tmp_path / "run", builder=None, model=values["builder"], sources=sources)
    assert recipe.finished_metrics(config, "x") is None


def test_former_names_in_files(tmp_path):
    file = tmp_path / "best.json"
    write_json(file, {"beams": 5})
    assert recipe.parse(Renamed, [f"--config={file}"]).num_beams == 5
    assert recipe.parse(Renamed, [f"--config={file}", "--num_beams=2"]).num_beams == 2
    assert recipe.load_config(file, Renamed) == Renamed(num_beams=5)
    write_json(file, {"beams": 5, "num_beams": 6})
    message = rf"^{file} has beams and num_beams, its new name: remove beams$"
    with pytest.raises(UsageError, match=message):
        recipe.load_config(file, Renamed)


def test_former_names_of_flags(capsys):
    assert recipe.parse(Renamed, ["--beams=5"]) == Renamed(num_beams=5)
    assert capsys.readouterr().err == "--beams is now called --num_beams\n"
    message = "--beams is now called --num_beams; received both: leave out --beams"
    with pytest.raises(UsageError, match=message):
        recipe.parse(Renamed, ["--num-beams=5", "--beams=5"])
    with pytest.raises(UsageError, match=r"--num_beams expects a whole number .*; received '2\.5'"):
        recipe.parse(Renamed, ["--beams=2.5"])
    assert capsys.readouterr().err == "--beams is now called --num_beams\n"
    with pytest.raises(SystemExit):
        recipe.parse(Renamed, ["--help"])
    assert "--num_beams" in (text := capsys.readouterr().out) and "--beams" not in text


def test_a_former_name_of_a_switch(capsys):
    @dataclasses.dataclass(frozen=True)
    class Switch:
        use_test: bool = recipe.field(True, "test", renamed_from="test_it")

    assert recipe.parse(Switch, ["--no-test_it"]) == Switch(use_test=False)
    assert recipe.parse(Switch, ["--test-it"]) == Switch()
    assert capsys.readouterr().err == 2 * "--test_it is now called --use_test\n"


def test_a_former_name_in_python_warns():
    with pytest.warns(FutureWarning, match=r"Renamed: beams is now called num_beams;"):
        assert Renamed(beams=5) == Renamed(num_beams=5)
    message = "received beams and num_beams, its new name: leave out beams"
    for make in (Renamed, functools.partial(dataclasses.replace, Renamed())):
        with pytest.raises(TypeError, match=message):
            make(beams=5, num_beams=5)


def test_a_class_beneath_keeps_former_names():
    @dataclasses.dataclass(frozen=True)
    class Beneath(Renamed):
        num_beams: int = 4
        builder: str = recipe.field("cnn", "another help")

    assert recipe.parse(Beneath, ["--beams=5", "--model=a"]) == Beneath(num_beams=5, builder="a")


def test_load_config_finds_the_class(tmp_path):
    run = tmp_path / "run"
    begun = {"recipe": "char_lm", "version": "0.4.0", "semantics": 3}
    write_json(run_file := tmp_path / "config.json", begun | {"units": 7, "workdir": "x"})
    assert recipe.load_config(tmp_path) == recipe.load_config(str(run_file))
    config = recipe.load_config(tmp_path)
    assert (type(config), config.units, config.workdir) == (char_lm.Config, 7, None)
    assert recipe.parse(char_lm.Config, [f"--config={tmp_path}"]) == config
    write_json(tmp_path / "best.json", {"model_args": {"depths": [1, 1]}, "extend": True})
    best = recipe.load_config(tmp_path / "best.json")
    assert best == train.Config(model_args={"depths": (1, 1)})
    with pytest.raises(UsageError, match=f"^cannot read {run}: No such file or directory$"):
        recipe.load_config(run)
    with pytest.raises(UsageError, match=r"unknown field 'units'"):
        recipe.load_config(tmp_path, train.Config)
    for name in ("x", "train.x", ["train"], "bench"):
        write_json(tmp_path / "config.json", begun | {"recipe": name})
        with pytest.raises(UsageError, match=r"names an unknown recipe: .*; give config_class"):
            recipe.load_config(tmp_path)


@pytest.mark.parametrize(
    ("version", "number", "message"),
    [
        (
            None,
            None,
            r"version 0\.1\.0 started it, .*photos are rotated.*: install version 0\.1\.0 to",
        ),
        (
            "0.0.9",
            1,
            r"version 0\.0\.9 started it, .*every class; CIFAR .*: install version 0\.1\.0 to",
        ),
        (
            "0.2.0",
            2,
            r"version 0\.2\.0 started it, .*\(since then CIFAR .*: install version 0\.2\.0 to",
        ),
        (
            "7.1",
            99,
            r"version 7\.1 started it, in which settings .*: install version 7\.1 to resume",
        ),
    ],
)
def test_an_unfinished_run_that_means_something_else_is_refused(tmp_path, version, number, message):
    config = begin(run_in(tmp_path))
    longer = dataclasses.replace(config, epochs=3, extend=True)
    rewrite(tmp_path, version=version, semantics=number)
    with pytest.raises(
        UsageError, match=f"^--workdir={tmp_path} contains an unfinished run: {message}"
    ):
        recipe.finished_metrics(config, "x")
    with pytest.raises(UsageError, match=f"--extend: {message}"):
        recipe.finished_metrics(longer, "x")
    finish(tmp_path)
    assert recipe.finished_metrics(config, "x") == METRICS
    with pytest.raises(UsageError, match=message):
        recipe.finished_metrics(longer, "x")
    with pytest.raises(UsageError, match=rf"epochs \(there 2, here 3\); {message}"):
        recipe.finished_metrics(dataclasses.replace(longer, extend=False), "x")
    assert parse(f"--config={tmp_path / 'config.json'}").epochs == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"test_accuracy": 1.5}, "its test_accuracy is 1.5"),
        ({"test_accuracy": float("nan")}, "its test_accuracy is nan"),
        ({"val_loss": float("inf")}, "its val_loss is inf"),
        ({"rows": {"single": {"accuracy": [0.5, -1]}}}, "its accuracy is -1"),
        ({"versions": None}, "it has no versions"),
        ({"seed": 3}, "its seed is 3, not 0"),
    ],
)
def test_metrics_that_no_run_has_are_not_trusted(tmp_path, changes, reason):
    @dataclasses.dataclass(frozen=True)
    class Seeded(Config):
        seed: int = recipe.field(0, "seed")

    config = begin(Seeded(workdir=str(tmp_path)))
    finish(tmp_path, seed=0)
    assert recipe.finished_metrics(config, "x") == METRICS | {"seed": 0}
    kept = METRICS | changes
    write_json(tmp_path / "metrics.json", {k: v for k, v in kept.items() if v is not None})
    message = f"{tmp_path / 'metrics.json'} is damaged: {reason}; remove it, and the same command"
    with pytest.raises(RunError, match=f"^{re.escape(message)}"):
        recipe.finished_metrics(config, "x")


def test_more_epochs_are_offered_where_they_can_be_had(tmp_path):
    longer = dataclasses.replace(begin(run_in(tmp_path)), epochs=3)
    with pytest.raises(UsageError, match=r"\(there 2, here 3\); --extend allows more epochs"):
        recipe.finished_metrics(longer, "x")


def test_files_may_have_moved_while_the_run_is_unfinished(tmp_path):
    config = begin(run_in(tmp_path, net="there/a.npz"))
    moved = dataclasses.replace(config, net="here/a.npz")
    assert recipe.finished_metrics(moved, "x") is None
    with pytest.raises(UsageError, match="net"):
        recipe.finished_metrics(dataclasses.replace(config, net="mnist"), "x")
    finish(tmp_path)
    with pytest.raises(UsageError, match=r"there/a\.npz"):
        recipe.finished_metrics(moved, "x")


def test_extension_reopens_a_finished_run(tmp_path):
    config = begin(run_in(tmp_path))
    finish(tmp_path)
    longer = dataclasses.replace(config, epochs=5, extend=True)
    assert recipe.finished_metrics(longer, "x") is None
    begin(longer)
    assert not (tmp_path / "metrics.json").exists()
    assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 5


def test_foreign_directories_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"it contains thesis\.tex"):
        recipe.finished_metrics(run_in(tmp_path), "x")


@pytest.mark.parametrize("text", ["{", "", "[]", "{}", "null", "[" * 100_000, '{"a": "\xff"}'])
@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_hostile_files_in_a_workdir(tmp_path, name, text):
    begin(run_in(tmp_path))
    finish(tmp_path)
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    remedy = {"config.json": "choose another directory", "metrics.json": "remove it"}[name]
    with pytest.raises(RunError, match=f"^{tmp_path / name} is damaged: .*; {remedy}"):
        recipe.finished_metrics(run_in(tmp_path), "x")


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_what_is_no_file_in_a_workdir(tmp_path, name):
    begin(run_in(tmp_path))
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).mkdir()
    with pytest.raises(RunError, match=f"^{tmp_path / name} is a directory, not a regular file; "):
        recipe.finished_metrics(run_in(tmp_path), "x")
    (tmp_path / name).rmdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(RunError, match=f"^{tmp_path / name} is a pipe, not a regular file; "):
        recipe.finished_metrics(run_in(tmp_path), "x")


def test_a_lock_that_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(RunError, match=r"\.lock is a pipe, not a regular file"):
        begin(run_in(tmp_path))


def test_unwritable_workdir(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write to"):
        begin(run_in(tmp_path / "file" / "run"))


def test_fresh_directories_never_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = set()
    for _ in range(5):
        with recipe.open_run(Config(), "train", "lenet5", "some/folder.npz") as run:
            made.add(run.config.workdir)
    assert len(made) == 5
    assert all(path.startswith("runs/train-lenet5-folder-") for path in made)


def test_a_second_process_is_kept_out(tmp_path):
    """And has changed nothing, though it came when the directory was still empty."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); import test_recipe as t\n"
        "t.begin(t.run_in(sys.argv[1], epochs=7))"
    )
    other = [sys.executable, "-c", code, tmp_path, os.path.dirname(__file__)]
    with recipe.open_run(run_in(tmp_path), "x") as run:
        ran = subprocess.run(other, capture_output=True, text=True)
        assert "another process is running in" in ran.stderr
        assert not (tmp_path / "config.json").exists()
        run.begin()
        assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 2
    ran = subprocess.run(other, capture_output=True, text=True)
    assert "epochs (there 2, here 7)" in ran.stderr


def test_a_run_that_was_finished_meanwhile_is_not_begun_again(tmp_path):
    config = begin(run_in(tmp_path))
    finish(tmp_path)
    with pytest.raises(RunError, match="another process has just finished"):
        begin(config)
    assert (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(("words", "said"), [((), "interrupted"), (("terminated",),) * 2])
def test_an_interruption_names_the_command_that_goes_on(tmp_path, words, said):
    said = f"^{''.join(said)}; resume with: .*--workdir={tmp_path}"
    with pytest.raises(Interrupted, match=said), recipe.open_run(run_in(tmp_path), "x"):
        raise KeyboardInterrupt(*words)


def test_a_part_of_a_run_names_the_command_of_the_whole(tmp_path, capsys):
    """Of the parts' own commands none goes on with the whole."""
    with recipe.open_run(run_in(tmp_path / "whole"), "x") as whole:
        with (
            recipe.subrun("one", whole.command),
            recipe.open_run(run_in(tmp_path / "one"), "y") as one,
        ):
            assert one.command == whole.command
        with (
            pytest.raises(Interrupted, match=rf"^stopped in two; resume with: {whole.command}$"),
            recipe.subrun("two", "another command"),
        ):
            raise KeyboardInterrupt
    assert capsys.readouterr().out.count(f"interruption: {whole.command}\n") == 2
    assert recipe.whole_command() is None
    with recipe.open_run(run_in(tmp_path / "one"), "y") as alone:
        assert alone.command.endswith(f"--workdir={tmp_path / 'one'}")


@pytest.mark.parametrize(
    ("raised", "cause", "expected"),
    [
        (OSError(28, "No space left on device", "log.txt"), None, "cannot write log.txt: No space"),
        (OSError(28, "No space left on device"), None, "cannot write: No space left on device; m"),
        (RunError("cannot write a"), OSError(13, "Permission denied"), "cannot write a; resume"),
    ],
)
def test_a_full_disk_is_one_line_with_the_command_of_the_whole(tmp_path, raised, cause, expected):
    with (
        pytest.raises(RunError) as error,
        recipe.open_run(run_in(tmp_path / "whole"), "x") as whole,
        recipe.open_run(run_in(tmp_path / "part"), "y"),
    ):
        try:
            if cause:
                raise cause
        finally:
            raise raised
    assert str(error.value).startswith(expected)
    assert str(error.value).split("; ", 1)[1].endswith(f"resume with: {whole.command}")
    assert str(error.value).count("resume with") == 1


def test_an_error_that_is_not_of_the_disk_is_left_as_it_is(tmp_path):
    for raised in (RunError("all trials failed"), OSError(2, "No such file or directory")):
        with (
            pytest.raises(type(raised)) as error,
            recipe.open_run(run_in(tmp_path), "x"),
        ):
            raise raised
        assert error.value is raised


def test_extend_goes_on_with_a_finished_run_where_the_recipe_can(tmp_path):
    begin(run_in(tmp_path))
    finish(tmp_path)
    extended = run_in(tmp_path, extend=True)
    look = functools.partial(recipe.finished_metrics, recipe="x")
    good = functools.partial(look, again=lambda metrics: metrics["test_accuracy"] < 0.6)
    assert good(run_in(tmp_path)) == METRICS
    assert good(extended) is None
    assert look(extended) == look(extended, again=lambda metrics: False) == METRICS
    with pytest.raises(UsageError, match=r"^--extend: in stages$"):
        good(extended, fixed="in stages")


def test_what_is_set_aside_is_kept_and_said(tmp_path, capsys):
    for number in range(2):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "file").write_text(f"{number}")
        set_aside(tmp_path / "run", "it is another's")
    assert (tmp_path / "run.damaged" / "file").read_text() == "0"
    assert (tmp_path / "run.damaged.damaged" / "file").read_text() == "1"
    assert capsys.readouterr().err.splitlines()[0] == "it is another's: set aside as run.damaged"


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_printed_commands_survive_a_shell():
    import shlex

    config = Config(net="a b'c", knobs={"x": (1,)}, workdir="run $HOME; rm")
    assert parse(*shlex.split(recipe.command(config, "python 'my recipes/train.py'"))[2:]) == config


@pytest.mark.parametrize(
    ("script", "program"),
    [
        ("recipes/train.py", "python recipes/train.py"),
        ("/somewhere/cvcourse/__main__.py", "python -m cvcourse train"),
        (".venv-absent/bin/cvcourse", ".venv-absent/bin/cvcourse train"),
        ("ipykernel_launcher.py", "cvcourse train"),
    ],
)
def test_program_is_what_the_user_called(script, program, monkeypatch):
    monkeypatch.setattr(sys, "argv", [script])
    monkeypatch.setenv("PATH", "")
    assert recipe.program("train") == program


def command(*words):
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cvcourse", *words],
        capture_output=True,
        text=True,
    )


PRINTS = r"""
import dataclasses, pathlib, sys
from cvcourse import recipe

@dataclasses.dataclass(frozen=True)
class Config:
    file: str = recipe.field("done", "file")

def main(config):
    for number in range(3):
        print("Gr\xf6\xdfe \u732b", flush=True)
        print("\u2026", file=sys.stderr, flush=True)
    pathlib.Path(config.file).touch()

sys.exit(recipe.run(main, Config, name="prints"))
"""


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_run_outlives_the_reader_of_its_output(closed, environment, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-c", PRINTS, f"--file={tmp_path / 'done'}"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, closed: writing},
    )
    os.close(writing)
    assert (ran.returncode, (tmp_path / "done").exists()) == (0, True)
    read = (ran.stdout or b"") + (ran.stderr or b"")
    assert read.decode() == 3 * {"stdout": "…\n", "stderr": "Größe 猫\n"}[closed]


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"]])
def test_a_command_whose_output_nobody_reads(words):
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "cvcourse", *words], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", rb"Gr\xf6\xdfe \u732b"),
        ("cp1252", b"Gr\xf6\xdfe " + rb"\u732b"),
        ("utf-8", "Größe 猫".encode()),
    ],
)
def test_what_a_terminal_lacks_is_printed_as_its_escape(encoding, printed, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", PRINTS, f"--file={tmp_path / 'done'}"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert (ran.returncode, ran.stdout.split(b"\n")[0]) == (0, printed)


def test_help_is_printed_without_a_locale():
    ran = subprocess.run(
        [sys.executable, "-m", "cvcourse", "--help"],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert " train Train a network" in " ".join(ran.stdout.split())


@pytest.mark.parametrize("argv", [[], None])
def test_streams_of_a_notebook_or_a_caller_stay_as_they_are(argv, tmp_path, monkeypatch):
    """Only the process of a command has its own made tolerant."""
    with open(tmp_path / "out", "w", encoding="ascii") as out:
        notebook = io.TextIOWrapper(io.BytesIO(), "ascii")
        monkeypatch.setattr(sys, "argv", ["x"])
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", notebook)
        assert recipe.run(lambda config: print("1"), Config, argv, name="x") == 0
        assert notebook.errors == "strict"
        assert out.errors == ("strict" if argv == [] else "backslashreplace")


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "--help"], ["train", "--bogus"], ["trian"]]
)
def test_nothing_heavy_is_imported_before_the_flags_are_parsed(words):
    imported = command(*words).stderr
    assert not [m for m in ("keras", "numpy", "tensorflow", "matplotlib") if f" {m}\n" in imported]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--help"], 0, " train Train a network"),
        ([], 2, "usage: cvcourse RECIPE"),
        (["--version"], 0, "cvcourse 0."),
        (["train", "--help"], 0, "--learning-rate FLOAT"),
        (["trian"], 2, "unknown recipe 'trian': did you mean 'train'?"),
    ],
)
def test_command_line(words, code, text):
    ran = command(*words)
    assert ran.returncode == code
    assert text in " ".join((ran.stdout + ran.stderr).split())
