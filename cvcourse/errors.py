"""Exceptions with a one-sentence message for the user; the class determines the exit code."""

import difflib
import os
import re
import sys
import warnings
from pathlib import Path

HERE = str(Path(__file__).parent)
MAX_REASON = 300  # characters


class UsageError(Exception):
    """A wrong flag, name or value, or the workdir of another run: exit code 2."""


class RunError(Exception):
    """An error in data, files, disk, devices or training: exit code 1."""


class Diverged(RunError):
    """A loss or weight became NaN or infinite."""


class InUse(RunError):
    """The run's directory is in use by another process."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM, after the checkpoint was written: exit code 130."""


def reason(error):
    """Describe the cause of an error in one line.

    Args:
        error: An exception, whose text may have many lines.

    Returns:
        The first statement of its text without a final period or colon, cut at `MAX_REASON`
        characters; the name of its class if it has no text.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    found = []
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    # Keras puts its own advice before the original error.
    text = text.rpartition("Exception encountered: ")[2]
    for line in filter(None, map(str.strip, text.splitlines())):
        found.append(line)
        if not line.endswith(":"):  # a colon announces the reason
            break
    text = " ".join(found).rstrip(" .:") or type(error).__name__
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}..."


def unknown(kind, name, choices):
    """Return the message for a `name` not in `choices`, with the closest choice and all choices."""
    choices = [str(choice) for choice in choices]
    by_letters = {_letters(choice): choice for choice in reversed(choices)}
    near = by_letters.get(_letters(name))  # VGG16, ViT-B/16
    if not near:
        lower = {choice.lower(): choice for choice in reversed(choices)}
        close = difflib.get_close_matches(str(name).lower(), lower, n=1)
        near = lower[close[0]] if close else None
    hint = f"did you mean {near!r}? " if near else ""
    listed = choices if len(choices) <= 60 else [*choices[:60], "..."]
    return f"unknown {kind} {name!r}: {hint}choose from {', '.join(listed)}"


def pick(kind, name, table):
    """Return `table[name]`. Raises ValueError that lists the table's names if `name` is unknown."""
    if isinstance(name, (list, dict, set)) or name not in table:  # not hashable
        raise ValueError(unknown(kind, name, table))
    return table[name]


def warn_caller(message, category, *packages):
    """Warn about the line that called this package: once for each such line, as Python does.

    Args:
        message: Text of the warning.
        category: Its class.
        *packages: Further folders whose functions may lie between that line and this package.
    """
    folders = tuple(f"{folder}{os.sep}" for folder in (HERE, *packages))
    frame = sys._getframe(1)
    while frame.f_back and (
        frame.f_code.co_filename.startswith((*folders, "<frozen importlib"))
        or frame.f_globals.get("__name__", "").startswith("importlib.")
    ):
        frame = frame.f_back
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        frame.f_globals.get("__name__"),
        registry,
    )


def _letters(name):
    """Return the letters and digits of a name in lower case."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())
