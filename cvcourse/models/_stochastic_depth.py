"""Stochastic depth for any network of the registry, set by one rate.

Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, https://arxiv.org/abs/1603.09382.
"""

from typing import Any

from cvcourse.models.registry import builder_args

ARGUMENTS = {  # of builders: value for the rate at which the last block's path is dropped
    "survival": lambda rate: 1 - rate,
    "drop_path": lambda rate: rate,
}
STEPS = "drop_path_steps"  # the argument for the steps over which the rate grows (Zoph et al. 2018)


def stochastic_depth(architecture: str, rate: float | None) -> dict[str, float]:
    """Return the builder argument that sets a rate of stochastic depth.

    Args:
        architecture: Name that `build` takes.
        rate: Rate at which the last block's path is dropped; None for the network's own.

    Returns:
        {argument: value} for `build`; empty for None.

    Raises:
        ValueError: If the network has no blocks to drop.

    >>> stochastic_depth("resnet20", 0.5), stochastic_depth("convnext_tiny", 0.25)
    ({'survival': 0.5}, {'drop_path': 0.25})
    """
    if rate is None:
        return {}
    known = builder_args(architecture)
    for argument, value_of in ARGUMENTS.items():
        if argument in known:
            return {argument: value_of(rate)}
    raise ValueError(
        f"--stochastic_depth: {architecture} has no blocks to drop; networks with an argument "
        f"{' or '.join(ARGUMENTS)} do, such as resnet20"
    )


def drops_paths_by_schedule(
    architecture: str, settings: dict[str, Any], rate: float | None = None
) -> bool:
    """Check whether a network's drop rate grows over a number of training steps that is not set.

    Args:
        architecture: Name that `build` takes.
        settings: {argument: value} for `build`.
        rate: As in `stochastic_depth`.

    Returns:
        True if the network has such a rate, and `settings` has no number of steps.
    """
    own = builder_args(architecture) | settings
    drops = own.get("drop_path") if rate is None else rate
    return STEPS in own and STEPS not in settings and bool(drops)
