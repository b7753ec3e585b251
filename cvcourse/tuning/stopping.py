"""Early stopping of trials whose learning curves are worse than those of other trials.

The median rule: Golovin et al., "Google Vizier", KDD 2017, section 3.2.2. Asynchronous successive
halving: Li et al., "A System for Massively Parallel Hyperparameter Tuning" (ASHA), MLSys
2020, in the variant that stops trials instead of pausing them.
"""

import statistics

import keras

from cvcourse.training import read_history

REDUCTION = 3  # halving: 1 of REDUCTION trials continues
AT_LEAST = 3  # minimum number of other curves for the median rule


def median_stops(curve, others):
    """Apply the median rule.

    Args:
        curve: Values by epoch, larger is better.
        others: Curves of the other trials. Those shorter than `curve` are ignored.

    Returns:
        Whether the best value so far is below the median of the other trials' means up to this
        epoch.
    """
    epoch = len(curve)
    means = [statistics.fmean(other[:epoch]) for other in others if len(other) >= epoch]
    return len(means) >= AT_LEAST and max(curve) < statistics.median(means)


def halving_stops(curve, others):
    """Apply successive halving.

    Args:
        curve: Values by epoch, larger is better.
        others: Curves of the other trials.

    Returns:
        Whether the curve is at a rung (1, 3, 9 … epochs) and not in the best third there.
    """
    epoch, rung = len(curve), 1
    while rung < epoch:
        rung *= REDUCTION
    if rung != epoch:
        return False
    reached = [max(other[:epoch]) for other in others if len(other) >= epoch]
    better = sum(value > max(curve) for value in reached)
    places = (len(reached) + 1) // REDUCTION
    return places > 0 and better >= places


RULES = {"median": median_stops, "halving": halving_stops, "none": lambda curve, others: False}


class StopByRule(keras.callbacks.Callback):
    """Callback that stops training at the end of an epoch by a rule of RULES.

    The curves of the other trials are read from disk at each epoch, so the result is the same with
    several processes and after a restart.

    Args:
        rule: Name of a rule.
        objective: Name of the metric.
        folder: Run directory of the trial, as a pathlib.Path: TRIAL/run, beside the other trials.
    """

    def __init__(self, rule, objective, folder):
        super().__init__()
        self.rule, self.objective, self.folder = RULES[rule], objective, folder

    def on_epoch_end(self, epoch, logs=None):
        so_far = first_epochs(self.folder, self.objective)[:epoch]
        curve = [*so_far, signed(self.objective, logs[self.objective])]
        runs = self.folder.parent.parent.glob(f"*/{self.folder.name}")
        others = [first_epochs(run, self.objective) for run in runs if run != self.folder]
        if self.rule(curve, others):
            self.model.stop_training = True


def first_epochs(folder, objective):
    """Return a run's values of the objective by epoch, larger is better; [] without history."""
    try:
        return [signed(objective, row[objective]) for row in read_history(folder)]
    except (FileNotFoundError, KeyError):  # KeyError: another program's history.csv
        return []


def signed(objective, value):
    """Return a value with the sign that makes larger better."""
    return -value if objective.endswith("loss") else value
