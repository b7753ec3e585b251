"""The processes of a sweep: a single one, or a chief and its workers."""

import dataclasses
import functools
import os
import pathlib
import time

import keras_tuner

from cvcourse import recipe, training
from cvcourse.errors import Interrupted, InUse, RunError, UsageError
from cvcourse.files import read_json, write_json
from cvcourse.recipe.child_process import require_importable
from cvcourse.tuning._oracle import (
    Outcome,
    any_left,
    end_trial,
    keep_space,
    next_trial,
    oracle,
    require_same_space,
    trial_folder,
)
from cvcourse.tuning.local_workers import LocalWorkers
from cvcourse.tuning.service import LOOPBACK, Chief, Worker, address_of, from_environment
from cvcourse.tuning.trial import attempt

COMMON = "common.json"  # fingerprint of the data, and versions: equal for all trials of a sweep


def chief_and_worker(config, space=None, callbacks=None):
    """Determine the role of this process from flags or keras-tuner's environment variables.

    Args:
        config: Config of the sweep.
        space: The user's search space, which workers on this machine import.
        callbacks: The user's function of callbacks, which these workers and processes of
            `config.isolate` import.

    Returns:
        (address of the chief, name of this worker), each None if there is none.

    Raises:
        UsageError: For flags that exclude each other, and for functions that other processes cannot
            import.
    """
    if config.isolate:
        require_importable(callbacks, "--isolate")
    address, worker = from_environment()
    address = address_of(config.chief) if config.chief else address
    worker = config.worker or (worker if not config.chief else None)
    if worker and not address:
        raise UsageError(f"--worker={worker} needs the address of the chief: --chief=HOST:PORT")
    if worker and config.workdir is None:
        raise UsageError(f"--worker={worker} needs the directory of the chief: --workdir")
    if address and config.protocol != "plain":
        raise UsageError(f"--protocol={config.protocol} needs --workers instead of --chief")
    if config.workers > 1 and not worker:
        for function in (space, callbacks):
            require_importable(function, "--workers")
    return address, worker


def begin_sweep(sweep, run):
    """Start a sweep, or resume the one in its directory.

    With `config.extend`, failed trials are run again, but only once: otherwise a sweep that is
    killed repeatedly would never get past them.

    Args:
        sweep: Sweep.
        run: recipe.Run of the sweep.

    Returns:
        The oracle, which proposes the missing trials.

    Raises:
        UsageError: If the sweep in the directory has another space or other data.
        RunError: If a file cannot be read.
    """
    config, common = sweep.config, in_common(sweep.dataset)
    if (run.path / COMMON).exists():
        require_common(run.path, {"data": common["data"]})
    names = ("objective", "trials", "epochs", "seed", "retries")
    options = {name: getattr(config, name) for name in names}
    found = oracle(config.oracle, sweep.hyperparameters, run.path, **options)
    if config.extend and not _extended(run.path) and (failed := found.retry_failed()):
        print(f"failed trials to repeat: {failed}", flush=True)
    run.begin()
    keep_space(run.path, sweep.hyperparameters)
    write_json(run.path / COMMON, common)
    return found


def _extended(path):
    """Return whether the sweep in a directory was started with --extend and is unfinished."""
    if (path / "metrics.json").exists() or not (path / "config.json").exists():
        return False
    return read_json(path / "config.json").get("extend") is True


def run_trials(sweep, run, oracle, table):
    """Run the missing trials in this process.

    Args:
        sweep: Sweep.
        run: recipe.Run of the sweep.
        oracle: Oracle of the sweep.
        table: TrialTable that prints the trials as they end.

    Raises:
        Interrupted: After Ctrl-C or SIGTERM, with the command that resumes the sweep.
        Exception: As `attempt` does.
    """
    while trial := next_trial(oracle):
        folder = oracle.trial_folder(trial.trial_id)
        with recipe.subrun(f"trial {trial.trial_id}", run.command):
            outcome = attempt(sweep, trial, folder, table.epochs_of)
        end_trial(oracle, trial, outcome)
        table.end(oracle.get_trial(trial.trial_id), oracle)


def serve_trials(main, sweep, run, oracle, table, address):
    """Serve the missing trials to workers: those started here, and others that connect.

    Args:
        main: Function (config, space, callbacks) that a worker runs.
        sweep: Sweep.
        run: recipe.Run of the sweep.
        oracle: Oracle of the sweep.
        table: TrialTable that prints the trials as they end.
        address: HOST:PORT of the server; None for workers on this machine only.

    Raises:
        UsageError: If the address is not available.
        RunError: If the oracle fails, or too many workers die.
    """
    config = sweep.config
    if not any_left(oracle):
        return
    chief = Chief(oracle, config.worker_timeout)
    with chief.serving(address or f"{LOOPBACK}:0") as served:
        print(f"serving workers at {served}", flush=True)
        own = dataclasses.replace(config, workers=1, chief=served, extend=False)
        crew = LocalWorkers(
            config.workers if config.workers > 1 else 0,
            functools.partial(_take_part, main, own, sweep.space, sweep.callbacks),
            chief,
            log_of=lambda name: run.path / f"worker-{name}.log",
            deaths=(config.retries + 2) * config.workers,
        )
        with crew.at_work():
            over = False
            while not over:
                over = chief.over()
                for worker, trial_id in chief.reassign().items():
                    print(
                        f"worker {worker} has been silent for {config.worker_timeout:g} seconds: "
                        f"trial {trial_id} is assigned to another worker",
                        flush=True,
                    )
                if not over:
                    crew.look_after()
                with chief.lock:
                    while chief.ended:
                        table.end(chief.ended.pop(0), oracle)
                    ongoing = oracle.ongoing_trials.values()
                    running = {trial.trial_id: oracle.run_folder(trial) for trial in ongoing}
                table.show(running)
                time.sleep(0.5)


def _take_part(main, config, space, callbacks, name):
    """Run a worker of LocalWorkers."""
    main(dataclasses.replace(config, worker=name), space, callbacks)


def work_for_chief(sweep, address, finished):
    """Run the trials that a chief assigns, until the sweep is over.

    Args:
        sweep: Sweep. Its config names this worker and the directory that it shares with the chief.
        address: HOST:PORT of the chief.
        finished: Function of the config that returns the metrics of a finished sweep, or None.

    Returns:
        The metrics if the sweep was finished before, else {}.

    Raises:
        UsageError: If the chief has another sweep.
        RunError: If the chief does not answer, and for errors with another cause than a trial.
        Interrupted: After Ctrl-C or SIGTERM.
    """
    try:
        with recipe.continued_by(recipe.command(sweep.config, recipe.program("tune"))):
            return _take_trials(sweep, address, finished)
    except RunError:
        if metrics := finished(sweep.config):  # the chief has finished the sweep
            return metrics
        raise


def _take_trials(sweep, address, finished):
    config = sweep.config
    path = pathlib.Path(os.path.expanduser(config.workdir))
    client = Worker(address, config.worker, path, config.worker_timeout)
    client.wait_for_chief()
    if not (path / COMMON).exists():
        raise UsageError(
            f"--workdir={path} is not the directory of the chief: use the same one, on a shared "
            "disk"
        )
    if metrics := finished(config):
        return metrics
    require_same_space(path, sweep.hyperparameters)
    require_common(path, in_common(sweep.dataset))
    print(f"worker {config.worker} of the sweep in {path}", flush=True)
    while trial := client.next_trial():
        try:
            with client.alive(trial):
                outcome = unless_in_use(sweep, trial, client)
        except (Interrupted, KeyboardInterrupt) as error:
            if client.deserted:
                raise client.deserted from error
            raise Interrupted(
                f"worker {config.worker} stopped in trial {trial.trial_id}, which is assigned to "
                "another worker"
            ) from error
        if outcome:
            client.end_trial(trial, outcome)
            result = outcome.reason or outcome.values[config.objective]
            print(f"trial {trial.trial_id}: {result}", flush=True)
    print("the sweep is over", flush=True)
    return {}


def unless_in_use(sweep, trial, client):
    """Run a trial as soon as no other worker uses its directory.

    Args:
        sweep: Sweep.
        trial: keras_tuner Trial.
        client: Worker that received the trial.

    Returns:
        The Outcome; None if another worker has ended the trial.
    """
    end = time.monotonic() + client.patience
    while True:
        try:
            return attempt(sweep, trial, trial_folder(client.folder, trial.trial_id))
        except InUse as error:
            if not client.runs(trial):
                return None
            if time.monotonic() > end:
                return Outcome(reason=f"{error}, without progress")
            time.sleep(1)


def in_common(dataset):
    """Return the values that must be equal for all trials of a sweep, as {name: value}."""
    versions = training.versions() | {"keras-tuner": keras_tuner.__version__}
    return versions | {"data": dataset.fingerprint()}


def require_common(path, here):
    """Check that values are equal to those with which a sweep was started.

    Args:
        path: Directory of the sweep, as a pathlib.Path.
        here: {name: value}.

    Raises:
        UsageError: If a value differs from the one in COMMON.
        RunError: If COMMON cannot be read or lacks a value.
    """
    remedy = "remove it, and the sweep's own command writes it again"
    there = read_json(path / COMMON, remedy=remedy)
    for name, value in here.items():
        if name not in there:
            raise RunError(f"{path / COMMON} is damaged: it has no {name}; {remedy}")
        if value != there[name]:
            raise UsageError(
                f"the sweep in {path} was started with {name} {there.get(name)}, but {name} is "
                f"{value} here: it must be equal for all trials"
            )
