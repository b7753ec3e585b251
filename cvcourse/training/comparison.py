"""Many runs side by side: judge saved models, spread over seeds, show tables and curves."""

import json
import statistics

from cvcourse.saved_model import CONFIG, naming_damage, read_entry, read_model
from cvcourse.training.evaluation import evaluate
from cvcourse.training.report import write_report

REMEDY = "remove the run it is of, and the same command trains that anew"
COLUMNS = {  # measure: its column's title, scale and digits
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
    "seconds": ("seconds", 1, 0),
    "first_half_before": ("first half before training, %", 100, 1),
    "first_half_after": ("after, %", 100, 1),
}


def log_probabilities(files, split, batches):
    """Log-probabilities that saved models give a split, in float64: {file: (n, classes)}.

    `batches(split)` is the split's evaluation stream.
    """
    found, model, known = {}, None, None
    for file in files:
        with naming_damage(file, REMEDY):
            architecture = json.loads(read_entry(file, CONFIG))["config"]
            if architecture == known:
                model.load_weights(file)  # without tracing the model anew
        if architecture != known:
            model, known = read_model(file, remedy=REMEDY, compile=True), architecture
        found[file] = evaluate(model, split, batches(split)).log_probabilities
    return found


def judge(rows, folders, split, *, batches, measures, baseline):
    """Ensembles of saved models on a split: (answers, {row: {measure: its spread over seeds}}).

    `rows` are {row: files in each of a seed's `folders`}; the answers {file: log-probabilities}
    by folder; `measures(members' log-probabilities, labels)` gives a dict. A measure more, `gain`,
    is the accuracy over that of the row `baseline` of the same seed.
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
        row: {key: spread(values[row][key] for values in judged) for key in judged[0][row]}
        for row in rows
    }


def best(rows, names):
    """Return the name of the row with the highest mean accuracy; of equals, the lowest NLL.

    Args:
        rows: {row: {measure: spread}} as `judge` returns them.
        names: Names of the rows to choose from.
    """
    return max(names, key=lambda row: (rows[row]["accuracy"]["mean"], -rows[row]["nll"]["mean"]))


def spread(values):
    """{mean, std, seeds} of the values by seed; std is the sample's, None for one seed.

    None where values are None.
    """
    values = list(values)
    if None in values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "seeds": values}


def of_one(row):
    """The numbers of a row that no seeds are behind as `table` takes them: {measure: spread}."""
    return {key: spread([value]) for key, value in row.items() if key in COLUMNS}


def table(rows):
    """{row: {measure: spread}} as lists of texts, such as 91.20 ± 0.13; the first has the titles.

    A measure that no row has gets no column.
    """
    columns = {
        measure: column
        for measure, column in COLUMNS.items()
        if any(row.get(measure) for row in rows.values())
    }
    yield ["", *(title for title, _, _ in columns.values())]
    for name, row in rows.items():
        yield [name, *(_said(row[key], *form) for key, (_, *form) in columns.items())]


def _said(row, scale, digits):
    if row is None:
        return "–"
    std = "" if row["std"] is None else f" ± {scale * row['std']:.{digits}f}"
    return f"{scale * row['mean']:,.{digits}f}{std}"


def conclude(workdir, *, metrics, title, lead, tables, figures, config):
    """Write report.html and last metrics.json, print the tables; returns the metrics.

    `tables` are {caption: {row: {measure: spread}}}; the rest is as in `write_report`.
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
