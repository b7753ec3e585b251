"""The run directory: config.json identifies the run, metrics.json marks it as finished."""

import contextlib
import contextvars
import dataclasses
import datetime
import errno
import json
import math
import os
import pathlib
import tempfile

from cvcourse import source_file
from cvcourse.errors import Diverged, Interrupted, InUse, RunError, UsageError
from cvcourse.files import PARTIAL, read_json, require_regular, with_paths, write_json
from cvcourse.recipe import semantics
from cvcourse.recipe.command_line import command, program, user_errors
from cvcourse.recipe.config_file import ELSEWHERE, as_json, read_fields
from cvcourse.recipe.fields import check, names_of, shown

LOCK = ".lock"
METRICS = ("versions", "machine")  # keys that every recipe writes
AGAIN = "remove it, and the same command writes the report and this file again"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk full, quota, or largest file size
_COMMAND = contextvars.ContextVar[str | None]("command", default=None)  # resumes the outermost run


def finished_metrics(config, recipe, *, grows="epochs", fixed=None, metrics=METRICS, again=None):
    """Look for a finished run of a config in its directory.

    The config in the directory must be equal, except for `free` fields and, while the run is
    unfinished, `vouched` fields. A field that it lacks has its default. A run of another version,
    in which settings have another meaning (`recipe.semantics`), is accepted only if it is finished.
    A source file that a field names must have the same content, but may have moved.

    Args:
        config: A config with the fields `workdir` and, if `grows` applies, `extend`.
        recipe: Name of the recipe to which the run must belong.
        grows: Name of the field that may be larger than in the directory if `config.extend` is set.
        fixed: Reason why it must not be larger; None if it may be.
        metrics: Keys without which metrics.json is damaged.
        again: Function of the metrics of a finished run: whether `config.extend` resumes it without
            a larger value. None for never.

    Returns:
        The metrics of a finished run; None if the run is new or unfinished.

    Raises:
        UsageError: If the directory contains another run, with the fields that differ, or a source
            file has changed.
        RunError: If the directory cannot be read.
    """
    if config.workdir is None:
        return None
    path = pathlib.Path(os.path.expanduser(config.workdir))
    try:
        names = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
    except OSError as error:
        raise RunError(f"cannot read the run in {path}: {error.strerror}") from error
    others = [name for name in names if not name.startswith((PARTIAL, LOCK))]
    if "config.json" not in names:
        if others:
            raise UsageError(f"--workdir={path} is not a run directory: it contains {others[0]}")
        return None
    begun, old = read_fields(path, config, recipe)
    new = as_json(dataclasses.asdict(config))
    differ = {key for key in new.keys() - names_of(config, "free") if old[key] != new[key]}
    finished = "metrics.json" in names
    if not finished:
        moved = names_of(config, "vouched")
        differ -= {key for key in moved if _is_place(old[key]) and _is_place(new[key])}
    for name, found in sources_of(config).items():
        same = begun["sources"].get(name) == found
        if same and _function(old[name]) == _function(new[name]):
            differ.discard(name)
        elif not same and old[name] == new[name]:
            file, _ = source_file.split(new[name])
            raise UsageError(f"--workdir={path}: {file} {source_file.CHANGED}, or {ELSEWHERE}")
    change = semantics.change_since(begun["version"], begun["semantics"])
    if not differ and finished:
        found = _sound(path / "metrics.json", config, metrics)
        if not (again and config.extend and again(found)):
            return found
        if fixed or change:
            raise UsageError(f"--extend: {fixed or change}")
        return None
    if not differ and change:
        raise UsageError(f"--workdir={path} contains an unfinished run: {change}")
    if not differ:
        return None
    if differ == {grows} and type(old[grows]) is int and new[grows] > old[grows]:
        fixed = fixed or change
        if config.extend and fixed:
            raise UsageError(f"--extend: {fixed}")
        if config.extend:
            return None
        hint = f"; {fixed or f'--extend allows more {grows}'}"
    else:
        hint = f"; {ELSEWHERE}"
    changes = ", ".join(
        f"{key} (there {shown(old[key])}, here {shown(new[key])})" for key in sorted(differ)
    )
    raise UsageError(f"--workdir={path} contains another run, which differs in {changes}{hint}")


def begin(config, recipe, *, shown=None, **rules):
    """Check a config and look for its run; print the metrics of a finished one.

    Args:
        config: Config of the recipe.
        recipe: Name of the recipe.
        shown: Function of the metrics that returns those to print; None for all.
        **rules: Keyword arguments of `finished_metrics`.

    Returns:
        A pair: the config in plain values, and the metrics of a finished run with the paths of its
        directory and model (`files.with_paths`), else None.

    Raises:
        UsageError: For a wrong value, and as `finished_metrics` does.
        RunError: As `finished_metrics` does.
    """
    config = check(config)
    metrics = finished_metrics(config, recipe, **rules)
    if metrics:
        print(f"{config.workdir} is finished: {json.dumps(shown(metrics) if shown else metrics)}")
        metrics = with_paths(metrics, pathlib.Path(os.path.expanduser(config.workdir)))
    return config, metrics


def sources_of(config):
    """Hash the source files that a config names.

    Args:
        config: Config of a recipe.

    Returns:
        {field: SHA-256 of the file} for the `source` fields that name a file.

    Raises:
        UsageError: If there is no such file.
    """
    named = {name: getattr(config, name) for name in sorted(names_of(config, "source"))}
    with user_errors():
        return {
            name: source_file.digest(value)
            for name, value in named.items()
            if source_file.split(value)
        }


def is_running(folder):
    """Return whether a process holds a run directory. Nothing is written."""
    try:
        import fcntl

        with open(folder / LOCK) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):  # Windows, no lock, or a file system without locks
        return False
    return False


def _sound(file, config, names):
    """Read the metrics of a finished run. Raises RunError if they are not plausible."""
    found = read_json(file, remedy=AGAIN)
    wrong = [f"it has no {name}" for name in names if name not in found]
    wrong += [f"its {name} is {value}" for name, value in _impossible(found)]
    if (seed := found.get("seed")) not in (None, getattr(config, "seed", seed)):
        wrong.append(f"its seed is {seed!r}, not {config.seed}")
    if wrong:
        raise RunError(f"{file} is damaged: {wrong[0]}; {AGAIN}")
    return found


def _impossible(value, name=""):
    """Yield the name and value of each impossible number in metrics."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _impossible(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _impossible(item, name)
    elif isinstance(value, (int, float)):
        possible = 0 <= value <= 1 if name.endswith("accuracy") else abs(value) < math.inf
        if not possible:
            yield name, value


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory that this process holds."""

    config: object  # with its workdir filled in
    path: pathlib.Path
    command: str  # that resumes the outermost run
    recipe: str
    whole: bool = True  # False for a training inside a run

    def inside(self, name):
        """Return a Run for a training inside this run, in a subfolder."""
        return dataclasses.replace(self, path=self.path / name, whole=False)

    def begin(self):
        """Write config.json, and mark a finished run that is extended as unfinished."""
        with _writing_to(self.path):
            if not self.whole:
                self.path.mkdir(exist_ok=True)
                return
            (self.path / "metrics.json").unlink(missing_ok=True)
            origin = semantics.origin(self.recipe, sources_of(self.config))
            write_json(self.path / "config.json", origin | dataclasses.asdict(self.config))


@contextlib.contextmanager
def open_run(config, recipe, *words, devices=None, equal=None, **rules):
    """Context manager: lock the run directory, and print the command that resumes the run.

    The directory does not change before `begin()`. Inside another run, the command is that of the
    outermost run, since the inner run alone would leave files that the outer one does not expect.

    Args:
        config: Config of the recipe. Without a workdir, the run gets a new directory under runs/,
            named by `recipe`, `words` and the time.
        recipe: Name of the recipe.
        *words: Words in the name of a new directory.
        devices: Strategy of cvcourse.distribution. Of several workers, all except the chief get a
            temporary folder, and a dead worker is an error.
        equal: Function () -> {name: value} of values that must be equal on all workers, in addition
            to the fields of `config` that are not `free`; called only for several workers.
        **rules: Keyword arguments of `finished_metrics`.

    Yields:
        A Run.

    Raises:
        UsageError: As `finished_metrics` does, and if workers differ. A new directory is removed if
            it has no results when an error other than Diverged leaves the block.
        RunError: If the directory cannot be written, another process uses it, or a worker died.
        Interrupted: For a KeyboardInterrupt inside.
    """
    again = command(config, program(recipe))
    with contextlib.ExitStack() as stack:
        if devices and devices.workers > 1:
            ours = vars(config).keys() - names_of(config, "free")
            values = as_json({name: getattr(config, name) for name in sorted(ours)})
            stack.enter_context(devices.raise_on_dead_worker(again))
            values |= {f"source of {name}": found for name, found in sources_of(config).items()}
            devices.require_alike(values | (equal() if equal else {}))
        if devices and not devices.chief:
            place = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(subrun("training", again))
            yield Run(config, place, again, recipe)
        else:
            run = stack.enter_context(_claim(config, recipe, words, rules))
            if devices:
                stack.enter_context(devices.raise_on_dead_worker(run.command))
            yield run


@contextlib.contextmanager
def _claim(config, recipe, words, rules):
    if config.workdir is None:
        with _writing_to("runs/"):
            config = dataclasses.replace(config, workdir=str(_fresh([recipe, *words])))
    path = pathlib.Path(os.path.expanduser(config.workdir))
    with _writing_to(path):
        is_new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
    again = command(config, program(recipe))
    named = [getattr(config, name) for name in sources_of(config)]
    with locked(path), source_file.holding(named), continued_by(again) as again:
        # Check again: another process may have finished the run in the meantime.
        if finished_metrics(config, recipe, **rules):
            raise InUse(f"another process has just finished the run in {path}")
        print(f"run directory: {path}\nto resume after an interruption: {again}", flush=True)
        try:
            yield Run(config, path, again, recipe)
        except (UsageError, RunError) as error:
            if is_new and not isinstance(error, Diverged):
                with contextlib.suppress(OSError):
                    _remove_without_results(path)
            raise
        except KeyboardInterrupt as error:
            raise Interrupted(f"{str(error) or 'interrupted'}; resume with: {again}") from error


def _remove_without_results(path):
    """Remove a run directory in which nothing was written after the config."""
    found = [*path.iterdir()]
    if {entry.name for entry in found} <= {LOCK, "config.json"}:
        for entry in found:
            entry.unlink()
        path.rmdir()


@contextlib.contextmanager
def _writing_to(path):
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}") from error


@contextlib.contextmanager
def locked(path):
    """Context manager: lock a directory against other processes.

    The operating system releases the lock when this process dies.

    Args:
        path: An existing directory, as a pathlib.Path.

    Raises:
        InUse: If another process holds the lock.
        RunError: If it cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with _writing_to(path):
        if (path / LOCK).exists():
            require_regular(path / LOCK)
        file = open(path / LOCK, "w")  # noqa: SIM115
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUse(f"another process is running in {path}") from error
        except OSError:  # a file system without locks
            pass
        yield


@contextlib.contextmanager
def continued_by(command):
    """Context manager: set the command that messages give for resuming the run.

    Of nested blocks, the outermost counts. Messages of a file error or a full disk end with the
    command.

    Args:
        command: Command line that resumes the run inside, as str.

    Yields:
        The command of the outermost block.

    Raises:
        RunError: For an OSError of a full disk.
    """
    token = _COMMAND.set(whole_command() or command)
    again = whole_command()
    try:
        yield again
    except OSError as error:
        if error.errno not in FULL:
            raise
        file = f" {error.filename}" if error.filename else ""
        message = f"cannot write{file}: {error.strerror}; make room and resume with: {again}"
        raise RunError(message) from error
    except RunError as error:
        # The context, since `fit` removes the cause.
        if again in str(error) or not isinstance(error.__context__, OSError):
            raise
        raise type(error)(f"{error}; resume with: {again}") from error
    finally:
        _COMMAND.reset(token)


def whole_command():
    """Return the command that resumes the outermost run; None outside of a run."""
    return _COMMAND.get()


@contextlib.contextmanager
def subrun(name, command):
    """Context manager: a part of a run, which `command` resumes as a whole.

    Args:
        name: Name of the part.
        command: Command line that resumes the whole run, unless an outer run has one.

    Raises:
        Interrupted: For an interruption inside, with the command.
    """
    with continued_by(command) as whole:
        try:
            yield
        except (Interrupted, KeyboardInterrupt) as error:
            raise Interrupted(f"stopped in {name}; resume with: {whole}") from error


def _is_place(name):
    """Return whether a name is a path rather than the name of a dataset."""
    if not isinstance(name, str):  # None, or the field of another recipe
        return False
    return os.sep in name or pathlib.Path(name).suffix != "" or os.path.exists(name)


def _function(name):
    """Return the function in FILE.py:FUNCTION; None for another name."""
    named = source_file.split(name)
    return named and named[1]


def _fresh(words):
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    words = [pathlib.Path(str(word)).stem.replace(":", "-") for word in words]
    for attempt in range(1, 1000):
        name = "-".join([*words, stamp, *([str(attempt)] if attempt > 1 else [])])
        with contextlib.suppress(FileExistsError):
            path = pathlib.Path("runs", name)
            path.mkdir(parents=True)
            return path
    raise RunError("cannot create a new directory under runs/")
