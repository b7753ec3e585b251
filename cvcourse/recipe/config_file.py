"""The config.json of a run: which recipe and version began it, and its fields."""

import contextlib
import json
import os
import pathlib

from cvcourse.errors import RunError, UsageError
from cvcourse.files import read_json
from cvcourse.recipe import semantics
from cvcourse.recipe.fields import fields

ELSEWHERE = "choose another directory, or leave --workdir out for a fresh one"


def read_config(folder):
    """Read the config.json of a run.

    Args:
        folder: The run's directory, as a pathlib.Path.

    Returns:
        A pair of dicts: recipe, version, semantics and sources of the code that began it, and its
        fields.

    Raises:
        UsageError: If there is none.
        RunError: If it is damaged or cannot be read.
    """
    file = folder / "config.json"
    if not file.exists():
        raise UsageError(f"{folder} is no run's directory: it has no config.json")
    values = read_json(file, remedy=ELSEWHERE)
    begun = {key: values.pop(key, usual) for key, usual in semantics.FIRST.items()}
    if not isinstance(begun["recipe"], str | None):
        raise RunError(f"{file} is damaged: its recipe is no name; {ELSEWHERE}")
    if type(begun["semantics"]) is not int:
        raise RunError(f"{file} is damaged: its semantics is no whole number; {ELSEWHERE}")
    if not isinstance(begun["sources"], dict):
        raise RunError(f"{file} is damaged: its sources are no fields with hashes; {ELSEWHERE}")
    return begun, values


def read_fields(folder, config, recipe):
    """Read the config.json of a run of one recipe.

    Args:
        folder: The run's directory, as a pathlib.Path.
        config: Config of the recipe, or its class.
        recipe: Name of the recipe; None for any.

    Returns:
        A pair: as `read_config` returns first, and {name: value} of all fields, as JSON has them. A
        field that the file lacks has its default.

    Raises:
        UsageError: If the run is another recipe's, or has fields that are not known here.
        RunError: If the file is damaged or cannot be read.
    """
    begun, values = read_config(folder)
    if recipe and begun["recipe"] not in (recipe, None):
        raise UsageError(
            f"--workdir={folder} holds a run of {begun['recipe']}, not of {recipe}; {ELSEWHERE}"
        )
    defaults = as_json({name: spec.default for name, spec in fields(config).items()})
    if unknown := sorted(values.keys() - defaults.keys()):
        few = ", ".join([*unknown[:3], *(["..."] if len(unknown) > 3 else [])])
        raise UsageError(
            f"--workdir={folder} holds another run, begun by version {begun['version']}: "
            f"{recipe or 'the recipe'} has no {few} here; {ELSEWHERE}"
        )
    return begun, defaults | values


def whole_run(folder):
    """Find the run that a run is a part of, such as the sweep of a trial.

    Args:
        folder: The part's directory.

    Returns:
        The directory of the outermost run around it, as a pathlib.Path; None for a run of its own.
    """
    for parent in reversed(pathlib.Path(os.path.abspath(folder)).parents):
        with contextlib.suppress(UsageError, RunError, OSError):
            if read_config(parent)[0]["recipe"]:
                return parent
    return None


def as_json(values):
    """The values of a config's fields as config.json holds them."""
    return json.loads(json.dumps(values))
