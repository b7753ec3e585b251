"""How fast something is, beside something else: blocks of steps in turn, medians, and their spread.

A machine's speed drifts, so contestants take turns within one run, and only ratios are judged.
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

SPANS = ("train", "train_batch", "test", "predict_batch")  # that callbacks see begin and end


def stopwatch():
    """A callback, and the times at which it is called: {"train_batch_end": [seconds, …], …}."""
    times = {f"{span}_{edge}": [] for span in SPANS for edge in ("begin", "end")}

    def noting(event):
        return lambda *_, **__: times[event].append(time.perf_counter())

    hooks = {f"on_{event}": noting(event) for event in times}
    return keras.callbacks.LambdaCallback(**hooks), times


def fit_steps(model, *batches, **options):
    """Seconds from the end of each training step to that of the next: one fewer than the steps."""
    clock, times = stopwatch()
    model.fit(*batches, callbacks=[clock], verbose=0, **options)
    return np.diff(times["train_batch_end"])


def predict_steps(model, *batches, **options):
    """The same for the batches of `predict`."""
    clock, times = stopwatch()
    model.predict(*batches, callbacks=[clock], verbose=0, **options)
    return np.diff(times["predict_batch_end"])


def take_turns(contestants, rounds):
    """{name: seconds (rounds, steps)} of {name: function () -> seconds of a block's steps}.

    Each round runs every contestant once, forwards and backwards in turn; the first round, with
    its tracing and cold caches, is dropped.
    """
    blocks = {who: [] for who in contestants}
    for turn in range(1 + rounds):
        for who in list(contestants)[:: -1 if turn % 2 else 1]:
            blocks[who].append(contestants[who]())
    return {who: np.array(turns[1:]) for who, turns in blocks.items()}


def ratios(seconds, slower, faster):
    """How many times as fast `faster` is as `slower`, round by round; None where one is absent."""
    if not {slower, faster} <= seconds.keys():
        return None
    medians = [np.median(seconds[who], axis=1) for who in (slower, faster)]
    return np.divide(*medians)


def spread(values):
    """The median of some numbers, and the quartiles around it."""
    low, median, high = np.percentile(values, (25, 50, 75)).tolist()
    return {"median": median, "quartiles": [low, high]}


def judged(values, *, at_least=None, at_most=None, absent="torch is not installed"):
    """The spread of what was measured, its target, and whether the median meets it."""
    target = at_most if at_least is None else at_least
    if values is None:
        return {"median": None, "target": target, "met": None, "reason": absent}
    row = spread(values)
    met = row["median"] >= target if at_most is None else row["median"] <= target
    return {**row, "target": target, "met": met}


def said(row):
    """What `judged` found, in a line."""
    if row["met"] is None:
        return row["reason"]
    low, high = row["quartiles"]
    verdict = "met" if row["met"] else "missed"
    return f"{row['median']:6.3f} ({low:.3f} to {high:.3f}); target {row['target']}: {verdict}"


def load_average():
    """Of the last minute; before a benchmark it is others' work. None where there is none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def conclude(output, config, *, checks, load, versions, **measured):
    """Write a benchmark's file and print its checks, a line each; returns what the file holds.

    `checks` are rows of `judged`, `load` the load average before the start, `versions` those of the
    opponents. Raises RunError where the file cannot be written.
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
        print(f"{name:{max(map(len, checks))}}  {said(row)}")
    print(f"on {report['machine']}, load average {load} at the start; all of it: {output}")
    return report


@contextlib.contextmanager
def torch_process():
    """A process for torch alone, since TensorFlow's heap settings change how its memory is paged.

    Gives a function (function, *arguments) -> its result there.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield lambda function, *arguments: process.submit(function, *arguments).result()
