"""Hyperparameter sweeps: search spaces, and keras-tuner made safe: trials, workers, protocol."""

from cvcourse.deprecation import renamed_attributes
from cvcourse.tuning._count_starts import count_starts
from cvcourse.tuning._oracle import (
    Outcome,
    any_left,
    end_trial,
    keep_space,
    kept_trials,
    names_of,
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
from cvcourse.tuning.workers import COMMON, alone, begin, lead, parties, require_common, work

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
    "alone",
    "any_left",
    "ask",
    "at_the_border",
    "attempt",
    "begin",
    "coarse_to_fine",
    "count_starts",
    "default_space",
    "end_trial",
    "good_ones",
    "hyperparameters_of",
    "keep_metrics",
    "keep_space",
    "kept_trials",
    "lead",
    "names_of",
    "narrowed",
    "next_trial",
    "oracle",
    "own_metrics",
    "parties",
    "ranges_of",
    "refusal",
    "register",
    "report_sweep",
    "require_common",
    "require_same_space",
    "trial_folder",
    "work",
    "write_hparams",
]

__getattr__ = renamed_attributes(__name__, starts="count_starts", ready_made="default_space")
