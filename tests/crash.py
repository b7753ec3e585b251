"""Processes that are started, killed at seeded moments, and started again."""

import os
import random
import signal
import subprocess
import time


def environment(**changes):
    """The environment of a process of its own, without what jax sets here for TensorFlow's logs."""
    kept = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    return {**kept, **changes}


def started(command, *, env=None, **options):
    """A process whose output and errors are kept, as text."""
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, env=environment(**env or {}), **pipes | options)


def until(condition, *processes, seconds=300):
    """What `condition()` returns once it is true; none of the processes may end before."""
    end = time.monotonic() + seconds  # of a test that hangs
    while not (found := condition()):
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def children_of(process, pattern="."):
    """Ids of a process' children whose commands match a pattern."""
    words = ["pgrep", "-P", str(process.pid), "-f", pattern]
    return [int(pid) for pid in subprocess.run(words, capture_output=True).stdout.split()]


def survives(command, moments, *, files=None):
    """Run a command, killed at each of `moments` and started again, then left in peace.

    Args:
        command: Its words. It, and all processes that it starts, die at once.
        moments: Seconds, from the start or from the first new one of `files`, if given.
        files: A function () -> set of paths, of checkpoints that one process after another leaves.

    Returns:
        (number of kills, fewer than asked where it ended before, and the errors of the last run).
    """
    seen, kills = set(), 0
    for moment in (*moments, None):
        process = started(command, start_new_session=True)
        while moment and files and process.poll() is None and not files() - seen:
            time.sleep(0.02)
        seen |= files() if files else set()
        try:
            _, errors = process.communicate(timeout=moment)
            assert process.returncode == 0, errors
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
    return kills, errors


def survives_kills_after_checkpoints(command, run, *, seed=0):
    """Killed twice, anywhere between a new checkpoint and the end, then left in peace."""
    rng = random.Random(seed)
    _, errors = survives(
        command,
        [rng.uniform(0, 1.5) for _ in range(2)],
        files=lambda: set(run.glob("checkpoints/*.npz")),
    )
    assert errors == ""
