"""Who runs the trials of a sweep: this process alone, or workers that a chief leads."""

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

COMMON = "common.json"  # what all trials of a sweep must have in common: data and versions


def chief_and_worker(config, space=None, callbacks=None):
    """Find out who this process is in a sweep: by flags, or keras-tuner's environment variables.

    Args:
        config: The sweep's.
        space: The user's, of which workers on this machine need a copy.
        callbacks: The user's, of which these workers and `config.isolate` need a copy.

    Returns:
        (the chief's address, this worker's name), None each where there is none.

    Raises:
        UsageError: For what does not go together, and for functions that other processes cannot
            have.
    """
    if config.isolate:
        require_importable(callbacks, "--isolate")
    address, worker = from_environment()
    address = address_of(config.chief) if config.chief else address
    worker = config.worker or (worker if not config.chief else None)
    if worker and not address:
        raise UsageError(f"--worker={worker} needs the chief's address: --chief=HOST:PORT")
    if worker and config.workdir is None:
        raise UsageError(f"--worker={worker} needs the chief's directory: --workdir")
    if address and config.protocol != "plain":
        raise UsageError(f"--protocol={config.protocol} takes --workers, and no --chief")
    if config.workers > 1 and not worker:
        for function in (space, callbacks):
            require_importable(function, "--workers")
    return address, worker


def begin_sweep(sweep, run):
    """Begin a sweep, or take up what its directory holds.

    With `config.extend`, trials that failed are to be run again: once, or else a sweep that is
    killed now and then would never get beyond them.

    Args:
        sweep: Sweep.
        run: recipe.Run of the sweep.

    Returns:
        The oracle with the trials that are missing.

    Raises:
        UsageError: If the sweep there has another space or other data.
        RunError: If a file cannot be read.
    """
    config, common = sweep.config, in_common(sweep.dataset)
    if (run.path / COMMON).exists():
        require_common(run.path, {"data": common["data"]})
    names = ("objective", "trials", "epochs", "seed", "retries")
    options = {name: getattr(config, name) for name in names}
    found = oracle(config.oracle, sweep.hyperparameters, run.path, **options)
    if config.extend and not _extended(run.path) and (failed := found.retry_failed()):
        print(f"failed trials that are tried again: {failed}", flush=True)
    run.begin()
    keep_space(run.path, sweep.hyperparameters)
    write_json(run.path / COMMON, common)
    return found


def _extended(path):
    """Whether the sweep in a directory was begun with --extend and is unfinished."""
    if (path / "metrics.json").exists() or not (path / "config.json").exists():
        return False
    return read_json(path / "config.json").get("extend") is True


def run_trials(sweep, run, oracle, table):
    """Run the trials that are missing in this process, one after the other.

    Args:
        sweep: Sweep.
        run: recipe.Run of the sweep.
        oracle: The oracle whose trials they are.
        table: TrialTable that prints them as they end.

    Raises:
        Interrupted: After Ctrl-C or SIGTERM, with the command that goes on.
        Exception: What `attempt` raises.
    """
    while trial := next_trial(oracle):
        folder = oracle.trial_folder(trial.trial_id)
        with recipe.subrun(f"trial {trial.trial_id}", run.command):
            outcome = attempt(sweep, trial, folder, table.epochs_of)
        end_trial(oracle, trial, outcome)
        table.end(oracle.get_trial(trial.trial_id), oracle)


def serve_trials(main, sweep, run, oracle, table, address):
    """Serve the trials that are missing to workers: those started here, and others that ask.

    Args:
        main: Function (config, space, callbacks) with which a worker takes part in the sweep.
        sweep: Sweep.
        run: recipe.Run of the sweep.
        oracle: The oracle whose trials they are.
        table: TrialTable that prints them as they end.
        address: HOST:PORT to serve at; None for workers on this machine alone.

    Raises:
        UsageError: If the address cannot be served.
        RunError: If the oracle fails, or workers end again and again.
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
                        f"worker {worker} is silent for {config.worker_timeout:g} seconds: trial "
                        f"{trial_id} goes to the next that asks",
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
    """Be a worker of a LocalWorkers."""
    main(dataclasses.replace(config, worker=name), space, callbacks)


def work_for_chief(sweep, address, finished):
    """Run the trials that a chief gives, until there are no more.

    Args:
        sweep: Sweep; its config names this worker and the directory, which it shares with the
            chief.
        address: The chief's HOST:PORT.
        finished: Function of the config that returns the metrics of a sweep that is over, or None.

    Returns:
        The metrics if the sweep was over, else {}.

    Raises:
        UsageError: If the chief's sweep is another one.
        RunError: If the chief does not answer, and for what is not a trial's fault.
        Interrupted: After Ctrl-C or SIGTERM.
    """
    try:
        with recipe.continued_by(recipe.command(sweep.config, recipe.program("tune"))):
            return _take_trials(sweep, address, finished)
    except RunError:
        if metrics := finished(sweep.config):  # the chief has gone since all is done
            return metrics
        raise


def _take_trials(sweep, address, finished):
    config = sweep.config
    path = pathlib.Path(os.path.expanduser(config.workdir))
    client = Worker(address, config.worker, path, config.worker_timeout)
    client.wait_for_chief()
    if not (path / COMMON).exists():
        raise UsageError(f"--workdir={path} is not the chief's: it must lie on a disk they share")
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
            said = f"worker {config.worker} stopped in trial {trial.trial_id}, which the next takes"
            raise Interrupted(said) from error
        if outcome:
            client.end_trial(trial, outcome)
            said = outcome.reason or outcome.values[config.objective]
            print(f"trial {trial.trial_id}: {said}", flush=True)
    print("the sweep is over", flush=True)
    return {}


def unless_in_use(sweep, trial, client):
    """Run a trial once no other worker is in its directory.

    Returns:
        Outcome; None if another worker, who has the trial too, has ended it.
    """
    end = time.monotonic() + client.patience
    while True:
        try:
            return attempt(sweep, trial, trial_folder(client.folder, trial.trial_id))
        except InUse as error:
            if not client.runs(trial):
                return None
            if time.monotonic() > end:
                return Outcome(reason=f"{error}, and does not get on")
            time.sleep(1)


def in_common(dataset):
    """Return what all trials of a sweep must have in common, as {name: value}."""
    versions = training.versions() | {"keras-tuner": keras_tuner.__version__}
    return versions | {"data": dataset.fingerprint()}


def require_common(path, here):
    """Check what is in common against what a sweep was begun with.

    Args:
        path: The sweep's directory, as a pathlib.Path.
        here: {name: value}.

    Raises:
        UsageError: If a value differs from the one in COMMON.
        RunError: If COMMON cannot be read or lacks one.
    """
    remedy = "remove it, and the sweep's own command writes it again"
    there = read_json(path / COMMON, remedy=remedy)
    for name, value in here.items():
        if name not in there:
            raise RunError(f"{path / COMMON} is damaged: it has no {name}; {remedy}")
        if value != there[name]:
            raise UsageError(
                f"the sweep in {path} was begun with {name} {there.get(name)}, and here is "
                f"{value}: all its trials must have the same"
            )
