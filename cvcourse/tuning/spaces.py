"""Search spaces: what of a training config a sweep may vary, and in which range.

A space is a function `space(hp, config) -> config` that asks `hp` (a keras_tuner.HyperParameters)
for values and returns the config with those fields replaced. Why ranges on a logarithmic scale,
and why random rather than a grid: Bergstra & Bengio, "Random Search for Hyper-Parameter
Optimization", JMLR 2012.
"""

import dataclasses
import functools

import keras_tuner

from cvcourse.errors import pick
from cvcourse.models import knobs

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

# The builders' knobs that scale a network: the first that it has counts.
WIDTHS = ("width", "growth", "widths", "dim", "penultimate_filters", "squeeze", "filters", "hidden")
DEPTHS = ("depths", "depth", "repeats")
WIDTH_FACTORS, DEPTH_FACTORS = (1.0, 0.75, 0.5), (1.0, 0.5)
FEW = 32  # values, each of which is tried to see what a space asks for then
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
    if "dropout" not in knobs(config.model):
        return config
    return dataclasses.replace(config, dropout=hp.Float("dropout", 0.0, 0.6, step=0.1))


def width(hp, config):
    """Channels as a share of those the network has, where its builder can scale them."""
    return _scaled(hp, config, "width", WIDTHS, WIDTH_FACTORS, MULTIPLE)


def depth(hp, config):
    """Blocks as a share of those the network has, where its builder can scale them."""
    return _scaled(hp, config, "depth", DEPTHS, DEPTH_FACTORS, 1)


def _scaled(hp, config, called, names, factors, multiple):
    usual = knobs(config.model) | config.model_args
    knob = next((name for name in names if usual.get(name)), None)
    if knob is None:
        return config
    factor = hp.Choice(called, list(factors))
    value = usual[knob]
    if factor != 1:
        # A CIFAR ResNet of depth 6n + 2 is scaled in its n.
        by_six = knob == "depth" and isinstance(value, int) and value % 6 == 2
        value = (
            6 * max(1, round((value - 2) / 6 * factor)) + 2
            if by_six
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


def ready_made(names):
    """The space that varies the fields `names`, keys of PARTS: a function (hp, config) -> config.

    `config.augment` must be said, not None. Raises ValueError for a name that is not known.
    """
    chosen = [pick("part of a space", name, PARTS) for name in names]
    return functools.partial(_all_of, [part for part in PARTS.values() if part in chosen])


def _all_of(parts, hp, config):
    for part in parts:
        config = part(hp, config)
    return config


def register(space, config):
    """What a space asks for, as keras_tuner.HyperParameters at their defaults.

    It is asked once with each value of what has few, since another hyperparameter may be asked for
    with some of them alone. Raises ValueError for a space that asks for nothing, or that does not
    give a config back.
    """
    hp = keras_tuner.HyperParameters()
    tuned, asked = space(hp, config), set()
    while left := [pair for pair in _few_values(hp) if pair not in asked]:
        other = hp.copy()
        name, value = left[0]
        for condition in next(one for one in hp.space if one.name == name).conditions:
            other.values[condition.name] = condition.values[0]
        other.values[name] = value
        other.ensure_active_values()
        space(other, config)
        hp.merge(other, overwrite=False)
        asked.add((name, value))
    if not hp.space:
        raise ValueError("the search space is empty: it asks for no hyperparameter")
    if type(tuned) is not type(config):
        raise ValueError(
            f"a search space returns a config, as space(hp, config) -> config; it gave {tuned!r}"
        )
    return hp


def _few_values(hp):
    """[(name, value)] of the hyperparameters that have at most FEW of them."""
    pairs = []
    for one in hp.space:
        if not hasattr(one, "min_value"):
            values = tuple(one.values)
        elif isinstance(one.min_value, int):
            values = range(one.min_value, one.max_value + 1, one.step or 1)
        else:
            continue
        if len(values) <= FEW:
            pairs += [(one.name, value) for value in values]
    return pairs
