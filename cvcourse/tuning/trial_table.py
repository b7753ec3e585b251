"""Progress of a sweep: a line per finished trial and, in a terminal, the epochs of running ones."""

import time

import keras

from cvcourse.tuning.stopping import first_epochs

WIDTH = 8  # minimum width of a column


class TrialTable:
    """Table of trials, printed as they end.

    Args:
        names: Names of the hyperparameters.
        objective: Name of the metric.
        stream: Text stream.
    """

    def __init__(self, names, objective, stream):
        self.names, self.objective, self.stream = names, objective, stream
        self.begun, self.ended = time.monotonic(), 0
        self.heads = ["trial", *names, "epochs run", objective, "best", "time left"]

    def end(self, trial, oracle):
        """Print a finished trial of `oracle`."""
        if not self.ended:
            self._print(self.heads)
        self.ended += 1
        best = oracle.get_best_trials()[0].score
        remaining = oracle.max_trials and oracle.max_trials - len(oracle.end_order)
        left = "?"
        if remaining is not None:
            seconds = round((time.monotonic() - self.begun) / self.ended * remaining)
            left = f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"
        values = [trial.hyperparameters.values.get(name) for name in self.names]
        score = "failed" if trial.score is None else trial.score
        epochs = last(trial, "epochs")
        self._print([trial.trial_id, *values, epochs, score, best, left, trial.message or ""])

    def show(self, runs):
        """Update a line of the terminal with the epochs of running trials, {id: run directory}."""
        if self.stream.isatty():
            far = [
                f"trial {key}: {len(first_epochs(folder, self.objective))} epochs"
                for key, folder in runs.items()
            ]
            print(f"\r\033[K{'; '.join(far)}", end="", file=self.stream, flush=True)

    def _print(self, cells):
        widths = [*(max(WIDTH, len(head)) for head in self.heads), 0]
        row = "  ".join(
            f"{format_number(cell):>{w}}" for cell, w in zip(cells, widths, strict=False)
        )
        erase = "\r\033[K" if self.stream.isatty() else ""
        print(erase + row.rstrip(), file=self.stream, flush=True)

    def epochs_of(self, trial, epochs, objective):
        """Return a list of a callback that displays a trial's epochs; [] if not in a terminal."""
        return [_ShowEpochs(trial.trial_id, epochs, objective, self.stream)] * self.stream.isatty()


class _ShowEpochs(keras.callbacks.Callback):
    def __init__(self, trial_id, epochs, objective, stream):
        super().__init__()
        self.trial_id, self.epochs = trial_id, epochs
        self.objective, self.stream = objective, stream

    def on_epoch_end(self, epoch, logs=None):
        result = f"{self.objective} {format_number(logs[self.objective])}"
        line = f"trial {self.trial_id}, epoch {epoch + 1}/{self.epochs}: {result}"
        print(f"\r\033[K{line}", end="", file=self.stream, flush=True)


def last(trial, name):
    """Return the last value of a trial's metric, or None."""
    return trial.metrics.get_last_value(name) if trial.metrics.exists(name) else None


def format_number(value):
    """Format a value briefly."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
