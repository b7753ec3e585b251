"""Commands of a package: the first argument names a module, which parses the other arguments."""

import ast
import importlib
import pathlib
import pkgutil
import sys

from cvcourse.errors import unknown

HELP = ("-h", "--help")


def summaries(package):
    """List the modules of a package, without importing them.

    Args:
        package: Dotted name of the package.

    Returns:
        {name: first line of its docstring}, without packages.
    """
    found = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not module.ispkg:
            source = pathlib.Path(module.module_finder.path, f"{module.name}.py").read_text("utf-8")
            found[module.name] = ast.get_docstring(ast.parse(source)).splitlines()[0]
    return found


def dispatch(package, argv, *, prog, kind):
    """Run the `cli` of the module that the first argument names.

    Args:
        package: Dotted name of a package of modules with a function `cli(argv)`.
        argv: Name of the module, then its flags. If empty or --help, the modules are listed.
        prog: Name of the command.
        kind: Noun for a module, such as recipe.

    Returns:
        The exit code: 2 if there is no name, or an unknown one.
    """
    known = summaries(package)
    if not argv or argv[0] in HELP:
        use, width = f"{prog} {kind.upper()}", max(map(len, known), default=0)
        print(
            f"usage: {use} [--flags]      {use} --help\n\n{kind}s:",
            *(f"  {name:{width}} {line}" for name, line in known.items()),
            sep="\n",
            file=sys.stdout if argv else sys.stderr,
        )
        return 0 if argv else 2
    if argv[0] not in known:
        print(f"{prog}: {unknown(kind, argv[0], known)}", file=sys.stderr)
        return 2
    return importlib.import_module(f"{package}.{argv[0]}").cli(argv[1:])
