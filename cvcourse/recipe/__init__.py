"""A recipe is a dataclass and a function: the one becomes flags and config.json, the other runs.

`main(config)` of a recipe returns what the run's metrics.json holds, of a finished run too. It
raises UsageError for a wrong value or another run's workdir, before anything is written; RunError
for what goes wrong in data, files or training; Interrupted after Ctrl-C or SIGTERM.

Standard library only: `--help` must not wait for TensorFlow.
"""

from cvcourse.recipe.command_line import cli, command, parse, program, run, usage, verdict
from cvcourse.recipe.config_file import read_config
from cvcourse.recipe.dispatch import HELP, dispatch
from cvcourse.recipe.fields import as_config, check, field, names_of
from cvcourse.recipe.groups import (
    CacheFields,
    DataFields,
    DeviceFields,
    FitFields,
    ModelFields,
    PrecisionFields,
    RunFields,
    ScheduleFields,
    SequenceFields,
    StoppingFields,
    TrainingFields,
    WeightsFields,
    WorkdirFields,
)
from cvcourse.recipe.many import run_each, run_seeds
from cvcourse.recipe.output import PICTURES, output_file
from cvcourse.recipe.workdir import (
    begin,
    claim,
    continued_by,
    is_running,
    locked,
    part,
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
    "PrecisionFields",
    "RunFields",
    "ScheduleFields",
    "SequenceFields",
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
    "run_seeds",
    "usage",
    "verdict",
    "whole_command",
]
