"""Checkpoint files: arrays and a few plain values, whole or absent, and proof against damage.

A file's name holds its step and the start of its content's SHA-256, so one rename publishes both
and a damaged file gives itself away.
"""

import contextlib
import hashlib
import io
import json
import sys

import numpy as np

from cvcourse.errors import RunError, reason
from cvcourse.files import PARTIAL, require_regular, write_bytes

KEEP = 2  # the newest, and one to fall back on
VALUES = "values.json"  # the name of the plain values among the arrays


def save(folder, step, arrays, values):
    """Write {name: array} and JSON-able `values` as the checkpoint of `step`; keep the last KEEP.

    Raises OSError where it cannot be written; the older checkpoints are still there then.
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
    """The newest undamaged checkpoint as (arrays, values), or None where there is none."""
    data = newest(folder)
    return data and decoded(data)


def decoded(data):
    """(arrays, values) of a checkpoint's bytes."""
    with np.load(io.BytesIO(data)) as arrays:
        arrays = dict(arrays)
    return arrays, json.loads(arrays.pop(VALUES).tobytes())


def newest(folder):
    """The bytes of the newest undamaged checkpoint, or None where there is none.

    One that is damaged, unreadable or no regular file is reported on standard error and set aside
    as *.damaged.
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
        follows = "the one before it is used" if rest else "there is no other, so from the start"
        print(f"{problem}: set aside, {follows}", file=sys.stderr)
        with contextlib.suppress(OSError):  # on a disk that takes no change it is only passed over
            path.rename(path.with_suffix(".damaged"))
    return None


def data_fingerprint(folder):
    """The fingerprint of the data that a run was trained on; None without a sound checkpoint."""
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
