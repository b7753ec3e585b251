"""The run directory: config.json says whose it is, metrics.json that it is finished."""

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
from cvcourse.errors import Interrupted, InUse, RunError, UsageError
from cvcourse.files import PARTIAL, read_json, require_regular, with_paths, write_json
from cvcourse.recipe import semantics
from cvcourse.recipe.command_line import command, program, user_errors
from cvcourse.recipe.config_file import ELSEWHERE, as_json, read_fields
from cvcourse.recipe.fields import check, names_of, shown

LOCK = ".lock"
METRICS = ("versions", "machine")  # that every recipe writes
AGAIN = "remove it, and the same command makes the report again"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk, quota, or largest file
_COMMAND = contextvars.ContextVar("command", default=None)  # that goes on with the outermost run


def finished_metrics(config, recipe, *, grows="epochs", fixed=None, metrics=METRICS, again=None):
    """Look for the run of a config in its directory.

    The directory's config must be this one, but for fields that are `free`, and for those that are
    `vouched` while the run is unfinished. A field that it lacks has its default there. A run that
    an older or newer version began, for which settings mean something else (`recipe.semantics`), is
    recognized only if it is finished. A source file that a field names must hold what it then held,
    wherever it lies now.

    Args:
        config: A config with the fields `workdir` and, if `grows` is to count, `extend`.
        recipe: Name of the recipe that the run must be of.
        grows: Name of the field that may have a larger value under `config.extend`.
        fixed: Why it cannot, if so.
        metrics: Names of the metrics without which metrics.json is damaged.
        again: Function of the metrics of a finished run: whether `config.extend` goes on with it
            though nothing has a larger value. None where that never is so.

    Returns:
        The metrics of a finished run; None if the run is new or unfinished.

    Raises:
        UsageError: If the directory is another run's, naming the fields that differ, or a source
            file has changed.
        RunError: If it cannot be read.
    """
    if config.workdir is None:
        return None
    path = pathlib.Path(os.path.expanduser(config.workdir))
    try:
        names = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
    except OSError as error:
        raise RunError(f"cannot read the run in {path}: {error.strerror}") from error
    strangers = [name for name in names if not name.startswith((PARTIAL, LOCK))]
    if "config.json" not in names:
        if strangers:
            raise UsageError(f"--workdir={path} is no run's directory: it holds {strangers[0]}")
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
        raise UsageError(f"--workdir={path} holds an unfinished run: {change}")
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
    said = [f"{key} (there {shown(old[key])}, here {shown(new[key])})" for key in sorted(differ)]
    raise UsageError(
        f"--workdir={path} holds another run, which differs in {', '.join(said)}{hint}"
    )


def begin(config, recipe, *, shown=None, **rules):
    """Check a config and look for its run, of which a finished one is announced.

    Args:
        config: Config of the recipe.
        recipe: Name of the recipe.
        shown: Function of the metrics: what is announced of them, as JSON. None for all.
        rules: Keyword arguments of `finished_metrics`.

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
    """Find the source files that a config names.

    Args:
        config: Config of a recipe.

    Returns:
        {field: SHA-256 of the file} for the fields with the rule `source` that have one.

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
    """Tell whether a process holds a run's directory; nothing is written."""
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
    """Read the metrics of a finished run. Raises RunError if they cannot be its own."""
    found = read_json(file, remedy=AGAIN)
    wrong = [f"it has no {name}" for name in names if name not in found]
    wrong += [f"its {name} is {value}" for name, value in _impossible(found)]
    if (seed := found.get("seed")) not in (None, getattr(config, "seed", seed)):
        wrong.append(f"its seed is {seed!r}, not {config.seed}")
    if wrong:
        raise RunError(f"{file} is damaged: {wrong[0]}; {AGAIN}")
    return found


def _impossible(value, name=""):
    """Yield the numbers in metrics that no run has, with their names."""
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
    """A run's directory, held by this process: `config` has its workdir filled in."""

    config: object
    path: pathlib.Path
    command: str  # that goes on with it, or with the outermost run that it is a part of
    recipe: str
    whole: bool = True  # and not a training inside it

    def inside(self, name):
        """Return a training inside this run, with a folder of its own."""
        return dataclasses.replace(self, path=self.path / name, whole=False)

    def begin(self):
        """Write config.json; a finished run that is extended is unfinished from here on."""
        with _writing_to(self.path):
            if not self.whole:
                self.path.mkdir(exist_ok=True)
                return
            (self.path / "metrics.json").unlink(missing_ok=True)
            origin = semantics.origin(self.recipe, sources_of(self.config))
            write_json(self.path / "config.json", origin | dataclasses.asdict(self.config))


@contextlib.contextmanager
def open_run(config, recipe, *words, devices=None, alike=None, **rules):
    """Context manager: hold the run's directory, and print the command that goes on with it.

    Nothing in the directory is touched before `begin()`. Inside another run, the command is that
    run's: the own one would give a part of it files that the whole does not expect.

    Args:
        config: Config of the recipe. Without a workdir the run gets a fresh directory under runs/,
            named by `recipe`, `words` and the time.
        recipe: Name of the recipe.
        *words: Words of the name of a fresh directory.
        devices: Strategy of cvcourse.distribution. Where several workers train together, a worker
            that is not the chief gets a folder that is thrown away, and a dead one is an error.
        alike: Function () -> {name: value} of what all workers must have in common beside the
            fields of `config` that are not `free`; called where there are several.
        **rules: Keyword arguments of `finished_metrics`.

    Yields:
        A Run.

    Raises:
        UsageError: As `finished_metrics` does, and where workers differ.
        RunError: If the directory cannot be written, another process is in it, or a worker died.
        Interrupted: For a KeyboardInterrupt inside.
    """
    again = command(config, program(recipe))
    with contextlib.ExitStack() as stack:
        if devices and devices.workers > 1:
            ours = vars(config).keys() - names_of(config, "free")
            values = as_json({name: getattr(config, name) for name in sorted(ours)})
            stack.enter_context(devices.raise_on_dead_worker(again))
            values |= {f"source of {name}": found for name, found in sources_of(config).items()}
            devices.require_alike(values | (alike() if alike else {}))
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
        path.mkdir(parents=True, exist_ok=True)
    again = command(config, program(recipe))
    named = [getattr(config, name) for name in sources_of(config)]
    with locked(path), source_file.holding(named), continued_by(again) as again:
        # Once more: another process may have been here since the caller looked.
        if finished_metrics(config, recipe, **rules):
            raise InUse(f"another process has just finished the run in {path}")
        print(f"run directory: {path}\nto go on after an interruption: {again}", flush=True)
        try:
            yield Run(config, path, again, recipe)
        except KeyboardInterrupt as error:
            raise Interrupted(f"{str(error) or 'interrupted'}; go on with: {again}") from error


@contextlib.contextmanager
def _writing_to(path):
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}") from error


@contextlib.contextmanager
def locked(path):
    """Context manager: keep other processes out of a directory.

    The system lets go when this process dies.

    Args:
        path: The directory, as a pathlib.Path. It exists.

    Raises:
        InUse: If another process is in it.
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
    """Context manager: messages inside name one command that goes on, that of the outermost block.

    An error of a file or a full disk ends with it.

    Args:
        command: The command line that goes on with what is inside, as str.

    Yields:
        The command of the outermost such block, which is `command` where there is no other.

    Raises:
        RunError: Instead of an OSError that says that a disk is full.
    """
    token = _COMMAND.set(whole_command() or command)
    again = whole_command()
    try:
        yield again
    except OSError as error:
        if error.errno not in FULL:
            raise
        file = f" {error.filename}" if error.filename else ""
        said = f"cannot write{file}: {error.strerror}; make room and go on with: {again}"
        raise RunError(said) from error
    except RunError as error:
        # The context, for `fit` takes the cause away.
        if again in str(error) or not isinstance(error.__context__, OSError):
            raise
        raise type(error)(f"{error}; go on with: {again}") from error
    finally:
        _COMMAND.reset(token)


def whole_command():
    """Return the command that goes on with the run that this code is a part of; None for none."""
    return _COMMAND.get()


@contextlib.contextmanager
def subrun(name, command):
    """Inside, a part of a run, an interruption names the `command` that goes on with the whole."""
    with continued_by(command) as whole:
        try:
            yield
        except (Interrupted, KeyboardInterrupt) as error:
            raise Interrupted(f"stopped in {name}; go on with: {whole}") from error


def _is_place(name):
    """Whether a name is a path, and no data set's own name."""
    if not isinstance(name, str):  # none given, or the field of another recipe
        return False
    return os.sep in name or pathlib.Path(name).suffix != "" or os.path.exists(name)


def _function(name):
    """The function in FILE.py:FUNCTION; None for another name."""
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
    raise RunError("cannot make a fresh directory under runs/")
