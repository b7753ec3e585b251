"""A recipe is a dataclass and a function: the one becomes flags and config.json, the other runs.

Standard library only: `--help` must not wait for TensorFlow.
"""

from cvcourse.recipe.command_line import command, parse, program, run, usage
from cvcourse.recipe.fields import check, field
from cvcourse.recipe.workdir import claim, recognize

__all__ = [
    "check",
    "claim",
    "command",
    "field",
    "parse",
    "program",
    "recognize",
    "run",
    "usage",
]
