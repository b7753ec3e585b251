"""Comparison of speeds: contestants run in turn, block by block; medians and quartiles of ratios.

The speed of a machine drifts, so contestants run in turn within one process, and only ratios are
compared with targets.
"""

import contextlib
import dataclasses
import os
import time

import keras
import numpy as np

from cvcourse.errors import RunError
from cvcourse.files import write_json
from cvcourse.training._machine import machine
from cvcourse.training._machine import versions as our_versions

SPANS = ("train", "train_batch", "test", "predict_batch")  # in the names of callback methods


def stopwatch():
    """Create a callback that records when it is called.

    Returns:
        A pair: the callback, and its record {"train_batch_end": [seconds, …], …}.
    """
    times = {f"{span}_{edge}": [] for span in SPANS for edge in ("begin", "end")}

    def noting(event):
        return lambda *_, **__: times[event].append(time.perf_counter())

    hooks = {f"on_{event}": noting(event) for event in times}
    return keras.callbacks.LambdaCallback(**hooks), times


def fit_steps(model, *batches, **options):
    """Measure the seconds from the end of each training step to the end of the next.

    Args:
        model: keras.Model, compiled.
        *batches: Positional arguments of `fit`.
        **options: Further arguments of `fit`.

    Returns:
        Array (steps - 1,).
    """
    clock, times = stopwatch()
    model.fit(*batches, callbacks=[clock], verbose=0, **options)
    return np.diff(times["train_batch_end"])


def predict_steps(model, *batches, **options):
    """Measure the seconds between the ends of the batches of `predict`; see `fit_steps`."""
    clock, times = stopwatch()
    model.predict(*batches, callbacks=[clock], verbose=0, **options)
    return np.diff(times["predict_batch_end"])


def take_turns(contestants, rounds):
    """Measure blocks of steps of several contestants in turn.

    Each round runs every contestant once, in alternating order. The first round, with its tracing
    and cold caches, is dropped.

    Args:
        contestants: {name: function () -> seconds (steps,) of a block}.
        rounds: Number of rounds after the first.

    Returns:
        {name: array (rounds, steps) of seconds}.
    """
    blocks = {who: [] for who in contestants}
    for turn in range(1 + rounds):
        for who in list(contestants)[:: -1 if turn % 2 else 1]:
            blocks[who].append(contestants[who]())
    return {who: np.array(turns[1:]) for who, turns in blocks.items()}


def ratios(seconds, slower, faster):
    """Compute how many times as fast one contestant is as another.

    Args:
        seconds: As `take_turns` returns them.
        slower: Name of a contestant.
        faster: Name of the other.

    Returns:
        Array (rounds,) of ratios of medians; None if a contestant is absent.
    """
    if not {slower, faster} <= seconds.keys():
        return None
    medians = [np.median(seconds[who], axis=1) for who in (slower, faster)]
    return np.divide(*medians)


def quartiles(values):
    """Compute median and quartiles: {"median": number, "quartiles": [low, high]}."""
    low, median, high = np.percentile(values, (25, 50, 75)).tolist()
    return {"median": median, "quartiles": [low, high]}


def check(values, *, at_least=None, at_most=None, absent="torch is not installed"):
    """Compare the median of measured values with a target.

    Args:
        values: Numbers, or None if they could not be measured.
        at_least: Target that the median must reach.
        at_most: Target that the median must not exceed, instead.
        absent: Reason to give if `values` is None.

    Returns:
        A dict: median, quartiles, target, and met, whether the median meets the target. Without
        values, median and met are None, and `reason` is given.
    """
    target = at_most if at_least is None else at_least
    if values is None:
        return {"median": None, "target": target, "met": None, "reason": absent}
    row = quartiles(values)
    met = row["median"] >= target if at_most is None else row["median"] <= target
    return {**row, "target": target, "met": met}


def describe(row):
    """Describe a result of `check` in one line."""
    if row["met"] is None:
        return row["reason"]
    low, high = row["quartiles"]
    verdict = "met" if row["met"] else "missed"
    return f"{row['median']:6.3f} ({low:.3f} to {high:.3f}); target {row['target']}: {verdict}"


def load_average():
    """Return the load average of the last minute; None on systems without it.

    Before a benchmark it is the load of other processes.
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def write_benchmark(output, config, *, checks, load, versions, **measured):
    """Write the file of a benchmark, and print its checks, one per line.

    Args:
        output: Path of the JSON file.
        config: Config of the benchmark.
        checks: {name: result of `check`}.
        load: Load average before the start.
        versions: {package: version} of the other contestants.
        **measured: Further contents of the file.

    Returns:
        The contents of the file.

    Raises:
        RunError: If the file cannot be written.
    """
    report = {
        "checks": checks,
        **measured,
        "config": dataclasses.asdict(config),
        "machine": machine(),
        "load_average": load,
        "versions": {**our_versions(), **versions},
    }
    try:
        write_json(output, report)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}") from error
    for name, row in checks.items():
        print(f"{name:{max(map(len, checks))}}  {describe(row)}")
    print(f"on {report['machine']}, load average {load} at the start; all numbers: {output}")
    return report


@contextlib.contextmanager
def torch_process():
    """Context manager: run torch in a separate process.

    TensorFlow's heap settings change how torch's memory is paged.

    Yields:
        A function (function, *arguments) -> its result in that process.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield lambda function, *arguments: process.submit(function, *arguments).result()
