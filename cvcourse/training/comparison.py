"""Comparison of runs: evaluate saved models, aggregate over seeds, write tables and figures."""

import json
import statistics

from cvcourse.saved_model import CONFIG, naming_damage, read_entry, read_model
from cvcourse.training.evaluation import evaluate
from cvcourse.training.report import write_report

REMEDY = "remove its run, and the same command trains it again"
COLUMNS = {  # measure: its column's title, scale and digits
    "bytes": ("bytes", 1, 0),
    "ratio": ("ratio", 1, 1),
    "macs": ("MACs, millions", 1e-6, 2),
    "before_accuracy": ("before training, %", 100, 2),
    "accuracy": ("accuracy, %", 100, 2),
    "test_accuracy": ("test accuracy, %", 100, 2),
    "gain": ("gain, points", 100, 2),
    "nll": ("NLL, nats", 1, 4),
    "ece": ("ECE, %", 100, 2),
    "disagreement": ("disagreement, %", 100, 2),
    "learning_rate": ("learning rate", 1, 3),
    "passes": ("passes", 1, 0),
    "loss": ("training loss, nats", 1, 4),
    "val_loss": ("validation loss, nats", 1, 4),
    "val_accuracy": ("validation accuracy, %", 100, 2),
    "best_epoch": ("best epoch", 1, 0),
    "epochs": ("epochs", 1, 0),
    "parameters": ("parameters", 1, 0),
    "training_macs": ("training, GMACs", 1e-9, 1),
    "seconds": ("seconds", 1, 0),
    "first_half_before": ("first half before training, %", 100, 1),
    "first_half_after": ("after, %", 100, 1),
}


def log_probabilities(files, split, batches):
    """Compute the log-probabilities that saved models assign to the classes of a split.

    Args:
        files: Paths of .keras files.
        split: Split of n images.
        batches: Function (split) -> its batches in order.

    Returns:
        {file: float64 array (n, classes)}.

    Raises:
        RunError: If a file is damaged.
    """
    found, model, known = {}, None, None
    for file in files:
        with naming_damage(file, REMEDY):
            architecture = json.loads(read_entry(file, CONFIG))["config"]
            if architecture == known:
                model.load_weights(file)  # without tracing the model again
        if architecture != known:
            model, known = read_model(file, remedy=REMEDY, compile=True), architecture
        found[file] = evaluate(model, split, batches(split)).log_probabilities
    return found


def judge(rows, folders, split, *, batches, measures, baseline):
    """Evaluate ensembles of saved models on a split.

    Args:
        rows: {row: files of its members}, relative to a folder.
        folders: A folder for each seed, as pathlib.Path.
        split: Split of n images.
        batches: Function (split) -> its batches in order.
        measures: Function (log-probabilities of the members, labels) -> {measure: number}.
        baseline: Row for an additional measure `gain`: the accuracy minus the accuracy of this row
            for the same seed.

    Returns:
        A pair: a list of {file: log-probabilities (n, classes)} by folder, and
        {row: {measure: `mean_and_std` over the seeds}}.
    """
    files = dict.fromkeys(file for several in rows.values() for file in several)
    answers, judged = [], []
    for folder in folders:
        given = log_probabilities([folder / file for file in files], split, batches)
        answers.append(dict(zip(files, given.values(), strict=True)))
        judged.append(
            {
                row: measures([answers[-1][file] for file in several], split.labels)
                for row, several in rows.items()
            }
        )
    for values in judged:
        for row in values.values():
            row["gain"] = row["accuracy"] - values[baseline]["accuracy"]
    return answers, {
        row: {key: mean_and_std(values[row][key] for values in judged) for key in judged[0][row]}
        for row in rows
    }


def best(rows, names):
    """Find the row with the highest mean accuracy; of equal ones, the row with the lowest NLL.

    Args:
        rows: {row: {measure: mean and std}} as `judge` returns them.
        names: Names of the rows to choose from.

    Returns:
        The name of the row.
    """
    return max(names, key=lambda row: (rows[row]["accuracy"]["mean"], -rows[row]["nll"]["mean"]))


def mean_and_std(values):
    """Compute mean and standard deviation over seeds.

    Args:
        values: A number for each seed.

    Returns:
        A dict: mean, std (of the sample; None for one seed) and seeds (the values). None if a value
        is None.
    """
    values = list(values)
    if None in values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "seeds": values}


def without_seeds(row):
    """Format the numbers of a single run for `table`: {measure: mean and std}."""
    return {key: mean_and_std([value]) for key, value in row.items() if key in COLUMNS}


def table(rows):
    """Format rows as lists of texts, such as 91.20 ± 0.13.

    Args:
        rows: {row: {measure: mean and std}}. A measure that no row has is left out.

    Yields:
        A list of titles, then a list for each row.
    """
    columns = {
        measure: column
        for measure, column in COLUMNS.items()
        if any(row.get(measure) for row in rows.values())
    }
    yield ["", *(title for title, _, _ in columns.values())]
    for name, row in rows.items():
        yield [name, *(with_std(row[key], *form) for key, (_, *form) in columns.items())]


def with_std(row, scale, digits):
    """Format a result of `mean_and_std`, such as 91.20 ± 0.13."""
    if row is None:
        return "–"
    std = "" if row["std"] is None else f" ± {scale * row['std']:.{digits}f}"
    return f"{scale * row['mean']:,.{digits}f}{std}"


def write_comparison(workdir, *, metrics, title, lead, tables, figures, config):
    """Write report.html, then metrics.json, and print the tables.

    Args:
        workdir: As in `write_report`.
        metrics: As in `write_report`.
        title: As in `write_report`.
        lead: As in `write_report`.
        tables: {caption: {row: {measure: mean and std}}}.
        figures: As in `write_report`.
        config: As in `write_report`.

    Returns:
        The metrics, as `write_report` returns them.
    """
    tables = {caption: list(table(rows)) for caption, rows in tables.items()}
    metrics = write_report(
        workdir,
        metrics=metrics,
        title=title,
        lead=lead,
        tables=tables,
        figures=figures,
        config=config,
    )
    for caption, rows in tables.items():
        print(f"\n{caption}")
        width, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
        for name, *cells in rows:
            print(f"{name:{width}}", *map(str.rjust, cells, widths), sep="  ")
    return metrics
