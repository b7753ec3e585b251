"""Write files atomically, read files safely, and locate caches.

A file is written under a temporary name, synced to disk and renamed. Reading never blocks on a pipe
and is limited in size.
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
DAMAGED = ".damaged"  # appended to the names of damaged files
PIPED = re.compile(r"/dev/stdin|/(dev|proc/self)/fd/\d+")  # paths of a shell's `|` and `<(...)`
KINDS = {  # of files that are not regular
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
JSON_BYTES, JSON_LEVELS = 2**26, 32  # limits far above any config, metrics or trial


def with_paths(metrics, folder):
    """Add the paths of a finished run's files to its metrics, for the caller of its recipe.

    metrics.json does not contain them: runs are compared by it, and directories move.

    Args:
        metrics: Dict of metrics.
        folder: The run's directory, as a pathlib.Path.

    Returns:
        The metrics with `workdir` and, if the run has saved a model, `model`: absolute paths as
        str, so that they are valid after a change of the working directory.
        `keras.saving.load_model` reads the model once `cvcourse.sequence` is imported.
    """
    folder = pathlib.Path(os.path.abspath(folder))
    model = folder / "model.keras"
    return {**metrics, "workdir": str(folder), **({"model": str(model)} if model.exists() else {})}


def require_regular(path):
    """Check that a path leads to a regular file, without opening it.

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
    """Read a whole file, or input piped into the process as `/dev/stdin` or `<(...)`.

    Args:
        path: Path of the file, as str or PathLike.
        limit: Largest size in bytes. A larger file is not read into memory.

    Returns:
        The content as bytes.

    Raises:
        OSError: If there is no such file or it cannot be opened.
        RunError: If it is not a regular file, or is larger than `limit`.
    """
    if not PIPED.fullmatch(os.fspath(path)):
        require_regular(path)
    with open(path, "rb") as file:
        large = os.fstat(file.fileno()).st_size > limit
        data = b"" if large else file.read(limit + 1)
    if large or len(data) > limit:
        raise RunError(f"{path} is larger than {limit:,} bytes, the largest size that is read")
    return data


def read_json(path, *, remedy=""):
    """Read a JSON file whose outermost value is an object.

    Args:
        path: Path of the file, as str or PathLike.
        remedy: What the user can do about a damaged file; the error message ends with it.

    Returns:
        The object as a dict, not empty.

    Raises:
        FileNotFoundError: If there is no such file.
        RunError: If it cannot be read or has other content. The message is one line: the file, the
            reason and the remedy.
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
    except ValueError as error:  # not UTF-8, or not JSON
        message = f"{path} is damaged: {error}"
    raise RunError(f"{message}{remedy and f'; {remedy}'}")


def _is_deeper(value, levels):
    """Check whether lists and dicts are nested more than `levels` deep."""
    if not isinstance(value, (list, dict)):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return not levels or any(_is_deeper(item, levels - 1) for item in inside)


def home(variable, default):
    """Return the folder in an environment variable, or a default one."""
    return pathlib.Path(os.environ.get(variable) or default).expanduser()


def cache_folder():
    """Return the folder for downloads and cached features."""
    return home("XDG_CACHE_HOME", "~/.cache") / "cvcourse"


def set_aside(path, why):
    """Rename a file or directory that cannot be used, and print one line about it to stderr.

    Args:
        path: The file or directory, as a pathlib.Path.
        why: Reason, which is printed.

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
    """Context manager: give a file a name that ends in `suffix`, for readers that need one.

    Args:
        path: Path of the file, as str or PathLike.
        suffix: End of the name, such as ".weights.h5".

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
        except OSError:  # Windows allows only administrators to link
            shutil.copyfile(path, link)
        yield link


@contextlib.contextmanager
def replacing(path):
    """Context manager: replace a file atomically.

    Args:
        path: pathlib.Path of the file.

    Yields:
        Path to write to. It is renamed to `path` if the block succeeds, else removed.

    Raises:
        OSError: If the file cannot be written.
    """
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
    """Write bytes to a file atomically. Raises OSError if it cannot be written."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_text(path, text):
    """Write text to a UTF-8 file atomically."""
    write_bytes(path, text.encode())


def write_json(path, values):
    """Write values to a JSON file atomically."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def _sync_folder(folder):
    """Sync a folder to disk, so that a rename in it survives a power cut; not on Windows."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
