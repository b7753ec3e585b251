"""Deprecated names of the previous version: they work, and warn with the new name.

CHANGELOG.md lists them. This module imports only the standard library, since `cvcourse.recipe`
needs it before TensorFlow is imported.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

from cvcourse.errors import warn_caller

Function = TypeVar("Function", bound=Callable[..., Any])


def renamed_attributes(module: str, **names: str) -> Callable[[str], Any]:
    """Return a module's `__getattr__` (PEP 562) for its renamed attributes.

    Args:
        module: `__name__` of the module.
        **names: The new name of each old one.

    Returns:
        A function (name) -> value, which warns. It raises AttributeError for any other name.

    >>> import warnings
    >>> __getattr__ = renamed_attributes("math", ln="log")
    >>> with warnings.catch_warnings(record=True):
    ...     __getattr__("ln")(1.0)
    0.0
    """

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn(f"{module}.{name}", f"{module}.{names[name]}")
        return getattr(importlib.import_module(module), names[name])

    return __getattr__


def renamed_arguments(where: str, arguments: dict, names: dict[str, str]) -> dict:
    """Replace the old names of a call's arguments.

    Args:
        where: The function, for messages.
        arguments: {name: value} as received.
        names: {old name: new name}. The function has no arguments of the old names.

    Returns:
        {name: value}, with the new names.

    Raises:
        TypeError: If an argument was received under both names.

    >>> renamed_arguments("f", {"beams": 3}, {})
    {'beams': 3}
    """
    found = {}
    for name, value in arguments.items():
        new = names.get(name, name)
        if new != name:
            if new in arguments:
                raise TypeError(
                    f"{where} received {name} and {new}, its new name: leave out {name}"
                )
            warn(f"{where}: {name}", new)
        found[new] = value
    return found


def takes_old_names(**names: str) -> Callable[[Function], Function]:
    """Return a decorator that makes a function accept the old names of its renamed arguments.

    Args:
        **names: The new name of each old one.

    Returns:
        A decorator.

    >>> import warnings
    >>> @takes_old_names(beams="num_beams")
    ... def search(*, num_beams=5):
    ...     return num_beams
    >>> with warnings.catch_warnings(record=True):
    ...     search(beams=3)
    3
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def taking_both(*args: Any, **arguments: Any) -> Any:
            return function(*args, **renamed_arguments(function.__qualname__, arguments, names))

        return cast(Function, taking_both)

    return decorate


def warn(old: str, new: str) -> None:
    """Warn that a name is deprecated, at the user's line.

    Args:
        old: Old name, with its module or function.
        new: New name.
    """
    # FutureWarning: Python shows a DeprecationWarning only for code in __main__.
    warn_caller(f"{old} is now called {new}; the next version removes the old name", FutureWarning)
