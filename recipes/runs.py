"""List the runs in a folder: recipe, model, data, epochs, result, state and age.

    cvcourse runs
    cvcourse runs /data/experiments

Runs inside a run, such as the trials of a sweep, are not listed. `cvcourse resume DIR` resumes an
unfinished run.
"""

import csv
import dataclasses
import os
import pathlib
import sys
import time

from cvcourse import recipe
from cvcourse.errors import RunError, UsageError
from cvcourse.files import JSON_BYTES, read_bytes, read_json

RESULTS = {  # metric: its format; the first one that a run has is shown
    "test_accuracy": "test accuracy {:.2%}",
    "val_accuracy": "validation accuracy {:.2%}",
    "test_bits_per_character": "test {:.3f} bits per character",
    "test_exact_match": "test exact match {:.2%}",
    "test_bleu4": "test BLEU-4 {:.3f}",
    "val_bleu4": "validation BLEU-4 {:.3f}",
    "accuracy": "accuracy {:.2%}",
}
FINISHED = ("metrics.json", "check.json")  # either is the last file that a recipe writes
DATA = ("dataset", "text", "photos", "photo")  # the fields that may name a run's data
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclasses.dataclass(frozen=True)
class Config:
    """The folder to search."""

    folder: str = recipe.field("runs", "folder to search, with its subfolders", positional=True)


def main(config):
    """Print a table of the runs.

    Args:
        config: Config.

    Returns:
        {path: row}, as `row` returns them.

    Raises:
        UsageError: If there is no such folder.
    """
    config = recipe.check(config)
    folder = pathlib.Path(config.folder).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{config.folder} is not a folder")
    rows = {str(path): row(path) for path in sorted(runs_in(folder))}
    if not rows:
        print(f"no runs in {folder}")
        return rows
    titles = ("run", *next(iter(rows.values())))
    table = [titles, *((path, *cells.values()) for path, cells in rows.items())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(map(str.ljust, cells, widths)).rstrip())
    return rows


def runs_in(folder):
    """Yield the directories of the runs in a folder, without runs inside a run."""
    for place, folders, files in os.walk(folder):
        if "config.json" in files:
            folders.clear()
            yield pathlib.Path(place)
        folders[:] = [name for name in folders if not name.startswith(".")]


def row(path):
    """Return the row of a run as {title: text}."""
    cells = dict.fromkeys(("recipe", "model", "data", "epochs", "result", "state"), "–")
    try:
        begun, values = recipe.read_config(path)
        if module := recipe.module_of(begun["recipe"]):
            values = recipe.with_new_names(module.Config, values, path / "config.json")
        history = epochs_of(path)
        finished = next((path / name for name in FINISHED if (path / name).exists()), None)
        metrics = read_json(finished) if finished else (history or [{}])[-1]
        names = (values.get(name) for name in ("model", "backbone", "source"))
        models = values.get("models") or [next(filter(None, names), "–")]
        data = next((values[name] for name in DATA if values.get(name)), "–")
        cells["recipe"] = begun["recipe"] or "–"
        cells["model"] = ",".join(map(str, models))
        files = data if isinstance(data, list) else [data]
        cells["data"] = ",".join(pathlib.Path(str(file)).name for file in files[:2])
        cells["data"] += ",…" if len(files) > 2 else ""
        if "epochs" in values:
            done = len(history) or metrics.get("epochs")  # 0 of a probe
            cells["epochs"] = "" if done is None else f"{done}/"
            cells["epochs"] += str(values["epochs"])
        for name, form in RESULTS.items():
            if isinstance(metrics.get(name), (int, float)):
                cells["result"] = form.format(metrics[name])
                break
        if stages := metrics.get("stages"):
            cells["result"] = f"{stages[-1]['ratio']:.1f} times smaller"
        for kind, noun in (("rows", "row"), ("targets", "file")):
            if count := len(metrics.get(kind) or ()):
                cells["result"] = f"{count} {noun}{'s' if count > 1 else ''}"
        if "failed" in metrics:
            cells["result"] = f"{len(metrics['failed'])} of {len(metrics['steps'])} steps failed"
        cells["state"] = "finished" if finished else "unfinished"
        if not finished and recipe.is_running(path):
            cells["state"] = "running"
    except (RunError, UsageError, OSError, ValueError, TypeError):
        cells["state"] = "damaged"
    return cells | {"age": age(path)}


def epochs_of(path):
    """Return the rows of history.csv as {column: number}; an empty list without such a file."""
    try:
        lines = read_bytes(path / "history.csv", JSON_BYTES).decode().splitlines()
    except FileNotFoundError:
        return []
    return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(lines)]


def age(path):
    """Return the time since the last write in a run directory, in the largest unit."""
    try:
        newest = max(entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(path))
    except OSError:  # unreadable, or removed meanwhile
        return "–"
    seconds = max(0.0, time.time() - newest)
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= size), UNITS[-1])
    return f"{seconds / size:.0f} {unit}"


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
