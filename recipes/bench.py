"""Benchmarks of speed: `cvcourse bench NAME` runs one, `cvcourse bench --help` lists them.

    cvcourse bench
    cvcourse bench networks --help

Without NAME, the benchmark of `train` is run.
"""

import sys

from cvcourse import recipe


def cli(argv=None):
    """Run from a command line; return the exit code."""
    argv = [*(sys.argv[1:] if argv is None else argv)]
    if not argv or (argv[0].startswith("-") and argv[0] not in recipe.HELP):
        argv.insert(0, "train")
    package = "cvcourse.recipes.benchmarks"
    return recipe.dispatch(package, argv, prog="cvcourse bench", kind="benchmark")


if __name__ == "__main__":
    sys.exit(cli())
