"""Trials that will not win are stopped early, by comparing their curves with those of the others.

The median rule: Golovin et al., "Google Vizier", KDD 2017, section 3.2.2. Successive halving that
waits for nobody: Li et al., "A System for Massively Parallel Hyperparameter Tuning" (ASHA), MLSys
2020, in the form that stops rather than pauses.
"""

import statistics

import keras

from cvcourse.training import read_history

REDUCTION = 3  # halving: one of so many goes on
AT_LEAST = 3  # curves to compare with, for the median rule


def worse_than_median(curve, others):
    """Whether the best value so far is below the median of the others' means up to this epoch.

    `curve` and `others` are lists of values by epoch, larger is better; those that are shorter
    than `curve` do not count.
    """
    epoch = len(curve)
    means = [statistics.fmean(other[:epoch]) for other in others if len(other) >= epoch]
    return len(means) >= AT_LEAST and max(curve) < statistics.median(means)


def falls_behind(curve, others):
    """Whether the curve is at a rung, 1, 3, 9 ... epochs, and not in the best third there."""
    epoch, rung = len(curve), 1
    while rung < epoch:
        rung *= REDUCTION
    if rung != epoch:
        return False
    reached = [max(other[:epoch]) for other in others if len(other) >= epoch]
    better = sum(value > max(curve) for value in reached)
    places = (len(reached) + 1) // REDUCTION
    return places > 0 and better >= places


RULES = {"median": worse_than_median, "halving": falls_behind, "none": lambda curve, others: False}


class StopWhereBehind(keras.callbacks.Callback):
    """Stops training at the end of an epoch by a rule of RULES.

    `folder` is the trial's run directory, and those of the others lie beside its parent; what they
    hold is read anew each time, so it is the same with several processes and after a restart.
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
    """The objective's values by epoch, larger is better, of the run in a folder; [] for none."""
    try:
        return [signed(objective, row[objective]) for row in read_history(folder)]
    except (FileNotFoundError, KeyError):  # KeyError: another program's history.csv
        return []


def signed(objective, value):
    """A value with the sign that makes larger better."""
    return -value if objective.endswith("loss") else value
