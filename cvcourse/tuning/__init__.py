"""Hyperparameter sweeps: search spaces, and robust oracles, trials and workers for keras-tuner."""

from cvcourse.deprecation import renamed_attributes
from cvcourse.tuning._count_starts import count_starts
from cvcourse.tuning._oracle import (
    Outcome,
    any_left,
    end_trial,
    hyperparameter_names,
    keep_space,
    kept_trials,
    next_trial,
    oracle,
    require_same_space,
    trial_folder,
)
from cvcourse.tuning.hparams import write_hparams
from cvcourse.tuning.hypermodel import HyperModel
from cvcourse.tuning.narrowing import at_the_border, good_ones, narrowed, ranges_of
from cvcourse.tuning.protocol import coarse_to_fine
from cvcourse.tuning.service import LOOPBACK, Chief, Worker
from cvcourse.tuning.spaces import PARTS, ask, default_space, register
from cvcourse.tuning.stopping import RULES
from cvcourse.tuning.sweep_report import report_sweep
from cvcourse.tuning.trial import (
    TRIAL_METRICS,
    Sweep,
    attempt,
    hyperparameters_of,
    keep_metrics,
    own_metrics,
    refusal,
)
from cvcourse.tuning.trial_table import TrialTable
from cvcourse.tuning.workers import (
    COMMON,
    begin_sweep,
    chief_and_worker,
    require_common,
    run_trials,
    serve_trials,
    work_for_chief,
)

__all__ = [
    "COMMON",
    "LOOPBACK",
    "PARTS",
    "RULES",
    "TRIAL_METRICS",
    "Chief",
    "HyperModel",
    "Outcome",
    "Sweep",
    "TrialTable",
    "Worker",
    "any_left",
    "ask",
    "at_the_border",
    "attempt",
    "begin_sweep",
    "chief_and_worker",
    "coarse_to_fine",
    "count_starts",
    "default_space",
    "end_trial",
    "good_ones",
    "hyperparameter_names",
    "hyperparameters_of",
    "keep_metrics",
    "keep_space",
    "kept_trials",
    "narrowed",
    "next_trial",
    "oracle",
    "own_metrics",
    "ranges_of",
    "refusal",
    "register",
    "report_sweep",
    "require_common",
    "require_same_space",
    "run_trials",
    "serve_trials",
    "trial_folder",
    "work_for_chief",
    "write_hparams",
]

__getattr__ = renamed_attributes(
    __name__,
    starts="count_starts",
    ready_made="default_space",
    alone="run_trials",
    begin="begin_sweep",
    lead="serve_trials",
    names_of="hyperparameter_names",
    parties="chief_and_worker",
    work="work_for_chief",
)
