"""Ranges of a search space, narrowed around the best trials, for search from coarse to fine.

CS231n's protocol for hyperparameters: a few short trials over wide ranges, then longer ones over
narrower ranges, and a check whether the best value lies at the border of its range.
"""

import bisect
import functools
import math

import keras_tuner
from keras_tuner.engine.hyperparameters import Boolean, Choice, Fixed, Float, Int

from cvcourse.tuning.spaces import grid
from cvcourse.tuning.stopping import signed

KEEP = 4  # one of KEEP trials is good
AT_LEAST = 3  # minimum number of good trials, but at most half of the trials
MARGIN = 0.25  # share of the range of the good trials, added at each end
BORDER = 0.1  # share of a range, at each end


def good_ones(trials, objective):
    """Return the best quarter of the completed trials, at least three or half, best first."""
    completed = [trial for trial in trials if trial.score is not None]
    ordered = sorted(completed, key=lambda trial: -signed(objective, trial.score))
    few = min(AT_LEAST, (len(completed) + 1) // 2)
    return ordered[: max(few, len(completed) // KEEP)]


def narrowed(space, ranges):
    """Restrict a search space to ranges.

    Args:
        space: Function (hp, config) -> config.
        ranges: {name: (low, high), or a list of values}, as `ranges_of` returns them.

    Returns:
        The restricted search space, which can be pickled if `space` can.
    """
    return functools.partial(_narrowed, space, ranges)


def _narrowed(space, ranges, hp, config):
    return space(_Within(hp, ranges), config)


def ranges_of(space, good):
    """Return ranges around the values of the good trials, within the ranges and steps of `space`.

    Args:
        space: List of hyperparameters.
        good: List of trials.

    Returns:
        {name: (low, high), or a list of values}. If a name has several ranges in the space, each
        has an entry, whose name is followed by the conditions.
    """
    found = {}
    several = {hp.name for hp in space if sum(one.name == hp.name for one in space) > 1}
    for hp in space:
        values = [
            trial.hyperparameters.values.get(hp.name)
            for trial in good
            if trial.hyperparameters.is_active(hp)
        ]
        if values := [value for value in values if value is not None]:
            found[_with_conditions(hp) if hp.name in several else hp.name] = _around(hp, values)
    return found


def _with_conditions(hp):
    conditions = [f"{one.name} is {' or '.join(map(str, one.values))}" for one in hp.conditions]
    return " where ".join([hp.name, *conditions])


def _around(hp, values):
    """Return the part of a hyperparameter's range around some of its values."""
    if not hasattr(hp, "min_value"):
        return [value for value in hp.values if value in values]
    if hp.step is None:
        to, back = (math.log, math.exp) if hp.sampling == "log" else (float, float)
        whole = to(hp.max_value) - to(hp.min_value)
        low, high = _widened(to(min(values)), to(max(values)), whole)
        low, high = max(hp.min_value, back(low)), min(hp.max_value, back(high))
        return (math.floor(low), math.ceil(high)) if isinstance(hp, Int) else (low, high)
    steps = grid(hp)
    places = [_nearest(steps, value) for value in values]
    low, high = _widened(min(places), max(places), len(steps) - 1)
    steps = steps[max(0, math.floor(low)) : math.ceil(high) + 1]
    # A part of a reverse logarithmic range would have other steps.
    return list(steps) if hp.sampling == "reverse_log" else (steps[0], steps[-1])


def _widened(low, high, whole):
    """Add a margin to the range of the good values; `whole` is the length of the whole range."""
    margin = MARGIN * (high - low) or BORDER * whole
    return low - margin, high + margin


def _nearest(steps, value):
    """Return the index of the step nearest to a value."""
    above = bisect.bisect(steps, value)
    return min(
        range(max(0, above - 1), min(above + 1, len(steps))), key=lambda i: abs(steps[i] - value)
    )


def at_the_border(space, best):
    """Find numeric ranges at whose border the value of the best trial lies.

    Args:
        space: List of hyperparameters.
        best: The best trial.

    Returns:
        A list of sentences, one per range, each with a range to try.
    """
    found = []
    for hp in space:
        value = best.hyperparameters.values.get(hp.name)
        active = value is not None and best.hyperparameters.is_active(hp)
        if not active or not hasattr(hp, "min_value") or hp.step:
            continue
        log = hp.sampling == "log"
        to = math.log if log else float
        low, high = to(hp.min_value), to(hp.max_value)
        if low == high:
            continue
        place = (to(value) - low) / (high - low)
        if BORDER <= place <= 1 - BORDER:
            continue
        shift = (high - low) / 2 if place > 1 - BORDER else (low - high) / 2
        tried = (low + shift, high + shift)
        tried = [math.exp(end) if log else end for end in tried]
        found.append(
            f"{hp.name}: the best value, {value:.3g}, lies near the border of its range, "
            f"{hp.min_value:g} to {hp.max_value:g}; try {tried[0]:.3g} to {tried[1]:.3g}."
        )
    return found


class _Within(keras_tuner.HyperParameters):
    """HyperParameters whose ranges are restricted if a range of that name is given."""

    __slots__ = ("_outer", "_ranges")

    def __init__(self, hp, ranges):
        self.__dict__ = hp.__dict__  # shared state
        self._outer, self._ranges = hp, ranges

    def _retrieve(self, hp):
        within = self._ranges.get(_with_conditions(hp), self._ranges.get(hp.name))
        return self._outer._retrieve(hp if within is None else _part(hp, within))


def _part(hp, within):
    """Restrict a hyperparameter to (low, high) or to some values."""
    if hasattr(hp, "min_value") and isinstance(within, tuple):
        low, high = within
        config = hp.get_config() | {"min_value": low, "max_value": high}
        del config["default"]  # it may lie outside the range
        part = type(hp).from_config(config)
        if isinstance(hp, Float) and hp.step is not None and hp.sampling == "linear":
            # keras-tuner rounds down to whole steps: 0.6 // 0.1 is 5.
            while len(grid(part)) < math.floor((high - low) / hp.step + 1e-6) + 1:
                part.max_value = math.nextafter(part.max_value, math.inf)
        return part
    if isinstance(hp, Fixed) or (isinstance(hp, Boolean) and len(within) > 1):
        return hp
    if isinstance(hp, Boolean):
        return Fixed(hp.name, within[0], conditions=hp.conditions)
    return Choice(hp.name, list(within), conditions=hp.conditions)
