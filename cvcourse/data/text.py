"""Text files: in UTF-8, as editors of any system leave them."""

import io
import pathlib

import numpy as np

from cvcourse.data.dataset import DataError
from cvcourse.errors import RunError, reason
from cvcourse.files import read_bytes

LARGEST_TEXT = 2**30  # bytes
EMBEDDED = "python_reference"  # Python's own documentation, which its standard library holds
TEST = 0.1  # of a text, its end
PIECES, EVERY = 90, 18  # the rest is cut into so many, of which every 18th is for validation


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


def load_text(name: str | pathlib.Path, limit: int | None = None) -> str:
    """Load a text to learn from.

    Args:
        name: "python_reference", which is embedded, or a text file as `read_text` takes it.
        limit: Keep the first `limit` characters; None keeps all.

    Returns:
        The text.

    Raises:
        DataError: If the file is no text, or there are fewer than two different characters.
    """
    if name == EMBEDDED:
        from pydoc_data.topics import topics

        text = "\n".join(topics[topic] for topic in sorted(topics))
    else:
        text = read_text(pathlib.Path(name).expanduser())
    text = text[:limit]
    if len(characters := set(text)) < 2:
        has = f"one character alone, {text[0]!r}" if characters else "nothing"
        raise DataError(f"the text {name} has {has}: two or more different characters are needed")
    return text


def split_text(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split a text into three parts, each in the text's order.

    Args:
        tokens: The text, (n,).

    Returns:
        train: What the others leave.
        validation: Five pieces of a hundredth of the text each, spread over its first nine tenths.
        test: The last tenth.
    """
    end = int((1 - TEST) * len(tokens))
    pieces = np.array_split(tokens[:end], PIECES)
    validation = pieces[EVERY - 1 :: EVERY]
    del pieces[EVERY - 1 :: EVERY]
    return np.concatenate(pieces), np.concatenate(validation), tokens[end:]
