"""A trial is a training run with values of the search space; what it comes to is an Outcome.

A trial that diverges, breaks or kills its process is a line in the sweep's table. What is not its
fault is raised: the disk, the data, another process in its directory.
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
from cvcourse.tuning.stopping import StopWhereBehind

TRIAL_METRICS = ("val_accuracy", "val_loss", "best_epoch", "epochs", "stopped", "seconds")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What trials are made of.

    Args:
        config: The sweep's own, such as a `tune.Config`.
        common: Config of the training run that the space varies.
        dataset: What all trials train on.
        space: Function (hp, config) -> config.
        hyperparameters: keras_tuner.HyperParameters that it asks for.
        callbacks: Function of a trial's folder that returns further Keras callbacks.
        train: Function (config, dataset, callbacks) that trains in `config.workdir`, or goes on
            there, and returns {name: value} of TRIAL_METRICS.
    """

    config: object
    common: object
    dataset: object
    space: Callable
    hyperparameters: keras_tuner.HyperParameters
    callbacks: Callable
    train: Callable

    def chosen(self, hp):
        """The config of a training run with the values of `hp`, for as many epochs as they say.

        Raises what the space does.
        """
        config = ask(self.space, hp, self.common)
        return dataclasses.replace(config, epochs=hp.values.get("tuner/epochs", config.epochs))


def hyperparameters_of(space, common):
    """Find the hyperparameters that a space asks for: `register`, for a user's space.

    Args:
        space: Function (hp, config) -> config.
        common: Config whose fields it replaces.

    Returns:
        keras_tuner.HyperParameters at their defaults.

    Raises:
        UsageError: If the space refuses all values, or declares what cannot be.
    """
    try:
        with recipe.user_errors():
            return register(space, common)
    except (keras_tuner.errors.FatalError, keras_tuner.errors.FailedTrialError) as error:
        raise UsageError(refusal(error)) from error


def attempt(sweep, trial, folder, watch=lambda *words: []):
    """Train with a trial's values, or go on with it. What it prints is in log.txt.

    Args:
        sweep: Sweep.
        trial: keras_tuner Trial.
        folder: The trial's, as a pathlib.Path.
        watch: Function (trial, epochs, objective) that returns callbacks that show its epochs.

    Returns:
        Outcome.

    Raises:
        UsageError: If the space asks for what it did not ask for before.
        RunError: For what is not the trial's fault.
        Interrupted: After Ctrl-C or SIGTERM.
    """
    config, hp = sweep.config, trial.hyperparameters
    try:
        chosen = sweep.chosen(hp)
    except keras_tuner.errors.FatalError as error:
        raise UsageError(refusal(error)) from error
    except RunError:  # the file of a builder of one's own has changed
        raise
    except Exception as error:
        return Outcome(reason=refusal(error))
    with recipe.user_errors():
        require_registered(hp, sweep.hyperparameters)
    chosen = dataclasses.replace(chosen, workdir=str(folder / "run"))
    in_vain = 0 if config.isolate else count_starts(folder)
    if not config.isolate and in_vain <= config.retries:
        callbacks = [*watch(trial, chosen.epochs, config.objective), *sweep.callbacks(folder)]
        with (
            open(folder / "log.txt", "a", encoding="utf-8") as log,
            contextlib.redirect_stdout(log),
        ):
            return outcome_of(sweep.train, chosen, sweep.dataset, config.stop, callbacks)
    # Whatever ended the sweep's process made the starts vain; how a process of the trial's own ends
    # is the trial's doing.
    killed = "its process was killed {} times before it got on"
    try:
        require_importable(sweep.callbacks, "to try it once more in a process of its own")
    except UsageError as error:
        return Outcome(reason=f"{killed.format(in_vain)}; {error}")
    while True:
        before = progress(folder)
        outcome, how = in_its_own_process(sweep, chosen, folder)
        if outcome:
            return outcome
        in_vain = in_vain + 1 if progress(folder) == before else 0
        if in_vain > config.retries:
            return Outcome(reason=f"{killed.format(in_vain)}, the last time {how}")


def outcome_of(train, config, dataset, stop, callbacks=()):
    """Train, and tell how that ended.

    Args:
        train: As in Sweep.
        config: Config of the training run.
        dataset: What it trains on.
        stop: Name of the rule of `stopping.RULES` by which it is stopped early.
        callbacks: Further Keras callbacks.

    Returns:
        Outcome.

    Raises:
        RunError: For what is not the trial's fault.
        Interrupted: After Ctrl-C or SIGTERM.
    """
    behind = StopWhereBehind(stop, config.monitor, pathlib.Path(config.workdir))
    try:
        with data.report_corrupt_images(dataset):
            metrics = train(config, dataset, [behind, *callbacks])
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
    """Train as `outcome_of` does, in a process that gives its memory back as it ends.

    Args:
        sweep: Sweep.
        config: Config of the training run.
        folder: The trial's, as a pathlib.Path.

    Returns:
        (Outcome, ""), or (None, how the process was killed).

    Raises:
        RunError: For what is not the trial's fault.
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
    """Return the text of an error of a search space; with its class where that says more."""
    text = _one_line(error)
    unmeant = isinstance(error, (TypeError, LookupError, AttributeError, NameError))
    return f"{type(error).__name__}: {text}" if unmeant else text or type(error).__name__


def _one_line(text):
    return " ".join(str(text).split())


def own_metrics(config, rules):
    """Look for the metrics of a trial's run that is over.

    What is another run's is set aside: what the trial's own `train` command leaves where somebody
    runs it, and what is damaged.

    Args:
        config: Config of the trial's training run.
        rules: Those of `recipe.finished_metrics`.

    Returns:
        {name: value} of TRIAL_METRICS; None if the run is new or unfinished.
    """
    path = pathlib.Path(config.workdir)
    while True:
        try:
            metrics = recipe.finished_metrics(config, "train", **rules)
            if metrics and not all(isinstance(metrics[n], (int, float)) for n in TRIAL_METRICS):
                raise RunError(f"{path / 'metrics.json'} holds no metrics of a trial")
            return metrics and {name: metrics[name] for name in TRIAL_METRICS}
        except (UsageError, RunError) as error:
            file = path / "metrics.json"
            foreign = file if isinstance(error, RunError) and file.exists() else path
            with recipe.locked(path):
                set_aside(foreign, str(error).partition("; ")[0])


def keep_metrics(run, resume):
    """Write metrics.json of a trial's run that is over, and remove its checkpoints.

    Args:
        run: recipe.Run of the training.
        resume: training.ExactResume of the training.

    Returns:
        {name: value} of TRIAL_METRICS, of the best epoch.
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
