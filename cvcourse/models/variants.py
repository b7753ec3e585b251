"""A function for each network: `models.resnet50(num_classes=10)` is `build("resnet50", …)`.

The functions have the arguments and docstrings of the builders. A network that has the name of a
module, such as alexnet, has no function. `variants.pyi` has the signatures for editors and type
checkers; `python -m cvcourse.models._stub > cvcourse/models/variants.pyi` writes it.
"""

import inspect
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from cvcourse.models.registry import REGISTRY, build

MODULES = {path.stem for path in pathlib.Path(__file__).parent.glob("*.py")}
TYPES: dict[str, Any] = {
    "input_shape": Sequence[int | None],
    "num_classes": int | None,
    "name": str | None,
    "zero_padded_pools": Sequence[str],
}
OPTIONAL: dict[str, Any] = {  # arguments that are None by default in their builder
    "attend": Callable[..., Any],
    "column": int,
    "stem_width": int,
}


def _signature(builder):
    """Return the signature of a builder with the variant's own defaults and type hints."""
    function, given = getattr(builder, "func", builder), getattr(builder, "keywords", {})
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        default = None if name == "name" else given.get(name, parameter.default)
        hint = _type(name, parameter.default, default)
        parameters.append(parameter.replace(default=default, annotation=hint))
    return inspect.Signature(parameters, return_annotation=keras.Model)


def _type(name, usual, default):
    if usual is None:
        return OPTIONAL[name] | None
    if name in TYPES:
        return TYPES[name]
    if not isinstance(default, tuple):
        return type(default)
    kinds = {tuple[Any, ...] if isinstance(value, tuple) else type(value) for value in default}
    return Sequence[kinds.pop() if len(kinds) == 1 else Any if kinds else int]


def _variant(name):
    def variant(*args, **settings):
        if args:
            raise TypeError(
                f"{name} takes keyword arguments only, such as num_classes=10; received "
                f"{', '.join(map(repr, args))}"
            )
        return build(name, **settings)

    builder = REGISTRY[name]
    described = inspect.getdoc(getattr(builder, "func", builder))
    variant.__name__ = variant.__qualname__ = name
    variant.__doc__ = f"Build {name}, as `build({name!r}, …)` does.\n\n{described}"
    variant.__signature__ = _signature(builder)
    return variant


__all__ = [name for name in REGISTRY if name not in MODULES]
globals().update({name: _variant(name) for name in __all__})
