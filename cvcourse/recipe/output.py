"""A single file that a recipe leaves besides, or in place of, its run directory."""

import os
import pathlib

from cvcourse.errors import RunError, UsageError

PICTURES = (".svg", ".png", ".pdf")


def output_file(path, kinds=None):
    """Make the folder of the file that --output names.

    Args:
        path: The flag's value.
        kinds: Endings that the name may have, such as PICTURES; None for any.

    Returns:
        The file, as a pathlib.Path.

    Raises:
        UsageError: If the name has another ending.
        RunError: If the folder cannot be made.
    """
    output = pathlib.Path(os.path.expanduser(path))
    if kinds and output.suffix not in kinds:
        known = f"{', '.join(kinds[:-1])} or {kinds[-1]}"
        raise UsageError(f"--output is an {known} file; received {path!r}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}") from error
    return output
