"""A recipe is a dataclass and a function: the one becomes flags and config.json, the other runs.

Standard library only: `--help` must not wait for TensorFlow.
"""

from cvcourse.recipe.command_line import cli, command, parse, program, run, usage, verdict
from cvcourse.recipe.dispatch import HELP, dispatch
from cvcourse.recipe.fields import as_config, check, field, names_of
from cvcourse.recipe.groups import (
    CacheFields,
    DataFields,
    DeviceFields,
    FitFields,
    ModelFields,
    RunFields,
    ScheduleFields,
    StoppingFields,
    TrainingFields,
    WeightsFields,
    WorkdirFields,
)
from cvcourse.recipe.many import run_each
from cvcourse.recipe.output import PICTURES, output_file
from cvcourse.recipe.workdir import (
    begin,
    claim,
    continued_by,
    is_running,
    locked,
    part,
    read_config,
    recognize,
    whole_command,
)

__all__ = [
    "HELP",
    "PICTURES",
    "CacheFields",
    "DataFields",
    "DeviceFields",
    "FitFields",
    "ModelFields",
    "RunFields",
    "ScheduleFields",
    "StoppingFields",
    "TrainingFields",
    "WeightsFields",
    "WorkdirFields",
    "as_config",
    "begin",
    "check",
    "claim",
    "cli",
    "command",
    "continued_by",
    "dispatch",
    "field",
    "is_running",
    "locked",
    "names_of",
    "output_file",
    "parse",
    "part",
    "program",
    "read_config",
    "recognize",
    "run",
    "run_each",
    "usage",
    "verdict",
    "whole_command",
]
