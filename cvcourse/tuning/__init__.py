"""Hyperparameter sweeps: search spaces, and keras-tuner's oracles made safe."""

from cvcourse.tuning.crew import Crew
from cvcourse.tuning.hparams import write_hparams
from cvcourse.tuning.narrowing import at_the_border, good_ones, narrowed, ranges_of
from cvcourse.tuning.oracle import (
    ORACLES,
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
from cvcourse.tuning.service import LOOPBACK, Chief, Worker, address_of, from_environment
from cvcourse.tuning.spaces import PARTS, ask, ready_made, register, require_registered
from cvcourse.tuning.starts import progress, starts
from cvcourse.tuning.stopping import RULES, StopWhereBehind, first_epochs, signed
from cvcourse.tuning.sweep_report import as_csv, as_texts, figures, rows
from cvcourse.tuning.trial_table import TrialTable, last, said

__all__ = [
    "LOOPBACK",
    "ORACLES",
    "PARTS",
    "RULES",
    "Chief",
    "Crew",
    "Outcome",
    "StopWhereBehind",
    "TrialTable",
    "Worker",
    "address_of",
    "any_left",
    "as_csv",
    "as_texts",
    "ask",
    "at_the_border",
    "end_trial",
    "figures",
    "first_epochs",
    "from_environment",
    "good_ones",
    "keep_space",
    "kept_trials",
    "last",
    "names_of",
    "narrowed",
    "next_trial",
    "oracle",
    "progress",
    "ranges_of",
    "ready_made",
    "register",
    "require_registered",
    "require_same_space",
    "rows",
    "said",
    "signed",
    "starts",
    "trial_folder",
    "write_hparams",
]
