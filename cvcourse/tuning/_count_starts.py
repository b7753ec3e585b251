"""Count starts of a trial without progress, to stop retrying one that kills its process.

keras-tuner counts an attempt when it ends, so a trial that kills the process never counts.
"""

from cvcourse.errors import RunError
from cvcourse.files import read_json, set_aside, write_json


def count_starts(folder):
    """Count a start of a trial.

    A start is without progress if no checkpoint was written between it and the next start. The
    cause may be the trial, or something else that killed the process.

    Args:
        folder: Folder of the trial, as a pathlib.Path.

    Returns:
        Number of consecutive starts without progress before this one.
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
    """Return the progress of a trial: the names of its checkpoints and of its metrics.json.

    Args:
        folder: Folder of the trial, as a pathlib.Path.

    Returns:
        A sorted list of file names.
    """
    run = folder / "run"
    return sorted(
        path.name for path in (*run.glob("checkpoints/step-*"), *run.glob("metrics.json"))
    )
