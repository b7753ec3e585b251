"""Report of a sweep: table of its trials, CSV file, and figures with hyperparameter importance.

Permutation importance of a random forest: Breiman, "Random Forests", Machine Learning 2001.
"""

import csv
import dataclasses
import io
import pathlib
import shlex

import numpy as np

from cvcourse import recipe, training
from cvcourse.errors import RunError
from cvcourse.figures import (
    importance_bars,
    objective_by_value,
    parallel_coordinates,
    trial_curves,
)
from cvcourse.files import write_json, write_text
from cvcourse.tuning._oracle import hyperparameter_names
from cvcourse.tuning.hparams import write_hparams
from cvcourse.tuning.narrowing import at_the_border
from cvcourse.tuning.stopping import first_epochs, signed
from cvcourse.tuning.trial_table import format_number, last

ENOUGH = 8  # minimum number of trials to estimate importance


def report_sweep(sweep, run, oracle):
    """Write trials.csv, best.json, TensorBoard runs, report.html and finally metrics.json.

    Args:
        sweep: Sweep.
        run: recipe.Run of the sweep.
        oracle: Oracle of the sweep, whose trials have ended.

    Returns:
        The metrics.

    Raises:
        RunError: If all trials failed, or a file cannot be written.
    """
    config, trials, folder = sweep.config, list(oracle.trials.values()), run.path
    best = _winner(trials, config.objective)
    if best is None:
        reasons = sorted({trial.message for trial in trials})
        raise RunError(
            f"all of {len(trials)} trials failed: {reasons[0]}; their logs are in {folder}"
        )
    names = hyperparameter_names(sweep.hyperparameters)
    table = rows(trials, names, config.objective)
    curves = {
        trial.trial_id: first_epochs(oracle.run_folder(trial), config.objective) for trial in trials
    }
    seconds = sum(row["seconds"] or 0 for row in table)
    metrics = {
        "trials": len(trials),
        "failed": sum(row[config.objective] is None for row in table),
        "stopped_early": sum(row["status"] == "stopped early" for row in table),
        "best_trial": best.trial_id,
        config.objective: best.score,
        "best_epoch": int(last(best, "best_epoch")),
        "values": best.hyperparameters.values,
        "epochs": sum(row["epochs_run"] or 0 for row in table),
        "seconds": round(seconds, 1),
        "seed": config.seed,
    }
    data_dir = type(sweep.common)(data_dir=config.data_dir)
    again = recipe.command(data_dir, recipe.program("train"))
    again += " " + shlex.quote(f"--config={folder / 'best.json'}")
    borders = at_the_border(sweep.hyperparameters.space, best)
    chosen = dataclasses.replace(sweep.chosen(best.hyperparameters), workdir=None, test=True)
    try:
        write_text(folder / "trials.csv", as_csv(table))
        write_json(folder / "best.json", dataclasses.asdict(chosen))
        write_hparams(folder / "tensorboard", table, names, config.objective, curves)
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror}") from error
    metrics = training.write_report(
        folder,
        metrics=metrics,
        title=f"Sweep: {config.model} on {pathlib.Path(config.dataset).stem}",
        lead=[
            f"{len(trials)} trials, of which {metrics['stopped_early']} were stopped early and "
            f"{metrics['failed']} failed, with {metrics['epochs']} epochs in {seconds / 60:.1f} "
            f"minutes. The best is trial {best.trial_id}: {config.objective} {best.score:.4f} at "
            "its best epoch. The test split was not used.",
            f"To train the best config again and evaluate it on the test split: {again}",
            *borders,
        ],
        tables={"Trials": as_texts(table)},
        figures=figures(table, sweep.hyperparameters, config.objective, curves, best.trial_id),
        config=dataclasses.asdict(run.config),
    )
    print("", *borders, sep="\n")
    print(f"\nbest: trial {best.trial_id}, {config.objective} {best.score:.4f}")
    print(again)
    return metrics


def _winner(trials, objective):
    """Return the best completed trial; one that was stopped early only if there is no other."""
    completed = [trial for trial in trials if trial.score is not None]
    whole = [trial for trial in completed if not last(trial, "stopped")]
    return max(whole or completed, key=lambda trial: signed(objective, trial.score), default=None)


def rows(trials, names, objective):
    """Return a row per trial, a dict: trial, status, values, objective, epochs_run and more."""
    found = []
    for trial in trials:
        epochs, best_epoch = (_whole(last(trial, name)) for name in ("epochs", "best_epoch"))
        metrics = {
            "epochs_run": epochs,
            "best_epoch": best_epoch,
            "seconds": last(trial, "seconds"),
        }
        status = {"COMPLETED": "stopped early" if last(trial, "stopped") else "completed"}
        found.append(
            {"trial": trial.trial_id, "status": status.get(trial.status, trial.status.lower())}
            | {name: trial.hyperparameters.values.get(name) for name in names}
            | {objective: trial.score}
            | metrics
            | {"reason": trial.message or ""}
        )
    return found


def _whole(number):
    """Convert a count, which keras-tuner stores as float, to int."""
    return None if number is None else int(number)


def as_csv(table):
    """Return rows as the text of a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def as_texts(table):
    """Return rows as the table of a report: lists of str, the header first."""
    return [list(table[0]), *([format_number(value) for value in row.values()] for row in table)]


def figures(table, space, objective, curves, best):
    """Draw the figures of a sweep.

    Args:
        table: Rows of `rows`.
        space: keras_tuner.HyperParameters.
        objective: Name of the metric.
        curves: {trial: values by epoch, larger is better}.
        best: Id of the best trial.

    Returns:
        {caption: figure}.
    """
    done = [row for row in table if row[objective] is not None]
    names = hyperparameter_names(space)
    logarithmic = {hp.name for hp in space.space if getattr(hp, "sampling", None) == "log"}
    found = {}
    if len(done) > 1:
        found["Each trial as a line through its values"] = parallel_coordinates(
            {name: _axis(done, name, name in logarithmic) for name in (*names, objective)},
            [signed(objective, row[objective]) for row in done],
        )
        found["The objective against each hyperparameter"] = objective_by_value(
            {name: _numbers(done, name, False) for name in names},
            [row[objective] for row in done],
            objective,
            logarithmic,
        )
    if any(curves.values()):
        found["The curves of all trials"] = trial_curves(
            {
                row["trial"]: [signed(objective, value) for value in curves[row["trial"]]]
                for row in table
            },
            best,
            objective,
        )
    if len(done) >= ENOUGH:
        found["Importance: decrease of a fit when a hyperparameter is shuffled"] = importance_bars(
            importance(done, names, logarithmic, objective)
        )
    return found


def importance(done, names, logarithmic, objective):
    """Return the permutation importance of hyperparameters as {name: share}.

    It is the decrease of a random forest's fit when the hyperparameter is shuffled: an estimate
    from few trials, which does not prove a cause.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    inputs = np.stack([_numbers(done, name, name in logarithmic)[0] for name in names], axis=1)
    inputs = np.nan_to_num(inputs, nan=inputs[np.isfinite(inputs)].min(initial=0) - 1)
    scores = np.array([row[objective] for row in done], "float64")
    forest = RandomForestRegressor(200, random_state=0).fit(inputs, scores)
    found = permutation_importance(forest, inputs, scores, n_repeats=20, random_state=0)
    shares = np.maximum(found.importances_mean, 0)
    return dict(zip(names, (shares / max(shares.sum(), 1e-12)).tolist(), strict=True))


def _numbers(done, name, logarithmic):
    """Convert a column to numbers: (array (n,), sorted texts or None).

    The numbers of texts are their indices. A hyperparameter that a trial does not have is NaN.
    """
    values = [row[name] for row in done]
    given = [value for value in values if value is not None]
    texts = None
    if not all(isinstance(value, (int, float)) for value in given):
        texts = sorted(set(map(str, given)))
        values = [None if value is None else texts.index(str(value)) for value in values]
    numbers = np.array([np.nan if value is None else value for value in values], "float64")
    return (np.log10(numbers) if logarithmic and not texts else numbers), texts


def _axis(done, name, logarithmic):
    """Return a column as an axis of parallel coordinates: numbers, and the labels of both ends."""
    numbers, texts = _numbers(done, name, logarithmic)
    values = [row[name] for row in done if row[name] is not None] or [None]
    return (
        numbers,
        *((texts[0], texts[-1]) if texts else map(format_number, (min(values), max(values)))),
    )
