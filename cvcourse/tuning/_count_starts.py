"""How often a trial was begun without getting on: what kills its process is not tried for ever.

keras-tuner counts a try when it ends, so a trial that kills the process never counts.
"""

from cvcourse.errors import RunError
from cvcourse.files import read_json, set_aside, write_json


def count_starts(folder):
    """Count one more start of a trial.

    A start is in vain where no epoch ended and no checkpoint was written before the next one. That
    does not tell whether the trial killed its process, or something else did.

    Args:
        folder: The trial's, as a pathlib.Path.

    Returns:
        How many starts there were in vain before this one.
    """
    path, made = folder / "starts.json", progress(folder)
    count = 0
    try:
        before = read_json(path)
        if type(before.get("count")) is not int:
            raise RunError(f"{path} is damaged: it has no count")
        if before.get("progress") == made:
            count = before["count"]
    except FileNotFoundError:
        pass
    except RunError as error:
        set_aside(path, error)
    write_json(path, {"count": count + 1, "progress": made})
    return count


def progress(folder):
    """Return what changes when a trial gets on: the names of its checkpoints, and its end.

    Args:
        folder: The trial's, as a pathlib.Path.
    """
    run = folder / "run"
    return sorted(
        path.name for path in (*run.glob("checkpoints/step-*"), *run.glob("metrics.json"))
    )
