"""The run directory: config.json says whose it is, metrics.json that it is finished."""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import tempfile

from cvcourse.errors import Interrupted, InUse, RunError, UsageError
from cvcourse.files import PARTIAL, write_json
from cvcourse.recipe.command_line import command, program

LOCK = ".lock"


def recognize(config, *, free=(), vouched=(), grows="epochs", fixed=None):
    """The metrics of a finished run in `config.workdir`, else None: a new or an unfinished one.

    The directory's config must be this one, but for the `free` fields, which cannot change the
    result; for the place of the files that `vouched` fields name, while the run is unfinished and
    its checkpoint tells whether they are the same; and, under `config.extend`, for a larger value
    of the field `grows`, unless `fixed` says why that cannot be.
    Raises UsageError naming the fields that differ, RunError where it cannot be read.
    """
    if config.workdir is None:
        return None
    path = pathlib.Path(os.path.expanduser(config.workdir))
    try:
        names = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
        strangers = [name for name in names if not name.startswith((PARTIAL, LOCK))]
        if "config.json" not in names:
            if strangers:
                raise UsageError(f"--workdir={path} is no run's directory: it holds {strangers[0]}")
            return None
        old = _read(path / "config.json")
        metrics = _read(path / "metrics.json") if "metrics.json" in names else None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"cannot read the run in {path}: {error}") from error
    new = _as_json(config)
    differ = {key for key in {*old, *new} - {*free} if old.get(key) != new.get(key)}
    if not metrics:
        differ -= {key for key in vouched if _is_place(old.get(key)) and _is_place(new[key])}
    if not differ:
        return metrics
    if differ == {grows} and new[grows] > old[grows]:
        if config.extend and fixed:
            raise UsageError(f"--extend: {fixed}")
        if config.extend:
            return None
        hint = f"; {fixed or f'--extend allows more {grows}'}"
    else:
        hint = "; choose another directory, or leave --workdir out for a fresh one"
    said = [f"{key} (there {old.get(key)!r}, here {new.get(key)!r})" for key in sorted(differ)]
    raise UsageError(
        f"--workdir={path} holds another run, which differs in {', '.join(said)}{hint}"
    )


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's directory, held by this process: `config` has its workdir filled in."""

    config: object
    path: pathlib.Path
    command: str  # that goes on with it

    def begin(self):
        """Write config.json; a finished run that is extended is unfinished from here on."""
        with _writing_to(self.path):
            (self.path / "metrics.json").unlink(missing_ok=True)
            write_json(self.path / "config.json", _as_json(self.config))


@contextlib.contextmanager
def claim(config, recipe, *words, chief=True, **rules):
    """Make the run's directory, keep other processes out, print the command that goes on: a Run.

    Without `config.workdir` it is a fresh one under runs/, named by `recipe`, `words` and the time.
    Nothing in it is touched before `begin()`; `rules` are those of `recognize`. A process that is
    not the `chief` of those that train together gets a place that is thrown away. Raises what that
    does, RunError where the directory cannot be written or another process is in it, and
    Interrupted for a KeyboardInterrupt inside.
    """
    again = command(config, program(recipe))
    if not chief:
        with tempfile.TemporaryDirectory() as place, part("training", again):
            yield Run(config, pathlib.Path(place), again)
        return
    if config.workdir is None:
        with _writing_to("runs/"):
            config = dataclasses.replace(config, workdir=str(_fresh([recipe, *words])))
    path = pathlib.Path(os.path.expanduser(config.workdir))
    with _writing_to(path):
        path.mkdir(parents=True, exist_ok=True)
    again = command(config, program(recipe))
    with _locked(path):
        # Once more: another process may have been here since the caller looked.
        if recognize(config, **rules):
            raise InUse(f"another process has just finished the run in {path}")
        print(f"run directory: {path}\nto go on after an interruption: {again}", flush=True)
        try:
            yield Run(config, path, again)
        except KeyboardInterrupt as error:
            raise Interrupted(f"{str(error) or 'interrupted'}; go on with: {again}") from error


@contextlib.contextmanager
def _writing_to(path):
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}") from error


@contextlib.contextmanager
def _locked(path):
    """Keep other processes out of a directory; the system lets go when this one dies."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with _writing_to(path):
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
def part(name, command):
    """Inside, a part of a run, an interruption names the `command` that goes on with the whole."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        raise Interrupted(f"stopped in {name}; go on with: {command}") from error


def _read(path):
    values = json.loads(path.read_text())
    if not isinstance(values, dict) or not values:
        raise ValueError(f"{path.name} holds no fields")
    return values


def _is_place(name):
    """Whether a name is a path, and no data set's own name."""
    if not isinstance(name, str):  # none given, or the field of another recipe
        return False
    return os.sep in name or pathlib.Path(name).suffix != "" or os.path.exists(name)


def _as_json(config):
    """The config's fields as config.json holds them."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


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
