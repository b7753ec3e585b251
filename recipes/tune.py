"""Tune hyperparameters with keras-tuner, in a sweep that resumes after any interruption.

    cvcourse tune --model=resnet20 --dataset=fashion_mnist --limit=5000 --epochs=9 --trials=20
    cvcourse train --config=DIR/best.json

The flags of `train` apply to all trials, except for what the search space varies. A trial is a
training run with its own directory, without the test split. A trial that is worse than the others
is stopped early. A trial that diverges, fails or kills its process becomes a row of the table, and
the sweep continues. best.json is the config of the best trial.

O'Malley et al., KerasTuner, https://github.com/keras-team/keras-tuner. Hyperband: Li et al., JMLR
2018, https://arxiv.org/abs/1603.06560.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterable
from typing import Any

from cvcourse.recipes import train

from cvcourse import distribution, recipe
from cvcourse.recipe.child_process import require_guard
from cvcourse.startup import import_tensorflow_quietly

PARTS = (  # of the default space: the keys of tuning.PARTS
    *("optimizer", "learning_rate", "weight_decay", "batch_size", "schedule", "augment", "dropout"),
    *("width", "depth", "epochs"),
)
STAGES = ((1 / 2, 1 / 9), (1 / 3, 1 / 3), (None, 1))  # shares of the trials and of their epochs
FIXED = (
    "a sweep in stages or with hyperband takes no more trials and repeats no failed ones: its "
    "later trials depend on the results of the earlier ones"
)


@dataclasses.dataclass(frozen=True)
class Config(train.Config):
    """A sweep; the fields of `train` are common to its trials."""

    vary: tuple[str, ...] = recipe.field(
        ("learning_rate", "weight_decay", "batch_size", "augment", "dropout"),
        "hyperparameters of the default search space",
        choices=PARTS,
    )
    oracle: str = recipe.field(
        "random", "search algorithm", choices=("random", "grid", "bayesian", "hyperband")
    )
    trials: int = recipe.field(20, "maximum number of trials; hyperband sets its own", least=1)
    objective: str = recipe.field(
        "val_accuracy",
        "metric to optimize, at the best epoch of a trial",
        choices=("val_accuracy", "val_loss"),
    )
    stop: str = recipe.field(
        "median", "rule that stops trials early", choices=("median", "halving", "none")
    )
    protocol: str = recipe.field(
        "plain",
        "one sweep, or three: many short trials, then fewer and longer ones in narrower ranges",
        choices=("plain", "coarse_to_fine"),
    )
    isolate: bool = recipe.field(
        False, "run each trial in a separate process, which frees its memory", free=True
    )
    retries: int = recipe.field(
        2,
        "retries of a trial whose process was killed, before a last one in a separate process",
        least=0,
        free=True,
    )
    workers: int = recipe.field(1, "number of worker processes on this machine", least=1, free=True)
    chief: str | None = recipe.field(
        None, "HOST:PORT at which to serve workers; with --worker, address of the chief", free=True
    )
    worker: str | None = recipe.field(
        None, "name of this worker; --workdir is that of the chief, on a shared disk", free=True
    )
    worker_timeout: float = recipe.field(
        60.0, "seconds after which a silent worker or chief counts as dead", least=10, free=True
    )

    def misfits(self):
        if self.protocol == "coarse_to_fine" and self.trials < len(STAGES):
            yield (
                f"--protocol=coarse_to_fine has {len(STAGES)} stages: --trials={self.trials} are "
                "too few"
            )
        if self.milestones is not None and (in_stages(self) or "epochs" in self.vary):
            yield (
                "--milestones are the same for all trials, but with --protocol=coarse_to_fine, "
                "--oracle=hyperband or --vary=epochs some trials are shorter: leave --milestones "
                "out, and the rate drops at 50 % and 75 % of each trial's epochs"
            )
        if self.protocol == "coarse_to_fine" and self.oracle == "hyperband":
            yield "--protocol=coarse_to_fine needs an --oracle without stages: choose another one"
        if self.monitor not in (self.objective, train.Config.monitor):
            yield (
                f"--monitor={self.monitor} differs from the metric of the trials, "
                f"--objective={self.objective}: leave it out"
            )
        if self.extend and in_stages(self):
            yield f"--extend: {FIXED}"


def in_stages(config):
    """Return whether later trials depend on the results of earlier ones."""
    return config.protocol != "plain" or config.oracle == "hyperband"


def no_callbacks(folder):
    """Return no additional callbacks for the trial in a folder."""
    return []


def main(
    config: Config,
    space: Callable[[Any, Any], Any] | None = None,
    callbacks: Callable[[Any], Iterable[Any]] = no_callbacks,
) -> dict[str, Any]:
    """Run the missing trials and write the report.

    Args:
        config: Config.
        space: Search space, a function (hp, config) -> config; None for the default one.
        callbacks: Function of a trial's folder that returns additional Keras callbacks, which write
            their files there. Not stored: pass it again to resume.

    Returns:
        The metrics of metrics.json, with the path `workdir`.
    """
    config = recipe.check(config)
    distribution.require_one_process(config.strategy)
    require_guard()
    if metrics := finished(config):
        return metrics
    import_tensorflow_quietly()
    from cvcourse import tuning

    address, worker = tuning.chief_and_worker(config, space, callbacks)
    config = dataclasses.replace(config, worker=worker)
    common = trial_config(config)
    dataset = train.dry_run([common])
    with recipe.user_errors():
        common = dataclasses.replace(common, augment=train.resolve(common, dataset).augment)
        space = space or tuning.default_space(config.vary)
    hyperparameters = tuning.hyperparameters_of(space, common)
    sweep = tuning.Sweep(config, common, dataset, space, hyperparameters, callbacks, train_trial)
    if worker:
        return tuning.work_for_chief(sweep, address, finished)
    with recipe.open_run(config, "tune", config.model, config.dataset, **rules(config)) as run:
        sweep = dataclasses.replace(sweep, config=run.config)
        if config.protocol == "coarse_to_fine":
            return tuning.coarse_to_fine(sweep, run, STAGES, train, run_stage)
        oracle = tuning.begin_sweep(sweep, run)
        names = tuning.hyperparameter_names(hyperparameters)
        table = tuning.TrialTable(names, config.objective, sys.stdout)
        if address or config.workers > 1:
            tuning.serve_trials(main, sweep, run, oracle, table, address)
        else:
            tuning.run_trials(sweep, run, oracle, table)
        return tuning.report_sweep(sweep, run, oracle)


def run_stage(config, space, callbacks):
    """Run a stage, a plain sweep, and return its metrics. A finished one prints no message."""
    metrics = recipe.finished_metrics(config, "tune", **rules(config))
    return metrics or main(config, space, callbacks)


def train_trial(config, dataset, callbacks):
    """Train a trial, which keeps only history.csv and the metrics of its best epoch."""
    import keras

    from cvcourse import tuning

    config = recipe.check(config)
    rules = {"metrics": tuning.TRIAL_METRICS}
    if metrics := tuning.own_metrics(config, rules):
        return metrics
    keras.utils.set_random_seed(config.seed)
    settled, model = train.build_and_compile(config, dataset)
    with recipe.open_run(config, "train", **rules) as run:
        resume = train.fit(model, settled, dataset, run, files=False, callbacks=callbacks)
        return tuning.keep_metrics(run, resume)


def trial_config(config):
    """Return the config that the trials have in common, before the space varies it."""
    own = {"workdir": None, "monitor": config.objective, "test": False, "extend": False}
    return recipe.as_config(train.Config, config, **own)


def rules(config):
    """Return the keyword arguments of `recipe.finished_metrics` for a sweep."""
    found = {"grows": "trials"}
    if not config.worker:
        found["again"] = lambda metrics: metrics.get("failed")
    return found | ({"fixed": FIXED} if in_stages(config) else {})


def finished(config):
    """Return the metrics of a finished sweep, after a message; else None."""
    _, metrics = recipe.begin(config, "tune", **rules(config))
    if metrics and not in_stages(config) and not recipe.whole_command():
        print(f"--extend --trials={2 * config.trials} continues it")
        if failed := metrics.get("failed"):
            print(f"--extend repeats the failed trials: {failed} of {metrics['trials']}")
    return metrics


def hypermodel(space, config):
    """Return a keras_tuner.HyperModel of a search space, for any keras-tuner tuner.

    It builds, compiles and fits as `train` does, on the dataset of `config`: call `tuner.search()`
    without data. Batch size and epochs can be tuned, too. The learning-rate schedule and NASNet's
    drop-path rate follow the epochs that the tuner requests, or else those of the config. A
    combination for which the space raises an error is a failed trial; the tuner itself needs a
    space that accepts its defaults.

    Args:
        space: Function (hp, config) -> config.
        config: train.Config whose fields it replaces.

    Returns:
        A keras_tuner.HyperModel, whose fit() raises keras_tuner.errors.FatalValueError for data.
    """
    from cvcourse import tuning

    return tuning.HyperModel(train, space, config)


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
