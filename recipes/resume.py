"""Go on with a run by its directory alone: its config.json tells the recipe and the settings.

    cvcourse resume runs/train-lenet5-digits-20260101-120000

An unfinished run of any recipe ends as it would have without the interruption. Of a finished one
its metrics are printed. A part of a run, such as a trial of a sweep, goes on with the whole.
"""

import dataclasses
import pathlib
import sys

from cvcourse import recipe
from cvcourse.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Config:
    """Which run."""

    run: str = recipe.field("", "a run's directory", positional=True)


def main(config):
    """Run the recipe of a run's config.json in the run's directory; returns its metrics.

    Raises UsageError for a directory that is no run's or a part of one, RunError for a damaged
    config.json, and what the recipe does.
    """
    config = recipe.check(config)
    path = pathlib.Path(config.run).expanduser()
    begun, _ = recipe.read_config(path)
    module = recipe.module_of(begun["recipe"])
    if module is None:
        raise UsageError(
            f"{path / 'config.json'}, of version {begun['version']}, names no recipe that is known "
            f"here ({begun['recipe']}): go on with `cvcourse RECIPE --workdir={path}`"
        )
    flags = [f"--workdir={config.run}"]
    run = getattr(module, "judged", module.main)  # check's: an error where a step fails
    return run(recipe.parse(module.Config, flags, recipe=begun["recipe"]))


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
