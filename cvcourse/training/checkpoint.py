"""Checkpoint files: arrays and a few plain values, written atomically and checked for damage.

The name of a file holds its step and the start of the SHA-256 of its content, so that one rename
publishes both and damage is detected.
"""

import contextlib
import hashlib
import io
import json
import sys

import numpy as np

from cvcourse.errors import RunError, reason
from cvcourse.files import PARTIAL, require_regular, write_bytes

KEEP = 2  # the newest, and one as a fallback
VALUES = "values.json"  # the name of the plain values among the arrays


def save(folder, step, arrays, values):
    """Write the checkpoint of a step, and remove all but the last KEEP.

    Args:
        folder: Folder of the checkpoints, as a pathlib.Path. It is created.
        step: Number of training steps done.
        arrays: {name: array}.
        values: Dict that JSON can hold.

    Raises:
        OSError: If it cannot be written. The older checkpoints are then kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{PARTIAL}*"):  # of a process that was killed while writing
        leftover.unlink()
    buffer = io.BytesIO()
    encoded = np.frombuffer(json.dumps(values).encode(), "uint8")
    np.savez(buffer, **arrays, **{VALUES: encoded})
    data = buffer.getvalue()
    write_bytes(folder / f"step-{step:09d}-{_digest(data)}.npz", data)
    for old in [path for path in _newest_first(folder) if path.is_file()][KEEP:]:
        old.unlink()


def load(folder):
    """Read the newest undamaged checkpoint: (arrays, values), or None if there is none."""
    data = newest(folder)
    return data and decoded(data)


def decoded(data):
    """Decode the bytes of a checkpoint: (arrays, values)."""
    with np.load(io.BytesIO(data)) as arrays:
        arrays = dict(arrays)
    return arrays, json.loads(arrays.pop(VALUES).tobytes())


def newest(folder):
    """Read the bytes of the newest undamaged checkpoint; None if there is none.

    A checkpoint that is damaged, unreadable or not a regular file is reported on standard error,
    and renamed to *.damaged.
    """
    found = _newest_first(folder)
    for path, rest in zip(found, reversed(range(len(found))), strict=True):
        try:
            require_regular(path)
            data = path.read_bytes()
            if _digest(data) == path.stem.rsplit("-", 1)[-1]:
                return data
            problem = f"the checkpoint {path} is damaged"
        except OSError as error:
            problem = f"the checkpoint {path} cannot be read ({reason(error)})"
        except RunError as error:
            problem = f"the checkpoint {error}"
        follows = "the previous one is used" if rest else "without another, training starts anew"
        print(f"{problem}: it is set aside, {follows}", file=sys.stderr)
        with contextlib.suppress(OSError):  # on a read-only disk it is only skipped
            path.rename(path.with_suffix(".damaged"))
    return None


def data_fingerprint(folder):
    """Read the fingerprint of a run's training data; None without an undamaged checkpoint."""
    for path in _newest_first(folder):
        with contextlib.suppress(Exception):  # whatever a damaged file raises
            require_regular(path)
            with np.load(path) as arrays:
                return json.loads(arrays[VALUES].tobytes())["data"]
    return None


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def _newest_first(folder):
    return sorted(folder.glob("step-*.npz"), reverse=True)
