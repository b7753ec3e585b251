"""The course's protocol for hyperparameters: coarse to fine, and one evaluation of the test split.

CS231n, notes "Neural Networks Part 3": first check that the initial loss is that of a guess and
that a few images can be memorized; then run short trials over wide ranges, and longer ones over
narrower ranges.
"""

import dataclasses
import math
import pathlib

import numpy as np

from cvcourse import data, optimization, recipe, training
from cvcourse.files import write_json
from cvcourse.training import doctor
from cvcourse.tuning._oracle import kept_trials
from cvcourse.tuning.narrowing import at_the_border, good_ones, narrowed, ranges_of
from cvcourse.tuning.spaces import register
from cvcourse.tuning.trial_table import format_number

EXAMPLES = 32  # number of images to memorize


def coarse_to_fine(sweep, run, shares, train, run_stage):
    """Run sweeps over ranges that become narrower, train the best config, and write the report.

    Args:
        sweep: Sweep of all stages together.
        run: recipe.Run of the sweep.
        shares: A pair for each stage: its share of the trials (None for the remaining ones), and
            its share of the epochs.
        train: Module of the recipe `train`.
        run_stage: Function (config, space, callbacks) that runs or resumes a plain sweep and
            returns its metrics.

    Returns:
        The metrics.

    Raises:
        Interrupted: After Ctrl-C or SIGTERM, with the command that resumes the whole run.
        Exception: As `run_stage` and `train.main` do.
    """
    config = sweep.config
    run.begin()
    lead = first_checks(sweep.common, sweep.dataset, train)
    print(*lead, sep="\n", flush=True)
    ranges, rows = {}, [["stage", "trials", "epochs", "best", "ranges of the next stage"]]
    left = config.trials
    for number, (share, pace) in enumerate(shares, start=1):
        folder, last = run.path / f"stage{number}", number == len(shares)
        stage = dataclasses.replace(
            config,
            protocol="plain",
            workdir=str(folder),
            trials=left if last else max(1, int(share * config.trials)),
            epochs=max(1, round(pace * config.epochs)),
            extend=False,
        )
        left -= stage.trials
        within = narrowed(sweep.space, ranges)
        with recipe.subrun(f"stage {number}", run.command):
            found = run_stage(stage, within, sweep.callbacks)
        trials = kept_trials(folder)
        good = good_ones(trials, config.objective)
        ranges |= ranges_of(register(within, sweep.common).space, good)
        best = f"{config.objective} {found[config.objective]:.4f}"
        next_ranges = "" if last else "; ".join(map(_in_words, ranges.items()))
        rows.append([str(number), str(stage.trials), str(stage.epochs), best, next_ranges])
    (best,) = (trial for trial in trials if trial.trial_id == found["best_trial"])
    lead += at_the_border(sweep.hyperparameters.space, best)
    chosen = recipe.load_config(folder / "best.json", train.Config)
    with recipe.subrun("the training of the best config", run.command):
        final = train.main(dataclasses.replace(chosen, workdir=str(run.path / "final")))
    write_json(run.path / "best.json", dataclasses.asdict(chosen))
    metrics = {
        "trials": config.trials,
        "stages": [row[1:4] for row in rows[1:]],
        "values": found["values"],
        config.objective: found[config.objective],
        "test_accuracy": final["test_accuracy"],
        "seed": config.seed,
    }
    return training.write_report(
        run.path,
        metrics=metrics,
        title=f"From coarse to fine: {config.model} on {pathlib.Path(config.dataset).stem}",
        lead=[*lead, "The test split was evaluated once, for the best trial of the last stage."],
        tables={"Stages": rows},
        figures={},
        config=dataclasses.asdict(run.config),
    )


def _in_words(named_range):
    name, ends = named_range
    return (
        f"{name} {(' to ' if isinstance(ends, tuple) else ' or ').join(map(format_number, ends))}"
    )


def first_checks(config, dataset, train):
    """Check the training setup before any trial.

    Args:
        config: Config of a training run.
        dataset: Its Dataset.
        train: Module of the recipe `train`.

    Returns:
        The training doctor's findings on the initial loss and on memorizing a few images, as a list
        of str.
    """
    count, classes = min(EXAMPLES, len(dataset.train)), dataset.num_classes
    batches = data.stream(dataset.train, batch_size=count, seed=config.seed)
    few = [np.array(part) for part in next(iter(batches))]
    steps = data.steps_per_epoch(dataset.train, min(config.batch_size, len(dataset.train)))
    chance = math.log(classes) if config.loss == "softmax" else classes - 1.0
    options = {"loss": optimization.LOSSES[config.loss](), "chance": chance}
    return [
        str(examine(train.compiled(config, train.build(config, dataset), steps), *few, **options))
        for examine in (doctor.initial_loss, doctor.memorize)
    ]
