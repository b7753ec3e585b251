"""The config.json of a run: the recipe and version that started it, and its fields."""

import contextlib
import importlib.util
import json
import os
import pathlib
from typing import Any

from cvcourse.errors import RunError, UsageError, unknown
from cvcourse.files import read_json
from cvcourse.recipe import semantics
from cvcourse.recipe.fields import check, fields, with_new_names

ELSEWHERE = "choose another directory, or leave --workdir out for a new one"


def read_config(folder):
    """Read the config.json of a run.

    Args:
        folder: The run's directory, as a pathlib.Path.

    Returns:
        A pair of dicts: recipe, version, semantics and sources of the code that started it, and
        its fields.

    Raises:
        UsageError: If there is no such file.
        RunError: If it is damaged or cannot be read.
    """
    file = folder / "config.json"
    if not file.exists():
        raise UsageError(f"{folder} is not a run directory: it has no config.json")
    values = read_json(file, remedy=ELSEWHERE)
    begun = {key: values.pop(key, usual) for key, usual in semantics.FIRST.items()}
    if not isinstance(begun["recipe"], str | None):
        raise RunError(f"{file} is damaged: its recipe is not a name; {ELSEWHERE}")
    if type(begun["semantics"]) is not int:
        raise RunError(f"{file} is damaged: its semantics is not an integer; {ELSEWHERE}")
    if not isinstance(begun["sources"], dict):
        raise RunError(f"{file} is damaged: its sources are not hashes by field; {ELSEWHERE}")
    return begun, values


def read_fields(folder, config, recipe):
    """Read the config.json of a run of one recipe.

    Args:
        folder: The run's directory, as a pathlib.Path.
        config: Config of the recipe, or its class.
        recipe: Name of the recipe; None for any.

    Returns:
        A pair: the first dict of `read_config`, and {name: value} of all fields, as JSON values. A
        field that the file lacks has its default.

    Raises:
        UsageError: If the run is of another recipe, or has unknown fields.
        RunError: If the file is damaged or cannot be read.
    """
    begun, values = read_config(folder)
    if recipe and begun["recipe"] not in (recipe, None):
        raise UsageError(
            f"--workdir={folder} contains a run of {begun['recipe']}, not of {recipe}; {ELSEWHERE}"
        )
    file = folder / "config.json"
    values = with_new_names(config, values, file)
    begun["sources"] = with_new_names(config, begun["sources"], file)
    defaults = as_json({name: spec.default for name, spec in fields(config).items()})
    if others := sorted(values.keys() - defaults.keys()):
        few = ", ".join([*others[:3], *(["..."] if len(others) > 3 else [])])
        raise UsageError(
            f"--workdir={folder} contains another run, started by version {begun['version']}: "
            f"{recipe or 'the recipe'} has no {few} in this version; {ELSEWHERE}"
        )
    return begun, defaults | values


def load_config(path: str | os.PathLike, config_class: type | None = None) -> Any:
    """Load the config of a run, or of a sweep's best trial.

    As with the flag --config, `workdir` and `extend` have their defaults.

    Args:
        path: A run directory, its config.json, or the best.json of a sweep.
        config_class: Class of the config. None for the Config of the recipe that the file names, or
            of `train` if it names none, such as best.json.

    Returns:
        A `config_class`. A field that the file lacks has its default.

    Raises:
        UsageError: If the file cannot be read, names an unknown recipe, or has a field or a value
            that the class does not accept.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "best.json")
    ...     size = file.write_text('{"model": "resnet20", "epochs": 5}')
    ...     config = load_config(file)
    >>> config.model, config.epochs
    ('resnet20', 5)
    """
    config_class, values = file_values(path, config_class)
    return check(config_class(**values))


def file_values(path, config_class=None):
    """Read a file for `load_config` and the flag --config.

    Args:
        path: As in `load_config`.
        config_class: As in `load_config`.

    Returns:
        A pair: the class, and {name: value} of the fields in the file, without workdir and extend.

    Raises:
        UsageError: As `load_config` does, but values are not checked.
    """
    file = pathlib.Path(os.path.expanduser(path))
    if file.is_dir():
        file /= "config.json"
    try:
        values = read_json(file)
    except RunError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    begun = {key: values.pop(key, None) for key in semantics.FIRST}
    if config_class is None:
        module = module_of("train" if begun["recipe"] is None else begun["recipe"])
        if module is None:
            raise UsageError(
                f"{file} names an unknown recipe: {begun['recipe']}; give config_class"
            )
        config_class = module.Config
    specs, values = fields(config_class), with_new_names(config_class, values, file)
    for name in values:
        if name not in specs:
            by = f" (version {begun['version']} wrote it)" if begun["version"] else ""
            raise UsageError(f"{file}{by}: {unknown('field', name, specs)}")
    return config_class, without_directory(values)


def without_directory(values):
    """Remove the run directory and `extend` from the values of fields."""
    return {name: value for name, value in values.items() if name not in ("workdir", "extend")}


def module_of(recipe):
    """Import the module of a recipe.

    Args:
        recipe: Name of the recipe; any other value from a config.json is accepted, too.

    Returns:
        The module, which has `main` and `Config`; None if there is no such recipe.
    """
    if not (isinstance(recipe, str) and recipe.isidentifier()):
        return None
    name = f"cvcourse.recipes.{recipe}"
    module = importlib.util.find_spec(name) and importlib.import_module(name)
    return module if hasattr(module, "Config") else None


def whole_run(folder):
    """Find the run that contains a run, such as the sweep of a trial.

    Args:
        folder: Directory of the inner run.

    Returns:
        Directory of the outermost run that contains it, as a pathlib.Path; None if there is none.
    """
    for parent in reversed(pathlib.Path(os.path.abspath(folder)).parents):
        with contextlib.suppress(UsageError, RunError, OSError):
            if read_config(parent)[0]["recipe"]:
                return parent
    return None


def as_json(values):
    """Convert values of fields to their form in config.json."""
    return json.loads(json.dumps(values))
