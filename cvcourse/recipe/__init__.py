"""A recipe is a dataclass and a function: the one becomes flags and config.json, the other runs.

Standard library only: `--help` must not wait for TensorFlow.
"""

from cvcourse.recipe.command_line import command, parse, program, run, usage, verdict
from cvcourse.recipe.fields import as_config, check, field
from cvcourse.recipe.output import PICTURES, output_file
from cvcourse.recipe.workdir import claim, continued_by, locked, part, recognize, whole_command

__all__ = [
    "PICTURES",
    "as_config",
    "check",
    "claim",
    "command",
    "continued_by",
    "field",
    "locked",
    "output_file",
    "parse",
    "part",
    "program",
    "recognize",
    "run",
    "usage",
    "verdict",
    "whole_command",
]
