"""The README against the files it speaks of: results, commands, links, the five lines."""

import ast
import importlib
import json
import pathlib
import re
import shlex
import subprocess
import sys

import keras
import numpy as np
import pytest
from cvcourse.recipes import (
    convolution,
    export,
    linear_classifier,
    nearest_neighbors,
    neural_net,
    quantize,
    trust,
)
from networks import COURSE_MAP

from cvcourse import __main__ as command_line
from cvcourse import models, recipe
from cvcourse.training import comparison, compression_report

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BY_HAND = {  # beginning of a file's name: table of its metrics, as in the run's report
    "convolution": lambda m: convolution.tables(m["methods"], m["seconds"], m["im2col"])[
        "Filters of 3 x 3"
    ],
    "linear_classifier_hog": lambda m: linear_classifier.table(m["rows"], True, "hog_color"),
    "linear_classifier_pixels": lambda m: linear_classifier.table(m["rows"], True, "pixels"),
    "nearest_neighbors": lambda m: [*nearest_neighbors.table(m["rows"])],
    "neural_net_hog": lambda m: neural_net.net_table(m["nets"], True),
    "neural_net_pixels": lambda m: neural_net.net_table(m["nets"], True),
    "neural_net_spiral": lambda m: neural_net.spiral_table(m["spirals"]),
}
FILES = {path: json.loads(path.read_text()) for path in ROOT.glob("recipes/results/*.json")}
CLASSIC = [path for path in FILES if path.stem.startswith(tuple(BY_HAND))]
RESULTS = {path: metrics for path, metrics in FILES.items() if path not in CLASSIC}
COMPARISONS = [path for path, m in RESULTS.items() if isinstance(m.get("rows"), dict)]
COMPRESSIONS = [path for path, metrics in RESULTS.items() if "stages" in metrics]
QUANTIZATIONS = [path for path, metrics in RESULTS.items() if "float" in metrics]
TRANSFERS = [path for path, metrics in RESULTS.items() if "method" in metrics]
NETS = [path for path, metrics in RESULTS.items() if "nets" in metrics]
TRUST = [path for path, metrics in RESULTS.items() if "methods" in metrics]
EXPORTS = [path for path, metrics in RESULTS.items() if "targets" in metrics]
OTHERS = TRUST + COMPRESSIONS + QUANTIZATIONS + EXPORTS
TABLES = COMPARISONS + TRANSFERS + NETS + OTHERS
OTHERS += CLASSIC
RUNS = [path for path in RESULTS if path not in TABLES]
CELLS = {  # what a run is judged by: its cells in the README's row
    "test_accuracy": lambda m: [f"{100 * m[f'{split}_accuracy']:.2f} %" for split in SPLITS],
    "test_exact_match": lambda m: [f"{100 * m[f'{split}_exact_match']:.2f} %" for split in SPLITS],
    "test_bits_per_character": lambda m: [
        f"{m[f'{split}_bits_per_character']:.3f}" for split in SPLITS
    ],
    "test_bleu1": lambda m: [f"{100 * m[f'test_bleu{n}']:.1f}" for n in range(1, 5)],
}
SPLITS = ("test", "val")


def result_row(path, metrics, of=""):
    """The README's row of what a run's metrics.json holds, or `of` a part of it."""
    (judged,) = (cells(metrics) for key, cells in CELLS.items() if key in metrics)
    cells = (
        f"[{path.stem}]({path.relative_to(ROOT)}){of}",
        *judged,
        f"{metrics['parameters']:,}",
        f"{metrics['epochs']} ({metrics['best_epoch']})",
        f"{metrics['seconds'] / 60:.1f}",
        metrics["machine"],
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_results_are_the_metrics_files(path):
    assert result_row(path, RESULTS[path]) in README.splitlines()


@pytest.mark.parametrize("path", TRANSFERS, ids=lambda path: path.stem)
def test_transfers_are_the_metrics_files(path):
    metrics = RESULTS[path]
    accuracies = {key.split(":")[0]: value for key, value in metrics["val_accuracies"].items()}
    kinds = ("probe", "fine-tuned", "the same from random weights")
    shown = [f"{100 * accuracies[kind]:.2f}" if kind in accuracies else "–" for kind in kinds]
    link = f"[{path.stem}]({path.relative_to(ROOT)})"
    assert f"| {' | '.join([link, metrics['method'], *shown])} |" in README.splitlines()


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_nets_are_the_metrics_files(path):
    """Of each net a row, which links to the file they share."""
    machine = {"machine": RESULTS[path]["machine"]}
    for name, net in RESULTS[path]["nets"].items():
        assert result_row(path, net | machine, f": {name}") in README.splitlines()


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.stem)
def test_comparisons_are_the_metrics_files(path):
    """The rows on test data, below the file's link, as the run printed them."""
    name = path.relative_to(ROOT)
    lines = README[README.index(f"]({name})") :].splitlines()
    shown = lines[lines.index("") + 1 :][: 2 + len(RESULTS[path]["rows"])]
    rows = {row: values.get("test", values) for row, values in RESULTS[path]["rows"].items()}
    title, *table = (f"| {' | '.join(cells)} |" for cells in comparison.table(rows))
    assert shown[0] == title.replace("|  |", "| |")
    assert shown[2:] == table


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_other_tables_are_the_metrics_files(path):
    """Below the file's link, as in the run's report."""
    metrics = FILES[path]
    if path in CLASSIC:
        (of,) = (table for name, table in BY_HAND.items() if path.stem.startswith(name))
        rows = of(metrics)
    elif path in TRUST:
        rows = trust.table(metrics["methods"])
    elif path in COMPRESSIONS:
        rows = compression_report.stage_table([metrics["stages"][0], *every_stage(metrics)])
    elif path in EXPORTS:
        rows = export.whole_table(metrics)
    else:
        rows = quantize.table(metrics["float"], metrics["rows"])
    lines = README[README.index(f"]({path.relative_to(ROOT)})") :].splitlines()
    title, *table = (f"| {' | '.join(cells)} |" for cells in rows)
    shown = lines[lines.index("") + 1 :][: 2 + len(table)]
    assert shown[0] == title.replace("|  |", "| |")
    assert shown[2:] == table


def every_stage(metrics):
    """The stages after the dense network, and the last one of further densities."""
    stages = metrics["stages"][1:]
    return stages + [row for row in metrics["curve"] if row not in stages]


def test_no_result_is_without_its_metrics_file():
    linked = re.findall(r"\]\((recipes/results/\w+\.json)\)", README)
    assert sorted({*linked}) == sorted(str(path.relative_to(ROOT)) for path in FILES)
    assert len(RUNS) >= 4
    assert len(COMPARISONS) >= 2


@pytest.mark.parametrize("row", COURSE_MAP, ids=lambda row: row[0])
def test_the_course_map_shows_published_accuracies(row):
    """test_models.py compares its other numbers with `models.cost`."""
    known = models.PUBLISHED_ACCURACY.get(row[0])
    assert row[-1] == (f"{known[1]} % {known[0]}, {known[2]}" if known else "")


def test_the_course_map_has_every_family():
    assert {models.family(row[0]) for row in COURSE_MAP} == {
        models.family(name) for name in models.REGISTRY
    }


PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("cvcourse/**/README.md"))]
PAGES += sorted(ROOT.glob("recipes/**/*.py"))


def commands(path):
    """The words behind `cvcourse` or `python recipes/` on a page or in a recipe's docstring."""
    text = path.read_text()
    text = ast.get_docstring(ast.parse(text)) or "" if path.suffix == ".py" else text
    for line in re.findall(r"(?:\bcvcourse |python recipes/)(?!import)(\w.*)", text):
        # up to a comment, a closing quotation mark, or a remark in brackets
        words = re.sub(r" #.*|[`'].*|  +\(.*", "", line).replace(".py", "").split(" ")
        yield " ".join(word for word in words if word not in ("", "…"))


COMMANDS = {words: None for path in PAGES for words in commands(path)}


def test_every_recipe_shows_a_command():
    """What finds them finds those of all recipes."""
    shown = {tuple(words.split()[:1]) for words in COMMANDS}
    assert {(name,) for name in command_line.recipes()} <= shown


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_are_taken(words, tmp_path, monkeypatch):
    """By the recipe's own flags; the file of a --config is another run's."""
    name, *flags = shlex.split(words)
    if not flags:  # a mention
        importlib.import_module(f"cvcourse.recipes.{name}")
        return
    if name == "bench":
        own = flags.pop(0) if flags and flags[0].isidentifier() else "train"
        name = f"benchmarks.{'train' if own == 'NAME' else own}"
    config_class = importlib.import_module(f"cvcourse.recipes.{name}").Config
    if "--workdir=DIR" in flags:  # of a finished run, whose settings are in it
        monkeypatch.chdir(tmp_path)
        values = {"seed": 0} | ({"photos": "photos"} if hasattr(config_class, "photos") else {})
        pathlib.Path("DIR").mkdir()
        pathlib.Path("DIR", "config.json").write_text(json.dumps(values))
    flags = [flag for flag in flags if flag != "--help" and not flag.startswith("--config=")]
    config = recipe.parse(config_class, flags)
    again = shlex.split(recipe.command(config, "cvcourse"))[1:]
    assert recipe.parse(config_class, again) == config


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_and_paths_exist(page):
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\((?!http)(.+?)\)", text)
    files = re.findall(r"`((?:cvcourse|recipes|tests)/[\w/.]+)`", text)
    assert [name for name in links + files if not (ROOT / name).exists()] == []
    assert links + files


def test_five_lines_of_python(tmp_path, monkeypatch, capsys):
    """As they stand there, on fewer epochs."""
    monkeypatch.chdir(tmp_path)
    code, *_ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.splitlines()) <= 6
    names = {}
    exec(code.replace('dataset="digits"', 'dataset="digits", epochs=2'), names)
    assert names["net"].output_shape == (None, 10)
    assert names["metrics"]["epochs"] == 2
    assert f"test accuracy: {names['metrics']['test_accuracy']:.4f}" in capsys.readouterr().out


def test_a_gradient_by_hand():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (code,) = (block for block in blocks if "classic import" in block)
    names = {}
    exec(code, names)
    assert len(names["checks"]) == 18
    assert all(check.right or check.kink for check in names["checks"])


def test_ten_lines_with_published_weights(tmp_path, monkeypatch):
    """As they stand there, on a net of two blocks in place of a download."""
    monkeypatch.chdir(tmp_path)
    pretrained = models.pretrained

    def load(name, num_classes):
        net = models.build(name, depths=(1,), input_shape=(32, 32, 3), num_classes=num_classes)
        return pretrained.with_preprocessing(net, pretrained.find(name))

    monkeypatch.setattr(pretrained, "load", load)
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "pets" in c)
    photos = np.random.default_rng(0).integers(0, 256, (4, 50, 40, 3), "uint8")
    names = {"photos": photos, "labels": np.arange(4)}
    exec(code.replace("epochs=5", "epochs=1"), names)
    assert {w.path.split("/")[0] for w in names["model"].trainable_weights} == {"logits"}
    again = keras.saving.load_model("pets.keras").predict(photos, verbose=0)
    np.testing.assert_allclose(again, names["model"].predict(photos, verbose=0), atol=1e-5)


@pytest.mark.parametrize("workers", ["", pytest.param(", workers=2", marks=pytest.mark.slow)])
def test_a_search_space_of_ones_own(workers, tmp_path, monkeypatch):
    """As it stands there, on fewer epochs, trials and digits."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    code = next(block for block in blocks if "def space(hp, config)" in block)
    assert "epochs=9, trials=12, workers=2" in code
    code = code.replace("epochs=9, trials=12, workers=2", f"epochs=1, trials=2, limit=64{workers}")
    if workers:
        pathlib.Path("mine.py").write_text(code)
        subprocess.run([sys.executable, "mine.py"], check=True)
    else:
        exec(code, {"__name__": "__main__"})
    (best,) = tmp_path.glob("runs/tune-*/best.json")
    assert 1e-3 <= json.loads(best.read_text())["learning_rate"] <= 1.0
