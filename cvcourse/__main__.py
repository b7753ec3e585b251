"""The command line: `cvcourse RECIPE --flags` runs a recipe, `cvcourse --help` lists them."""

import signal
import sys

from cvcourse import __version__
from cvcourse.interrupt import handling, terminate
from cvcourse.recipe._dispatch import dispatch, summaries
from cvcourse.recipe.standard_streams import make_output_tolerant


def recipes():
    """Return {recipe name: first line of its docstring} without importing the recipes."""
    return summaries("cvcourse.recipes")


def main(argv=None):
    """Run the recipe that the first argument names.

    Args:
        argv: Name of the recipe and its flags; None for the arguments of this process.

    Returns:
        The exit code.
    """
    if argv is None:
        make_output_tolerant()
        argv = sys.argv[1:]
    try:
        with handling(terminate, signal.SIGTERM):
            return _run(list(argv))
    except KeyboardInterrupt as error:  # before the recipe's own handler is set
        print(f"cvcourse: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130


def _run(argv):
    if argv[:1] == ["--version"]:
        print(f"cvcourse {__version__}")
        return 0
    # The benchmarks were recipes until version 0.4.
    if argv and argv[0] in {f"bench_{name}" for name in summaries("cvcourse.recipes.benchmarks")}:
        new = argv[0].replace("_", " ")
        print(f"cvcourse: {argv[0]} is now `cvcourse {new}`", file=sys.stderr)
        return 2
    return dispatch("cvcourse.recipes", argv, prog="cvcourse", kind="recipe")


if __name__ == "__main__":
    sys.exit(main())
