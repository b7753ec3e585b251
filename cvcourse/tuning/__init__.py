"""Hyperparameter sweeps: search spaces, and keras-tuner made safe: trials, workers, protocol."""

from cvcourse.tuning.hparams import write_hparams
from cvcourse.tuning.hypermodel import HyperModel
from cvcourse.tuning.narrowing import at_the_border, good_ones, narrowed, ranges_of
from cvcourse.tuning.oracle import (
    ORACLES,
    Outcome,
    any_left,
    end_trial,
    goes_on_extended,
    keep_space,
    kept_trials,
    names_of,
    next_trial,
    oracle,
    require_same_space,
    trial_folder,
)
from cvcourse.tuning.protocol import coarse_to_fine
from cvcourse.tuning.service import LOOPBACK, Chief, Worker, address_of, from_environment
from cvcourse.tuning.spaces import PARTS, ask, ready_made, register, require_registered
from cvcourse.tuning.starts import progress, starts
from cvcourse.tuning.stopping import RULES, StopWhereBehind, first_epochs, signed
from cvcourse.tuning.sweep_report import as_csv, as_texts, figures, report_sweep, rows
from cvcourse.tuning.trial import (
    TRIAL_METRICS,
    Sweep,
    attempt,
    hyperparameters_of,
    keep_metrics,
    own_metrics,
    refusal,
)
from cvcourse.tuning.trial_table import TrialTable, last, said
from cvcourse.tuning.workers import COMMON, alone, in_common, lead, parties, require_common, work

__all__ = [
    "COMMON",
    "LOOPBACK",
    "ORACLES",
    "PARTS",
    "RULES",
    "TRIAL_METRICS",
    "Chief",
    "HyperModel",
    "Outcome",
    "StopWhereBehind",
    "Sweep",
    "TrialTable",
    "Worker",
    "address_of",
    "alone",
    "any_left",
    "as_csv",
    "as_texts",
    "ask",
    "at_the_border",
    "attempt",
    "coarse_to_fine",
    "end_trial",
    "figures",
    "first_epochs",
    "from_environment",
    "goes_on_extended",
    "good_ones",
    "hyperparameters_of",
    "in_common",
    "keep_metrics",
    "keep_space",
    "kept_trials",
    "last",
    "lead",
    "names_of",
    "narrowed",
    "next_trial",
    "oracle",
    "own_metrics",
    "parties",
    "progress",
    "ranges_of",
    "ready_made",
    "refusal",
    "register",
    "report_sweep",
    "require_common",
    "require_registered",
    "require_same_space",
    "rows",
    "said",
    "signed",
    "starts",
    "trial_folder",
    "work",
    "write_hparams",
]
