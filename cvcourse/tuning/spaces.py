"""Search spaces: what of a training config a sweep may vary, and in which range.

A space is a function `space(hp, config) -> config` that asks `hp` (a keras_tuner.HyperParameters)
for values and returns the config with those fields replaced. It may refuse a combination by raising
an error. Why ranges on a logarithmic scale, and why random rather than a grid: Bergstra & Bengio,
"Random Search for Hyper-Parameter Optimization", JMLR 2012.
"""

import collections
import dataclasses
import functools
import itertools
import math

import keras_tuner
import numpy as np
from keras_tuner.engine.hyperparameters import Int
from keras_tuner.errors import FatalError, FatalValueError

from cvcourse.errors import pick
from cvcourse.models import REGISTRY, builder_args
from cvcourse.tuning._oracle import in_words

OPTIMIZERS = ("nesterov", "adamw")
MOMENTUM = ("sgd", "momentum", "nesterov")
RATES = {True: (1e-3, 1.0), False: (1e-5, 1e-2)}  # with momentum, and of Adam's kind
SCHEDULES = ("cosine", "linear", "step", "one_cycle")
BATCH_SIZES = (32, 64, 128, 256)
AUGMENTATIONS = {  # what is left of the augmentations that are usual, or added to them
    "usual": lambda usual: usual,
    "none": lambda usual: (),
    "usual and cutout": lambda usual: tuple(dict.fromkeys([*usual, "cutout"])),
}

# The builders' arguments that scale a network: the first that it has counts. growth and dim are
# older names, which a config may still have.
WIDTHS = (
    *("width", "growth", "growth_rate", "widths", "dim", "hidden_dim"),
    *("penultimate_filters", "squeeze", "filters", "hidden"),
)
DEPTHS = ("depths", "depth", "repeats")
WIDTH_FACTORS, DEPTH_FACTORS = (1.0, 0.75, 0.5), (1.0, 0.5)
FEW = 32  # values, each of which is tried to see what a space asks for then
COMBINATIONS = 256  # at most, of those that are tried where a space refuses some
MULTIPLE = 8  # of channels, as in the papers that scale them


def optimizer(hp, config):
    """One with momentum, or one of Adam's kind."""
    return dataclasses.replace(config, optimizer=hp.Choice("optimizer", list(OPTIMIZERS)))


def learning_rate(hp, config):
    """Log-uniform over three powers of ten; with the optimizer varied, a range for each."""
    if "optimizer" not in hp:
        return dataclasses.replace(config, learning_rate=_rate(hp, config.optimizer))
    rates = {}
    for name in OPTIMIZERS:
        with hp.conditional_scope("optimizer", [name]):
            rates[name] = _rate(hp, name, f"learning_rate_{name}")
    return dataclasses.replace(config, learning_rate=rates[config.optimizer])


def _rate(hp, name, called="learning_rate"):
    return hp.Float(called, *RATES[name in MOMENTUM], sampling="log")


def weight_decay(hp, config):
    """Log-uniform over three powers of ten."""
    return dataclasses.replace(
        config, weight_decay=hp.Float("weight_decay", 1e-5, 1e-2, sampling="log")
    )


def batch_size(hp, config):
    """A power of two."""
    return dataclasses.replace(config, batch_size=hp.Choice("batch_size", list(BATCH_SIZES)))


def schedule(hp, config):
    """How the learning rate falls; milestones and their factor are those of step alone."""
    name = hp.Choice("schedule", list(SCHEDULES))
    if name != "step":
        config = dataclasses.replace(config, milestones=None, factor=type(config).factor)
    return dataclasses.replace(config, schedule=name)


def augment(hp, config):
    """What is usual for the data set, less, or more."""
    kind = hp.Choice("augment", list(AUGMENTATIONS))
    return dataclasses.replace(config, augment=AUGMENTATIONS[kind](config.augment))


def epochs(hp, config):
    """All, a half or a third of them: a short schedule may be as good."""
    share = hp.Choice("epochs", [1.0, 0.5, 0.33])
    return dataclasses.replace(config, epochs=max(1, round(share * config.epochs)))


def dropout(hp, config):
    """The rate of the network's dropout layers, where it has such."""
    if "dropout" not in builder_args(config.model):
        return config
    return dataclasses.replace(config, dropout=hp.Float("dropout", 0.0, 0.6, step=0.1))


def width(hp, config):
    """Channels as a share of those the network has, where its builder can scale them."""
    return _scaled(hp, config, "width", WIDTHS, WIDTH_FACTORS, MULTIPLE)


def depth(hp, config):
    """Blocks as a share of those the network has, where its builder can scale them."""
    return _scaled(hp, config, "depth", DEPTHS, DEPTH_FACTORS, 1)


def _scaled(hp, config, called, names, factors, multiple):
    usual = builder_args(config.model) | config.model_args
    knob = next((name for name in names if usual.get(name)), None)
    if knob is None:
        return config
    factor = hp.Choice(called, list(factors))
    value = usual[knob]
    if factor != 1:
        # A CIFAR ResNet of depth 6n + 2 is scaled in its n.
        by_six = config.model in REGISTRY and knob == "depth" and isinstance(value, int)
        value = (
            6 * max(1, round((value - 2) / 6 * factor)) + 2
            if by_six and value % 6 == 2
            else _times(value, factor, multiple)
        )
    return dataclasses.replace(config, model_args=config.model_args | {knob: value})


def _times(value, factor, multiple):
    """A number, or a tuple of them, scaled; what is a multiple stays one."""
    if isinstance(value, tuple):
        return tuple(_times(one, factor, multiple) for one in value)
    if isinstance(value, float):
        return value * factor
    unit = multiple if value % multiple == 0 else 1
    return max(unit, round(value * factor / unit) * unit)


# In this order: the optimizer decides the range of the learning rate.
PARTS = {
    part.__name__: part
    for part in (
        *(optimizer, learning_rate, weight_decay, batch_size, schedule, augment, dropout),
        *(width, depth, epochs),
    )
}


def default_space(names):
    """The space that varies the fields `names`, keys of PARTS: a function (hp, config) -> config.

    `config.augment` must be said, not None. Raises ValueError for a name that is not known.
    """
    chosen = [pick("part of a space", name, PARTS) for name in names]
    return functools.partial(_all_of, [part for part in PARTS.values() if part in chosen])


def _all_of(parts, hp, config):
    for part in parts:
        config = part(hp, config)
    return config


class _Asked(keras_tuner.HyperParameters):
    """What a space gets for `hp`: no name has two ranges, and the values of an Int are whole."""

    def __init__(self, hp):
        self.__dict__ = hp.__dict__  # one state: what is asked of this one is asked of `hp`

    def _retrieve(self, hp):  # where Int, Float, Choice, Boolean and Fixed get their value
        asked = _in_words(hp)
        if (step := getattr(hp, "step", None)) is not None and step <= 0:
            raise ValueError(
                f"hyperparameter {hp.name!r} takes a step of more than 0; received {step}"
            )
        if isinstance(hp, Int) and hp._default is not None:
            hp._default = int(hp._default)
        for one in self._hps.get(hp.name, ()):
            # keras-tuner tells them apart by their conditions, and has one value for a name.
            together = self.is_active(one) and self.is_active(hp)
            if (together or one.conditions == hp.conditions) and _in_words(one) != asked:
                raise FatalValueError(
                    f"the search space asks for {hp.name!r} in two ranges, {_in_words(one)} and "
                    f"{asked}, of which keras-tuner keeps the first: give each a name of its own; "
                    "where the range depends on another value, ask for a share of it, such as "
                    f"hp.Float('{hp.name}_share', 0.1, 1.0)"
                )
        value = super()._retrieve(hp)
        return int(value) if isinstance(hp, Int) and value is not None else value


def _in_words(hp):
    return f"{type(hp).__name__} {in_words(hp.get_config())}"


def ask(space, hp, config):
    """Ask a space for the config of the values of `hp`.

    Args:
        space: Function (hp, config) -> config.
        hp: keras_tuner.HyperParameters; what the space asks for is added to them.
        config: Config whose fields it replaces.

    Returns:
        A config of the same class.

    Raises:
        keras_tuner.errors.FatalValueError: If it asks for one name in two ranges.
        ValueError: If it gives no config back.
        Exception: What the space raises: it refuses these values.
    """
    tuned = space(_Asked(hp), config)
    if type(tuned) is not type(config):
        raise ValueError(
            f"a search space returns a config, as space(hp, config) -> config; it gave {tuned!r}"
        )
    return tuned


def register(space, config):
    """Find the hyperparameters that a space asks for.

    It is asked with each value of those that have few, since others may be asked for with some of
    them alone, and with the ends of the ranges of many. A space may refuse values by an error: then
    combinations of them are tried, too.

    Args:
        space: Function (hp, config) -> config.
        config: Config whose fields it replaces.

    Returns:
        keras_tuner.HyperParameters at their defaults.

    Raises:
        ValueError: If the space asks for nothing, gives no config back, asks for one name in two
            ranges, or for one that only an end of another's range needs.
        Exception: What it raised first, if it accepts no values.
    """
    found, base, tried, refusals = keras_tuner.HyperParameters(), None, set(), []

    def accepts(hp):
        try:
            ask(space, hp, config)
        except FatalError:
            raise
        except Exception as error:
            refusals.append(error)
            return False
        return True

    def candidates():
        yield base or {}
        for hp in found.space:
            parents = {one.name: one.values for one in hp.conditions}
            for value in _few_values(hp):
                yield (base or {}) | parents | {hp.name: [value]}
        if refusals:
            yield from _combinations(found)

    complete = False
    while not complete:
        complete = True
        for values in candidates():
            hp = _at(values, found)
            if frozenset(hp.values.items()) in tried:
                continue
            tried.add(frozenset(hp.values.items()))
            accepted, known = accepts(hp), len(found.space)
            found.merge(hp, overwrite=False)
            first = accepted and base is None
            if first:
                base = {name: [value] for name, value in hp.values.items()}
            if first or len(found.space) > known:  # once more, from here
                tried.add(frozenset(hp.values.items()))
                complete = False
                break
    if base is None:
        raise refusals[0]
    if not found.space:
        raise ValueError("the search space is empty: it asks for no hyperparameter")
    for one in found.space:
        if hasattr(one, "min_value") and not _few_values(one):
            for end in (one.min_value, one.max_value):
                hp = _at(base | {one.name: [end]}, found)
                if accepts(hp):
                    require_registered(hp, found)
    return found


def require_registered(hp, registered):
    """Raise ValueError for a name in `hp` that the `registered` HyperParameters have not."""
    if new := {one.name for one in hp.space} - {one.name for one in registered.space}:
        raise ValueError(
            f"the search space asks for {min(new)!r} only where another hyperparameter has a value "
            "of many: ask for it always"
        )


def _at(candidates, space):
    """A copy of HyperParameters with the first of {name: values} that each can have, or default."""
    hp = space.copy()
    hp.values = {}
    for one in hp.space:  # parents stand before what depends on them
        if hp.is_active(one):
            possible = [value for value in candidates.get(one.name, ()) if _has(one, value)]
            hp.values.setdefault(one.name, [*possible, one.default][0])
    return hp


def _has(hp, value):
    if hasattr(hp, "min_value"):
        return hp.min_value <= value <= hp.max_value
    return value in hp.values


def _combinations(space):
    """Yield {name: values} of all combinations of few values; at random where they are many."""
    few = [(hp.name, values) for hp in space.space if (values := _few_values(hp))]
    if math.prod(len(values) for _, values in few) <= COMBINATIONS:
        for values in itertools.product(*(values for _, values in few)):
            yield _by_name(zip((name for name, _ in few), values, strict=True))
        if len(few) == len(space.space):
            return
    random = np.random.default_rng(0)  # every process of a sweep finds the same
    for _ in range(COMBINATIONS):
        yield _by_name((hp.name, hp.prob_to_value(random.random())) for hp in space.space)


def _by_name(pairs):
    found = collections.defaultdict(list)  # a name may have several ranges, by conditions
    for name, value in pairs:
        found[name].append(value)
    return found


def grid(hp):
    """All values of a hyperparameter in ascending order, as a sequence; () for all real numbers."""
    if not hasattr(hp, "min_value"):
        return list(hp.values)
    if isinstance(hp, Int) and (hp.step is None or hp.sampling == "linear"):
        return range(hp.min_value, hp.max_value + 1, hp.step or 1)
    if hp.step is None:
        return ()
    kind = type(hp.min_value)  # keras-tuner 1.4.8 has floats for an Int with a logarithmic step
    return sorted(kind(value) for value in hp.values)


def _few_values(hp):
    """The values of a hyperparameter that has at most FEW; else ()."""
    values = grid(hp)
    return values if len(values) <= FEW else ()
