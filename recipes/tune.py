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

import contextlib
import dataclasses
import functools
import gc
import json
import multiprocessing
import os
import pathlib
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from multiprocessing import spawn

from cvcourse.recipes import train

from cvcourse import distribution, recipe
from cvcourse.errors import Diverged, Interrupted, InUse, RunError, UsageError
from cvcourse.files import read_json, set_aside, write_json, write_text
from cvcourse.startup import import_tensorflow_quietly

PARTS = (  # what a ready-made space can vary: those of cvcourse.tuning
    *("optimizer", "learning_rate", "weight_decay", "batch_size", "schedule", "augment", "dropout"),
    *("width", "depth", "epochs"),
)
STAGES = ((1 / 2, 1 / 9), (1 / 3, 1 / 3), (None, 1))  # shares of the trials and of their epochs
EXAMPLES = 32  # of the doctor
COMMON = "common.json"  # what all trials of a sweep must have in common: data and versions
TRIAL_METRICS = ("val_accuracy", "val_loss", "best_epoch", "epochs", "stopped", "seconds")
INTERRUPTED = 130  # the code of a trial's process that was asked to stop
OWN_OPTIONS = {  # of fit(), that a hypermodel sets itself
    *("x", "y", "sample_weight", "batch_size", "shuffle", "steps_per_epoch"),
    *("validation_data", "validation_split", "validation_batch_size"),
}


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


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What trials are made of."""

    config: Config
    space: object  # (hp, config) -> config
    callbacks: object  # folder -> Keras callbacks of a trial
    common: train.Config  # what the space varies
    dataset: object
    hyperparameters: object  # those that the space asks for


def none_more(folder):
    """No further callbacks of the trial in a folder."""
    return []


def main(config, space=None, callbacks=none_more):
    """Run the trials that are missing, report; returns what metrics.json holds.

    `space(hp, config) -> config` takes the place of the ready-made search space, and
    `callbacks(folder)` gives further Keras callbacks of a trial, whose files belong into `folder`.
    Raises UsageError for wrong values, another space or another sweep's workdir, before any
    training; RunError for data that cannot be read, or where every trial has failed.
    """
    config = recipe.check(config)
    distribution.require_one_process(config.strategy)
    if config.protocol == "coarse_to_fine" and config.trials < len(STAGES):
        raise UsageError(
            f"--protocol=coarse_to_fine has {len(STAGES)} stages: --trials={config.trials} "
            "are too few"
        )
    shortened = config.protocol == "coarse_to_fine" or config.oracle == "hyperband"
    if config.milestones is not None and (shortened or "epochs" in config.vary):
        raise UsageError(
            "--milestones are the same for all trials, and --protocol=coarse_to_fine, "
            "--oracle=hyperband and --vary=epochs have shorter ones: leave them out, and each "
            "drops at 50 % and 75 % of its own epochs"
        )
    if config.protocol == "coarse_to_fine" and config.oracle == "hyperband":
        raise UsageError("--protocol=coarse_to_fine has stages of its own: choose another --oracle")
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(
            "other processes need this script's functions: it begins its sweep under: "
            'if __name__ == "__main__":'
        )
    if config.isolate:
        require_importable(callbacks, "--isolate")
    if metrics := finished(config):
        return metrics
    import_tensorflow_quietly()

    import keras_tuner

    from cvcourse import tuning

    address, worker = parties(config, space, callbacks)
    config = dataclasses.replace(config, worker=worker)
    common = trial_config(config)
    dataset = train.rehearse([common])
    with recipe.usage():
        common = dataclasses.replace(common, augment=train.settled(common, dataset).augment)
        space = space or tuning.ready_made(config.vary)
        try:
            hyperparameters = tuning.register(space, common)
        except (keras_tuner.errors.FatalError, keras_tuner.errors.FailedTrialError) as error:
            raise UsageError(refusal(error)) from error
    sweep = Sweep(config, space, callbacks, common, dataset, hyperparameters)
    if worker:
        return work(sweep, address)
    with recipe.claim(config, "tune", config.model, config.dataset, **rules(config)) as run:
        sweep = dataclasses.replace(sweep, config=run.config)
        common_to_all = in_common(dataset)
        if (run.path / COMMON).exists():
            require_common(run.path, {"data": common_to_all["data"]})
        if config.protocol == "coarse_to_fine":
            return coarse_to_fine(sweep, run)
        oracle = tuning.oracle(
            config.oracle,
            hyperparameters,
            run.path,
            objective=config.objective,
            trials=config.trials,
            epochs=config.epochs,
            seed=config.seed,
            retries=config.retries,
        )
        if config.extend and not goes_on_extended(run.path) and (failed := oracle.retry_failed()):
            print(f"failed trials that are tried again: {failed}", flush=True)
        run.begin()
        tuning.keep_space(run.path, hyperparameters)
        write_json(run.path / COMMON, common_to_all)
        table = tuning.TrialTable(tuning.names_of(hyperparameters), config.objective, sys.stdout)
        if address or config.workers > 1:
            lead(sweep, run, oracle, table, address)
        else:
            alone(sweep, run, oracle, table)
        return conclude(sweep, run, oracle)


def alone(sweep, run, oracle, table):
    """Run the trials that are missing in this process, one after the other."""
    from cvcourse import tuning

    while trial := tuning.next_trial(oracle):
        with recipe.part(f"trial {trial.trial_id}", run.command):
            outcome = attempt(sweep, trial, oracle.trial_folder(trial.trial_id), table.epochs_of)
        tuning.end_trial(oracle, trial, outcome)
        table.end(oracle.get_trial(trial.trial_id), oracle)


def rules(config):
    """Those of `recipe.recognize` for a sweep."""
    found = {"grows": "trials"}
    if not config.worker:
        found["again"] = lambda metrics: metrics.get("failed")
    if config.protocol != "plain" or config.oracle == "hyperband":
        found["fixed"] = (
            "a sweep in stages or of hyperband takes no more trials and tries none again: how its "
            "trials ended decided on those after them"
        )
    return found


def finished(config):
    """The metrics of a sweep that is over, after saying so; else None."""
    fixed = rules(config).get("fixed")
    if config.extend and fixed:
        raise UsageError(f"--extend: {fixed}")
    if metrics := recipe.recognize(config, "tune", **rules(config)):
        print(f"{config.workdir} is finished: {json.dumps(metrics)}")
        if not fixed and not recipe.whole_command():
            print(f"--extend --trials={2 * config.trials} goes on with it")
            if failed := metrics.get("failed"):
                print(f"--extend tries again what failed: {failed} of {metrics['trials']} trials")
    return metrics


def goes_on_extended(path):
    """Whether the sweep in a directory was begun with --extend and is unfinished.

    It has tried again what had failed: once, or else a sweep that is killed now and then would
    never get beyond its failed trials.
    """
    if (path / "metrics.json").exists() or not (path / "config.json").exists():
        return False
    return read_json(path / "config.json").get("extend") is True


def parties(config, *functions):
    """(the chief's address, this worker's name), None each where there is none: flags or
    keras-tuner's environment variables. Raises UsageError for what does not go together, and for
    `functions` that workers on this machine could not have.
    """
    from cvcourse import tuning

    address, worker = tuning.from_environment()
    address = tuning.address_of(config.chief) if config.chief else address
    worker = config.worker or (worker if not config.chief else None)
    if worker and not address:
        raise UsageError(f"--worker={worker} needs the chief's address: --chief=HOST:PORT")
    if worker and config.workdir is None:
        raise UsageError(f"--worker={worker} needs the chief's directory: --workdir")
    if address and config.protocol != "plain":
        raise UsageError(f"--protocol={config.protocol} takes --workers, and no --chief")
    if config.workers > 1 and not worker:
        for function in functions:
            require_importable(function, "--workers")
    return address, worker


def require_importable(function, why):
    """Raise UsageError for a function that another process cannot have by its name."""
    try:
        pickle.dumps(function)
        in_main = getattr(function, "__module__", "") == "__main__"
        if in_main and not hasattr(sys.modules["__main__"], "__file__"):
            raise ValueError("it is defined in a notebook or a terminal")
    except Exception as error:
        raise UsageError(
            f"{why}: a function that other processes need stands at the top level of a module: "
            f"{error}"
        ) from error


def lead(sweep, run, oracle, table, address):
    """Serve the trials that are missing to workers: those started here, and others that ask."""
    from cvcourse import tuning

    config = sweep.config
    if not tuning.any_left(oracle):
        return
    chief = tuning.Chief(oracle, config.worker_timeout)
    with (
        chief.serving(address or f"{tuning.LOOPBACK}:0") as served,
        contextlib.ExitStack() as stack,
    ):
        print(f"serving workers at {served}", flush=True)
        crew = None
        if config.workers > 1:
            # As bytes: to make functions of them, a worker imports TensorFlow, which greets.
            functions = pickle.dumps((sweep.space, sweep.callbacks))
            crew = tuning.Crew(
                config.workers,
                functools.partial(worker_process, config, functions, os.getpid(), run.command),
                chief,
                served,
                log_of=functools.partial(worker_log, run.path),
                deaths=(config.retries + 2) * config.workers,
            )
            stack.enter_context(crew.at_work())
        over = False
        while not over:
            over = chief.over()
            for worker, trial_id in chief.hand_over().items():
                print(
                    f"worker {worker} is silent for {config.worker_timeout:g} seconds: trial "
                    f"{trial_id} goes to the next that asks",
                    flush=True,
                )
            if crew and not over:
                crew.look_after()
            with chief.lock:
                while chief.ended:
                    table.end(chief.ended.pop(0), oracle)
                running = {t.trial_id: oracle.run_folder(t) for t in oracle.ongoing_trials.values()}
            table.show(running)
            time.sleep(0.5)


def work(sweep, address):
    """Run the trials that a chief gives, until there are no more."""
    again = recipe.command(sweep.config, recipe.program("tune"))
    try:
        with recipe.continued_by(again):
            return take_trials(sweep, address)
    except RunError:
        if metrics := finished(sweep.config):  # the chief has gone since all is done
            return metrics
        raise


def take_trials(sweep, address):
    """The same; raises RunError also where the chief has ended the sweep meanwhile."""
    from cvcourse import tuning

    config = sweep.config
    path = pathlib.Path(os.path.expanduser(config.workdir))
    client = tuning.Worker(address, config.worker, path, config.worker_timeout)
    client.wait_for_chief()
    if not (path / COMMON).exists():
        raise UsageError(f"--workdir={path} is not the chief's: it must lie on a disk they share")
    if metrics := finished(config):
        return metrics
    tuning.require_same_space(path, sweep.hyperparameters)
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
    """The Outcome of an attempt; None where another worker, who has the trial too, has ended it."""
    from cvcourse import tuning

    end = time.monotonic() + client.patience
    while True:
        try:
            return attempt(sweep, trial, tuning.trial_folder(client.folder, trial.trial_id))
        except InUse as error:
            if not client.runs(trial):
                return None
            if time.monotonic() > end:
                return tuning.Outcome(reason=f"{error}, and does not get on")
            time.sleep(1)


def worker_process(config, functions, parent, command, name, address, pipe):
    """A worker on this machine, in a process of its own, which ends where its parent has died.

    An error that ends it goes through the pipe: the disk of its log may be full.
    """
    os.setsid()  # Ctrl-C reaches it once: through its parent
    threading.Thread(target=die_with, args=[parent], daemon=True).start()
    folder = pathlib.Path(os.path.expanduser(config.workdir))
    with open(worker_log(folder, name), "ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    config = dataclasses.replace(config, workers=1, worker=name, chief=address, extend=False)
    flags = shlex.split(recipe.command(config, "tune"))[1:]
    import_tensorflow_quietly()
    space, callbacks = pickle.loads(functions)

    def call(config):
        try:
            with recipe.continued_by(command):
                main(config, space, callbacks)
        except Exception as error:
            pipe.send(recipe.verdict(error)[1])
            raise

    sys.exit(recipe.run(call, Config, flags, name="tune"))


def worker_log(folder, name):
    """Where a worker of this machine says what it does."""
    return folder / f"worker-{name}.log"


def in_common(dataset):
    """What all trials of a sweep must have in common, as {name: value}."""
    import keras_tuner

    from cvcourse import training

    versions = training.versions() | {"keras-tuner": keras_tuner.__version__}
    return versions | {"data": dataset.fingerprint()}


def require_common(path, here):
    """Raise UsageError where {name: value} differs from COMMON in a sweep's directory."""
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


def coarse_to_fine(sweep, run):
    """The course's protocol: the doctor, three sweeps from coarse to fine, one look at the test."""
    from cvcourse import training, tuning

    config = sweep.config
    run.begin()
    lead = first_checks(sweep.common, sweep.dataset)
    print(*lead, sep="\n", flush=True)
    ranges, rows = {}, [["stage", "trials", "epochs", "best", "ranges of the next"]]
    left = config.trials
    for number, (share, pace) in enumerate(STAGES, start=1):
        last = number == len(STAGES)
        stage = dataclasses.replace(
            config,
            protocol="plain",
            workdir=str(run.path / f"stage{number}"),
            trials=left if last else max(1, int(share * config.trials)),
            epochs=max(1, round(pace * config.epochs)),
            extend=False,
        )
        left -= stage.trials
        within = tuning.narrowed(sweep.space, ranges)
        with recipe.part(f"stage {number}", run.command):
            done = recipe.recognize(stage, "tune", **rules(stage))
            found = done or main(stage, within, sweep.callbacks)
        good = tuning.good_ones(tuning.kept_trials(pathlib.Path(stage.workdir)), config.objective)
        ranges |= tuning.ranges_of(tuning.register(within, sweep.common).space, good)
        words = {True: " to ", False: " or "}  # a range, or values
        said = "; ".join(
            f"{name} {words[isinstance(ends, tuple)].join(map(tuning.said, ends))}"
            for name, ends in ranges.items()
        )
        best = f"{config.objective} {found[config.objective]:.4f}"
        rows.append([str(number), str(stage.trials), str(stage.epochs), best, "" if last else said])
    trials = {trial.trial_id: trial for trial in tuning.kept_trials(pathlib.Path(stage.workdir))}
    lead += tuning.at_the_border(sweep.hyperparameters.space, trials[found["best_trial"]])
    chosen = recipe.parse(train.Config, [f"--config={pathlib.Path(stage.workdir) / 'best.json'}"])
    with recipe.part("the winner's training", run.command):
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
    return training.write_page(
        run.path,
        metrics=metrics,
        title=f"From coarse to fine: {config.model} on {pathlib.Path(config.dataset).stem}",
        lead=[*lead, "The test split was evaluated once, for the last stage's winner."],
        tables={"Stages": rows},
        figures={},
        config=dataclasses.asdict(run.config),
    )


def first_checks(config, dataset):
    """What the training doctor says of the first loss and of a few images learned by heart."""
    import math

    import numpy as np

    from cvcourse import data, optimization
    from cvcourse.training import doctor

    count, classes = min(EXAMPLES, len(dataset.train)), dataset.num_classes
    batches = data.stream(dataset.train, batch_size=count, seed=config.seed)
    few = [np.array(part) for part in next(iter(batches))]
    steps = data.steps_per_epoch(dataset.train, min(config.batch_size, len(dataset.train)))
    chance = math.log(classes) if config.loss == "softmax" else classes - 1.0
    options = {"loss": optimization.LOSSES[config.loss](), "chance": chance}
    findings = []
    for examine in (doctor.initial_loss, doctor.memorize):
        model = train.compiled(config, train.build(config, dataset), steps)
        findings.append(str(examine(model, *few, **options)))
    return findings


def trial_config(config):
    """The training run that the trials of a sweep have in common, before the space varies it."""
    own = {"workdir": None, "monitor": config.objective, "test": False, "extend": False}
    return recipe.as_config(train.Config, config, **own)


def attempt(sweep, trial, folder, watch=lambda *words: []):
    """Train as a trial's values say, or go on with it: an Outcome. What it prints is in log.txt.

    `watch(trial, epochs, objective)` gives callbacks that show its epochs.
    """
    import keras_tuner

    from cvcourse import tuning

    config, hp = sweep.config, trial.hyperparameters
    try:
        tuned = tuning.ask(sweep.space, hp, sweep.common)
    except keras_tuner.errors.FatalError as error:
        raise UsageError(refusal(error)) from error
    except Exception as error:
        return tuning.Outcome(reason=refusal(error))
    with recipe.usage():
        tuning.require_registered(hp, sweep.hyperparameters)
    epochs = trial.hyperparameters.values.get("tuner/epochs", tuned.epochs)
    tuned = dataclasses.replace(tuned, workdir=str(folder / "run"), epochs=epochs)
    in_vain = 0 if config.isolate else tuning.starts(folder)
    if not config.isolate and in_vain <= config.retries:
        callbacks = [*watch(trial, epochs, config.objective), *sweep.callbacks(folder)]
        with (
            open(folder / "log.txt", "a", encoding="utf-8") as log,
            contextlib.redirect_stdout(log),
        ):
            return outcome_of(tuned, sweep.dataset, config.stop, callbacks)
    # Whatever ended the sweep's process made the starts vain; how a process of the trial's own ends
    # is the trial's doing.
    killed = "its process was killed {} times before it got on"
    try:
        require_importable(sweep.callbacks, "to try it once more in a process of its own")
    except UsageError as error:
        return tuning.Outcome(reason=f"{killed.format(in_vain)}; {error}")
    while True:
        before = tuning.progress(folder)
        outcome, how = in_its_own_process(tuned, folder, config.stop, sweep.callbacks)
        if outcome:
            return outcome
        in_vain = in_vain + 1 if tuning.progress(folder) == before else 0
        if in_vain > config.retries:
            return tuning.Outcome(reason=f"{killed.format(in_vain)}, the last time {how}")


def outcome_of(config, dataset, stop, callbacks=()):
    """The Outcome of a trial's training run.

    Raises Interrupted, and RunError for what is not the trial's fault: the disk, the data, another
    process in it.
    """
    from cvcourse import data, tuning

    behind = tuning.StopWhereBehind(stop, config.monitor, pathlib.Path(config.workdir))
    try:
        with data.naming_broken_images(dataset):
            metrics = train_trial(config, dataset, [behind, *callbacks])
    except Diverged as error:
        return failed(error)
    except (Interrupted, RunError):
        raise
    except OSError as error:
        raise RunError(f"cannot write to {config.workdir}: {error.strerror}") from error
    except Exception as error:
        return failed(error)
    return tuning.Outcome(metrics, metrics["best_epoch"])


def failed(error):
    """The Outcome of a trial that ended in an error."""
    from cvcourse import tuning

    _, reason = recipe.verdict(error)
    return tuning.Outcome(reason=" ".join(reason.split()))


def refusal(error):
    """The text of an error that a search space raised; with its class where that says more."""
    text = " ".join(str(error).split())
    unmeant = isinstance(error, (TypeError, LookupError, AttributeError, NameError))
    return f"{type(error).__name__}: {text}" if unmeant else text or type(error).__name__


def in_its_own_process(config, folder, stop, callbacks):
    """(Outcome, ""), or (None, how the process was killed): memory is given back with it.

    Raises RunError for what is not the trial's fault.
    """
    from cvcourse import tuning

    task = {"config": config, "folder": folder, "stop": stop, "parent": os.getpid()}
    task |= {"command": recipe.whole_command() or "", "callbacks": None, "main": None}
    if callbacks is not none_more:  # which may be those of the script that began the sweep
        prepare = spawn.get_preparation_data(folder.name)
        prepare.pop("authkey")  # a secret of multiprocessing's, which this is not
        task |= {"callbacks": pickle.dumps(callbacks), "main": prepare}
    with open(folder / "log.txt", "ab") as log:
        words = [sys.executable, "-c", "from cvcourse.recipes import tune; tune.child()"]
        # In a session of its own, Ctrl-C reaches it once: through this process.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        process = subprocess.Popen(words, **pipes, start_new_session=True)
        try:
            answer, _ = process.communicate(pickle.dumps(task))
        except KeyboardInterrupt:
            process.terminate()  # it writes its checkpoint
            process.wait()
            raise
    if not answer:
        code = process.returncode
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}: see log.txt"
        return None, "by SIGTERM" if code == INTERRUPTED else how
    answer = pickle.loads(answer)
    if isinstance(answer, tuning.Outcome):
        return answer, ""
    raise answer


def child():
    """A trial in a process of its own, which ends where its parent has died.

    Its task comes through standard input. Through standard output goes its Outcome, or an error
    that is not its fault, and nothing where it is killed.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what it prints goes into the log
    task = pickle.load(sys.stdin.buffer)
    threading.Thread(target=die_with, args=[task["parent"]], daemon=True).start()
    import_tensorflow_quietly()

    from cvcourse import data

    config, folder, callbacks = task["config"], task["folder"], none_more
    try:
        with recipe.continued_by(task["command"]):
            if task["main"]:
                become(task["main"])
                callbacks = pickle.loads(task["callbacks"])
            dataset = data.of(config)
            answer = outcome_of(config, dataset, task["stop"], callbacks(folder))
    except Interrupted:
        sys.exit(INTERRUPTED)
    except Exception as error:
        with contextlib.suppress(OSError):  # the disk of the log may be full
            traceback.print_exc()
        answer = (InUse if isinstance(error, InUse) else RunError)(recipe.verdict(error)[1])
    answers.write(pickle.dumps(answer))
    answers.close()


def become(main):
    """Import the script that began the sweep, as multiprocessing does, for its functions."""
    process = multiprocessing.current_process()
    process._inheriting = True
    try:
        spawn.prepare(main)
    except SystemExit as error:
        raise UsageError(str(error)) from error
    finally:
        del process._inheriting


def die_with(parent):
    """End this process, as a power cut would, once `parent` is no longer its parent."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def train_trial(config, dataset, callbacks):
    """A training run that leaves its curve and metrics alone: those of its best epoch."""
    import keras

    config = recipe.check(config)
    rules = {"metrics": TRIAL_METRICS}
    if metrics := own_metrics(config, rules):
        return metrics
    keras.utils.set_random_seed(config.seed)
    settled, model = train.prepared(config, dataset)
    with recipe.claim(config, "train", **rules) as run:
        resume = train.fit(model, settled, dataset, run, files=False, callbacks=callbacks)
        best = resume.history[resume.best_epoch - 1]
        short = len(resume.history) < config.epochs
        metrics = {
            "val_accuracy": best["val_accuracy"],
            "val_loss": best["val_loss"],
            "best_epoch": resume.best_epoch,
            "epochs": len(resume.history),
            "stopped": int(short and not resume.early_stopping.stopped_epoch),
            "seconds": round(resume.total_seconds(), 1),
        }
        write_json(run.path / "metrics.json", metrics)
        shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    del model, resume
    keras.backend.clear_session()
    gc.collect()
    return metrics


def own_metrics(config, rules):
    """The metrics of a trial's run that is over, else None; what is another run's is set aside.

    That is what its own `train` command leaves where somebody runs it, and what is damaged.
    """
    path = pathlib.Path(config.workdir)
    while True:
        try:
            metrics = recipe.recognize(config, "train", **rules)
            if metrics and not all(isinstance(metrics[n], (int, float)) for n in TRIAL_METRICS):
                raise RunError(f"{path / 'metrics.json'} holds no metrics of a trial")
            return metrics and {name: metrics[name] for name in TRIAL_METRICS}
        except (UsageError, RunError) as error:
            file = path / "metrics.json"
            foreign = file if isinstance(error, RunError) and file.exists() else path
            with recipe.locked(path):
                set_aside(foreign, str(error).partition("; ")[0])


def winner(oracle, objective):
    """The best of the completed trials; one that was stopped early only where there is no other."""
    from cvcourse import tuning

    completed = [trial for trial in oracle.trials.values() if trial.score is not None]
    whole = [trial for trial in completed if not tuning.last(trial, "stopped")]
    return max(
        whole or completed,
        key=lambda trial: tuning.signed(objective, trial.score),
        default=None,
    )


def conclude(sweep, run, oracle):
    """Write trials.csv, best.json, report.html and last metrics.json; returns the metrics."""
    from cvcourse import training, tuning

    config, trials = sweep.config, list(oracle.trials.values())
    best = winner(oracle, config.objective)
    if best is None:
        reasons = sorted({trial.message for trial in trials})
        raise RunError(
            f"all of {len(trials)} trials failed: {reasons[0]}; {run.path} holds what they said"
        )
    space = sweep.hyperparameters
    names = tuning.names_of(sweep.hyperparameters)
    table = tuning.rows(trials, names, config.objective)
    curves = {
        trial.trial_id: tuning.first_epochs(oracle.run_folder(trial), config.objective)
        for trial in trials
    }
    common = dataclasses.replace(sweep.common, workdir=None)
    chosen = tuning.ask(sweep.space, best.hyperparameters, common)
    epochs = best.hyperparameters.values.get("tuner/epochs", chosen.epochs)
    chosen = dataclasses.replace(chosen, test=True, epochs=epochs)
    failed = sum(row[config.objective] is None for row in table)
    stopped = sum(row["status"] == "stopped early" for row in table)
    seconds = sum(row["seconds"] or 0 for row in table)
    metrics = {
        "trials": len(trials),
        "failed": failed,
        "stopped_early": stopped,
        "best_trial": best.trial_id,
        config.objective: best.score,
        "best_epoch": int(tuning.last(best, "best_epoch")),
        "values": best.hyperparameters.values,
        "epochs": sum(row["epochs_run"] or 0 for row in table),
        "seconds": round(seconds, 1),
        "seed": config.seed,
    }
    again = recipe.command(
        dataclasses.replace(train.Config(), data_dir=config.data_dir), recipe.program("train")
    )
    again += " " + shlex.quote(f"--config={run.path / 'best.json'}")
    lead = [
        f"{len(trials)} trials, of which {stopped} were stopped early and {failed} failed, and "
        f"{metrics['epochs']} epochs in {seconds / 60:.1f} minutes. The best is trial "
        f"{best.trial_id}: {config.objective} {best.score:.4f} at its best epoch. The test split "
        "was not touched.",
        f"{again} trains it again and evaluates the test split.",
    ]
    lead += tuning.at_the_border(space.space, best)
    try:
        write_text(run.path / "trials.csv", tuning.as_csv(table))
        write_json(run.path / "best.json", dataclasses.asdict(chosen))
        tuning.write_hparams(run.path / "tensorboard", table, names, config.objective, curves)
    except OSError as error:
        raise RunError(f"cannot write to {run.path}: {error.strerror}") from error
    metrics = training.write_page(
        run.path,
        metrics=metrics,
        title=f"A sweep of {config.model} on {pathlib.Path(config.dataset).stem}",
        lead=lead,
        tables={"Trials": tuning.as_texts(table)},
        figures=tuning.figures(table, space, config.objective, curves, best.trial_id),
        config=dataclasses.asdict(run.config),
    )
    print("", *lead[2:], sep="\n")
    print(f"\nbest: trial {best.trial_id}, {config.objective} {best.score:.4f}")
    print(again)
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
    import keras
    import keras_tuner

    from cvcourse import data, layers, optimization, tuning

    dataset = data.of(config)

    class Recipe(keras_tuner.HyperModel):
        """`train` with the values of a tuner."""

        def setting(self, hp):
            """The config with values of `hp`."""
            try:
                tuned = tuning.ask(space, hp, train.settled(config, dataset))
            except keras_tuner.errors.FatalError:
                raise
            except Exception as error:  # others are tried again, and end the search
                raise keras_tuner.errors.FailedTrialError(refusal(error)) from error
            return train.settled(tuned, dataset)

        def build(self, hp):
            """The compiled model."""
            _, model = train.prepared(self.setting(hp), dataset)
            return model

        def fit(self, hp, model, *arrays, epochs=None, initial_epoch=0, **options):
            """Train it from `initial_epoch` (from 0) to `epochs`; `options` are those of fit().

            The learning rate begins where a run of `epochs` has it at `initial_epoch`, whether the
            optimizer has made these steps, as in a second fit, or is new, as Hyperband's is.
            """
            given = ["positional arguments"] * bool(arrays) + [*(options.keys() & OWN_OPTIONS)]
            if given:
                raise keras_tuner.errors.FatalValueError(
                    "the data set and its batches are those of the config: call tuner.search() "
                    f"without {', '.join(sorted(given))}"
                )
            setting = self.setting(hp)
            setting = dataclasses.replace(setting, epochs=epochs or setting.epochs)
            steps = data.steps_per_epoch(dataset.train, setting.batch_size)
            rate = optimization.schedule_of(setting, steps)
            if callable(rate):
                done = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
                begin = initial_epoch * steps // setting.accumulate
                model.optimizer.learning_rate = optimization.Shifted(rate, begin - done)
            if train.drops_paths_by_schedule(setting):
                for layer in model.layers:
                    if isinstance(layer, layers.ScheduledDropPath):
                        layer.steps = setting.epochs * steps
            model.train_function = None  # it is compiled with the schedules of before
            return model.fit(
                train.stream(setting, dataset, dataset.train, augment=setting.augment),
                validation_data=train.stream(setting, dataset, dataset.validation, shuffle=False),
                steps_per_epoch=steps,
                shuffle=False,
                epochs=setting.epochs,
                initial_epoch=initial_epoch,
                **options,
            )

    return Recipe()


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
