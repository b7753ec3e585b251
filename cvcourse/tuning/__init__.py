"""Hyperparameter sweeps: search spaces, and keras-tuner's oracles made safe."""

from cvcourse.tuning.oracle import ORACLES, Outcome, end_trial, next_trial, oracle
from cvcourse.tuning.spaces import PARTS, ready_made, register
from cvcourse.tuning.starts import starts
from cvcourse.tuning.stopping import RULES, StopWhereBehind, first_epochs, signed
from cvcourse.tuning.sweep_report import as_csv, as_texts, figures, last, rows
from cvcourse.tuning.trial_table import TrialTable

__all__ = [
    "ORACLES",
    "PARTS",
    "RULES",
    "Outcome",
    "StopWhereBehind",
    "TrialTable",
    "as_csv",
    "as_texts",
    "end_trial",
    "figures",
    "first_epochs",
    "last",
    "next_trial",
    "oracle",
    "ready_made",
    "register",
    "rows",
    "signed",
    "starts",
]
