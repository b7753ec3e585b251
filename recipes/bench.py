"""How fast everything is: `cvcourse bench NAME` runs a benchmark, --help lists them.

    cvcourse bench
    cvcourse bench networks --help

Without NAME it is the benchmark of `train`.
"""

import sys

from cvcourse import recipe


def cli(argv=None):
    """Run from a command line; returns the exit code."""
    argv = [*(sys.argv[1:] if argv is None else argv)]
    if not argv or (argv[0].startswith("-") and argv[0] not in recipe.HELP):
        argv.insert(0, "train")
    package = "cvcourse.recipes.benchmarks"
    return recipe.dispatch(package, argv, prog="cvcourse bench", kind="benchmark")


if __name__ == "__main__":
    sys.exit(cli())
