"""Fields of a config: types, ranges, and conversion from and to the text of flags."""

import contextlib
import dataclasses
import os
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any

from cvcourse.errors import UsageError, unknown

NOUNS = {int: "a whole number", float: "a number", str: "a name", bool: "true or false"}
LARGEST_INT = 2**32  # above any sensible setting, below an overflow in TensorFlow
LEVELS = 8  # maximum depth of nested lists
SHOWN = 100  # maximum number of characters of a wrong value in a message
RANGES = {"least": "of at least", "above": "above", "below": "below"}


def field(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    distinct: bool = False,
    positional: bool = False,
    free: bool = False,
    vouched: bool = False,
    source: bool = False,
    renamed_from: str | None = None,
) -> Any:
    """Define a field of a config by its help text and its rules.

    A subclass may override the default alone, `epochs: int = 10`; help text and rules are kept.

    Args:
        default: Default value.
        help: Help text of the flag.
        choices: Accepted values; None for any.
        least: Smallest value.
        above: Exclusive lower bound.
        below: Exclusive upper bound.
        distinct: Whether a tuple must have at least one value and no value twice.
        positional: Whether it is a positional argument on the command line: a tuple, or a single
            name, which is required if the default is "".
        free: Whether it may differ when a run is resumed, since it cannot change the result.
        vouched: Whether it names files that may have moved while the run is unfinished, since the
            fingerprint in the checkpoint identifies them.
        source: Whether it may name a function in a file of source code, as FILE.py:FUNCTION. The
            run records the hash of the file, which may have moved.
        renamed_from: Former name of the field, which config files, the command line and Python
            accept as well.

    Returns:
        A dataclasses.Field.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Config:
    ...     num_beams: int = field(3, "number of beams", least=1)
    >>> Config(num_beams=5)
    Config(num_beams=5)
    """
    metadata = dict(help=help, choices=choices, least=least, above=above, below=below)
    metadata |= dict(distinct=distinct, positional=positional, free=free, vouched=vouched)
    metadata |= dict(source=source, renamed_from=renamed_from)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Field:
    """Type, default and rules of one field of a dataclass."""

    name: str
    kind: type  # of an element, if the field is a tuple
    several: bool  # whether the field is a tuple
    optional: bool  # whether None is accepted
    default: object
    rules: dict

    def wants(self):
        """Describe the accepted values."""
        ranges = [
            f"{words} {self.rules[key]}"
            for key, words in RANGES.items()
            if self.rules.get(key) is not None
        ]
        several = ", or several separated by commas" if self.several else ""
        noun = NOUNS.get(self.kind, "name=value pairs separated by commas")
        return f"{noun} {' and '.join(ranges)}".strip() + several

    def check(self, value):
        """Raise UsageError for a value of the wrong type or out of range."""
        if value is None and self.optional:
            return
        if self.rules["positional"] and value == "":
            raise UsageError(f"{self.name.upper()} is missing: {self.rules['help']}")
        items = value if self.several else (value,)
        if not isinstance(items, tuple) or not all(map(self._accepts, items)):
            raise UsageError(f"--{self.name} expects {self.wants()}; received {shown(value)}")
        if self.kind is int and any(abs(item) > LARGEST_INT for item in items):
            raise UsageError(
                f"--{self.name} must not exceed {LARGEST_INT}; received {shown(value)}"
            )
        if self.kind is dict and not all(abs(n) <= LARGEST_INT for n in _numbers(value)):
            raise UsageError(
                f"numbers in --{self.name} must not exceed {LARGEST_INT}; received {shown(value)}"
            )
        if self.rules["distinct"] and (not items or len({*items}) < len(items)):
            raise UsageError(
                f"--{self.name} expects one or more different values; received {value}"
            )
        choices = self.rules.get("choices")
        for item in items:
            if choices and item not in choices:
                raise UsageError(unknown(f"--{self.name}", item, choices))

    def _accepts(self, item):
        kinds = (int, float) if self.kind is float else self.kind
        if not isinstance(item, kinds) or (isinstance(item, bool) and self.kind is not bool):
            return False
        if isinstance(item, str) and not _is_text(item):
            return False
        if self.kind not in (int, float):
            return True
        least, above, below = (self.rules.get(key) for key in RANGES)
        return (
            (self.kind is int or abs(item) <= sys.float_info.max)  # no NaN, no larger integer
            and (least is None or item >= least)
            and (above is None or item > above)
            and (below is None or item < below)
        )

    def from_text(self, text):
        """Convert the text of a flag to a value, the inverse of `to_text`. Raises UsageError."""
        if self.optional and text == ("auto" if self.several else "none"):
            return None
        if self.kind is dict:
            return _pairs(text)
        try:
            if not self.several:
                return self.kind(text)
            return tuple(self.kind(item) for item in text.split(",") if text != "none")
        except ValueError:
            raise UsageError(
                f"--{self.name} expects {self.wants()}; received {shown(text)}"
            ) from None

    def to_text(self, value):
        """Convert a value to the text of its flag."""
        if value is None:
            return "auto" if self.several else "none"
        if self.kind is dict:
            return ",".join(f"{key}={_argument_text(item)}" for key, item in value.items())
        return (",".join(map(str, value)) or "none") if self.several else str(value)


def fields(config_class):
    """Return the fields of a config or of its class as {name: Field}, in order."""
    owner = config_class if isinstance(config_class, type) else type(config_class)
    hints = typing.get_type_hints(owner)
    found = {}
    for spec in dataclasses.fields(owner):
        kind, optional = hints[spec.name], False
        if isinstance(kind, types.UnionType):
            kind, optional = next(k for k in kind.__args__ if k is not type(None)), True
        several = typing.get_origin(kind) is tuple
        kind = typing.get_args(kind)[0] if several else kind
        default = spec.default
        if default is dataclasses.MISSING:
            default = spec.default_factory()
        rules = _rules(owner, spec.name)
        found[spec.name] = Field(spec.name, kind, several, optional, default, rules)
    return found


def _rules(owner, name):
    """Return the metadata of a field from the nearest class that defines it by `field`."""
    for base in owner.__mro__:
        spec = vars(base).get("__dataclass_fields__", {}).get(name)
        if spec and spec.metadata:
            return spec.metadata
    raise TypeError(f"{owner.__name__}.{name} is not a recipe.field")


def names_of(config_class, rule):
    """Return the names of the fields that have a rule.

    Args:
        config_class: Class of a config, or a config.
        rule: "free", "vouched" or "source".

    Returns:
        A set of names.
    """
    return {name for name, spec in fields(config_class).items() if spec.rules[rule]}


def renamed(config_class):
    """Return the former names of fields.

    Args:
        config_class: Class of a config, or a config.

    Returns:
        {former name: name}.
    """
    owner = config_class if isinstance(config_class, type) else type(config_class)
    return {
        old: name
        for base in owner.__mro__
        for name, spec in vars(base).get("__dataclass_fields__", {}).items()
        if (old := spec.metadata.get("renamed_from"))
    }


def with_new_names(config_class, values, file):
    """Replace former names of fields.

    Args:
        config_class: Class of a config, or a config.
        values: {name: value} from a file.
        file: Path of the file, for the message.

    Returns:
        {name: value}.

    Raises:
        UsageError: If a field has a value under both names.
    """
    names = renamed(config_class)
    for old in names.keys() & values.keys():
        if names[old] in values:
            raise UsageError(f"{file} has {old} and {names[old]}, its new name: remove {old}")
    return {names.get(name, name): value for name, value in values.items()}


def as_config(config_class, config, **changes):
    """Create a config of another class from the fields that both have.

    Args:
        config_class: Class of the new config.
        config: Config of any recipe.
        **changes: Values that replace those of `config`.

    Returns:
        A `config_class`. Its other fields have their defaults.
    """
    names = [spec.name for spec in dataclasses.fields(config_class) if hasattr(config, spec.name)]
    return config_class(**{name: getattr(config, name) for name in names} | changes)


def check(config: Any) -> Any:
    """Check a config and convert its values to plain ones.

    Lists become tuples, paths become str, and NumPy numbers become Python's.

    Args:
        config: Config of a recipe. Its class and base classes may have a method `misfits()` that
            yields a message for each combination of values that is not accepted.

    Returns:
        The config with plain values.

    Raises:
        UsageError: For the first value of the wrong type or out of range, and for the first
            message of `misfits()`.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Config:
    ...     units: tuple[int, ...] = field((8,), "units of the layers", least=1)
    >>> check(Config(units=[16, 8]))
    Config(units=(16, 8))
    >>> check(Config(units=8))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    cvcourse.errors.UsageError: --units expects a whole number of at least 1, or several ...
    """
    if isinstance(config, type) or not hasattr(config, "__dataclass_fields__"):
        received = config.__name__ if isinstance(config, type) else shown(config)
        raise UsageError(f"a recipe takes its Config, such as Config(seed=1); received {received}")
    config = dataclasses.replace(
        config, **{name: _plain(getattr(config, name), name) for name in fields(config)}
    )
    for name, spec in fields(config).items():
        spec.check(getattr(config, name))
    for owner in type(config).__mro__:
        if misfits := vars(owner).get("misfits"):
            for sentence in misfits(config):
                raise UsageError(sentence)
    return config


def _is_text(text):
    """Return whether UTF-8 can encode a text: a path from a command line may have other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value, name, levels=LEVELS):
    if isinstance(value, (dict, list, tuple)) and not levels:
        raise UsageError(f"--{name} accepts nested lists up to {LEVELS} levels deep")
    if isinstance(value, dict):
        return {key: _plain(item, name, levels - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item, name, levels - 1) for item in value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if type(value).__module__ == "numpy" and value.shape == () else value


def _numbers(value):
    """Yield the numbers in a dict or tuple of plain values."""
    if isinstance(value, (dict, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
    elif isinstance(value, (int, float)):
        yield value


def shown(value):
    """Format a wrong value for a message; a long one is cut."""
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python writes
        return "an integer of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _pairs(text):
    """Parse `width=0.25,depths=1/1` to {"width": 0.25, "depths": (1, 1)}."""
    pairs = {}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key or value.count("(") != value.count(")"):
            raise UsageError(
                f"expected name=value pairs separated by commas; received {pair!r}. Tuples have "
                "slashes: 1/2, and (1/2)/(3/) for ((1, 2), (3,))"
            )
        pairs[key] = _argument_value(value)
    return pairs


def _argument_value(text):
    """Parse a number, a text, or a tuple."""
    items, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "/" and not depth:
            items.append("")
        else:
            items[-1] += character
    if len(items) > 1:
        return tuple(_argument_value(item) for item in items if item)
    if text[:1] + text[-1:] == "()":
        return _argument_value(text[1:-1])
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _argument_text(value):
    if isinstance(value, tuple):  # the slash at the end tells a tuple of one from its element
        items = [f"({_argument_text(v)})" if isinstance(v, tuple) else str(v) for v in value]
        return "/".join(items) + ("/" if len(value) < 2 else "")
    return str(value)
