"""Stochastic depth of a registry's network by one rate, whatever its builder calls the knob.

Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, https://arxiv.org/abs/1603.09382.
"""

from cvcourse.models.registry import builder_args

KNOBS = {  # of builders: their value for the rate at which the last block's path is dropped
    "survival": lambda rate: 1 - rate,
    "drop_path": lambda rate: rate,
}
STEPS = "drop_path_steps"  # the knob for steps over which the rate grows (Zoph et al. 2018)


def stochastic_depth(architecture, rate):
    """Make the builder's knob of a rate.

    Args:
        architecture: Name that `build` takes.
        rate: Rate at which the last block's path is dropped; None for the network's own.

    Returns:
        {knob: value}; empty for None.

    Raises:
        ValueError: If the network has no blocks to drop.
    """
    if rate is None:
        return {}
    known = builder_args(architecture)
    for knob, value_of in KNOBS.items():
        if knob in known:
            return {knob: value_of(rate)}
    raise ValueError(
        f"--stochastic_depth: {architecture} has no blocks to drop; networks with a knob "
        f"{' or '.join(KNOBS)} do, such as resnet20"
    )


def drops_paths_by_schedule(architecture, settings, rate=None):
    """Tell whether a network's rate grows over the steps of a run, whose number it must be given.

    Args:
        architecture: Name that `build` takes.
        settings: {knob: value} that `build` is given besides.
        rate: As in `stochastic_depth`.

    Returns:
        True if it has a rate that grows and no number of steps in its settings.
    """
    own = builder_args(architecture) | settings
    drops = own.get("drop_path") if rate is None else rate
    return STEPS in own and STEPS not in settings and bool(drops)
