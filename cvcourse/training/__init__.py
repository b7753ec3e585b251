"""What surrounds `fit()`: exact resume, the best model, evaluation and the report."""

from cvcourse.training.best_model import BestModel, class_names, save_model
from cvcourse.training.conclusion import conclude
from cvcourse.training.evaluation import Evaluation, evaluate
from cvcourse.training.exact_resume import ExactResume
from cvcourse.training.machine import machine, precision, someone_watches, versions
from cvcourse.training.progress import CrossEntropyIsLoss, EpochLine
from cvcourse.training.report import write_report

__all__ = [
    "BestModel",
    "CrossEntropyIsLoss",
    "EpochLine",
    "Evaluation",
    "ExactResume",
    "class_names",
    "conclude",
    "evaluate",
    "machine",
    "precision",
    "save_model",
    "someone_watches",
    "versions",
    "write_report",
]
