"""Text files in UTF-8, with the line endings of any system."""

import io
import pathlib

import numpy as np

from cvcourse.data.dataset import DataError
from cvcourse.errors import RunError, reason
from cvcourse.files import read_bytes

LARGEST_TEXT = 2**30  # bytes
EMBEDDED = "python_reference"  # Python's own documentation, a part of its standard library
TEST = 0.1  # share of a text, at its end
PIECES, EVERY = 90, 18  # pieces of the rest, of which every 18th is for validation


def read_text(path: str | pathlib.Path, *, kind: str = "text") -> str:
    r"""Read a text file.

    Args:
        path: Path of a file in UTF-8, with or without a byte order mark.
        kind: Name of the kind of file in errors.

    Returns:
        The text, with line endings converted to "\n".

    Raises:
        DataError: If the file cannot be read, is not in UTF-8, or exceeds 1 GiB.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "text.txt")
    ...     _ = path.write_bytes(b"one\r\ntwo")
    ...     read_text(path)
    'one\ntwo'
    """
    try:
        content = io.BytesIO(read_bytes(path, LARGEST_TEXT))
        return io.TextIOWrapper(content, "utf-8-sig").read()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not in UTF-8 (byte {error.start}); save it as UTF-8") from error
    except (OSError, RunError) as error:
        raise DataError(f"cannot read the {kind} {path}: {reason(error)}") from error


def load_text(name: str | pathlib.Path, limit: int | None = None) -> str:
    """Load a text to train on.

    Args:
        name: "python_reference", which is embedded, or the path of a text file for `read_text`.
        limit: Number of characters to keep, from the start; None keeps all.

    Returns:
        The text.

    Raises:
        DataError: If the file is not a text, or has fewer than two different characters.

    >>> len(load_text("python_reference", limit=1000))
    1000
    """
    if name == EMBEDDED:
        from pydoc_data.topics import topics

        text = "\n".join(topics[topic] for topic in sorted(topics))
    else:
        text = read_text(pathlib.Path(name).expanduser())
    text = text[:limit]
    if len(characters := set(text)) < 2:
        has = f"only the character {text[0]!r}" if characters else "no characters"
        raise DataError(f"the text {name} has {has}: two or more different ones are needed")
    return text


def split_text(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split a text into three parts, each in the text's order.

    Args:
        tokens: Tokens of the text (n,).

    Returns:
        train: The rest of the text.
        validation: Five pieces of a hundredth of the text each, spread over its first nine tenths.
        test: The last tenth.

    >>> [len(part) for part in split_text(np.arange(1000))]
    [850, 50, 100]
    """
    end = int((1 - TEST) * len(tokens))
    pieces = np.array_split(tokens[:end], PIECES)
    validation = pieces[EVERY - 1 :: EVERY]
    del pieces[EVERY - 1 :: EVERY]
    return np.concatenate(pieces), np.concatenate(validation), tokens[end:]
