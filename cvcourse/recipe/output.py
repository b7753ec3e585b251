"""Output files of recipes outside a run directory."""

import os
import pathlib

from cvcourse.errors import RunError, UsageError

PICTURES = (".svg", ".png", ".pdf")


def output_file(path, kinds=None):
    """Create the folder of an output file.

    Args:
        path: Value of the flag --output.
        kinds: Allowed suffixes of the name, such as PICTURES; None for any.

    Returns:
        The file, as a pathlib.Path.

    Raises:
        UsageError: If the name has another suffix.
        RunError: If the folder cannot be created.
    """
    output = pathlib.Path(os.path.expanduser(path))
    if kinds and output.suffix not in kinds:
        known = f"{', '.join(kinds[:-1])} or {kinds[-1]}"
        raise UsageError(f"--output expects a file name ending in {known}; received {path!r}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}") from error
    return output
