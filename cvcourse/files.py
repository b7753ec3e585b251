"""Files that appear whole or not at all: written beside their place, synced to disk, renamed.

And files that are read without hanging or filling memory, and where the user's home keeps what can
be had again.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import stat
import sys
import tempfile

from cvcourse.errors import RunError

PARTIAL = ".part-"
DAMAGED = ".damaged"  # appended to the names of what is set aside
PIPED = re.compile(r"/dev/stdin|/(dev|proc/self)/fd/\d+")  # what a shell's `|` and `<(...)` name
KINDS = {  # that are no regular file, in words
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
JSON_BYTES, JSON_LEVELS = 2**26, 32  # far above any config, metrics or trial


def with_paths(metrics, folder):
    """Add to a finished run's metrics where its files are, for the caller of its recipe.

    metrics.json does not hold them: runs are compared by it, and directories move.

    Args:
        metrics: Dict of metrics.
        folder: The run's directory, as a pathlib.Path.

    Returns:
        The metrics with `workdir` and, if the run has saved a model, `model`: paths as str. After
        `import cvcourse.sequence`, which a process that trains has done,
        `keras.saving.load_model` reads the model.
    """
    model = folder / "model.keras"
    return {**metrics, "workdir": str(folder), **({"model": str(model)} if model.exists() else {})}


def require_regular(path):
    """Check, without opening it, that a path leads to a regular file.

    Args:
        path: Path of the file, as str or PathLike. Links are followed.

    Raises:
        OSError: If there is no such file or it cannot be reached.
        RunError: If it is a directory, a pipe, a socket or a device.
    """
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind != stat.S_IFREG:
        raise RunError(f"{path} is {KINDS.get(kind, 'something else')}, not a regular file")


def read_bytes(path, limit):
    """Read a whole file, or what the user pipes into the process as `/dev/stdin` or `<(...)`.

    Args:
        path: Path of the file, as str or PathLike.
        limit: Size in bytes above which the file is refused. Never more is read into memory.

    Returns:
        The content as bytes.

    Raises:
        OSError: If there is no such file or it cannot be opened.
        RunError: If it is no regular file, or larger than `limit`.
    """
    if not PIPED.fullmatch(os.fspath(path)):
        require_regular(path)
    with open(path, "rb") as file:
        large = os.fstat(file.fileno()).st_size > limit
        data = b"" if large else file.read(limit + 1)
    if large or len(data) > limit:
        raise RunError(f"{path} is larger than {limit:,} bytes, which is the most that is read")
    return data


def read_json(path, *, remedy=""):
    """Read a JSON file whose outermost value is an object.

    Args:
        path: Path of the file, as str or PathLike.
        remedy: What the user can do about a damaged file; the error's message ends with it.

    Returns:
        The object as a dict, not empty.

    Raises:
        FileNotFoundError: If there is no such file.
        RunError: If it cannot be read or holds something else. The message is one line: the file,
            the reason and the remedy.
    """
    try:
        values = json.loads(read_bytes(path, JSON_BYTES).decode("utf-8-sig"))
        if not isinstance(values, dict) or not values:
            raise ValueError("it holds no fields")
        if _is_deeper(values, JSON_LEVELS):
            raise RecursionError
        return values
    except FileNotFoundError:
        raise
    except RunError as error:
        message = str(error)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
    except RecursionError:
        message = f"{path} is damaged: it is nested more than {JSON_LEVELS} levels deep"
    except ValueError as error:  # no UTF-8, or no JSON
        message = f"{path} is damaged: {error}"
    raise RunError(f"{message}{remedy and f'; {remedy}'}")


def _is_deeper(value, levels):
    """Whether lists and dicts are nested more than so many levels deep."""
    if not isinstance(value, (list, dict)):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return not levels or any(_is_deeper(item, levels - 1) for item in inside)


def home(variable, default):
    """The folder that an environment variable names, or else a usual one."""
    return pathlib.Path(os.environ.get(variable) or default).expanduser()


def cache_folder():
    """Where our own downloads and features are kept."""
    return home("XDG_CACHE_HOME", "~/.cache") / "cvcourse"


def set_aside(path, why):
    """Rename a file or directory that cannot be used, and print that in one line.

    Args:
        path: The file or directory, as a pathlib.Path.
        why: The reason, which is printed.

    Raises:
        RunError: If it cannot be renamed.
    """
    aside = path.with_name(path.name + DAMAGED)
    while aside.exists():
        aside = aside.with_name(aside.name + DAMAGED)
    try:
        os.replace(path, aside)
    except OSError as error:
        raise RunError(f"cannot rename {path}: {error.strerror}") from error
    print(f"{why}: set aside as {aside.name}", file=sys.stderr)


@contextlib.contextmanager
def with_suffix(path, suffix):
    """Context manager: a name of the file `path` that ends in `suffix`, for readers that need one.

    Args:
        path: Path of the file, as str or PathLike.
        suffix: What the name must end in, such as ".weights.h5".

    Yields:
        `path`, or the path of a temporary link to it.
    """
    if os.fspath(path).endswith(suffix):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = pathlib.Path(folder) / f"file{suffix}"
        try:
            link.symlink_to(pathlib.Path(path).resolve())
        except OSError:  # Windows allows links to administrators alone
            shutil.copyfile(path, link)
        yield link


@contextlib.contextmanager
def replacing(path):
    """A path to write to: it becomes `path` if the block ends well, and vanishes if it does not."""
    partial = path.with_name(PARTIAL + path.name)
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path, data):
    """`data` as a file, atomically. Raises OSError where it does not fit."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_text(path, text):
    """`text` as a UTF-8 file, atomically."""
    write_bytes(path, text.encode())


def write_json(path, values):
    """`values` as JSON, atomically."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def _sync_folder(folder):
    """A rename survives a power cut once its folder is on disk too; Windows cannot say."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
