"""Functions in the user's source files, by name: "nets/net.py:tiny" is `tiny` in nets/net.py.

A run records the hash of the file. While the run is in progress, a file that has changed is
refused, so that the run trains one network only.
"""

import contextlib
import hashlib
import importlib.util
import inspect
import os
import pathlib
import random
import sys
import traceback
from typing import Any

from cvcourse.errors import RunError, reason, unknown
from cvcourse.files import read_bytes

LARGEST = 2**24  # bytes of a source file
CHANGED = "has changed since the run began: restore it"
_modules: dict[str, Any] = {}  # path of a file: (hash, module), or None while it is imported
_held: dict[str, str] = {}  # path of a file: its hash when the runs in progress began


def split(name):
    """Split the name of a function in a file.

    Args:
        name: Any value of a setting.

    Returns:
        (file, function), such as ("nets/net.py", "tiny"); None for any other value.
    """
    file, colon, function = name.rpartition(":") if isinstance(name, str) else ("", "", "")
    return (file, function) if colon and file.endswith(".py") else None


def digest(name):
    """Return the SHA-256 of the file of FILE.py:FUNCTION, in hexadecimal.

    Inside a run that began with the file, it is the hash at the beginning of the run.

    Raises:
        ValueError: If there is no such file.
    """
    file, _ = split(name)
    return _held.get(_path(file)) or hashlib.sha256(_read(file)).hexdigest()


def load(name):
    """Return the function that FILE.py:FUNCTION names.

    The file is imported once, and again if it has changed. During the import its folder is on
    sys.path, for modules beside it.

    Raises:
        ValueError: If there is no such file or function, or the file cannot be imported. The
            message is one line, with the file and, if known, the number of the line.
        RunError: If the file has changed since the run in progress began.
    """
    file, function = split(name)
    module = _import(file)
    found = vars(module).get(function)
    if found is None:
        known = [key for key, value in vars(module).items() if _is_own(value, module)]
        raise ValueError(f"{file}: {unknown('function', function, known)}")
    if not callable(found):
        raise ValueError(f"{file}: {function} is {type(found).__name__}, not a function")
    return found


@contextlib.contextmanager
def naming_line(file):
    """Context manager: re-raise errors in a source file as ValueError, with the line.

    Inside, the folder of the file is on sys.path.

    Args:
        file: Path of the file, as str.

    Raises:
        ValueError: For any error except RunError and MemoryError.
    """
    path = _path(file)
    folder = os.path.dirname(path)
    sys.path.insert(0, folder)
    try:
        yield
    except (RunError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        where, kind, text = file, type(error).__name__, reason(error)
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
        if isinstance(error, SyntaxError):  # it may be in a module that the file imports
            where = file if error.filename in (path, None) else error.filename
            lines, text = [error.lineno] if error.lineno else [], error.msg
        place = f"{where}, line {lines[-1]}" if lines else where
        raise ValueError(f"{place}: {kind}" + (f": {text}" if text != kind else "")) from error
    finally:
        sys.path.remove(folder)


@contextlib.contextmanager
def holding(names, digests=()):
    """Context manager: `load` refuses files that change inside the block.

    Args:
        names: FILE.py:FUNCTION of each file of a run.
        digests: Hashes of further files, {path: hash}, such as the `held` of another process.

    Raises:
        ValueError: If there is no such file.
    """
    before = dict(_held)
    found = {_path(split(name)[0]): digest(name) for name in names}
    _held.update(found | dict(digests))
    try:
        yield
    finally:
        _held.clear()
        _held.update(before)


def held():
    """Return {path: hash} of the files that `holding` protects in this process."""
    return dict(_held)


def _path(file):
    """Return the absolute path of a file as str."""
    return str(pathlib.Path(file).expanduser().resolve())


def _read(file):
    """Return the content of a file. Raises ValueError."""
    try:
        return read_bytes(os.path.expanduser(file), LARGEST)
    except (OSError, RunError) as error:
        raise ValueError(f"cannot read {file}: {reason(error)}") from error


def _is_own(value, module):
    """Check whether a value is a public function that a module defines."""
    public = inspect.isfunction(value) and not value.__name__.startswith("_")
    return public and value.__module__ == module.__name__


def _import(file):
    """Return the module of a file, importing it if necessary."""
    path, code = _path(file), _read(file)
    found = hashlib.sha256(code).hexdigest()
    if _held.get(path, found) != found:
        raise RunError(f"{file} {CHANGED}")
    if path in _modules:
        if _modules[path] is None:
            raise ValueError(
                f'{file} starts a run when imported: put that under if __name__ == "__main__":'
            )
        if _modules[path][0] == found:
            return _modules[path][1]
    stem = pathlib.Path(path).stem
    name = f"{stem}_{hashlib.sha256(path.encode()).hexdigest()[:8]}"  # unique
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    _modules[path], sys.modules[name] = None, module
    drawn = random.getstate()
    random.seed(0)  # initializers draw seeds, which must be equal in each process
    try:
        with naming_line(file):
            exec(compile(code, path, "exec", dont_inherit=True), vars(module))
    except BaseException:
        del _modules[path], sys.modules[name]
        raise
    finally:
        random.setstate(drawn)
    _modules[path] = found, module
    return module
