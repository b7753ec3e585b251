"""Recipes: a dataclass of settings, which become flags and config.json, and a function that runs.

`main(config)` of a recipe returns the metrics of the run, also if it was finished before. It raises
UsageError for a wrong value or the workdir of another run, before anything is written; RunError for
errors in data, files or training; Interrupted after Ctrl-C or SIGTERM.

It imports only the standard library, since `--help` must not wait for TensorFlow.
"""

from cvcourse.deprecation import renamed_attributes
from cvcourse.recipe._dispatch import HELP, dispatch
from cvcourse.recipe.command_line import cli, command, exit_code, parse, program, run, user_errors
from cvcourse.recipe.config_file import load_config, module_of, read_config
from cvcourse.recipe.fields import as_config, check, field, names_of, with_new_names
from cvcourse.recipe.groups import (
    CacheFields,
    ClassifierFields,
    DataFields,
    DeviceFields,
    FitFields,
    ModelFields,
    PrecisionFields,
    RunFields,
    ScheduleFields,
    SeedsFields,
    SequenceFields,
    SourceFields,
    StoppingFields,
    TrainingFields,
    WeightsFields,
    WorkdirFields,
)
from cvcourse.recipe.many import run_each, run_each_seed, run_seeds
from cvcourse.recipe.output import PICTURES, output_file
from cvcourse.recipe.workdir import (
    begin,
    continued_by,
    finished_metrics,
    is_running,
    locked,
    open_run,
    subrun,
    whole_command,
)

__all__ = [
    "HELP",
    "PICTURES",
    "CacheFields",
    "ClassifierFields",
    "DataFields",
    "DeviceFields",
    "FitFields",
    "ModelFields",
    "PrecisionFields",
    "RunFields",
    "ScheduleFields",
    "SeedsFields",
    "SequenceFields",
    "SourceFields",
    "StoppingFields",
    "TrainingFields",
    "WeightsFields",
    "WorkdirFields",
    "as_config",
    "begin",
    "check",
    "cli",
    "command",
    "continued_by",
    "dispatch",
    "exit_code",
    "field",
    "finished_metrics",
    "is_running",
    "load_config",
    "locked",
    "module_of",
    "names_of",
    "open_run",
    "output_file",
    "parse",
    "program",
    "read_config",
    "run",
    "run_each",
    "run_each_seed",
    "run_seeds",
    "subrun",
    "user_errors",
    "whole_command",
    "with_new_names",
]

__getattr__ = renamed_attributes(
    __name__,
    recognize="finished_metrics",
    claim="open_run",
    part="subrun",
    usage="user_errors",
    verdict="exit_code",
)
