"""The run directory: config.json says whose it is, metrics.json that it is finished."""

import contextlib
import dataclasses
import datetime
import json
import pathlib

from cvcourse.errors import RunError, UsageError
from cvcourse.files import PARTIAL, write_json

LOCK = ".lock"


def recognize(config, *, free=(), extendable=None):
    """The metrics of a finished run in `config.workdir`, else None: a new or an unfinished one.

    The directory's config must be this one, but for the `free` fields, which cannot change the
    result, and, under `config.extend`, for more epochs; `extendable` says why that cannot be.
    Raises UsageError naming the fields that differ, RunError where it cannot be read.
    """
    if config.workdir is None:
        return None
    path = pathlib.Path(config.workdir).expanduser()
    try:
        names = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
        strangers = [name for name in names if not name.startswith((PARTIAL, LOCK))]
        if "config.json" not in names:
            if strangers:
                raise UsageError(f"--workdir={path} is no run's directory: it holds {strangers[0]}")
            return None
        old = json.loads((path / "config.json").read_text())
        metrics = (
            json.loads((path / "metrics.json").read_text()) if "metrics.json" in names else None
        )
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read the run in {path}: {error}") from error
    new = _as_json(config)
    differ = {key for key in {*old, *new} - {*free} if old.get(key) != new.get(key)}
    if not differ:
        return metrics
    if differ == {"epochs"} and new["epochs"] > old["epochs"]:
        if config.extend and extendable:
            raise UsageError(f"--extend: {extendable}")
        if config.extend:
            return None
        hint = "; --extend allows more epochs"
    else:
        hint = "; choose another directory, or leave --workdir out for a fresh one"
    said = [f"{key} (there {old.get(key)!r}, here {new.get(key)!r})" for key in sorted(differ)]
    raise UsageError(
        f"--workdir={path} holds another run, which differs in {', '.join(said)}{hint}"
    )


def create(config, *words):
    """Make the run's directory and write config.json: the config with its workdir filled in.

    Without `config.workdir` it is a fresh one under runs/, named by `words` and the time. Raises
    RunError where it cannot be written.
    """
    try:
        if config.workdir is None:
            config = dataclasses.replace(config, workdir=str(_fresh(words)))
        path = pathlib.Path(config.workdir).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        (path / "metrics.json").unlink(missing_ok=True)  # there only before an extension
        write_json(path / "config.json", _as_json(config))
    except OSError as error:
        raise RunError(f"cannot write to {config.workdir or 'runs/'}: {error.strerror}") from error
    return config


@contextlib.contextmanager
def locked(path):
    """Keep other processes out of a run's directory; the system lets go when this one dies.

    Raises RunError where another one is in it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(path / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"another process is running in {path}") from error
        yield


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
