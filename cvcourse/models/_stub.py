"""The text of variants.pyi: `python -m cvcourse.models._stub > cvcourse/models/variants.pyi`."""

import inspect
import textwrap

from cvcourse.models import variants

LONGEST = 60  # characters of a default that is written out
HEADER = '''"""The functions of variants.py; written by `python -m cvcourse.models._stub`."""

# ruff: noqa
# fmt: off
import typing
from collections.abc import Callable, Sequence

import keras

__all__ = {names}
'''
SHORT = {"collections.abc.": "", "keras.src.models.model.": "keras."}


class _Omitted:
    """A default that the stub leaves out."""

    def __repr__(self):
        return "..."


def stub() -> str:
    """Return the text of the stub file: a signature and a docstring for each variant."""
    head = HEADER.format(names=variants.__all__)
    return "\n\n".join([head, *map(_definition, variants.__all__)]) + "\n"


def _definition(name):
    function = getattr(variants, name)
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(default=_Omitted())
        if callable(parameter.default) or len(repr(parameter.default)) > LONGEST
        else parameter
        for parameter in signature.parameters.values()
    ]
    text = str(signature.replace(parameters=parameters))
    for long, short in SHORT.items():
        text = text.replace(long, short)
    docstring = textwrap.indent(f'"""{function.__doc__}\n"""', "    ")
    return f"def {name}{text}:\n{docstring}"


if __name__ == "__main__":
    print(stub(), end="")
