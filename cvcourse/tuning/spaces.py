"""Search spaces: the hyperparameters of a training config that a sweep varies, and their ranges.

A space is a function `space(hp, config) -> config` that gets values from `hp` (a
keras_tuner.HyperParameters) and returns the config with those fields replaced. It may reject a
combination by raising an error. For logarithmic ranges, and random instead of grid search, see
Bergstra & Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012.
"""

import collections
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.hyperparameters import Int
from keras_tuner.errors import FatalError, FatalValueError

from cvcourse.errors import pick
from cvcourse.models import REGISTRY, builder_args
from cvcourse.tuning._oracle import in_words

Space = Callable[[keras_tuner.HyperParameters, Any], Any]
OPTIMIZERS = ("nesterov", "adamw")
MOMENTUM = ("sgd", "momentum", "nesterov")
RATES = {True: (1e-3, 1.0), False: (1e-5, 1e-2)}  # for momentum methods, for adaptive ones
SCHEDULES = ("cosine", "linear", "step", "one_cycle")
BATCH_SIZES = (32, 64, 128, 256)
AUGMENTATIONS = {  # name: function of the dataset's usual augmentations
    "usual": lambda usual: usual,
    "none": lambda usual: (),
    "usual and cutout": lambda usual: tuple(dict.fromkeys([*usual, "cutout"])),
}

# Builder arguments that scale a network: the first one that a builder has is used. An older config
# may have the former names growth and dim.
WIDTHS = (
    *("width", "growth", "growth_rate", "widths", "dim", "hidden_dim"),
    *("penultimate_filters", "squeeze", "filters", "hidden"),
)
DEPTHS = ("depths", "depth", "repeats")
WIDTH_FACTORS, DEPTH_FACTORS = (1.0, 0.75, 0.5), (1.0, 0.5)
FEW = 32  # maximum number of values of a hyperparameter that are all tried to find conditional ones
COMBINATIONS = 256  # maximum number of combinations to try if a space rejects some
MULTIPLE = 8  # divisor of channels, as in the papers that scale them


def optimizer(hp, config):
    """Vary the optimizer: one with momentum, one adaptive."""
    return dataclasses.replace(config, optimizer=hp.Choice("optimizer", list(OPTIMIZERS)))


def learning_rate(hp, config):
    """Vary the learning rate, log-uniform over three decades; each optimizer has its own range."""
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
    """Vary the weight decay, log-uniform over three decades."""
    return dataclasses.replace(
        config, weight_decay=hp.Float("weight_decay", 1e-5, 1e-2, sampling="log")
    )


def batch_size(hp, config):
    """Vary the batch size over powers of two."""
    return dataclasses.replace(config, batch_size=hp.Choice("batch_size", list(BATCH_SIZES)))


def schedule(hp, config):
    """Vary the learning-rate schedule; milestones and factor apply only to step."""
    name = hp.Choice("schedule", list(SCHEDULES))
    if name != "step":
        config = dataclasses.replace(config, milestones=None, factor=type(config).factor)
    return dataclasses.replace(config, schedule=name)


def augment(hp, config):
    """Vary the augmentation: the dataset's usual one, none, or more."""
    kind = hp.Choice("augment", list(AUGMENTATIONS))
    return dataclasses.replace(config, augment=AUGMENTATIONS[kind](config.augment))


def epochs(hp, config):
    """Vary the number of epochs: all, a half or a third, since a short schedule may be as good."""
    share = hp.Choice("epochs", [1.0, 0.5, 0.33])
    return dataclasses.replace(config, epochs=max(1, round(share * config.epochs)))


def dropout(hp, config):
    """Vary the rate of the network's dropout layers, if it has any."""
    if "dropout" not in builder_args(config.model):
        return config
    return dataclasses.replace(config, dropout=hp.Float("dropout", 0.0, 0.6, step=0.1))


def width(hp, config):
    """Vary the number of channels, as a share of the network's, if its builder can scale them."""
    return _scaled(hp, config, "width", WIDTHS, WIDTH_FACTORS, MULTIPLE)


def depth(hp, config):
    """Vary the number of blocks, as a share of the network's, if its builder can scale them."""
    return _scaled(hp, config, "depth", DEPTHS, DEPTH_FACTORS, 1)


def _scaled(hp, config, called, names, factors, multiple):
    usual = builder_args(config.model) | config.model_args
    knob = next((name for name in names if usual.get(name)), None)
    if knob is None:
        return config
    factor = hp.Choice(called, list(factors))
    value = usual[knob]
    if factor != 1:
        # For a CIFAR ResNet of depth 6n + 2, n is scaled.
        by_six = config.model in REGISTRY and knob == "depth" and isinstance(value, int)
        value = (
            6 * max(1, round((value - 2) / 6 * factor)) + 2
            if by_six and value % 6 == 2
            else _times(value, factor, multiple)
        )
    return dataclasses.replace(config, model_args=config.model_args | {knob: value})


def _times(value, factor, multiple):
    """Scale a number or a tuple of numbers. A multiple of `multiple` stays one."""
    if isinstance(value, tuple):
        return tuple(_times(one, factor, multiple) for one in value)
    if isinstance(value, float):
        return value * factor
    unit = multiple if value % multiple == 0 else 1
    return max(unit, round(value * factor / unit) * unit)


# In order: the optimizer determines the range of the learning rate.
PARTS = {
    part.__name__: part
    for part in (
        *(optimizer, learning_rate, weight_decay, batch_size, schedule, augment, dropout),
        *(width, depth, epochs),
    )
}


def default_space(names: Iterable[str]) -> Space:
    """Return a search space that varies some hyperparameters over their default ranges.

    Args:
        names: Hyperparameters to vary, keys of `tuning.PARTS`.

    Returns:
        A function (hp, config) -> config. To vary the augmentation, `config.augment` must not be
        None.

    Raises:
        ValueError: For an unknown name.

    >>> from cvcourse.recipes import train
    >>> space = default_space(["batch_size", "learning_rate"])
    >>> register(space, train.Config()).values
    {'learning_rate': 0.001, 'batch_size': 32}
    """
    chosen = [pick("part of a space", name, PARTS) for name in names]
    return functools.partial(_all_of, [part for part in PARTS.values() if part in chosen])


def _all_of(parts, hp, config):
    for part in parts:
        config = part(hp, config)
    return config


class _Asked(keras_tuner.HyperParameters):
    """HyperParameters for a space: no name has two ranges, and values of an Int are integers."""

    def __init__(self, hp):
        self.__dict__ = hp.__dict__  # shared state: a request here is one to `hp`

    def _retrieve(self, hp):  # called by Int, Float, Choice, Boolean and Fixed
        asked = _in_words(hp)
        if (step := getattr(hp, "step", None)) is not None and step <= 0:
            raise ValueError(f"hyperparameter {hp.name!r} needs a step above 0; received {step}")
        if isinstance(hp, Int) and hp._default is not None:
            hp._default = int(hp._default)
        for one in self._hps.get(hp.name, ()):
            # keras-tuner distinguishes them by their conditions, but has one value per name.
            together = self.is_active(one) and self.is_active(hp)
            if (together or one.conditions == hp.conditions) and _in_words(one) != asked:
                raise FatalValueError(
                    f"the search space requests {hp.name!r} with two ranges, {_in_words(one)} and "
                    f"{asked}, of which keras-tuner keeps the first: use different names; if the "
                    "range depends on another value, request a share of it, such as "
                    f"hp.Float('{hp.name}_share', 0.1, 1.0)"
                )
        value = super()._retrieve(hp)
        return int(value) if isinstance(hp, Int) and value is not None else value


def _in_words(hp):
    return f"{type(hp).__name__} {in_words(hp.get_config())}"


def ask(space: Space, hp: keras_tuner.HyperParameters, config: Any) -> Any:
    """Return the config that a search space creates from the values of `hp`.

    Args:
        space: Function (hp, config) -> config.
        hp: Hyperparameters with values; those that the space requests are added.
        config: Config whose fields the space replaces.

    Returns:
        A config of the same class.

    Raises:
        keras_tuner.errors.FatalValueError: If the space requests one name with two ranges.
        ValueError: If the space does not return a config.
        Exception: As the space does, which rejects the values.

    >>> from cvcourse.recipes import train
    >>> def space(hp, config):
    ...     return dataclasses.replace(config, epochs=hp.Int("epochs", 2, 10))
    >>> ask(space, keras_tuner.HyperParameters(), train.Config()).epochs
    2
    """
    tuned = space(_Asked(hp), config)
    if type(tuned) is not type(config):
        raise ValueError(
            f"a search space must return a config: space(hp, config) -> config; received {tuned!r}"
        )
    return tuned


def register(space: Space, config: Any) -> keras_tuner.HyperParameters:
    """Find the hyperparameters of a search space by calling it.

    Some hyperparameters may be requested only for some values of others. Therefore the space is
    called with each value of hyperparameters that have few values, and with the ends of the ranges
    of the others. If the space rejects values by an error, combinations are also tried.

    Args:
        space: Function (hp, config) -> config.
        config: Config whose fields the space replaces.

    Returns:
        The hyperparameters with their default values.

    Raises:
        ValueError: If the space requests nothing, does not return a config, requests one name with
            two ranges, or requests one only for some values of a continuous range.
        Exception: The first error of the space, if it accepts no values.

    >>> from cvcourse.recipes import train
    >>> def space(hp, config):
    ...     return dataclasses.replace(config, epochs=hp.Int("epochs", 2, 10))
    >>> register(space, train.Config()).values
    {'epochs': 2}
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
            if first or len(found.space) > known:  # start again from here
                tried.add(frozenset(hp.values.items()))
                complete = False
                break
    if base is None:
        raise refusals[0]
    if not found.space:
        raise ValueError("the search space is empty: it requests no hyperparameter")
    for one in found.space:
        if hasattr(one, "min_value") and not _few_values(one):
            for end in (one.min_value, one.max_value):
                hp = _at(base | {one.name: [end]}, found)
                if accepts(hp):
                    require_registered(hp, found)
    return found


def require_registered(hp, registered):
    """Raise ValueError for a name in `hp` that the `registered` HyperParameters lack."""
    if new := {one.name for one in hp.space} - {one.name for one in registered.space}:
        raise ValueError(
            f"the search space requests {min(new)!r} only for some values of another "
            "hyperparameter, which has too many to try all: request it always"
        )


def _at(candidates, space):
    """Copy HyperParameters with the first possible one of {name: values}, or the default."""
    hp = space.copy()
    hp.values = {}
    for one in hp.space:  # parents come before the hyperparameters that depend on them
        if hp.is_active(one):
            possible = [value for value in candidates.get(one.name, ()) if _has(one, value)]
            hp.values.setdefault(one.name, [*possible, one.default][0])
    return hp


def _has(hp, value):
    if hasattr(hp, "min_value"):
        return hp.min_value <= value <= hp.max_value
    return value in hp.values


def _combinations(space):
    """Yield {name: values} of all combinations of few values, and random ones of many."""
    few = [(hp.name, values) for hp in space.space if (values := _few_values(hp))]
    if math.prod(len(values) for _, values in few) <= COMBINATIONS:
        for values in itertools.product(*(values for _, values in few)):
            yield _by_name(zip((name for name, _ in few), values, strict=True))
        if len(few) == len(space.space):
            return
    random = np.random.default_rng(0)  # equal in every process of a sweep
    for _ in range(COMBINATIONS):
        yield _by_name((hp.name, hp.prob_to_value(random.random())) for hp in space.space)


def _by_name(pairs):
    found = collections.defaultdict(list)  # a name may have several conditional ranges
    for name, value in pairs:
        found[name].append(value)
    return found


def grid(hp):
    """Return the values of a hyperparameter in ascending order; () for a continuous range."""
    if not hasattr(hp, "min_value"):
        return list(hp.values)
    if isinstance(hp, Int) and (hp.step is None or hp.sampling == "linear"):
        return range(hp.min_value, hp.max_value + 1, hp.step or 1)
    if hp.step is None:
        return ()
    kind = type(hp.min_value)  # keras-tuner 1.4.8 has floats for an Int with a logarithmic step
    return sorted(kind(value) for value in hp.values)


def _few_values(hp):
    """Return the values of a hyperparameter with at most FEW of them, else ()."""
    values = grid(hp)
    return values if len(values) <= FEW else ()
