"""Resume a run from its directory: config.json names the recipe and its settings.

    cvcourse resume runs/train-lenet5-digits-20260101-120000

An unfinished run of any recipe ends as it would have ended without the interruption. For a finished
run, the metrics are printed. To resume a part of a run, such as a trial of a sweep, resume the
whole run.
"""

import dataclasses
import pathlib
import sys

from cvcourse import recipe
from cvcourse.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Config:
    """The run to resume."""

    run: str = recipe.field("", "run directory", positional=True)


def main(config):
    """Resume a run.

    Args:
        config: Config.

    Returns:
        The metrics of the run.

    Raises:
        UsageError: If the directory is not a run's, or its run is part of another one.
        RunError: If config.json is damaged.
        Exception: As the recipe does.
    """
    config = recipe.check(config)
    path = pathlib.Path(config.run).expanduser()
    begun, _ = recipe.read_config(path)
    module = recipe.module_of(begun["recipe"])
    if module is None:
        raise UsageError(
            f"{path / 'config.json'}, of version {begun['version']}, names an unknown recipe "
            f"({begun['recipe']}): resume with `cvcourse RECIPE --workdir={path}`"
        )
    flags = [f"--workdir={config.run}"]
    run = getattr(module, "judged", module.main)  # of `check`: an error if a step fails
    return run(recipe.parse(module.Config, flags, recipe=begun["recipe"]))


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
