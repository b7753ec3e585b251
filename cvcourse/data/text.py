"""Text files: in UTF-8, as editors of any system leave them."""

import io
import pathlib

from cvcourse.data.dataset import DataError
from cvcourse.errors import RunError, reason
from cvcourse.files import read_bytes

LARGEST_TEXT = 2**30  # bytes


def read_text(path: str | pathlib.Path, *, kind: str = "text") -> str:
    r"""Read a text file.

    Args:
        path: The file, in UTF-8. A byte order mark is no part of the text.
        kind: What errors call the file.

    Returns:
        The text, whose lines end in "\n" whatever they end in there.

    Raises:
        DataError: If it cannot be read, is not in UTF-8, or exceeds 1 GiB.
    """
    try:
        content = io.BytesIO(read_bytes(path, LARGEST_TEXT))
        return io.TextIOWrapper(content, "utf-8-sig").read()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not in UTF-8 (byte {error.start}); save it so") from error
    except (OSError, RunError) as error:
        raise DataError(f"cannot read the {kind} {path}: {reason(error)}") from error
