"""Table of techniques that make a network smaller, and which of them do not win."""

import dataclasses
import pathlib

from cvcourse import figures
from cvcourse.training import comparison

RIVALS = {"dense_sparse_dense": "none", "distill": "student"}  # that differ in accuracy alone
BASELINES = ("none", "student")
MEANS = ("bytes", "ratio", "macs", "seconds")  # without a standard deviation in the table
NOTES = (
    "Bytes: of the .cvz file, with the lossless coding that is smallest for each tensor. Ratio: "
    "float32 weights of the network over these bytes.",
    "MACs: multiply-accumulates for one image, zeros included. With binary and ternary kernels, "
    "they are additions on suitable hardware; with xnor, operations of bits.",
    "Gain: accuracy minus that of the row none, which was trained for as many epochs.",
)


def write(run, runs, seeds):
    """Write the report and metrics.json of a comparison.

    Args:
        run: Run of the recipe shrink.
        runs: {row: {measure: number}} for each seed, with the row none.
        seeds: The seeds.

    Returns:
        The metrics.
    """
    config = run.config
    runs = [
        {row: {**v, "gain": accuracy(v) - accuracy(rows["none"])} for row, v in rows.items()}
        for rows in runs
    ]
    rows = {
        row: {key: comparison.mean_and_std(one[row][key] for one in runs) for key in values}
        for row, values in runs[0].items()
    }
    lost = losers(means(rows))
    count = len(seeds)
    repetitions = f"mean ± standard deviation over {count} seeds" if count > 1 else "one seed"
    lead = [
        f"Each row is changed, then trained for {config.fine_tune_epochs} epochs; {repetitions}. "
        "Accuracies after training are those of the network read from the file."
    ]
    if "student" in rows:
        epochs = config.epochs + config.fine_tune_epochs
        lead.append(f"student and distill: {config.student}, trained for {epochs} epochs.")
    points = {row: (values["bytes"], accuracy(values)) for row, values in means(rows).items()}
    return comparison.write_comparison(
        run.path,
        metrics={
            "rows": rows,
            "losers": lost,
            "seeds": seeds,
            "epochs": config.epochs,
            "fine_tune_epochs": config.fine_tune_epochs,
            "seconds": round(sum(v["seconds"] for one in runs for v in one.values()), 1),
        },
        title=f"Smaller networks: {config.model} on {pathlib.Path(config.dataset).stem}",
        lead=[*lead, *lost.values(), *NOTES],
        tables={"Size, cost and accuracy": {row: shown(v) for row, v in rows.items()}},
        figures={"Accuracy by bytes of the file": figures.accuracy_by_bytes(points)},
        config=dataclasses.asdict(config),
    )


def shown(row):
    """Return a row for the table, which would be too wide with all standard deviations."""
    return {
        key: value
        if value is None or key == "gain" or "accuracy" in key
        else {**value, "std": None}
        for key, value in row.items()
    }


def means(rows):
    """Return {row: {measure: mean}} of {row: {measure: mean and std}}."""
    return {
        row: {key: value and value["mean"] for key, value in values.items()}
        for row, values in rows.items()
    }


def accuracy(values):
    """Return the accuracy of a row: on the test split, if there is one."""
    return values["val_accuracy" if values["test_accuracy"] is None else "test_accuracy"]


def losers(rows):
    """Find the rows that do not win.

    A row loses if another has at most its bytes and MACs and at least its accuracy, or, if its
    technique aims at accuracy alone, if its rival has at least its accuracy.

    Args:
        rows: {row: {measure: number}}.

    Returns:
        {row: sentence with the numbers}.
    """
    found = {}
    for row, values in rows.items():
        others = () if row in BASELINES else [RIVALS[row]] if row in RIVALS else {*rows} - {row}
        better = [
            other
            for other in others
            if accuracy(rows[other]) >= accuracy(values)
            and (row in RIVALS or all(rows[other][k] <= values[k] for k in ("bytes", "macs")))
        ]
        if better:
            best = min(better, key=lambda other: rows[other]["bytes"])
            found[row] = f"{row} does not win: {numbers(values)}; {best} has {numbers(rows[best])}."
    return found


def numbers(values):
    """Format bytes, multiply-accumulates and accuracy of a row."""
    return (
        f"{values['bytes']:,.0f} bytes, {values['macs']:,.0f} MACs, {100 * accuracy(values):.2f} %"
    )
