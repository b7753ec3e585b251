"""Command line of a recipe: flags from a config's fields, errors as one line and an exit code."""

import argparse
import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from cvcourse.errors import Interrupted, RunError, UsageError, unknown
from cvcourse.interrupt import handling, terminate
from cvcourse.recipe.config_file import (
    file_values,
    read_fields,
    whole_run,
    without_directory,
)
from cvcourse.recipe.fields import check, fields, names_of, renamed
from cvcourse.recipe.standard_streams import make_output_tolerant


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(message)


def parse(
    config_class: type,
    argv: Sequence[str] | None = None,
    *,
    recipe: str | None = None,
    prog: str | None = None,
    description: str | None = None,
) -> Any:
    """Parse flags into a config. Flags override the file of `--config`, which overrides defaults.

    `--batch_size` and `--batch-size` are the same flag. If `--workdir` contains a run, and the
    other flags are all `free` or include --extend, the run's config.json is read as this file. The
    fields `workdir` and `extend` are not read from a file.

    Args:
        config_class: Class of the config.
        argv: Arguments of the command line after the recipe's name; None for those of this process.
        recipe: Name of the recipe to which a run in `--workdir` must belong; None for any.
        prog: Command with which the user called the recipe.
        description: Text above the flags in the help.

    Returns:
        A `config_class`.

    Raises:
        UsageError: For a wrong flag or value, and if `--workdir` alone names a run of another
            recipe or a part of a run.
        RunError: If `--workdir` alone names a run with a damaged config.json.

    >>> from cvcourse.recipes import train
    >>> config = parse(train.Config, ["--model=resnet20", "--epochs=5"])
    >>> config.model, config.epochs
    ('resnet20', 5)
    """
    specs = fields(config_class)
    rest = [name for name, spec in specs.items() if spec.rules["positional"]]
    places = [name.upper() + (" ..." if specs[name].several else "") for name in rest]
    parser = _Parser(
        prog=prog,
        usage=" ".join(["%(prog)s", *places, "[--flags]"]),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="run directory, config.json or best.json to start from; other flags override it",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    old_names = {old: new for old, new in renamed(config_class).items() if new not in rest}
    for name, spec in (specs | {old: specs[new] for old, new in old_names.items()}).items():
        choices = ", ".join(spec.rules["choices"] or ())
        choices = choices and f"{'any' if spec.several else 'one'} of {choices}; "
        default = spec.to_text(spec.default) or "none"
        text = f"{spec.rules['help']} ({choices}default: {default})"
        if name in rest:
            help, nargs = spec.rules["help"].replace("%", "%%"), "*" if spec.several else "?"
            parser.add_argument(name, nargs=nargs, metavar=name.upper(), help=help)
            continue
        options = dict(help=text.replace("%", "%%"), dest=name)
        if name in old_names:
            options["help"] = argparse.SUPPRESS
        if spec.kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["metavar"] = spec.kind.__name__.upper() + (",..." if spec.several else "")
        parser.add_argument(*dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]), **options)
    namespace, others = parser.parse_known_intermixed_args(argv)
    if rest and others and not others[0].startswith("-"):
        raise UsageError(f"unexpected argument {others[0]!r} after {' '.join(places)}")
    if others:
        name = others[0].split("=")[0].lstrip("-")
        if name in rest:
            raise UsageError(
                f"{name.upper()} is a positional argument, not a flag: {prog} {' '.join(places)}"
            )
        flags = [f"--{name}" for name in ("help", "config", "debug", *specs)]
        raise UsageError(unknown("flag", others[0].split("=")[0], flags))
    given = vars(namespace)
    for name, text in given.items():
        if isinstance(text, list) and name not in rest:  # argparse makes [] of `--flag=--`
            raise UsageError(f"--{name} expects one argument; received '--'")
    for old, new in old_names.items():
        if old not in given:
            continue
        if new in given:
            raise UsageError(f"--{old} is now called --{new}; received both: leave out --{old}")
        print(f"--{old} is now called --{new}", file=sys.stderr)
        given[new] = given.pop(old)
    values = _file_values(config_class, given, recipe)
    for name, spec in specs.items():
        if name in given:
            text = given[name]
            if name in rest and spec.several:
                values[name] = tuple(map(spec.kind, text)) or values.get(name, spec.default)
            else:
                values[name] = spec.from_text(text) if isinstance(text, str) else text
    return check(config_class(**values))


def _file_values(config_class, given, recipe):
    """Return the values in the file of --config, or of the run in --workdir.

    The run is read only if no other flag changes its settings, or if it is extended.
    """
    if given.get("config") == "":
        raise UsageError("--config needs a file or a run directory; received ''")
    if "config" in given:
        try:
            return file_values(given["config"], config_class)[1]
        except UsageError as error:
            raise UsageError(f"--config: {error}") from error
    others = given.keys() - {"debug"} - names_of(config_class, "free")
    folder = pathlib.Path(os.path.expanduser(given.get("workdir") or ""))
    alone = "workdir" in given and (not others or given.get("extend"))
    if not alone or not os.path.isfile(folder / "config.json"):
        return {}
    if whole := whole_run(folder):
        again = shlex.join(["cvcourse", "resume", str(whole)])
        raise UsageError(f"{folder} is a part of the run in {whole}: resume it with `{again}`")
    return without_directory(read_fields(folder, config_class, recipe)[1])


def command(config, prog):
    """Return the command line of a config: the flags that differ from the defaults.

    --workdir comes last, where it is easy to find.

    Args:
        config: Config of a recipe.
        prog: Command of the recipe, as `program` returns it.

    Returns:
        The command line as str.
    """
    words = shlex.split(prog)
    for name, spec in sorted(fields(config).items(), key=lambda item: item[0] == "workdir"):
        value = getattr(config, name)
        if value == spec.default:
            continue
        if spec.rules["positional"]:
            words += value if spec.several else [value]
        elif spec.kind is bool:
            words.append(f"--{'' if value else 'no-'}{name}")
        else:
            words.append(f"--{name}={spec.to_text(value)}")
    return shlex.join(words)


def program(name):
    """Return the command of a recipe: `cvcourse train`, `cvcourse bench tune`, or a script."""
    script = pathlib.Path(sys.argv[0] if sys.argv else "")
    *_, last = words = name.split()
    if script.name == f"{last}.py":
        return shlex.join(["python", str(script)])
    if script.name == "__main__.py":
        return f"python -m cvcourse {name}"
    installed = shutil.which("cvcourse")
    if script.name == "cvcourse" and not (installed and os.path.samefile(installed, script)):
        return shlex.join([str(script), *words])
    return f"cvcourse {name}"


@contextlib.contextmanager
def user_errors():
    """Context manager: re-raise ValueError and TypeError (a bad name or value) as UsageError."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error


def run(main, config_class, argv=None, *, name, description=None):
    """Parse flags and call `main(config)`; print an error as one line on standard error.

    Args:
        main: Function of a config.
        config_class: Class of the config.
        argv: Arguments of the command line. If None, those of this process, whose output is then
            passed to `make_output_tolerant`.
        name: Name of the recipe.
        description: Text above the flags in the help.

    Returns:
        The exit code: 0, 2 for UsageError, 130 for Ctrl-C and SIGTERM, 1 for other errors.
    """
    if argv is None:
        make_output_tolerant()
        argv = sys.argv[1:]
    prog, argv = program(name), list(argv)
    try:
        config = parse(config_class, argv, recipe=name, prog=prog, description=description)
        with handling(terminate, signal.SIGTERM):
            main(config)
        return 0
    except BaseException as error:
        if isinstance(error, SystemExit):  # --help
            raise
        if "--debug" in argv:
            traceback.print_exc()
        code, message = exit_code(error)
        print(f"{prog}: {' '.join(message.split())}", file=sys.stderr)
        return code


def cli(main, name=None):
    """Make the command line of a recipe.

    Args:
        main: The recipe's function `main(config)`. Its module has a Config, and a docstring, which
            is the text of the help.
        name: Name of the recipe for `cvcourse`; None for the name of its file.

    Returns:
        A function (argv=None) that runs the recipe and returns the exit code.
    """
    module = sys.modules[main.__module__]
    name = name or pathlib.Path(module.__file__).stem

    def run_recipe(argv=None):
        return run(module.main, module.Config, argv, name=name, description=module.__doc__)

    return run_recipe


def exit_code(error):
    """Return the exit code and the message of an error."""
    if isinstance(error, UsageError):
        return 2, str(error)
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        return 130, str(error) or "interrupted"
    if isinstance(error, RunError):
        return 1, str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return 1, "out of memory: use smaller images, a smaller network or a smaller batch size"
    return 1, f"{type(error).__name__}: {error} (--debug shows where)"  # unexpected
