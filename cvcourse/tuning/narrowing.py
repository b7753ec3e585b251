"""From coarse to fine: the ranges that the best trials of one stage leave for the next.

CS231n's protocol for hyperparameters: a few short trials over wide ranges, then longer ones over
narrower ranges, and a look at whether the best value lies at a border.
"""

import functools
import math

from cvcourse.tuning.stopping import signed

KEEP = 4  # one of so many trials counts as good
AT_LEAST = 3  # good trials, or half of those there are
MARGIN = 0.25  # of the good trials' own range, added at each end
BORDER = 0.1  # of a range, at each end


def good_ones(trials, objective):
    """The best quarter of the completed trials; of few, three or half of them."""
    completed = [trial for trial in trials if trial.score is not None]
    ordered = sorted(completed, key=lambda trial: -signed(objective, trial.score))
    few = min(AT_LEAST, (len(completed) + 1) // 2)
    return ordered[: max(few, len(completed) // KEEP)]


def narrowed(space, ranges):
    """The same search space, within ranges: {name: (low, high), or the values to choose from}."""
    return functools.partial(_narrowed, space, ranges)


def _narrowed(space, ranges, hp, config):
    return space(_Within(hp, ranges), config)


def ranges_of(space, good):
    """{name: range} around the values that the good trials have, within those of `space`."""
    found = {}
    for hp in space:
        values = [trial.hyperparameters.values.get(hp.name) for trial in good]
        values = [value for value in values if value is not None]
        if not values:
            continue
        if not hasattr(hp, "min_value"):
            found[hp.name] = [value for value in hp.values if value in values]
            continue
        to, back = (math.log, math.exp) if hp.sampling == "log" else (float, float)
        low, high = to(min(values)), to(max(values))
        margin = MARGIN * (high - low) or BORDER * (to(hp.max_value) - to(hp.min_value))
        low, high = max(hp.min_value, back(low - margin)), min(hp.max_value, back(high + margin))
        if isinstance(hp.min_value, int):
            low, high = math.floor(low), math.ceil(high)
        elif hp.step and hp.sampling != "log":  # stay on the grid of steps
            steps = [(end - hp.min_value) / hp.step for end in (low, high)]
            low = hp.min_value + math.floor(steps[0] + 1e-9) * hp.step
            high = hp.min_value + math.ceil(steps[1] - 1e-9) * hp.step
        found[hp.name] = (low, high)
    return found


def at_the_border(space, best):
    """Sentences, one for each numeric range at whose border the best trial's value lies."""
    said = []
    for hp in space:
        value = best.hyperparameters.values.get(hp.name)
        if value is None or not hasattr(hp, "min_value") or hp.step:
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
        said.append(
            f"{hp.name}: the best value, {value:.3g}, lies at the border of its range, "
            f"{hp.min_value:g} to {hp.max_value:g}; try {tried[0]:.3g} to {tried[1]:.3g}."
        )
    return said


class _Within:
    """A HyperParameters whose ranges are narrower where a range of that name is given."""

    def __init__(self, hp, ranges):
        self._hp, self._ranges = hp, ranges

    def __getattr__(self, name):
        return getattr(self._hp, name)

    def __contains__(self, name):
        return name in self._hp

    def __getitem__(self, name):
        return self._hp[name]

    def Float(self, name, min_value, max_value, *more, **options):
        ends = self._within(name, (min_value, max_value), options)
        return self._hp.Float(name, *ends, *more, **options)

    def Int(self, name, min_value, max_value, *more, **options):
        ends = self._within(name, (min_value, max_value), options)
        return self._hp.Int(name, *ends, *more, **options)

    def Choice(self, name, values, *more, **options):
        return self._hp.Choice(name, self._within(name, values, options), *more, **options)

    def Boolean(self, name, *more, **options):
        values = self._within(name, (False, True), options)
        if len(values) == 1:
            return self._hp.Fixed(name, values[0])
        return self._hp.Boolean(name, *more, **options)

    def _within(self, name, usual, options):
        if name not in self._ranges:
            return usual
        options.pop("default", None)  # it may lie outside
        return self._ranges[name]
