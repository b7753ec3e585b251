"""Files that appear whole or not at all: written beside their place, synced to disk, renamed.

And where the user's home keeps what can be had again.
"""

import contextlib
import json
import os
import pathlib

PARTIAL = ".part-"


def home(variable, default):
    """The folder that an environment variable names, or else a usual one."""
    return pathlib.Path(os.environ.get(variable) or default).expanduser()


def cache_folder():
    """Where our own downloads and features are kept."""
    return home("XDG_CACHE_HOME", "~/.cache") / "cvcourse"


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
