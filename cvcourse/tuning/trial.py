"""Trials: training runs with values of the search space, which end with an Outcome.

A trial that diverges, fails or kills its process is a row in the sweep's table. Errors with other
causes are raised: the disk, the data, another process in its directory.
"""

import contextlib
import dataclasses
import functools
import gc
import pathlib
import shutil
import signal
from collections.abc import Callable

import keras
import keras_tuner

from cvcourse import data, recipe
from cvcourse.errors import Diverged, Interrupted, RunError, UsageError
from cvcourse.files import set_aside, write_json
from cvcourse.recipe.child_process import INTERRUPTED, ChildProcess, require_importable
from cvcourse.tuning._count_starts import count_starts, progress
from cvcourse.tuning._oracle import Outcome
from cvcourse.tuning.spaces import ask, register, require_registered
from cvcourse.tuning.stopping import StopByRule

TRIAL_METRICS = ("val_accuracy", "val_loss", "best_epoch", "epochs", "stopped", "seconds")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The common parts of all trials of a sweep.

    Args:
        config: Config of the sweep, such as a `tune.Config`.
        common: Config of a training run, which the space varies.
        dataset: Dataset of all trials.
        space: Function (hp, config) -> config.
        hyperparameters: keras_tuner.HyperParameters of the space.
        callbacks: Function of a trial's folder that returns additional Keras callbacks.
        train: Function (config, dataset, callbacks) that trains in `config.workdir`, or resumes the
            training there, and returns {name: value} of TRIAL_METRICS.
    """

    config: object
    common: object
    dataset: object
    space: Callable
    hyperparameters: keras_tuner.HyperParameters
    callbacks: Callable
    train: Callable

    def chosen(self, hp):
        """Return the config of a trial with the values of `hp`, including Hyperband's epochs.

        Raises what the space raises.
        """
        config = ask(self.space, hp, self.common)
        return dataclasses.replace(config, epochs=hp.values.get("tuner/epochs", config.epochs))


def hyperparameters_of(space, common):
    """Find the hyperparameters of a user's space by `register`.

    Args:
        space: Function (hp, config) -> config.
        common: Config whose fields the space replaces.

    Returns:
        keras_tuner.HyperParameters with their default values.

    Raises:
        UsageError: If the space rejects all values, or is not valid.
    """
    try:
        with recipe.user_errors():
            return register(space, common)
    except (keras_tuner.errors.FatalError, keras_tuner.errors.FailedTrialError) as error:
        raise UsageError(refusal(error)) from error


def attempt(sweep, trial, folder, watch=lambda *words: []):
    """Run or resume a trial. Its output goes to log.txt.

    Args:
        sweep: Sweep.
        trial: keras_tuner Trial.
        folder: Folder of the trial, as a pathlib.Path.
        watch: Function (trial, epochs, objective) that returns callbacks that display its epochs.

    Returns:
        The Outcome.

    Raises:
        UsageError: If the space requests a hyperparameter that is not registered.
        RunError: For errors with another cause than the trial.
        Interrupted: After Ctrl-C or SIGTERM.
    """
    config, hp = sweep.config, trial.hyperparameters
    try:
        chosen = sweep.chosen(hp)
    except keras_tuner.errors.FatalError as error:
        raise UsageError(refusal(error)) from error
    except RunError:  # the file of a user's builder has changed
        raise
    except Exception as error:
        return Outcome(reason=refusal(error))
    with recipe.user_errors():
        require_registered(hp, sweep.hyperparameters)
    chosen = dataclasses.replace(chosen, workdir=str(folder / "run"))
    failures = 0 if config.isolate else count_starts(folder)
    if not config.isolate and failures <= config.retries:
        callbacks = [*watch(trial, chosen.epochs, config.objective), *sweep.callbacks(folder)]
        with (
            open(folder / "log.txt", "a", encoding="utf-8") as log,
            contextlib.redirect_stdout(log),
        ):
            return outcome_of(sweep.train, chosen, sweep.dataset, config.stop, callbacks)
    # Anything may have killed the sweep's process; a separate process shows if it was the trial.
    killed = "its process was killed {} times before it made progress"
    try:
        require_importable(sweep.callbacks, "to run it in a separate process")
    except UsageError as error:
        return Outcome(reason=f"{killed.format(failures)}; {error}")
    while True:
        before = progress(folder)
        outcome, how = in_its_own_process(sweep, chosen, folder)
        if outcome:
            return outcome
        failures = failures + 1 if progress(folder) == before else 0
        if failures > config.retries:
            return Outcome(reason=f"{killed.format(failures)}, the last time {how}")


def outcome_of(train, config, dataset, stop, callbacks=()):
    """Train, and return the Outcome.

    Args:
        train: As in Sweep.
        config: Config of the training run.
        dataset: Its Dataset.
        stop: Name of the rule of `stopping.RULES` that stops it early.
        callbacks: Additional Keras callbacks.

    Returns:
        The Outcome.

    Raises:
        RunError: For errors with another cause than the trial.
        Interrupted: After Ctrl-C or SIGTERM.
    """
    stopper = StopByRule(stop, config.monitor, pathlib.Path(config.workdir))
    try:
        with data.report_corrupt_images(dataset):
            metrics = train(config, dataset, [stopper, *callbacks])
    except Exception as error:
        if isinstance(error, (Interrupted, RunError)) and not isinstance(error, Diverged):
            raise
        if isinstance(error, OSError):
            raise RunError(f"cannot write to {config.workdir}: {error.strerror}") from error
        return Outcome(reason=_one_line(recipe.exit_code(error)[1]))
    keras.backend.clear_session()
    gc.collect()
    return Outcome(metrics, metrics["best_epoch"])


def in_its_own_process(sweep, config, folder):
    """Train as `outcome_of` does, in a separate process, whose end frees its memory.

    Args:
        sweep: Sweep.
        config: Config of the training run.
        folder: Folder of the trial, as a pathlib.Path.

    Returns:
        (Outcome, ""), or (None, description of how the process was killed).

    Raises:
        RunError: For errors with another cause than the trial.
        KeyboardInterrupt: After Ctrl-C.
    """
    work = functools.partial(
        _load_and_train, sweep.train, config, folder, sweep.config.stop, sweep.callbacks
    )
    process = ChildProcess(work, folder / "log.txt")
    if outcome := process.answer():
        return outcome, ""
    code = process.returncode
    if code == INTERRUPTED:
        return None, "by SIGTERM"
    return (
        None,
        f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}: see log.txt",
    )


def _load_and_train(train, config, folder, stop, callbacks):
    return outcome_of(train, config, data.of(config), stop, callbacks(folder))


def refusal(error):
    """Return the text of an error of a search space, with the class of an unintended one."""
    text = _one_line(error)
    unintended = isinstance(error, (TypeError, LookupError, AttributeError, NameError))
    return f"{type(error).__name__}: {text}" if unintended else text or type(error).__name__


def _one_line(text):
    return " ".join(str(text).split())


def own_metrics(config, rules):
    """Look for the metrics of a finished trial.

    Damaged files are set aside, and files of another run, such as those of a `train` command in the
    trial's directory.

    Args:
        config: Config of the trial's training run.
        rules: Keyword arguments of `recipe.finished_metrics`.

    Returns:
        {name: value} of TRIAL_METRICS; None if the run is new or unfinished.
    """
    path = pathlib.Path(config.workdir)
    while True:
        try:
            metrics = recipe.finished_metrics(config, "train", **rules)
            if metrics and not all(isinstance(metrics[n], (int, float)) for n in TRIAL_METRICS):
                raise RunError(f"{path / 'metrics.json'} does not hold the metrics of a trial")
            return metrics and {name: metrics[name] for name in TRIAL_METRICS}
        except (UsageError, RunError) as error:
            file = path / "metrics.json"
            foreign = file if isinstance(error, RunError) and file.exists() else path
            with recipe.locked(path):
                set_aside(foreign, str(error).partition("; ")[0])


def keep_metrics(run, resume):
    """Write metrics.json of a finished trial, and remove its checkpoints.

    Args:
        run: recipe.Run of the training.
        resume: training.ExactResume of the training.

    Returns:
        {name: value} of TRIAL_METRICS.
    """
    history = resume.history
    best = history[resume.best_epoch - 1]
    short = len(history) < run.config.epochs
    metrics = {
        "val_accuracy": best["val_accuracy"],
        "val_loss": best["val_loss"],
        "best_epoch": resume.best_epoch,
        "epochs": len(history),
        "stopped": int(short and not resume.early_stopping.stopped_epoch),
        "seconds": round(resume.total_seconds(), 1),
    }
    write_json(run.path / "metrics.json", metrics)
    shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    return metrics
