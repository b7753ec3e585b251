"""How often a trial was begun without getting on: what kills its process is not tried for ever.

keras-tuner counts a try when it ends, so a trial that kills the process never counts.
"""

from cvcourse.errors import RunError
from cvcourse.files import read_json, write_json


def starts(folder):
    """Note one more start of the trial in a folder; returns how many there were in vain before.

    A start is in vain where no epoch ended and no checkpoint was written since the one before it.
    """
    path, progress = folder / "starts.json", _progress(folder)
    try:
        before = read_json(path)
    except (OSError, RunError):
        before = {}
    count = before.get("count", 0) if before.get("progress") == progress else 0
    write_json(path, {"count": count + 1, "progress": progress})
    return count


def _progress(folder):
    """What changes when the trial gets on: the names of its checkpoints, and its end."""
    run = folder / "run"
    return sorted(
        path.name for path in (*run.glob("checkpoints/step-*"), *run.glob("metrics.json"))
    )
