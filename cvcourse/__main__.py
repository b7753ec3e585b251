"""The command line: `cvcourse RECIPE --flags` runs a recipe, `cvcourse --help` lists them."""

import importlib
import pkgutil
import signal
import sys

from cvcourse import __version__
from cvcourse.errors import unknown
from cvcourse.interrupt import handling, terminate
from cvcourse.recipe.standard_streams import make_output_tolerant


def recipes():
    """The recipes by name, each with the first line of its docstring; none of them is imported."""
    import ast
    import pathlib

    import cvcourse.recipes

    found = {}
    for module in pkgutil.iter_modules(cvcourse.recipes.__path__):
        source = pathlib.Path(module.module_finder.path, f"{module.name}.py").read_text("utf-8")
        found[module.name] = ast.get_docstring(ast.parse(source)).splitlines()[0]
    return found


def main(argv=None):
    """Run the recipe that the first argument names; returns the exit code."""
    if argv is None:
        make_output_tolerant()
        argv = sys.argv[1:]
    try:
        with handling(terminate, signal.SIGTERM):
            return _run(list(argv))
    except KeyboardInterrupt as error:  # before the recipe has begun, which answers itself
        print(f"cvcourse: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130


def _run(argv):
    known = recipes()
    if not argv or argv[0] in ("-h", "--help"):
        print(
            "usage: cvcourse RECIPE [--flags]      cvcourse RECIPE --help\n\nrecipes:",
            *(f"  {name:14} {line}" for name, line in known.items()),
            sep="\n",
            file=sys.stdout if argv else sys.stderr,
        )
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"cvcourse {__version__}")
        return 0
    if argv[0] not in known:
        print(f"cvcourse: {unknown('recipe', argv[0], known)}", file=sys.stderr)
        return 2
    return importlib.import_module(f"cvcourse.recipes.{argv[0]}").cli(argv[1:])


if __name__ == "__main__":
    sys.exit(main())
