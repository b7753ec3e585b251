"""A hyperparameter sweep with keras-tuner that loses nothing: killed anywhere, it goes on.

    cvcourse tune --model=resnet20 --dataset=fashion_mnist --limit=5000 --epochs=9 --trials=20
    cvcourse train --config=DIR/best.json

Every flag of `train` is one of the sweep, too, and holds for all trials but for what the search
space varies. A trial is a training run with a directory of its own, without the test split. It is
stopped early where its curve falls behind those of the others; a trial that diverges, breaks or
kills its process is a line in the table, and the sweep goes on. The winner is best.json.

O'Malley et al., KerasTuner, https://github.com/keras-team/keras-tuner. Hyperband: Li et al., JMLR
2018, https://arxiv.org/abs/1603.06560.
"""

import dataclasses
import sys

from cvcourse.recipes import train

from cvcourse import distribution, recipe
from cvcourse.recipe.child_process import require_guard
from cvcourse.startup import import_tensorflow_quietly

PARTS = (  # what a ready-made space can vary: those of cvcourse.tuning
    *("optimizer", "learning_rate", "weight_decay", "batch_size", "schedule", "augment", "dropout"),
    *("width", "depth", "epochs"),
)
STAGES = ((1 / 2, 1 / 9), (1 / 3, 1 / 3), (None, 1))  # shares of the trials and of their epochs
FIXED = (
    "a sweep in stages or of hyperband takes no more trials and tries none again: how its trials "
    "ended decided on those after them"
)


@dataclasses.dataclass(frozen=True)
class Config(train.Config):
    """A sweep; the fields of `train` are what its trials have in common."""

    vary: tuple[str, ...] = recipe.field(
        ("learning_rate", "weight_decay", "batch_size", "augment", "dropout"),
        "what the ready-made search space varies",
        choices=PARTS,
    )
    oracle: str = recipe.field(
        "random", "what proposes values", choices=("random", "grid", "bayesian", "hyperband")
    )
    trials: int = recipe.field(20, "at most; hyperband decides itself", least=1)
    objective: str = recipe.field(
        "val_accuracy", "of a trial's best epoch", choices=("val_accuracy", "val_loss")
    )
    stop: str = recipe.field(
        "median", "which trials are stopped early", choices=("median", "halving", "none")
    )
    protocol: str = recipe.field(
        "plain",
        "one sweep, or three: many short trials, then fewer and longer ones in narrower ranges",
        choices=("plain", "coarse_to_fine"),
    )
    isolate: bool = recipe.field(
        False, "each trial in a process of its own: memory stays flat", free=True
    )
    retries: int = recipe.field(
        2,
        "of a trial whose process is killed before it gets on; after them it is tried once more in "
        "a process of its own, and fails where that dies, too",
        least=0,
        free=True,
    )
    workers: int = recipe.field(
        1, "processes on this machine that train at a time", least=1, free=True
    )
    chief: str | None = recipe.field(
        None, "HOST:PORT to serve workers at, or, with --worker, where the chief is", free=True
    )
    worker: str | None = recipe.field(
        None, "be the worker of this name; --workdir is the chief's, on a shared disk", free=True
    )
    worker_timeout: float = recipe.field(
        60.0,
        "seconds of silence after which a worker, or the chief, counts as dead",
        least=10,
        free=True,
    )

    def misfits(self):
        if self.protocol == "coarse_to_fine" and self.trials < len(STAGES):
            yield (
                f"--protocol=coarse_to_fine has {len(STAGES)} stages: --trials={self.trials} are "
                "too few"
            )
        if self.milestones is not None and (in_stages(self) or "epochs" in self.vary):
            yield (
                "--milestones are the same for all trials, and --protocol=coarse_to_fine, "
                "--oracle=hyperband and --vary=epochs have shorter ones: leave them out, and each "
                "drops at 50 % and 75 % of its own epochs"
            )
        if self.protocol == "coarse_to_fine" and self.oracle == "hyperband":
            yield "--protocol=coarse_to_fine has stages of its own: choose another --oracle"
        if self.monitor not in (self.objective, train.Config.monitor):
            yield (
                f"--monitor={self.monitor} is not what trials are judged by, "
                f"--objective={self.objective}: leave it out"
            )
        if self.extend and in_stages(self):
            yield f"--extend: {FIXED}"


def in_stages(config):
    """Whether how trials end decides on those after them."""
    return config.protocol != "plain" or config.oracle == "hyperband"


def no_callbacks(folder):
    """No further callbacks of the trial in a folder."""
    return []


def main(config, space=None, callbacks=no_callbacks):
    """Run the trials that are missing, and write the report.

    Args:
        config: Config.
        space: Function (hp, config) -> config that takes the place of the ready-made search space.
        callbacks: Function of a trial's folder that returns further Keras callbacks, whose files
            belong there.
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
    """The metrics of a plain sweep that is a stage; of one that is over, without saying so."""
    metrics = recipe.finished_metrics(config, "tune", **rules(config))
    return metrics or main(config, space, callbacks)


def train_trial(config, dataset, callbacks):
    """A training run that leaves its curve and metrics alone: those of its best epoch."""
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
    """The training run that the trials of a sweep have in common, before the space varies it."""
    own = {"workdir": None, "monitor": config.objective, "test": False, "extend": False}
    return recipe.as_config(train.Config, config, **own)


def rules(config):
    """Those of `recipe.finished_metrics` for a sweep."""
    found = {"grows": "trials"}
    if not config.worker:
        found["again"] = lambda metrics: metrics.get("failed")
    return found | ({"fixed": FIXED} if in_stages(config) else {})


def finished(config):
    """The metrics of a sweep that is over, after saying so; else None."""
    _, metrics = recipe.begin(config, "tune", **rules(config))
    if metrics and not in_stages(config) and not recipe.whole_command():
        print(f"--extend --trials={2 * config.trials} goes on with it")
        if failed := metrics.get("failed"):
            print(f"--extend tries again what failed: {failed} of {metrics['trials']} trials")
    return metrics


def hypermodel(space, config):
    """A keras_tuner.HyperModel of a search space, for a tuner of your own.

    It builds, compiles and fits as `train` does, with `config`'s data set: call `tuner.search()`
    without data. Batch size and epochs can be tuned, too. The learning rate falls, and the rate of
    NASNet's dropped paths grows, over the epochs that the tuner asks for, or else over those of the
    config. A combination that the space refuses by an error is a failed trial; the tuner itself
    needs a space that accepts its defaults.

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
