"""A single file that a recipe leaves, where it leaves no run directory."""

import os
import pathlib

from cvcourse.errors import RunError


def output_file(path):
    """The file of a flag's value as a path, its folder made. Raises RunError where it cannot be."""
    output = pathlib.Path(os.path.expanduser(path))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}") from error
    return output
