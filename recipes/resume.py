"""Resume a run from its directory: config.json names the recipe and its settings.

    cvcourse resume runs/train-lenet5-digits-20260101-120000

An unfinished run of any recipe ends as it would have without the interruption. The metrics of a
finished run are printed. A part of a run, such as a trial of a sweep, is resumed with the whole.
"""

import dataclasses
import pathlib
import sys

from cvcourse import recipe
from cvcourse.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Config:
    """The run."""

    run: str = recipe.field("", "run directory", positional=True)


def main(config):
    """Resume a run.

    Args:
        config: Config.

    Returns:
        The metrics of the run.

    Raises:
        UsageError: If the directory is not that of a whole run.
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
    run = getattr(module, "judged", module.main)  # check's: an error where a step fails
    return run(recipe.parse(module.Config, flags, recipe=begun["recipe"]))


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
